// SPDX-License-Identifier: Apache-2.0
// One volume on a medium in memory, with a catalog in memory: no robot.
#pragma once

#include <gtest/gtest.h>

#include <memory>

#include "index/catalog.h"
#include "index/volume.h"
#include "media/udf/format.h"
#include "media/udf/fsck.h"
#include "tests/support/memory_medium.h"
#include "tests/support/status_matchers.h"

namespace vellum {

// The volume's record as a library would make it from what the medium says.
inline VolumeRecord RecordFor(const udf::ControlSlot& slot,
                              const udf::Geometry& geometry,
                              VolumeIndex index) {
  VolumeRecord record;
  record.index = index;
  record.id = slot.volume_id;
  record.medium = "M1";
  record.medium_uuid = slot.medium_uuid;
  record.format_uuid = slot.format_uuid;
  record.role = slot.role;
  record.state = slot.state;
  record.owner_id = slot.owner_id;
  record.owner_uuid = slot.owner_uuid;
  record.generation = slot.generation;
  record.threshold = slot.threshold;
  record.geometry = geometry;
  return record;
}
inline VolumeRecord RecordFor(Medium& medium, const udf::ControlSlot& slot,
                              VolumeIndex index) {
  return RecordFor(slot, udf::ReadDescription(medium)->geometry, index);
}

inline std::unique_ptr<Catalog> MemoryCatalog() {
  Catalog::Options options;
  options.in_memory = true;
  options.cache_bytes = 1 << 20;
  return std::move(*Catalog::Open("catalog", options));
}

// "" when the volume on the medium is clean, else the first findings.
inline std::string FsckText(Medium& medium) {
  const Result<udf::FsckReport> report = udf::CheckVolume(medium, {});
  if (!report.ok()) return report.error().ToString();
  std::string text;
  for (size_t i = 0; i < report->errors.size() && i < 5; ++i) {
    text += std::to_string(report->errors[i].sector) + ": " +
            report->errors[i].text + "\n";
  }
  return text;
}

}  // namespace vellum
