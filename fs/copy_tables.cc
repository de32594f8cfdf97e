// SPDX-License-Identifier: Apache-2.0
// The tables about copies and the media that take them.
#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <map>
#include <set>
#include <string>
#include <vector>

#include "copy/damage_notes.h"
#include "copy/history.h"
#include "copy/medium_notes.h"
#include "copy/pool_book.h"
#include "copy/shelf.h"
#include "copy/tracking.h"
#include "fs/service.h"
#include "fs/table_parts.h"
#include "fs/tables.h"
#include "index/change_map.h"

namespace vellum {
namespace {

std::string HostName() {
  char host[256] = {};
  if (gethostname(host, sizeof(host) - 1) != 0) host[0] = '\0';
  return host;
}

// Media of the pool in whose slots others are now, by their own ids (O16).
Result<std::map<MediumId, PoolRow>> SwappedMedia(const Service& service) {
  ASSIGN_OR_RETURN(std::vector<PoolRow> rows,
                   ListPool(service.archive(), service.pool_range()));
  std::map<MediumId, PoolRow> swapped;
  for (PoolRow& row : rows) {
    if (row.state != "swapped") continue;
    MediumId medium = row.medium;
    swapped.emplace(std::move(medium), std::move(row));
  }
  return swapped;
}

// The pool may overwrite it, though an inventory has found it again.
bool IsGivenUp(const Service& service, const VolumeRecord& record) {
  const Result<MediumNote> note =
      ReadMediumNote(service.catalog(), record.medium);
  return note.ok() && note->freed == record.id;
}

// Why this is no backup to rely on, and what became of the last copy to it.
Json CopyError(const Service& service, const VolumeRecord& record,
               const JobRecord* job) {
  std::string text;
  const bool broken_off =
      job != nullptr &&
      (job->state == JobState::kFailed || job->state == JobState::kCancelled);
  if (record.state == udf::SlotState::kFiles) {
    // It is whole, but perhaps not all that was to be on it.
    if (broken_off) text = "INCOMPLETE";
  } else if (record.state != udf::SlotState::kComplete) {
    text = SlotStateName(record.state);
    for (char& c : text) {
      if (c >= 'a' && c <= 'z') c = static_cast<char>(c - 'a' + 'A');
    }
  }
  const Result<std::string> damage =
      ReadDamage(service.catalog(), record.medium_uuid);
  if (!damage.ok() || !damage->empty()) {
    text += (text.empty() ? "DAMAGED: " : ", DAMAGED: ") +
            (damage.ok() ? *damage : damage.error().message);
  }
  // A copy that was cancelled did no harm to one that is complete.
  const bool told =
      job != nullptr && (job->state == JobState::kFailed ||
                         (job->state == JobState::kCancelled && !text.empty()));
  if (told) text += (text.empty() ? "" : ": ") + job->message;
  return TextOrNull(text);
}

// "image", "incremental" or "files": how each backup was made, by its volume id
// (I11); what the history does not know any more is missing.
Result<std::map<std::string, std::string>> CopyMethods(const Service& service) {
  ASSIGN_OR_RETURN(const std::vector<HistoryRow> rows,
                   ReadHistory(service.catalog(), ""));
  std::map<std::string, std::string> methods;
  for (const HistoryRow& row : rows) {  // ascending ids
    if (row.result != JobStateName(JobState::kDone) || row.mode == "restore" ||
        row.method == "files") {
      continue;
    }
    methods[row.target] = row.method == "full" ? "image" : row.method;
  }
  for (const std::shared_ptr<Volume>& volume : service.volumes().List()) {
    const VolumeRecord record = volume->record();
    if (record.state == udf::SlotState::kFiles) methods[record.id] = "files";
  }
  return methods;
}

// The last job that wrote each backup, by its volume id.
std::map<std::string, JobRecord> LastCopies(const Service& service) {
  std::map<std::string, JobRecord> last;
  for (JobRecord& job : service.jobs().List()) {  // ascending ids
    if (job.kind != JobKind::kCopy || job.target_volume.empty()) continue;
    const std::string target = job.target_volume;
    last[target] = std::move(job);
  }
  return last;
}

}  // namespace

Result<Table> CopiesTable(const Service& service) {
  RecordMap records = RecordsByMedium(service);
  const std::map<std::string, JobRecord> jobs = LastCopies(service);
  ASSIGN_OR_RETURN(const PoolBook pool,
                   ReadPool(service.catalog(), service.pool_range()));
  ASSIGN_OR_RETURN(const auto swapped, SwappedMedia(service));
  ASSIGN_OR_RETURN(const auto methods, CopyMethods(service));
  Table table;
  table.columns = {{"label", "Label"},       {"slot", "Slot"},
                   {"side", "Side"},         {"last_access", "LastAccess"},
                   {"status", "Status"},     {"error", "Error"},
                   {"magazine", "Magazine"}, {"lib_num", "LibNum"}};
  const auto add = [&](const MediumId& medium, const Result<MediumPlace>& place,
                       const VolumeRecord* record) {
    Json error;
    Json method;
    if (record) {
      const auto made = methods.find(record->id);
      if (made != methods.end()) method = made->second;
      const auto job = jobs.find(record->id);
      error = CopyError(service, *record,
                        job == jobs.end() ? nullptr : &job->second);
    }
    if (const auto other = swapped.find(medium); other != swapped.end()) {
      error = fmt::format("SWAPPED: slot {} holds {} now",
                          other->second.slot.value, other->second.found);
    }
    std::string label = "--UNUSED--";
    if (record && !record->owner_id.empty() && !IsGivenUp(service, *record)) {
      label = record->owner_id;
    } else if (const std::string unusable = Unusable(service, medium);
               !unusable.empty() && (!record || unusable == "PROTECTED")) {
      label = unusable;
    }
    table.rows.push_back(
        {{"label", label},
         {"slot", place.ok() ? Json(place->home.value) : Json()},
         {"side", place.ok() ? SideJson(*place) : Json()},
         {"last_access", record ? TimeJson(record->copied) : Json()},
         {"status", MediumState(place, record ? record->location : "")},
         {"error", error},
         {"magazine", nullptr},
         {"lib_num", service.config().lib_num},
         {"medium", medium},
         {"backup", record ? Json(record->id) : Json()},
         {"backup_state", record ? Json(SlotStateName(record->state)) : Json()},
         {"generation", record ? GenerationJson(record->generation) : Json()},
         {"method", method}});
  };
  for (const MediumPlace& place : service.library().Media()) {
    const auto it = records.find(place.id);
    const bool known = it != records.end();
    const bool backup = known && it->second.role == udf::Role::kBackup;
    if (backup || (!known && pool.Contains(place))) {
      add(place.id, place, known ? &it->second : nullptr);
    }
    if (known) records.erase(it);
  }
  const Error gone{Errc::kNoMedium, "not in the library"};
  for (const auto& [medium, record] : records) {
    if (record.role != udf::Role::kBackup) continue;
    add(medium, gone, &record);
  }
  // Unused media that were taken away.
  for (const auto& [medium, row] : swapped) {
    if (records.count(medium) == 0) add(medium, gone, nullptr);
  }
  return table;
}

Result<Table> PoolTable(const Service& service) {
  ASSIGN_OR_RETURN(const std::vector<PoolRow> rows,
                   ListPool(service.archive(), service.pool_range()));
  Table table;
  table.columns = {{"slot", "Slot"},   {"medium", "Medium"},
                   {"label", "Label"}, {"volume", "Volume"},
                   {"state", "State"}, {"found", "Found"}};
  for (const PoolRow& row : rows) {
    Json label = "--UNUSED--";
    if (row.state != "unused" && !row.owner.empty()) {
      label = row.owner;
    } else if (row.state == "unsuitable") {
      label = nullptr;  // something else is on it
    }
    const Result<MediumPlace> place = service.library().FindMedium(row.medium);
    table.rows.push_back({{"slot", row.slot.value},
                          {"medium", row.medium},
                          {"side", place.ok() ? SideJson(*place) : Json()},
                          {"label", label},
                          {"volume", TextOrNull(row.volume)},
                          {"state", row.state},
                          {"found", TextOrNull(row.found)}});
  }
  return table;
}

Result<Table> DevicesTable(const Service& service) {
  ASSIGN_OR_RETURN(const std::vector<TrackedPair> pairs,
                   TrackedPairs(service.archive()));
  std::set<MediumId> tracked;
  for (const TrackedPair& pair : pairs) tracked.insert(pair.backup.medium);
  ASSIGN_OR_RETURN(const std::vector<PoolRow> pool,
                   ListPool(service.archive(), service.pool_range()));
  std::set<MediumId> unused;
  for (const PoolRow& row : pool) {
    if (row.state == "unused") unused.insert(row.medium);
  }
  Table table;
  table.columns = {{"server", "Server"},
                   {"device", "Device"},
                   {"volume", "Volume"},
                   {"size", "Size"},
                   {"mode", "Mode"}};
  const std::string host = HostName();
  const auto add = [&](const MediumId& medium, const VolumeRecord* record) {
    std::string mode;
    if (unused.count(medium) != 0) {
      mode = "Backup (free)";
    } else if (record != nullptr) {
      mode =
          record->role == udf::Role::kPrimary ? "Transaction" : "Backup (used)";
    } else {
      return;  // no device of this library's copies
    }
    table.rows.push_back(
        {{"server", host},
         {"device", medium},
         {"volume", record ? Json(record->id) : Json()},
         {"size",
          record ? Json(record->geometry.sectors * kSectorSize) : Json()},
         {"mode", mode},
         {"tracked", tracked.count(medium) != 0}});
  };
  RecordMap records = RecordsByMedium(service);
  for (const MediumPlace& place : service.library().Media()) {
    const auto it = records.find(place.id);
    add(place.id, it == records.end() ? nullptr : &it->second);
    if (it != records.end()) records.erase(it);
  }
  for (const auto& [medium, record] : records) add(medium, &record);
  return table;
}

Result<Table> TrackingTable(const Service& service,
                            const std::optional<std::string>& volume_id) {
  // Backups with a copy job at work, and how far it is.
  std::map<std::string, Json> executing;
  for (const JobRecord& job : service.jobs().List()) {
    if (job.kind != JobKind::kCopy || JobEnded(job.state)) continue;
    if (!job.target_volume.empty()) {
      executing[job.target_volume] = JobProgress(job, Now())["percent"];
    }
  }
  Table table;
  table.columns = {
      {"server", "Server"},           {"transaction_disk", "Transaction-Disk"},
      {"backup_disk", "Backup-Disk"}, {"status", "Status"},
      {"execute", "Execute"},         {"update", "Update"}};
  const std::string host = HostName();
  for (const std::shared_ptr<Volume>& volume : service.volumes().List()) {
    const VolumeRecord backup = volume->record();
    if (backup.role != udf::Role::kBackup) continue;
    const std::shared_ptr<Volume> owner =
        service.volumes().Find(backup.owner_id);
    if (!owner) continue;
    if (volume_id && backup.id != *volume_id && backup.owner_id != *volume_id) {
      continue;
    }
    const VolumeRecord primary = owner->record();
    const auto job = executing.find(backup.id);
    ASSIGN_OR_RETURN(const bool tracked,
                     IsTracked(service.catalog(), primary, backup));
    if (!tracked && job == executing.end()) continue;
    Json row;
    row["server"] = host;
    row["transaction_disk"] = primary.id;
    row["backup_disk"] = backup.id;
    row["status"] = job != executing.end() ? "executing" : "tracking";
    row["execute"] = nullptr;
    row["update"] = nullptr;
    row["changed_bytes"] = nullptr;
    row["full_bytes"] = primary.used_blocks * kSectorSize;
    if (job != executing.end()) {
      row["execute"] = job->second.is_null()
                           ? Json()
                           : Json(fmt::format("{}%", job->second.get<int>()));
    }
    if (tracked) {
      ASSIGN_OR_RETURN(
          const RegionSet changed,
          ChangedBetween(service.catalog(), primary.index,
                         backup.generation.number, primary.generation.number));
      const uint64_t used = std::max<uint64_t>(
          1, (primary.used_blocks + kRegionSectors - 1) / kRegionSectors);
      const uint64_t percent =
          std::min<uint64_t>(100, (changed.count() * 100 + used - 1) / used);
      row["changed_bytes"] = changed.count() * kRegionSize;
      if (job == executing.end()) row["update"] = fmt::format("{}%", percent);
    }
    for (const char* key : {"execute", "update"}) {
      if (row[key].is_null()) row[key] = "----";
    }
    table.rows.push_back(std::move(row));
  }
  return table;
}

}  // namespace vellum
