// SPDX-License-Identifier: Apache-2.0
#include "fs/medium_info.h"

#include <cstdint>
#include <map>
#include <string>
#include <utility>
#include <vector>

#include "fs/tables.h"
#include "media/udf/control.h"
#include "media/udf/format.h"

namespace vellum {
namespace {

// What the control log says about what is on a backup.
struct Contents {
  std::string method;  // "image", "incremental", "files"
  // The newest result of each directory that was copied file by file.
  std::map<std::string, Json> directories;
  Json files_copy;  // the last copy by file: job, state
};

void Follow(const Json& entry, const TimeSpec& time, Contents* contents) {
  const std::string event = entry.value("event", "");
  if (event == "copy" && entry.value("success", false)) {
    // All of the backup was brought to one generation.
    *contents = Contents();
    const std::string method = entry.value("method", "");
    contents->method = method == "full" ? "image" : method;
  } else if (event == "files") {
    contents->method = "files";
    const std::string state = entry.value("state", "");
    contents->files_copy = {
        {"job", entry.value("job", uint64_t{0})},
        // One that has not said how it ended was broken off.
        {"state", state == "started" ? "incomplete" : state},
        {"time", TimeJson(time)}};
  } else if (event == "directories" && entry.contains("results")) {
    for (const Json& result : entry["results"]) {
      if (!result.is_object()) continue;
      Json row = result;
      row["job"] = entry.value("job", uint64_t{0});
      row["time"] = TimeJson(time);
      contents->directories[result.value("path", "")] = std::move(row);
    }
  }
}

bool IsTime(const Json& value) {
  return value.is_array() && value.size() == 2 &&
         value[0].is_number_integer() && value[1].is_number_unsigned() &&
         value[1].get<uint64_t>() < 1'000'000'000;
}

// What a copy noted (copy/backup_medium.h), as the control tree says times and
// generations. Anything else that the log holds is shown as it stands there.
Json NoteJson(const Json& entry) {
  if (!entry.is_object()) return entry;
  Json shown = entry;
  for (const char* key : {"started", "ended", "since"}) {
    const auto time = entry.find(key);
    if (time == entry.end() || !IsTime(*time)) continue;
    shown[key] =
        TimeJson({(*time)[0].get<int64_t>(), (*time)[1].get<uint32_t>()});
  }
  const auto lineage = entry.find("lineage");
  const auto number = entry.find("generation");
  if (lineage != entry.end() && lineage->is_number_unsigned() &&
      number != entry.end() && number->is_number_unsigned()) {
    shown.erase("lineage");
    shown["generation"] =
        GenerationJson({lineage->get<uint64_t>(), number->get<uint64_t>()});
  }
  return shown;
}

}  // namespace

Result<Json> DescribeMedium(Medium& medium) {
  ASSIGN_OR_RETURN(const udf::ControlSlot slot, udf::ReadControlSlot(medium));
  Json info = {
      {"volume", slot.volume_id},
      {"role", RoleName(slot.role)},
      {"state", SlotStateName(slot.state)},
      {"generation", GenerationJson(slot.generation)},
      {"threshold", slot.threshold},
      {"medium_uuid", slot.medium_uuid},
      {"format_uuid", slot.format_uuid},
      {"written", TimeJson(slot.time)},
  };
  if (slot.role == udf::Role::kBackup) info["owner"] = slot.owner_id;
  // A backup that is being written, or was broken off, has no descriptors.
  const Result<udf::VolumeDescription> description =
      udf::ReadDescription(medium);
  if (!description.ok()) {
    if (slot.state != udf::SlotState::kIncomplete) return description.error();
    info["log"] = Json::array();
    return info;
  }
  const udf::Geometry& geometry = description->geometry;
  info["sectors"] = geometry.sectors;
  info["partition_first"] = geometry.partition_first;
  info["partition_blocks"] = geometry.partition_blocks;
  ASSIGN_OR_RETURN(const std::vector<udf::LogEntry> log,
                   udf::ReadControlLog(medium, geometry));
  Json entries = Json::array();
  Contents contents;
  for (const udf::LogEntry& entry : log) {
    const Json parsed = Json::parse(entry.text, nullptr, false);
    try {
      if (parsed.is_object()) Follow(parsed, entry.time, &contents);
    } catch (const Json::exception&) {
      // No entry of ours: it is shown as it is.
    }
    entries.push_back({{"time", TimeJson(entry.time)},
                       {"entry", parsed.is_discarded() ? Json(entry.text)
                                                       : NoteJson(parsed)}});
  }
  info["log"] = std::move(entries);
  if (slot.role == udf::Role::kBackup) {
    if (slot.state == udf::SlotState::kFiles) contents.method = "files";
    info["method"] = contents.method.empty() ? Json() : Json(contents.method);
    Json directories = Json::array();
    for (auto& [path, row] : contents.directories) {
      directories.push_back(std::move(row));
    }
    info["directories"] = std::move(directories);
    info["files_copy"] = contents.files_copy;
  }
  return info;
}

}  // namespace vellum
