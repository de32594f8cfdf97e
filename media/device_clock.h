// SPDX-License-Identifier: Apache-2.0
// The time of devices that are only modelled: real, scaled or simulated, so
// that a model of minutes can be measured in seconds and tested in none.
#pragma once

#include <atomic>
#include <chrono>
#include <cstdint>

namespace vellum {

// Thread-safety: all methods may be called concurrently.
class DeviceClock {
 public:
  using Duration = std::chrono::nanoseconds;  // of the model
  virtual ~DeviceClock() = default;
  // Since some instant in the past.
  virtual Duration Now() const = 0;
  // Returns at once when it is past.
  virtual void SleepUntil(Duration when) = 0;
};

// The time of the machine, `scale` times faster: with 10, ten seconds of the
// model take one.
class ScaledClock : public DeviceClock {
 public:
  explicit ScaledClock(uint32_t scale) : scale_(scale) {}
  Duration Now() const override;
  void SleepUntil(Duration when) override;

 private:
  const uint32_t scale_;
  const std::chrono::steady_clock::time_point start_ =
      std::chrono::steady_clock::now();
};

// Stands still but for those who sleep. For one thread at a time: two devices
// that sleep at once would each move the time for the other.
class SimulatedClock : public DeviceClock {
 public:
  Duration Now() const override { return Duration(now_.load()); }
  void SleepUntil(Duration when) override;
  void Advance(Duration by) { now_ += by.count(); }

 private:
  std::atomic<int64_t> now_{0};
};

}  // namespace vellum
