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
#include <functional>
#include <string>

#include "tests/index/crash_run.h"
#include "tests/support/environment.h"

namespace vellum {
namespace {

constexpr int kCrashesPerRun = 100;

using Crash = std::string (CrashRun::*)(std::mt19937_64&);

struct Crashed {
  uint64_t crashes = 0;
  uint64_t tags = 0;  // bytes that CrashUnreplayed told apart
  CrashFacts facts;
};

// Crashes runs of many seeds; a testing failure when one is not good.
Crashed CrashMany(const CrashRunOptions& options, uint64_t crashes,
                  Crash crash) {
  const uint64_t only = FromEnvironment("VELLUM_SEED", 0);
  crashes = FromEnvironment("VELLUM_CRASHES", crashes);
  Crashed done;
  uint64_t seed = only != 0 ? only : 1;
  for (; done.crashes < crashes; ++seed) {
    CrashRun run(seed, options);
    run.Operate();
    EXPECT_FALSE(testing::Test::HasFailure()) << "seed " << seed;
    std::mt19937_64 rng(seed);
    for (int i = 0; i < kCrashesPerRun && done.crashes < crashes; ++i) {
      if (testing::Test::HasFailure()) return done;
      const std::string result = (run.*crash)(rng);
      EXPECT_TRUE(CrashRun::Good(result)) << result;
      ++done.crashes;
    }
    done.tags += run.tags_seen();
    done.facts.Add(run.facts());
    if (only != 0) break;
  }
  fmt::print("{} crashes of seeds {} to {}, none lost anything; {}\n",
             done.crashes, only != 0 ? only : 1, only != 0 ? only : seed - 1,
             done.facts.ToString());
  return done;
}

// One seed alone need not have met everything.
bool AllSeeds() {
  return FromEnvironment("VELLUM_SEED", 0) == 0 &&
         FromEnvironment("VELLUM_CRASHES", 5000) >= 500;
}

TEST(VolumeCrashTest, X1_EveryCrashLeavesOneGeneration) {
  const CrashFacts met = CrashMany({}, 5000, &CrashRun::Crash).facts;
  if (!AllSeeds()) return;
  EXPECT_GT(met.spilled, 0u);
  EXPECT_GT(met.larger_than_ring, 0u);
  EXPECT_GT(met.wraps, 0u);
  EXPECT_GT(met.fsyncs, 0u);
  EXPECT_GT(met.accompanied, 0u);
  EXPECT_GT(met.fuzz.fragmented, 0u);
  EXPECT_GT(met.fuzz.chain_cut, 0u);
  EXPECT_GT(met.fuzz.chain_grown, 0u);
  EXPECT_GT(met.fuzz.chain_overwritten, 0u);
  EXPECT_GT(met.fuzz.grown_out, 0u);
  EXPECT_GT(met.new_descriptors, 0u);
  EXPECT_GT(met.changed_descriptors, 0u);
  EXPECT_GT(met.found.chains, 0u);
  EXPECT_GT(met.found.longest, 1u);
  EXPECT_GT(met.found.sparse, 0u);
  EXPECT_GT(met.found.in_entry, 0u);
  EXPECT_GT(met.one_flush, 0u);
  EXPECT_LT(met.one_flush, met.commits);
  EXPECT_GT(met.applied, 0u);
  EXPECT_GT(met.noted, 0u);
  EXPECT_GT(met.rescanned, 0u);
  EXPECT_GT(met.by_volume, met.applied + met.noted + met.rescanned);
}

TEST(VolumeCrashTest, ADestroyedUnitCostsNothing) {
  const CrashFacts met =
      CrashMany({.atomic_sectors = 32}, 1500, &CrashRun::Crash).facts;
  if (!AllSeeds()) return;
  EXPECT_GT(met.spilled, 0u);
  EXPECT_GT(met.larger_than_ring, 0u);
  EXPECT_GT(met.wraps, 0u);
  EXPECT_GT(met.changed_descriptors, 0u);
}

TEST(VolumeCrashTest, ADestroyedSmallUnitCostsNothing) {
  CrashMany({.atomic_sectors = 16}, 500, &CrashRun::Crash);
}

TEST(VolumeCrashTest, OtherReadersNeverSeeContentOfAnotherFile) {
  EXPECT_GT(CrashMany({}, 1000, &CrashRun::CrashUnreplayed).tags, 0u);
  EXPECT_GT(
      CrashMany({.atomic_sectors = 32}, 1000, &CrashRun::CrashUnreplayed).tags,
      0u);
}

// ------------------------------------------------------- negative controls

// The harness must be able to fail: each of these breaks one rule, and every
// one of a hundred runs must show it. Several may be tried on one run.
constexpr uint64_t kRuns = 100;
constexpr int kTries = 300;
// A run in which nothing has needed the rule yet goes on, so many times at
// most.
constexpr int kLengths = 20;

class Control {
 public:
  Control(const char* what, Crash crash) : what_(what), crash_(crash) {}

  void Try(CrashRun* run, uint64_t seed) {
    std::mt19937_64 rng(seed);
    ++runs_;
    for (int length = 1; length <= kLengths; ++length) {
      for (int i = 0; i < kTries; ++i) {
        if (CrashRun::Good((run->*crash_)(rng))) continue;
        ++caught_;
        longer_ += length > 1 ? 1 : 0;
        return;
      }
      run->Operate();
      ASSERT_FALSE(testing::Test::HasFailure()) << "seed " << seed;
    }
    missed_ += fmt::format(" {}", seed);
  }
  void Expect() const {
    fmt::print("{}: {} of {} seeds caught, {} of them in a longer run{}{}\n",
               what_, caught_, runs_, longer_, missed_.empty() ? "" : "; not",
               missed_);
    EXPECT_EQ(caught_, runs_);
  }

 private:
  const char* const what_;
  const Crash crash_;
  uint64_t runs_ = 0;
  uint64_t caught_ = 0;
  uint64_t longer_ = 0;
  std::string missed_;
};

void ForEachRun(CrashRunOptions options,
                const std::function<void(CrashRun*, uint64_t)>& visit) {
  options.operations = 200;
  options.plain = true;
  for (const uint64_t seed : Seeds(kRuns)) {
    CrashRun run(seed, options);
    run.Operate();
    ASSERT_FALSE(testing::Test::HasFailure()) << "seed " << seed;
    visit(&run, seed);
  }
}

TEST(VolumeCrashTest, ReusingFreedBlocksAtOnceIsCaught) {
  Control lost("blocks reused at once, replayed", &CrashRun::Crash);
  Control shown("blocks reused at once, not replayed",
                &CrashRun::CrashUnreplayed);
  ForEachRun({.broken = Break::kReuse}, [&](CrashRun* run, uint64_t seed) {
    lost.Try(run, seed);
    shown.Try(run, seed);
  });
  lost.Expect();
  shown.Expect();
}

TEST(VolumeCrashTest, WaitersAndRecoveriesThatBreakTheRulesAreCaught) {
  Control replay("not replayed", &CrashRun::Crash);
  Control flush("replayed without the flush before", &CrashRun::Crash);
  Control fsync("fsync answered before the record was flushed",
                &CrashRun::Crash);
  ForEachRun({}, [&](CrashRun* run, uint64_t seed) {
    run->SetBroken(Break::kNoReplay);
    replay.Try(run, seed);
    run->SetBroken(Break::kNoFlush);
    flush.Try(run, seed);
    run->SetBroken(Break::kEarlyFsync);
    fsync.Try(run, seed);
  });
  replay.Expect();
  flush.Expect();
  fsync.Expect();
}

TEST(VolumeCrashTest, RecordsWithoutAFlushBeforeThatLackWhatItWasForAreCaught) {
  const auto caught = [](const char* what, Break rule) {
    Control control(what, &CrashRun::Crash);
    ForEachRun({.broken = rule},
               [&](CrashRun* run, uint64_t seed) { control.Try(run, seed); });
    control.Expect();
  };
  caught("one flush, without what is in place", Break::kNoBehind);
  caught("one flush, without its data", Break::kNoData);
}

TEST(VolumeCrashTest, WritingSharedUnitsDirectlyIsCaught) {
  Control units("shared units written directly", &CrashRun::Crash);
  ForEachRun({.broken = Break::kSharedUnits, .atomic_sectors = 32},
             [&](CrashRun* run, uint64_t seed) { units.Try(run, seed); });
  units.Expect();
}

}  // namespace
}  // namespace vellum
