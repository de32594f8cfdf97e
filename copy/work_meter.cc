// SPDX-License-Identifier: Apache-2.0
#include "copy/work_meter.h"

namespace vellum {

void WorkMeter::Begin(const std::string& unit, uint64_t total) {
  MutexLock lock(&mu_);
  reading_.unit = unit;
  reading_.done = 0;
  reading_.total = total;
  reading_.since = Now();
}

void WorkMeter::Say(const std::string& step) {
  MutexLock lock(&mu_);
  reading_.step = step;
}

void WorkMeter::Add(uint64_t count) {
  MutexLock lock(&mu_);
  reading_.done += count;
}

WorkMeter::Reading WorkMeter::Read() const {
  MutexLock lock(&mu_);
  return reading_;
}

}  // namespace vellum
