// SPDX-License-Identifier: Apache-2.0
#include "fs/invalidator.h"

#include <utility>

#include "fs/kernel_cache.h"
#include "fs/tree.h"

namespace vellum {

Invalidator::Invalidator(const Tree* tree, KernelCache* kernel)
    : tree_(tree),
      kernel_(kernel),
      seen_(Look()),
      thread_([this](std::stop_token stop) { Run(stop); }) {}

Invalidator::~Invalidator() {
  thread_.request_stop();
  Poke();
}

void Invalidator::Poke() {
  {
    MutexLock lock(&mu_);
    poked_ = true;
  }
  changed_.NotifyAll();
}

Invalidator::SeenMap Invalidator::Look() const {
  SeenMap seen;
  for (const ShownVolumePtr& shown : tree_->List()) {
    Seen now;
    now.root = shown->root_node();
    now.backup = shown->backup;
    now.generation = shown->volume->record().generation;
    if (!now.backup) now.generation.number = 0;
    now.tree_version = shown->volume->tree_version();
    seen.emplace(shown->id, now);
  }
  return seen;
}

void Invalidator::Run(std::stop_token stop) {
  while (true) {
    {
      MutexLock lock(&mu_);
      while (!poked_) changed_.Wait(&mu_);
      poked_ = false;
    }
    if (stop.stop_requested()) return;
    SeenMap now = Look();
    bool others = false;
    for (const auto& [name, before] : seen_) {
      const auto it = now.find(name);
      others = others || it == now.end();
      if (it == now.end() || !(it->second == before)) {
        kernel_->InvalidateEntry(kRootNode, name);
        kernel_->InvalidateInode(before.root);
      }
    }
    for (const auto& [name, volume] : now) {
      others = others || seen_.count(name) == 0;
    }
    if (others) kernel_->ForgetAttributes(kRootNode);
    seen_ = std::move(now);
  }
}

}  // namespace vellum
