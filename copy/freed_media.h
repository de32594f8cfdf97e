// SPDX-License-Identifier: Apache-2.0
// Backups that were given up: MediumNote::freed.
//
// Thread-safety: functions; the catalog's rules.
#pragma once

#include "index/catalog.h"
#include "media/error.h"

namespace vellum {

// None counts as given up any more: the pool overwrites none.
Status ForgetFreedMedia(Catalog* catalog);

}  // namespace vellum
