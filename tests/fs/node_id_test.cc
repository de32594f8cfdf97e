// SPDX-License-Identifier: Apache-2.0
#include "fs/node_id.h"

#include <gtest/gtest.h>

#include "fs/control_tree.h"

namespace vellum {
namespace {

TEST(NodeIdTest, VolumeAndBlockComeBack) {
  for (const VolumeIndex volume : {1u, 7u, 0xFFFFFFFFu}) {
    for (const InodeNumber ino : {0u, 1u, 40u, 0xFFFFFFFEu}) {
      const NodeId node = MakeVolumeNode(volume, ino);
      EXPECT_EQ(KindOf(node), NodeKind::kVolume);
      EXPECT_EQ(VolumeOf(node), volume);
      EXPECT_EQ(InodeOf(node), ino);
    }
  }
}

TEST(NodeIdTest, RootAndControlAreNoVolumes) {
  EXPECT_EQ(KindOf(kRootNode), NodeKind::kRoot);
  EXPECT_EQ(KindOf(kControlRoot), NodeKind::kControl);
  EXPECT_EQ(KindOf(0xFFFFFFFF), NodeKind::kControl);
}

}  // namespace
}  // namespace vellum
