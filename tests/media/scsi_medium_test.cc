// SPDX-License-Identifier: Apache-2.0
// What a medium in a SCSI drive does beyond the contract of every medium
// (tests/contract): which commands it sends, and what it makes of answers.
#include "media/scsi/scsi_medium.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <array>
#include <chrono>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "media/scsi/big_endian.h"
#include "media/scsi/scsi_drive.h"
#include "media/scsi/scsi_medium.h"
#include "tests/support/scsi_disk.h"
#include "tests/support/status_matchers.h"

namespace vellum {
namespace {

constexpr uint8_t kRead10 = 0x28, kRead12 = 0xA8, kRead16 = 0x88;
constexpr uint8_t kWrite10 = 0x2A, kWrite12 = 0xAA, kWrite16 = 0x8A;
constexpr uint8_t kVerify10 = 0x2F, kSynchronize = 0x35;
constexpr uint8_t kWriteSame10 = 0x41, kWriteSame16 = 0x93;

scsi::Patience Impatient() {
  scsi::Patience patience;
  patience.busy = std::chrono::milliseconds(50);
  patience.ready = std::chrono::milliseconds(50);
  patience.first_pause = std::chrono::milliseconds(1);
  return patience;
}

Bytes Filled(size_t sectors, int value) {
  return Bytes(sectors * kSectorSize, static_cast<std::byte>(value));
}

class ScsiMediumTest : public testing::Test {
 protected:
  // A medium of 8 MiB.
  void Load(const ScsiDiskOptions& options = {}, uint32_t block_size = 512) {
    Load(options, NewCartridge(block_size));
  }
  void Load(const ScsiDiskOptions& options,
            std::shared_ptr<ScsiCartridge> cartridge,
            bool verify_writes = false) {
    medium_.reset();
    disk_ = ScsiDisk(options);
    cartridge_ = std::move(cartridge);
    disk_.Insert(cartridge_);
    drive_ = std::make_unique<scsi::ScsiDrive>(
        ElementAddress{256},
        std::make_shared<scsi::Device>(disk_.Open(), Impatient()),
        scsi::ScsiDriveOptions{std::chrono::milliseconds(100),
                               [] { return VolumeTag("V00001L1"); },
                               verify_writes});
    auto medium = drive_->Open();
    ASSERT_OK(medium);
    medium_ = std::move(*medium);
  }
  static std::shared_ptr<ScsiCartridge> NewCartridge(uint32_t block_size) {
    return std::make_shared<ScsiCartridge>(block_size, (8u << 20) / block_size);
  }
  Bytes ReadBack(uint64_t lba, size_t sectors) {
    Bytes data(sectors * kSectorSize);
    EXPECT_OK(medium_->Read(lba, data));
    return data;
  }
  std::byte OnCartridge(uint64_t lba) const {
    return cartridge_->data[lba * kSectorSize];
  }
  std::vector<ScsiDiskCommand> Sent(uint8_t code) const {
    std::vector<ScsiDiskCommand> sent;
    for (const ScsiDiskCommand& command : disk_.Log()) {
      if (command.cdb[0] == code) sent.push_back(command);
    }
    return sent;
  }

  ScsiDisk disk_;
  std::shared_ptr<ScsiCartridge> cartridge_;
  std::unique_ptr<scsi::ScsiDrive> drive_;
  std::unique_ptr<Medium> medium_;
};

TEST_F(ScsiMediumTest, SectorsAreBlocksOfTheDevice) {
  Load({}, 512);
  ASSERT_OK(medium_->Write(10, Filled(3, 7)));
  const auto sent = Sent(kWrite10);
  ASSERT_EQ(sent.size(), 1u);
  EXPECT_EQ(scsi::GetBig(sent[0].cdb, 2, 4), 40u);
  EXPECT_EQ(scsi::GetBig(sent[0].cdb, 7, 2), 12u);
  ASSERT_OK(medium_->Flush());
  EXPECT_EQ(OnCartridge(10), std::byte{7});
  EXPECT_EQ(OnCartridge(13), std::byte{0});
}

TEST_F(ScsiMediumTest, FlushSynchronizesTheCache) {
  Load();
  ASSERT_OK(medium_->Write(1, Filled(1, 7)));
  EXPECT_EQ(OnCartridge(1), std::byte{0});
  ASSERT_OK(medium_->Flush());
  EXPECT_EQ(OnCartridge(1), std::byte{7});
}

TEST_F(ScsiMediumTest, ADeviceWithoutACacheNeedsNoFlush) {
  ScsiDiskOptions options;
  options.unknown = {kSynchronize};
  Load(options);
  EXPECT_OK(medium_->Flush());
  EXPECT_OK(medium_->Flush());
  EXPECT_EQ(disk_.Count(kSynchronize), 1u);
}

TEST_F(ScsiMediumTest, UsesTheCommandsThatTheDeviceTakes) {
  ScsiDiskOptions options;
  options.unknown = {kRead10, kWrite10, kRead16};
  Load(options);
  ASSERT_OK(medium_->Write(3, Filled(2, 9)));
  EXPECT_EQ(ReadBack(3, 2), Filled(2, 9));
  EXPECT_EQ(ReadBack(4, 1), Filled(1, 9));
  EXPECT_EQ(disk_.Count(kWrite10), 1u);
  EXPECT_EQ(disk_.Count(kWrite16), 1u);
  EXPECT_EQ(disk_.Count(kWrite12), 0u);
  // Tried once, remembered.
  EXPECT_EQ(disk_.Count(kRead10), 1u);
  EXPECT_EQ(disk_.Count(kRead16), 1u);
  EXPECT_EQ(disk_.Count(kRead12), 2u);
}

TEST_F(ScsiMediumTest, TransfersAreBoundedByTheDevice) {
  ScsiDiskOptions options;
  options.block_limit = 128;  // 64 KiB
  Load(options);
  ASSERT_OK(medium_->Write(5, Filled(100, 1)));
  EXPECT_EQ(ReadBack(5, 100), Filled(100, 1));
  for (const ScsiDiskCommand& command : Sent(kWrite10)) {
    EXPECT_LE(command.bytes, 65536u);
    // But for its ends, each is a multiple of what is written at once.
    const uint64_t first = scsi::GetBig(command.cdb, 2, 4);
    EXPECT_TRUE(first == 20 || first % 128 == 0) << first;
  }
  EXPECT_EQ(Sent(kWrite10).size(), 4u);
}

TEST_F(ScsiMediumTest, TransfersAreBoundedByTheTransport) {
  ScsiDiskOptions options;
  options.transport_limit = 100'000;
  Load(options);
  ASSERT_OK(medium_->Write(0, Filled(96, 1)));
  EXPECT_EQ(Sent(kWrite10).size(), 2u);  // of 48 sectors
}

TEST_F(ScsiMediumTest, TwoCommandsAreInFlight) {
  ScsiDiskOptions options;
  options.transport_limit = 65536;
  Load(options);
  disk_.AwaitOverlap(2);
  EXPECT_EQ(ReadBack(0, 256), Filled(256, 0));
  EXPECT_EQ(disk_.most_at_once(), 2);
}

TEST_F(ScsiMediumTest, AnOpticalDriveGetsOneCommandAtATime) {
  ScsiDiskOptions options;
  options.device_type = 7;
  options.transport_limit = 65536;
  Load(options, 2048);
  ASSERT_OK(medium_->Write(0, Filled(256, 3)));
  EXPECT_EQ(disk_.most_at_once(), 1);
  uint64_t next = 0;
  for (const ScsiDiskCommand& command : Sent(kWrite10)) {
    EXPECT_EQ(scsi::GetBig(command.cdb, 2, 4), next);
    next += scsi::GetBig(command.cdb, 7, 2);
  }
  EXPECT_EQ(next, 256u);
}

TEST_F(ScsiMediumTest, ReadingBackComesFromTheMediumOnce) {
  Load();
  ASSERT_OK(medium_->Write(8, Filled(4, 5)));
  ASSERT_OK(medium_->Flush());
  cartridge_->data[9 * kSectorSize] = std::byte{6};  // written wrongly
  EXPECT_EQ(ReadBack(9, 1)[0], std::byte{5});        // the drive's cache
  medium_->DropReadCache(8, 4);
  EXPECT_EQ(ReadBack(9, 1)[0], std::byte{6});
  EXPECT_EQ(Sent(kRead10).back().cdb[1], 0x18);  // DPO and FUA
  EXPECT_EQ(ReadBack(8, 1)[0], std::byte{5});
  EXPECT_EQ(Sent(kRead10).back().cdb[1], 0x18);
  ReadBack(8, 2);
  EXPECT_EQ(Sent(kRead10).back().cdb[1], 0);
  ReadBack(10, 2);
  EXPECT_EQ(Sent(kRead10).back().cdb[1], 0x18);
  ReadBack(4, 16);
  EXPECT_EQ(Sent(kRead10).back().cdb[1], 0);
}

TEST_F(ScsiMediumTest, WithoutFuaTheMediumIsVerified) {
  ScsiDiskOptions options;
  options.takes_fua = false;
  Load(options);
  ASSERT_OK(medium_->Write(8, Filled(4, 5)));
  ASSERT_OK(medium_->Flush());
  medium_->DropReadCache(8, 4);
  EXPECT_EQ(ReadBack(8, 4), Filled(4, 5));
  EXPECT_EQ(disk_.Count(kVerify10), 1u);
  cartridge_->unreadable = {40};
  medium_->DropReadCache(8, 4);
  Bytes data(4 * kSectorSize);
  // The drive's cache would have answered.
  for (int i = 0; i < 2; ++i) {
    EXPECT_THAT(medium_->Read(8, data), HasErrc(Errc::kDeviceError));
    EXPECT_THAT(medium_->Read(8, data), MessageHas("verify at sector 10"));
  }
}

TEST_F(ScsiMediumTest, WithoutFuaAndVerifyItIsReadAsItIs) {
  ScsiDiskOptions options;
  options.takes_fua = false;
  options.unknown = {kVerify10};
  Load(options);
  ASSERT_OK(medium_->Write(8, Filled(4, 5)));
  medium_->DropReadCache(8, 4);
  EXPECT_EQ(ReadBack(8, 2), Filled(2, 5));
  EXPECT_EQ(ReadBack(10, 2), Filled(2, 5));
  EXPECT_EQ(disk_.Count(kVerify10), 1u);
}

TEST_F(ScsiMediumTest, DiscDrivesAreNotToldDpo) {
  ScsiDiskOptions options;
  options.device_type = 5;  // MMC reserves the bit
  options.takes_dpo = false;
  auto disc = NewCartridge(2048);
  disc->profile = 0x43;
  Load(options, disc);
  medium_->DropReadCache(8, 4);
  ReadBack(8, 4);
  ASSERT_EQ(Sent(kRead10).size(), 1u);
  EXPECT_EQ(Sent(kRead10).back().cdb[1], 0x08);
}

TEST_F(ScsiMediumTest, WhatADriveRefusesIsRememberedFromMediumToMedium) {
  ScsiDiskOptions options;
  options.takes_dpo = false;
  Load(options);
  medium_->DropReadCache(8, 8);
  ReadBack(8, 4);
  ASSERT_EQ(Sent(kRead10).size(), 2u);
  EXPECT_EQ(Sent(kRead10)[0].cdb[1], 0x18);
  EXPECT_EQ(Sent(kRead10)[1].cdb[1], 0x08);
  medium_.reset();
  ASSERT_OK(drive_->Close());
  ASSERT_OK_AND_ASSIGN(medium_, drive_->Open());
  medium_->DropReadCache(8, 4);
  ReadBack(8, 4);
  ASSERT_EQ(Sent(kRead10).size(), 3u);
  EXPECT_EQ(Sent(kRead10)[2].cdb[1], 0x08);
  EXPECT_STREQ(static_cast<const scsi::ScsiMedium&>(*medium_).ReadBackMethod(),
               "FUA");
}

// What is wrong with one command is not what the drive cannot do.
TEST_F(ScsiMediumTest, ARefusalThatNothingHelpsAgainstIsForgotten) {
  Load();
  Bytes data(kSectorSize);
  medium_->DropReadCache(8, 1);
  cartridge_->refused = {32};
  EXPECT_THAT(medium_->Read(8, data), HasErrc(Errc::kDeviceError));
  cartridge_->refused.clear();
  ReadBack(8, 1);
  EXPECT_EQ(Sent(kRead10).back().cdb[1], 0x18);
}

TEST_F(ScsiMediumTest, ErrorsNameTheSectorThatFailed) {
  Load();
  cartridge_->unreadable = {4 * 21 + 1};
  Bytes data(8 * kSectorSize);
  const Status status = medium_->Read(16, data);
  EXPECT_THAT(status, HasErrc(Errc::kDeviceError));
  EXPECT_THAT(status, MessageHas("V00001L1 in drive 256: read at sector 21"));
  EXPECT_THAT(status, MessageHas("3/11/00"));
  EXPECT_OK(medium_->Read(0, data));
}

TEST_F(ScsiMediumTest, WriteProtectionThatComesLaterIsReported) {
  Load();
  cartridge_->write_protected = true;
  EXPECT_THAT(medium_->Write(0, Filled(1, 1)), HasErrc(Errc::kWriteProtected));
}

TEST_F(ScsiMediumTest, DiscardHasTheDriveWriteZeros) {
  for (const uint32_t block_size : {512u, 2048u, 4096u}) {
    SCOPED_TRACE(block_size);
    Load({}, block_size);
    ASSERT_OK(medium_->Write(0, Filled(4096, 7)));
    ASSERT_OK(medium_->Discard(3, 4000));  // 2000 blocks of 4096, two halves
    ASSERT_OK(medium_->Flush());
    EXPECT_GE(disk_.Count(kWriteSame10), 1u);
    EXPECT_EQ(OnCartridge(2), std::byte{7});
    EXPECT_EQ(OnCartridge(4003), std::byte{7});
    EXPECT_EQ(ReadBack(3, 4000), Filled(4000, 0));
    for (const ScsiDiskCommand& command : Sent(kWriteSame10)) {
      EXPECT_EQ(command.bytes, block_size);
    }
  }
}

TEST_F(ScsiMediumTest, DiscardSendsZerosWhereTheDriveWritesNone) {
  ScsiDiskOptions options;
  options.unknown = {kWriteSame10, kWriteSame16};
  Load(options);
  ASSERT_OK(medium_->Write(0, Filled(4096, 7)));
  ASSERT_OK(medium_->Discard(1, 4095));
  ASSERT_OK(medium_->Discard(1, 10));
  EXPECT_EQ(disk_.Count(kWriteSame10), 1u);  // it is not asked again
  EXPECT_EQ(ReadBack(0, 1), Filled(1, 7));
  EXPECT_EQ(ReadBack(1, 4095), Filled(4095, 0));
}

TEST_F(ScsiMediumTest, ADriveIsAskedWhetherItWritesZeros) {
  ScsiDiskOptions options;
  options.reports_operations = true;
  options.unknown = {kWriteSame10, kWriteSame16};
  Load(options);
  ASSERT_OK(medium_->Write(0, Filled(4096, 7)));
  ASSERT_OK(medium_->Discard(1, 4095));
  EXPECT_EQ(disk_.Count(kWriteSame10) + disk_.Count(kWriteSame16), 0u);
  EXPECT_EQ(ReadBack(1, 4095), Filled(4095, 0));
  ASSERT_OK_AND_ASSIGN(std::string how,
                       static_cast<scsi::ScsiMedium&>(*medium_).ZeroMethod());
  EXPECT_THAT(how, testing::HasSubstr("no WRITE SAME"));

  options.unknown = {kWriteSame10};
  Load(options);
  ASSERT_OK(medium_->Write(0, Filled(4096, 7)));
  ASSERT_OK(medium_->Discard(0, 4096));
  EXPECT_EQ(disk_.Count(kWriteSame10), 0u);
  EXPECT_EQ(disk_.Count(kWriteSame16), 1u);
  EXPECT_EQ(ReadBack(0, 4096), Filled(4096, 0));
  ASSERT_OK_AND_ASSIGN(how,
                       static_cast<scsi::ScsiMedium&>(*medium_).ZeroMethod());
  EXPECT_EQ(how, "WRITE SAME(16), 16384 KiB with each");
}

TEST_F(ScsiMediumTest, NoMoreZerosAreAskedForThanTheDriveWritesAtOnce) {
  for (const uint64_t most : {uint64_t{102}, uint64_t{3}, uint64_t{1} << 40}) {
    SCOPED_TRACE(most);
    ScsiDiskOptions options;
    options.most_write_same = most;  // of 512 bytes
    Load(options);
    ASSERT_OK(medium_->Write(0, Filled(200, 7)));
    ASSERT_OK(medium_->Discard(0, 100));
    EXPECT_EQ(ReadBack(0, 100), Filled(100, 0));
    EXPECT_EQ(ReadBack(100, 1), Filled(1, 7));
    const auto sent = Sent(kWriteSame10);
    // 25 sectors are 100 blocks; 3 blocks are no sector.
    EXPECT_EQ(sent.size(), most == 102 ? 4u : most == 3 ? 0u : 1u);
    for (const ScsiDiskCommand& command : sent) {
      EXPECT_LE(scsi::GetBig(command.cdb, 7, 2), most);
    }
  }
}

// Some of them hang when they are asked what they know.
TEST_F(ScsiMediumTest, AnOldDriveIsNotAsked) {
  constexpr uint8_t kReportOperations = 0xA3;
  ScsiDiskOptions options;
  options.version = 4;  // SPC-2
  Load(options);
  ASSERT_OK(medium_->Discard(0, 4096));
  EXPECT_EQ(disk_.Count(kReportOperations), 0u);
  EXPECT_EQ(disk_.Count(kWriteSame10), 1u);
  options.version = 5;
  Load(options);
  ASSERT_OK(medium_->Discard(0, 4096));
  EXPECT_EQ(disk_.Count(kReportOperations), 2u);
  EXPECT_EQ(disk_.Count(kWriteSame10), 1u) << "it does not know the question";
}

TEST_F(ScsiMediumTest, AFailedWriteOfZerosIsReported) {
  Load();
  disk_.FailNext(kWriteSame10, 3, 0x0C, 0x00);
  const Status status = medium_->Discard(0, 4096);
  EXPECT_THAT(status, HasErrc(Errc::kDeviceError));
  EXPECT_THAT(status, MessageHas("3/0C/00"));
}

TEST_F(ScsiMediumTest, WritesThatAreVerifiedAreNotLeftToTheDrive) {
  Load({}, NewCartridge(2048), /*verify_writes=*/true);
  ASSERT_OK(medium_->Discard(0, 64));
  EXPECT_EQ(disk_.Count(kWriteSame10), 0u);
}

TEST_F(ScsiMediumTest, AnotherMediumIsNeverWritten) {
  Load();
  ASSERT_OK(medium_->Write(0, Filled(1, 1)));
  const auto other = NewCartridge(512);
  disk_.SwapDuring(kWrite10, other);
  const Status status = medium_->Write(1, Filled(1, 2));
  EXPECT_THAT(status, HasErrc(Errc::kNoMedium));
  EXPECT_THAT(status, MessageHas("V00001L1 in drive 256"));
  Bytes data(kSectorSize);
  EXPECT_THAT(medium_->Write(1, Filled(1, 2)), HasErrc(Errc::kNoMedium));
  EXPECT_THAT(medium_->Read(1, data), HasErrc(Errc::kNoMedium));
  EXPECT_THAT(medium_->Flush(), HasErrc(Errc::kNoMedium));
  EXPECT_THAT(medium_->Discard(1, 1), HasErrc(Errc::kNoMedium));
  EXPECT_EQ(disk_.Count(kSynchronize), 0u);
  disk_.Remove();  // with what it had in its cache
  EXPECT_EQ(other->data, NewCartridge(512)->data);
}

TEST_F(ScsiMediumTest, AnotherMediumIsNotReadForTheOldOne) {
  Load();
  const auto other = NewCartridge(512);
  std::fill(other->data.begin(), other->data.end(), std::byte{9});
  disk_.SwapDuring(kRead10, other);
  Bytes data(kSectorSize);
  EXPECT_THAT(medium_->Read(1, data), HasErrc(Errc::kNoMedium));
  EXPECT_EQ(data, Filled(1, 0));
}

TEST_F(ScsiMediumTest, ARemovedMediumIsGoneForGood) {
  Load();
  const auto same = disk_.Remove();
  Bytes data(kSectorSize);
  EXPECT_THAT(medium_->Read(0, data), HasErrc(Errc::kNoMedium));
  disk_.Insert(same, /*attention=*/false);
  EXPECT_THAT(medium_->Read(0, data), HasErrc(Errc::kNoMedium));
  medium_.reset();
  ASSERT_OK(drive_->Close());
  ASSERT_OK_AND_ASSIGN(medium_, drive_->Open());
  EXPECT_OK(medium_->Read(0, data));
}

TEST_F(ScsiMediumTest, AfterAResetNothingIsCalledDurable) {
  Load();
  ASSERT_OK(medium_->Write(0, Filled(1, 1)));
  disk_.Reset();
  EXPECT_THAT(medium_->Flush(), HasErrc(Errc::kDeviceError));
  EXPECT_THAT(medium_->Flush(), MessageHas("reset"));
  EXPECT_THAT(medium_->Write(1, Filled(1, 1)), HasErrc(Errc::kDeviceError));
  EXPECT_EQ(ReadBack(0, 1), Filled(1, 0));  // as it was on the medium
}

TEST_F(ScsiMediumTest, AResetSeenByAReadIsNotForgottenByTheFlush) {
  Load();
  ASSERT_OK(medium_->Write(0, Filled(1, 1)));
  disk_.Reset();
  ReadBack(5, 1);
  EXPECT_THAT(medium_->Flush(), HasErrc(Errc::kDeviceError));
}

TEST_F(ScsiMediumTest, AFailedFlushIsNotRepeated) {
  Load();
  disk_.FailNext(kSynchronize, 3, 0x0C, 0x00);
  EXPECT_THAT(medium_->Flush(), HasErrc(Errc::kDeviceError));
  EXPECT_THAT(medium_->Flush(), HasErrc(Errc::kDeviceError));
  EXPECT_EQ(disk_.Count(kSynchronize), 1u);
}

TEST_F(ScsiMediumTest, AWriteOnceDiscIsWrittenInOrderAndClosed) {
  for (const uint8_t closing : {6, 1}) {
    ScsiDiskOptions options;
    options.device_type = 5;
    options.closing_function = closing;
    auto disc = NewCartridge(2048);
    disc->profile = 0x41;
    disc->blank = true;
    Load(options, disc);
    auto& medium = static_cast<scsi::ScsiMedium&>(*medium_);
    EXPECT_EQ(ReadBack(0, 4), Filled(4, 0));  // nothing is asked of the drive
    ASSERT_OK_AND_ASSIGN(SectorRange data, medium.NextAllocated({0, 4096}));
    EXPECT_EQ(data.count, 0u);
    EXPECT_THAT(medium.Write(1, Filled(1, 1)), HasErrc(Errc::kInvalidArgument));
    ASSERT_OK(medium.Write(0, Filled(600, 1)));
    EXPECT_THAT(medium.Write(0, Filled(1, 1)), MessageHas("sector 600"));
    ASSERT_OK(medium.Write(600, Filled(2, 2)));
    EXPECT_THAT(medium.Discard(602, 1), HasErrc(Errc::kNotSupported));
    medium.DropReadCache(0, 4096);
    EXPECT_EQ(ReadBack(599, 1), Filled(1, 1));
    EXPECT_EQ(ReadBack(601, 2)[0], std::byte{2});
    EXPECT_EQ(ReadBack(601, 2)[kSectorSize], std::byte{0});
    ASSERT_OK_AND_ASSIGN(data, medium.NextAllocated({0, 4096}));
    EXPECT_EQ(data, (SectorRange{0, 602}));
    EXPECT_FALSE(medium.Info().write_protected);
    ASSERT_OK(medium.Finalize());
    EXPECT_FALSE(disc->blank);
    EXPECT_TRUE(medium.Info().write_protected);
    EXPECT_THAT(medium.Write(602, Filled(1, 1)),
                HasErrc(Errc::kWriteProtected));
    EXPECT_THAT(medium.Finalize(), HasErrc(Errc::kWriteProtected));
    EXPECT_EQ(disk_.Count(0x5B), closing == 6 ? 2u : 1u);
  }
}

// What MMC drives say to a READ before the disc is closed.
TEST_F(ScsiMediumTest, ADriveThatReadsNoOpenDiscIsKnownByItsAnswer) {
  using Answer = std::array<uint8_t, 3>;
  const struct {
    Answer sense;
    bool forgets = false;  // it says that nothing is recorded
    Errc code = Errc::kNotSupported;
  } kCases[] = {
      {Answer{5, 0x21, 0x00}},
      {Answer{5, 0x30, 0x02}},
      {Answer{2, 0x04, 0x02}},
      {Answer{2, 0x04, 0x08}},  // for longer than anybody waits
      {Answer{5, 0x64, 0x00}},
      {Answer{8, 0x00, 0x00}},
      {Answer{3, 0x11, 0x05}, true},
      // It knows that there should be something.
      {Answer{3, 0x11, 0x05}, false, Errc::kDeviceError},
      {Answer{3, 0x02, 0x00}, true, Errc::kDeviceError},
      {Answer{5, 0x24, 0x00}, true, Errc::kDeviceError},
  };
  for (const auto& c : kCases) {
    SCOPED_TRACE(testing::Message() << int{c.sense[0]} << "/" << int{c.sense[1]}
                                    << " " << c.forgets);
    ScsiDiskOptions options;
    options.device_type = 5;
    options.open_disc_sense = c.sense;
    options.forgets_open_disc = c.forgets;
    auto disc = NewCartridge(2048);
    disc->profile = 0x41;
    disc->blank = true;
    Load(options, disc);
    ASSERT_OK(medium_->Write(0, Filled(64, 1)));
    Bytes begin(32 * kSectorSize);
    medium_->DropReadCache(0, 64);
    EXPECT_THAT(medium_->Read(0, begin), HasErrc(c.code));
    EXPECT_THAT(medium_->Read(0, begin), HasErrc(c.code));
    ASSERT_OK(medium_->Finalize());
    EXPECT_EQ(ReadBack(0, 64), Filled(64, 1));
  }
}

TEST_F(ScsiMediumTest, AfterAFailedWriteAWriteOnceDiscIsNotWritten) {
  ScsiDiskOptions options;
  options.device_type = 5;
  auto disc = NewCartridge(2048);
  disc->profile = 0x1B;
  disc->blank = true;
  Load(options, disc);
  ASSERT_OK(medium_->Write(0, Filled(1, 1)));
  disk_.FailNext(kWrite10, 3, 0x0C, 0x00);
  EXPECT_THAT(medium_->Write(1, Filled(1, 1)), HasErrc(Errc::kDeviceError));
  EXPECT_THAT(medium_->Write(1, Filled(1, 1)), HasErrc(Errc::kInvalidArgument));
  EXPECT_EQ(disk_.Count(kWrite10), 2u);
}

TEST_F(ScsiMediumTest, ARewritableMediumIsNotFinalized) {
  Load();
  EXPECT_THAT(static_cast<scsi::ScsiMedium&>(*medium_).Finalize(),
              HasErrc(Errc::kNotSupported));
}

TEST_F(ScsiMediumTest, ADeadDriveCostsOneTimeOut) {
  Load();
  disk_.Hang();
  Bytes data(kSectorSize);
  EXPECT_THAT(medium_->Read(0, data), HasErrc(Errc::kOffline));
  const size_t sent = disk_.Log().size();
  EXPECT_THAT(medium_->Read(0, data), HasErrc(Errc::kOffline));
  EXPECT_THAT(medium_->Write(0, data), HasErrc(Errc::kOffline));
  EXPECT_THAT(medium_->Flush(), HasErrc(Errc::kOffline));
  EXPECT_EQ(disk_.Log().size(), sent);
}

TEST_F(ScsiMediumTest, ADriveThatVanishedIsOffline) {
  Load();
  disk_.Vanish();
  Bytes data(kSectorSize);
  EXPECT_THAT(medium_->Read(0, data), HasErrc(Errc::kOffline));
  medium_.reset();
  EXPECT_OK(drive_->Close());
}

// ---- blocks of two sectors

TEST_F(ScsiMediumTest, PartsOfABlockLeaveTheRestOfItAlone) {
  Load({}, 4096);
  ASSERT_OK(medium_->Write(0, Filled(8, 1)));
  disk_.Attention(0x2A, 0x01);
  // In the middle of a block, over several, and at both ends.
  ASSERT_OK(medium_->Write(1, Filled(1, 2)));
  ASSERT_OK(medium_->Write(3, Filled(4, 3)));
  ASSERT_OK(medium_->Flush());
  const int expected[] = {1, 2, 1, 3, 3, 3, 3, 1};
  for (int i = 0; i < 8; ++i) {
    EXPECT_EQ(static_cast<int>(
                  cartridge_->data[static_cast<size_t>(i) * kSectorSize]),
              expected[i])
        << i;
    Bytes sector(kSectorSize);
    ASSERT_OK(medium_->Read(static_cast<uint64_t>(i), sector));
    EXPECT_EQ(sector, Filled(1, expected[i])) << i;
  }
  Bytes across(3 * kSectorSize);
  ASSERT_OK(medium_->Read(1, across));
  EXPECT_EQ(across.front(), std::byte{2});
  EXPECT_EQ(across.back(), std::byte{3});
}

TEST_F(ScsiMediumTest, WholeBlocksAreWrittenWithoutBeingRead) {
  Load({}, 4096);
  ASSERT_OK(medium_->Write(2, Filled(6, 1)));
  EXPECT_EQ(Sent(kRead10).size(), 0u);
  ASSERT_OK(medium_->Write(3, Filled(1, 1)));
  EXPECT_EQ(Sent(kRead10).size(), 1u);
}

TEST_F(ScsiMediumTest, APartOfABlockThatCannotBeReadIsNotWritten) {
  Load({}, 4096);
  cartridge_->unreadable.insert(1);
  const Status status = medium_->Write(3, Filled(1, 1));
  EXPECT_THAT(status, HasErrc(Errc::kDeviceError));
  EXPECT_THAT(status, MessageHas("rest of a block"));
  EXPECT_EQ(disk_.Count(kWrite10), 0u);
  EXPECT_OK(medium_->Write(2, Filled(2, 1))) << "all of it";
}

// Two threads that write the two sectors of one block, many times.
TEST_F(ScsiMediumTest, PartsOfOneBlockAreWrittenByOneAtATime) {
  Load({}, 4096);
  const auto write = [&](uint64_t sector) {
    for (int i = 1; i < 100; ++i) {
      EXPECT_OK(medium_->Write(sector, Filled(1, i)));
      Bytes back(kSectorSize);
      EXPECT_OK(medium_->Read(sector, back));
      EXPECT_EQ(back, Filled(1, i));
    }
  };
  std::jthread other([&] { write(5); });
  write(4);
}

// ---- writes that the drive checks

TEST_F(ScsiMediumTest, CheckedWritesUseWhatTheDriveTakes) {
  constexpr uint8_t kWriteAndVerify10 = 0x2E;
  const struct {
    ScsiDiskOptions options;
    const char* method;
    bool compares;
  } kCases[] = {
      {{}, "WRITE AND VERIFY, compared", true},
      {{.takes_compare = false}, "WRITE AND VERIFY", false},
      {{.unknown = {kWriteAndVerify10}}, "VERIFY", false},
      {{.unknown = {kWriteAndVerify10, kVerify10}}, "reading back", true},
      {{.takes_fua = false, .unknown = {kWriteAndVerify10, kVerify10}},
       "reading back",
       false},
  };
  for (const auto& entry : kCases) {
    Load(entry.options, NewCartridge(512), /*verify_writes=*/true);
    ASSERT_OK(medium_->Write(0, Filled(8, 1)));
    ASSERT_OK(medium_->Write(8, Filled(8, 2)));
    ASSERT_OK(medium_->Flush());
    Bytes back(16 * kSectorSize);
    ASSERT_OK(medium_->Read(0, back));
    EXPECT_EQ(back.front(), std::byte{1});
    EXPECT_EQ(back.back(), std::byte{2});
    const auto* medium = dynamic_cast<scsi::ScsiMedium*>(medium_.get());
    ASSERT_NE(medium, nullptr);
    EXPECT_STREQ(medium->WriteCheckMethod(), entry.method);
    EXPECT_LE(disk_.Count(kWriteAndVerify10), 3u) << "is asked for again";

    // A block that does not keep what is written, and one that cannot be read.
    cartridge_->weak.insert(80);
    const Status weak = medium_->Write(20, Filled(4, 3));
    EXPECT_EQ(weak.ok(), !entry.compares) << entry.method;
    if (!entry.compares) continue;
    EXPECT_THAT(weak, HasErrc(Errc::kDeviceError));
    EXPECT_THAT(weak, MessageHas("at sector 20"));
  }
}

TEST_F(ScsiMediumTest, WritesAreNotCheckedUnlessAskedFor) {
  Load();
  ASSERT_OK(medium_->Write(0, Filled(8, 1)));
  EXPECT_EQ(disk_.Count(0x2E), 0u);
  EXPECT_EQ(disk_.Count(kVerify10), 0u);
}

}  // namespace
}  // namespace vellum
