// SPDX-License-Identifier: Apache-2.0
// The .vellum tree: what files there are, what reading them gives and which
// command a write to them is (docs/control.md). No libfuse here.
//
// Thread-safety: every method may be called concurrently. Nothing here waits
// for a robot; commands do, and are run by whoever writes them.
#pragma once

#include <sys/stat.h>

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "fs/node_id.h"
#include "media/error.h"
#include "media/types.h"

namespace vellum {

class Service;

inline constexpr std::string_view kControlName = ".vellum";
inline constexpr NodeId kControlRoot = 2;

struct ControlItem {
  std::string name;
  NodeId node = 0;
  bool directory = false;
};

class ControlTree {
 public:
  explicit ControlTree(Service* service);

  Result<NodeId> Lookup(NodeId dir, std::string_view name) const;
  NodeId Parent(NodeId node) const;
  // kNotFound: the job or volume is gone.
  Result<struct stat> Stat(NodeId node) const;
  Result<std::vector<ControlItem>> List(NodeId dir) const;

  // Whether writes are commands; all other files are read-only.
  static bool Accepts(NodeId node);
  // What the file holds now.
  Result<std::string> Read(NodeId node) const;
  // The command that writing `text` to this file means. REQUIRES: Accepts.
  Result<std::string> CommandFor(NodeId node, const std::string& text) const;

 private:
  Result<std::string> ReadVolumeFile(NodeId node) const;
  Result<std::string> ReadJobFile(NodeId node) const;

  Service* const service_;
  const TimeSpec started_;
};

}  // namespace vellum
