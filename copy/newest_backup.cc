// SPDX-License-Identifier: Apache-2.0
#include "copy/newest_backup.h"

#include <fmt/format.h>
#include <spdlog/spdlog.h>

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

Status LookForDisplaced(const Archive& archive,
                        const std::shared_ptr<Volume>& volume,
                        std::stop_token stop) {
  if (DisplacedFrom(volume->record().medium).empty()) return Status::Ok();
  const auto found = archive.volumes->Use(volume, std::move(stop));
  if (found.status().Is(Errc::kInterrupted)) return found.status();
  if (!found.ok()) {
    spdlog::info("before a job: {}", found.status().ToString());
  }
  return Status::Ok();
}

Status LookForBackups(const Archive& archive, const std::string& primary,
                      const std::stop_token& stop) {
  const auto owner = archive.volumes->Find(primary);
  if (owner == nullptr) return Status::Ok();
  const std::string uuid = owner->record().medium_uuid;
  for (const auto& volume : archive.volumes->List()) {
    const VolumeRecord record = volume->record();
    if (record.role != udf::Role::kBackup || record.owner_uuid != uuid) {
      continue;
    }
    RETURN_IF_ERROR(LookForDisplaced(archive, volume, stop));
  }
  return Status::Ok();
}

}  // namespace vellum
