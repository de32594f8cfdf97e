// SPDX-License-Identifier: Apache-2.0
// Dock: where an operator puts a medium of a manual library, and what can be
// seen there. Its path is a block device (a drive), a regular file (an image
// that stands for one), or a directory in which either appears: by a symlink,
// or as the one *.img file of a disk that is mounted below it.
#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "media/error.h"
#include "media/mutex.h"

namespace vellum {

// What a look at a dock saw.
struct DockSight {
  bool present = false;     // there is a medium, or something with a problem
  std::string path;         // of the medium; empty: none, or not clear which
  std::string fingerprint;  // tells two media apart without reading them
  // Of the Vellum volume on it, read from the medium; empty: there is none.
  std::string medium_uuid;
  std::string volume_id;
  std::string problem;  // why it cannot be used or read; or empty
};

// Thread-safety: all methods may be called concurrently.
class Dock {
 public:
  explicit Dock(std::string path) : path_(std::move(path)) {}

  const std::string& path() const { return path_; }

  // Which medium is there, without reading from it: no medium_uuid, no
  // volume_id. It never closes the tray of an optical drive.
  DockSight Find() const;

  // The same, with what is on it. A medium that was read is not read again
  // until Forget, while nobody but us writes to it.
  DockSight Look();
  void Forget();

  // Does the open descriptor still stand for the medium with this fingerprint
  // at `path`? Cheap; false when in doubt.
  static bool IsThere(int fd, const std::string& path,
                      const std::string& fingerprint);

 private:
  const std::string path_;
  Mutex mu_;  // a leaf
  std::optional<DockSight> seen_ GUARDED_BY(mu_);
  std::string seen_version_ GUARDED_BY(mu_);  // of the content
};

}  // namespace vellum
