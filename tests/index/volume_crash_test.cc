// SPDX-License-Identifier: Apache-2.0
// Crash simulation of whole volumes (label fault). Random operations run on a
// medium that records every write and flush; then the power goes at any of
// them, with what was not flushed kept, lost, reordered or torn at 512 bytes.
// After recovery the tree must be exactly that of the generation that the
// medium says, at least the last one that a Sync promised, and fsck clean.
//
// VELLUM_CRASHES=N (default 5000) crashes over all seeds; VELLUM_SEED=S runs
// that seed alone.
#include <fmt/format.h>

#include <cstdlib>

#include "index/volume.h"
#include "media/udf/journal.h"
#include "tests/index/volume_fixture.h"
#include "tests/index/volume_model.h"
#include "tests/support/crash_medium.h"

namespace vellum {
namespace {

constexpr uint64_t kSectors = 16384;  // 32 MiB; the ring has 256 sectors
constexpr int kCrashesPerRun = 100;

uint64_t Environment(const char* name, uint64_t otherwise) {
  const char* value = std::getenv(name);
  return value == nullptr ? otherwise : std::strtoull(value, nullptr, 10);
}

enum class Break { kNothing, kReuse, kNoReplay };

// One run of operations, with what each generation looked like.
class CrashRun {
 public:
  CrashRun(uint64_t seed, Break broken, uint32_t atomic_sectors = 1)
      : seed_(seed), broken_(broken) {
    MemoryMediumOptions options;
    options.sectors = kSectors;
    options.atomic_sectors = atomic_sectors;
    MemoryMedium empty(options);
    udf::FormatOptions format;
    format.volume_id = "CRASH";
    const Result<udf::ControlSlot> slot = udf::FormatVolume(empty, format);
    EXPECT_OK(slot);
    medium_ = std::make_unique<CrashMedium>(empty);
    catalog_ = MemoryCatalog();
    VolumeOptions volume_options;
    volume_options.break_reuse = broken == Break::kReuse;
    volume_options.on_commit_step = [this](CommitStep step) {
      if (step == CommitStep::kFrozen) {
        history_[volume_->generation().number + 1] =
            fuzzer_ != nullptr ? fuzzer_->model() : Model();
      }
      return Status::Ok();
    };
    volume_ = std::make_unique<Volume>(
        catalog_.get(), RecordFor(empty, *slot, 1), volume_options);
    EXPECT_OK(volume_->Attach(medium_.get()));
    history_[0] = Model();
    // A rescan at the first load renews the lineage, not the number.
    FuzzOptions fuzz;
    fuzz.max_file_bytes = 200'000;
    fuzz.max_nodes = 60 + seed % 3 * 60;
    fuzz.touch_all = true;
    fuzzer_ = std::make_unique<VolumeFuzzer>(volume_.get(), seed, fuzz);
    first_event_ = medium_->EventCount();
  }

  void Operate() {
    std::mt19937_64 rng(seed_ * 7919 + 1);
    for (int i = 0; i < 400; ++i) {
      fuzzer_->Step();
      if (testing::Test::HasFatalFailure()) return;
      if (rng() % 12 == 0) {
        EXPECT_OK(volume_->Sync());
        Promise();
      }
      if (rng() % 120 == 0) {
        EXPECT_OK(volume_->Detach());
        Promise();
        EXPECT_OK(volume_->Attach(medium_.get()));
      }
    }
  }

  // Crashes at a random event, recovers, compares. "" or what is wrong.
  std::string Crash(std::mt19937_64& rng, bool destroy_unit) {
    const size_t events = medium_->EventCount();
    const size_t at = first_event_ + rng() % (events - first_event_ + 1);
    CrashOptions crash;
    crash.unflushed = static_cast<Unflushed>(rng() % 4);
    crash.destroy_unit = destroy_unit;
    crash.seed = rng();
    std::unique_ptr<MemoryMedium> found = medium_->ContentAfterCrash(at, crash);
    const std::string where =
        fmt::format("seed {} event {} of {} mode {} crash seed {}: ", seed_, at,
                    events, static_cast<int>(crash.unflushed), crash.seed);
    const Result<udf::ControlSlot> slot = udf::ReadControlSlot(*found);
    if (!slot.ok()) return where + slot.error().ToString();
    const Result<udf::VolumeDescription> description =
        udf::ReadDescription(*found);
    if (!description.ok()) return where + description.error().ToString();
    const udf::Geometry& geometry = description->geometry;

    if (broken_ == Break::kNoReplay) {
      return where + Compare(*found, slot->generation.number, at);
    }
    uint64_t number = 0;
    // Recoveries are cut, too: up to two of them before one runs to its end.
    for (int nested = static_cast<int>(rng() % 3);; --nested) {
      CrashMedium recovering(*found);
      Result<udf::ReplayResult> replay =
          udf::ReplayJournal(recovering, geometry, *slot);
      if (!replay.ok()) return where + replay.error().ToString();
      if (replay->outcome == udf::ReplayOutcome::kForeign) {
        return where + "taken for a foreign write";
      }
      number = replay->generation.number;
      if (nested <= 0) {
        found = recovering.Content();
        break;
      }
      CrashOptions again;
      again.unflushed = static_cast<Unflushed>(rng() % 4);
      again.destroy_unit = destroy_unit;
      again.seed = rng();
      const size_t cut = rng() % (recovering.EventCount() + 1);
      found = recovering.ContentAfterCrash(cut, again);
    }
    return where + Compare(*found, number, at);
  }

  static bool Good(const std::string& result) {
    return result.ends_with(": ok");
  }

 private:
  void Promise() {
    promised_[medium_->EventCount()] = volume_->generation().number;
  }

  std::string Compare(MemoryMedium& found, uint64_t number, size_t at) {
    auto promise = promised_.upper_bound(at);
    if (promise != promised_.begin()) {
      --promise;
      if (number < promise->second) {
        return fmt::format("generation {} although {} was promised", number,
                           promise->second);
      }
    }
    const auto model = history_.find(number);
    if (model == history_.end()) {
      return fmt::format("unknown generation {}", number);
    }
    const std::string difference = CompareMedium(&found, model->second);
    if (!difference.empty()) {
      return fmt::format("generation {}: {}", number, difference);
    }
    const std::string damage = FsckText(found);
    if (!damage.empty()) {
      return fmt::format("generation {}: fsck: {}", number, damage);
    }
    return "ok";
  }

  const uint64_t seed_;
  const Break broken_;
  std::unique_ptr<CrashMedium> medium_;
  std::unique_ptr<Catalog> catalog_;
  std::unique_ptr<Volume> volume_;
  std::unique_ptr<VolumeFuzzer> fuzzer_;
  std::map<uint64_t, Model> history_;
  std::map<size_t, uint64_t> promised_;  // events done -> generation
  size_t first_event_ = 0;
};

TEST(VolumeCrashTest, EveryCrashLeavesOneGeneration) {
  const uint64_t only = Environment("VELLUM_SEED", 0);
  const uint64_t crashes = Environment("VELLUM_CRASHES", 5000);
  uint64_t done = 0;
  for (uint64_t seed = only != 0 ? only : 1; done < crashes; ++seed) {
    CrashRun run(seed, Break::kNothing);
    run.Operate();
    ASSERT_FALSE(HasFailure()) << "seed " << seed;
    std::mt19937_64 rng(seed);
    for (int i = 0; i < kCrashesPerRun && done < crashes; ++i, ++done) {
      const std::string result = run.Crash(rng, false);
      ASSERT_TRUE(CrashRun::Good(result)) << result;
    }
    if (only != 0) break;
  }
  RecordProperty("crashes", static_cast<int>(done));
  fmt::print("{} crashes, none lost anything\n", done);
}

// The harness must be able to fail: each of these breaks one rule.
int Caught(Break broken, int runs) {
  int caught = 0;
  for (int seed = 1; seed <= runs; ++seed) {
    CrashRun run(static_cast<uint64_t>(seed), broken);
    run.Operate();
    std::mt19937_64 rng(static_cast<uint64_t>(seed));
    for (int i = 0; i < 300; ++i) {
      if (!CrashRun::Good(run.Crash(rng, false))) {
        ++caught;
        break;
      }
    }
  }
  return caught;
}

TEST(VolumeCrashTest, ReusingFreedBlocksAtOnceIsCaught) {
  // Not every seed happens to reuse what a crash then needs.
  EXPECT_GE(Caught(Break::kReuse, 8), 6);
}

TEST(VolumeCrashTest, NotReplayingIsCaught) {
  EXPECT_EQ(Caught(Break::kNoReplay, 8), 8);
}

}  // namespace
}  // namespace vellum
