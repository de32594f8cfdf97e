// SPDX-License-Identifier: Apache-2.0
// A ring on a medium in memory, and records for it.
#pragma once

#include <gtest/gtest.h>

#include <memory>
#include <random>

#include "media/udf/journal.h"
#include "tests/support/memory_medium.h"
#include "tests/support/status_matchers.h"

namespace vellum::udf {

inline std::shared_ptr<const Sector> Filled(uint64_t seed) {
  auto sector = std::make_shared<Sector>();
  std::mt19937_64 rng(seed);
  for (std::byte& b : *sector) b = static_cast<std::byte>(rng());
  return sector;
}

inline Sector LvidOf(uint64_t number) {
  Lvid lvid;
  lvid.next_unique_id = 16 + number;
  lvid.time = {1'700'000'000, 0};
  return EncodeLvid(lvid);
}

class JournalTest : public testing::Test {
 protected:
  JournalTest() : medium_(8192) {
    geometry_ = ComputeGeometry(8192).value();
    slot_.format_uuid = NewUuid();
    slot_.medium_uuid = NewUuid();
    slot_.volume_id = "V1";
    slot_.epoch = 3;
    slot_.generation = {NewLineage(), 10};
    slot_.lvid_crc = Crc32c(LvidOf(10));
    EXPECT_OK(medium_.Write(kLvidSector, LvidOf(10)));
  }

  // A record of `number` that changes the LVID and `images` blocks.
  Record MakeRecord(uint64_t number, size_t images) {
    Record record;
    record.header.format_uuid = slot_.format_uuid;
    record.header.epoch = slot_.epoch;
    record.header.generation = {slot_.generation.lineage, number};
    record.header.role = Role::kBackup;
    record.header.owner_id = "OWNER-1.A_23";
    record.header.lvid_before = Crc32c(LvidOf(number - 1));
    record.header.lvid_after = Crc32c(LvidOf(number));
    record.images[kLvidSector] = std::make_shared<Sector>(LvidOf(number));
    for (size_t i = 0; i + 1 < images; ++i) {
      record.images[geometry_.Sector(static_cast<uint32_t>(100 + 3 * i))] =
          Filled(number * 1000 + i);
    }
    return record;
  }

  void ExpectNewest(Medium& medium, const Record& want) {
    ASSERT_OK_AND_ASSIGN(const ScanResult scan,
                         ScanRing(medium, geometry_, slot_));
    ExpectNewest(scan, want);
  }
  static void ExpectNewest(const ScanResult& scan, const Record& want) {
    ASSERT_TRUE(scan.newest.has_value());
    const RecordHeader& got = scan.newest->header;
    EXPECT_EQ(got.format_uuid, want.header.format_uuid);
    EXPECT_EQ(got.epoch, want.header.epoch);
    EXPECT_EQ(got.sequence, want.header.sequence);
    EXPECT_EQ(got.generation, want.header.generation);
    EXPECT_EQ(got.role, want.header.role);
    EXPECT_EQ(got.owner_id, want.header.owner_id);
    EXPECT_EQ(got.lvid_before, want.header.lvid_before);
    EXPECT_EQ(got.lvid_after, want.header.lvid_after);
    EXPECT_EQ(got.lvid_oldest, want.header.lvid_oldest);
    EXPECT_EQ(scan.newest->note, want.note);
    EXPECT_EQ(got.crc, want.header.crc);
    ASSERT_EQ(scan.newest->images.size(), want.images.size());
    for (const auto& [sector, image] : want.images) {
      ASSERT_EQ(scan.newest->images.count(sector), 1u) << sector;
      EXPECT_EQ(*scan.newest->images.at(sector), *image) << sector;
    }
  }

  Journal NewJournal(Medium* medium) {
    return Journal(medium, geometry_, 1, geometry_.ring_first);
  }

  MemoryMedium medium_;
  Geometry geometry_;
  ControlSlot slot_;
};

}  // namespace vellum::udf
