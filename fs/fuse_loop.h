// SPDX-License-Identifier: Apache-2.0
// One mounted FUSE session and the threads that serve it.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <thread>

#include "fs/kernel_cache.h"
#include "media/error.h"
#include "media/mutex.h"

struct fuse_lowlevel_ops;
struct fuse_session;

namespace vellum {

struct FuseMountOptions {
  std::string mount_point;  // absolute
  std::string fsname;       // shown as the mount's source
  bool read_only = false;
  bool allow_other = true;
  uint32_t max_threads = 16;
};

// A directory on which a FUSE filesystem can be mounted; answers its absolute
// path without links. kNotFound, kNotDirectory, kBusy: there is one already, or
// one whose daemon is gone; kInvalidArgument: it is a library, of whomever, or
// inside one.
Result<std::string> CheckMountPoint(const std::string& path);

// Is `path` equal to or below `directory`? Both absolute.
bool IsInside(const std::string& path, const std::string& directory);

// Thread-safety: Start, Stop and the destructor belong to the owner; the others
// may be called concurrently.
class FuseLoop : public KernelCache {
 public:
  // Mounts; requests wait until Start. `userdata` outlives the loop.
  static Result<std::unique_ptr<FuseLoop>> Mount(
      const fuse_lowlevel_ops& operations, void* userdata,
      const FuseMountOptions& options);
  ~FuseLoop() override;  // Unmount, Stop

  // `on_end` is called, from the loop's thread, when no more requests come: it
  // was unmounted or stopped.
  void Start(std::function<void()> on_end);

  // Takes the mount out of the namespace. kBusy when files on it are in use and
  // `even_if_busy` is not set; else those files lose their server at Stop. Ok
  // when it is gone already.
  Status Unmount(bool even_if_busy);
  // Ends the threads. Requests that are being answered are finished.
  // Idempotent.
  void Stop();

  void InvalidateEntry(uint64_t parent_node, const std::string& name) override;
  void InvalidateInode(uint64_t node) override;
  void ForgetAttributes(uint64_t node) override;

  // Lets the kernel read ahead as much as one request holds; without the right
  // to set it, things stay as they are. Once requests are answered.
  void RaiseReadahead() const;

  const std::string& mount_point() const { return options_.mount_point; }

 private:
  FuseLoop(fuse_session* session, const FuseMountOptions& options)
      : options_(options), session_(session) {}
  bool StillMounted() const;

  const FuseMountOptions options_;
  fuse_session* const session_;
  std::thread thread_;

  Mutex mu_;  // a leaf
  CondVar changed_;
  bool ended_ GUARDED_BY(mu_) = false;
};

}  // namespace vellum
