// SPDX-License-Identifier: Apache-2.0
// What tests of the allocator share.
#pragma once

#include <gtest/gtest.h>

#include "media/udf/allocator.h"

namespace vellum::udf {

inline Geometry GeometryOf(uint32_t blocks) {
  Geometry geometry;
  geometry.sectors = uint64_t{blocks} + 4096;
  geometry.partition_first = 2048;
  geometry.partition_blocks = blocks;
  geometry.bitmap_blocks = BitmapSectors(geometry);
  return geometry;
}

inline Bytes AllFree(uint32_t blocks) {
  return Bytes(blocks / 8, std::byte{0xFF});
}

inline Allocator MakeAllocator(uint32_t blocks, uint64_t active = 1) {
  return Allocator(GeometryOf(blocks), AllFree(blocks), active);
}

// Reserves and uses exactly this run.
inline void UseAt(Allocator& allocator, BlockRun run) {
  ASSERT_TRUE(allocator.AllocateAt(run.block, run.count));
  allocator.Use(run);
}

inline void Commit(Allocator& allocator) {
  const uint64_t number = allocator.active();
  allocator.Freeze();
  allocator.Durable(number);
}

}  // namespace vellum::udf
