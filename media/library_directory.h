// SPDX-License-Identifier: Apache-2.0
// The directory of a library of any kind:
//
//   library.toml  what the library is (library_config.h)
//   state/lock    flock'ed by the daemon: one daemon per library
//   state/        what else the daemon and the kind of library keep
//   catalog/      RocksDB         spool/  staging space of copies
#pragma once

#include <functional>
#include <string>
#include <vector>

#include "media/error.h"
#include "media/library_config.h"

namespace vellum {

// Makes the library: its directories, `folders` too, what `fill` (may be empty)
// puts into them, and last library.toml. kExists when DIR holds a library
// already or is not empty; kBusy while another init is at work there; kNoSpace.
// On error nothing that was there is changed. What an init that was killed has
// left counts as nothing.
Status InitLibraryDirectory(const std::string& directory,
                            const LibraryConfig& config,
                            std::vector<std::string> folders,
                            const std::function<Status()>& fill);

// Held for the daemon's life. kBusy names the process that serves the library.
class LibraryLock {
 public:
  static Result<LibraryLock> Take(const std::string& directory);
  LibraryLock(LibraryLock&& other) noexcept;
  LibraryLock& operator=(LibraryLock&& other) noexcept;
  ~LibraryLock();

  // Writes the pid of the calling process into the lock file, for the message
  // above: call it after a fork that leaves the lock to the child.
  Status UpdateOwner();

 private:
  explicit LibraryLock(int fd) : fd_(fd) {}
  int fd_ = -1;
};

}  // namespace vellum
