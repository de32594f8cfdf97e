// SPDX-License-Identifier: Apache-2.0
// Which backup is meant where none is named.
#pragma once

#include "copy/operations.h"
#include "index/records.h"
#include "media/error.h"

namespace vellum {

// Of the backups of `primary` in the library, by generation or by file, the one
// that was copied last; none of which damage is known. kNotFound.
// Thread-safety: any thread.
Result<VolumeRecord> NewestForFiles(const Archive& archive,
                                    const VolumeRecord& primary);

}  // namespace vellum
