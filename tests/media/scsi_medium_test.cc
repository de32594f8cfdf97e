// SPDX-License-Identifier: Apache-2.0
// What a medium in a SCSI drive does beyond the contract of every medium
// (tests/contract): which commands it sends, and what it makes of answers.
#include "media/scsi/scsi_medium.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <atomic>
#include <functional>
#include <memory>
#include <thread>

#include "tests/media/scsi_medium_fixture.h"

namespace vellum {
namespace {

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

TEST_F(ScsiMediumTest, ADeviceThatQueuesNoneGetsOneCommandAtATime) {
  for (const uint8_t device_type : {0, 5, 7}) {
    SCOPED_TRACE(static_cast<int>(device_type));
    ScsiDiskOptions options;
    options.device_type = device_type;
    options.queues = false;
    options.transport_limit = 65536;
    const auto cartridge = NewCartridge(2048);
    cartridge->profile = 0x43;  // BD-RE
    Load(options, cartridge);
    ASSERT_OK(medium_->Write(0, Filled(256, 3)));
    EXPECT_EQ(ReadBack(0, 256), Filled(256, 3));
    EXPECT_EQ(disk_.most_at_once(), 1);
  }
}

TEST_F(ScsiMediumTest, DiscsAreReadByTwoCommandsAndWrittenInOrder) {
  for (const uint8_t device_type : {5, 7}) {
    SCOPED_TRACE(static_cast<int>(device_type));
    ScsiDiskOptions options;
    options.device_type = device_type;
    options.transport_limit = 65536;
    const auto cartridge = NewCartridge(2048);
    cartridge->profile = 0x43;
    Load(options, cartridge);
    ASSERT_OK(medium_->Write(0, Filled(256, 3)));
    EXPECT_EQ(disk_.most_at_once(), 1);
    uint64_t next = 0;
    for (const ScsiDiskCommand& command : Sent(kWrite10)) {
      EXPECT_EQ(scsi::GetBig(command.cdb, 2, 4), next);
      next += scsi::GetBig(command.cdb, 7, 2);
    }
    EXPECT_EQ(next, 256u);
    disk_.AwaitOverlap(2);
    EXPECT_EQ(ReadBack(0, 256), Filled(256, 3));
    EXPECT_EQ(disk_.most_at_once(), 2);
  }
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

// An erased magneto-optical medium, which has no data to read.
class ErasedMediumTest : public ScsiMediumTest {
 protected:
  void LoadErased(ScsiDiskOptions options, uint32_t block_size = 512) {
    options.device_type = 7;
    Load(options, NewErased(block_size));
  }
  static std::shared_ptr<ScsiCartridge> NewErased(uint32_t block_size) {
    const auto cartridge = NewCartridge(block_size);
    for (uint64_t b = 0; b < cartridge->blocks(); ++b) {
      cartridge->erased.insert(b);
      cartridge->data[b * block_size] = std::byte{0xEE};  // never seen
    }
    return cartridge;
  }
  // Before the `n`th VERIFY.
  void Before(size_t n, std::function<void()> happens) {
    hook_ = [this, n, happens](const scsi::Command& command) {
      if (command.cdb[0] == kVerify10 && disk_.Count(kVerify10) + 1 == n) {
        happens();
      }
    };
  }
};

// It counts as blank.
TEST_F(ErasedMediumTest, WhatIsErasedReadsAsZeros) {
  for (const bool takes_fua : {true, false}) {
    for (const bool blank_verify : {true, false}) {
      for (const uint32_t block_size : {512u, 4096u}) {
        SCOPED_TRACE(testing::Message()
                     << takes_fua << ' ' << blank_verify << ' ' << block_size);
        ScsiDiskOptions options;
        options.takes_fua = takes_fua;
        options.takes_blank_verify = blank_verify;
        LoadErased(options, block_size);
        const size_t before = disk_.Log().size();
        EXPECT_EQ(ReadBack(0, 512), Filled(512, 0));
        const size_t asked = disk_.Log().size() - before;
        EXPECT_TRUE(blank_verify ? asked == 3 : asked > 512 / 2) << asked;
        // What was written stands among it.
        ASSERT_OK(medium_->Write(101, Filled(2, 7)));
        ASSERT_OK(medium_->Flush());
        for (const bool dropped : {false, true}) {
          if (dropped) medium_->DropReadCache(0, 512);
          Bytes data(512 * kSectorSize);
          ASSERT_OK(medium_->Read(0, data));
          const auto part = [&](size_t sector, size_t count) {
            const auto from = data.begin() + sector * kSectorSize;
            return Bytes(from, from + count * kSectorSize);
          };
          EXPECT_EQ(part(0, 101), Filled(101, 0));
          EXPECT_EQ(part(101, 2), Filled(2, 7));
          EXPECT_EQ(part(103, 409), Filled(409, 0));
        }
      }
    }
  }
}

TEST_F(ErasedMediumTest, WithoutVerifyItIsReadInParts) {
  ScsiDiskOptions options;
  options.unknown = {kVerify10};
  LoadErased(options);
  EXPECT_EQ(ReadBack(0, 64), Filled(64, 0));
  EXPECT_EQ(disk_.Count(kVerify10), 1u);
}

TEST_F(ErasedMediumTest, AnotherErasedMediumIsNotReadForIt) {
  for (const size_t verify : {1, 2}) {
    SCOPED_TRACE(verify);
    LoadErased({});
    Before(verify, [&] { disk_.Insert(NewErased(512)); });
    Bytes data(64 * kSectorSize);
    EXPECT_THAT(medium_->Read(0, data), HasErrc(Errc::kNoMedium));
  }
}

// Another command may have been told of the change.
TEST_F(ErasedMediumTest, ZerosAreOfTheMediumThatIsKnownToBeThere) {
  LoadErased({});
  Before(2, [&] {
    disk_.Insert(NewErased(512));
    EXPECT_OK(device_->WaitReady(std::chrono::seconds(1)));
  });
  Bytes data(64 * kSectorSize);
  EXPECT_THAT(medium_->Read(0, data), HasErrc(Errc::kNoMedium));
}

TEST_F(ErasedMediumTest, ADriveThatDiesCostsOneTimeOut) {
  for (const size_t verify : {1, 2}) {
    SCOPED_TRACE(verify);
    LoadErased({});
    Before(verify, [&] { disk_.Hang(); });
    Bytes data(64 * kSectorSize);
    EXPECT_THAT(medium_->Read(0, data), HasErrc(Errc::kOffline));
    EXPECT_EQ(disk_.Log().back().cdb[0], kVerify10);
    EXPECT_EQ(disk_.Count(kVerify10), verify);
  }
}

TEST_F(ErasedMediumTest, AnErrorOfTheDriveIsNoErasedBlock) {
  LoadErased({});
  disk_.FailNext(kVerify10, 4, 0x44, 0x00);
  Bytes data(64 * kSectorSize);
  EXPECT_THAT(medium_->Read(0, data), HasErrc(Errc::kDeviceError));
  EXPECT_EQ(disk_.Count(kRead10), 1u);
}

// The parts of what is partly erased, too.
TEST_F(ErasedMediumTest, ReadingBackComesFromTheMedium) {
  for (const bool takes_fua : {true, false}) {
    SCOPED_TRACE(takes_fua);
    ScsiDiskOptions options;
    options.takes_fua = takes_fua;
    LoadErased(options);
    ASSERT_OK(medium_->Write(40, Filled(2, 7)));
    ASSERT_OK(medium_->Flush());
    cartridge_->unreadable = {41 * 4};
    Bytes data(64 * kSectorSize);
    ASSERT_OK(medium_->Read(0, data));  // the drive's cache
    medium_->DropReadCache(0, 64);
    EXPECT_THAT(medium_->Read(0, data), HasErrc(Errc::kDeviceError));
    EXPECT_THAT(medium_->Read(0, data), MessageHas("at sector 41"));
  }
}

// What the drive's cache still has is not on the medium.
TEST_F(ErasedMediumTest, WhatIsOnlyInTheCacheDoesNotReadBack) {
  ScsiDiskOptions options;
  options.takes_fua = false;
  LoadErased(options);
  medium_->DropReadCache(8, 1);
  hook_ = [this](const scsi::Command& command) {
    // After its VERIFY, and the reads that FUA was tried with.
    if (command.cdb[0] == kRead10 && disk_.Count(kVerify10) == 1) {
      cartridge_->erased.clear();
    }
  };
  Bytes data(kSectorSize);
  const Status status = medium_->Read(8, data);
  EXPECT_THAT(status, HasErrc(Errc::kDeviceError));
  EXPECT_THAT(status, MessageHas("verify at sector 8"));
}

// A block that was written and is blank has lost what was written.
TEST_F(ErasedMediumTest, AWriteThatLeavesABlankBlockHasFailed) {
  ScsiDiskOptions options;
  options.device_type = 7;
  options.unknown = {0x2E, 0xAE, 0x8E};  // WRITE AND VERIFY
  Load(options, NewErased(512), /*verify_writes=*/true);
  ASSERT_OK(medium_->Write(8, Filled(1, 7)));
  Before(2, [&] { cartridge_->erased.insert(64); });
  EXPECT_THAT(medium_->Write(16, Filled(1, 7)), HasErrc(Errc::kDeviceError));
}

TEST_F(ScsiMediumTest, ADiskThatCallsABlockBlankHasLostIt) {
  Load();
  cartridge_->erased = {40};
  Bytes data(kSectorSize);
  EXPECT_THAT(medium_->Read(10, data), HasErrc(Errc::kDeviceError));
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

// One of two commands is told of the change: it must be the only one.
TEST_F(ScsiMediumTest, NoPieceOfAWriteGoesToAnotherMedium) {
  ScsiDiskOptions options;
  options.transport_limit = 65536;
  Load(options);
  const auto other = NewCartridge(512);
  disk_.AwaitOverlap(2);
  disk_.SwapDuring(kWrite10, other);
  EXPECT_THAT(medium_->Write(0, Filled(256, 2)), HasErrc(Errc::kNoMedium));
  EXPECT_EQ(disk_.Count(kWrite10), 1u);
  disk_.Remove();
  EXPECT_EQ(other->data, NewCartridge(512)->data);
}

TEST_F(ScsiMediumTest, NoWriteBesideAnotherCommandGoesToAnotherMedium) {
  Bytes data(kSectorSize);
  const auto read = [&] { return medium_->Read(0, data); };
  const auto write = [&] { return medium_->Write(1, Filled(1, 2)); };
  const auto flush = [&] { return medium_->Flush(); };
  const auto zero = [&] { return medium_->Discard(2, 1); };
  struct {
    uint8_t first_code;
    std::function<Status()> first, second;
  } const pairs[] = {
      {kRead10, read, write},       {kWrite10, write, write},
      {kSynchronize, flush, write}, {kWriteSame10, zero, write},
      {kRead10, read, zero},        {kSynchronize, flush, zero},
  };
  for (const auto& [code, first, second] : pairs) {
    SCOPED_TRACE(testing::Message() << static_cast<int>(code));
    Load();
    const auto other = NewCartridge(512);
    disk_.AwaitOverlap(2);
    disk_.SwapDuring(code, other);
    Status said;
    {
      const std::jthread thread([&said, call = first] { said = call(); });
      while (disk_.Count(code) == 0) std::this_thread::yield();
      EXPECT_THAT(second(), HasErrc(Errc::kNoMedium));
    }
    EXPECT_THAT(said, HasErrc(Errc::kNoMedium));
    disk_.Remove();
    EXPECT_EQ(other->data, NewCartridge(512)->data);
  }
}

TEST_F(ScsiMediumTest, WhatCannotBeTakenOutIsWrittenByTwoCommands) {
  ScsiDiskOptions options;
  options.transport_limit = 65536;
  options.removable = false;
  Load(options);
  disk_.AwaitOverlap(2);
  ASSERT_OK(medium_->Write(0, Filled(256, 3)));
  EXPECT_EQ(disk_.most_at_once(), 2);
  EXPECT_EQ(ReadBack(0, 256), Filled(256, 3));
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

// The read that is told of the change may be answered after the other one.
TEST_F(ScsiMediumTest, ReadsWaitForTheAnswersToThoseBesideThem) {
  Load();
  const auto other = NewCartridge(512);
  std::fill(other->data.begin(), other->data.end(), std::byte{9});
  std::atomic<bool> first = true;
  std::atomic<bool> begun = false;
  hook_ = [&](const scsi::Command& command) {
    if (command.cdb[0] != kRead10 || !first.exchange(false)) return;
    disk_.Insert(other, /*attention=*/false);
    begun = true;
    while (disk_.Count(kRead10) == 0) std::this_thread::yield();
    // Time enough for the other read to end, if it did not wait.
    std::this_thread::sleep_for(std::chrono::milliseconds(100));
    disk_.Attention(0x28, 0x00);
  };
  Status told;
  {
    const std::jthread thread([&] {
      Bytes data(kSectorSize);
      told = medium_->Read(0, data);
    });
    while (!begun) std::this_thread::yield();
    Bytes data(kSectorSize);
    EXPECT_THAT(medium_->Read(1, data), HasErrc(Errc::kNoMedium));
  }
  EXPECT_THAT(told, HasErrc(Errc::kNoMedium));
}

// Whoever was told: a question whether it is ready.
TEST_F(ScsiMediumTest, AReadIsOfTheMediumThatIsKnownToBeThere) {
  Load();
  const auto other = NewCartridge(512);
  hook_ = [&](const scsi::Command& command) {
    if (command.cdb[0] != kRead10) return;
    disk_.Insert(other);
    EXPECT_OK(device_->WaitReady(std::chrono::seconds(1)));
  };
  Bytes data(kSectorSize);
  EXPECT_THAT(medium_->Read(0, data), HasErrc(Errc::kNoMedium));
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

}  // namespace
}  // namespace vellum
