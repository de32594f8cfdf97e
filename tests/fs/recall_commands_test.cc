// SPDX-License-Identifier: Apache-2.0
// Recall in order (X5): stages, the queue, and where data lies.
#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <pthread.h>

#include <functional>
#include <future>
#include <string>
#include <thread>

#include "media/file_util.h"
#include "tests/fs/devices_fixture.h"
#include "tests/support/no_threads.h"

namespace vellum {
namespace {

using testing::HasSubstr;

class RecallCommandsTest : public DevicesFixture {};

TEST_F(RecallCommandsTest, X5_AStageReadsEveryFileOnceInOneLoadPerVolume) {
  MakeVolume("VOL-A", "V00001", {3000, 40'000, 10});
  MakeVolume("VOL-B", "V00002", {70'000, 5});
  MakeVolume("VOL-C", "V00003", {1});
  UnloadAll();
  const uint64_t before = Loads();
  const std::string list = dir_.Sub("list");
  WriteFileOrDie(list,
                 "VOL-B/f1\nVOL-A/f2\nVOL-C\nVOL-A/f0\nVOL-B/f0\nVOL-A/f1\n"
                 "VOL-A/f1\nVOL-A/none\nNONE/x\n");
  const Json started = Run("stage list=" + list);
  EXPECT_EQ(started["files"], 8);  // one of them once, two that fail
  EXPECT_EQ(started["files_failed"], 2);
  const StageId id = started["stage"];
  ASSERT_OK_AND_ASSIGN(const StageRecord done, service_->stages().Wait(id));
  EXPECT_EQ(done.state, StageState::kDone);
  EXPECT_EQ(done.files_done, 6u);
  EXPECT_EQ(done.bytes_done, 3000u + 40'000 + 10 + 70'000 + 5 + 1);
  EXPECT_EQ(Loads() - before, 3u);
  const Json row = RowOf("stages", "id", id);
  EXPECT_EQ(row["state"], "done");
  EXPECT_EQ(row["percent"], 100);
  EXPECT_EQ(row["volumes_done"], 3);
  const Json results = Run(fmt::format("stage results={}", id));
  EXPECT_TRUE(results["next"].is_null());
  size_t failed = 0;
  for (const Json& file : results["files"]) {
    if (file["result"] == "done") continue;
    ++failed;
    EXPECT_EQ(file["result"], "NOT_FOUND") << file;
  }
  EXPECT_EQ(failed, 2u);
  const Json page = Run(fmt::format("stage results={} after=3 limit=2", id));
  EXPECT_EQ(page["files"].size(), 2u);
  EXPECT_EQ(page["next"], 5);
  EXPECT_EQ(Fail("stage cancel=99").code, Errc::kNotFound);
  EXPECT_EQ(Fail("stage").code, Errc::kInvalidArgument);
}

TEST_F(RecallCommandsTest, X5_AStageTellsWhichFilesCannotBeRead) {
  const auto volume = MakeVolume("VOL-A", "V00001", {5000, 5000});
  UnloadAll();
  ASSERT_OK_AND_ASSIGN(const Attr attr, volume->Lookup(volume->root(), "f1"));
  Run(fmt::format("fault medium-error V00001 first={}",
                  volume->record().geometry.partition_first +
                      volume->DataAddress(attr.ino)));
  const StageId id = Run("stage VOL-A")["stage"];
  ASSERT_OK_AND_ASSIGN(const StageRecord done, service_->stages().Wait(id));
  EXPECT_EQ(done.files_done, 1u);
  EXPECT_EQ(done.files_failed, 1u);
  const Json results = Run(fmt::format("stage results={}", id));
  for (const Json& file : results["files"]) {
    EXPECT_EQ(file["result"],
              file["path"] == "VOL-A/f1" ? "DEVICE_ERROR" : "done");
  }
}

TEST_F(RecallCommandsTest, X5_AStageIsCancelled) {
  MakeVolume("VOL-A", "V00001", {5000});
  UnloadAll();
  Run("fault slow-load V00001 ms=300");
  const StageId id = Run("stage VOL-A")["stage"];
  Run(fmt::format("stage cancel={}", id));
  ASSERT_OK_AND_ASSIGN(const StageRecord done, service_->stages().Wait(id));
  EXPECT_EQ(done.state, StageState::kCancelled);
  EXPECT_EQ(done.files_done, 0u);
  const Error again = Fail(fmt::format("stage cancel={}", id));
  EXPECT_EQ(again.code, Errc::kBusy);
  EXPECT_THAT(again.message, HasSubstr("has ended already: cancelled"));
  EXPECT_EQ(Fail("stage cancel=99").code, Errc::kNotFound);
}

TEST_F(RecallCommandsTest, X5_APathThatIsNotThereIsNamed) {
  MakeVolume("VOL-A", "V00001", {5});
  const StageId id = Run("stage VOL-A/no/such")["stage"];
  const Json results = Run(fmt::format("stage results={}", id));
  EXPECT_EQ(results["files"][0]["message"],
            "VOL-A/no/such: volume VOL-A has no /no");
}

TEST_F(RecallCommandsTest, X5_ATreeMayBeDeeperThanAStack) {
  const auto volume = MakeVolume("VOL-A", "V00001", {});
  constexpr int kDepth = 3000;
  {
    ASSERT_OK_AND_ASSIGN(VolumeUse use, service_->volumes().Use(volume));
    InodeNumber dir = use->root();
    NewInode inode;
    inode.type = udf::FileType::kDirectory;
    for (int i = 0; i < kDepth; ++i) {
      ASSERT_OK_AND_ASSIGN(const Attr made, use->Create(dir, "d", inode));
      dir = made.ino;
    }
    ASSERT_OK(use->Create(dir, "deepest", NewInode()));
    ASSERT_OK(use->Create(use->root(), "first", NewInode()));
  }
  // With little stack a tree that is not deep would do.
  Json started;
  pthread_attr_t attributes;
  ASSERT_EQ(pthread_attr_init(&attributes), 0);
  ASSERT_EQ(pthread_attr_setstacksize(&attributes, 512 << 10), 0);
  std::function<void()> work = [&] { started = Run("stage VOL-A"); };
  pthread_t thread;
  ASSERT_EQ(pthread_create(
                &thread, &attributes,
                [](void* run) -> void* {
                  (*static_cast<std::function<void()>*>(run))();
                  return nullptr;
                },
                &work),
            0);
  ASSERT_EQ(pthread_join(thread, nullptr), 0);
  pthread_attr_destroy(&attributes);
  EXPECT_EQ(started["files"], 2) << started;
  ASSERT_OK(service_->stages().Wait(started["stage"]));
}

TEST_F(RecallCommandsTest, X5_WithoutThreadsAStageIsRefused) {
  MakeVolume("VOL-A", "V00001", {5});
  {
    const NoThreads none;
    const Error refused = Fail("stage VOL-A");
    EXPECT_EQ(refused.code, Errc::kNotReady) << refused.message;
    EXPECT_THAT(refused.message, HasSubstr("no thread can be started"));
  }
  EXPECT_EQ(CatJson("stages.json").size(), 0u);
  const StageId id = Run("stage VOL-A")["stage"];
  ASSERT_OK_AND_ASSIGN(const StageRecord done, service_->stages().Wait(id));
  EXPECT_EQ(done.files_done, 1u);
}

TEST_F(RecallCommandsTest, X5_TheQueueShowsWhoWaits) {
  const auto a = MakeVolume("VOL-A", "V00001", {10});
  const auto b = MakeVolume("VOL-B", "V00002", {10});
  UnloadAll();
  Run("drive offline 257");
  ASSERT_OK_AND_ASSIGN(VolumeUse use, service_->volumes().Use(a));
  std::promise<Status> got;
  service_->volumes().With(
      b, [&got](Result<VolumeUse> second) { got.set_value(second.status()); });
  while (CatJson("queue.json").empty()) std::this_thread::yield();
  const Json row = RowOf("queue", "volume", "VOL-B");
  EXPECT_EQ(row["position"], 1);
  EXPECT_EQ(row["state"], "waiting");
  EXPECT_EQ(row["priority"], "foreground");
  EXPECT_EQ(row["operations"], 1);
  EXPECT_TRUE(row["estimate_seconds"].is_number());
  EXPECT_THAT(*Cat("queue"), HasSubstr("VOL-B"));
  use.Release();
  EXPECT_OK(got.get_future().get());
  while (!CatJson("queue.json").empty()) std::this_thread::yield();
}

TEST_F(RecallCommandsTest, X5_DataHasAnAddressAlsoWhenNothingIsLoaded) {
  const auto volume = MakeVolume("VOL-A", "V00001", {40'000, 40'000});
  UnloadAll();
  ASSERT_OK_AND_ASSIGN(const Attr first, volume->Lookup(volume->root(), "f0"));
  ASSERT_OK_AND_ASSIGN(const Attr second, volume->Lookup(volume->root(), "f1"));
  const uint64_t address = volume->DataAddress(first.ino);
  EXPECT_GT(address, 0u);
  EXPECT_NE(volume->DataAddress(second.ino), address);
  // Further on in the file is further on on the medium.
  EXPECT_EQ(volume->DataAddress(first.ino, 2 * kSectorSize), address + 2);
  EXPECT_EQ(volume->DataAddress(first.ino, 1 << 20), 0u);
  EXPECT_EQ(volume->DataAddress(4711), 0u);
}

}  // namespace
}  // namespace vellum
