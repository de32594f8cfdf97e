// SPDX-License-Identifier: Apache-2.0
#include "copy/tracking.h"

#include <fmt/format.h>

#include <map>
#include <nlohmann/json.hpp>
#include <utility>

namespace vellum {
namespace {

constexpr std::string_view kTrackTable = "track";

std::string PairKey(const std::string& primary_uuid,
                    const std::string& backup_uuid) {
  return primary_uuid + "/" + backup_uuid;
}

// Does the change map reach back to the backup's generation?
bool MapReaches(const VolumeRecord& primary, const VolumeRecord& backup) {
  return primary.role == udf::Role::kPrimary &&
         backup.role == udf::Role::kBackup &&
         backup.state == udf::SlotState::kComplete &&
         backup.owner_uuid == primary.medium_uuid &&
         backup.generation.lineage == primary.generation.lineage &&
         backup.generation.number >= primary.change_floor;
}

Result<TrackedPair> FindPair(const Archive& archive, const std::string& primary,
                             const std::string& target) {
  const auto source = archive.volumes->Find(primary);
  if (source == nullptr) {
    return Error{Errc::kNotFound,
                 fmt::format("no volume {} is known", primary)};
  }
  std::shared_ptr<Volume> backup = archive.volumes->Find(target);
  if (backup == nullptr) {
    ASSIGN_OR_RETURN(const MediumId medium, ResolveMedium(archive, target));
    backup = archive.volumes->FindByMedium(medium);
  }
  if (backup == nullptr) {
    return Error{Errc::kInvalidArgument,
                 fmt::format("{} holds no backup of {}", target, primary)};
  }
  TrackedPair pair{source->record(), backup->record()};
  if (pair.primary.role != udf::Role::kPrimary) {
    return Error{Errc::kInvalidArgument,
                 fmt::format("{} is a BACKUP: a PRIMARY is tracked", primary)};
  }
  if (pair.backup.role != udf::Role::kBackup) {
    return Error{Errc::kInvalidArgument,
                 fmt::format("{} is a PRIMARY, and no backup of {}",
                             pair.backup.id, primary)};
  }
  if (pair.backup.owner_uuid != pair.primary.medium_uuid) {
    return Error{
        Errc::kInvalidArgument,
        fmt::format("{} is no backup of {}, but of {}", pair.backup.id, primary,
                    pair.backup.owner_id.empty() ? "no volume yet"
                                                 : pair.backup.owner_id)};
  }
  return pair;
}

}  // namespace

Result<std::optional<TimeSpec>> TrackingEnded(const Catalog& catalog,
                                              const std::string& primary_uuid,
                                              const std::string& backup_uuid) {
  const std::string key = PairKey(primary_uuid, backup_uuid);
  const Result<std::string> row = catalog.GetRow(kTrackTable, key);
  if (!row.ok()) {
    if (row.error().code == Errc::kNotFound) return std::optional<TimeSpec>();
    return row.status();
  }
  try {
    const nlohmann::json ended = nlohmann::json::parse(*row).at("ended");
    TimeSpec time;
    time.sec = ended.at(0);
    time.nsec = ended.at(1);
    return std::optional(time);
  } catch (const std::exception& e) {
    return Error{Errc::kCorruption,
                 fmt::format("track row {}: {}", key, e.what())};
  }
}

Status EndTracking(Catalog* catalog, const std::string& primary_uuid,
                   const std::string& backup_uuid) {
  const TimeSpec now = Now();
  CatalogBatch batch;
  batch.PutRow(kTrackTable, PairKey(primary_uuid, backup_uuid),
               nlohmann::json{{"ended", {now.sec, now.nsec}}}.dump());
  return catalog->Write(batch, Sync::kYes);
}

Status AllowTracking(Catalog* catalog, const std::string& primary_uuid,
                     const std::string& backup_uuid) {
  CatalogBatch batch;
  batch.DeleteRow(kTrackTable, PairKey(primary_uuid, backup_uuid));
  return catalog->Write(batch, Sync::kYes);
}

Result<bool> IsTracked(const Catalog& catalog, const VolumeRecord& primary,
                       const VolumeRecord& backup) {
  if (!MapReaches(primary, backup)) return false;
  ASSIGN_OR_RETURN(
      const std::optional<TimeSpec> ended,
      TrackingEnded(catalog, primary.medium_uuid, backup.medium_uuid));
  return !ended;
}

Result<std::vector<TrackedPair>> TrackedPairs(const Archive& archive) {
  std::map<std::string, VolumeRecord> primaries;
  std::vector<VolumeRecord> backups;
  for (const auto& volume : archive.volumes->List()) {
    VolumeRecord record = volume->record();
    if (record.role == udf::Role::kBackup) {
      backups.push_back(std::move(record));
    } else {
      std::string uuid = record.medium_uuid;
      primaries.emplace(std::move(uuid), std::move(record));
    }
  }
  std::vector<TrackedPair> pairs;
  for (VolumeRecord& backup : backups) {
    const auto primary = primaries.find(backup.owner_uuid);
    if (primary == primaries.end()) continue;
    ASSIGN_OR_RETURN(const bool tracked,
                     IsTracked(*archive.catalog, primary->second, backup));
    if (tracked) pairs.push_back({primary->second, std::move(backup)});
  }
  return pairs;
}

Status CheckPairLimit(const Archive& archive, uint32_t limit,
                      const std::string& primary_uuid,
                      const std::string& backup_uuid) {
  if (limit == 0) return Status::Ok();
  ASSIGN_OR_RETURN(const std::vector<TrackedPair> pairs, TrackedPairs(archive));
  uint32_t others = 0;
  std::string names;
  for (const TrackedPair& pair : pairs) {
    if (pair.primary.medium_uuid == primary_uuid &&
        pair.backup.medium_uuid == backup_uuid) {
      continue;
    }
    ++others;
    names += fmt::format("{}{} to {}", names.empty() ? "" : ", ",
                         pair.primary.id, pair.backup.id);
  }
  if (others < limit) return Status::Ok();
  return Status(Errc::kNoSpace,
                fmt::format("the limit of {} tracked pairs (tracked_pairs) is "
                            "reached: {}",
                            limit, names));
}

Result<TrackedPair> StartTracking(const Archive& archive, uint32_t limit,
                                  const std::string& primary,
                                  const std::string& target) {
  ASSIGN_OR_RETURN(TrackedPair pair, FindPair(archive, primary, target));
  ASSIGN_OR_RETURN(const bool tracked,
                   IsTracked(*archive.catalog, pair.primary, pair.backup));
  if (tracked) {
    return Error{Errc::kExists, fmt::format("{} to {} is tracked already",
                                            pair.primary.id, pair.backup.id)};
  }
  if (!MapReaches(pair.primary, pair.backup)) {
    return Error{
        Errc::kOutOfRange,
        fmt::format("what changed on {} since {} was made is not known: "
                    "`vellum backup -T {}` copies it and tracks from then on",
                    pair.primary.id, pair.backup.id, pair.primary.id)};
  }
  RETURN_IF_ERROR(CheckPairLimit(archive, limit, pair.primary.medium_uuid,
                                 pair.backup.medium_uuid));
  RETURN_IF_ERROR(AllowTracking(archive.catalog, pair.primary.medium_uuid,
                                pair.backup.medium_uuid));
  return pair;
}

Result<TrackedPair> StopTracking(const Archive& archive,
                                 const std::string& primary,
                                 const std::string& target) {
  ASSIGN_OR_RETURN(TrackedPair pair, FindPair(archive, primary, target));
  ASSIGN_OR_RETURN(const std::optional<TimeSpec> ended,
                   TrackingEnded(*archive.catalog, pair.primary.medium_uuid,
                                 pair.backup.medium_uuid));
  // A pair whose first copy runs is not tracked yet, and shall not be.
  if (ended) {
    return Error{Errc::kNotFound, fmt::format("{} to {} is not tracked",
                                              pair.primary.id, pair.backup.id)};
  }
  RETURN_IF_ERROR(EndTracking(archive.catalog, pair.primary.medium_uuid,
                              pair.backup.medium_uuid));
  return pair;
}

}  // namespace vellum
