// SPDX-License-Identifier: Apache-2.0
// The daemon's entry points: serve a library as a mount, or show one image file
// without any library.
//
// Both fork first when they are to run in the background, so no lock, thread or
// mount crosses the fork; the child tells the parent through a pipe whether it
// has started. REQUIRES: the caller has no other threads when it asks for the
// background. One call at a time in a process: signals are the process's.
#pragma once

#include <cstdint>
#include <functional>
#include <string>

#include "media/error.h"

namespace vellum {

struct MountOptions {
  std::string library;      // DIR of `vellum init`
  std::string mount_point;  // existing directory
  bool foreground = false;
  // Other users may use the mount; their permissions are what the mode bits
  // say. Without it only the user that runs the daemon may.
  bool allow_other = true;
  uint64_t catalog_cache_bytes = 64ull << 20;
  // Threads that answer requests. None of them waits for a robot.
  uint32_t max_threads = 16;
  // In the process that serves, once requests are answered (sd_notify READY=1)
  // and when it begins to end (STOPPING=1). May be empty.
  std::function<void()> on_ready;
  std::function<void()> on_stopping;
};

struct ImageMountOptions {
  std::string image;  // a volume's image file; only read
  std::string mount_point;
  bool foreground = false;
  bool allow_other = true;
  std::function<void()> on_ready;
  std::function<void()> on_stopping;
};

// Serves the library until it is unmounted (fusermount3 -u, umount), told to
// end by `shutdown`, or by SIGTERM, SIGINT or SIGHUP.
// foreground: returns when all has ended: volumes are committed and closed,
// media may still be in their drives' home slots only, the mount is gone.
// background: returns in the caller's process as soon as the mount works, or
// with the error that kept it from working; the child process serves and never
// returns from here.
// kNotFound (no library, no mount point), kNotDirectory, kBusy (another daemon
// has the library: names the process; something of FUSE is mounted there
// already), kInvalidArgument (library.toml: file and line; mount point inside
// the library), kCorruption, kIncompatible (catalog), kDeviceError (FUSE
// refuses: says why).
Status MountLibrary(const MountOptions& options);

// Shows the volume of an image file read-only. No library, catalog or lock is
// needed; a journal that waits for replay is replayed in memory. Ends like
// MountLibrary. kNotFound, kAccessDenied, kIncompatible, kCorruption, kBusy,
// kNotDirectory.
Status MountImage(const ImageMountOptions& options);

}  // namespace vellum
