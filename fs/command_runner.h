// SPDX-License-Identifier: Apache-2.0
// Threads for control commands: they wait for robots, and no FUSE thread may.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <stop_token>
#include <thread>

#include "media/error.h"
#include "media/mutex.h"

namespace vellum {

// Runs each piece of work in a thread of its own, a bounded number at once.
// Thread-safety: every method may be called concurrently.
class CommandRunner {
 public:
  using Work = std::function<void(std::stop_token)>;
  static constexpr size_t kMaxRunning = 64;

  CommandRunner() = default;
  ~CommandRunner() { Shutdown(); }

  // `stop` asks the work to end early. kBusy when kMaxRunning run already,
  // kNotReady when no thread can be started, kAborted behind Shutdown; then
  // `work` is not called.
  Status Run(const std::stop_source& stop, Work work);
  // Asks all work to stop and waits for it. Idempotent.
  void Shutdown();

 private:
  struct Running {
    std::jthread thread;
    std::stop_source stop;
    bool ended = false;
  };
  void Reap() EXCLUDES(mu_);

  Mutex mu_;  // a leaf
  bool closed_ GUARDED_BY(mu_) = false;
  uint64_t next_ GUARDED_BY(mu_) = 1;
  std::map<uint64_t, Running> running_ GUARDED_BY(mu_);
};

}  // namespace vellum
