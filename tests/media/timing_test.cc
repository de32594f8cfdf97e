// SPDX-License-Identifier: Apache-2.0
// The timing model of a virtual library, on a clock that only it moves (H7).
#include <gtest/gtest.h>

#include <memory>
#include <string>
#include <utility>

#include "media/device_clock.h"
#include "media/library_config.h"
#include "media/timed_devices.h"
#include "media/timing_model.h"
#include "tests/support/fake_library.h"
#include "tests/support/memory_medium.h"
#include "tests/support/status_matchers.h"
#include "tests/support/temp_dir.h"

namespace vellum {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

constexpr uint64_t kSectors = 4096;

TimingModel Model() {
  TimingModel model;
  model.move_ms = 5000;
  model.load_ms = 7000;
  model.unload_ms = 3000;
  model.seek_min_ms = 100;
  model.seek_max_ms = 1100;
  model.read_rate = 1000 * kSectorSize;  // a sector a millisecond
  model.write_rate = 500 * kSectorSize;
  return model;
}

class TimedMediumTest : public testing::Test {
 protected:
  void Make(const TimingModel& model) {
    clock_ = std::make_shared<SimulatedClock>();
    medium_ = std::make_unique<TimedMedium>(
        std::make_unique<MemoryMedium>(kSectors), model, clock_);
  }
  // What reading takes.
  DeviceClock::Duration Read(uint64_t lba, uint64_t sectors) {
    const DeviceClock::Duration before = clock_->Now();
    Bytes data(sectors * kSectorSize);
    EXPECT_OK(medium_->Read(lba, data));
    return clock_->Now() - before;
  }
  DeviceClock::Duration Write(uint64_t lba, uint64_t sectors) {
    const DeviceClock::Duration before = clock_->Now();
    EXPECT_OK(medium_->Write(lba, Bytes(sectors * kSectorSize)));
    return clock_->Now() - before;
  }

  std::shared_ptr<SimulatedClock> clock_;
  std::unique_ptr<TimedMedium> medium_;
};

TEST_F(TimedMediumTest, H7_ReadsAndWritesHaveTheirRates) {
  Make(Model());
  EXPECT_EQ(Read(0, 50), milliseconds(50));
  EXPECT_EQ(Read(50, 50), milliseconds(50));  // goes on: no seek
  EXPECT_EQ(Write(100, 50), milliseconds(100));
}

TEST_F(TimedMediumTest, H7_ASeekGrowsWithTheDistance) {
  Make(Model());
  EXPECT_EQ(Read(2048, 1), milliseconds(100 + 500 + 1));
  const DeviceClock::Duration back = Read(0, 1);
  EXPECT_GT(back, milliseconds(600));
  EXPECT_LT(back, milliseconds(602));
  // A short way forward is read over.
  EXPECT_EQ(Read(11, 1), milliseconds(10 + 1));
  // A short way back is not.
  EXPECT_GE(Read(10, 1), milliseconds(100 + 1));
}

TEST_F(TimedMediumTest, H7_ADriveReadsOnWhileNobodyAsks) {
  TimingModel model = Model();
  model.read_ahead = 20 * kSectorSize;
  Make(model);
  Read(0, 10);
  clock_->Advance(milliseconds(15));
  EXPECT_EQ(Read(10, 10), milliseconds(0));  // was read meanwhile
  clock_->Advance(milliseconds(1000));
  EXPECT_EQ(Read(20, 30), milliseconds(10));  // no more than the buffer holds
}

// The medium may have a faster way for them; the model's time they take.
TEST_F(TimedMediumTest, H7_StreamsTakeTheirTimeAndStayStreams) {
  struct Streaming : MemoryMedium {
    using MemoryMedium::MemoryMedium;
    Status WriteStream(uint64_t lba, ConstByteSpan data) override {
      ++streams;
      return Write(lba, data);
    }
    int streams = 0;
  };
  auto streaming = std::make_unique<Streaming>(kSectors);
  const Streaming& below = *streaming;
  const auto clock = std::make_shared<SimulatedClock>();
  TimedMedium medium(std::move(streaming), Model(), clock);
  ASSERT_OK(medium.WriteStream(0, Bytes(50 * kSectorSize)));
  EXPECT_EQ(below.streams, 1);
  EXPECT_EQ(clock->Now(), milliseconds(100));
}

TEST(TimedDevicesTest, H7_MovesLoadsAndUnloadsTakeTheirTime) {
  FakeLibrary fake{FakeLibraryOptions()};
  const auto clock = std::make_shared<SimulatedClock>();
  TimedChanger changer(fake.MakeChanger(), Model(), clock);
  TimedDrive drive(std::move(fake.MakeDrives()[0]), Model(), clock);
  ASSERT_OK(changer.MoveMedium({1024}, {256}));
  EXPECT_EQ(clock->Now(), seconds(5));
  ASSERT_OK_AND_ASSIGN(std::unique_ptr<Medium> medium, drive.Open());
  EXPECT_EQ(clock->Now(), seconds(5 + 7));
  medium.reset();
  ASSERT_OK(drive.Close());
  EXPECT_EQ(clock->Now(), seconds(5 + 7 + 3));
  ASSERT_OK(drive.Close());  // nothing is in it: no time
  EXPECT_EQ(clock->Now(), seconds(5 + 7 + 3));
}

TEST(ScaledClockTest, H7_ScaleMakesTheModelFaster) {
  ScaledClock clock(1000);
  const auto begun = std::chrono::steady_clock::now();
  clock.SleepUntil(clock.Now() + seconds(20));
  const auto took = std::chrono::steady_clock::now() - begun;
  EXPECT_GE(took, milliseconds(20));
  EXPECT_LT(took, seconds(10));
}

class TimingConfigTest : public testing::Test {
 protected:
  Result<TimingOptions> Read(const std::string& text) {
    WriteFileOrDie(dir_.Sub("library.toml"), text);
    ASSIGN_OR_RETURN(const LibraryConfig config,
                     ReadLibraryConfig(dir_.path()));
    return std::get<VirtualLibraryOptions>(config.devices).timing;
  }
  std::string Mistake(const std::string& text) {
    const Result<TimingOptions> read = Read(text);
    return read.ok() ? "" : read.error().message;
  }

  TempDir dir_;
};

TEST_F(TimingConfigTest, H7_IsOffByDefault) {
  ASSERT_OK_AND_ASSIGN(const TimingOptions timing, Read("[geometry]\n"));
  EXPECT_FALSE(timing.enabled());
}

TEST_F(TimingConfigTest, H7_AProfileAndWhatDiffersFromIt) {
  ASSERT_OK_AND_ASSIGN(const TimingOptions timing,
                       Read("[timing]\nprofile = \"bluray-jukebox\"\n"
                            "scale = 100\nload_ms = 20000\n"));
  EXPECT_TRUE(timing.enabled());
  EXPECT_EQ(timing.scale, 100u);
  EXPECT_EQ(timing.model.load_ms, 20'000u);
  EXPECT_EQ(timing.model.read_rate, 18'000'000u);
}

TEST_F(TimingConfigTest, H7_MistakesCarryFileAndLine) {
  EXPECT_NE(Mistake("[timing]\nprofile = \"snail\"\n")
                .find("library.toml:2: timing.profile: \"snail\" is none of "
                      "\"\", \"bluray-jukebox\""),
            std::string::npos);
  EXPECT_NE(Mistake("[timing]\n\nload_ms = 3\n")
                .find("library.toml:3: timing.load_ms: there is no profile"),
            std::string::npos);
  EXPECT_NE(Mistake("[timing]\nprofile = \"custom\"\nseek_min_ms = 3\n")
                .find("seek_max_ms: 0 is less than seek_min_ms, 3"),
            std::string::npos);
  EXPECT_NE(Mistake("[timing]\nprofile = \"custom\"\nscale = 0\n")
                .find("library.toml:3: timing.scale: 0 is not between"),
            std::string::npos);
  EXPECT_NE(Mistake("[timing]\nsped = 1\n").find("unknown key timing.sped"),
            std::string::npos);
}

}  // namespace
}  // namespace vellum
