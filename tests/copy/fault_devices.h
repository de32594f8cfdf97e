// SPDX-License-Identifier: Apache-2.0
// The changer and the drives of a FakeLibrary with power that can go, each of
// whose operations fails on demand.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>

#include "media/changer.h"
#include "media/drive.h"
#include "media/mutex.h"
#include "tests/copy/fault_media.h"

namespace vellum {

// Thread-safety: all methods may be called concurrently.
class FaultDevices {
 public:
  enum class Device : uint8_t { kChanger, kDrive };
  enum class Act : uint8_t {
    kFail,  // that operation, once: nothing was done
    kDone,  // that one, once: it was done all the same
    kGone,  // from then on all operations of that device: kOffline
    kHang,  // from then on all of that device stay in `hold`
  };

  // What drives hand out goes through `media`. All outlive the devices.
  // Without `power` all operations fail.
  FaultDevices(std::function<bool()> power, FaultMedia* media, Hold* hold)
      : power_(std::move(power)), media_(media), hold_(hold) {}

  // The `n`th operation of such a device from now on (1: the next): moves and
  // inventories of the changer; loads, unloads and identifications of the
  // drives.
  void At(uint64_t n, Device device, Act act);
  bool reached() const;  // what At has asked for has come
  // All of them work. True: one had been gone.
  bool Clear();

  std::unique_ptr<Changer> Wrap(std::unique_ptr<Changer> changer);
  std::unique_ptr<Drive> Wrap(std::unique_ptr<Drive> drive);

 private:
  friend class SweptChanger;
  friend class SweptDrive;

  // Counts the operation, and stays while the device hangs; answers what it
  // fails with, and sets `done` when it is to be done before. `element`: the
  // drive's.
  Status Count(Device device, ElementAddress element, const char* what,
               bool* done);
  FaultMedia& media() { return *media_; }

  const std::function<bool()> power_;
  FaultMedia* const media_;
  Hold* const hold_;
  mutable Mutex mu_;  // a leaf
  uint64_t left_ GUARDED_BY(mu_) = 0;
  Device device_ GUARDED_BY(mu_) = Device::kChanger;
  Act act_ GUARDED_BY(mu_) = Act::kFail;
  bool reached_ GUARDED_BY(mu_) = false;
  // The changer has the address 0.
  std::optional<ElementAddress> gone_ GUARDED_BY(mu_);
  std::optional<ElementAddress> hangs_ GUARDED_BY(mu_);
};

}  // namespace vellum
