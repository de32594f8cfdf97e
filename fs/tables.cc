// SPDX-License-Identifier: Apache-2.0
#include "fs/tables.h"

#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <ctime>
#include <map>
#include <set>
#include <vector>

#include "copy/medium_notes.h"
#include "fs/service.h"
#include "index/change_map.h"
#include "media/udf/control.h"

namespace vellum {
namespace {

const char* ElementTypeName(ElementType type) {
  switch (type) {
    case ElementType::kTransport:
      return "transport";
    case ElementType::kStorage:
      return "storage";
    case ElementType::kImportExport:
      return "import-export";
    case ElementType::kDataTransfer:
      return "drive";
  }
  return "unknown";
}

const char* TreeStateName(TreeState state) {
  switch (state) {
    case TreeState::kNone:
      return "none";
    case TreeState::kScanning:
      return "scanning";
    case TreeState::kValid:
      return "valid";
  }
  return "unknown";
}

Json TextOrNull(const std::string& text) {
  return text.empty() ? Json() : Json(text);
}

// Where a volume's medium is: "resident", "loaded", "exported", "removed".
std::string PlaceState(const Result<MediumPlace>& place,
                       const std::string& location) {
  if (place.ok()) return place->loaded ? "loaded" : "resident";
  return location.empty() ? "removed" : "exported";
}

// Volumes by the medium that carries them.
std::map<MediumId, VolumeRecord> RecordsByMedium(const Service& service) {
  std::map<MediumId, VolumeRecord> records;
  for (const std::shared_ptr<Volume>& volume : service.volumes().List()) {
    VolumeRecord record = volume->record();
    MediumId medium = record.medium;
    records.emplace(std::move(medium), std::move(record));
  }
  return records;
}

std::string VolumeOn(const std::map<MediumId, VolumeRecord>& records,
                     const MediumId& medium) {
  const auto it = records.find(medium);
  return it == records.end() ? "" : it->second.id;
}

uint64_t FreeBytes(const Service& service, VolumeIndex index) {
  const std::shared_ptr<Volume> volume = service.volumes().FindByIndex(index);
  return volume ? volume->Space().free_blocks * kSectorSize : 0;
}

Json RangeJson(const ElementRange& range) {
  return {{"first", range.first.value}, {"count", range.count}};
}

Table StatusTable(const Service& service) {
  const LibraryConfig& config = service.config();
  const ChangerIdentity changer = service.library().Identity();
  const ElementMap map = service.library().Elements();
  const std::vector<JobRecord> jobs = service.jobs().List();
  const auto active =
      std::count_if(jobs.begin(), jobs.end(),
                    [](const JobRecord& job) { return !JobEnded(job.state); });
  const ServiceHooks hooks = service.hooks();
  Table table;
  table.rows = {
      {"version", VELLUM_VERSION},
      {"library", config.directory},
      {"lib_num", config.lib_num},
      {"mount", TextOrNull(service.mount_point())},
      {"pid", getpid()},
      {"started", TimeJson(service.started())},
      {"changer",
       {{"vendor", changer.vendor},
        {"product", changer.product},
        {"revision", changer.revision},
        {"serial", changer.serial},
        {"device", changer.device}}},
      {"elements",
       {{"transport", RangeJson(map.transport)},
        {"storage", RangeJson(map.storage)},
        {"import_export", RangeJson(map.import_export)},
        {"data_transfer", RangeJson(map.data_transfer)}}},
      {"volumes", service.volumes().List().size()},
      {"media", service.library().Media().size()},
      {"drives_online", service.library().OnlineDrives()},
      {"waiting_requests", service.library().WaitingRequests()},
      {"parked_operations", service.volumes().parked()},
      {"active_jobs", active},
      {"volume_mounts", hooks.mounts ? hooks.mounts() : Json::array()}};
  return table;
}

Table ElementsTable(const Service& service) {
  const auto records = RecordsByMedium(service);
  std::map<uint16_t, MediumId> media;
  for (const MediumPlace& place : service.library().Media()) {
    media[place.element.value] = place.id;
  }
  Table table;
  table.columns = {
      {"address", "Element"},       {"type", "Type"},     {"full", "Full"},
      {"volume_tag", "VolumeTag"},  {"volume", "Volume"}, {"source", "Source"},
      {"accessible", "Accessible"}, {"note", "Note"}};
  for (const ElementStatus& element : service.library().ElementStatuses()) {
    const auto medium = media.find(element.address.value);
    table.rows.push_back(
        {{"address", element.address.value},
         {"type", ElementTypeName(element.type)},
         {"full", element.full},
         {"volume_tag", TextOrNull(element.volume_tag)},
         {"volume", medium == media.end()
                        ? Json()
                        : TextOrNull(VolumeOn(records, medium->second))},
         {"source", element.source ? Json(element.source->value) : Json()},
         {"accessible", element.accessible},
         {"exception", element.exception},
         {"note", TextOrNull(element.note)}});
  }
  return table;
}

Table DrivesTable(const Service& service) {
  const auto records = RecordsByMedium(service);
  Table table;
  table.columns = {{"address", "Drive"},     {"online", "Online"},
                   {"medium", "Medium"},     {"volume", "Volume"},
                   {"activity", "Activity"}, {"owners", "Owners"},
                   {"loads", "Loads"}};
  for (const DriveState& drive : service.library().Drives()) {
    table.rows.push_back(
        {{"address", drive.address.value},
         {"online", drive.online},
         {"medium", TextOrNull(drive.medium)},
         {"volume", TextOrNull(VolumeOn(records, drive.medium))},
         {"activity", drive.activity},
         {"owners", drive.owners},
         {"loads", drive.loads},
         {"vendor", drive.identity.vendor},
         {"product", drive.identity.product},
         {"revision", drive.identity.revision},
         {"serial", drive.identity.serial},
         {"device", drive.identity.device}});
  }
  return table;
}

// Why a medium that carries no volume of the catalog is no blank one, as far as
// anybody has looked; else "".
std::string Unusable(const Service& service, const MediumId& medium) {
  const Result<MediumNote> note = ReadMediumNote(service.catalog(), medium);
  if (!note.ok()) return "";
  if (!note->problem.empty()) return "DUPLICATE";
  return note->found == "foreign" ? "FOREIGN" : "";
}

Json MediumRow(const Service& service, const MediumId& medium,
               const Result<MediumPlace>& place, const VolumeRecord* record) {
  Json row;
  row["medium"] = medium;
  row["volume_tag"] = place.ok() ? TextOrNull(place->tag) : Json();
  row["element"] = place.ok() ? Json(place->element.value) : Json();
  row["home"] = place.ok() ? Json(place->home.value) : Json();
  row["state"] = PlaceState(place, record ? record->location : "");
  row["volume"] = record ? Json(record->id) : Json();
  row["role"] = record ? Json(RoleName(record->role)) : Json();
  row["volume_state"] = nullptr;
  if (record) {
    row["volume_state"] = SlotStateName(record->state);
  } else {
    row["volume_state"] = TextOrNull(Unusable(service, medium));
  }
  row["free_bytes"] = record ? Json(FreeBytes(service, record->index)) : Json();
  row["capacity_bytes"] =
      record ? Json(record->geometry.sectors * kSectorSize) : Json();
  row["location"] = record ? TextOrNull(record->location) : Json();
  return row;
}

// Why this is no backup to rely on, and what became of the last copy to it.
Json CopyError(const VolumeRecord& record, const JobRecord* job) {
  std::string text;
  if (record.state != udf::SlotState::kComplete) {
    text = SlotStateName(record.state);
    for (char& c : text) {
      if (c >= 'a' && c <= 'z') c = static_cast<char>(c - 'a' + 'A');
    }
  }
  // A copy that was cancelled did no harm to one that is complete.
  const bool told =
      job != nullptr && (job->state == JobState::kFailed ||
                         (job->state == JobState::kCancelled && !text.empty()));
  if (told) text += (text.empty() ? "" : ": ") + job->message;
  return TextOrNull(text);
}

Table MediaTable(const Service& service) {
  std::map<MediumId, VolumeRecord> records = RecordsByMedium(service);
  Table table;
  table.columns = {{"medium", "Medium"},
                   {"element", "Element"},
                   {"state", "State"},
                   {"volume", "Volume"},
                   {"role", "Role"},
                   {"volume_state", "VolumeState"},
                   {"free_bytes", "Free_Space"},
                   {"home", "Home"}};
  for (const MediumPlace& place : service.library().Media()) {
    const auto it = records.find(place.id);
    table.rows.push_back(MediumRow(
        service, place.id, place, it == records.end() ? nullptr : &it->second));
    if (it != records.end()) records.erase(it);
  }
  // What the catalog knows but the library does not hold is listed for ever.
  for (const auto& [medium, record] : records) {
    table.rows.push_back(MediumRow(service, medium,
                                   Error{Errc::kNoMedium, "not in the library"},
                                   &record));
  }
  return table;
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

Table CopiesTable(const Service& service) {
  const LibraryConfig& config = service.config();
  std::map<MediumId, VolumeRecord> records = RecordsByMedium(service);
  const std::map<std::string, JobRecord> jobs = LastCopies(service);
  const bool whole = config.copy_start == 0 && config.copy_end == 0;
  Table table;
  table.columns = {{"label", "Label"},       {"slot", "Slot"},
                   {"side", "Side"},         {"last_access", "LastAccess"},
                   {"status", "Status"},     {"error", "Error"},
                   {"magazine", "Magazine"}, {"lib_num", "LibNum"}};
  const auto add = [&](const MediumId& medium, const Result<MediumPlace>& place,
                       const VolumeRecord* record) {
    Json error;
    if (record) {
      const auto job = jobs.find(record->id);
      error = CopyError(*record, job == jobs.end() ? nullptr : &job->second);
    }
    std::string label = "--UNUSED--";
    if (record && !record->owner_id.empty()) {
      label = record->owner_id;
    } else if (const std::string unusable = Unusable(service, medium);
               !record && !unusable.empty()) {
      label = unusable;
    }
    table.rows.push_back(
        {{"label", label},
         {"slot", place.ok() ? Json(place->home.value) : Json()},
         {"side", nullptr},
         {"last_access", record ? TimeJson(record->copied) : Json()},
         {"status", PlaceState(place, record ? record->location : "")},
         {"error", error},
         {"magazine", nullptr},
         {"lib_num", config.lib_num},
         {"medium", medium},
         {"backup", record ? Json(record->id) : Json()},
         {"backup_state", record ? Json(SlotStateName(record->state)) : Json()},
         {"generation", record ? GenerationJson(record->generation) : Json()}});
  };
  for (const MediumPlace& place : service.library().Media()) {
    const auto it = records.find(place.id);
    const bool known = it != records.end();
    const bool backup = known && it->second.role == udf::Role::kBackup;
    const bool in_pool = !place.in_import_export &&
                         (whole || (place.home.value >= config.copy_start &&
                                    place.home.value <= config.copy_end));
    if (backup || (!known && in_pool)) {
      add(place.id, place, known ? &it->second : nullptr);
    }
    if (known) records.erase(it);
  }
  for (const auto& [medium, record] : records) {
    if (record.role != udf::Role::kBackup) continue;
    add(medium, Error{Errc::kNoMedium, "not in the library"}, &record);
  }
  return table;
}

void AddAlert(Table* table, const char* severity, std::string object,
              std::string message) {
  table->rows.push_back({{"severity", severity},
                         {"object", std::move(object)},
                         {"message", std::move(message)}});
}

Table AlertsTable(const Service& service) {
  Table table;
  table.columns = {
      {"severity", "Severity"}, {"object", "Object"}, {"message", "Message"}};
  for (const ElementStatus& element : service.library().ElementStatuses()) {
    if (!element.exception) continue;
    AddAlert(&table, "error", "element " + ToString(element.address),
             element.note.empty() ? "exception" : element.note);
  }
  for (const DriveState& drive : service.library().Drives()) {
    if (drive.online) continue;
    AddAlert(&table, "error", "drive " + ToString(drive.address), "offline");
  }
  const Status catalog = service.catalog().CheckWrite(0);
  if (!catalog.ok()) {
    AddAlert(&table, "error", "catalog", catalog.error().message);
  }
  const std::vector<std::shared_ptr<Volume>> volumes = service.volumes().List();
  if (volumes.empty()) {
    AddAlert(&table, "warning", "catalog",
             "the catalog knows no volumes: if media of this library hold "
             "some, `vellum inventory` reads them");
  }
  for (const std::shared_ptr<Volume>& volume : volumes) {
    const VolumeRecord record = volume->record();
    if (record.role == udf::Role::kPrimary) {
      const Status writable = volume->CheckWritable();
      if (!writable.ok()) {
        AddAlert(&table, "error", "volume " + record.id,
                 writable.error().message);
      }
    } else if (record.state == udf::SlotState::kIncomplete) {
      AddAlert(&table, "warning", "volume " + record.id,
               "the backup is incomplete");
    }
    if (record.location.empty() &&
        !service.library().FindMedium(record.medium).ok()) {
      AddAlert(&table, "warning", "volume " + record.id,
               fmt::format("medium {} is not in the library", record.medium));
    }
  }
  for (const MediumPlace& place : service.library().Media()) {
    if (service.volumes().FindByMedium(place.id)) continue;
    const Result<MediumNote> note = ReadMediumNote(service.catalog(), place.id);
    if (!note.ok()) {
      AddAlert(&table, "error", "medium " + place.id, note.error().message);
    } else if (!note->problem.empty()) {
      AddAlert(&table, "warning", "medium " + place.id, note->problem);
    }
  }
  for (const JobRecord& job : service.jobs().List()) {
    if (job.state != JobState::kFailed) continue;
    AddAlert(&table, "warning", fmt::format("job {}", job.id), job.message);
  }
  return table;
}

std::tm UtcOf(time_t seconds) {
  std::tm broken{};
  gmtime_r(&seconds, &broken);
  return broken;
}

}  // namespace

Json GenerationJson(const Generation& generation) {
  if (generation.lineage == 0) return nullptr;
  return {{"lineage", fmt::format("{:016x}", generation.lineage)},
          {"number", generation.number}};
}

Json TimeJson(const TimeSpec& time) {
  if (time.sec == 0 && time.nsec == 0) return nullptr;
  const std::tm t = UtcOf(time.sec);
  return fmt::format("{:04}-{:02}-{:02}T{:02}:{:02}:{:02}Z", t.tm_year + 1900,
                     t.tm_mon + 1, t.tm_mday, t.tm_hour, t.tm_min, t.tm_sec);
}

const char* RoleName(udf::Role role) {
  return role == udf::Role::kPrimary ? "primary" : "backup";
}

const char* SlotStateName(udf::SlotState state) {
  switch (state) {
    case udf::SlotState::kClean:
      return "clean";
    case udf::SlotState::kInUse:
      return "in-use";
    case udf::SlotState::kIncomplete:
      return "incomplete";
    case udf::SlotState::kComplete:
      return "complete";
    case udf::SlotState::kFormatted:
      return "formatted";
  }
  return "unknown";
}

Json VolumeInfo(const Service& service, const VolumeRecord& record) {
  const Result<MediumPlace> place = service.library().FindMedium(record.medium);
  const std::shared_ptr<Volume> volume =
      service.volumes().FindByIndex(record.index);
  Json info;
  info["volume"] = record.id;
  info["role"] = RoleName(record.role);
  info["state"] = SlotStateName(record.state);
  info["owner"] = TextOrNull(record.owner_id);
  info["generation"] = GenerationJson(record.generation);
  info["copied"] = TimeJson(record.copied);
  info["medium"] = record.medium;
  info["medium_state"] = PlaceState(place, record.location);
  info["element"] = place.ok() ? Json(place->element.value) : Json();
  info["home"] = place.ok() ? Json(place->home.value) : Json();
  info["location"] = TextOrNull(record.location);
  info["loaded"] = volume && service.volumes().loaded(*volume);
  info["uncommitted"] = volume && volume->dirty();
  const Status losing = volume ? volume->CheckNothingToLose() : Status::Ok();
  info["uncommitted_reason"] =
      losing.ok() ? Json() : Json(losing.error().message);
  info["threshold"] = record.threshold;
  info["capacity_bytes"] = record.geometry.sectors * kSectorSize;
  info["used_bytes"] = record.used_blocks * kSectorSize;
  info["free_bytes"] = FreeBytes(service, record.index);
  info["files"] = record.files;
  info["directories"] = record.directories;
  info["tree"] = TreeStateName(record.tree);
  info["medium_uuid"] = record.medium_uuid;
  info["format_uuid"] = record.format_uuid;
  return info;
}

Json FsckJson(const udf::FsckReport& report) {
  Json findings = Json::array();
  for (const udf::FsckFinding& finding : report.errors) {
    findings.push_back({{"sector", finding.sector}, {"text", finding.text}});
  }
  return {{"volume", report.slot.volume_id},
          {"clean", report.clean()},
          {"error_count", report.error_count},
          {"files", report.files},
          {"directories", report.directories},
          {"other", report.other},
          {"used_blocks", report.used_blocks},
          {"free_blocks", report.free_blocks},
          {"extents", report.extents},
          {"replay_pending", report.replay_pending},
          {"errors", std::move(findings)}};
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
  char host[256] = {};
  if (gethostname(host, sizeof(host) - 1) != 0) host[0] = '\0';
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
    const bool tracked =
        primary.role == udf::Role::kPrimary &&
        backup.state == udf::SlotState::kComplete &&
        backup.generation.lineage == primary.generation.lineage &&
        backup.generation.number >= primary.change_floor;
    if (!tracked && job == executing.end()) continue;
    Json row;
    row["server"] = host;
    row["transaction_disk"] = primary.id;
    row["backup_disk"] = backup.id;
    row["status"] = job != executing.end() ? "executing" : "tracking";
    row["execute"] = nullptr;
    row["update"] = nullptr;
    row["changed_bytes"] = nullptr;
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

Result<Table> BuildTable(const Service& service, size_t index) {
  switch (index) {
    case 0:
      return StatusTable(service);
    case 1:
      return ElementsTable(service);
    case 2:
      return DrivesTable(service);
    case 3:
      return MediaTable(service);
    case 4:
      return CopiesTable(service);
    case 5:
      return TrackingTable(service, std::nullopt);
    case 6:
      return HistoryTable(service, "");
    case 7:
      return JobsTable(service, std::nullopt);
    default:
      return AlertsTable(service);
  }
}

}  // namespace vellum
