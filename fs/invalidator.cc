// SPDX-License-Identifier: Apache-2.0
#include "fs/invalidator.h"

#include <utility>

#include "fs/tree.h"

namespace vellum {

Invalidator::Invalidator(
    const Tree* tree,
    std::function<void(const std::string&, NodeId)> invalidate)
    : tree_(tree),
      invalidate_(std::move(invalidate)),
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
    for (const auto& [name, before] : seen_) {
      const auto it = now.find(name);
      if (it == now.end() || !(it->second == before)) {
        invalidate_(name, before.root);
      }
    }
    for (const auto& [name, volume] : now) {
      if (seen_.count(name) == 0) invalidate_(name, volume.root);
    }
    seen_ = std::move(now);
  }
}

}  // namespace vellum
