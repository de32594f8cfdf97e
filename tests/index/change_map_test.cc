// SPDX-License-Identifier: Apache-2.0
#include "index/change_map.h"

#include <gtest/gtest.h>

#include <map>
#include <memory>
#include <random>
#include <set>
#include <string>
#include <vector>

#include "tests/support/status_matchers.h"

namespace vellum {
namespace {

using testing::ElementsAre;
using testing::IsEmpty;
using Regions = RegionSet::Run;

class ChangeMapTest : public testing::Test {
 protected:
  void SetUp() override {
    Catalog::Options options;
    options.in_memory = true;
    ASSERT_OK_AND_ASSIGN(catalog_, Catalog::Open("change-map-test", options));
  }
  void Mark(VolumeIndex volume, const RegionSet& changed, uint64_t number) {
    CatalogBatch batch;
    ASSERT_OK(MarkChanged(*catalog_, volume, changed, number, &batch));
    ASSERT_OK(catalog_->Write(batch, Sync::kNo));
  }

  std::unique_ptr<Catalog> catalog_;
};

TEST(RegionSetTest, RunsAreCoalesced) {
  RegionSet set;
  EXPECT_TRUE(set.empty());
  set.InsertRange(10, 0);
  EXPECT_TRUE(set.empty());
  set.InsertRange(10, 5);
  set.InsertRange(20, 5);
  EXPECT_THAT(set.Runs(), ElementsAre(Regions{10, 5}, Regions{20, 5}));
  set.InsertRange(15, 5);  // exactly in between
  EXPECT_THAT(set.Runs(), ElementsAre(Regions{10, 15}));
  set.InsertRange(12, 2);  // inside
  set.Insert(9);           // adjacent in front
  set.Insert(25);          // adjacent behind
  EXPECT_THAT(set.Runs(), ElementsAre(Regions{9, 17}));
  set.InsertRange(0, 100);  // around
  EXPECT_THAT(set.Runs(), ElementsAre(Regions{0, 100}));
  EXPECT_EQ(set.count(), 100u);
}

TEST(RegionSetTest, V1_SectorsMarkTheirRegions) {
  RegionSet set;
  set.InsertSectors(31, 2);  // the last of region 0 and the first of region 1
  set.InsertSectors(96, 32);
  set.InsertSectors(200, 0);
  EXPECT_THAT(set.Runs(), ElementsAre(Regions{0, 2}, Regions{3, 1}));
}

TEST(RegionSetTest, AgreesWithASet) {
  std::mt19937 random(3);
  RegionSet set;
  std::set<uint64_t> model;
  for (int step = 0; step < 2000; ++step) {
    RegionSet other;
    for (int i = 0; i < 2; ++i) {
      const uint64_t first = random() % 5000;
      const uint64_t count = random() % 6;
      other.InsertRange(first, count);
      for (uint64_t r = first; r < first + count; ++r) model.insert(r);
    }
    set.Merge(other);
    if (step % 100 != 0) continue;
    EXPECT_EQ(set.count(), model.size());
    uint64_t previous_end = 0;
    for (const Regions& run : set.Runs()) {
      if (previous_end != 0) {
        EXPECT_GT(run.first, previous_end);
      }
      previous_end = run.first + run.count;
    }
    for (uint64_t r = 0; r < 5010; ++r) {
      ASSERT_EQ(set.Contains(r), model.count(r) == 1) << r;
    }
  }
}

TEST(ChunkTest, RoundTripAndSize) {
  EXPECT_EQ(EncodeChunk({}), "");
  EXPECT_EQ(EncodeChunk(std::vector<uint64_t>(kChunkRegions)), "");
  std::vector<uint64_t> numbers(kChunkRegions, 9);
  EXPECT_EQ(EncodeChunk(numbers).size(), 3u);  // one run
  EXPECT_EQ(*DecodeChunk(EncodeChunk(numbers)), numbers);
  numbers[0] = 0;
  numbers[100] = UINT64_MAX;
  for (size_t i = 200; i < kChunkRegions; ++i) numbers[i] = 0;
  EXPECT_EQ(*DecodeChunk(EncodeChunk(numbers)), numbers);
  EXPECT_EQ(DecodeChunk("")->size(), kChunkRegions);
}

TEST(ChunkTest, MalformedChunksAreCorruption) {
  EXPECT_THAT(DecodeChunk("\x05"), HasErrc(Errc::kCorruption));
  EXPECT_THAT(DecodeChunk(std::string("\0\x01", 2)),
              HasErrc(Errc::kCorruption));
  std::vector<uint64_t> numbers(kChunkRegions, 1);
  EXPECT_THAT(DecodeChunk(EncodeChunk(numbers) + "\x01\x01"),
              HasErrc(Errc::kCorruption));
}

TEST_F(ChangeMapTest, V1_BothEndsOfTheIntervalCount) {
  RegionSet changed;
  changed.Insert(300);
  Mark(1, changed, 5);
  EXPECT_THAT(ChangedBetween(*catalog_, 1, 5, 9)->Runs(), IsEmpty());
  EXPECT_THAT(ChangedBetween(*catalog_, 1, 4, 5)->Runs(),
              ElementsAre(Regions{300, 1}));
  EXPECT_THAT(ChangedBetween(*catalog_, 1, 0, 4)->Runs(), IsEmpty());
  EXPECT_THAT(ChangedBetween(*catalog_, 2, 0, 9)->Runs(), IsEmpty());
}

TEST_F(ChangeMapTest, D5_SnapshotKeepsItsMap) {
  RegionSet changed;
  changed.Insert(1);
  Mark(1, changed, 5);
  const auto snapshot = catalog_->Snapshot();
  Mark(1, changed, 6);
  EXPECT_THAT(ChangedBetween(*catalog_, 1, 0, 5)->Runs(), IsEmpty());
  EXPECT_THAT(ChangedBetween(*catalog_, 1, 0, 5, snapshot.get())->Runs(),
              ElementsAre(Regions{1, 1}));
}

TEST_F(ChangeMapTest, RegionsBeyondAnyMediumAreRefused) {
  RegionSet changed;
  changed.Insert(uint64_t{kChunkRegions} << 32);
  CatalogBatch batch;
  EXPECT_THAT(MarkChanged(*catalog_, 1, changed, 1, &batch),
              HasErrc(Errc::kInvalidArgument));
}

TEST_F(ChangeMapTest, MalformedChunkNamesItself) {
  CatalogBatch batch;
  batch.PutChangeChunk(1, 2, "\x05");
  ASSERT_OK(catalog_->Write(batch, Sync::kNo));
  EXPECT_THAT(ChangedBetween(*catalog_, 1, 0, 9),
              MessageHas("chunk 2 of volume index 1"));
  RegionSet changed;
  changed.Insert(2 * kChunkRegions);
  CatalogBatch marks;
  EXPECT_THAT(MarkChanged(*catalog_, 1, changed, 1, &marks),
              HasErrc(Errc::kCorruption));
}

TEST_F(ChangeMapTest, V1_AgreesWithANaiveMap) {
  std::mt19937 random(11);
  std::map<uint64_t, uint64_t> model;  // region -> number
  for (uint64_t number = 1; number <= 300; ++number) {
    RegionSet changed;
    for (uint32_t i = random() % 5; i < 5; ++i) {
      const uint64_t first = random() % 2000;
      const uint64_t count = random() % (i == 0 ? 600 : 20);
      changed.InsertRange(first, count);
      for (uint64_t r = first; r < first + count; ++r) model[r] = number;
    }
    Mark(1, changed, number);
    if (number % 10 != 0) continue;
    const uint64_t since = random() % number;
    const uint64_t upto = since + random() % (number - since + 1);
    RegionSet expected;
    for (const auto& [region, last] : model) {
      if (last > since && last <= upto) expected.Insert(region);
    }
    ASSERT_OK_AND_ASSIGN(const auto changed_between,
                         ChangedBetween(*catalog_, 1, since, upto));
    ASSERT_EQ(changed_between.Runs(), expected.Runs());
  }
}

}  // namespace
}  // namespace vellum
