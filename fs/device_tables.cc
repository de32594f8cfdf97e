// SPDX-License-Identifier: Apache-2.0
// Tables of what waits for drives, how media were used, the health of media and
// drives, and what is done to a virtual library by hand.
#include <fmt/format.h>

#include <map>

#include "copy/stages.h"
#include "fs/service.h"
#include "fs/table_parts.h"
#include "fs/tables.h"
#include "media/health_flags.h"
#include "media/virtual_controls.h"

namespace vellum {
namespace {

Json Seconds(const std::optional<std::chrono::milliseconds>& time) {
  if (!time) return nullptr;
  return static_cast<double>(time->count()) / 1000;
}

}  // namespace

Json UsageJson(const MediumUsage& usage) {
  return {{"loads", usage.loads},
          {"load_errors", usage.load_errors},
          {"bytes_read", usage.bytes_read},
          {"bytes_written", usage.bytes_written},
          {"read_errors", usage.read_errors},
          {"write_errors", usage.write_errors},
          {"first_used", TimeJson(usage.first_used)},
          {"last_used", TimeJson(usage.last_used)}};
}

Result<Table> UsageTable(const Service& service) {
  const RecordMap records = RecordsByMedium(service);
  Table table;
  table.columns = {{"medium", "Medium"},
                   {"volume", "Volume"},
                   {"loads", "Loads"},
                   {"bytes_read", "Read"},
                   {"bytes_written", "Written"},
                   {"load_errors", "LoadErrors"},
                   {"read_errors", "ReadErrors"},
                   {"write_errors", "WriteErrors"},
                   {"first_used", "First"},
                   {"last_used", "Last"}};
  std::map<MediumId, MediumUsage> usage = service.auxiliary().Usage();
  for (const MediumPlace& place : service.library().Media()) usage[place.id];
  for (const auto& [medium, used] : usage) {
    Json row = UsageJson(used);
    const auto it = records.find(medium);
    row["medium"] = medium;
    row["volume"] = it == records.end() ? Json() : Json(it->second.id);
    table.rows.push_back(std::move(row));
  }
  return table;
}

Result<Table> HealthTable(const Service& service) {
  const RecordMap records = RecordsByMedium(service);
  Table table;
  table.columns = {{"object", "Object"},     {"volume", "Volume"},
                   {"flag", "Flag"},         {"name", "Name"},
                   {"severity", "Severity"}, {"set_by", "SetBy"},
                   {"since", "Since"},       {"note", "Note"}};
  for (const SetHealthFlag& set : service.auxiliary().Flags()) {
    const HealthFlag& flag = HealthFlagOf(set.number);
    const auto it = records.find(set.object);
    table.rows.push_back(
        {{"object", set.object},
         {"volume", it == records.end() ? Json() : Json(it->second.id)},
         {"flag", flag.number},
         {"name", flag.name},
         {"severity", FlagSeverityName(flag.severity)},
         {"meaning", flag.meaning},
         {"set_by", set.by_operator ? "operator" : "system"},
         {"since", TimeJson(set.since)},
         {"note", TextOrNull(set.note)}});
  }
  return table;
}

Result<Table> QueueTable(const Service& service) {
  Table table;
  table.columns = {{"position", "Position"},
                   {"medium", "Medium"},
                   {"volume", "Volume"},
                   {"priority", "Priority"},
                   {"operations", "Operations"},
                   {"waited_seconds", "Waited"},
                   {"estimate_seconds", "Estimate"},
                   {"owner", "For"}};
  for (const QueuedRequest& request : service.library().Queue()) {
    for (const MediumId& medium : request.media) {
      const std::shared_ptr<Volume> volume =
          service.volumes().FindByMedium(medium);
      table.rows.push_back(
          {{"request", request.id},
           {"position", request.position},
           {"state", request.position == 0 ? "loading" : "waiting"},
           {"medium", medium},
           {"volume", volume ? Json(volume->id()) : Json()},
           {"priority", request.priority == LeasePriority::kForeground
                            ? "foreground"
                            : "copy"},
           {"owner", request.owner},
           {"operations", volume ? service.volumes().parked(*volume) : 0},
           {"waited_seconds", Seconds(request.waited)},
           {"estimate_seconds", Seconds(request.estimate)}});
    }
  }
  return table;
}

Json StageJson(const StageRecord& stage) {
  const double elapsed = static_cast<double>(stage.elapsed.count()) / 1000;
  Json row = {
      {"id", stage.id},
      {"state", StageStateName(stage.state)},
      {"files", stage.files},
      {"files_done", stage.files_done},
      {"files_failed", stage.files_failed},
      {"bytes", stage.bytes},
      {"bytes_done", stage.bytes_done},
      {"volumes", stage.volumes},
      {"volumes_done", stage.volumes_done},
      {"reading", stage.reading},
      {"reading_seconds",
       static_cast<double>(stage.reading_time.count()) / 1000},
      {"elapsed_seconds", elapsed},
      {"percent",
       stage.bytes == 0 ? Json() : Json(stage.bytes_done * 100 / stage.bytes)},
      {"bytes_per_second", nullptr},
      {"remaining_seconds", nullptr},
      {"started", TimeJson(stage.started)},
      {"ended", TimeJson(stage.ended)}};
  if (elapsed > 0 && stage.bytes_done > 0) {
    const double rate = static_cast<double>(stage.bytes_done) / elapsed;
    row["bytes_per_second"] = static_cast<uint64_t>(rate);
    if (stage.state == StageState::kRunning &&
        stage.bytes >= stage.bytes_done) {
      row["remaining_seconds"] = static_cast<uint64_t>(
          static_cast<double>(stage.bytes - stage.bytes_done) / rate);
    }
  }
  return row;
}

Result<Table> StagesTable(const Service& service) {
  Table table;
  table.columns = {{"id", "Stage"},
                   {"state", "State"},
                   {"files_done", "Done"},
                   {"files_failed", "Failed"},
                   {"files", "Files"},
                   {"volumes_done", "VolumesDone"},
                   {"volumes", "Volumes"},
                   {"percent", "Percent"},
                   {"reading", "Reading"},
                   {"bytes_per_second", "Bytes/s"},
                   {"remaining_seconds", "Remaining"}};
  for (const StageRecord& stage : service.stages().List()) {
    table.rows.push_back(StageJson(stage));
  }
  return table;
}

Result<Table> FaultsTable(const Service& service) {
  Table table;
  table.columns = {
      {"kind", "Fault"}, {"object", "Object"}, {"detail", "Detail"}};
  if (service.virtual_controls() == nullptr) return table;
  for (const FaultRow& fault : service.virtual_controls()->faults()->List()) {
    table.rows.push_back({{"kind", fault.kind},
                          {"object", fault.object},
                          {"detail", fault.detail}});
  }
  return table;
}

Result<Table> DoorTable(const Service& service) {
  const RecordMap records = RecordsByMedium(service);
  const auto volume_on = [&records](const MediumId& medium) {
    const auto it = records.find(medium);
    return it == records.end() ? Json() : Json(it->second.id);
  };
  Table table;
  table.columns = {
      {"element", "Element"}, {"medium", "Medium"}, {"volume", "Volume"}};
  const ElementRange doors = service.library().Elements().import_export;
  for (uint32_t i = 0; i < doors.count; ++i) {
    const ElementAddress element{static_cast<uint16_t>(doors.first.value + i)};
    const Result<MediumPlace> place = service.library().MediumAt(element);
    table.rows.push_back(
        {{"element", element.value},
         {"medium", place.ok() ? Json(place->id) : Json()},
         {"volume", place.ok() ? volume_on(place->id) : Json()}});
  }
  if (service.virtual_controls() == nullptr) return table;
  ASSIGN_OR_RETURN(const std::vector<VolumeTag> outside,
                   service.virtual_controls()->Outside());
  for (const VolumeTag& tag : outside) {
    table.rows.push_back(
        {{"element", nullptr}, {"medium", tag}, {"volume", volume_on(tag)}});
  }
  return table;
}

}  // namespace vellum
