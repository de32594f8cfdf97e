// SPDX-License-Identifier: Apache-2.0
// The allocator against a plain model of it, and its speed.
#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <chrono>
#include <cstdlib>
#include <random>

#include "media/udf/allocator.h"
#include "tests/support/environment.h"
#include "tests/support/memory_medium.h"
#include "tests/support/status_matchers.h"
#include "tests/udf/allocator_fixture.h"

namespace vellum::udf {
namespace {

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
    // The partition begins at a page.
    const uint32_t align = want >= 2 ? 2 : 1;
    const auto up = [align](uint32_t b) {
      return (b + align - 1) / align * align;
    };
    const auto find = [this](uint32_t from, uint32_t count) {
      while (from < size() && RunAt(from, count) < count) ++from;
      return from;
    };
    const uint32_t at = up(near);
    if (at < size() && RunAt(at, want) >= min) {
      return BlockRun{at, RunAt(at, want)};
    }
    for (const uint32_t from : {near, 0u}) {
      for (const uint32_t room : {want, want + align - 1}) {
        const uint32_t b = up(find(from, room));
        if (b < size() && RunAt(b, want) == want) return BlockRun{b, want};
      }
    }
    for (const uint32_t from : {near, 0u}) {
      const uint32_t b = find(from, want);
      if (b < size()) return BlockRun{b, want};
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
    RunAgainstModel(FromEnvironment("VELLUM_SEED", 100 + i), false);
    if (HasFatalFailure()) return;
  }
}

TEST(AllocatorModelTest, WithIcbZonesEveryStateEqualsTheModels) {
  for (uint64_t i = 0; i < 6; ++i) {
    RunAgainstModel(FromEnvironment("VELLUM_SEED", 200 + i), true);
    if (HasFatalFailure()) return;
  }
}

// How long a number of allocations takes on a volume of so many blocks.
double SecondsOfAllocations(uint32_t blocks) {
  // The first half is a chequerboard, and only 1 MiB runs are free behind it
  // but for the last 64 MiB.
  Bytes bitmap = AllFree(blocks);
  std::fill_n(bitmap.begin(), blocks / 16, std::byte{0x55});
  for (uint32_t b = blocks / 2; b < blocks - 32768; b += 513) {
    SetBitmap(&bitmap, {b, 1}, false);
  }
  SetBitmap(&bitmap, {blocks - 32769, 1}, false);
  Allocator allocator(GeometryOf(blocks), bitmap, 1);
  const auto begin = std::chrono::steady_clock::now();
  for (int i = 0; i < 20'000; ++i) {
    const auto one = allocator.Allocate(1, 1, blocks / 4);
    VELLUM_CHECK(one.has_value());
    allocator.Use(*one);
    if (i % 2 == 0) allocator.Free(*one);
    VELLUM_CHECK(allocator.AllocateIcb(blocks / 3).has_value());
    const auto run = allocator.Allocate(512, 512, 0);
    VELLUM_CHECK(run.has_value());
    allocator.Unreserve(*run);
    if (i % 5 != 0) continue;
    const auto large = allocator.Allocate(32768, 32768, 0);
    VELLUM_CHECK(large.has_value() && large->block == blocks - 32768);
    allocator.Unreserve(*large);
    VELLUM_CHECK(allocator.LargestFreeRun() == 32768);
  }
  const std::chrono::duration<double> took =
      std::chrono::steady_clock::now() - begin;
  return took.count();
}

// A search that walks the bitmap would take 16 times as long on a volume of 16
// times the size; one that knows the free runs hardly notices.
TEST(AllocatorSpeedTest, SearchesDoNotGrowWithTheVolume) {
  const double small = SecondsOfAllocations(768u << 10);
  const double large = SecondsOfAllocations(12u << 20);
  EXPECT_LT(large / small, 8);
}

}  // namespace
}  // namespace vellum::udf
