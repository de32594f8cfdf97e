// SPDX-License-Identifier: Apache-2.0
#include "fs/memory_keeper.h"

#include <malloc.h>
#include <pthread.h>
#include <unistd.h>

#include <algorithm>
#include <fstream>
#include <utility>

namespace vellum {

uint64_t ResidentBytes() {
  std::ifstream in("/proc/self/statm");
  uint64_t size = 0, resident = 0;
  if (!(in >> size >> resident)) return 0;
  return resident * static_cast<uint64_t>(sysconf(_SC_PAGESIZE));
}

void GiveBackFreed() { malloc_trim(0); }

MemoryPolicy::MemoryPolicy(MemoryKeeperOptions options)
    : options_(std::move(options)),
      least_(options_.resident()),
      seen_(least_) {}

void MemoryPolicy::Look() {
  const uint64_t now = options_.resident();
  const uint64_t before = std::exchange(seen_, now);
  least_ = std::min(least_, now);
  if (now > before || now < least_ + options_.worth) return;
  options_.give_back();
  // What is left is in use.
  least_ = seen_ = options_.resident();
}

MemoryKeeper::MemoryKeeper(MemoryKeeperOptions options)
    : options_(std::move(options)),
      thread_([this](std::stop_token stop) { Run(std::move(stop)); }) {
  pthread_setname_np(thread_.native_handle(), "memory-keeper");
}

MemoryKeeper::~MemoryKeeper() {
  thread_.request_stop();
  MutexLock lock(&mu_);
  wake_.NotifyAll();
}

void MemoryKeeper::Run(std::stop_token stop) {
  MemoryPolicy policy(options_);
  while (true) {
    {
      MutexLock lock(&mu_);
      if (!stop.stop_requested()) wake_.WaitFor(&mu_, options_.interval);
    }
    if (stop.stop_requested()) return;
    policy.Look();
  }
}

}  // namespace vellum
