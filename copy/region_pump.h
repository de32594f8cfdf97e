// SPDX-License-Identifier: Apache-2.0
// PumpRegions: moves regions from a reader to a writer that work at the same
// time, with a bounded queue of buffers between them. And how a region is
// hashed.
#pragma once

#include <cstdint>
#include <functional>
#include <stop_token>
#include <vector>

#include "index/change_map.h"
#include "media/error.h"
#include "media/types.h"

namespace vellum {

// Consecutive regions.
struct RegionChunk {
  uint64_t first_region = 0;
  uint64_t regions = 0;
  uint64_t index = 0;   // of the first region among all that are pumped
  SectorRange sectors;  // of the regions, cut at the end of the volume
  AlignedBytes data;    // of `sectors`
  std::vector<uint64_t> hashes;  // one a region, when it was hashed

  // The bytes of the i-th region of the chunk.
  ByteSpan Region(uint64_t i);
  ConstByteSpan Region(uint64_t i) const;
};
// That are moved at once, where nothing else is said: 4 MiB.
inline constexpr uint64_t kChunkMaxRegions = 64;

// XXH3-64. Hashes every region of the chunk.
uint64_t HashRegion(ConstByteSpan data);
void HashChunk(RegionChunk* chunk);

// Cuts `regions` into chunks of at most `chunk_regions`, which is not 0; `read`
// fills each one's data in a thread of its own, `consume` gets them in order in
// the calling thread. Memory: four chunks. Ends with the first error of either,
// or kAborted when `stop` was requested.
Status PumpRegions(const RegionSet& regions, uint64_t volume_sectors,
                   std::stop_token stop,
                   const std::function<Status(RegionChunk*)>& read,
                   const std::function<Status(RegionChunk&)>& consume,
                   uint64_t chunk_regions = kChunkMaxRegions);

}  // namespace vellum
