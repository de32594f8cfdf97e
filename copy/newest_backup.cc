// SPDX-License-Identifier: Apache-2.0
#include "copy/newest_backup.h"

#include <fmt/format.h>

#include <optional>
#include <utility>

#include "copy/damage_notes.h"
#include "copy/pool.h"
#include "copy/shelf.h"
#include "index/volumes.h"

namespace vellum {

Result<VolumeRecord> NewestForFiles(const Archive& archive,
                                    const VolumeRecord& primary) {
  std::optional<VolumeRecord> best;
  std::string damaged;
  for (const auto& volume : archive.volumes->List()) {
    VolumeRecord record = volume->record();
    const bool usable = record.role == udf::Role::kBackup &&
                        record.owner_uuid == primary.medium_uuid &&
                        (record.state == udf::SlotState::kComplete ||
                         record.state == udf::SlotState::kFiles);
    if (!usable || !CheckNotExported(record).ok() ||
        !CheckLoadable(*archive.library, record.medium).ok()) {
      continue;
    }
    if (IsDamaged(*archive.catalog, record.medium_uuid)) {
      damaged += fmt::format("; {} is damaged, and has to be named", record.id);
      continue;
    }
    if (!best || best->copied < record.copied) best = std::move(record);
  }
  if (best) return *best;
  return Error{
      Errc::kNotFound,
      fmt::format("no backup of {} is in the library{}", primary.id, damaged)};
}

}  // namespace vellum
