// SPDX-License-Identifier: Apache-2.0
// Drive: a data transfer element. One of the three virtual interfaces.
#pragma once

#include <memory>
#include <string>

#include "media/error.h"
#include "media/medium.h"
#include "media/types.h"

namespace vellum {

struct DriveIdentity {
  std::string vendor;
  std::string product;
  std::string revision;
  std::string serial;
  std::string device;
};

// Ownership: Library owns it. Thread-safety: one caller at a time, the drive's
// own thread; the Medium that it opens may be used by any thread.
class Drive {
 public:
  virtual ~Drive() = default;

  virtual ElementAddress Address() const = 0;
  virtual Result<DriveIdentity> Identify() = 0;

  // Makes the medium that the changer moved in ready, and hands it out; the
  // drive then prevents its removal. kNoMedium when empty, kNotReady /
  // kTimedOut when it does not become ready within a bound, kIncompatible for a
  // medium that the drive cannot use, kOffline. REQUIRES: no open Medium.
  virtual Result<std::unique_ptr<Medium>> Open() = 0;

  // Ends the use of the medium: nothing is flushed (the owner of the medium
  // flushes), removal is allowed again. REQUIRES: the Medium was destroyed.
  virtual Status Close() = 0;
};

}  // namespace vellum
