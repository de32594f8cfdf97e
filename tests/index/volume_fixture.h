// SPDX-License-Identifier: Apache-2.0
// One volume on a medium in memory, with a catalog in memory: no robot.
#pragma once

#include <gtest/gtest.h>

#include <memory>
#include <span>
#include <string>
#include <utility>

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

class VolumeTest : public testing::Test {
 protected:
  // A new volume, and a catalog that knows it. Not loaded.
  void Format(uint64_t sectors, VolumeOptions options = {},
              uint32_t atomic_sectors = 1) {
    MemoryMediumOptions medium_options;
    medium_options.sectors = sectors;
    medium_options.atomic_sectors = atomic_sectors;
    medium_ = std::make_unique<MemoryMedium>(medium_options);
    catalog_ = MemoryCatalog();
    udf::FormatOptions format;
    format.volume_id = "TEST";
    const Result<udf::ControlSlot> slot = udf::FormatVolume(*medium_, format);
    ASSERT_OK(slot);
    volume_ = std::make_unique<Volume>(
        catalog_.get(), RecordFor(*medium_, *slot, 1), std::move(options));
  }
  // The same, loaded.
  void Make(uint64_t sectors, VolumeOptions options = {},
            uint32_t atomic_sectors = 1) {
    Format(sectors, std::move(options), atomic_sectors);
    ASSERT_OK(volume_->Attach(medium_.get()));
  }

  Attr MakeFile(const std::string& name, const std::string& content) {
    const Result<Attr> attr = volume_->Create(volume_->root(), name, {});
    EXPECT_OK(attr);
    if (!content.empty()) {
      EXPECT_OK(volume_->Write(attr->ino, 0, AsBytes(content)));
    }
    return *volume_->GetAttr(attr->ino);
  }

  static ConstByteSpan AsBytes(const std::string& text) {
    return std::as_bytes(std::span(text.data(), text.size()));
  }

  std::string ReadAll(InodeNumber ino) {
    const Result<Attr> attr = volume_->GetAttr(ino);
    EXPECT_OK(attr);
    std::string out(attr->attr.size, '\0');
    const Result<size_t> n =
        volume_->Read(ino, 0, std::as_writable_bytes(std::span(out)));
    EXPECT_OK(n);
    return out;
  }

  std::unique_ptr<MemoryMedium> medium_;
  std::unique_ptr<Catalog> catalog_;
  std::unique_ptr<Volume> volume_;
};

}  // namespace vellum
