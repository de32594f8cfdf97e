// SPDX-License-Identifier: Apache-2.0
// Each flush of a volume fails once (label fault), and of what it was to make
// durable all, nothing, whole writes or 512-byte pieces are there from then on;
// reads show that at once, or when they are to come from the device. Nothing
// more is written before the volume is loaded anew; then it is a committed
// generation, not older than any that somebody was promised, even when the
// power goes during that load.
#include <fmt/format.h>

#include <map>
#include <string>

#include "media/udf/control.h"
#include "media/udf/journal.h"
#include "tests/index/failing_flush.h"
#include "tests/index/volume_io_scenario.h"
#include "tests/support/environment.h"

namespace vellum {
namespace {

class VolumeFlushFaultTest : public testing::Test {
 protected:
  VolumeFlushFaultTest() {
    MemoryMediumOptions options;
    options.sectors = kSectors;
    formatted_ = std::make_unique<MemoryMedium>(options);
    udf::FormatOptions format;
    format.volume_id = "FLUSHES";
    const Result<udf::ControlSlot> slot =
        udf::FormatVolume(*formatted_, format);
    EXPECT_OK(slot);
    record_ = RecordFor(*formatted_, *slot, kIndex);
  }

  void Start() {
    device_ = std::make_shared<CrashMedium>(*formatted_);
    medium_ = std::make_unique<FailingFlush>(device_);
    catalog_ = MemoryCatalog();
    scenario_ =
        std::make_unique<IoScenario>(medium_.get(), catalog_.get(), record_);
    ASSERT_OK(scenario_->Attach());
    lineage_ = scenario_->volume()->generation().lineage;
  }

  // By that Volume, or by a new one.
  void ExpectHealthy(Volume* volume) {
    std::unique_ptr<Volume> next;
    if (volume == nullptr) {
      ASSERT_OK_AND_ASSIGN(const VolumeRecord stored,
                           catalog_->GetVolume(kIndex));
      next = std::make_unique<Volume>(catalog_.get(), stored, VolumeOptions());
      volume = next.get();
    }
    Model loaded;
    const size_t begin = device_->EventCount();
    ASSERT_OK(volume->Attach(medium_.get()));
    EXPECT_EQ(volume->generation().lineage, lineage_) << "rescanned";
    for (size_t k = begin; k <= device_->EventCount(); ++k) ExpectAfterCut(k);
    EXPECT_OK(volume->CheckWritable());
    scenario_->Check(volume, &loaded);
    ASSERT_OK(volume->Detach());
    ExpectDevice(&loaded);
    // What was lost does not come to light under what is written next.
    ASSERT_OK(volume->Attach(medium_.get()));
    ASSERT_OK(volume->Create(volume->root(), "after", {}));
    ASSERT_OK(volume->Detach());
    ExpectDevice(nullptr);
  }
  // The power goes during that event of the load.
  void ExpectAfterCut(size_t event) {
    SCOPED_TRACE(fmt::format("power cut at event {}", event));
    CrashOptions crash;
    crash.unflushed = static_cast<Unflushed>(cuts_++ % 4);
    crash.seed = seed_ * 10'000 + cuts_;
    const std::unique_ptr<MemoryMedium> found =
        device_->ContentAfterCrash(event, crash);
    ASSERT_OK_AND_ASSIGN(const udf::ControlSlot slot,
                         udf::ReadControlSlot(*found));
    ASSERT_OK_AND_ASSIGN(const udf::ReplayResult replay,
                         udf::ReplayJournal(*found, record_.geometry, slot));
    EXPECT_NE(replay.outcome, udf::ReplayOutcome::kForeign);
    const uint64_t number = replay.generation.number;
    EXPECT_GE(number, scenario_->promised());
    ASSERT_NE(scenario_->ModelOf(number), nullptr) << number;
    EXPECT_EQ(CompareMedium(found.get(), *scenario_->ModelOf(number)), "");
    EXPECT_EQ(FsckText(*found), "");
  }
  // What is durable is clean, and that tree.
  void ExpectDevice(const Model* model) {
    CrashOptions lost;
    lost.unflushed = Unflushed::kLost;
    const std::unique_ptr<MemoryMedium> durable =
        device_->ContentAfterCrash(device_->EventCount(), lost);
    EXPECT_EQ(FsckText(*durable), "");
    if (model == nullptr) return;
    EXPECT_EQ(CompareMedium(durable.get(), *model), "");
  }

  // The `n`th flush from now on; in which of eight ways it loses.
  void FailNth(uint64_t n, int way) {
    CrashOptions left;
    left.unflushed = static_cast<Unflushed>(way % 4);
    left.seed = seed_ * 1000 + n;
    medium_->FailNth(n, left, /*cached=*/way >= 4);
  }
  static constexpr int kWays = 8;

  const uint64_t seed_ = FromEnvironment("VELLUM_SEED", 1);
  std::unique_ptr<MemoryMedium> formatted_;
  VolumeRecord record_;
  std::shared_ptr<CrashMedium> device_;
  std::unique_ptr<FailingFlush> medium_;
  std::unique_ptr<Catalog> catalog_;
  std::unique_ptr<IoScenario> scenario_;
  uint64_t lineage_ = 0;
  uint64_t cuts_ = 0;
};

TEST_F(VolumeFlushFaultTest, AFailedFlushFreezesTheVolumeAndLosesNothing) {
  std::map<std::string, uint64_t> failures;
  uint64_t placing = 0;
  bool reached = true;
  for (uint64_t n = 1; reached; ++n) {
    for (int way = 0; way < kWays; ++way) {
      SCOPED_TRACE(fmt::format("seed {} flush {} way {}", seed_, n, way));
      Start();
      FailNth(n, way);
      const Status status = scenario_->Run();
      reached = medium_->failed();
      if (!reached) {
        ASSERT_OK(status);
        break;
      }
      EXPECT_THAT(status, HasErrc(Errc::kDeviceError));
      EXPECT_THAT(status, MessageHas("injected"));
      // Neither a write nor a second try, nor another commit by that number.
      EXPECT_EQ(medium_->changes_since(), 0u);
      EXPECT_EQ(scenario_->begun_later(), 0u);
      const std::string step = scenario_->failed() == nullptr
                                   ? "the last detach"
                                   : scenario_->failed()->name;
      ++failures[step];
      const IoScenario::Later& later = scenario_->later();
      if (later.attached) {
        EXPECT_THAT(later.writable, HasErrc(Errc::kReadOnly)) << step;
        EXPECT_THAT(later.detach, HasErrc(Errc::kDeviceError)) << step;
        if (scenario_->committed()) {
          // While it was put in place: whoever asks for it may hear so.
          ++placing;
          EXPECT_OK(later.sync) << step;
        } else {
          EXPECT_THAT(later.sync, HasErrc(Errc::kDeviceError)) << step;
        }
      }
      ExpectHealthy((n + way) % 2 == 0 ? scenario_->volume() : nullptr);
      ASSERT_FALSE(HasFailure()) << step << ": " << status.ToString();
    }
  }
  std::string text;
  for (const auto& [step, count] : failures) {
    text += fmt::format(", {} in {}", count, step);
  }
  fmt::print(
      "failed flushes{}; {} of them behind the commit; {} power cuts in the "
      "loads after them\n",
      text, placing, cuts_);
  for (const char* step :
       {"sync", "fsync", "snapshot", "detach", "attach", "the last detach"}) {
    EXPECT_GT(failures[step], 0u) << step;
  }
  EXPECT_GT(placing, 0u);
}

// The same in the load that replays a record.
TEST_F(VolumeFlushFaultTest, AFailedFlushOfARecoveryLosesNothing) {
  uint64_t failures = 0;
  for (const CommitStep died :
       {CommitStep::kRecordFlushed, CommitStep::kApplied,
        CommitStep::kInPlaceWritten}) {
    bool reached = true;
    for (uint64_t n = 1; reached; ++n) {
      for (int way = 0; way < kWays; ++way) {
        SCOPED_TRACE(fmt::format("seed {} died at step {}, flush {} way {}",
                                 seed_, static_cast<int>(died), n, way));
        Start();
        scenario_->KillAt(died);
        const uint64_t number = scenario_->volume()->generation().number + 1;
        ASSERT_THAT(scenario_->Run(), HasErrc(Errc::kAborted));
        scenario_->Promise(number);
        ASSERT_OK_AND_ASSIGN(const VolumeRecord stored,
                             catalog_->GetVolume(kIndex));
        FailNth(n, way);
        Volume volume(catalog_.get(), stored, {});
        const Status status = volume.Attach(medium_.get());
        reached = medium_->failed();
        if (!reached) {
          ASSERT_OK(status);
          break;
        }
        ++failures;
        EXPECT_THAT(status, MessageHas("injected"));
        EXPECT_FALSE(volume.attached());
        EXPECT_EQ(medium_->changes_since(), 0u);
        ExpectHealthy(nullptr);
        ASSERT_FALSE(HasFailure()) << status.ToString();
      }
    }
  }
  fmt::print(
      "{} failed flushes of recoveries, {} power cuts in the loads after "
      "them\n",
      failures, cuts_);
  EXPECT_GT(failures, 0u);
}

}  // namespace
}  // namespace vellum
