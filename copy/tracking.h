// SPDX-License-Identifier: Apache-2.0
// Tracked pairs: a primary and one of its backups whose next copy needs to
// write only what changed. The change map serves any number of them at no cost,
// so a pair is tracked from its copy on, as long as the map reaches back to the
// backup's generation, until somebody ends it (A3, V7). What was ended is in
// the catalog's table "track".
//
// Thread-safety: functions; may be called concurrently.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "copy/operations.h"
#include "index/catalog.h"
#include "index/records.h"
#include "media/error.h"
#include "media/types.h"

namespace vellum {

struct TrackedPair {
  VolumeRecord primary, backup;
};

Result<bool> IsTracked(const Catalog& catalog, const VolumeRecord& primary,
                       const VolumeRecord& backup);
Result<std::vector<TrackedPair>> TrackedPairs(const Archive& archive);

// When the tracking of the pair (medium uuids) was ended; nullopt: it was not.
Result<std::optional<TimeSpec>> TrackingEnded(const Catalog& catalog,
                                              const std::string& primary_uuid,
                                              const std::string& backup_uuid);
Status EndTracking(Catalog* catalog, const std::string& primary_uuid,
                   const std::string& backup_uuid);
Status AllowTracking(Catalog* catalog, const std::string& primary_uuid,
                     const std::string& backup_uuid);

// kNoSpace when `limit` (0: none) pairs other than this one are tracked
// already: names them (V8).
Status CheckPairLimit(const Archive& archive, uint32_t limit,
                      const std::string& primary_uuid,
                      const std::string& backup_uuid);

// `target`: a backup, its volume tag or element. kNotFound, kInvalidArgument
// (no backup of that primary: says what it is).
// Start: kExists (it is tracked), kOutOfRange (the map does not reach back to
// the backup: a copy is needed), CheckPairLimit.
// Stop: kNotFound (it is not tracked). A copy that runs goes on to its end; the
// next incremental one is full.
Result<TrackedPair> StartTracking(const Archive& archive, uint32_t limit,
                                  const std::string& primary,
                                  const std::string& target);
Result<TrackedPair> StopTracking(const Archive& archive,
                                 const std::string& primary,
                                 const std::string& target);

}  // namespace vellum
