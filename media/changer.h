// SPDX-License-Identifier: Apache-2.0
// Changer: the robot. One of the three virtual interfaces.
#pragma once

#include <stop_token>
#include <vector>

#include "media/element.h"
#include "media/error.h"

namespace vellum {

// Ownership: Library owns it. Thread-safety: one caller at a time (Library
// sees to it), but for a manual one, whose methods may all be called
// concurrently. The state of the elements is the device's: never cached across
// a restart, re-read after every error.
class Changer {
 public:
  virtual ~Changer() = default;

  virtual Result<ChangerIdentity> Identify() = 0;
  virtual Result<ElementMap> Elements() = 0;

  // Every element, ordered by type and address. Moves nothing.
  virtual Result<std::vector<ElementStatus>> ReadElementStatus() = 0;

  // Moves one medium. Errors, each with both addresses and the volume tag:
  // kNotFound unknown element; kNoMedium source empty (5/3B/0E) or the medium
  // is not where the state says (4/15/01); kExists target full (5/3B/0D);
  // kBusy a drive is in use or prevents removal (5/53/02). After any error the
  // medium is in exactly one element: read the status again to know which.
  virtual Status MoveMedium(ElementAddress from, ElementAddress to) = 0;

  // The same for a changer whose moves may take for ever (Identify().manual):
  // kInterrupted when `stop` is requested first; nothing has moved then. The
  // others make the move. Calls may overlap when no element is in both.
  virtual Status MoveMediumUntil(ElementAddress from, ElementAddress to,
                                 std::stop_token /*stop*/) {
    return MoveMedium(from, to);
  }

  // The same move with the medium turned over: the other side of a two-sided
  // one (ElementStatus::sides) is up afterwards. `from` may be `to`. Also
  // kNotSupported: the robot cannot.
  virtual Status MoveMediumTurned(ElementAddress from, ElementAddress to) {
    return Status(Errc::kNotSupported,
                  "move a medium from " + ToString(from) + " to " +
                      ToString(to) + ": this changer turns no media over");
  }

  // What is in `from` goes to `to`, and what was there to `rest`, which is
  // empty: one way of the robot instead of two. Errors as of MoveMedium, and
  // kNotSupported, nothing was moved.
  virtual Status ExchangeMedium(ElementAddress from, ElementAddress to,
                                ElementAddress /*rest*/) {
    return Status(Errc::kNotSupported, "exchange media from " + ToString(from) +
                                           " to " + ToString(to) +
                                           ": this changer exchanges none");
  }

  // Whether somebody may have changed what is in the elements, or the elements
  // themselves, since ReadElementStatus was called last. Cheap, but may ask the
  // device.
  virtual Result<bool> ElementsChanged() { return false; }

  // Makes the changer look at its elements again (INITIALIZE ELEMENT STATUS).
  virtual Status InitializeElementStatus() = 0;
};

}  // namespace vellum
