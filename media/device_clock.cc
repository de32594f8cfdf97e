// SPDX-License-Identifier: Apache-2.0
#include "media/device_clock.h"

#include <thread>

namespace vellum {

DeviceClock::Duration ScaledClock::Now() const {
  return (std::chrono::steady_clock::now() - start_) * scale_;
}

void ScaledClock::SleepUntil(Duration when) {
  std::this_thread::sleep_until(start_ + when / scale_);
}

void SimulatedClock::SleepUntil(Duration when) {
  int64_t now = now_.load();
  while (now < when.count() && !now_.compare_exchange_weak(now, when.count())) {
  }
}

}  // namespace vellum
