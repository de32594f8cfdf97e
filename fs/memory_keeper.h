// SPDX-License-Identifier: Apache-2.0
// Gives memory back that the daemon has freed. Of the small pieces of a large
// commit or listing some that stay lie behind all the others, so that free(3)
// keeps hundreds of megabytes.
#pragma once

#include <cstdint>
#include <functional>
#include <stop_token>
#include <thread>

#include "media/mutex.h"

namespace vellum {

// How much of this process is in memory; 0: not known.
uint64_t ResidentBytes();

struct MemoryKeeperOptions {
  std::function<uint64_t()> resident = ResidentBytes;
  // malloc_trim(3), which takes the longer the more there is to give back.
  std::function<void()> give_back;
  // Growth that is worth it.
  uint64_t worth = 64ull << 20;
};

// When to give back: when the process has grown by as much since the last time,
// and grows no more. Thread-safety: none.
class MemoryPolicy {
 public:
  explicit MemoryPolicy(MemoryKeeperOptions options);
  // Every now and then.
  void Look();

 private:
  const MemoryKeeperOptions options_;
  uint64_t least_;  // since the last time
  uint64_t seen_;   // by the last look
};

// Looks every few seconds, in a thread of its own. Thread-safety: made and
// destroyed by one thread.
class MemoryKeeper {
 public:
  MemoryKeeper();
  ~MemoryKeeper();

 private:
  void Run(std::stop_token stop);

  Mutex mu_;  // a leaf
  CondVar wake_;
  std::jthread thread_;
};

}  // namespace vellum
