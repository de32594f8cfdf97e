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

inline VolumeRecord RecordFor(Medium& medium, const udf::ControlSlot& slot,
                              VolumeIndex index) {
  VolumeRecord record;
  record.index = index;
  record.id = slot.volume_id;
  record.medium = "M1";
  record.medium_uuid = slot.medium_uuid;
  record.format_uuid = slot.format_uuid;
  record.role = slot.role;
  record.state = slot.state;
  record.generation = slot.generation;
  record.threshold = slot.threshold;
  record.geometry = udf::ReadDescription(medium)->geometry;
  return record;
}

inline std::unique_ptr<Catalog> MemoryCatalog() {
  Catalog::Options options;
  options.in_memory = true;
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
