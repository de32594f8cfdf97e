// SPDX-License-Identifier: Apache-2.0
// What every write-once Medium must do (MediumContract is for those that take
// any sector at any time), and the ones that do.
#include <gtest/gtest.h>

#include <limits>
#include <thread>
#include <utility>
#include <vector>

#include "media/scsi/scsi_drive.h"
#include "media/write_once_medium.h"
#include "tests/contract/medium_contract.h"
#include "tests/support/memory_medium.h"
#include "tests/support/scsi_disk.h"
#include "tests/support/status_matchers.h"

namespace vellum {
namespace {

// The harnesses give blank media of at least 1024 sectors.
class WriteOnceContract : public MediumContract {
 protected:
  static Bytes Filled(size_t sectors, int value) {
    return Bytes(sectors * kSectorSize, static_cast<std::byte>(value));
  }
  Bytes ReadBack(uint64_t lba, size_t sectors) {
    Bytes data = Filled(sectors, 0xEE);
    EXPECT_OK(medium().Read(lba, data));
    return data;
  }
};

TEST_P(WriteOnceContract, IsBlankAndSaysSo) {
  const MediumInfo info = medium().Info();
  EXPECT_EQ(info.medium_class, MediumClass::kWriteOnce);
  EXPECT_FALSE(info.write_protected);
  EXPECT_GE(info.sectors, 1024u);
  EXPECT_FALSE(info.name.empty());
  EXPECT_EQ(ReadBack(info.sectors - 4, 4), Filled(4, 0));
}

TEST_P(WriteOnceContract, TakesEachSectorOnceInOrder) {
  EXPECT_THAT(medium().Write(1, Filled(1, 9)), HasErrc(Errc::kInvalidArgument));
  ASSERT_OK(medium().Write(0, Filled(3, 1)));
  ASSERT_OK(medium().Write(3, Filled(200, 2)));
  EXPECT_THAT(medium().Write(0, Filled(1, 9)), HasErrc(Errc::kInvalidArgument));
  EXPECT_THAT(medium().Write(204, Filled(1, 9)),
              HasErrc(Errc::kInvalidArgument));
  ASSERT_OK(medium().Write(203, Filled(1, 3)));
  EXPECT_EQ(ReadBack(0, 3), Filled(3, 1));
  EXPECT_EQ(ReadBack(3, 200), Filled(200, 2));
  EXPECT_EQ(ReadBack(203, 1), Filled(1, 3));
  EXPECT_EQ(ReadBack(204, 8), Filled(8, 0));
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
  EXPECT_EQ(ReadBack(0, 64), Filled(64, 1));
}

TEST_P(WriteOnceContract, IsWriteProtectedOnceItIsClosed) {
  ASSERT_OK(medium().Write(0, Filled(64, 1)));
  ASSERT_OK(medium().Flush());
  medium().DropReadCache(0, 64);
  EXPECT_EQ(ReadBack(0, 64), Filled(64, 1));
  ASSERT_OK(medium().Finalize());
  EXPECT_TRUE(medium().Info().write_protected);
  EXPECT_THAT(medium().Write(64, Filled(1, 2)), HasErrc(Errc::kWriteProtected));
  EXPECT_THAT(medium().Finalize(), HasErrc(Errc::kWriteProtected));
  EXPECT_EQ(ReadBack(0, 64), Filled(64, 1));
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
        EXPECT_EQ(ReadBack(0, 64), Filled(64, 1));
      }
    });
  }
  for (uint64_t at = 64; at < 512; at += 16) {
    EXPECT_OK(medium().Write(at, Filled(16, 2)));
  }
  readers.clear();
  EXPECT_EQ(ReadBack(496, 16), Filled(16, 2));
}

class OnceHarness : public MediumHarness {
 public:
  explicit OnceHarness(std::unique_ptr<Medium> medium)
      : medium_(std::move(medium)) {}
  Medium& medium() override { return *medium_; }

 private:
  std::unique_ptr<Medium> medium_;
};

std::unique_ptr<MediumHarness> MakeWriteOnceImage() {
  return std::make_unique<OnceHarness>(std::make_unique<WriteOnceMedium>(
      std::make_unique<MemoryMedium>(4096), WrittenState::kBlank,
      [](WrittenState) { return Status::Ok(); }));
}

template <uint16_t kProfile>
std::unique_ptr<MediumHarness> MakeBlankDisc() {
  ScsiDiskOptions options;
  options.device_type = 5;
  options.transport_limit = 64 << 10;
  ScsiDisk disk(options);
  auto disc = std::make_shared<ScsiCartridge>(2048, 4096);
  disc->profile = kProfile;
  disc->blank = true;
  disk.Insert(disc);
  scsi::ScsiDrive drive(ElementAddress{256},
                        std::make_shared<scsi::Device>(disk.Open()), {});
  auto medium = drive.Open();
  VELLUM_CHECK(medium.ok());
  return std::make_unique<OnceHarness>(std::move(*medium));
}

INSTANTIATE_TEST_SUITE_P(Image, WriteOnceContract,
                         testing::Values(&MakeWriteOnceImage));
INSTANTIATE_TEST_SUITE_P(ScsiBlurayRecordable, WriteOnceContract,
                         testing::Values(&MakeBlankDisc<0x41>));
INSTANTIATE_TEST_SUITE_P(ScsiDvdPlusR, WriteOnceContract,
                         testing::Values(&MakeBlankDisc<0x1B>));

}  // namespace
}  // namespace vellum
