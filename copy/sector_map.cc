// SPDX-License-Identifier: Apache-2.0
#include "copy/sector_map.h"

#include <algorithm>
#include <bit>
#include <cstring>
#include <utility>

#include "media/udf/codec.h"

namespace vellum {
namespace {

constexpr uint32_t kAllSectors = 0xFFFFFFFF;

}  // namespace

SectorMap::SectorMap(const udf::Geometry& geometry, Bytes bitmap, bool whole)
    : geometry_(geometry), bitmap_(std::move(bitmap)), whole_(whole) {
  VELLUM_CHECK(geometry_.partition_first % kRegionSectors == 0);
  VELLUM_CHECK(geometry_.partition_blocks % kRegionSectors == 0);
  // What is missing counts as free.
  bitmap_.resize(geometry_.partition_blocks / 8, std::byte{0xFF});
}

uint64_t SectorMap::regions() const {
  return (geometry_.sectors + kRegionSectors - 1) / kRegionSectors;
}

SectorRange SectorMap::SectorsOf(uint64_t first, uint64_t count) const {
  const uint64_t begin = std::min(first * kRegionSectors, geometry_.sectors);
  const uint64_t end =
      std::min((first + count) * kRegionSectors, geometry_.sectors);
  return {begin, end - begin};
}

bool SectorMap::IsPrivate(uint64_t region) const {
  return region >= udf::kSlotASector / kRegionSectors &&
         region < geometry_.partition_first / kRegionSectors;
}

uint32_t SectorMap::Mask(uint64_t region) const {
  if (IsPrivate(region)) return 0;
  const uint64_t sector = region * kRegionSectors;
  if (whole_ || !geometry_.InPartition(sector)) {
    if (sector >= geometry_.sectors) return 0;
    const uint64_t left = geometry_.sectors - sector;
    return left >= kRegionSectors ? kAllSectors : (1u << left) - 1;
  }
  const size_t byte = (sector - geometry_.partition_first) / 8;
  uint32_t free = 0;
  for (size_t i = 0; i < 4; ++i) {
    free |= std::to_integer<uint32_t>(bitmap_[byte + i]) << (8 * i);
  }
  return ~free;
}

bool SectorMap::Uses(uint64_t sector) const {
  return (Mask(sector / kRegionSectors) >> (sector % kRegionSectors) & 1) != 0;
}

RegionSet SectorMap::UsedRegions() const {
  RegionSet used;
  for (uint64_t r = 0; r < regions(); ++r) {
    if (Mask(r) != 0) used.Insert(r);
  }
  return used;
}

uint64_t SectorMap::CountSectors(const RegionSet& set) const {
  uint64_t count = 0;
  for (const RegionSet::Run& run : set.Runs()) {
    for (uint64_t r = run.first; r < run.first + run.count; ++r) {
      count += static_cast<uint64_t>(std::popcount(Mask(r)));
    }
  }
  return count;
}

Status SectorMap::Normalise(SectorRange range, ByteSpan data) const {
  VELLUM_CHECK(range.first % kRegionSectors == 0);
  VELLUM_CHECK(data.size() == range.count * kSectorSize);
  for (uint64_t at = range.first; at < range.end(); at += kRegionSectors) {
    const uint32_t mask = Mask(at / kRegionSectors);
    if (mask == kAllSectors) continue;
    for (uint64_t s = at; s < std::min(at + kRegionSectors, range.end()); ++s) {
      if ((mask >> (s - at) & 1) == 0) {
        std::memset(data.data() + (s - range.first) * kSectorSize, 0,
                    kSectorSize);
      }
    }
  }
  if (udf::kLvidSector < range.first || udf::kLvidSector >= range.end()) {
    return Status::Ok();
  }
  std::byte* const at =
      data.data() + (udf::kLvidSector - range.first) * kSectorSize;
  udf::Sector sector;
  std::memcpy(sector.data(), at, kSectorSize);
  Result<udf::DecodedLvid> decoded = udf::DecodeLvid(sector);
  if (!decoded.ok()) {
    return decoded.status().WithContext("integrity descriptor at sector 64");
  }
  decoded->lvid.closed = true;
  sector = udf::EncodeLvid(decoded->lvid);
  std::memcpy(at, sector.data(), kSectorSize);
  return Status::Ok();
}

}  // namespace vellum
