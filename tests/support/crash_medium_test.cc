// SPDX-License-Identifier: Apache-2.0
// The crash simulation itself: what it may lose, and what it must not.
#include "tests/support/crash_medium.h"

#include <gtest/gtest.h>

#include <cstring>
#include <set>

#include "tests/support/memory_medium.h"
#include "tests/support/status_matchers.h"

namespace vellum {
namespace {

Bytes Filled(size_t sectors, int value) {
  return Bytes(sectors * kSectorSize, static_cast<std::byte>(value));
}

// The value that fills the whole sector; -1 when it is a mixture.
int SectorValue(MemoryMedium& medium, uint64_t lba) {
  Bytes data(kSectorSize);
  VELLUM_CHECK(medium.Read(lba, data).ok());
  for (const std::byte b : data) {
    if (b != data[0]) return -1;
  }
  return static_cast<int>(data[0]);
}

CrashOptions With(Unflushed unflushed, uint64_t seed = 1) {
  CrashOptions options;
  options.unflushed = unflushed;
  options.seed = seed;
  return options;
}

class CrashMediumTest : public testing::Test {
 protected:
  // Events: 0 write A, 1 flush, 2 write B, 3 write C.
  void SetUp() override {
    ASSERT_OK(medium_.Write(0, Filled(1, 0xA)));
    ASSERT_OK(medium_.Flush());
    ASSERT_OK(medium_.Write(1, Filled(1, 0xB)));
    ASSERT_OK(medium_.Write(2, Filled(1, 0xC)));
  }
  CrashMedium medium_{MemoryMediumOptions{64, 4}};
};

TEST_F(CrashMediumTest, RecordsEveryEventInOrder) {
  using Kind = CrashMedium::Event::Kind;
  const auto events = medium_.Events();
  ASSERT_EQ(events.size(), 4u);
  EXPECT_EQ(events[1].kind, Kind::kFlush);
  EXPECT_EQ(events[3].kind, Kind::kWrite);
  EXPECT_EQ(events[3].range, (SectorRange{2, 1}));
}

TEST_F(CrashMediumTest, FlushedWritesSurviveInEveryMode) {
  for (const Unflushed mode : {Unflushed::kKept, Unflushed::kLost,
                               Unflushed::kReordered, Unflushed::kTorn}) {
    for (size_t k = 2; k <= medium_.EventCount(); ++k) {
      auto after = medium_.ContentAfterCrash(k, With(mode, k));
      EXPECT_EQ(SectorValue(*after, 0), 0xA);
    }
  }
}

TEST_F(CrashMediumTest, NothingIsDurableWhileItsFlushIsUnderWay) {
  auto after = medium_.ContentAfterCrash(1, With(Unflushed::kLost));
  EXPECT_EQ(SectorValue(*after, 0), 0);
}

TEST_F(CrashMediumTest, KeptHasWhatReturnedAndNoMore) {
  auto after = medium_.ContentAfterCrash(3, With(Unflushed::kKept));
  EXPECT_EQ(SectorValue(*after, 1), 0xB);
  EXPECT_EQ(SectorValue(*after, 2), 0);
}

TEST_F(CrashMediumTest, AFailedFlushLosesForGood) {
  medium_.LoseUnflushed(With(Unflushed::kLost));
  EXPECT_EQ(SectorValue(*medium_.Content(), 0), 0xA);
  EXPECT_EQ(SectorValue(*medium_.Content(), 1), 0);
  ASSERT_OK(medium_.Write(2, Filled(1, 0xD)));
  ASSERT_OK(medium_.Flush());
  auto after =
      medium_.ContentAfterCrash(medium_.EventCount(), With(Unflushed::kKept));
  EXPECT_EQ(SectorValue(*after, 0), 0xA);
  EXPECT_EQ(SectorValue(*after, 1), 0);
  EXPECT_EQ(SectorValue(*after, 2), 0xD);
}

TEST_F(CrashMediumTest, WhatAFailedFlushKeptIsDurable) {
  medium_.LoseUnflushed(With(Unflushed::kKept));
  auto after =
      medium_.ContentAfterCrash(medium_.EventCount(), With(Unflushed::kLost));
  EXPECT_EQ(SectorValue(*after, 1), 0xB);
  EXPECT_EQ(SectorValue(*after, 2), 0xC);
}

TEST_F(CrashMediumTest, ReorderedShowsALaterWriteWithoutAnEarlier) {
  std::set<std::pair<int, int>> seen;
  for (uint64_t seed = 0; seed < 64; ++seed) {
    auto after =
        medium_.ContentAfterCrash(4, With(Unflushed::kReordered, seed));
    seen.emplace(SectorValue(*after, 1), SectorValue(*after, 2));
  }
  EXPECT_EQ(seen, (std::set<std::pair<int, int>>{
                      {0, 0}, {0, 0xC}, {0xB, 0}, {0xB, 0xC}}));
}

TEST_F(CrashMediumTest, TornMixesOldAndNewWithinASector) {
  bool mixed = false;
  for (uint64_t seed = 0; seed < 64 && !mixed; ++seed) {
    auto after = medium_.ContentAfterCrash(4, With(Unflushed::kTorn, seed));
    mixed = SectorValue(*after, 1) == -1;
  }
  EXPECT_TRUE(mixed);
}

TEST_F(CrashMediumTest, DestroysTheWholeAtomicUnitAndNothingElse) {
  CrashOptions options = With(Unflushed::kLost);
  options.destroy_unit = true;
  // Sector 0 was flushed long ago, but shares the unit of four sectors.
  auto after = medium_.ContentAfterCrash(2, options);
  EXPECT_EQ(SectorValue(*after, 0), -1);
  EXPECT_EQ(SectorValue(*after, 3), -1);
  EXPECT_EQ(SectorValue(*after, 4), 0);

  options.destroyed_unreadable = true;
  after = medium_.ContentAfterCrash(2, options);
  Bytes data(kSectorSize);
  EXPECT_THAT(after->Read(3, data), HasErrc(Errc::kDeviceError));
  EXPECT_OK(after->Read(4, data));
  EXPECT_OK(after->Write(3, data));
  EXPECT_OK(after->Read(3, data));
}

TEST_F(CrashMediumTest, TheSameSeedGivesTheSameContent) {
  for (uint64_t seed = 0; seed < 8; ++seed) {
    auto a = medium_.ContentAfterCrash(4, With(Unflushed::kTorn, seed));
    auto b = medium_.ContentAfterCrash(4, With(Unflushed::kTorn, seed));
    Bytes x(4 * kSectorSize);
    Bytes y(4 * kSectorSize);
    ASSERT_OK(a->Read(0, x));
    ASSERT_OK(b->Read(0, y));
    EXPECT_EQ(x, y);
  }
}

TEST(MemoryMediumTest, CloneSharesNothingThatIsWritten) {
  MemoryMedium medium(64);
  ASSERT_OK(medium.Write(0, Filled(2, 1)));
  auto clone = medium.Clone();
  ASSERT_OK(medium.Write(0, Filled(1, 2)));
  ASSERT_OK(clone->Write(1, Filled(1, 3)));
  EXPECT_EQ(SectorValue(medium, 0), 2);
  EXPECT_EQ(SectorValue(medium, 1), 1);
  EXPECT_EQ(SectorValue(*clone, 0), 1);
  EXPECT_EQ(SectorValue(*clone, 1), 3);
}

}  // namespace
}  // namespace vellum
