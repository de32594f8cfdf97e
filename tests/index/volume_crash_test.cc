// SPDX-License-Identifier: Apache-2.0
// Crash simulation of whole volumes (label fault). Random operations run on a
// medium that records every write and flush; then the program is killed or the
// power goes at any of them, with what was not flushed kept, lost, reordered or
// torn at 512 bytes; on media with atomic units, the unit that was being
// written is destroyed as well. After recovery the tree must be exactly that of
// the generation that the medium says, at least the last one that a Sync
// promised, and fsck clean.
//
// VELLUM_CRASHES=N crashes for each test, over all seeds; VELLUM_SEED=S runs
// that seed alone.
#include <fmt/format.h>
#include <gtest/gtest.h>

#include <cstdlib>

#include "tests/index/crash_run.h"

namespace vellum {
namespace {

constexpr int kCrashesPerRun = 100;

uint64_t Environment(const char* name, uint64_t otherwise) {
  const char* value = std::getenv(name);
  return value == nullptr ? otherwise : std::strtoull(value, nullptr, 10);
}

using Crash = std::string (CrashRun::*)(std::mt19937_64&);

// Crashes runs of many seeds; a testing failure when one is not good. Answers
// the bytes that CrashUnreplayed told apart.
uint64_t CrashMany(const CrashRunOptions& options, uint64_t crashes,
                   Crash crash) {
  const uint64_t only = Environment("VELLUM_SEED", 0);
  crashes = Environment("VELLUM_CRASHES", crashes);
  uint64_t done = 0;
  uint64_t tags = 0;
  for (uint64_t seed = only != 0 ? only : 1; done < crashes; ++seed) {
    CrashRun run(seed, options);
    run.Operate();
    EXPECT_FALSE(testing::Test::HasFailure()) << "seed " << seed;
    std::mt19937_64 rng(seed);
    for (int i = 0; i < kCrashesPerRun && done < crashes; ++i, ++done) {
      const std::string result = (run.*crash)(rng);
      EXPECT_TRUE(CrashRun::Good(result)) << result;
      if (testing::Test::HasFailure()) return tags;
    }
    tags += run.tags_seen();
    if (only != 0) break;
  }
  fmt::print("{} crashes, none lost anything\n", done);
  return tags;
}

TEST(VolumeCrashTest, X1_EveryCrashLeavesOneGeneration) {
  CrashMany({}, 5000, &CrashRun::Crash);
}

TEST(VolumeCrashTest, ADestroyedUnitCostsNothing) {
  CrashMany({.atomic_sectors = 32}, 1500, &CrashRun::Crash);
}

TEST(VolumeCrashTest, ADestroyedSmallUnitCostsNothing) {
  CrashMany({.atomic_sectors = 16}, 500, &CrashRun::Crash);
}

TEST(VolumeCrashTest, OtherReadersNeverSeeContentOfAnotherFile) {
  EXPECT_GT(CrashMany({}, 1000, &CrashRun::CrashUnreplayed), 0u);
  EXPECT_GT(CrashMany({.atomic_sectors = 32}, 1000, &CrashRun::CrashUnreplayed),
            0u);
}

// The harness must be able to fail: each of these breaks one rule. Answers the
// number of runs in which it showed.
int Caught(const CrashRunOptions& options, int runs, Crash crash) {
  int caught = 0;
  for (int seed = 1; seed <= runs; ++seed) {
    CrashRun run(static_cast<uint64_t>(seed), options);
    run.Operate();
    std::mt19937_64 rng(static_cast<uint64_t>(seed));
    for (int i = 0; i < 300; ++i) {
      if (!CrashRun::Good((run.*crash)(rng))) {
        ++caught;
        break;
      }
    }
  }
  return caught;
}

TEST(VolumeCrashTest, ReusingFreedBlocksAtOnceIsCaught) {
  // Not every seed happens to reuse what a crash then needs.
  EXPECT_GE(Caught({.broken = Break::kReuse}, 8, &CrashRun::Crash), 6);
}

TEST(VolumeCrashTest, ReusingFreedBlocksAtOnceShowsContentOfOthers) {
  EXPECT_GE(Caught({.broken = Break::kReuse}, 8, &CrashRun::CrashUnreplayed),
            6);
}

TEST(VolumeCrashTest, NotReplayingIsCaught) {
  EXPECT_EQ(Caught({.broken = Break::kNoReplay}, 8, &CrashRun::Crash), 8);
}

TEST(VolumeCrashTest, ReplayingWithoutTheFlushBeforeIsCaught) {
  EXPECT_GE(Caught({.broken = Break::kNoFlush}, 8, &CrashRun::Crash), 6);
}

TEST(VolumeCrashTest, WritingSharedUnitsDirectlyIsCaught) {
  EXPECT_EQ(Caught({.broken = Break::kSharedUnits, .atomic_sectors = 32}, 8,
                   &CrashRun::Crash),
            8);
}

}  // namespace
}  // namespace vellum
