// SPDX-License-Identifier: Apache-2.0
#include "fs/memory_keeper.h"

#include <gtest/gtest.h>

#include <chrono>
#include <cstdint>
#include <thread>
#include <utility>

#include "media/mutex.h"

namespace vellum {
namespace {

class MemoryPolicyTest : public testing::Test {
 protected:
  MemoryKeeperOptions Options() {
    MemoryKeeperOptions options;
    options.resident = [this] { return resident_; };
    options.give_back = [this] {
      ++given_back_;
      resident_ = in_use_;
    };
    options.worth = 64;
    return options;
  }
  // How often a look at so much gives back.
  int Look(uint64_t resident) {
    resident_ = resident;
    given_back_ = 0;
    policy_.Look();
    return given_back_;
  }

  uint64_t resident_ = 100;
  uint64_t in_use_ = 100;
  int given_back_ = 0;
  MemoryPolicy policy_{Options()};
};

TEST_F(MemoryPolicyTest, GivesBackWhatWasNeededForAWhile) {
  EXPECT_EQ(Look(900), 0) << "it grows still";
  EXPECT_EQ(Look(1000), 0) << "it grows still";
  EXPECT_EQ(Look(1000), 1);
  EXPECT_EQ(Look(100), 0);
  EXPECT_EQ(Look(100), 0);
}

TEST_F(MemoryPolicyTest, WhatIsInUseIsNotAskedForAgain) {
  in_use_ = 500;
  Look(1000);
  EXPECT_EQ(Look(1000), 1);
  EXPECT_EQ(Look(500), 0);
  EXPECT_EQ(Look(563), 0);
  EXPECT_EQ(Look(563), 0) << "not worth it";
  EXPECT_EQ(Look(564), 0);
  EXPECT_EQ(Look(564), 1);
}

TEST_F(MemoryPolicyTest, CountsFromTheLeast) {
  in_use_ = 500;
  Look(500);
  EXPECT_EQ(Look(500), 1);
  Look(200);
  Look(300);
  EXPECT_EQ(Look(300), 1);
}

TEST(ResidentBytesTest, IsKnown) { EXPECT_GT(ResidentBytes(), 1u << 20); }

TEST(MemoryKeeperTest, LooksAndGivesBackInAThreadOfItsOwn) {
  Mutex mu;
  CondVar changed;
  bool first = true;
  std::thread::id gave_back;
  MemoryKeeperOptions options;
  options.interval = std::chrono::milliseconds(1);
  options.worth = 64;
  options.resident = [&]() -> uint64_t {
    MutexLock lock(&mu);
    if (std::exchange(first, false)) return 100;
    return gave_back == std::thread::id() ? 1000 : 100;
  };
  options.give_back = [&] {
    MutexLock lock(&mu);
    gave_back = std::this_thread::get_id();
    changed.NotifyAll();
  };
  const MemoryKeeper keeper(options);
  MutexLock lock(&mu);
  while (gave_back == std::thread::id()) changed.Wait(&mu);
  EXPECT_NE(gave_back, std::this_thread::get_id());
}

// Ends its thread, whenever that is.
TEST(MemoryKeeperTest, Ends) {
  for (int i = 0; i < 10; ++i) MemoryKeeper keeper;
}

}  // namespace
}  // namespace vellum
