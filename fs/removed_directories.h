// SPDX-License-Identifier: Apache-2.0
// Directories that were removed while somebody may still be in them: as long as
// the kernel remembers the node they count as open files of their volume, so
// that stat(2) of an open one, or of the working directory, works as on any
// file system, and their inode is nobody else's. (All else in a removed
// directory the kernel refuses by itself.)
#pragma once

#include <atomic>
#include <cstddef>
#include <memory>
#include <unordered_map>
#include <utility>

#include "fs/node_id.h"
#include "index/volume.h"
#include "media/mutex.h"

namespace vellum {

// Thread-safety: every method may be called concurrently.
class RemovedDirectories {
 public:
  // REQUIRES: the inode was opened (Volume::Open), for this.
  void Keep(NodeId node, std::shared_ptr<Volume> volume) {
    MutexLock lock(&mu_);
    kept_[node] = std::move(volume);
    count_ = kept_.size();
  }
  // The kernel has dropped the node, of whatever kind it was. Cheap when
  // nothing is kept.
  void Forget(NodeId node) {
    if (count_ == 0) return;
    std::shared_ptr<Volume> volume;
    {
      MutexLock lock(&mu_);
      const auto it = kept_.find(node);
      if (it == kept_.end()) return;
      volume = std::move(it->second);
      kept_.erase(it);
      count_ = kept_.size();
    }
    volume->Close(InodeOf(node));
  }

 private:
  mutable Mutex mu_;  // a leaf
  std::unordered_map<NodeId, std::shared_ptr<Volume>> kept_ GUARDED_BY(mu_);
  std::atomic<size_t> count_{0};
};

}  // namespace vellum
