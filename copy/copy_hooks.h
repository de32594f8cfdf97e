// SPDX-License-Identifier: Apache-2.0
// How a copy reports to whoever runs it, and is stopped.
#pragma once

#include <atomic>
#include <cstdint>
#include <functional>
#include <stop_token>
#include <string>

namespace vellum {

// Progress, read by other threads at any time.
struct CopyCounters {
  std::atomic<uint64_t> regions_total{0};
  std::atomic<uint64_t> regions_done{0};
  std::atomic<uint64_t> bytes_copied{0};
  std::atomic<uint64_t> bytes_verified{0};

  void Begin(uint64_t total) {
    regions_done = 0;
    regions_total = total;
  }
};

struct CopyHooks {
  std::stop_token stop;                         // checked before every chunk
  CopyCounters* counters = nullptr;             // never null when a copy runs
  std::function<void(const std::string&)> log;  // one line for a person
};

}  // namespace vellum
