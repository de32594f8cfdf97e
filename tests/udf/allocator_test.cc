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

namespace vellum::udf {
namespace {

Geometry GeometryOf(uint32_t blocks) {
  Geometry geometry;
  geometry.sectors = uint64_t{blocks} + 4096;
  geometry.partition_first = 2048;
  geometry.partition_blocks = blocks;
  geometry.bitmap_blocks = BitmapSectors(geometry);
  return geometry;
}

Bytes AllFree(uint32_t blocks) { return Bytes(blocks / 8, std::byte{0xFF}); }

Allocator MakeAllocator(uint32_t blocks, uint64_t active = 1) {
  return Allocator(GeometryOf(blocks), AllFree(blocks), active);
}

// Reserves and uses exactly this run.
void UseAt(Allocator& allocator, BlockRun run) {
  ASSERT_TRUE(allocator.AllocateAt(run.block, run.count));
  allocator.Use(run);
}

void Commit(Allocator& allocator) {
  const uint64_t number = allocator.active();
  allocator.Freeze();
  allocator.Durable(number);
}

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

// --- Against a model that keeps one state per block ------------------------

uint64_t SeedFromEnvironment(uint64_t fallback) {
  const char* text = std::getenv("VELLUM_SEED");
  return text != nullptr ? std::strtoull(text, nullptr, 0) : fallback;
}

class Model {
 public:
  enum State : uint8_t { kFree, kReserved, kUsed, kFreed, kHeld };
  explicit Model(uint32_t blocks)
      : state_(blocks), generation_(blocks), order_(blocks) {
    counts_[kFree] = blocks;
  }

  uint32_t size() const { return static_cast<uint32_t>(state_.size()); }
  State At(uint32_t block) const { return state_[block]; }
  void Set(BlockRun run, State state) {
    for (uint32_t i = 0; i < run.count; ++i) {
      Change(run.block + i, state);
      generation_[run.block + i] = active;
      order_[run.block + i] = now;
    }
    ++now;
  }
  uint64_t Count(State state) const { return counts_[state]; }
  uint32_t RunAt(uint32_t block, uint32_t limit) const {
    uint32_t count = 0;
    while (count < limit && block + count < size() &&
           state_[block + count] == kFree) {
      ++count;
    }
    return count;
  }
  uint32_t Longest() const {
    uint32_t best = 0;
    for (uint32_t b = 0; b < size(); ++b) {
      const uint32_t run = RunAt(b, size());
      best = std::max(best, run);
      b += run;
    }
    return best;
  }
  std::optional<BlockRun> Allocate(uint32_t want, uint32_t min,
                                   uint32_t near) const {
    if (RunAt(near, want) >= min) return BlockRun{near, RunAt(near, want)};
    for (uint32_t i = 0; i < size(); ++i) {
      const uint32_t b = i < size() - near ? near + i : i - (size() - near);
      if (RunAt(b, want) == want) return BlockRun{b, want};
    }
    const uint32_t longest = Longest();
    if (longest < min) return std::nullopt;
    for (uint32_t b = 0;; ++b) {
      if (RunAt(b, longest) == longest) return BlockRun{b, longest};
    }
  }
  // A random run of blocks in `state`, of at most `limit`.
  std::optional<BlockRun> Pick(State state, uint32_t limit,
                               std::mt19937_64& rng) const {
    const uint32_t start = static_cast<uint32_t>(rng() % size());
    for (uint32_t i = 0; i < size(); ++i) {
      const uint32_t b = (start + i) % size();
      if (state_[b] != state) continue;
      uint32_t count = 1;
      while (count < limit && b + count < size() &&
             state_[b + count] == state) {
        ++count;
      }
      return BlockRun{b, count};
    }
    return std::nullopt;
  }

  struct PinModel {
    uint64_t count = 0;
    bool on_active = false;
    uint64_t order = 0;
  };
  void Pin(uint64_t number) {
    PinModel& pin = pins[number];
    if (pin.count++ == 0) {
      pin.on_active = number == active;
      pin.order = now++;
    }
  }
  void Unpin(uint64_t number) {
    if (--pins[number].count == 0) pins.erase(number);
    Reclaim();
  }
  void Reclaim() {
    for (uint32_t b = 0; b < size(); ++b) {
      if (state_[b] != kFreed || generation_[b] > durable) continue;
      const bool pinned =
          std::any_of(pins.begin(), pins.end(), [&](const auto& entry) {
            return entry.second.on_active ? order_[b] > entry.second.order
                                          : generation_[b] > entry.first;
          });
      if (!pinned) Change(b, kFree);
    }
  }
  Bytes Bitmap() const {
    Bytes bitmap = AllFree(size());
    for (uint32_t b = 0; b < size(); ++b) {
      if (state_[b] == kUsed) SetBitmap(&bitmap, {b, 1}, false);
    }
    return bitmap;
  }

  uint64_t active = 1;
  uint64_t durable = 0;
  uint64_t now = 1;
  std::map<uint64_t, PinModel> pins;

 private:
  void Change(uint32_t block, State state) {
    --counts_[state_[block]];
    ++counts_[state];
    state_[block] = state;
  }

  std::array<uint64_t, 5> counts_{};
  std::vector<State> state_;
  std::vector<uint64_t> generation_;
  std::vector<uint64_t> order_;
};

// `icbs`: zones make the choice of blocks the allocator's own; without them
// every answer is compared with the model's.
void RunAgainstModel(uint64_t seed, bool icbs) {
  SCOPED_TRACE("VELLUM_SEED=" + std::to_string(seed));
  constexpr uint32_t kBlocks = 20480;  // bitmap in two sectors
  std::mt19937_64 rng(seed);
  const Geometry geometry = GeometryOf(kBlocks);
  // Most of it is used, so that space is tight and runs are short; the bits
  // around the border of the sectors are in play.
  Bytes start(kBlocks / 8, std::byte{0});
  Model model(kBlocks);
  model.Set({0, kBlocks}, Model::kUsed);
  for (const BlockRun run :
       {BlockRun{0, 96}, BlockRun{15900, 600}, BlockRun{20000, 368}}) {
    SetBitmap(&start, run, true);
    model.Set(run, Model::kFree);
  }
  Allocator allocator(geometry, start, 1);
  Bytes medium = start;
  const auto size = [&rng] {
    return static_cast<uint32_t>(rng() % 8 == 0 ? rng() % 200 + 1
                                                : rng() % 6 + 1);
  };
  const auto in_play = [&] {
    const uint32_t starts[] = {0, 15900, 20000};
    const uint32_t counts[] = {96, 600, 368};
    const size_t i = rng() % 3;
    return static_cast<uint32_t>(starts[i] + rng() % counts[i]);
  };
  const auto check_taken = [&](BlockRun run) {
    for (uint32_t i = 0; i < run.count; ++i) {
      ASSERT_EQ(model.At(run.block + i), Model::kFree) << run.block + i;
    }
    model.Set(run, Model::kReserved);
  };
  for (int step = 0; step < 2500 && !testing::Test::HasFatalFailure(); ++step) {
    switch (rng() % 13) {
      case 0:
      case 1:
      case 2: {
        const uint32_t want = size();
        const uint32_t min = static_cast<uint32_t>(rng() % want + 1);
        const uint32_t near = in_play();
        const std::optional<BlockRun> expected =
            model.Allocate(want, min, near);
        const std::optional<BlockRun> run = allocator.Allocate(want, min, near);
        if (!icbs) {
          ASSERT_EQ(run, expected);
        } else {
          ASSERT_EQ(run.has_value(), expected.has_value());
        }
        if (run) {
          ASSERT_GE(run->count, min);
          ASSERT_LE(run->count, want);
          check_taken(*run);
        }
        break;
      }
      case 3: {
        const BlockRun run{in_play(), size()};
        const bool fits = run.block + uint64_t{run.count} <= kBlocks &&
                          model.RunAt(run.block, run.count) == run.count;
        ASSERT_EQ(allocator.AllocateAt(run.block, run.count), fits);
        if (fits) check_taken(run);
        break;
      }
      case 4: {
        if (!icbs) break;
        const std::optional<uint32_t> block = allocator.AllocateIcb(in_play());
        ASSERT_EQ(block.has_value(), model.Count(Model::kFree) > 0);
        if (block) check_taken({*block, 1});
        break;
      }
      case 5:
        if (const auto run = model.Pick(Model::kReserved, size(), rng)) {
          allocator.Unreserve(*run);
          model.Set(*run, Model::kFree);
        }
        break;
      case 6:
      case 7:
        if (const auto run = model.Pick(Model::kReserved, size(), rng)) {
          allocator.Use(*run);
          model.Set(*run, Model::kUsed);
        }
        break;
      case 8: {
        // Only what was in play: the rest stays used.
        const uint32_t block = in_play();
        if (model.At(block) == Model::kUsed) {
          allocator.Free({block, 1});
          model.Set({block, 1}, Model::kFreed);
        }
        break;
      }
      case 9: {
        const uint32_t block = in_play();
        if (model.At(block) == Model::kUsed && rng() % 4 == 0) {
          allocator.Hold({block, 1});
          model.Set({block, 1}, Model::kHeld);
        } else if (const auto run = model.Pick(Model::kHeld, 3, rng)) {
          allocator.ReleaseHeld(*run);
          model.Set(*run, Model::kFreed);
        }
        break;
      }
      case 10: {
        const std::map<uint32_t, Sector> changed = allocator.Freeze();
        const Bytes expected = model.Bitmap();
        for (uint32_t s = 0; s < BitmapSectors(geometry); ++s) {
          const Sector old = EncodeBitmapSector(geometry, medium, s);
          const Sector now = EncodeBitmapSector(geometry, expected, s);
          ASSERT_EQ(changed.count(s) != 0, old != now) << "sector " << s;
          if (old != now) {
            ASSERT_EQ(changed.at(s), now);
          }
        }
        medium = expected;
        ASSERT_EQ(allocator.FrozenBitmap(), expected);
        ++model.active;
        ++model.now;
        if (rng() % 4 != 0) {
          model.durable = model.active - 1;
          allocator.Durable(model.durable);
          model.Reclaim();
        }
        break;
      }
      case 11:
        if (model.pins.size() < 3) {
          const uint64_t number = model.active - rng() % 2;
          allocator.Pin(number);
          model.Pin(number);
        }
        break;
      case 12:
        if (!model.pins.empty()) {
          auto pin = model.pins.begin();
          std::advance(pin, static_cast<ptrdiff_t>(rng() % model.pins.size()));
          const uint64_t number = pin->first;
          allocator.Unpin(number);
          model.Unpin(number);
        }
        break;
    }
    ASSERT_EQ(allocator.active(), model.active);
    ASSERT_EQ(allocator.free_blocks(), model.Count(Model::kFree)) << step;
    ASSERT_EQ(allocator.used_blocks(), model.Count(Model::kUsed)) << step;
    ASSERT_EQ(allocator.deferred_blocks(), model.Count(Model::kFreed)) << step;
    if (step % 8 == 0) {
      if (!icbs) {
        ASSERT_EQ(allocator.LargestFreeRun(), model.Longest()) << step;
      }
      ASSERT_LE(allocator.LargestFreeRun(), model.Longest()) << step;
    }
  }
  // Everything that counts as free can be handed out.
  uint64_t drained = 0;
  const uint64_t free = allocator.free_blocks();
  while (const auto run = allocator.Allocate(64, 1, 0)) {
    check_taken(*run);
    drained += run->count;
  }
  EXPECT_EQ(drained, free);
}

TEST(AllocatorModelTest, DataOnlyAnswersEqualTheModels) {
  for (uint64_t i = 0; i < 6; ++i) {
    RunAgainstModel(SeedFromEnvironment(100 + i), false);
    if (HasFatalFailure()) return;
  }
}

TEST(AllocatorModelTest, WithIcbZonesEveryStateEqualsTheModels) {
  for (uint64_t i = 0; i < 6; ++i) {
    RunAgainstModel(SeedFromEnvironment(200 + i), true);
    if (HasFatalFailure()) return;
  }
}

// A search that walks the bitmap would take minutes here.
TEST(AllocatorSpeedTest, TwelveMillionBlocks) {
  constexpr uint32_t kBlocks = 12u << 20;
  const auto begin = std::chrono::steady_clock::now();
  // The first half is a chequerboard, and only 1 MiB runs are free behind it
  // but for the last 64 MiB.
  Bytes bitmap = AllFree(kBlocks);
  std::fill_n(bitmap.begin(), kBlocks / 16, std::byte{0x55});
  for (uint32_t b = kBlocks / 2; b < kBlocks - 32768; b += 513) {
    SetBitmap(&bitmap, {b, 1}, false);
  }
  SetBitmap(&bitmap, {kBlocks - 32769, 1}, false);
  Allocator allocator(GeometryOf(kBlocks), bitmap, 1);
  for (int i = 0; i < 100'000; ++i) {
    const auto one = allocator.Allocate(1, 1, kBlocks / 4);
    ASSERT_TRUE(one);
    allocator.Use(*one);
    if (i % 2 == 0) allocator.Free(*one);
    ASSERT_TRUE(allocator.AllocateIcb(kBlocks / 3));
    const auto run = allocator.Allocate(512, 512, 0);
    ASSERT_TRUE(run);
    allocator.Unreserve(*run);
    if (i % 10'000 == 0) {
      allocator.Freeze();
      allocator.Durable(allocator.active() - 1);
    }
    if (i % 5 != 0) continue;
    const auto large = allocator.Allocate(32768, 32768, 0);
    ASSERT_TRUE(large);
    ASSERT_EQ(large->block, kBlocks - 32768);
    allocator.Unreserve(*large);
    ASSERT_EQ(allocator.LargestFreeRun(), 32768u);
  }
  const std::chrono::duration<double> took =
      std::chrono::steady_clock::now() - begin;
  EXPECT_LT(took.count(), 30.0);
}

}  // namespace
}  // namespace vellum::udf
