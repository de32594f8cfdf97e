// SPDX-License-Identifier: Apache-2.0
#include "fs/invalidator.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <chrono>
#include <functional>
#include <string>
#include <utility>
#include <vector>

#include "fs/kernel_cache.h"
#include "media/mutex.h"
#include "tests/fs/service_fixture.h"

namespace vellum {
namespace {

using testing::ElementsAre;

// What the kernel was told, in the order in which it was.
class RecordingCache : public KernelCache {
 public:
  void InvalidateEntry(uint64_t parent_node, const std::string& name) override {
    Note("entry " + std::to_string(parent_node) + " " + name);
  }
  void InvalidateInode(uint64_t node) override {
    Note("inode " + std::to_string(node));
  }
  void ForgetAttributes(uint64_t node) override {
    Note("attributes " + std::to_string(node));
  }
  // Everything, once so much has come or nothing more comes. What is too much
  // is in the next answer.
  std::vector<std::string> WaitFor(size_t count) {
    MutexLock lock(&mu_);
    while (calls_.size() < count &&
           changed_.WaitFor(&mu_, std::chrono::seconds(20))) {
    }
    return std::exchange(calls_, {});
  }

 private:
  void Note(std::string call) {
    MutexLock lock(&mu_);
    calls_.push_back(std::move(call));
    changed_.NotifyAll();
  }

  Mutex mu_;
  CondVar changed_;
  std::vector<std::string> calls_ GUARDED_BY(mu_);
};

class InvalidatorTest : public ServiceFixture {
 protected:
  std::string RootOf(const std::string& volume) const {
    return std::to_string(tree_->FindByName(volume)->root_node());
  }
  void Put(const std::string& volume,
           const std::function<void(VolumeRecord*)>& change) {
    VolumeRecord record = service_->volumes().Find(volume)->record();
    change(&record);
    ASSERT_OK(service_->volumes().Put(record));
  }

  RecordingCache kernel_;
};

TEST_F(InvalidatorTest, TellsWhatTheKernelCannotKnow) {
  Run("format V00001 name=OTHER");
  Invalidator invalidator(tree_.get(), &kernel_);
  // Somebody may be in the new one: its name is left alone.
  Run("format V00002 name=NEW");
  invalidator.Poke();
  EXPECT_THAT(kernel_.WaitFor(1), ElementsAre("attributes 1"));

  const std::string root = RootOf("NEW");
  Put("NEW", [](VolumeRecord* record) { record->id = "RENAMED"; });
  invalidator.Poke();
  EXPECT_THAT(kernel_.WaitFor(3),
              ElementsAre("entry 1 NEW", "inode " + root, "attributes 1"));

  Put("RENAMED",
      [](VolumeRecord* record) { record->role = udf::Role::kBackup; });
  invalidator.Poke();
  EXPECT_THAT(kernel_.WaitFor(2),
              ElementsAre("entry 1 RENAMED", "inode " + root));

  const std::string gone = RootOf("OTHER");
  Run("release OTHER");
  invalidator.Poke();
  EXPECT_THAT(kernel_.WaitFor(3),
              ElementsAre("entry 1 OTHER", "inode " + gone, "attributes 1"));
}

// A copy of a volume takes its name: who looks that up gets the other one.
TEST_F(InvalidatorTest, TellsOfANameThatAnotherVolumeHasNow) {
  Run("format V00001 name=FIRST");
  Run("format V00002 name=SECOND");
  const std::string first = RootOf("FIRST");
  const std::string second = RootOf("SECOND");
  Invalidator invalidator(tree_.get(), &kernel_);
  Put("FIRST", [](VolumeRecord* record) { record->id = "FIRST-OLD1"; });
  Put("SECOND", [](VolumeRecord* record) { record->id = "FIRST"; });
  invalidator.Poke();
  EXPECT_THAT(kernel_.WaitFor(5),
              ElementsAre("entry 1 FIRST", "inode " + first, "entry 1 SECOND",
                          "inode " + second, "attributes 1"));
}

}  // namespace
}  // namespace vellum
