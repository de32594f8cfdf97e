// SPDX-License-Identifier: Apache-2.0
// Volumes of a library whose catalog lies on a disk that runs full.
#include <atomic>
#include <memory>
#include <string>
#include <vector>

#include "index/volumes.h"
#include "tests/index/faulty_file_system.h"
#include "tests/index/volumes_fixture.h"
#include "tests/support/logged_lines.h"

namespace vellum {
namespace {

// Counts how often its free space is asked for.
class AskedDisk : public FaultyFileSystem {
 public:
  rocksdb::IOStatus GetFreeSpace(const std::string& path,
                                 const rocksdb::IOOptions& options,
                                 uint64_t* bytes,
                                 rocksdb::IODebugContext* dbg) override {
    ++asked_;
    return FaultyFileSystem::GetFreeSpace(path, options, bytes, dbg);
  }
  uint64_t asked() const { return asked_; }

 private:
  std::atomic<uint64_t> asked_ = 0;
};

class VolumesHostTest : public VolumesTest {
 protected:
  void SetUp() override { catalog_env_ = MakeEnv(disk_); }
  void TearDown() override {
    Stop();
    catalog_.reset();
  }
  void FillDisk() { disk_->SetFreeSpace(Catalog::Options().disk_reserve); }
  void EmptyDisk() { disk_->SetFreeSpace(UINT64_MAX); }
  static Status Create(const VolumeUse& use, const std::string& name) {
    return use->Create(use->root(), name, NewInode()).status();
  }

  const std::shared_ptr<AskedDisk> disk_ = std::make_shared<AskedDisk>();
};

TEST_F(VolumesHostTest, ATimedCommitWithoutRoomIsTriedAgainAndToldOnce) {
  const LoggedLines log;
  VolumesOptions options = QuickOptions();
  options.checkpoint_interval_ms = 2;
  Start(1, 1, options);
  const auto volume = MakeVolume("V00001", "ALPHA");
  ASSERT_OK_AND_ASSIGN(const VolumeUse use, volumes_->Use(volume));
  // The timer may commit the change before the disk is full.
  int made = 0;
  ASSERT_TRUE(WaitUntil([&] {
    EmptyDisk();
    EXPECT_OK(Create(use, std::to_string(made++)));
    FillDisk();
    return volume->dirty();
  }));
  const uint64_t asked = disk_->asked();
  ASSERT_TRUE(WaitUntil([&] { return disk_->asked() > asked + 10; }));
  EXPECT_EQ(log.Count("volume ALPHA: the timed commit failed"), 1);
  EXPECT_TRUE(volume->dirty());
  EmptyDisk();
  EXPECT_TRUE(WaitUntil([&] {
    return log.Count("volume ALPHA: what waited is committed") == 1;
  }));
  EXPECT_FALSE(volume->dirty());
}

TEST_F(VolumesHostTest, AVolumeThatFindsNoRoomKeepsItsDriveUntilThereIsSome) {
  Start(1, 1);
  const auto volume = MakeVolume("V00001", "ALPHA");
  {
    ASSERT_OK_AND_ASSIGN(const VolumeUse use, volumes_->Use(volume));
    ASSERT_OK(Create(use, "waits"));
  }
  FillDisk();
  EXPECT_THAT(volumes_->Exclude(volume), HasErrc(Errc::kNoSpace));
  EXPECT_TRUE(volumes_->loaded(*volume));
  EXPECT_TRUE(volume->dirty());
  EmptyDisk();
  EXPECT_OK(volumes_->Exclude(volume));
  EXPECT_OK(volume->Lookup(volume->root(), "waits"));
  volumes_->Shutdown();
  EXPECT_TRUE(volumes_->lost().empty());
}

TEST_F(VolumesHostTest, WhatTheEndLosesIsNamed) {
  Start(2, 2);
  const auto full = MakeVolume("V00001", "ALPHA");
  const auto clean = MakeVolume("V00002", "BETA");
  {
    ASSERT_OK_AND_ASSIGN(const VolumeUse other, volumes_->Use(clean));
    ASSERT_OK_AND_ASSIGN(const VolumeUse use, volumes_->Use(full));
    ASSERT_OK(Create(use, "kept"));
    ASSERT_OK(use->Sync());
    ASSERT_OK(Create(use, "lost"));
  }
  FillDisk();
  volumes_->Shutdown();
  const std::vector<std::string> lost = volumes_->lost();
  ASSERT_EQ(lost.size(), 1u);
  EXPECT_NE(lost[0].find("volume ALPHA: changes since its last commit are"),
            std::string::npos)
      << lost[0];
  EXPECT_OK(full->Lookup(full->root(), "kept"));
}

}  // namespace
}  // namespace vellum
