// SPDX-License-Identifier: Apache-2.0
// What the FUSE operations of one mount work on. Filled by the session before
// the loop starts; everything outlives the loop.
#pragma once

#include <atomic>
#include <cstdint>
#include <functional>

#include "fs/node_id.h"
#include "fs/parked_requests.h"
#include "fs/removed_directories.h"

namespace vellum {

class CommandRunner;
class ControlTree;
class Service;
class Tree;
class Volumes;

struct FuseFs {
  Tree* tree = nullptr;
  Volumes* volumes = nullptr;
  // The library's mount; null in the mount of one volume.
  Service* service = nullptr;
  ControlTree* control = nullptr;
  CommandRunner* runner = nullptr;
  // The node that the kernel calls 1: the root, or one volume's directory. In
  // the mount of one volume the kernel refuses changes, and a backup's files
  // may be opened.
  NodeId root = kRootNode;
  bool volume_mount() const { return root != kRootNode; }
  // A primary, in a mount of its own: it is changed through another mount, so
  // the kernel shall keep nothing of it here.
  bool live = false;

  std::function<void()> on_init;  // the kernel and we have agreed
  // The attributes that the kernel keeps of an inode, by the kernel's number,
  // are out of date. Empty: it is not told. May be called before an answer.
  std::function<void(uint64_t)> forget_attributes;
  std::atomic<uint32_t> control_handles{0};  // open control files
  std::atomic<uint32_t> open_files{0};       // files of volumes
  std::atomic<uint32_t> requests{0};         // that exist, answered or not
  ParkedRequests parked;
  RemovedDirectories removed;
};

}  // namespace vellum
