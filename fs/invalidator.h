// SPDX-License-Identifier: Apache-2.0
// Tells the kernel what the daemon changed by itself: volumes that came, went,
// changed their role, were rewritten by a copy, or whose medium held another
// tree than the catalog. (Changes that go through the mount the kernel knows.)
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <stop_token>
#include <string>
#include <thread>

#include "fs/node_id.h"
#include "media/mutex.h"
#include "media/types.h"

namespace vellum {

class KernelCache;
class Tree;

// Threads: one of its own, because telling the kernel waits for operations that
// are under way. Thread-safety: Poke may be called from anywhere.
class Invalidator {
 public:
  // Both outlive this. `kernel` is told of a volume that is gone, or not what
  // it was, to forget its name in the root and its directory; of volumes that
  // came or went, to forget the attributes of the root. A new name is left
  // alone: the kernel keeps no name that is not there, and somebody may be in
  // it already.
  Invalidator(const Tree* tree, KernelCache* kernel);
  ~Invalidator();

  // Something may have changed. Returns at once.
  void Poke();

 private:
  struct Seen {
    NodeId root = 0;
    bool backup = false;
    Generation generation;  // backups; of a primary only the lineage
    uint64_t tree_version = 0;
    bool operator==(const Seen&) const = default;
  };
  using SeenMap = std::map<std::string, Seen>;
  SeenMap Look() const;
  void Run(std::stop_token stop);

  const Tree* const tree_;
  KernelCache* const kernel_;
  Mutex mu_;  // a leaf
  CondVar changed_;
  bool poked_ GUARDED_BY(mu_) = false;
  SeenMap seen_;  // of the thread
  std::jthread thread_;
};

}  // namespace vellum
