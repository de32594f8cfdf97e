// SPDX-License-Identifier: Apache-2.0
// Where everything is on a volume of N sectors (media/udf/FORMAT.md section 2).
// Absolute sectors unless said otherwise; "block" = sector relative to the
// partition.
#pragma once

#include <cstdint>
#include <string>

#include "media/error.h"

namespace vellum::udf {

inline constexpr uint32_t kMainVdsSector = 32;
inline constexpr uint32_t kVdsSectors = 16;
inline constexpr uint32_t kLvidSector = 64;
inline constexpr uint32_t kLvidExtentSectors = 32;
inline constexpr uint32_t kAnchorSector = 256;
// Each slot has a 64 KiB unit to itself: a drive that destroys the whole unit
// when power goes while it writes one slot must not reach the other.
inline constexpr uint32_t kSlotASector = 288;
inline constexpr uint32_t kSlotBSector = 320;
inline constexpr uint32_t kSlotSectors = 32;
inline constexpr uint32_t kRingSector = 352;
inline constexpr uint32_t kBitmapBlock = 32;
// Smallest volume: 8 MiB. Largest: 2^32 - 1 sectors.
inline constexpr uint64_t kMinVolumeSectors = 4096;

// Written once at format (in the private IUVD); equal on a primary and on all
// its copies.
struct Geometry {
  uint64_t sectors = 0;  // N
  uint32_t ring_first = kRingSector;
  uint32_t ring_sectors = 0;      // multiple of 32
  uint32_t log_first = 0;         // control log
  uint32_t log_sectors = 0;       // multiple of 32
  uint32_t partition_first = 0;   // PS, multiple of 32
  uint32_t partition_blocks = 0;  // PL, multiple of 32
  uint32_t bitmap_blocks = 0;  // of the space bitmap descriptor, from block 32
  uint32_t root_block = 0;     // ICB of the root directory
  uint32_t first_free_block = 0;  // first block behind the metadata of format

  uint64_t reserve_vds() const { return sectors - 288; }
  uint64_t Sector(uint32_t block) const { return partition_first + block; }
  bool InPartition(uint64_t sector) const {
    return sector >= partition_first &&
           sector < partition_first + uint64_t{partition_blocks};
  }
  bool operator==(const Geometry&) const = default;
};

// Geometry for a medium of `sectors`; the ring is N/64 sectors within
// [256, 16384], the control log N/256 within [64, 4096]. kIncompatible when the
// medium is too small or too large.
Result<Geometry> ComputeGeometry(uint64_t sectors);

}  // namespace vellum::udf
