// SPDX-License-Identifier: Apache-2.0
// Read-only mounts of single volumes at places of their own (D3), served by the
// library's daemon.
#pragma once

#include <cstdint>
#include <list>
#include <memory>
#include <stop_token>
#include <string>
#include <thread>

#include "fs/fuse_fs.h"
#include "fs/fuse_loop.h"
#include "fs/json.h"
#include "index/volumes.h"
#include "media/error.h"
#include "media/mutex.h"

namespace vellum {

// Each mount reserves its volume until it ends, by Unmount, by fusermount3 -u
// or by Shutdown: no copy overwrites it meanwhile. The medium is loaded when
// something is read, as for the library's own mount, and takes no drive else.
//
// Threads: each mount has its loop; one more takes ended mounts away.
// Thread-safety: every method may be called concurrently.
class VolumeMounts {
 public:
  struct Options {
    std::string library;      // directory; part of the mounts' source
    std::string mount_point;  // of the library: no mount goes into it
    bool allow_other = true;
  };
  VolumeMounts(Tree* tree, Volumes* volumes, const Options& options);
  ~VolumeMounts();  // Shutdown

  // Waits for the medium. `only_me`: other users are kept out, whatever the
  // options say. As CheckMountPoint, and kInvalidArgument for a directory
  // inside the library or its mount; what Volumes::Reserve and Volumes::Use
  // answer.
  Result<Json> Mount(const std::shared_ptr<Volume>& volume,
                     const std::string& dir, bool only_me,
                     std::stop_token stop);
  // kNotFound; kBusy when files on it are in use.
  Status Unmount(const std::string& dir);
  // A mount on which files are open, or "".
  std::string InUse() const;
  // [{"volume", "dir"}]
  Json List() const;
  // Ends all, even those in use. Idempotent.
  void Shutdown();

 private:
  struct Entry {
    ~Entry();  // ends the mount; answers what waits for the medium

    uint64_t number = 0;
    std::string volume_id;
    FuseFs fs;
    Volumes::Reservation reservation;
    std::unique_ptr<FuseLoop> loop;  // destroyed before what it serves
    bool ended = false;
  };
  void Reap(std::stop_token stop);

  Tree* const tree_;
  Volumes* const volumes_;
  const Options options_;

  mutable Mutex mu_;  // a leaf
  CondVar changed_;
  bool closed_ GUARDED_BY(mu_) = false;
  uint64_t next_ GUARDED_BY(mu_) = 1;
  size_t reaping_ GUARDED_BY(mu_) = 0;  // ended, out of entries_, not yet gone
  std::list<std::unique_ptr<Entry>> entries_ GUARDED_BY(mu_);
  std::jthread reaper_;
};

}  // namespace vellum
