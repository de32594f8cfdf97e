// SPDX-License-Identifier: Apache-2.0
// Simulated crashes of a toy volume: the program killed at any write, power cut
// at any moment before, during and after the recovery, with unflushed writes
// kept, lost, reordered or torn, and whole atomic units destroyed. Every
// recovery must find exactly one of the states that may be there: the newest
// durable one, or the one being committed.
//
// VELLUM_SEED=n runs the simulation of that one seed instead; failures name it.
#include <gtest/gtest.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <random>
#include <string>
#include <vector>

#include "media/borrowed_medium.h"
#include "tests/support/crash_medium.h"
#include "tests/support/environment.h"
#include "tests/support/memory_medium.h"
#include "tests/support/status_matchers.h"
#include "tests/udf/toy_volume.h"

namespace vellum::udf {
namespace {

// Forwards until the program is killed: then nothing reaches the medium.
class KillMedium : public BorrowedMedium {
 public:
  KillMedium(Medium* base, uint64_t operations)
      : BorrowedMedium(base), left_(operations) {}
  // So many more, if it is not to end sooner.
  void KillAfter(uint64_t operations) { left_ = std::min(left_, operations); }

  Status WriteBy(Writer write, uint64_t lba, ConstByteSpan data) override {
    RETURN_IF_ERROR(Spend());
    return BorrowedMedium::WriteBy(write, lba, data);
  }
  Status Flush() override {
    RETURN_IF_ERROR(Spend());
    return BorrowedMedium::Flush();
  }
  Status Discard(uint64_t lba, uint64_t count) override {
    RETURN_IF_ERROR(Spend());
    return BorrowedMedium::Discard(lba, count);
  }

 private:
  Status Spend() {
    if (left_ == 0) return Status(Errc::kOffline, "killed");
    --left_;
    return Status::Ok();
  }
  uint64_t left_;
};

// What a power cut at some event may leave.
class Timeline {
 public:
  Timeline(const CrashMedium* medium, std::vector<ToyStatePtr> start)
      : medium_(medium) {
    moments_.push_back({0, std::move(start)});
  }
  const std::vector<ToyStatePtr>& now() const { return moments_.back().states; }
  // From here on also `state` may be there.
  void Attempt(const ToyStatePtr& state) {
    std::vector<ToyStatePtr> states = now();
    states.push_back(state);
    moments_.push_back({medium_->EventCount(), std::move(states)});
  }
  // From here on nothing but `state`.
  void Certain(const ToyStatePtr& state) {
    moments_.push_back({medium_->EventCount(), {state}});
  }
  // An event at which something was decided.
  size_t Pick(std::mt19937_64& rng) const {
    return moments_[rng() % moments_.size()].event;
  }
  std::vector<ToyStatePtr> At(size_t event) const {
    std::vector<ToyStatePtr> states;
    for (const Moment& moment : moments_) {
      if (moment.event <= event) states = moment.states;
    }
    return states;
  }

 private:
  struct Moment {
    size_t event = 0;
    std::vector<ToyStatePtr> states;
  };
  const CrashMedium* const medium_;
  std::vector<Moment> moments_;
};

struct Totals {
  uint64_t power_cuts = 0;
  uint64_t during_recovery = 0;
  uint64_t spilled = 0;  // records
  uint64_t commits = 0;
  uint64_t one_flush = 0;  // of them
  std::string failure;     // of the first seed that failed
};

constexpr Unflushed kModes[] = {Unflushed::kKept, Unflushed::kLost,
                                Unflushed::kReordered, Unflushed::kTorn};

// One volume through several crashes. The error names what went wrong.
class Simulation {
 public:
  Simulation(const ToyOptions& options, uint64_t seed, Totals* totals,
             int lives = 4)
      : options_(options), rng_(seed), totals_(totals), lives_(lives) {}

  Status Run() {
    MemoryMediumOptions medium;
    medium.sectors = options_.sectors;
    medium.atomic_sectors = options_.unit;
    auto content = std::make_unique<MemoryMedium>(medium);
    std::vector<ToyStatePtr> states = {FormatToy(*content, options_)};
    for (int life = 0; life < lives_; ++life) {
      RETURN_IF_ERROR(Live(&content, &states));
    }
    return Status::Ok();
  }

 private:
  // From the content of one power cut to that of the next one.
  Status Live(std::unique_ptr<MemoryMedium>* content,
              std::vector<ToyStatePtr>* states) {
    CrashMedium medium(**content);
    Timeline timeline(&medium, *states);
    // The program is started up to three times; each time it is killed at some
    // write, but the system keeps what it has in its cache.
    size_t recovery_from = 0, recovery_to = 0;
    const int starts = 1 + static_cast<int>(rng_() % 3);
    for (int i = 0; i < starts; ++i) {
      recovery_from = medium.EventCount();
      recovery_to = recovery_from;
      KillMedium killed(&medium, rng_() % 4 == 0 ? rng_() % 6 : rng_() % 400);
      uint64_t until_kill = rng_() % 6;  // commits
      ToyObserver observer;
      observer.attempt = [&](const ToyStatePtr& s) {
        timeline.Attempt(s);
        // While the record is written, flushed or begins to be put in place.
        if (until_kill-- == 0) killed.KillAfter(rng_() % 3);
      };
      observer.committed = [&](const ToyStatePtr& s) { timeline.Certain(s); };
      Result<std::unique_ptr<ToyVolume>> toy =
          ToyVolume::Mount(&killed, options_, observer, timeline.now(), rng_());
      if (!toy.ok()) {
        recovery_to = medium.EventCount();
        if (toy.error().code == Errc::kOffline) continue;
        return toy.status().WithContext("recovery after a kill");
      }
      timeline.Certain((*toy)->state());
      recovery_to = medium.EventCount();
      for (int commits = 0; commits < 6; ++commits) {
        const size_t size =
            rng_() % 4 == 0 ? options_.cells * 7 / 4 : rng_() % 12;
        const Status status = (*toy)->Commit(size);
        ++totals_->commits;
        if (status.Is(Errc::kOffline)) break;
        RETURN_IF_ERROR(status.WithContext("commit"));
      }
      totals_->spilled += (*toy)->spilled();
      totals_->one_flush += (*toy)->one_flush();
    }
    // Several power cuts of this life are looked at, one is lived on with.
    for (int cut = 0; cut < 3; ++cut) {
      const bool in_recovery = rng_() % 3 == 0;
      size_t at = rng_() % (medium.EventCount() + 1);
      if (in_recovery) {
        at = recovery_from + rng_() % (recovery_to - recovery_from + 1);
      } else if (rng_() % 2 == 0) {
        at = std::min(medium.EventCount(), timeline.Pick(rng_) + rng_() % 4);
      }
      CrashOptions crash;
      crash.unflushed = kModes[rng_() % 4];
      crash.destroy_unit = options_.unit > 1 && rng_() % 2 == 0;
      crash.destroyed_unreadable = rng_() % 2 == 0;
      crash.seed = rng_();
      *content = medium.ContentAfterCrash(at, crash);
      *states = timeline.At(at);
      ++totals_->power_cuts;
      if (in_recovery) ++totals_->during_recovery;
      const std::unique_ptr<MemoryMedium> copy = (*content)->Clone();
      const Result<std::unique_ptr<ToyVolume>> toy =
          ToyVolume::Mount(copy.get(), options_, {}, *states, rng_());
      if (!toy.ok()) {
        return toy.status().WithContext(
            "power cut at event " + std::to_string(at) + " of " +
            std::to_string(medium.EventCount()) + ", mode " +
            std::to_string(static_cast<int>(crash.unflushed)) +
            (crash.destroy_unit ? ", unit destroyed" : "") +
            (in_recovery ? ", during recovery" : ""));
      }
    }
    return Status::Ok();
  }

  const ToyOptions options_;
  std::mt19937_64 rng_;
  Totals* const totals_;
  const int lives_;
};

// Answers how many of the simulations failed.
int Simulate(const ToyOptions& options, const std::vector<uint64_t>& seeds,
             Totals* totals) {
  int failed = 0;
  for (const uint64_t seed : seeds) {
    const Status status = Simulation(options, seed, totals).Run();
    if (status.ok()) continue;
    if (failed++ == 0) {
      totals->failure =
          "VELLUM_SEED=" + std::to_string(seed) + ": " + status.ToString();
    }
  }
  return failed;
}

ToyOptions AtomicOptions() {
  ToyOptions options;
  options.sectors = 65536;
  options.cells = 40;
  options.unit = 32;
  return options;
}

TEST(JournalFaultTest, EveryCrashLeavesTheOldOrTheNewGeneration) {
  const std::vector<uint64_t> seeds = Seeds(180, 1000);
  Totals totals;
  EXPECT_EQ(Simulate({}, seeds, &totals), 0) << totals.failure;
  if (seeds.size() == 180) {
    EXPECT_GE(totals.power_cuts, 2000u);
    EXPECT_GE(totals.during_recovery, 500u);
    EXPECT_GE(totals.spilled, 300u);
  }
}

TEST(JournalFaultTest, SmallRecordsNeedNoFlushBeforeThem) {
  const std::vector<uint64_t> seeds = Seeds(180, 3000);
  ToyOptions options;
  options.one_flush = true;
  Totals totals;
  EXPECT_EQ(Simulate(options, seeds, &totals), 0) << totals.failure;
  if (seeds.size() == 180) {
    EXPECT_GE(totals.power_cuts, 2000u);
    EXPECT_GE(totals.one_flush, totals.commits / 4);
    EXPECT_GE(totals.spilled, 300u);
  }
}

TEST(JournalFaultTest, DestroyedAtomicUnitsAreRestored) {
  const std::vector<uint64_t> seeds = Seeds(24, 5000);
  Totals totals;
  EXPECT_EQ(Simulate(AtomicOptions(), seeds, &totals), 0) << totals.failure;
  if (seeds.size() == 24) {
    EXPECT_GE(totals.power_cuts, 250u);
    EXPECT_GE(totals.spilled, 20u);
  }
}

// --- Negative controls: the same harness finds each mistake -----------------

// Each of 100 simulations lives until it shows the mistake.
constexpr int kMostLives = 2000;

class NegativeControlTest : public testing::Test {
 protected:
  static void ExpectCaught(const ToyMistakes& mistakes,
                           bool one_flush = false) {
    ToyOptions options;
    options.one_flush = one_flush;
    options.mistakes = mistakes;
    const std::vector<uint64_t> seeds = Seeds(100, 9000);
    Totals totals;
    int caught = 0;
    for (const uint64_t seed : seeds) {
      const Status status =
          Simulation(options, seed, &totals, kMostLives).Run();
      EXPECT_TRUE(status.Is(Errc::kCorruption))
          << "VELLUM_SEED=" << seed << ": " << status.ToString();
      caught += status.Is(Errc::kCorruption) ? 1 : 0;
    }
    std::printf("noticed by %d of %zu seeds, in %llu power cuts\n", caught,
                seeds.size(),
                static_cast<unsigned long long>(totals.power_cuts));
  }
};

TEST_F(NegativeControlTest, NoReplay) {
  ToyMistakes mistakes;
  mistakes.no_replay = true;
  ExpectCaught(mistakes);
}

TEST_F(NegativeControlTest, ReplayWithoutTheFlushBefore) {
  ToyMistakes mistakes;
  mistakes.no_flush_before_replay = true;
  ExpectCaught(mistakes);
}

TEST_F(NegativeControlTest, InPlaceBeforeTheRecordIsDurable) {
  ToyMistakes mistakes;
  mistakes.place_before_flush = true;
  ExpectCaught(mistakes);
}

TEST_F(NegativeControlTest, FreedBlocksReusedAtOnce) {
  ToyMistakes mistakes;
  mistakes.reuse_at_once = true;
  ExpectCaught(mistakes);
}

TEST_F(NegativeControlTest, SpillReleasedBeforeTheNextRecordIsDurable) {
  ToyMistakes mistakes;
  mistakes.release_spill_early = true;
  ExpectCaught(mistakes);
}

TEST_F(NegativeControlTest, SmallRecordWithoutWhatIsInPlace) {
  ToyMistakes mistakes;
  mistakes.forget_behind = true;
  ExpectCaught(mistakes, true);
}

TEST_F(NegativeControlTest, SmallRecordWithoutItsData) {
  ToyMistakes mistakes;
  mistakes.forget_data = true;
  ExpectCaught(mistakes, true);
}

}  // namespace
}  // namespace vellum::udf
