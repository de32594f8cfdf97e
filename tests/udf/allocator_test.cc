// SPDX-License-Identifier: Apache-2.0
#include "media/udf/allocator.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <chrono>
#include <cstdlib>
#include <random>

#include "tests/support/memory_medium.h"
#include "tests/support/status_matchers.h"
#include "tests/udf/allocator_fixture.h"

namespace vellum::udf {
namespace {

TEST(AllocatorTest, ConstructorReadsTheBitmap) {
  Bytes bitmap = AllFree(4096);
  SetBitmap(&bitmap, {0, 100}, false);
  SetBitmap(&bitmap, {133, 1}, false);
  SetBitmap(&bitmap, {4095, 1}, false);
  const Allocator allocator(GeometryOf(4096), bitmap, 9);
  EXPECT_EQ(allocator.active(), 9u);
  EXPECT_EQ(allocator.total_blocks(), 4096u);
  EXPECT_EQ(allocator.used_blocks(), 102u);
  EXPECT_EQ(allocator.free_blocks(), 4096u - 102);
  EXPECT_EQ(allocator.LargestFreeRun(), 4095u - 134);
  EXPECT_TRUE(allocator.UsedInFrozen(99));
  EXPECT_FALSE(allocator.UsedInFrozen(100));
  EXPECT_EQ(allocator.FrozenBitmap(), bitmap);
}

TEST(AllocatorTest, AllocateTakesNearThenFirstFitThenLargest) {
  Allocator allocator = MakeAllocator(4096);
  // Free: [10,14) [100,140) [1000,1200) [3000,3050).
  UseAt(allocator, {0, 10});
  UseAt(allocator, {14, 86});
  UseAt(allocator, {140, 860});
  UseAt(allocator, {1200, 1800});
  UseAt(allocator, {3050, 1046});
  EXPECT_EQ(allocator.LargestFreeRun(), 200u);
  using Run = std::optional<BlockRun>;
  // At near, although short; in the middle of a run.
  EXPECT_EQ(allocator.Allocate(8, 2, 12), Run({12, 2}));
  EXPECT_EQ(allocator.Allocate(8, 8, 110), Run({110, 8}));
  // Nothing at near: the first fit behind.
  EXPECT_EQ(allocator.Allocate(30, 1, 500), Run({1000, 30}));
  EXPECT_EQ(allocator.Allocate(50, 1, 2000), Run({3000, 50}));
  // None behind: the first fit before.
  EXPECT_EQ(allocator.Allocate(20, 1, 3000), Run({118, 20}));
  // None fits: the largest.
  EXPECT_EQ(allocator.Allocate(500, 1, 0), Run({1030, 170}));
  EXPECT_EQ(allocator.Allocate(500, 11, 0), Run());
  EXPECT_EQ(allocator.Allocate(10, 10, 4095), Run({100, 10}));
  // A near outside the partition is no error.
  EXPECT_EQ(allocator.Allocate(2, 1, 1u << 30), Run({10, 2}));
}

TEST(AllocatorTest, RunsBeginAtPagesAndLongOnesAtRegions) {
  Allocator allocator = MakeAllocator(8192);
  UseAt(allocator, {0, 5});
  using Run = std::optional<BlockRun>;
  EXPECT_EQ(allocator.Allocate(1, 1, 0), Run({5, 1}));
  allocator.Unreserve({5, 1});
  EXPECT_EQ(allocator.Allocate(2, 2, 0), Run({6, 2}));
  EXPECT_EQ(allocator.Allocate(511, 32, 9), Run({10, 511}));
  EXPECT_EQ(allocator.Allocate(512, 32, 521), Run({544, 512}));
  EXPECT_EQ(allocator.Allocate(600, 32, 0), Run({1056, 600}));
  // What goes on goes on where it is.
  EXPECT_EQ(allocator.Allocate(4, 4, 1657, true), Run({1657, 4}));
  EXPECT_EQ(allocator.Allocate(600, 32, 1661, true), Run({1661, 600}));
  // The gaps are not lost.
  EXPECT_EQ(allocator.Allocate(1, 1, 5), Run({5, 1}));
  EXPECT_EQ(allocator.Allocate(22, 22, 521), Run({522, 22}));
}

TEST(AllocatorTest, AllocateAtIsAllOrNothing) {
  Allocator allocator = MakeAllocator(4096);
  EXPECT_TRUE(allocator.AllocateAt(50, 10));
  EXPECT_FALSE(allocator.AllocateAt(45, 6));
  EXPECT_FALSE(allocator.AllocateAt(59, 2));
  EXPECT_FALSE(allocator.AllocateAt(4090, 7));
  EXPECT_FALSE(allocator.AllocateAt(10, 0));
  EXPECT_TRUE(allocator.AllocateAt(60, 2));
  EXPECT_EQ(allocator.free_blocks(), 4096u - 12);
  allocator.Unreserve({50, 12});
  EXPECT_EQ(allocator.free_blocks(), 4096u);
  EXPECT_TRUE(allocator.AllocateAt(45, 20));
}

TEST(AllocatorTest, FreedBlocksWaitForTheDurableCommit) {
  Allocator allocator = MakeAllocator(1024, 5);
  UseAt(allocator, {0, 1024});
  Commit(allocator);  // 5
  EXPECT_EQ(allocator.active(), 6u);
  allocator.Free({100, 10});
  EXPECT_EQ(allocator.free_blocks(), 0u);
  EXPECT_EQ(allocator.deferred_blocks(), 10u);
  EXPECT_EQ(allocator.used_blocks(), 1014u);
  allocator.Freeze();  // 6
  EXPECT_FALSE(allocator.Allocate(1, 1, 100));
  allocator.Durable(5);
  EXPECT_FALSE(allocator.Allocate(1, 1, 100));
  allocator.Durable(6);
  EXPECT_EQ(allocator.deferred_blocks(), 0u);
  EXPECT_TRUE(allocator.AllocateAt(100, 10));
}

TEST(AllocatorTest, BlockUsedAndFreedInOneGenerationWaitsToo) {
  Allocator allocator = MakeAllocator(1024);
  UseAt(allocator, {0, 1024});
  allocator.Free({7, 1});
  EXPECT_FALSE(allocator.AllocateAt(7, 1));
  Commit(allocator);
  EXPECT_TRUE(allocator.AllocateAt(7, 1));
}

TEST(AllocatorTest, PinOnTheFrozenGenerationKeepsWhatItUses) {
  Allocator allocator = MakeAllocator(1024);
  UseAt(allocator, {0, 1024});
  Commit(allocator);        // 1
  allocator.Free({10, 1});  // in 2, before the pin: generation 1 uses it
  allocator.Pin(1);
  allocator.Free({11, 1});
  Commit(allocator);        // 2
  allocator.Free({12, 1});  // in 3
  Commit(allocator);        // 3
  EXPECT_EQ(allocator.free_blocks(), 0u);
  EXPECT_EQ(allocator.deferred_blocks(), 3u);
  allocator.Unpin(1);
  EXPECT_EQ(allocator.free_blocks(), 3u);
}

TEST(AllocatorTest, PinDoesNotKeepWhatWasFreedInItsGenerationOrBefore) {
  Allocator allocator = MakeAllocator(1024);
  UseAt(allocator, {0, 1024});
  Commit(allocator);        // 1
  allocator.Free({10, 1});  // in 2
  allocator.Freeze();       // 2
  allocator.Pin(2);
  allocator.Durable(2);
  EXPECT_TRUE(allocator.AllocateAt(10, 1));
  allocator.Unpin(2);
}

TEST(AllocatorTest, PinOnTheActiveGenerationKeepsWhatIsFreedLater) {
  Allocator allocator = MakeAllocator(1024);
  UseAt(allocator, {0, 1024});
  Commit(allocator);        // 1
  allocator.Free({10, 1});  // in 2, before the read begins
  allocator.Pin(2);
  allocator.Free({11, 1});  // in 2 as well, but the reader may be there
  Commit(allocator);        // 2
  EXPECT_TRUE(allocator.AllocateAt(10, 1));
  EXPECT_FALSE(allocator.AllocateAt(11, 1));
  // A second pin on that number keeps the first one's protection.
  allocator.Pin(2);
  allocator.Unpin(2);
  EXPECT_FALSE(allocator.AllocateAt(11, 1));
  allocator.Unpin(2);
  EXPECT_TRUE(allocator.AllocateAt(11, 1));
}

TEST(AllocatorTest, HeldBlocksAreFreeOnTheMediumButNotReusable) {
  Allocator allocator = MakeAllocator(1024);
  UseAt(allocator, {0, 1024});
  Commit(allocator);
  allocator.Hold({20, 5});
  EXPECT_EQ(allocator.used_blocks(), 1019u);
  Commit(allocator);
  EXPECT_FALSE(allocator.UsedInFrozen(20));
  EXPECT_TRUE(BitmapIsFree(allocator.FrozenBitmap(), 24));
  EXPECT_FALSE(allocator.Allocate(1, 1, 20));
  EXPECT_EQ(allocator.deferred_blocks(), 0u);
  allocator.ReleaseHeld({20, 5});
  EXPECT_EQ(allocator.deferred_blocks(), 5u);
  EXPECT_FALSE(allocator.Allocate(1, 1, 20));
  Commit(allocator);
  EXPECT_TRUE(allocator.AllocateAt(20, 5));
}

TEST(AllocatorTest, FreezeAnswersTheChangedSectors) {
  // Bits 0..16191 are in sector 0 (2024 bytes), 16192..32575 in sector 1.
  Allocator allocator = MakeAllocator(65536);
  EXPECT_TRUE(allocator.Freeze().empty());
  UseAt(allocator, {16191, 2});
  std::map<uint32_t, Sector> changed = allocator.Freeze();
  ASSERT_EQ(changed.size(), 2u);
  EXPECT_EQ(changed[0],
            EncodeBitmapSector(GeometryOf(65536), allocator.FrozenBitmap(), 0));
  EXPECT_EQ(changed[0][2047], std::byte{0x7F});
  EXPECT_EQ(changed[1][0], std::byte{0xFE});
  // Changed and changed back: nothing to write. Reserved: not on the medium.
  allocator.Free({16191, 1});
  allocator.Hold({16192, 1});
  UseAt(allocator, {40000, 1});
  ASSERT_TRUE(allocator.AllocateAt(20000, 5));
  allocator.Free({40000, 1});
  changed = allocator.Freeze();
  EXPECT_EQ(changed.size(), 2u);
  EXPECT_EQ(allocator.FrozenBitmap(), AllFree(65536));
}

TEST(AllocatorTest, FrozenStateStaysWhileTheActiveOneChanges) {
  Allocator allocator = MakeAllocator(1024);
  UseAt(allocator, {1, 1});
  EXPECT_FALSE(allocator.UsedInFrozen(1));
  allocator.Freeze();
  EXPECT_TRUE(allocator.UsedInFrozen(1));
  allocator.Free({1, 1});
  EXPECT_TRUE(allocator.UsedInFrozen(1));
  EXPECT_FALSE(BitmapIsFree(allocator.FrozenBitmap(), 1));
}

TEST(AllocatorTest, IcbsShareZonesThatDataAvoids) {
  Allocator allocator = MakeAllocator(4096);
  UseAt(allocator, {0, 40});
  // The unit of near_icb has free blocks: ICBs go there.
  EXPECT_EQ(allocator.AllocateIcb(39), 40u);
  EXPECT_EQ(allocator.AllocateIcb(39), 41u);
  // Data does not.
  const std::optional<BlockRun> data = allocator.Allocate(10, 1, 42);
  ASSERT_TRUE(data);
  EXPECT_EQ(data->block, 64u);
  EXPECT_EQ(allocator.free_blocks(), 4096u - 52);
  for (uint32_t block = 42; block < 64; ++block) {
    EXPECT_EQ(allocator.AllocateIcb(39), block);
  }
  // The unit is full: a new zone at the next free unit.
  EXPECT_EQ(allocator.AllocateIcb(39), 96u);
  // ... which is found again from a near of elsewhere.
  EXPECT_EQ(allocator.AllocateIcb(0), 97u);
}

TEST(AllocatorTest, FarZoneIsFilledBeforeAnotherIsBegun) {
  Allocator allocator = MakeAllocator(1u << 18);
  UseAt(allocator, {0, 1u << 17});
  for (uint32_t i = 0; i < 64; ++i) {
    EXPECT_EQ(allocator.AllocateIcb(0), (1u << 17) + i);
  }
}

TEST(AllocatorTest, ZonesAreGivenUpWhenSpaceRunsOut) {
  Allocator allocator = MakeAllocator(1024);
  ASSERT_TRUE(allocator.AllocateIcb(500));
  uint64_t data = 0;
  while (const auto run = allocator.Allocate(100, 1, 0)) data += run->count;
  EXPECT_EQ(data, 1023u);
  EXPECT_EQ(allocator.free_blocks(), 0u);
  EXPECT_FALSE(allocator.AllocateIcb(500));
}

TEST(AllocatorTest, ZoneBlocksCountAndGrowInPlace) {
  Allocator allocator = MakeAllocator(1024);
  ASSERT_EQ(allocator.AllocateIcb(0), 0u);
  EXPECT_EQ(allocator.free_blocks(), 1023u);
  EXPECT_TRUE(allocator.AllocateAt(1, 40));
  EXPECT_EQ(allocator.free_blocks(), 983u);
  EXPECT_FALSE(allocator.AllocateAt(30, 2));
  allocator.Unreserve({1, 40});
  EXPECT_EQ(allocator.free_blocks(), 1023u);
  // A zone that is all free again serves data.
  allocator.Unreserve({0, 1});
  EXPECT_EQ(allocator.LargestFreeRun(), 1024u);
}

TEST(AllocatorTest, IcbFallsBackToAnySingleBlock) {
  Allocator allocator = MakeAllocator(1024);
  for (uint32_t block = 0; block < 1024; block += 2) {
    UseAt(allocator, {block, 1});
  }
  // No whole unit is free anywhere; near's unit is used up first.
  std::set<uint32_t> got;
  for (int i = 0; i < 512; ++i) {
    const std::optional<uint32_t> block = allocator.AllocateIcb(64);
    ASSERT_TRUE(block);
    EXPECT_EQ(*block % 2, 1u);
    got.insert(*block);
  }
  EXPECT_EQ(got.size(), 512u);
  EXPECT_FALSE(allocator.AllocateIcb(64));
}

// A damaged bitmap, or files that share blocks.
TEST(AllocatorTest, FreeingWhatIsNotInUseIsDamage) {
  for (const bool hold : {false, true}) {
    Allocator allocator = MakeAllocator(1024);
    UseAt(allocator, {0, 10});
    EXPECT_OK(allocator.damage());
    const uint64_t used = allocator.used_blocks();
    if (hold) {
      allocator.Hold({9, 2});
    } else {
      allocator.Free({9, 2});
    }
    EXPECT_THAT(allocator.damage(), HasErrc(Errc::kCorruption));
    EXPECT_NE(allocator.damage().error().message.find("blocks 9 to 10"),
              std::string::npos);
    // From here on nothing changes.
    allocator.ReleaseHeld({9, 2});
    allocator.Free({0, 1});
    EXPECT_EQ(allocator.used_blocks(), used);
  }
}

TEST(AllocatorDeathTest, MisuseAborts) {
  Allocator allocator = MakeAllocator(1024);
  UseAt(allocator, {0, 10});
  EXPECT_DEATH(allocator.Use({20, 1}), "");
  EXPECT_DEATH(allocator.Unreserve({0, 1}), "");
  EXPECT_DEATH(allocator.Unpin(1), "");
  EXPECT_DEATH(allocator.Pin(7), "");
  EXPECT_DEATH(allocator.Durable(1), "");
}

TEST(SpaceBitmapTest, DescriptorComesBack) {
  const Geometry geometry = GeometryOf(65536);
  ASSERT_EQ(BitmapSectors(geometry), 5u);
  Bytes bitmap = AllFree(65536);
  SetBitmap(&bitmap, {3, 50000}, false);
  MemoryMedium medium(geometry.sectors);
  EXPECT_THAT(ReadBitmap(medium, geometry), HasErrc(Errc::kCorruption));
  for (uint32_t i = 0; i < 5; ++i) {
    ASSERT_OK(medium.Write(geometry.Sector(kBitmapBlock + i),
                           EncodeBitmapSector(geometry, bitmap, i)));
  }
  ASSERT_OK_AND_ASSIGN(const Bytes read, ReadBitmap(medium, geometry));
  EXPECT_EQ(read, bitmap);
  Geometry other = geometry;
  other.partition_blocks -= 32;
  EXPECT_THAT(ReadBitmap(medium, other), HasErrc(Errc::kCorruption));
}

}  // namespace
}  // namespace vellum::udf
