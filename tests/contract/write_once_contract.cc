// SPDX-License-Identifier: Apache-2.0
#include "tests/contract/write_once_contract.h"

#include <limits>
#include <thread>
#include <vector>

namespace vellum {
namespace {

TEST_P(WriteOnceContract, IsBlankAndSaysSo) {
  const MediumInfo info = medium().Info();
  EXPECT_EQ(info.medium_class, MediumClass::kWriteOnce);
  EXPECT_FALSE(info.write_protected);
  EXPECT_GE(info.sectors, 1024u);
  EXPECT_FALSE(info.name.empty());
  ExpectNothing(info.sectors - 4, 4);
}

TEST_P(WriteOnceContract, TakesEachSectorOnceInOrder) {
  EXPECT_THAT(medium().Write(1, Filled(1, 9)), HasErrc(Errc::kInvalidArgument));
  ASSERT_OK(medium().Write(0, Filled(3, 1)));
  ASSERT_OK(medium().Write(3, Filled(200, 2)));
  EXPECT_THAT(medium().Write(0, Filled(1, 9)), HasErrc(Errc::kInvalidArgument));
  EXPECT_THAT(medium().Write(204, Filled(1, 9)),
              HasErrc(Errc::kInvalidArgument));
  ASSERT_OK(medium().Write(203, Filled(1, 3)));
  ExpectRecorded(0, 3, 1);
  ExpectRecorded(3, 200, 2);
  ExpectRecorded(203, 1, 3);
  ExpectNothing(204, 8);
  ASSERT_OK(medium().Finalize());
  ExpectRecorded(0, 3, 1);
  ExpectRecorded(3, 200, 2);
  ExpectRecorded(203, 1, 3);
}

TEST_P(WriteOnceContract, RejectsRangesOutsideAndPartsOfSectors) {
  const uint64_t sectors = medium().Info().sectors;
  for (const uint64_t lba :
       {sectors - 1, sectors, std::numeric_limits<uint64_t>::max() - 1}) {
    Bytes data = Filled(2, 9);
    EXPECT_THAT(medium().Read(lba, data), HasErrc(Errc::kInvalidArgument));
    EXPECT_THAT(medium().Write(lba, data), HasErrc(Errc::kInvalidArgument));
    EXPECT_THAT(medium().NextAllocated({lba, 2}),
                HasErrc(Errc::kInvalidArgument));
  }
  Bytes part(kSectorSize + 512);
  EXPECT_THAT(medium().Read(0, part), HasErrc(Errc::kInvalidArgument));
  EXPECT_THAT(medium().Write(0, part), HasErrc(Errc::kInvalidArgument));
  ASSERT_OK(medium().Write(0, Filled(1, 1))) << "nothing was used up";
}

TEST_P(WriteOnceContract, NothingIsTakenBack) {
  ASSERT_OK(medium().Write(0, Filled(64, 1)));
  EXPECT_THAT(medium().Discard(0, 64), HasErrc(Errc::kNotSupported));
  ExpectRecorded(0, 64, 1);
}

TEST_P(WriteOnceContract, IsWriteProtectedOnceItIsClosed) {
  ASSERT_OK(medium().Write(0, Filled(64, 1)));
  ASSERT_OK(medium().Flush());
  medium().DropReadCache(0, 64);
  ExpectRecorded(0, 64, 1);
  ASSERT_OK(medium().Finalize());
  EXPECT_TRUE(medium().Info().write_protected);
  EXPECT_THAT(medium().Write(64, Filled(1, 2)), HasErrc(Errc::kWriteProtected));
  EXPECT_THAT(medium().Finalize(), HasErrc(Errc::kWriteProtected));
  ExpectRecorded(0, 64, 1);
}

TEST_P(WriteOnceContract, NextAllocatedIsWhatWasWritten) {
  ASSERT_OK_AND_ASSIGN(SectorRange run, medium().NextAllocated({0, 1024}));
  EXPECT_EQ(run.count, 0u);
  ASSERT_OK(medium().Write(0, Filled(64, 1)));
  ASSERT_OK_AND_ASSIGN(run, medium().NextAllocated({32, 992}));
  EXPECT_EQ(run.first, 32u);
  EXPECT_GE(run.end(), 64u);
}

TEST_P(WriteOnceContract, ServesManyReadersWhileItIsWritten) {
  ASSERT_OK(medium().Write(0, Filled(64, 1)));
  std::vector<std::jthread> readers;
  for (int i = 0; i < 3; ++i) {
    readers.emplace_back([&] {
      for (int n = 0; n < 50; ++n) {
        ExpectRecorded(0, 64, 1);
      }
    });
  }
  for (uint64_t at = 64; at < 512; at += 16) {
    EXPECT_OK(medium().Write(at, Filled(16, 2)));
  }
  readers.clear();
  ASSERT_OK(medium().Finalize());
  ExpectRecorded(0, 64, 1);
  ExpectRecorded(64, 448, 2);
}

}  // namespace
}  // namespace vellum
