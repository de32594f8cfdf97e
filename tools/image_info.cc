// SPDX-License-Identifier: Apache-2.0
#include "tools/image_info.h"

#include <memory>
#include <utility>

#include "fs/image_tree.h"
#include "fs/tables.h"
#include "media/udf/control.h"
#include "media/udf/format.h"
#include "media/virtual_library.h"

namespace vellum {

namespace {

Result<Json> Describe(Medium& medium) {
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

}  // namespace

Result<Json> ImageInfo(const std::string& path) {
  ASSIGN_OR_RETURN(const std::unique_ptr<Medium> medium,
                   OpenImageFile(path, /*read_only=*/true));
  Result<Json> info = Describe(*medium);
  if (!info.ok()) return info.status().WithContext(path);
  return info;
}

Result<Json> FsckImage(const std::string& path,
                       const udf::FsckOptions& options) {
  ASSIGN_OR_RETURN(const UniqueFd lock, LockImage(path));
  ASSIGN_OR_RETURN(const std::unique_ptr<Medium> medium,
                   OpenImageFile(path, /*read_only=*/true));
  const Result<udf::FsckReport> report = udf::CheckVolume(*medium, options);
  if (!report.ok()) return report.status().WithContext(path);
  return FsckJson(*report);
}

}  // namespace vellum
