// SPDX-License-Identifier: Apache-2.0
// A drive of a virtual library: opens the image of the medium that is in it,
// and keeps it locked (flock(2)). While another process has it locked, the
// medium is not ready: `flock media/TAG.img sleep 60` makes a slow load (H6).
// After five minutes of that the load fails with kTimedOut.
#pragma once

#include <memory>

#include "media/drive.h"
#include "media/virtual_state.h"

namespace vellum {

// Thread-safety: as Drive says.
class VirtualDrive : public Drive {
 public:
  VirtualDrive(std::shared_ptr<VirtualState> state, ElementAddress address)
      : state_(std::move(state)), address_(address) {}
  ~VirtualDrive() override;

  ElementAddress Address() const override { return address_; }
  Result<DriveIdentity> Identify() override;
  Result<std::unique_ptr<Medium>> Open() override;
  Status Close() override;

 private:
  const std::shared_ptr<VirtualState> state_;
  const ElementAddress address_;
  bool open_ = false;
};

}  // namespace vellum
