// SPDX-License-Identifier: Apache-2.0
#include "tests/contract/medium_contract.h"

#include <algorithm>
#include <limits>
#include <random>
#include <set>
#include <thread>
#include <vector>

#include "tests/support/status_matchers.h"

namespace vellum {
namespace {

Bytes Pattern(uint64_t seed, size_t sectors) {
  std::mt19937_64 rng(seed);
  Bytes data(sectors * kSectorSize);
  for (std::byte& b : data) b = static_cast<std::byte>(rng());
  return data;
}

Bytes Filled(size_t sectors, int value) {
  return Bytes(sectors * kSectorSize, static_cast<std::byte>(value));
}

Bytes ReadBack(Medium& medium, uint64_t lba, size_t sectors) {
  Bytes data(sectors * kSectorSize);
  EXPECT_OK(medium.Read(lba, data));
  return data;
}

TEST_P(MediumContract, TellsItsGeometryAndName) {
  const MediumInfo info = medium().Info();
  EXPECT_GE(info.sectors, 1024u);
  EXPECT_GT(info.atomic_sectors, 0u);
  EXPECT_EQ(info.atomic_sectors & (info.atomic_sectors - 1), 0u);
  EXPECT_FALSE(info.write_protected);
  EXPECT_FALSE(info.name.empty());
}

TEST_P(MediumContract, ReadsBackWhatWasWritten) {
  const uint64_t last = medium().Info().sectors - 1;
  const std::vector<SectorRange> ranges = {
      {0, 1}, {31, 2}, {100, 300}, {last - 4, 5}};
  for (const SectorRange& range : ranges) {
    ASSERT_OK(medium().Write(range.first, Pattern(range.first, range.count)));
  }
  for (const SectorRange& range : ranges) {
    EXPECT_EQ(ReadBack(medium(), range.first, range.count),
              Pattern(range.first, range.count));
  }
  // A part of what was written at once.
  const Bytes whole = Pattern(100, 300);
  const Bytes part = ReadBack(medium(), 150, 2);
  EXPECT_TRUE(
      std::equal(part.begin(), part.end(), whole.begin() + 50 * kSectorSize));
}

TEST_P(MediumContract, StreamedDataReadsBackBesideWrittenData) {
  const Bytes plain = Pattern(7, 512);
  const AlignedBytes aligned(plain.begin(), plain.end());
  const ConstByteSpan data(aligned);
  ASSERT_OK(medium().Write(90, Filled(20, 1)));
  ASSERT_OK(medium().WriteStream(100, data));
  ASSERT_OK(medium().Write(200, Filled(1, 2)));
  EXPECT_EQ(ReadBack(medium(), 90, 10), Filled(10, 1));
  EXPECT_EQ(ReadBack(medium(), 200, 1), Filled(1, 2));
  // Over what was written, at an odd sector, and of any memory.
  ASSERT_OK(medium().WriteStream(101, data.subspan(kSectorSize)));
  EXPECT_EQ(ReadBack(medium(), 100, 512), plain);
  ASSERT_OK(medium().WriteStream(99, data.first(kSectorSize)));
  EXPECT_EQ(ReadBack(medium(), 100, 512), plain);
  ASSERT_OK(medium().Flush());
  EXPECT_EQ(ReadBack(medium(), 100, 512), plain);
  const uint64_t sectors = medium().Info().sectors;
  EXPECT_THAT(medium().WriteStream(sectors - 511, data),
              HasErrc(Errc::kInvalidArgument));
}

TEST_P(MediumContract, OverwritesOnlyTheGivenRange) {
  ASSERT_OK(medium().Write(10, Filled(3, 1)));
  ASSERT_OK(medium().Write(11, Filled(1, 2)));
  EXPECT_EQ(ReadBack(medium(), 10, 1), Filled(1, 1));
  EXPECT_EQ(ReadBack(medium(), 11, 1), Filled(1, 2));
  EXPECT_EQ(ReadBack(medium(), 12, 1), Filled(1, 1));
}

TEST_P(MediumContract, EmptyTransfersSucceed) {
  EXPECT_OK(medium().Read(0, {}));
  EXPECT_OK(medium().Write(0, {}));
  EXPECT_OK(medium().Discard(medium().Info().sectors, 0));
}

TEST_P(MediumContract, RejectsRangesOutsideAndTransfersNothing) {
  const uint64_t sectors = medium().Info().sectors;
  ASSERT_OK(medium().Write(sectors - 1, Filled(1, 7)));
  const std::vector<uint64_t> bad = {
      sectors - 1, sectors, sectors + 1,
      std::numeric_limits<uint64_t>::max() - 1,
      std::numeric_limits<uint64_t>::max() / kSectorSize};
  for (const uint64_t lba : bad) {
    Bytes data = Filled(2, 9);
    EXPECT_THAT(medium().Read(lba, data), HasErrc(Errc::kInvalidArgument));
    EXPECT_EQ(data, Filled(2, 9));
    EXPECT_THAT(medium().Write(lba, data), HasErrc(Errc::kInvalidArgument));
    EXPECT_THAT(medium().Discard(lba, 2), HasErrc(Errc::kInvalidArgument));
    EXPECT_THAT(medium().NextAllocated({lba, 2}),
                HasErrc(Errc::kInvalidArgument));
  }
  EXPECT_EQ(ReadBack(medium(), sectors - 1, 1), Filled(1, 7));
}

TEST_P(MediumContract, RejectsPartsOfSectors) {
  Bytes data(kSectorSize + 512);
  EXPECT_THAT(medium().Read(0, data), HasErrc(Errc::kInvalidArgument));
  EXPECT_THAT(medium().Write(0, data), HasErrc(Errc::kInvalidArgument));
}

TEST_P(MediumContract, ErrorsNameTheMedium) {
  Bytes data(kSectorSize);
  EXPECT_THAT(medium().Read(medium().Info().sectors, data),
              MessageHas(medium().Info().name));
}

TEST_P(MediumContract, FlushKeepsTheData) {
  ASSERT_OK(medium().Write(5, Pattern(5, 8)));
  ASSERT_OK(medium().Flush());
  ASSERT_OK(medium().Flush());
  EXPECT_EQ(ReadBack(medium(), 5, 8), Pattern(5, 8));
}

TEST_P(MediumContract, DiscardedSectorsReadAsZeros) {
  ASSERT_OK(medium().Write(64, Filled(128, 5)));
  ASSERT_OK(medium().Discard(65, 100));
  EXPECT_EQ(ReadBack(medium(), 64, 1), Filled(1, 5));
  EXPECT_EQ(ReadBack(medium(), 65, 100), Filled(100, 0));
  EXPECT_EQ(ReadBack(medium(), 165, 27), Filled(27, 5));
  ASSERT_OK(medium().Write(70, Filled(1, 6)));
  EXPECT_EQ(ReadBack(medium(), 70, 1), Filled(1, 6));
}

TEST_P(MediumContract, NextAllocatedMissesNothing) {
  const uint64_t sectors = medium().Info().sectors;
  ASSERT_OK(medium().Discard(0, sectors));
  const std::set<uint64_t> written = {0, 3, 200, 201, 700, sectors - 1};
  for (const uint64_t lba : written) {
    ASSERT_OK(medium().Write(lba, Filled(1, 1)));
  }
  ASSERT_OK(medium().Flush());
  std::set<uint64_t> found;
  uint64_t at = 0;
  while (at < sectors) {
    ASSERT_OK_AND_ASSIGN(const SectorRange run,
                         medium().NextAllocated({at, sectors - at}));
    if (run.count == 0) break;
    ASSERT_GE(run.first, at);
    ASSERT_LE(run.end(), sectors);
    for (const uint64_t lba : written) {
      if (lba >= run.first && lba < run.end()) found.insert(lba);
    }
    at = run.end();
  }
  EXPECT_EQ(found, written);
}

TEST_P(MediumContract, NextAllocatedStaysInsideTheRangeAskedFor) {
  ASSERT_OK(medium().Write(0, Filled(256, 1)));
  ASSERT_OK_AND_ASSIGN(const SectorRange run, medium().NextAllocated({50, 3}));
  EXPECT_EQ(run, (SectorRange{50, 3}));
}

TEST_P(MediumContract, DropReadCacheChangesNothing) {
  ASSERT_OK(medium().Write(9, Pattern(9, 40)));
  ASSERT_OK(medium().Flush());
  medium().DropReadCache(9, 40);
  EXPECT_EQ(ReadBack(medium(), 9, 40), Pattern(9, 40));
}

TEST_P(MediumContract, ServesManyThreads) {
  constexpr size_t kThreads = 4;
  std::vector<std::thread> threads;
  for (size_t t = 0; t < kThreads; ++t) {
    threads.emplace_back([this, t] {
      for (uint64_t round = 0; round < 20; ++round) {
        const uint64_t lba = 100 * t + round;
        EXPECT_OK(medium().Write(lba, Pattern(lba + round, 40)));
        EXPECT_OK(medium().Flush());
        EXPECT_EQ(ReadBack(medium(), lba, 40), Pattern(lba + round, 40));
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
}

TEST_P(MediumContract, OverlappingWritesLeaveEitherContentInEachSector) {
  std::vector<std::thread> threads;
  for (const int value : {1, 2}) {
    threads.emplace_back([this, value] {
      for (int round = 0; round < 50; ++round) {
        EXPECT_OK(medium().Write(0, Filled(64, value)));
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  for (uint64_t lba = 0; lba < 64; ++lba) {
    const Bytes sector = ReadBack(medium(), lba, 1);
    EXPECT_TRUE(sector == Filled(1, 1) || sector == Filled(1, 2)) << lba;
  }
}

}  // namespace
}  // namespace vellum
