// SPDX-License-Identifier: Apache-2.0
#include "copy/staging_estimate.h"

#include <algorithm>

#include "index/change_map.h"

namespace vellum {
namespace {

constexpr uint64_t kSlack = 1 << 20;

}  // namespace

uint64_t EstimateStaging(const Catalog& catalog, const VolumeRecord& volume,
                         const std::optional<Generation>& base, bool whole) {
  const udf::Geometry& g = volume.geometry;
  const uint64_t partition = g.partition_blocks;
  // Outside the partition and the private area.
  const uint64_t fixed =
      udf::kSlotASector + (g.sectors - g.partition_first - partition);
  const uint64_t meta = partition / 8 + g.sectors / kRegionSectors * 8;
  uint64_t sectors = fixed + (whole ? partition : volume.used_blocks);
  if (base && base->lineage == volume.generation.lineage &&
      base->number >= volume.change_floor) {
    const Result<RegionSet> changed = ChangedBetween(
        catalog, volume.index, base->number, volume.generation.number);
    if (changed.ok()) {
      sectors = std::min(sectors,
                         fixed + changed->count() * uint64_t{kRegionSectors});
    }
  }
  const uint64_t bytes = sectors * kSectorSize;
  return bytes + meta + kSlack + bytes / 64;
}

}  // namespace vellum
