// SPDX-License-Identifier: Apache-2.0
// A drive of a manual library: one dock.
#pragma once

#include <memory>

#include "media/drive.h"
#include "media/manual/manual_state.h"

namespace vellum {

// Thread-safety: as Drive says.
class ManualDrive : public Drive {
 public:
  ManualDrive(std::shared_ptr<ManualState> state, ElementAddress address)
      : state_(std::move(state)), address_(address) {}
  ~ManualDrive() override;

  ElementAddress Address() const override { return address_; }
  Result<DriveIdentity> Identify() override;
  // What is in the dock must be known by its label, or have been confirmed.
  Result<std::unique_ptr<Medium>> Open() override;
  Status Close() override;

 private:
  const std::shared_ptr<ManualState> state_;
  const ElementAddress address_;
  bool open_ = false;
};

}  // namespace vellum
