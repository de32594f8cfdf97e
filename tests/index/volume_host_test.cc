// SPDX-License-Identifier: Apache-2.0
// A volume whose image lies on a disk that runs full: what is acknowledged is
// never lost to it.
#include <gtest/gtest.h>

#include <atomic>
#include <memory>
#include <string>

#include "index/volume.h"
#include "media/borrowed_medium.h"
#include "tests/index/volume_fixture.h"

namespace vellum {
namespace {

constexpr uint64_t kMiB = 1ull << 20;

class HostedMedium : public BorrowedMedium {
 public:
  using BorrowedMedium::BorrowedMedium;
  uint64_t HostFreeBytes() const override { return free_; }
  void SetFree(uint64_t bytes) { free_ = bytes; }

 private:
  std::atomic<uint64_t> free_{UINT64_MAX};
};

class VolumeHostTest : public testing::Test {
 protected:
  void SetUp() override {
    udf::FormatOptions format;
    format.volume_id = "TEST";
    const Result<udf::ControlSlot> slot = udf::FormatVolume(memory_, format);
    ASSERT_OK(slot);
    volume_ = std::make_unique<Volume>(
        catalog_.get(), RecordFor(memory_, *slot, 1), VolumeOptions());
    // Plenty, but not so much that the volume stops asking.
    medium_.SetFree(64 * kMiB);
    ASSERT_OK(volume_->Attach(&medium_));
  }
  Status Create(const std::string& name) {
    return volume_->Create(volume_->root(), name, {}).status();
  }

  MemoryMedium memory_{32768};
  HostedMedium medium_{&memory_};
  std::unique_ptr<Catalog> catalog_ = MemoryCatalog();
  std::unique_ptr<Volume> volume_;
};

TEST_F(VolumeHostTest, AFullHostRefusesChangesBeforeTheyAreAcknowledged) {
  ASSERT_OK(Create("before"));
  ASSERT_OK_AND_ASSIGN(const Attr file,
                       volume_->Create(volume_->root(), "file", {}));
  medium_.SetFree(15 * kMiB);
  const Status full = Create("after");
  ASSERT_THAT(full, HasErrc(Errc::kNoSpace));
  EXPECT_NE(full.error().message.find("volume TEST"), std::string::npos);
  EXPECT_NE(full.error().message.find("15728640 bytes free"),
            std::string::npos);
  const Bytes data(4096);
  EXPECT_THAT(volume_->Write(file.ino, 0, data), HasErrc(Errc::kNoSpace));
  AttrChange mode;
  mode.mode = 0600;
  EXPECT_THAT(volume_->SetAttr(file.ino, mode), HasErrc(Errc::kNoSpace));
  EXPECT_THAT(volume_->SetXattr(file.ino, "user.x", "y", 0),
              HasErrc(Errc::kNoSpace));
  EXPECT_THAT(volume_->Rename(volume_->root(), "file", volume_->root(), "new",
                              RenameMode::kReplace),
              HasErrc(Errc::kNoSpace));
  // What removes things may use half of the reserve.
  EXPECT_OK(volume_->Unlink(volume_->root(), "before"));
  EXPECT_OK(volume_->Sync());
  medium_.SetFree(64 * kMiB);
  EXPECT_OK(Create("after"));
}

TEST_F(VolumeHostTest, AWriteNeedsRoomForItsBytes) {
  ASSERT_OK_AND_ASSIGN(const Attr file,
                       volume_->Create(volume_->root(), "file", {}));
  medium_.SetFree(20 * kMiB);
  EXPECT_OK(volume_->Write(file.ino, 0, Bytes(kMiB)));
  EXPECT_THAT(volume_->Write(file.ino, 0, Bytes(8 * kMiB)),
              HasErrc(Errc::kNoSpace));
}

TEST_F(VolumeHostTest, ACommitWaitsForRoomAndKeepsTheChanges) {
  ASSERT_OK(Create("file"));
  const uint64_t number = volume_->generation().number;
  medium_.SetFree(kMiB);
  EXPECT_THAT(volume_->Sync(), HasErrc(Errc::kNoSpace));
  EXPECT_TRUE(volume_->dirty());
  EXPECT_OK(volume_->CheckWritable());
  EXPECT_OK(volume_->CheckNothingToLose());
  EXPECT_EQ(volume_->generation().number, number);
  EXPECT_OK(volume_->Lookup(volume_->root(), "file"));
  medium_.SetFree(64 * kMiB);
  EXPECT_OK(volume_->Sync());
  EXPECT_FALSE(volume_->dirty());
  ASSERT_OK(volume_->Detach());
  ASSERT_OK(volume_->Attach(&medium_));
  EXPECT_OK(volume_->Lookup(volume_->root(), "file"));
  ASSERT_OK(volume_->Detach());
  EXPECT_EQ(FsckText(memory_), "");
}

TEST_F(VolumeHostTest, DetachWithoutRoomSaysSoAndLeavesTheLastCommit) {
  ASSERT_OK(Create("kept"));
  ASSERT_OK(volume_->Sync());
  ASSERT_OK(Create("lost"));
  medium_.SetFree(kMiB);
  const uint64_t version = volume_->tree_version();
  EXPECT_THAT(volume_->Detach(), HasErrc(Errc::kNoSpace));
  EXPECT_NE(volume_->tree_version(), version);
  EXPECT_FALSE(volume_->dirty());
  EXPECT_OK(volume_->Lookup(volume_->root(), "kept"));
  EXPECT_THAT(volume_->Lookup(volume_->root(), "lost"),
              HasErrc(Errc::kNotFound));
  medium_.SetFree(64 * kMiB);
  ASSERT_OK(volume_->Attach(&medium_));
  EXPECT_OK(Create("lost"));
  ASSERT_OK(volume_->Detach());
  EXPECT_EQ(FsckText(memory_), "");
}

}  // namespace
}  // namespace vellum
