// SPDX-License-Identifier: Apache-2.0
// What a SCSI drive finds out about a medium when it is loaded.
#include "media/scsi/scsi_drive.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <array>
#include <chrono>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "tests/support/hooked_transport.h"
#include "tests/support/scsi_disk.h"
#include "tests/support/status_matchers.h"
#include "tests/support/swapped_transport.h"

namespace vellum {
namespace {

class ScsiDriveTest : public testing::Test {
 protected:
  void Make(const ScsiDiskOptions& options = {}) {
    disk_ = ScsiDisk(options);
    scsi::Patience patience;
    patience.first_pause = std::chrono::milliseconds(1);
    drive_ = std::make_unique<scsi::ScsiDrive>(
        ElementAddress{257},
        std::make_shared<scsi::Device>(disk_.Open(), patience),
        scsi::ScsiDriveOptions{std::chrono::milliseconds(200),
                               {},
                               /*verify_writes=*/false,
                               std::chrono::milliseconds(300)});
  }
  // What Open tells of a medium of 8 MiB, and of the drive.
  Result<MediumInfo> Look(const ScsiDiskOptions& options, uint32_t block_size,
                          uint16_t profile = 0) {
    Make(options);
    cartridge_ =
        std::make_shared<ScsiCartridge>(block_size, (8u << 20) / block_size);
    cartridge_->profile = profile;
    return LookAt(cartridge_);
  }
  Result<MediumInfo> LookAt(std::shared_ptr<ScsiCartridge> cartridge) {
    disk_.Insert(std::move(cartridge));
    ASSIGN_OR_RETURN(const auto medium, drive_->Open());
    return medium->Info();
  }
  static ScsiDiskOptions Optical() {
    ScsiDiskOptions options;
    options.device_type = 5;
    return options;
  }

  ScsiDisk disk_;
  std::unique_ptr<scsi::ScsiDrive> drive_;
  std::shared_ptr<ScsiCartridge> cartridge_;
};

TEST_F(ScsiDriveTest, TellsVendorAndSerialNumber) {
  Make();
  ASSERT_OK_AND_ASSIGN(const DriveIdentity identity, drive_->Identify());
  EXPECT_EQ(identity.vendor, "VELLUM");
  EXPECT_EQ(identity.product, "MEMORY DISK");
  EXPECT_EQ(identity.serial, "SN0001");
  EXPECT_EQ(identity.device, "/dev/memory");
}

TEST_F(ScsiDriveTest, WaitsForAMediumThatBecomesReady) {
  Make();
  disk_.BecomeReadyAfter(5);
  disk_.Insert(std::make_shared<ScsiCartridge>(2048, 4096));
  ASSERT_OK(drive_->Open());
}

TEST_F(ScsiDriveTest, WaitsNoLongerThanItsBound) {
  Make();
  disk_.BecomeReadyAfter(1'000'000);
  disk_.Insert(std::make_shared<ScsiCartridge>(2048, 4096));
  const auto opened = drive_->Open();
  EXPECT_THAT(opened, HasErrc(Errc::kTimedOut));
  EXPECT_THAT(opened, MessageHas("drive 257"));
}

TEST_F(ScsiDriveTest, StartsADriveThatWaitsForIt) {
  Make();
  disk_.NeedStart();
  disk_.Insert(std::make_shared<ScsiCartridge>(2048, 4096));
  ASSERT_OK(drive_->Open());
  EXPECT_EQ(disk_.Count(0x1B), 1u);
}

// It sees its medium some time after it was told to start, or when it is told
// so; or it has none.
TEST_F(ScsiDriveTest, ADriveThatWasStartedIsGivenTimeToSeeItsMedium) {
  struct {
    bool full, refuses;
    size_t starts;
  } const cases[] = {{true, false, 1}, {true, true, 2}, {false, false, 1}};
  for (const auto& [full, refuses, starts] : cases) {
    SCOPED_TRACE(testing::Message() << full << ' ' << refuses);
    Make();
    bool refuse = refuses;
    scsi::ScsiDriveOptions options;
    // Long enough for the slowest machine, or over at once.
    options.appears = std::chrono::seconds(full ? 60 : 0);
    scsi::ScsiDrive drive(
        ElementAddress{257},
        std::make_shared<scsi::Device>(std::make_unique<HookedTransport>(
            disk_.Open(),
            [&](const scsi::Command& command) {
              if (command.cdb[0] != 0x1B) return;
              disk_.AppearAfter(3);
              if (refuse) disk_.FailNext(0x1B, 2, 0x3A, 0x00);
              refuse = false;
            })),
        options);
    disk_.NeedStart();
    if (full) disk_.Insert(std::make_shared<ScsiCartridge>(2048, 4096));
    const auto opened = drive.Open();
    if (full) {
      EXPECT_OK(opened);
    } else {
      EXPECT_THAT(opened, HasErrc(Errc::kNoMedium));
    }
    EXPECT_EQ(disk_.Count(0x1B), starts);
  }
}

// A slow one may need all the time that a medium has to appear.
TEST_F(ScsiDriveTest, TheTimeToSeeAMediumBeginsWhenTheTrayIsDrawnIn) {
  Make();
  scsi::ScsiDriveOptions options;
  options.appears = std::chrono::seconds(2);
  scsi::ScsiDrive drive(
      ElementAddress{257},
      std::make_shared<scsi::Device>(std::make_unique<HookedTransport>(
          disk_.Open(),
          [&](const scsi::Command& command) {
            if (command.cdb[0] != 0x1B) return;
            std::this_thread::sleep_for(options.appears);
            disk_.AppearAfter(1);
          })),
      options);
  disk_.OpenTray();
  disk_.Insert(std::make_shared<ScsiCartridge>(2048, 4096));
  EXPECT_OK(drive.Open());
}

// What the robot has just put in is there, whatever the drive says at first.
TEST_F(ScsiDriveTest, AMediumThatTheDriveHasNotSeenYetIsWaitedFor) {
  Make();
  disk_.AppearAfter(3);
  disk_.BecomeReadyAfter(2);
  disk_.Insert(std::make_shared<ScsiCartridge>(2048, 4096));
  ASSERT_OK(drive_->Open());
  EXPECT_EQ(disk_.Count(0x1B), 0u);
}

TEST_F(ScsiDriveTest, ADriveThatChangesItsMindIsWaitedFor) {
  Make();
  const std::vector<std::array<uint8_t, 3>> answers = {
      {2, 0x3A, 0}, {6, 0x28, 0}, {6, 0x28, 0}, {2, 0x3A, 0}, {2, 0x04, 1},
      {2, 0x3A, 0}, {6, 0x28, 0}, {6, 0x28, 0}, {2, 0x04, 1}, {2, 0x3A, 0}};
  size_t next = 0;
  scsi::ScsiDrive drive(
      ElementAddress{257},
      std::make_shared<scsi::Device>(std::make_unique<HookedTransport>(
          disk_.Open(),
          [&](const scsi::Command& command) {
            if (command.cdb[0] != 0x00 || next == answers.size()) return;
            const auto& sense = answers[next++];
            disk_.FailNext(0x00, sense[0], sense[1], sense[2]);
          })),
      {});
  disk_.Insert(std::make_shared<ScsiCartridge>(2048, 4096),
               /*attention=*/false);
  EXPECT_OK(drive.Open());
  EXPECT_EQ(next, answers.size());
}

TEST_F(ScsiDriveTest, ATrayThatIsOpenIsDrawnInOnce) {
  Make();
  disk_.OpenTray();
  disk_.Insert(std::make_shared<ScsiCartridge>(2048, 4096));
  ASSERT_OK(drive_->Open());
  EXPECT_EQ(disk_.Count(0x1B), 1u);
  Make();
  disk_.OpenTray();
  EXPECT_THAT(drive_->Open(), HasErrc(Errc::kNoMedium));
  EXPECT_EQ(disk_.Count(0x1B), 1u);
}

TEST_F(ScsiDriveTest, ADriveThatIsReadyIsNotStarted) {
  Make();
  disk_.Insert(std::make_shared<ScsiCartridge>(2048, 4096));
  ASSERT_OK(drive_->Open());
  EXPECT_EQ(disk_.Count(0x1B), 0u);
}

TEST_F(ScsiDriveTest, PreventsRemovalWhileOpen) {
  Make();
  disk_.Insert(std::make_shared<ScsiCartridge>(2048, 4096));
  ASSERT_OK_AND_ASSIGN(auto medium, drive_->Open());
  EXPECT_TRUE(disk_.prevented());
  medium.reset();
  ASSERT_OK(drive_->Close());
  EXPECT_FALSE(disk_.prevented());
}

TEST_F(ScsiDriveTest, DoesWithoutPreventWhereThereIsNone) {
  ScsiDiskOptions options;
  options.unknown = {0x1E};
  EXPECT_OK(Look(options, 2048));
  EXPECT_OK(drive_->Close());
}

TEST_F(ScsiDriveTest, CloseAllowsWhatADaemonThatDiedHasPrevented) {
  Make();
  disk_.Insert(std::make_shared<ScsiCartridge>(2048, 4096));
  scsi::Device other(disk_.Open());
  ASSERT_OK(other.WaitReady(std::chrono::seconds(1)));
  ASSERT_OK(other.PreventRemoval(true));
  ASSERT_OK(drive_->Close());
  EXPECT_FALSE(disk_.prevented());
}

TEST_F(ScsiDriveTest, AMediumThatCannotBeUsedMayBeTakenOut) {
  EXPECT_THAT(Look({}, 8192), HasErrc(Errc::kIncompatible));
  EXPECT_FALSE(disk_.prevented());
}

TEST_F(ScsiDriveTest, BlocksOf512And1024And2048AreSectors) {
  for (const uint32_t size : {512u, 1024u, 2048u}) {
    ASSERT_OK_AND_ASSIGN(const MediumInfo info, Look({}, size));
    EXPECT_EQ(info.sectors, 4096u) << size;
    EXPECT_EQ(info.atomic_sectors, 1u) << size;
    EXPECT_EQ(info.medium_class, MediumClass::kRewritable);
    EXPECT_FALSE(info.write_protected);
  }
}

TEST_F(ScsiDriveTest, ABlockOf4096IsTwoSectorsThatMayTearTogether) {
  // A disk tells its physical blocks, an optical memory does not.
  for (const uint8_t type : {uint8_t{0}, uint8_t{7}}) {
    ScsiDiskOptions options;
    options.device_type = type;
    ASSERT_OK_AND_ASSIGN(const MediumInfo info, Look(options, 4096));
    EXPECT_EQ(info.sectors, 4096u);
    EXPECT_EQ(info.atomic_sectors, 2u);
  }
}

TEST_F(ScsiDriveTest, OtherBlocksAreIncompatible) {
  for (const uint32_t size : {256u, 520u, 8192u}) {
    const auto info = Look({}, size);
    EXPECT_THAT(info, HasErrc(Errc::kIncompatible)) << size;
    EXPECT_THAT(info, MessageHas(std::to_string(size)));
  }
}

TEST_F(ScsiDriveTest, ThePhysicalBlockIsTheWriteUnit) {
  ScsiDiskOptions options;
  options.physical_exponent = 3;  // 512 -> 4096
  ASSERT_OK_AND_ASSIGN(const MediumInfo info, Look(options, 512));
  EXPECT_EQ(info.atomic_sectors, 2u);
}

TEST_F(ScsiDriveTest, ADiskWithoutReadCapacity16HasItsBlocksAsUnit) {
  ScsiDiskOptions options;
  options.unknown = {0x9E};
  ASSERT_OK_AND_ASSIGN(const MediumInfo info, Look(options, 512));
  EXPECT_EQ(info.sectors, 4096u);
  EXPECT_EQ(info.atomic_sectors, 1u);
}

TEST_F(ScsiDriveTest, TheWriteProtectSwitchIsSeen) {
  for (const uint8_t type : {0, 7}) {
    ScsiDiskOptions options;
    options.device_type = type;
    Make(options);
    auto cartridge = std::make_shared<ScsiCartridge>(2048, 4096);
    cartridge->write_protected = true;
    ASSERT_OK_AND_ASSIGN(const MediumInfo info, LookAt(cartridge));
    EXPECT_TRUE(info.write_protected);
  }
}

TEST_F(ScsiDriveTest, OpticalMemoriesThatAreWrittenOnceAreOnlyRead) {
  for (const uint8_t medium_type : {0, 1, 2, 3, 4, 5, 6}) {
    SCOPED_TRACE(static_cast<int>(medium_type));
    const bool once = medium_type == 1 || medium_type == 2 ||
                      medium_type == 4 || medium_type == 6;
    for (const uint8_t device_type : {0, 7}) {
      ScsiDiskOptions options;
      options.device_type = device_type;
      Make(options);
      auto cartridge = std::make_shared<ScsiCartridge>(2048, 4096);
      cartridge->medium_type = medium_type;
      ASSERT_OK_AND_ASSIGN(const MediumInfo info, LookAt(cartridge));
      const bool read_only = once && device_type == 7;
      EXPECT_EQ(info.write_protected, read_only);
      EXPECT_EQ(info.medium_class,
                read_only ? MediumClass::kWriteOnce : MediumClass::kRewritable);
    }
  }
}

TEST_F(ScsiDriveTest, TheCartridgeSwitchOfADvdRamIsSeen) {
  Make(Optical());
  auto cartridge = std::make_shared<ScsiCartridge>(2048, 4096);
  cartridge->profile = 0x12;
  cartridge->write_protected = true;
  ASSERT_OK_AND_ASSIGN(const MediumInfo info, LookAt(cartridge));
  EXPECT_TRUE(info.write_protected);
}

TEST_F(ScsiDriveTest, RewritableDiscsAreWrittenInEccBlocks) {
  const struct {
    uint16_t profile;
    uint32_t unit;
  } cases[] = {{0x03, 1}, {0x12, 16}, {0x13, 16}, {0x1A, 16}, {0x43, 32}};
  for (const auto& c : cases) {
    ASSERT_OK_AND_ASSIGN(const MediumInfo info,
                         Look(Optical(), 2048, c.profile));
    EXPECT_EQ(info.atomic_sectors, c.unit) << c.profile;
    EXPECT_EQ(info.medium_class, MediumClass::kRewritable) << c.profile;
    EXPECT_FALSE(info.write_protected) << c.profile;
  }
}

TEST_F(ScsiDriveTest, DiscsThatAreOnlyReadAreWriteProtected) {
  for (const uint16_t profile :
       {0x08, 0x0A, 0x10, 0x11, 0x14, 0x40, 0x7777, 0x00}) {
    ASSERT_OK_AND_ASSIGN(const MediumInfo info, Look(Optical(), 2048, profile));
    EXPECT_TRUE(info.write_protected) << profile;
    EXPECT_EQ(info.medium_class, MediumClass::kWriteOnce) << profile;
    EXPECT_EQ(info.sectors, 4096u) << profile;
  }
}

TEST_F(ScsiDriveTest, AWriteOnceDiscIsBlankOrFull) {
  for (const uint16_t profile : {0x1B, 0x41}) {
    Make(Optical());
    auto cartridge = std::make_shared<ScsiCartridge>(2048, 4096);
    cartridge->profile = profile;
    cartridge->blank = true;
    ASSERT_OK_AND_ASSIGN(MediumInfo info, LookAt(cartridge));
    EXPECT_FALSE(info.write_protected) << profile;
    EXPECT_EQ(info.medium_class, MediumClass::kWriteOnce) << profile;
    EXPECT_EQ(info.sectors, 4096u) << profile;
    ASSERT_OK(drive_->Close());
    cartridge->blank = false;
    ASSERT_OK_AND_ASSIGN(info, LookAt(cartridge));
    EXPECT_TRUE(info.write_protected) << profile;
  }
}

TEST_F(ScsiDriveTest, O5_ADiscThatWasNotFormattedIsIncompatible) {
  Make(Optical());
  auto cartridge = std::make_shared<ScsiCartridge>(2048, 4096);
  cartridge->profile = 0x43;
  cartridge->blank = true;  // READ CAPACITY tells nothing
  const auto info = LookAt(cartridge);
  EXPECT_THAT(info, HasErrc(Errc::kIncompatible));
  EXPECT_THAT(info, MessageHas("BD-RE without a capacity"));
}

TEST_F(ScsiDriveTest, OtherKindsOfDeviceAreNoDrive) {
  ScsiDiskOptions tape;
  tape.device_type = 1;
  EXPECT_THAT(Look(tape, 2048), HasErrc(Errc::kIncompatible));
}

TEST_F(ScsiDriveTest, AMediumThatIsChangedMeanwhileIsLookedAtAgain) {
  Make();
  disk_.Insert(std::make_shared<ScsiCartridge>(512, 16384));
  disk_.SwapDuring(0x25, std::make_shared<ScsiCartridge>(2048, 2048));
  ASSERT_OK_AND_ASSIGN(const auto medium, drive_->Open());
  EXPECT_EQ(medium->Info().sectors, 2048u);
}

TEST_F(ScsiDriveTest, ADeadDriveEndsOpenAndClose) {
  Make();
  disk_.Hang();
  EXPECT_THAT(drive_->Open(), HasErrc(Errc::kTimedOut));
  Make();
  disk_.Vanish();
  EXPECT_THAT(drive_->Open(), HasErrc(Errc::kOffline));
  EXPECT_OK(drive_->Close());
}

TEST_F(ScsiDriveTest, ADeviceThatIsBackUnderItsNameIsFound) {
  const auto next = std::make_shared<std::unique_ptr<scsi::Transport>>();
  scsi::ScsiDrive drive(
      ElementAddress{257},
      std::make_shared<scsi::Device>(
          std::make_unique<SwappedTransport>(disk_.Open(), next)),
      {});
  ASSERT_OK(drive.Identify());
  disk_.Vanish();
  EXPECT_THAT(drive.Identify(), HasErrc(Errc::kOffline));
  ScsiDisk again;
  *next = again.Open();
  ASSERT_OK_AND_ASSIGN(const DriveIdentity identity, drive.Identify());
  EXPECT_EQ(identity.serial, "SN0001");
  again.Insert(std::make_shared<ScsiCartridge>(2048, 4096));
  EXPECT_OK(drive.Open());
}

}  // namespace
}  // namespace vellum
