// SPDX-License-Identifier: Apache-2.0
// What the kernel keeps of a mount, and how it is told to forget it.
#pragma once

#include <cstdint>
#include <string>

namespace vellum {

// Nodes by the kernel's number. Nothing fails: what the kernel does not know it
// need not forget. Thread-safety: every method may be called concurrently.
class KernelCache {
 public:
  virtual ~KernelCache() = default;

  // A name in a directory, and everything below it: whoever works there stays,
  // but has no path any more, and mounts below are taken away. Waits for
  // operations that are under way: never from within one of this mount.
  virtual void InvalidateEntry(uint64_t parent_node,
                               const std::string& name) = 0;
  // What is known of an inode, its data included. Waits like InvalidateEntry.
  virtual void InvalidateInode(uint64_t node) = 0;
  // Only the attributes of an inode. Waits for nothing: operations may call it.
  virtual void ForgetAttributes(uint64_t node) = 0;
};

}  // namespace vellum
