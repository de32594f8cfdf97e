// SPDX-License-Identifier: Apache-2.0
// Changers that take a medium out of a drive only when the drive has ejected
// it.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <chrono>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "media/scsi/ejector.h"
#include "media/scsi/scsi_library.h"
#include "tests/support/fake_scsi_changer.h"
#include "tests/support/scsi_disk.h"
#include "tests/support/status_matchers.h"

namespace vellum {
namespace {

constexpr uint8_t kMove = 0xA5, kStartStop = 0x1B;
constexpr uint8_t kEject = 0x02, kLoad = 0x03;

class ScsiEjectTest : public testing::Test {
 protected:
  // A medium is in drive 256.
  void Open(EjectRule rule, const ScsiDiskOptions& options = {}) {
    fake_ = std::make_unique<FakeScsiChanger>();
    fake_->Put(256, "V00001L1");
    fake_->Put(1024, "V00002L1");
    disk_ = ScsiDisk(options);
    disk_.Insert(std::make_shared<ScsiCartridge>(2048, 4096));
    ScsiSystem system;
    system.list = [] { return std::vector<std::string>(); };
    system.open = [this](const std::string& name)
        -> Result<std::unique_ptr<scsi::Transport>> {
      if (name == "/dev/changer") return fake_->Open();
      if (name == "/dev/drive0") return disk_.Open();
      return Error{Errc::kNotFound, name + ": no such device"};
    };
    ScsiLibraryOptions library;
    library.changer = "/dev/changer";
    library.drives = {{ElementAddress{256}, "/dev/drive0"}};
    library.eject = rule;
    auto parts = FindScsiParts(library, system);
    ASSERT_OK(parts);
    parts_ = std::move(*parts);
  }
  Status Move(uint16_t from, uint16_t to) {
    return parts_.changer->MoveMedium({from}, {to});
  }
  ScsiScript& script() { return fake_->script(); }
  // Byte 4 of each START STOP UNIT.
  std::vector<int> StartStops() const {
    std::vector<int> operations;
    for (const ScsiDiskCommand& sent : disk_.Log()) {
      if (sent.cdb[0] == kStartStop) operations.push_back(sent.cdb[4]);
    }
    return operations;
  }

  std::unique_ptr<FakeScsiChanger> fake_;
  ScsiDisk disk_;
  ScsiParts parts_;
};

using testing::ElementsAre;
using testing::IsEmpty;

TEST_F(ScsiEjectTest, AChangerThatTakesMediaByItselfNeedsNone) {
  Open(EjectRule::kAuto);
  ASSERT_OK(Move(256, 1030));
  EXPECT_THAT(StartStops(), IsEmpty());
  EXPECT_FALSE(parts_.ejector->helped());
}

TEST_F(ScsiEjectTest, AfterARefusalItIsTriedAndRemembered) {
  for (const auto& [asc, ascq] :
       {std::pair{0x3B, 0x90}, std::pair{0x53, 0x00}}) {
    Open(EjectRule::kAuto);
    script().Then(
        kMove, Check(5, static_cast<uint8_t>(asc), static_cast<uint8_t>(ascq)));
    ASSERT_OK(Move(256, 1030));
    EXPECT_EQ(fake_->At(1030), "V00001L1");
    EXPECT_THAT(StartStops(), ElementsAre(kEject));
    EXPECT_EQ(script().Count(kMove), 2u);
    EXPECT_TRUE(parts_.ejector->helped());
    // The next one is ejected before anything is refused.
    ASSERT_OK(Move(1024, 256));
    EXPECT_THAT(StartStops(), ElementsAre(kEject));
    disk_.Insert(std::make_shared<ScsiCartridge>(2048, 4096));
    ASSERT_OK(Move(256, 1024));
    EXPECT_THAT(StartStops(), ElementsAre(kEject, kEject));
    EXPECT_EQ(script().Count(kMove), 4u);
  }
}

TEST_F(ScsiEjectTest, OtherRefusalsEjectNothing) {
  for (const auto& [asc, ascq] :
       {std::pair{0x3B, 0x0D}, std::pair{0x3B, 0x87}, std::pair{0x24, 0x00}}) {
    Open(EjectRule::kAuto);
    script().Then(
        kMove, Check(5, static_cast<uint8_t>(asc), static_cast<uint8_t>(ascq)));
    EXPECT_FALSE(Move(256, 1030).ok());
    EXPECT_THAT(StartStops(), IsEmpty());
    EXPECT_EQ(script().Count(kMove), 1u);
  }
}

TEST_F(ScsiEjectTest, WhereItDoesNotHelpTheMediumIsPulledInAgain) {
  Open(EjectRule::kAuto);
  script().Then(kMove, Check(5, 0x3B, 0x90)).Then(kMove, Check(5, 0x3B, 0x90));
  const Status moved = Move(256, 1030);
  EXPECT_THAT(moved, HasErrc(Errc::kDeviceError));
  EXPECT_THAT(moved, MessageHas("5/3B/90"));
  EXPECT_THAT(moved, MessageHas("256 holds V00001L1"));
  EXPECT_THAT(StartStops(), ElementsAre(kEject, kLoad));
  EXPECT_FALSE(disk_.ejected());
  EXPECT_FALSE(parts_.ejector->ejects());
}

// Somebody else prevents it: nothing is forced.
TEST_F(ScsiEjectTest, APreventedMediumStays) {
  Open(EjectRule::kAuto);
  scsi::Device other(disk_.Open());
  ASSERT_OK(other.WaitReady(std::chrono::seconds(1)));
  ASSERT_OK(other.PreventRemoval(true));
  script().Then(kMove, Check(5, 0x53, 0x02));
  const Status moved = Move(256, 1030);
  EXPECT_THAT(moved, HasErrc(Errc::kBusy));
  EXPECT_THAT(moved, MessageHas("drive 256 does not eject it"));
  EXPECT_EQ(script().Count(kMove), 1u);
  EXPECT_FALSE(disk_.ejected());
}

TEST_F(ScsiEjectTest, AMediumThatIsNotRemovableIsNotEjected) {
  ScsiDiskOptions fixed;
  fixed.removable = false;
  Open(EjectRule::kAuto, fixed);
  script().Then(kMove, Check(5, 0x53, 0x00));
  EXPECT_FALSE(Move(256, 1030).ok());
  EXPECT_THAT(StartStops(), IsEmpty());
}

TEST_F(ScsiEjectTest, NeverIsNever) {
  Open(EjectRule::kNever);
  script().Then(kMove, Check(5, 0x3B, 0x90));
  EXPECT_FALSE(Move(256, 1030).ok());
  EXPECT_THAT(StartStops(), IsEmpty());
}

TEST_F(ScsiEjectTest, AlwaysIsBeforeEveryMoveOutOfADrive) {
  Open(EjectRule::kAlways);
  script().Then(kMove, [this](const scsi::Command& command) {
    EXPECT_TRUE(disk_.ejected());
    return Check(5, 0x3B, 0x0D)(command);
  });
  EXPECT_THAT(Move(256, 1024), HasErrc(Errc::kExists));
  EXPECT_THAT(StartStops(), ElementsAre(kEject, kLoad));
  ASSERT_OK(Move(256, 1030));
  EXPECT_THAT(StartStops(), ElementsAre(kEject, kLoad, kEject));
  // An empty drive would open its tray, and moves into one need none.
  disk_.Remove();
  EXPECT_THAT(Move(256, 1031), HasErrc(Errc::kNoMedium));
  ASSERT_OK(Move(1024, 256));
  EXPECT_EQ(StartStops().size(), 3u);
  EXPECT_FALSE(parts_.ejector->helped());
}

TEST_F(ScsiEjectTest, AnExchangeEjectsWhatIsInTheDrive) {
  Open(EjectRule::kAlways);
  ASSERT_OK(parts_.changer->ExchangeMedium({1024}, {256}, {1030}));
  EXPECT_THAT(StartStops(), ElementsAre(kEject));
  EXPECT_EQ(fake_->At(1030), "V00001L1");
}

TEST_F(ScsiEjectTest, WhatADriveKeepsIsNotReachedFor) {
  Open(EjectRule::kAlways);
  disk_.FailNext(kStartStop, 4, 0x44, 0x00);
  const Status moved = Move(256, 1030);
  EXPECT_THAT(moved, HasErrc(Errc::kDeviceError));
  EXPECT_THAT(moved, MessageHas("drive 256 keeps its medium"));
  EXPECT_EQ(script().Count(kMove), 0u);
}

// The robot may still get the medium out of a drive that is dead, or has no
// such command.
TEST_F(ScsiEjectTest, ADriveThatCannotEjectIsLeftToTheRobot) {
  ScsiDiskOptions without;
  without.unknown = {kStartStop};
  Open(EjectRule::kAlways, without);
  ASSERT_OK(Move(256, 1030));
  Open(EjectRule::kAlways);
  disk_.Vanish();
  ASSERT_OK(Move(256, 1030));
}

}  // namespace
}  // namespace vellum
