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
#include <gmock/gmock.h>
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
  uint64_t tags = 0;  // bytes that CrashUnreplayed told apart,
  uint64_t names = 0;
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
    done.names += run.names_seen();
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
  if (FromEnvironment("VELLUM_CRASHES", 5000) >= 5000) {
    EXPECT_GT(met.fsyncs_beside, 0u);  // fourteen
  }
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
  for (const uint32_t atomic : {1u, 32u}) {
    const Crashed seen =
        CrashMany({.atomic_sectors = atomic}, 1000, &CrashRun::CrashUnreplayed);
    EXPECT_GT(seen.tags, 0u);
    EXPECT_GT(seen.names, 0u);
  }
}

// ------------------------------------------------------- negative controls

// The harness must be able to fail: each of these breaks one rule, and every
// one of a hundred runs must show it, by what that rule is there for, while the
// same run without the break is good. Several may be tried on one run.
constexpr uint64_t kRuns = 100;
constexpr int kTries = 300;
constexpr int kGoodTries = 5;  // of the run that breaks nothing
// A run in which nothing has needed the rule yet goes on, so many times at
// most.
constexpr int kLengths = 20;

// What shows it: regular expressions of what a crash answers.
constexpr char kWrongTree[] =
    ": generation [0-9]+( although [0-9]+ was promised|: "
    "(type|attributes|content|size|target|xattrs|node|unexpected name|hard "
    "link|fsck|CORRUPTION))";
constexpr char kForeignContent[] =
    "shows (content|'.*') of another one|leads to another file";

class Control {
 public:
  Control(const char* what, Break rule, const std::string& symptom,
          Crash crash = &CrashRun::Crash)
      : what_(what), rule_(rule), symptom_(symptom), crash_(crash) {}

  // `whole`: the same run without the break, or `run` itself, if the break is
  // not of the volume.
  void Try(CrashRun* run, CrashRun* whole, uint64_t seed) {
    std::mt19937_64 rng(seed);
    ++runs_;
    if (run == whole) whole->SetBroken(Break::kNothing);
    whole->SetAim(rule_);
    for (int i = 0; i < kGoodTries; ++i) {
      const std::string result = (whole->*crash_)(rng);
      ASSERT_TRUE(CrashRun::Good(result))
          << what_ << ", not broken: " << result;
    }
    if (run == whole) run->SetBroken(rule_);
    rng.seed(seed);
    for (int length = 1; length <= kLengths; ++length) {
      for (int i = 0; i < kTries; ++i) {
        const std::string result = (run->*crash_)(rng);
        if (CrashRun::Good(result)) continue;
        ASSERT_THAT(result, testing::ContainsRegex(symptom_)) << what_;
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
  const Break rule_;
  const std::string symptom_;
  const Crash crash_;
  uint64_t runs_ = 0;
  uint64_t caught_ = 0;
  uint64_t longer_ = 0;
  std::string missed_;
};

// `visit` gets a run and the same one without the break (Control::Try).
void ForEachRun(
    CrashRunOptions options,
    const std::function<void(CrashRun*, CrashRun*, uint64_t)>& visit) {
  options.operations = 200;
  options.plain = true;
  CrashRunOptions whole = options;
  whole.broken = Break::kNothing;
  for (const uint64_t seed : Seeds(kRuns)) {
    CrashRun good(seed, whole);
    good.Operate();
    ASSERT_FALSE(testing::Test::HasFailure()) << "seed " << seed;
    if (!IsOfTheVolume(options.broken)) {
      visit(&good, &good, seed);
    } else {
      CrashRun run(seed, options);
      run.Operate();
      ASSERT_FALSE(testing::Test::HasFailure()) << "seed " << seed;
      visit(&run, &good, seed);
    }
    ASSERT_FALSE(testing::Test::HasFailure()) << "seed " << seed;
  }
}

TEST(VolumeCrashTest, ReusingFreedBlocksAtOnceIsCaught) {
  Control lost("blocks reused at once, replayed", Break::kReuse, kWrongTree);
  Control shown("blocks reused at once, not replayed", Break::kReuse,
                kForeignContent, &CrashRun::CrashUnreplayed);
  ForEachRun({.broken = Break::kReuse},
             [&](CrashRun* run, CrashRun* whole, uint64_t seed) {
               lost.Try(run, whole, seed);
               shown.Try(run, whole, seed);
             });
  lost.Expect();
  shown.Expect();
}

TEST(VolumeCrashTest, WaitersAndRecoveriesThatBreakTheRulesAreCaught) {
  Control controls[] = {
      {"not replayed", Break::kNoReplay, kWrongTree},
      {"replayed without the flush before", Break::kNoFlush,
       std::string(kWrongTree) + "|taken for a foreign write"},
      {"fsync answered before the record was flushed", Break::kEarlyFsync,
       "is older than an fsync promised"}};
  ForEachRun({}, [&](CrashRun* run, CrashRun* whole, uint64_t seed) {
    for (Control& control : controls) control.Try(run, whole, seed);
  });
  for (const Control& control : controls) control.Expect();
}

void ExpectCaught(const char* what, const CrashRunOptions& options,
                  const std::string& symptom) {
  Control control(what, options.broken, symptom);
  ForEachRun(options, [&](CrashRun* run, CrashRun* whole, uint64_t seed) {
    control.Try(run, whole, seed);
  });
  control.Expect();
}

TEST(VolumeCrashTest, RecordsWithoutAFlushBeforeThatLackWhatItWasForAreCaught) {
  ExpectCaught("one flush, without what is in place",
               {.broken = Break::kNoBehind}, kWrongTree);
  ExpectCaught("one flush, without its data", {.broken = Break::kNoData},
               kWrongTree);
}

TEST(VolumeCrashTest, WritingSharedUnitsDirectlyIsCaught) {
  // A unit that was destroyed cannot be read.
  ExpectCaught("shared units written directly",
               {.broken = Break::kSharedUnits, .atomic_sectors = 32},
               std::string(kWrongTree) +
                   "|: (generation [0-9]+|used again): "
                   "DEVICE_ERROR.* unrecovered");
}

}  // namespace
}  // namespace vellum
