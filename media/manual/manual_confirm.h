// SPDX-License-Identifier: Apache-2.0
// What an operator says about a medium that its label does not tell.
#pragma once

#include <cstdint>

#include "media/error.h"
#include "media/manual/manual_state.h"
#include "media/types.h"

namespace vellum {

struct Confirmation {
  ElementAddress dock;
  VolumeTag tag;
  // The library gets it as a new medium; its shelf place is the first free one.
  bool is_new = false;
  // Known by another label until now: it was erased or written elsewhere.
  bool relabelled = false;
};

// What is in the dock is that medium. Refused where the label tells otherwise:
// kExists it is another medium of the library (names it); kIncompatible the
// medium of that tag is known by a label that is not there, and `relabelled` is
// not set. kNoMedium the dock is empty; kBusy it is in use; kNotFound no such
// dock or tag; kInvalidArgument a bad or known tag for a new medium; kNoSpace
// no shelf place is free for it.
Status ConfirmMedium(ManualState& state, const Confirmation& confirmation);

// The same for the dock and the medium of a request that is open. kNotFound;
// kInvalidArgument for one to take a medium out: the dock shows when that is
// done.
Status ConfirmRequest(ManualState& state, uint64_t number, bool relabelled);

}  // namespace vellum
