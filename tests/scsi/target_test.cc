// SPDX-License-Identifier: Apache-2.0
// Transport, sense and Device on the devices of a real target, with plain
// commands: what the layers above rely on.
#include <gtest/gtest.h>

#include <tuple>

#include "tests/scsi/devices.h"
#include "tests/support/status_matchers.h"

namespace vellum {
namespace {

using scsi::Command;
using scsi::Device;
using scsi::Repeat;
using std::chrono::seconds;

constexpr uint8_t kNoSuchCommand = 0xC3;

class TargetTest : public testing::Test {
 protected:
  void SetUp() override {
    PutEverythingAway();
    const ScsiNames names = NamedDevices();
    auto changer = OpenTransport(names.changer);
    ASSERT_OK(changer);
    changer_ = std::make_unique<Device>(std::move(*changer));
    auto drive = OpenTransport(names.drives.front().second);
    ASSERT_OK(drive);
    drive_ = std::make_unique<Device>(std::move(*drive));
    drive_element_ = names.drives.front().first;
    for (const auto& [address, tag] :
         ReadByCommand(*changer_, ElementType::kStorage)) {
      if (tag.empty()) empty_ = address;
    }
    std::tie(full_, tag_) = FirstMedium(*changer_);
  }

  // The tag of what is in an element.
  VolumeTag TagAt(ElementType type, ElementAddress element) {
    for (const auto& [address, tag] : ReadByCommand(*changer_, type)) {
      if (address == element) return tag;
    }
    return "no such element";
  }

  std::unique_ptr<Device> changer_;
  std::unique_ptr<Device> drive_;
  ElementAddress drive_element_;
  ElementAddress full_;
  ElementAddress empty_;
  VolumeTag tag_;
};

TEST_F(TargetTest, InquiryTellsWhatTheDeviceIs) {
  ASSERT_OK_AND_ASSIGN(const scsi::Inquiry changer, changer_->Inquire());
  EXPECT_EQ(changer.device_type, 8);
  EXPECT_EQ(changer.vendor, "VELLUM");
  EXPECT_EQ(changer.product, "JUKEBOX");
  EXPECT_EQ(changer.serial, "JB0001");
  ASSERT_OK_AND_ASSIGN(const scsi::Inquiry drive, drive_->Inquire());
  EXPECT_TRUE(drive.device_type == 0 || drive.device_type == 5);
  EXPECT_TRUE(drive.removable);
  EXPECT_EQ(drive.serial, "DRIVE0000");
}

TEST_F(TargetTest, AnUnknownCommandIsNotSupported) {
  Command command;
  command.cdb = {kNoSuchCommand, 0, 0, 0, 0, 0, 0, 0, 0, 0};
  const auto result =
      changer_->Run("no such command", command, Repeat::kIdempotent);
  EXPECT_THAT(result, HasErrc(Errc::kNotSupported));
  EXPECT_THAT(result, MessageHas("5/20/00"));
  EXPECT_THAT(result, MessageHas(NamedDevices().changer));
}

TEST_F(TargetTest, AnEmptyDriveHasNoMediumAtOnce) {
  EXPECT_THAT(drive_->WaitReady(seconds(30)), HasErrc(Errc::kNoMedium));
}

TEST_F(TargetTest, AMovedMediumBecomesReadyAndIsWhereTheChangerSays) {
  ASSERT_OK(MoveByCommand(*changer_, full_, drive_element_));
  EXPECT_OK(drive_->WaitReady(seconds(30)));
  EXPECT_EQ(TagAt(ElementType::kDataTransfer, drive_element_), tag_);
  EXPECT_EQ(TagAt(ElementType::kStorage, full_), "");
}

TEST_F(TargetTest, ImpossibleMovesHaveTheirOwnErrors) {
  EXPECT_THAT(MoveByCommand(*changer_, empty_, drive_element_),
              HasErrc(Errc::kNoMedium));
  ASSERT_OK(MoveByCommand(*changer_, full_, drive_element_));
  for (const auto& [address, tag] :
       ReadByCommand(*changer_, ElementType::kStorage)) {
    if (tag.empty()) continue;
    EXPECT_THAT(MoveByCommand(*changer_, address, drive_element_),
                HasErrc(Errc::kExists));
    break;
  }
}

TEST_F(TargetTest, APreventedMediumIsBusy) {
  ASSERT_OK(MoveByCommand(*changer_, full_, drive_element_));
  ASSERT_OK(drive_->WaitReady(seconds(30)));
  ASSERT_OK(drive_->PreventRemoval(true));
  EXPECT_THAT(MoveByCommand(*changer_, drive_element_, full_),
              HasErrc(Errc::kBusy));
  ASSERT_OK(drive_->PreventRemoval(false));
  EXPECT_OK(MoveByCommand(*changer_, drive_element_, full_));
}

}  // namespace
}  // namespace vellum
