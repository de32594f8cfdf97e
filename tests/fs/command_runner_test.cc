// SPDX-License-Identifier: Apache-2.0
#include "fs/command_runner.h"

#include <gtest/gtest.h>

#include <atomic>
#include <stdexcept>

#include "tests/support/no_threads.h"
#include "tests/support/status_matchers.h"

namespace vellum {
namespace {

// Blocks until it is told to stop.
void WaitForStop(std::stop_token stop) {
  Mutex mu;
  CondVar changed;
  const std::stop_callback wake(stop, [&] {
    MutexLock lock(&mu);
    changed.NotifyAll();
  });
  MutexLock lock(&mu);
  while (!stop.stop_requested()) changed.Wait(&mu);
}

TEST(CommandRunnerTest, RunsAtOnceAndRefusesBeyondTheBound) {
  CommandRunner runner;
  std::atomic<size_t> ended{0};
  for (size_t i = 0; i < CommandRunner::kMaxRunning; ++i) {
    ASSERT_OK(runner.Run(std::stop_source(), [&](std::stop_token stop) {
      WaitForStop(stop);
      ++ended;
    }));
  }
  EXPECT_THAT(runner.Run(std::stop_source(), [](std::stop_token) {}),
              HasErrc(Errc::kBusy));
  runner.Shutdown();
  EXPECT_EQ(ended, CommandRunner::kMaxRunning);
  EXPECT_THAT(runner.Run(std::stop_source(), [](std::stop_token) {}),
              HasErrc(Errc::kAborted));
}

TEST(CommandRunnerTest, OneCommandStopsByItsSource) {
  CommandRunner runner;
  std::stop_source stop;
  std::atomic<bool> ended{false};
  ASSERT_OK(runner.Run(stop, [&](std::stop_token token) {
    WaitForStop(token);
    ended = true;
    ended.notify_all();
  }));
  stop.request_stop();
  ended.wait(false);
  EXPECT_TRUE(ended);
}

TEST(CommandRunnerTest, WithoutThreadsTheCommandIsRefused) {
  CommandRunner runner;
  std::atomic<bool> ran{false};
  {
    const NoThreads none;
    EXPECT_THAT(
        runner.Run(std::stop_source(), [&ran](std::stop_token) { ran = true; }),
        HasErrc(Errc::kNotReady));
  }
  ASSERT_OK(runner.Run(std::stop_source(), [](std::stop_token) {}));
  runner.Shutdown();
  EXPECT_FALSE(ran);
}

TEST(CommandRunnerTest, AnExceptionEndsOnlyItsCommand) {
  CommandRunner runner;
  ASSERT_OK(runner.Run(std::stop_source(), [](std::stop_token) {
    throw std::runtime_error("broken command");
  }));
  std::atomic<bool> ran{false};
  ASSERT_OK(
      runner.Run(std::stop_source(), [&](std::stop_token) { ran = true; }));
  runner.Shutdown();
  EXPECT_TRUE(ran);
}

}  // namespace
}  // namespace vellum
