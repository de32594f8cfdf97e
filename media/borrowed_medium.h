// SPDX-License-Identifier: Apache-2.0
// A medium that someone else owns, as an object that can be owned: for those
// who take a unique_ptr<Medium> (ReplayedMedium, FaultMedium).
#pragma once

#include "media/forwarding_medium.h"

namespace vellum {

// Forwards every method, DirectFd included. Ownership: does not own the medium
// below, which outlives this; destroying this does nothing to it.
class BorrowedMedium : public ForwardingMedium {
 public:
  explicit BorrowedMedium(Medium* base) : ForwardingMedium(base) {}
};

}  // namespace vellum
