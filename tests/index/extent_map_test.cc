// SPDX-License-Identifier: Apache-2.0
#include "index/extent_map.h"

#include <gtest/gtest.h>

namespace vellum {
namespace {

Segment Mapped(uint64_t file_sector, uint32_t block, uint32_t count,
               uint64_t born, bool unwritten = false) {
  Segment segment;
  segment.file_sector = file_sector;
  segment.block = block;
  segment.count = count;
  segment.mapped = true;
  segment.born = born;
  segment.unwritten = unwritten;
  return segment;
}

TEST(ExtentMapTest, SettledNeighboursAreOnePiece) {
  ExtentMap map;
  map.Insert(Mapped(0, 100, 2, 1));
  map.Insert(Mapped(2, 102, 2, 2));
  map.Insert(Mapped(4, 104, 2, 3));
  map.Insert(Mapped(6, 300, 2, 3));        // elsewhere
  map.Insert(Mapped(8, 302, 2, 4, true));  // not written
  map.Insert(Mapped(12, 306, 2, 4));       // behind a hole
  EXPECT_EQ(map.pieces(), 6u);
  const std::vector<udf::Extent> before = map.Extents();
  map.Settle();
  EXPECT_EQ(map.pieces(), 4u);
  EXPECT_EQ(map.mapped_sectors(), 12u);
  const std::vector<udf::Extent> after = map.Extents();
  ASSERT_EQ(after.size(), before.size());
  for (size_t i = 0; i < after.size(); ++i) {
    EXPECT_EQ(after[i].file_sector, before[i].file_sector) << i;
    EXPECT_EQ(after[i].block, before[i].block) << i;
    EXPECT_EQ(after[i].count, before[i].count) << i;
    EXPECT_EQ(after[i].unwritten, before[i].unwritten) << i;
  }
  // What comes now is of its own generation.
  map.Insert(Mapped(14, 308, 2, 5));
  const std::vector<Segment> segments = map.Segments(12, 4);
  ASSERT_EQ(segments.size(), 2u);
  EXPECT_EQ(segments[0].born, 0u);
  EXPECT_EQ(segments[1].born, 5u);
}

}  // namespace
}  // namespace vellum
