// SPDX-License-Identifier: Apache-2.0
// Tells a format that was broken off from what others have written.
//
// Thread-safety: functions; nobody writes to the medium meanwhile.
#pragma once

#include "media/error.h"
#include "media/medium.h"

namespace vellum::udf {

// Of a medium that ProbeMedium calls kForeign: has its begin (704 KiB), where
// every other file system has something, only what FormatVolume writes there?
// False for data of others, another system's UDF included.
Result<bool> LooksBegun(Medium& medium);

}  // namespace vellum::udf
