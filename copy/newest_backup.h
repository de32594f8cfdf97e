// SPDX-License-Identifier: Apache-2.0
// Which backup is meant where none is named.
#pragma once

#include <memory>
#include <stop_token>
#include <string>

#include "copy/operations.h"
#include "index/records.h"
#include "media/error.h"

namespace vellum {

// Of the backups of `primary` in the library, by generation or by file, the one
// that was copied last; none of which damage is known. kNotFound.
// Thread-safety: any thread.
Result<VolumeRecord> NewestForFiles(const Archive& archive,
                                    const VolumeRecord& primary);

// Looks for a volume that its medium did not hold where it was: that waits for
// a drive. kInterrupted: `stop` is requested; anything else is found by who
// uses it. Thread-safety: any thread.
Status LookForDisplaced(const Archive& archive,
                        const std::shared_ptr<Volume>& volume,
                        std::stop_token stop);
// All such backups of the primary: any may be the newest.
Status LookForBackups(const Archive& archive, const std::string& primary,
                      const std::stop_token& stop);

}  // namespace vellum
