// SPDX-License-Identifier: Apache-2.0
#include "fs/medium_info.h"

#include <utility>
#include <vector>

#include "fs/tables.h"
#include "media/udf/control.h"
#include "media/udf/format.h"

namespace vellum {

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
  for (const udf::LogEntry& entry : log) {
    Json parsed = Json::parse(entry.text, nullptr, false);
    entries.push_back({{"time", TimeJson(entry.time)},
                       {"entry", parsed.is_discarded() ? Json(entry.text)
                                                       : std::move(parsed)}});
  }
  info["log"] = std::move(entries);
  return info;
}

}  // namespace vellum
