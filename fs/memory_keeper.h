// SPDX-License-Identifier: Apache-2.0
// Gives memory back that was freed: malloc(3) keeps what lies below a piece
// that is still in use.
#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <stop_token>
#include <thread>

#include "media/mutex.h"

namespace vellum {

// How much of this process is in memory, what it has mapped of files included;
// 0: not known.
uint64_t ResidentBytes();

// malloc_trim(3). Takes the longer the more there is to give back, and holds
// the lock of one arena of malloc after the other meanwhile: who allocates from
// that one waits.
void GiveBackFreed();

struct MemoryKeeperOptions {
  std::function<uint64_t()> resident = ResidentBytes;
  std::function<void()> give_back = GiveBackFreed;
  // Growth that is worth it.
  uint64_t worth = 64ull << 20;
  std::chrono::nanoseconds interval = std::chrono::seconds(5);
};

// When to give back: when the process has grown by as much since the last time,
// and grows no more. Growth that cannot be given back, such as mappings of
// files, is tried once. Thread-safety: none.
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

// Looks at every interval, in a thread of its own ("memory-keeper"), which
// alone calls the functions of the options. Thread-safety: made and destroyed
// by one thread.
class MemoryKeeper {
 public:
  explicit MemoryKeeper(MemoryKeeperOptions options = {});
  ~MemoryKeeper();

 private:
  void Run(std::stop_token stop);

  const MemoryKeeperOptions options_;
  Mutex mu_;  // a leaf
  CondVar wake_;
  std::jthread thread_;
};

}  // namespace vellum
