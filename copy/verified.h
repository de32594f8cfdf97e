// SPDX-License-Identifier: Apache-2.0
// Which backups were read back whole after they were written (X6): rows of the
// catalog, by the medium uuid of the backup.
//
// Thread-safety: functions; may be called concurrently.
#pragma once

#include "index/catalog.h"
#include "index/records.h"
#include "media/error.h"

namespace vellum {

// A copy, by generation or by file, has made `backup` what it is now.
// `verified`: all that it wrote was read back; `whole`: that was all of the
// backup. Else the backup is verified only if it was so before.
Status NoteVerified(Catalog* catalog, const VolumeRecord& backup, bool verified,
                    bool whole);
// No backup counts as read back any more.
Status ForgetVerified(Catalog* catalog);
// Was its present generation read back, and has nothing been found wrong since?
Result<bool> IsVerified(const Catalog& catalog, const VolumeRecord& backup);

}  // namespace vellum
