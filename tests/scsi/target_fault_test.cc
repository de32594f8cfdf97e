// SPDX-License-Identifier: Apache-2.0
// What goes wrong on a real target, and how Device tells it: a medium that is
// gone, cut short or write protected, a target that hangs or dies. Only for
// disks (type 0) and where target and test share a machine.
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <tuple>

#include "tests/scsi/devices.h"
#include "tests/support/status_matchers.h"

namespace vellum {
namespace {

using scsi::Command;
using scsi::Device;
using scsi::Repeat;
using std::chrono::seconds;

constexpr uint32_t kBlockInTheMiddle = 1000;
constexpr uint32_t kBlockBehindTheEnd = 0x0FFFFFFF;

Result<size_t> Read(Device& drive, uint32_t block, ByteSpan in) {
  Command command;
  command.cdb = {0x28,
                 0,
                 0,
                 0,
                 static_cast<uint8_t>(block >> 8),
                 static_cast<uint8_t>(block),
                 0,
                 0,
                 1,
                 0};
  command.in = in;
  command.timeout = seconds(2);
  return drive.Run("READ", command, Repeat::kIdempotent);
}

Result<size_t> Write(Device& drive, ConstByteSpan out) {
  Command command;
  command.cdb = {0x2A, 0, 0, 0, 0, 0, 0, 0, 1, 0};
  command.out = out;
  return drive.Run("WRITE", command, Repeat::kOnlyUnchanged);
}

class TargetFaultTest : public testing::Test {
 protected:
  void SetUp() override {
    PutEverythingAway();
    names_ = NamedDevices();
    auto changer = OpenTransport(names_.changer);
    ASSERT_OK(changer);
    changer_ = std::make_unique<Device>(std::move(*changer));
    auto drive = OpenTransport(names_.drives.front().second);
    ASSERT_OK(drive);
    drive_ = std::make_unique<Device>(std::move(*drive));
    drive_element_ = names_.drives.front().first;
    std::string tag;
    std::tie(full_, tag) = FirstMedium(*changer_);
    file_ = NamedByEnvironment("VELLUM_SCSI_MEDIA") + "/" + tag;
    block_ = Bytes(2048);
  }

  void Load() {
    ASSERT_OK(MoveByCommand(*changer_, full_, drive_element_));
    ASSERT_OK(drive_->WaitReady(seconds(30)));
  }

  ScsiNames names_;
  std::unique_ptr<Device> changer_;
  std::unique_ptr<Device> drive_;
  ElementAddress drive_element_;
  ElementAddress full_;
  std::string file_;  // the medium in full_
  Bytes block_;
};

TEST_F(TargetFaultTest, AMediumThatIsNotThereCannotBeMoved) {
  const std::string hidden = file_ + ".hidden";
  ASSERT_EQ(rename(file_.c_str(), hidden.c_str()), 0);
  const Status moved = MoveByCommand(*changer_, full_, drive_element_);
  EXPECT_EQ(rename(hidden.c_str(), file_.c_str()), 0);
  EXPECT_THAT(moved, HasErrc(Errc::kNoMedium));
  EXPECT_THAT(moved, MessageHas("4/15/01"));
  // Nothing is lost: it can be moved when it is back.
  EXPECT_THAT(drive_->WaitReady(seconds(30)), HasErrc(Errc::kNoMedium));
  EXPECT_OK(MoveByCommand(*changer_, full_, drive_element_));
}

TEST_F(TargetFaultTest, AnUnreadableBlockIsADeviceErrorWithItsSense) {
  ASSERT_NO_FATAL_FAILURE(Load());
  ASSERT_OK(Read(*drive_, kBlockInTheMiddle, block_));
  struct stat whole {};
  ASSERT_EQ(stat(file_.c_str(), &whole), 0);
  ASSERT_EQ(truncate(file_.c_str(), 2048), 0);
  const auto read = Read(*drive_, kBlockInTheMiddle, block_);
  EXPECT_EQ(truncate(file_.c_str(), whole.st_size), 0);
  EXPECT_THAT(read, HasErrc(Errc::kDeviceError));
  EXPECT_THAT(read, MessageHas("3/11/00"));
  EXPECT_THAT(read, MessageHas(names_.drives.front().second));
  EXPECT_OK(Read(*drive_, kBlockInTheMiddle, block_));
}

TEST_F(TargetFaultTest, ReadsBehindTheEndAreInvalid) {
  ASSERT_NO_FATAL_FAILURE(Load());
  EXPECT_OK(Read(*drive_, 0, block_));
  EXPECT_THAT(Read(*drive_, kBlockBehindTheEnd, block_),
              HasErrc(Errc::kInvalidArgument));
}

TEST_F(TargetFaultTest, AWriteProtectedMediumSaysSo) {
  ASSERT_NO_FATAL_FAILURE(Load());
  ASSERT_OK(drive_->Inquire());
  // The drive is logical unit 2 (jukebox.py).
  const std::string protect =
      "PATH=$PATH:/usr/sbin tgtadm -C 0 --lld iscsi --mode logicalunit "
      "--op update --tid 1 --lun 2 --params readonly=";
  ASSERT_EQ(std::system((protect + "1").c_str()), 0);
  const auto written = Write(*drive_, block_);
  EXPECT_EQ(std::system((protect + "0").c_str()), 0);
  EXPECT_THAT(written, HasErrc(Errc::kWriteProtected));
  EXPECT_THAT(written, MessageHas("7/27/00"));
  EXPECT_OK(Write(*drive_, block_));
}

TEST_F(TargetFaultTest, ATargetThatHangsCostsOneTimeout) {
  ASSERT_NO_FATAL_FAILURE(Load());
  const pid_t target =
      std::atoi(NamedByEnvironment("VELLUM_SCSI_TARGET_PID").c_str());
  ASSERT_GT(target, 1);
  ASSERT_EQ(kill(target, SIGSTOP), 0);
  const auto start = std::chrono::steady_clock::now();
  const auto read = Read(*drive_, kBlockInTheMiddle, block_);
  const auto took = std::chrono::steady_clock::now() - start;
  EXPECT_EQ(kill(target, SIGCONT), 0);
  EXPECT_THAT(read, HasErrc(Errc::kTimedOut));
  EXPECT_LT(took, seconds(10));
  // The target goes on, and so does the device: after the reset that another
  // session means.
  EXPECT_OK(drive_->WaitReady(seconds(30)));
  EXPECT_TRUE(drive_->TakeReset());
  EXPECT_OK(Read(*drive_, kBlockInTheMiddle, block_));
}

// A program run of its own: there is no target afterwards.
class TargetEndTest : public TargetFaultTest {};

TEST_F(TargetEndTest, ATargetThatDiedIsOffline) {
  ASSERT_NO_FATAL_FAILURE(Load());
  const pid_t target =
      std::atoi(NamedByEnvironment("VELLUM_SCSI_TARGET_PID").c_str());
  ASSERT_GT(target, 1);
  ASSERT_EQ(kill(target, SIGKILL), 0);
  EXPECT_THAT(Read(*drive_, kBlockInTheMiddle, block_),
              HasErrc(Errc::kOffline));
  EXPECT_THAT(drive_->WaitReady(seconds(30)), HasErrc(Errc::kOffline));
  EXPECT_THAT(MoveByCommand(*changer_, drive_element_, full_),
              HasErrc(Errc::kOffline));
}

}  // namespace
}  // namespace vellum
