// SPDX-License-Identifier: Apache-2.0
// Node ids: what the kernel calls an inode of the mount. They are computed, so
// no table grows with the files that were looked up:
//   1                              the root of the mount
//   high half 0                    control tree (fs/control_tree.h)
//   volume index << 32 | block     an inode of a volume, by its ICB's block
// A block that is used again later carries another unique id, which is the
// node's generation.
#pragma once

#include <cstdint>

#include "index/records.h"

namespace vellum {

using NodeId = uint64_t;

inline constexpr NodeId kRootNode = 1;

enum class NodeKind : uint8_t { kRoot, kControl, kVolume };

inline NodeId MakeVolumeNode(VolumeIndex volume, InodeNumber ino) {
  return NodeId{volume} << 32 | ino;
}
inline NodeKind KindOf(NodeId node) {
  if (node == kRootNode) return NodeKind::kRoot;
  return node >> 32 == 0 ? NodeKind::kControl : NodeKind::kVolume;
}
inline VolumeIndex VolumeOf(NodeId node) {
  return static_cast<VolumeIndex>(node >> 32);
}
inline InodeNumber InodeOf(NodeId node) {
  return static_cast<InodeNumber>(node);
}

}  // namespace vellum
