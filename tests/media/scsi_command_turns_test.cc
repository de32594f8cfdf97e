// SPDX-License-Identifier: Apache-2.0
#include <gtest/gtest.h>

#include <atomic>
#include <string>
#include <thread>

#include "media/mutex.h"
#include "media/scsi/command_turns.h"

namespace vellum::scsi {
namespace {

class CommandTurnsTest : public testing::Test {
 protected:
  // Asks for a turn, notes the name when it is there, and ends it.
  std::jthread Ask(bool alone, char name) {
    return std::jthread([this, alone, name] {
      const CommandTurn turn(&turns_, alone);
      MutexLock lock(&mu_);
      given_ += name;
    });
  }
  std::string Given() {
    MutexLock lock(&mu_);
    return given_;
  }
  // Until so many wait, or one got what it asked for.
  void AwaitWaiting(uint64_t count) {
    while (turns_.Waiting() < count && Given().empty()) {
      std::this_thread::yield();
    }
  }

  CommandTurns turns_;
  Mutex mu_;
  std::string given_ GUARDED_BY(mu_);
};

TEST_F(CommandTurnsTest, ManyShareAndOneIsAlone) {
  const uint64_t a = turns_.Take(/*alone=*/false);
  const uint64_t b = turns_.Take(/*alone=*/false);
  std::jthread alone = Ask(/*alone=*/true, 'A');
  AwaitWaiting(1);
  turns_.End(a);
  EXPECT_EQ(Given(), "");
  turns_.End(b);
  alone.join();
  EXPECT_EQ(Given(), "A");
}

// A stream of reads would keep a write away for ever.
TEST_F(CommandTurnsTest, NobodyIsPassedOver) {
  const uint64_t shared = turns_.Take(/*alone=*/false);
  std::jthread alone = Ask(/*alone=*/true, 'A');
  AwaitWaiting(1);
  std::jthread later = Ask(/*alone=*/false, 'L');
  AwaitWaiting(2);
  EXPECT_EQ(Given(), "");
  turns_.End(shared);
  alone.join();
  later.join();
  EXPECT_EQ(Given(), "AL");
}

TEST_F(CommandTurnsTest, WaitsForThoseThatWereGivenAndNoLaterOnes) {
  const uint64_t before = turns_.Take(/*alone=*/false);
  std::atomic<bool> asked = false;
  std::atomic<bool> ended = false;
  std::jthread waits([&] {
    asked = true;
    turns_.AwaitGiven();
    EXPECT_TRUE(ended);
  });
  while (!asked) std::this_thread::yield();
  // Time enough for one that does not wait.
  std::this_thread::sleep_for(std::chrono::milliseconds(100));
  const uint64_t later = turns_.Take(/*alone=*/false);
  ended = true;
  turns_.End(before);
  waits.join();
  turns_.End(later);
}

}  // namespace
}  // namespace vellum::scsi
