// SPDX-License-Identifier: Apache-2.0
// Trees that change without an operation's doing: who keeps names is told.
#include <atomic>
#include <chrono>
#include <cstdio>
#include <filesystem>
#include <future>
#include <optional>
#include <thread>
#include <utility>

#include "index/volumes.h"
#include "tests/index/volumes_fixture.h"

namespace vellum {
namespace {

class TreeReplacedTest : public VolumesTest {
 protected:
  static constexpr int kNoStep = -1;

  // Options that count the calls; commits fail at `fail_at_` when it is set.
  VolumesOptions Options() {
    VolumesOptions options = QuickOptions();
    options.on_tree_replaced = [this] { ++told_; };
    options.volume.on_commit_step = [this](CommitStep step) {
      if (fail_at_ != static_cast<int>(step)) return Status::Ok();
      return Status(Errc::kDeviceError, "made to fail");
    };
    return options;
  }
  void TearDown() override { Stop(); }  // the options refer to this
  std::string Image() const { return config_.directory + "/media/V00001.img"; }
  std::string Kept() const { return dir_.Sub("kept"); }
  static Status MakeAndSync(VolumeUse& use, const std::string& name) {
    RETURN_IF_ERROR(use->Create(use->root(), name, NewInode()).status());
    return use->Sync();
  }
  // Loads the volume; how often the count grew and how often that was told.
  std::pair<uint64_t, int> GrowthOfALoad(
      const std::shared_ptr<Volume>& volume) {
    const uint64_t count = volumes_->change_count();
    const int told = told_;
    EXPECT_OK(volumes_->Use(volume));
    EXPECT_OK(volumes_->Exclude(volume));
    return {volumes_->change_count() - count, told_ - told};
  }

  std::atomic<int> told_ = 0;
  std::atomic<int> fail_at_ = kNoStep;  // a CommitStep
};

TEST_F(TreeReplacedTest, AGenerationThatIsDecidedLaterIsTold) {
  Start(1, 2, Options());
  auto volume = MakeVolume("V00001", "ALPHA");
  {
    // Committed on the medium; the catalog does not learn it.
    ASSERT_OK_AND_ASSIGN(VolumeUse use, volumes_->Use(volume));
    fail_at_ = static_cast<int>(CommitStep::kRecordFlushed);
    EXPECT_FALSE(MakeAndSync(use, "synced").ok());
  }
  Stop();
  fail_at_ = kNoStep;
  ASSERT_EQ(std::rename(Image().c_str(), Kept().c_str()), 0);
  OpenAll(Options());
  volume = volumes_->Find("ALPHA");
  EXPECT_THAT(volume->Lookup(volume->root(), "synced"),
              HasErrc(Errc::kNotFound));
  ASSERT_EQ(std::rename(Kept().c_str(), Image().c_str()), 0);
  EXPECT_EQ(GrowthOfALoad(volume), std::make_pair(uint64_t{1}, 1));
  EXPECT_OK(volume->Lookup(volume->root(), "synced"));
  // Nothing is left to decide.
  EXPECT_EQ(GrowthOfALoad(volume), std::make_pair(uint64_t{0}, 0));
}

TEST_F(TreeReplacedTest, ATreeThatIsReadAnewIsTold) {
  Start(1, 2, Options());
  const auto volume = MakeVolume("V00001", "ALPHA");
  ASSERT_OK(volumes_->Exclude(volume));
  ASSERT_OK(library_->SendHome("V00001"));
  std::filesystem::copy_file(Image(), Kept());
  {
    ASSERT_OK_AND_ASSIGN(VolumeUse use, volumes_->Use(volume));
    ASSERT_OK(MakeAndSync(use, "later"));
  }
  ASSERT_OK(volumes_->Exclude(volume));
  ASSERT_OK(library_->SendHome("V00001"));
  // Somebody brings the medium back to what it held before.
  ASSERT_EQ(std::rename(Kept().c_str(), Image().c_str()), 0);
  EXPECT_OK(volume->Lookup(volume->root(), "later"));
  EXPECT_EQ(GrowthOfALoad(volume), std::make_pair(uint64_t{1}, 1));
  EXPECT_THAT(volume->Lookup(volume->root(), "later"),
              HasErrc(Errc::kNotFound));
  EXPECT_EQ(GrowthOfALoad(volume), std::make_pair(uint64_t{0}, 0));

  // Identify says it too, although the record is what it was.
  const uint64_t count = volumes_->change_count();
  VolumeRecord record = volume->record();
  record.tree = TreeState::kNone;
  volume->SetRecord(record);
  ASSERT_OK_AND_ASSIGN(MediumLease lease, Lease("V00001"));
  ASSERT_OK(volumes_->Identify("V00001", lease.medium()));
  EXPECT_EQ(volumes_->change_count(), count + 1);
}

TEST_F(TreeReplacedTest, ANameThatTheFirstLoadFindsIsTold) {
  Start(1, 1, Options());
  // The catalog is of a day before the volume was renamed.
  VolumeRecord record = MakeVolume("V00001", "NEW")->record();
  record.id = "OLD";
  ASSERT_OK(volumes_->Put(record));
  Stop();
  OpenAll(Options());
  const auto volume = volumes_->Find("OLD");
  ASSERT_NE(volume, nullptr);
  EXPECT_EQ(GrowthOfALoad(volume), std::make_pair(uint64_t{1}, 1));
  EXPECT_EQ(volumes_->Find("NEW"), volume);
  EXPECT_EQ(GrowthOfALoad(volume), std::make_pair(uint64_t{0}, 0));
}

TEST_F(TreeReplacedTest, WhatWasLostIsToldOnceByTheNextSync) {
  Start(1, 2, Options());
  const auto volume = MakeVolume("V00001", "ALPHA");
  const auto other = MakeVolume("V00002", "BETA");
  InodeNumber kept = 0;
  // Two open files, and an open directory.
  std::atomic<uint64_t> first = 0, second = 0, directory = 0;
  {
    ASSERT_OK_AND_ASSIGN(VolumeUse use, volumes_->Use(volume));
    ASSERT_OK(MakeAndSync(use, "kept"));
    kept = use->Lookup(use->root(), "kept")->ino;
    ASSERT_OK(use->Open(kept));
    first = second = directory = use->losses();
    fail_at_ = static_cast<int>(CommitStep::kDataWritten);
    EXPECT_FALSE(MakeAndSync(use, "lost").ok());
    fail_at_ = kNoStep;
  }
  // The only drive goes to another volume, and what waited with the medium.
  ASSERT_OK(volumes_->Use(other));
  ASSERT_FALSE(volumes_->loaded(*volume));
  const Status told = volumes_->SyncAll();
  EXPECT_THAT(told, HasErrc(Errc::kDeviceError));
  for (const char* part :
       {"volume ALPHA: changes since its last commit are lost",
        "medium V00001 has nothing newer than generation", "2 files"}) {
    EXPECT_THAT(told, MessageHas(part));
  }
  EXPECT_TRUE(volumes_->lost().empty());
  EXPECT_OK(volumes_->SyncAll());
  // Whatever was open then hears of it, each once, by fsync; loaded again or
  // not. What was opened later does not.
  EXPECT_THAT(volume->Fsync(kept, &first), HasErrc(Errc::kDeviceError));
  EXPECT_OK(volume->Fsync(kept, &first));
  EXPECT_THAT(volume->Fsync(kept, &second), HasErrc(Errc::kDeviceError));
  EXPECT_OK(volume->Fsync(kept, &second));
  EXPECT_THAT(volume->Fsync(volume->root(), &directory),
              HasErrc(Errc::kDeviceError));
  EXPECT_OK(volume->Fsync(volume->root(), &directory));
  std::atomic<uint64_t> later = volume->losses();
  EXPECT_OK(volume->Fsync(kept, &later));
  volume->Close(kept);
  // The same with the volume loaded again before anybody asks.
  {
    ASSERT_OK_AND_ASSIGN(VolumeUse use, volumes_->Use(volume));
    ASSERT_OK(use->Open(kept));
    fail_at_ = static_cast<int>(CommitStep::kDataWritten);
    EXPECT_FALSE(MakeAndSync(use, "lost").ok());
    fail_at_ = kNoStep;
  }
  ASSERT_OK(volumes_->Use(other));
  {
    ASSERT_OK_AND_ASSIGN(VolumeUse use, volumes_->Use(volume));
    EXPECT_THAT(use->Fsync(kept, &first), HasErrc(Errc::kDeviceError));
    EXPECT_OK(use->Fsync(kept, &first));
    EXPECT_THAT(use->Fsync(use->root(), &directory),
                HasErrc(Errc::kDeviceError));
    EXPECT_OK(use->Fsync(use->root(), &directory));
    use->Close(kept);
  }
  EXPECT_THAT(volumes_->SyncAll(), MessageHas("volume ALPHA"));
  EXPECT_OK(volumes_->SyncAll());
}

// A loss belongs to a volume, not to a name.
TEST_F(TreeReplacedTest, ALossIsToldOfItsVolumeWhateverThatIsCalledNow) {
  Start(1, 3, Options());
  const auto volume = MakeVolume("V00001", "ALPHA");
  const auto other = MakeVolume("V00002", "BETA");
  {
    ASSERT_OK_AND_ASSIGN(VolumeUse use, volumes_->Use(volume));
    fail_at_ = static_cast<int>(CommitStep::kDataWritten);
    EXPECT_FALSE(MakeAndSync(use, "lost").ok());
    fail_at_ = kNoStep;
  }
  ASSERT_OK(volumes_->Use(other));
  // The sync of another volume neither tells nor forgets it.
  EXPECT_OK(volumes_->SyncVolume(*other));
  EXPECT_EQ(volumes_->lost().size(), 1u);
  VolumeRecord record = volume->record();
  record.id = "GAMMA";
  ASSERT_OK(volumes_->Put(record));
  const auto namesake = MakeVolume("V00003", "ALPHA");
  EXPECT_OK(volumes_->SyncVolume(*namesake));
  const Status told = volumes_->SyncVolume(*volume);
  EXPECT_THAT(told, HasErrc(Errc::kDeviceError));
  EXPECT_THAT(told, MessageHas("changes since its last commit are lost"));
  EXPECT_THAT(told, MessageHas("medium V00001"));
  EXPECT_OK(volumes_->SyncVolume(*volume));
  EXPECT_TRUE(volumes_->lost().empty());
}

// Between the moment at which its medium is gone and that at which the loss is
// noted, neither loaded() nor lost() tells anything.
TEST_F(TreeReplacedTest, ASyncOfOneVolumeWaitsForTheCloseThatLosesSomething) {
  std::promise<void> closing, go_on;
  std::atomic<bool> stop_there = false;
  VolumesOptions options = Options();
  options.on_tree_replaced = [&] {
    if (!stop_there.exchange(false)) return;
    closing.set_value();
    go_on.get_future().wait();
  };
  Start(1, 2, options);
  const auto volume = MakeVolume("V00001", "ALPHA");
  const auto other = MakeVolume("V00002", "BETA");
  {
    ASSERT_OK_AND_ASSIGN(VolumeUse use, volumes_->Use(volume));
    fail_at_ = static_cast<int>(CommitStep::kDataWritten);
    EXPECT_FALSE(MakeAndSync(use, "lost").ok());
    fail_at_ = kNoStep;
  }
  stop_there = true;
  std::thread user([&] { EXPECT_OK(volumes_->Use(other)); });
  closing.get_future().wait();
  EXPECT_FALSE(volumes_->loaded(*volume));
  EXPECT_FALSE(volume->attached());
  EXPECT_TRUE(volumes_->lost().empty());
  auto told = std::async(std::launch::async,
                         [&] { return volumes_->SyncVolume(*volume); });
  EXPECT_EQ(told.wait_for(std::chrono::milliseconds(50)),
            std::future_status::timeout);
  go_on.set_value();
  const Status status = told.get();
  EXPECT_THAT(status, HasErrc(Errc::kDeviceError));
  EXPECT_THAT(status, MessageHas("volume ALPHA"));
  EXPECT_OK(volumes_->SyncVolume(*volume));
  user.join();
  Stop();  // the options refer to what is here
}

TEST_F(TreeReplacedTest, WhatAFrozenVolumeLosesIsTold) {
  Start(1, 2, Options());
  const auto volume = MakeVolume("V00001", "ALPHA");
  const auto other = MakeVolume("V00002", "BETA");
  const uint64_t count = volumes_->change_count();
  {
    ASSERT_OK_AND_ASSIGN(VolumeUse use, volumes_->Use(volume));
    ASSERT_OK(MakeAndSync(use, "kept"));
    fail_at_ = static_cast<int>(CommitStep::kDataWritten);
    EXPECT_FALSE(MakeAndSync(use, "lost").ok());
    fail_at_ = kNoStep;
  }
  EXPECT_EQ(volumes_->change_count(), count);
  const Status losing = volume->CheckNothingToLose();
  EXPECT_THAT(losing, HasErrc(Errc::kBusy));
  EXPECT_NE(losing.error().message.find("volume ALPHA"), std::string::npos);
  // Nobody unloads it on purpose as long as there is something to lose; the
  // only drive is taken from it when another volume needs it.
  EXPECT_THAT(volumes_->Exclude(volume), HasErrc(Errc::kBusy));
  EXPECT_OK(volume->Lookup(volume->root(), "lost"));
  EXPECT_TRUE(volumes_->lost().empty());
  ASSERT_OK(volumes_->Use(other));
  EXPECT_EQ(volumes_->lost().size(), 1u);
  EXPECT_OK(volume->CheckNothingToLose());
  EXPECT_THAT(volume->Lookup(volume->root(), "lost"), HasErrc(Errc::kNotFound));
  EXPECT_EQ(volumes_->change_count(), count + 1);
}

}  // namespace
}  // namespace vellum
