// SPDX-License-Identifier: Apache-2.0
// A volume whose image lies on a disk that runs full: what is acknowledged is
// never lost to it.
#include <gtest/gtest.h>

#include <atomic>
#include <chrono>
#include <functional>
#include <future>
#include <memory>
#include <mutex>
#include <string>
#include <utility>
#include <vector>

#include "index/volume.h"
#include "media/borrowed_medium.h"
#include "tests/index/volume_fixture.h"

namespace vellum {
namespace {

constexpr uint64_t kMiB = 1ull << 20;
// Who has not got a lock by then waits for its holder.
constexpr std::chrono::seconds kBlocked{10};

class HostedMedium : public BorrowedMedium {
 public:
  using BorrowedMedium::BorrowedMedium;
  uint64_t HostFreeBytes() const override {
    if (on_asked) on_asked();
    return free_;
  }
  Status WriteBy(Writer write, uint64_t lba, ConstByteSpan data) override {
    if (on_write) on_write();
    return BorrowedMedium::WriteBy(write, lba, data);
  }
  void SetFree(uint64_t bytes) { free_ = bytes; }

  // Called before the method does anything.
  std::function<void()> on_asked;
  std::function<void()> on_write;

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

  std::vector<std::future<Generation>> others_;  // ask volume_
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

// statvfs(2) of a network disk may take its time.
TEST_F(VolumeHostTest, NobodyWaitsWhileTheHostIsAsked) {
  std::atomic<int> waited = 0;
  std::atomic<int> asked = 0;
  medium_.on_asked = [&] {
    ++asked;
    std::future<Generation> other = std::async(
        std::launch::async, [this] { return volume_->generation(); });
    if (other.wait_for(kBlocked) != std::future_status::ready) ++waited;
    // The lock that it waits for may be free only after this call.
    others_.push_back(std::move(other));
  };
  EXPECT_OK(Create("file"));
  EXPECT_GT(asked.exchange(0), 0);
  EXPECT_OK(volume_->Sync());
  EXPECT_GT(asked, 0);
  EXPECT_EQ(waited, 0);
  medium_.on_asked = nullptr;
  others_.clear();
}

TEST_F(VolumeHostTest, RoomForAWriteUnderWayIsNotGivenTwice) {
  ASSERT_OK_AND_ASSIGN(const Attr first,
                       volume_->Create(volume_->root(), "first", {}));
  ASSERT_OK_AND_ASSIGN(const Attr second,
                       volume_->Create(volume_->root(), "second", {}));
  medium_.SetFree(28 * kMiB);
  const Bytes data(8 * kMiB);
  std::promise<void> writes;
  std::promise<void> go_on;
  std::once_flag once;
  medium_.on_write = [&] {
    std::call_once(once, [&] {
      writes.set_value();
      go_on.get_future().wait();
    });
  };
  std::future<Status> under_way = std::async(std::launch::async, [&] {
    return volume_->Write(first.ino, 0, data).status();
  });
  writes.get_future().wait();
  EXPECT_THAT(volume_->Write(second.ino, 0, data), HasErrc(Errc::kNoSpace));
  go_on.set_value();
  EXPECT_OK(under_way.get());
  // What has ended is in the figure.
  EXPECT_OK(volume_->Write(second.ino, 0, data));
  medium_.on_write = nullptr;
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
