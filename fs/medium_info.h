// SPDX-License-Identifier: Apache-2.0
// What a medium says of itself, without any catalog (I6).
#pragma once

#include "fs/json.h"
#include "media/error.h"
#include "media/medium.h"

namespace vellum {

// The control slot and the control log: which volume this is, of which primary
// it is a backup, of which generation, and what every copy to it came to.
// kNotFound: there is no volume on it.
Result<Json> DescribeMedium(Medium& medium);

}  // namespace vellum
