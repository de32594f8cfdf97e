// SPDX-License-Identifier: Apache-2.0
// Requests that wait for a robot, by number, so that an interrupt that arrives
// at any moment finds its request or finds nothing. No libfuse here.
#pragma once

#include <cstdint>
#include <functional>
#include <unordered_map>
#include <utility>
#include <vector>

#include "media/mutex.h"

namespace vellum {

// Life of an entry: Add -> Arm -> (Interrupt) -> Remove. libfuse may report an
// interrupt while the request is still being parked, with its own locks held;
// the request must not be answered then. So until Arm, an interrupt is only
// noted, and Arm tells.
//
// Thread-safety: every method may be called concurrently.
class ParkedRequests {
 public:
  // `cancel` must be safe to call after the request was answered.
  uint64_t Add(std::function<void()> cancel) EXCLUDES(mu_) {
    MutexLock lock(&mu_);
    const uint64_t id = next_++;
    entries_.emplace(id, Entry{std::move(cancel)});
    return id;
  }

  // True: it was interrupted before; the caller cancels.
  bool Arm(uint64_t id) EXCLUDES(mu_) {
    MutexLock lock(&mu_);
    const auto it = entries_.find(id);
    if (it == entries_.end()) return false;
    it->second.armed = true;
    return it->second.interrupted;
  }

  void Interrupt(uint64_t id) EXCLUDES(mu_) {
    std::function<void()> cancel;
    {
      MutexLock lock(&mu_);
      const auto it = entries_.find(id);
      if (it == entries_.end()) return;
      it->second.interrupted = true;
      if (it->second.armed) cancel = it->second.cancel;
    }
    if (cancel) cancel();
  }

  // As if all were interrupted.
  void InterruptAll() EXCLUDES(mu_) {
    std::vector<uint64_t> ids;
    {
      MutexLock lock(&mu_);
      for (const auto& entry : entries_) ids.push_back(entry.first);
    }
    for (const uint64_t id : ids) Interrupt(id);
  }

  void Remove(uint64_t id) EXCLUDES(mu_) {
    MutexLock lock(&mu_);
    entries_.erase(id);
  }

  size_t size() const EXCLUDES(mu_) {
    MutexLock lock(&mu_);
    return entries_.size();
  }

 private:
  struct Entry {
    std::function<void()> cancel;
    bool armed = false;
    bool interrupted = false;
  };
  mutable Mutex mu_;  // a leaf
  uint64_t next_ GUARDED_BY(mu_) = 1;
  std::unordered_map<uint64_t, Entry> entries_ GUARDED_BY(mu_);
};

}  // namespace vellum
