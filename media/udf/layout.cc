// SPDX-License-Identifier: Apache-2.0
#include "media/udf/layout.h"

#include <fmt/format.h>

#include <algorithm>
#include <limits>

#include "media/round_up.h"
#include "media/types.h"
#include "media/udf/space_bitmap.h"

namespace vellum::udf {
namespace {

constexpr uint32_t kReserveDistance = 288;

uint32_t WholeRegions(uint64_t sectors) {
  return static_cast<uint32_t>(RoundUp(sectors, kRegionSectors));
}

}  // namespace

Result<Geometry> ComputeGeometry(uint64_t sectors) {
  if (sectors < kMinVolumeSectors) {
    return Error{Errc::kIncompatible,
                 fmt::format("medium of {} sectors is too small: a volume "
                             "needs {}",
                             sectors, kMinVolumeSectors)};
  }
  if (sectors > std::numeric_limits<uint32_t>::max()) {
    return Error{Errc::kIncompatible,
                 fmt::format("medium of {} sectors is too large: a volume has "
                             "at most {}",
                             sectors, std::numeric_limits<uint32_t>::max())};
  }
  Geometry g;
  g.sectors = sectors;
  g.ring_sectors = WholeRegions(std::clamp<uint64_t>(sectors / 64, 256, 16384));
  g.log_first = g.ring_first + g.ring_sectors;
  g.log_sectors = WholeRegions(std::clamp<uint64_t>(sectors / 256, 64, 4096));
  g.partition_first = g.log_first + g.log_sectors;
  g.partition_blocks =
      static_cast<uint32_t>((sectors - kReserveDistance - g.partition_first) /
                            kRegionSectors * kRegionSectors);
  const uint64_t bitmap_bytes =
      kBitmapHeader + uint64_t{g.partition_blocks} / 8;
  g.bitmap_blocks =
      static_cast<uint32_t>((bitmap_bytes + kSectorSize - 1) / kSectorSize);
  g.root_block = kBitmapBlock + WholeRegions(g.bitmap_blocks);
  // The root's own zone holds more file entries; its content stands behind.
  g.first_free_block = g.root_block + kRegionSectors + 1;
  return g;
}

}  // namespace vellum::udf
