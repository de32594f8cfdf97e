// SPDX-License-Identifier: Apache-2.0
// WorkMeter: how far a piece of work is that somebody waits for, in the eyes of
// those who watch it (the control tree's table `running`). Jobs have counters
// of their own (copy/copy_hooks.h).
#pragma once

#include <cstdint>
#include <string>

#include "media/mutex.h"
#include "media/types.h"

namespace vellum {

// Thread-safety: every method may be called concurrently.
class WorkMeter {
 public:
  struct Reading {
    std::string step;    // what is done now: "reads V00004 in 1027"; may be ""
    std::string unit;    // what is counted: "media", "bytes"; "": nothing yet
    uint64_t done = 0;   // may pass `total` where that is an estimate
    uint64_t total = 0;  // 0: not known
    TimeSpec since;      // when the count began: rates are reckoned from here
  };

  // Begins a count, from 0. total 0: how much there is, is not known.
  void Begin(const std::string& unit, uint64_t total) EXCLUDES(mu_);
  void Say(const std::string& step) EXCLUDES(mu_);
  void Add(uint64_t count) EXCLUDES(mu_);
  Reading Read() const EXCLUDES(mu_);

 private:
  mutable Mutex mu_;  // a leaf
  Reading reading_ GUARDED_BY(mu_);
};

}  // namespace vellum
