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
#include "copy/pool_book.h"
#include "copy/shelf.h"
#include "fs/alerts.h"
#include "fs/service.h"
#include "fs/table_parts.h"
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

std::string VolumeOn(const RecordMap& records, const MediumId& medium) {
  const auto it = records.find(medium);
  return it == records.end() ? "" : it->second.id;
}

uint64_t FreeBytes(const Service& service, const VolumeRecord& record) {
  const Result<MediumNote> note =
      ReadMediumNote(service.catalog(), record.medium);
  if (note.ok() && note->write_protected) return 0;
  const std::shared_ptr<Volume> volume =
      service.volumes().FindByIndex(record.index);
  return volume ? volume->Space().free_blocks * kSectorSize : 0;
}

}  // namespace

Json SideJson(const MediumPlace& place) {
  return place.two_sided() ? Json(std::string(1, place.side())) : Json();
}

namespace {

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
      {"online", service.library().online()},
      {"door_locked", service.changer_controls() != nullptr &&
                          service.changer_controls()->door_locked()},
      {"drives_online", service.library().OnlineDrives()},
      {"waiting_requests", service.library().WaitingRequests()},
      {"parked_operations", service.volumes().parked()},
      {"active_jobs", active},
      {"volume_mounts", hooks.mounts ? hooks.mounts() : Json::array()}};
  return table;
}

Table ElementsTable(const Service& service) {
  const auto records = RecordsByMedium(service);
  std::map<uint16_t, MediumPlace> media;
  for (const MediumPlace& place : service.library().Media()) {
    // Of a two-sided medium the side that a drive reads, or would.
    const Result<MediumPlace> up = service.library().MediumAt(place.element);
    if (up.ok()) media[place.element.value] = *up;
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
                        : TextOrNull(VolumeOn(records, medium->second.id))},
         {"side", medium == media.end() ? Json() : SideJson(medium->second)},
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
                   {"loads", "Loads"},       {"health", "Health"}};
  for (const DriveState& drive : service.library().Drives()) {
    table.rows.push_back(
        {{"address", drive.address.value},
         {"online", drive.online},
         {"problem", TextOrNull(drive.problem)},
         {"medium", TextOrNull(drive.medium)},
         {"volume", TextOrNull(VolumeOn(records, drive.medium))},
         {"activity", drive.activity},
         {"owners", drive.owners},
         {"loads", drive.loads},
         {"health", service.auxiliary().FlagNames(DriveObject(drive.address))},
         {"vendor", drive.identity.vendor},
         {"product", drive.identity.product},
         {"revision", drive.identity.revision},
         {"serial", drive.identity.serial},
         {"device", drive.identity.device}});
  }
  return table;
}

Json MediumRow(const Service& service, const MediumId& medium,
               const Result<MediumPlace>& place, const VolumeRecord* record) {
  Json row;
  row["medium"] = medium;
  row["volume_tag"] = place.ok() ? TextOrNull(place->tag) : Json();
  row["side"] = place.ok() ? SideJson(*place) : Json();
  row["element"] = place.ok() ? Json(place->element.value) : Json();
  row["home"] = place.ok() ? Json(place->home.value) : Json();
  row["state"] = MediumState(place, record ? record->location : "");
  row["volume"] = record ? Json(record->id) : Json();
  row["role"] = record ? Json(RoleName(record->role)) : Json();
  const std::string unusable = Unusable(service, medium);
  if (record == nullptr || unusable == "UNREADABLE" || unusable == "REPLACED") {
    row["volume_state"] = TextOrNull(unusable);
  } else {
    row["volume_state"] = SlotStateName(record->state);
  }
  row["free_bytes"] = record ? Json(FreeBytes(service, *record)) : Json();
  row["capacity_bytes"] =
      record ? Json(record->geometry.sectors * kSectorSize) : Json();
  row["location"] = record ? TextOrNull(record->location) : Json();
  row["health"] = service.auxiliary().FlagNames(medium);
  const Result<MediumNote> note = ReadMediumNote(service.catalog(), medium);
  row["class"] = nullptr;  // nobody has looked yet
  if (note.ok() && !note->found.empty()) {
    row["class"] = note->write_once ? "write-once" : "rewritable";
  }
  row["write_protected"] = note.ok() && note->write_protected;
  return row;
}

Table MediaTable(const Service& service) {
  RecordMap records = RecordsByMedium(service);
  Table table;
  table.columns = {{"medium", "Medium"},
                   {"element", "Element"},
                   {"state", "State"},
                   {"volume", "Volume"},
                   {"role", "Role"},
                   {"volume_state", "VolumeState"},
                   {"free_bytes", "Free_Space"},
                   {"class", "Class"},
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

std::tm UtcOf(time_t seconds) {
  std::tm broken{};
  gmtime_r(&seconds, &broken);
  return broken;
}

}  // namespace

Json TextOrNull(const std::string& text) {
  return text.empty() ? Json() : Json(text);
}

RecordMap RecordsByMedium(const Service& service) {
  RecordMap records;
  for (const std::shared_ptr<Volume>& volume : service.volumes().List()) {
    VolumeRecord record = volume->record();
    MediumId medium = record.medium;
    records.emplace(std::move(medium), std::move(record));
  }
  return records;
}

std::string Unusable(const Service& service, const MediumId& medium) {
  const Result<MediumNote> note = ReadMediumNote(service.catalog(), medium);
  if (!note.ok()) return "";
  if (!note->unreadable.empty()) return "UNREADABLE";
  if (!note->replaced.empty()) return "REPLACED";
  if (!note->problem.empty()) return "DUPLICATE";
  if (note->found == "foreign") return "FOREIGN";
  return note->write_protected ? "PROTECTED" : "";
}

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
    case udf::SlotState::kFiles:
      return "files";
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
  info["medium_state"] = MediumState(place, record.location);
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
  info["free_bytes"] = FreeBytes(service, record);
  info["files"] = record.files;
  info["directories"] = record.directories;
  info["tree"] = TreeStateName(record.tree);
  info["health"] = service.auxiliary().FlagNames(record.medium);
  const std::map<MediumId, MediumUsage> usage = service.auxiliary().Usage();
  const auto used = usage.find(record.medium);
  info["usage"] = used == usage.end() ? Json() : UsageJson(used->second);
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

Result<Table> BuildTable(const Service& service, size_t index) {
  using Builder = Result<Table> (*)(const Service&);
  // In the order of kTableNames.
  static constexpr std::array<Builder, kTableNames.size()> kBuilders = {
      [](const Service& s) -> Result<Table> { return StatusTable(s); },
      [](const Service& s) -> Result<Table> { return ElementsTable(s); },
      [](const Service& s) -> Result<Table> { return DrivesTable(s); },
      [](const Service& s) -> Result<Table> { return MediaTable(s); },
      CopiesTable,
      PoolTable,
      DevicesTable,
      [](const Service& s) { return TrackingTable(s, std::nullopt); },
      [](const Service& s) { return HistoryTable(s, ""); },
      [](const Service& s) -> Result<Table> {
        return JobsTable(s, std::nullopt);
      },
      AlertsTable,
      [](const Service& s) -> Result<Table> { return RequestsTable(s); },
      [](const Service& s) -> Result<Table> { return RunningTable(s); },
      QueueTable,
      StagesTable,
      UsageTable,
      HealthTable,
      FaultsTable,
      DoorTable};
  return kBuilders[index](service);
}

}  // namespace vellum
