// SPDX-License-Identifier: Apache-2.0
// How a medium in a SCSI drive is written: zeros, parts of blocks, discs that
// are written once, writes that are checked.
#include <gtest/gtest.h>

#include <array>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "tests/media/scsi_medium_fixture.h"

namespace vellum {
namespace {

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

// A limit may exist and be told nowhere: the refusal is all there is of it.
TEST_F(ScsiMediumTest, ShorterZerosAreTriedWhereALengthIsRefused) {
  for (const bool knows_10 : {true, false}) {
    SCOPED_TRACE(knows_10);
    ScsiDiskOptions options;
    options.most_write_same = 1000;  // of 512 bytes, 250 sectors
    options.tells_write_same = false;
    if (!knows_10) options.unknown = {kWriteSame10};
    const uint8_t code = knows_10 ? kWriteSame10 : kWriteSame16;
    Load(options);
    ASSERT_OK(medium_->Write(0, Filled(4096, 7)));
    const size_t written = disk_.Count(kWrite10);
    ASSERT_OK(medium_->Discard(1, 4000));
    EXPECT_EQ(ReadBack(0, 1), Filled(1, 7));
    EXPECT_EQ(ReadBack(1, 4000), Filled(4000, 0));
    EXPECT_EQ(ReadBack(4001, 95), Filled(95, 7));
    EXPECT_EQ(disk_.Count(kWrite10), written) << "no zeros over the bus";
    // 4000 and 1000 sectors are refused, 250 are not.
    EXPECT_EQ(disk_.Count(code), 2u + 16u);
    // The next medium of the drive profits.
    medium_.reset();
    ASSERT_OK(drive_->Close());
    ASSERT_OK_AND_ASSIGN(medium_, drive_->Open());
    ASSERT_OK(medium_->Discard(0, 500));
    EXPECT_EQ(disk_.Count(code), 2u + 16u + 2u);
    ASSERT_OK_AND_ASSIGN(const std::string how,
                         static_cast<scsi::ScsiMedium&>(*medium_).ZeroMethod());
    EXPECT_THAT(how, testing::HasSubstr(", 500 KiB with each"));
  }
}

TEST_F(ScsiMediumTest, ADriveThatRefusesEveryLengthGetsZerosOverTheBus) {
  ScsiDiskOptions options;
  options.most_write_same = 1;
  options.tells_write_same = false;
  for (const uint32_t block_size : {512u, 4096u}) {
    SCOPED_TRACE(block_size);
    Load(options, block_size);
    ASSERT_OK(medium_->Write(0, Filled(4096, 7)));
    ASSERT_OK(medium_->Discard(0, 4094));
    EXPECT_EQ(ReadBack(0, 4094), Filled(4094, 0));
    EXPECT_EQ(ReadBack(4094, 2), Filled(2, 7));
    const size_t tried = disk_.Count(kWriteSame10) + disk_.Count(kWriteSame16);
    EXPECT_EQ(tried, 2u * 5u);  // 4094 sectors, …, 32
    ASSERT_OK(medium_->Discard(0, 4094));
    EXPECT_EQ(disk_.Count(kWriteSame10) + disk_.Count(kWriteSame16), tried);
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
