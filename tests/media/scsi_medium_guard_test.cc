// SPDX-License-Identifier: Apache-2.0
// The kernel's block device beside a drive, in folders that stand for /sys and
// /dev; on a real kernel: tests/scsi/faults_polling.sh.
#include <gtest/gtest.h>
#include <sys/sysmacros.h>

#include <filesystem>
#include <fstream>

#include "media/scsi/medium_guard.h"
#include "tests/support/status_matchers.h"
#include "tests/support/temp_dir.h"

namespace vellum::scsi {
namespace {

namespace stdfs = std::filesystem;

class MediumGuardTest : public testing::Test {
 protected:
  MediumGuardTest() {
    device_.st_mode = S_IFCHR;
    device_.st_rdev = makedev(21, 3);
    stdfs::create_directories(folders_.dev);
    stdfs::create_directories(folders_.sys + "/dev/char/21:3/device");
  }
  // The driver is bound, the medium has this number.
  void Bind(int number) {
    stdfs::create_directories(block_);
    std::ofstream(folders_.dev + "/sdb");
    Number(number);
  }
  void Number(int number) {
    std::ofstream(block_ + "/diskseq") << number << "\n";
  }
  Result<std::unique_ptr<MediumGuard>> Hold() {
    return MediumGuard::Hold(device_, folders_);
  }

  const TempDir dir_;
  const SystemFolders folders_{dir_.Sub("sys"), dir_.Sub("dev")};
  const std::string block_ = folders_.sys + "/dev/char/21:3/device/block/sdb";
  struct stat device_ {};
};

TEST_F(MediumGuardTest, WithoutADriverThereIsNothingToHold) {
  ASSERT_OK_AND_ASSIGN(const auto guard, Hold());
  EXPECT_EQ(guard, nullptr);
}

TEST_F(MediumGuardTest, AnotherNumberIsAnotherMedium) {
  Bind(7);
  ASSERT_OK_AND_ASSIGN(const auto guard, Hold());
  ASSERT_NE(guard, nullptr);
  EXPECT_EQ(guard->weakness(), "");
  EXPECT_FALSE(guard->Changed());
  Number(12);
  EXPECT_TRUE(guard->Changed());
  EXPECT_TRUE(guard->Changed()) << "for ever";
  guard->LookAgain();
  EXPECT_FALSE(guard->Changed());
}

TEST_F(MediumGuardTest, ABlockDeviceIsItsOwn) {
  Bind(7);
  stdfs::create_directories(folders_.sys + "/dev/block");
  stdfs::create_symlink(block_, folders_.sys + "/dev/block/8:16");
  device_.st_mode = S_IFBLK;
  device_.st_rdev = makedev(8, 16);
  ASSERT_OK_AND_ASSIGN(const auto guard, Hold());
  ASSERT_NE(guard, nullptr);
  Number(8);
  EXPECT_TRUE(guard->Changed());
}

TEST_F(MediumGuardTest, WhatCannotBeOpenedIsAWeakness) {
  Bind(7);
  stdfs::remove(folders_.dev + "/sdb");
  ASSERT_OK_AND_ASSIGN(const auto guard, Hold());
  ASSERT_NE(guard, nullptr);
  EXPECT_NE(guard->weakness().find("/sdb cannot be opened"), std::string::npos);
  // Nobody has made the kernel look: what it finds late is no change.
  Number(8);
  EXPECT_FALSE(guard->Changed());
}

TEST_F(MediumGuardTest, AKernelWithoutNumbersIsAWeakness) {
  Bind(7);
  stdfs::remove(block_ + "/diskseq");
  ASSERT_OK_AND_ASSIGN(const auto guard, Hold());
  ASSERT_NE(guard, nullptr);
  EXPECT_NE(guard->weakness().find("diskseq"), std::string::npos);
  EXPECT_FALSE(guard->Changed());
}

TEST_F(MediumGuardTest, ANumberThatIsGoneIsNoChange) {
  Bind(7);
  ASSERT_OK_AND_ASSIGN(const auto guard, Hold());
  std::ofstream(block_ + "/diskseq").close();  // reads as nothing
  EXPECT_FALSE(guard->Changed());
}

}  // namespace
}  // namespace vellum::scsi
