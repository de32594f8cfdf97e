// SPDX-License-Identifier: Apache-2.0
// What the system itself does with the medium in a drive that is used by
// pass-through. Where the kernel's own driver (sd, sr) is bound to the same
// logical unit it asks now and then whether the medium was changed (in-kernel
// polling), and a unit attention is told once: to it or to us. So its knowledge
// is asked, too, and its block device is held.
#pragma once

#include <sys/stat.h>

#include <atomic>
#include <cstdint>
#include <memory>
#include <string>

#include "media/error.h"
#include "media/file_util.h"

namespace vellum::scsi {

// Where to look; tests have folders of their own.
struct SystemFolders {
  std::string sys = "/sys";
  std::string dev = "/dev";
};

// The block device of one drive, held while a medium is in use: nobody else
// gets it for himself (O_EXCL: no mount), and whoever opens and closes it
// (udev) does not make the kernel allow the removal of the medium.
// Thread-safety: all methods may be called concurrently.
class MediumGuard {
 public:
  // Of the drive whose file (generic or block device) is `device`. Has the
  // kernel look at the medium, so that it finds nothing late. Call it with the
  // medium ready, before PREVENT. kBusy: another program has the block device
  // for itself, as a mount does. Null: no driver of the kernel is bound.
  static Result<std::unique_ptr<MediumGuard>> Hold(
      const struct stat& device, const SystemFolders& folders = {});

  // Whether the kernel has found another medium, or none, since it was held:
  // one read of sysfs.
  bool Changed() const;
  // Has the kernel look again; what it finds counts as known.
  void LookAgain();
  // Why a change may go unnoticed: the block device may not be opened, or the
  // kernel tells no number of the medium (diskseq, Linux 5.15). Empty: none.
  const std::string& weakness() const { return weakness_; }

 private:
  MediumGuard() = default;
  // 0: unknown.
  uint64_t Sequence() const;

  std::string node_;
  std::string weakness_;
  UniqueFd block_;
  UniqueFd diskseq_;  // absent while the guard is weak
  std::atomic<uint64_t> held_{0};
};

}  // namespace vellum::scsi
