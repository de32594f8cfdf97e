// SPDX-License-Identifier: Apache-2.0
// SectorMap: which sectors of a volume one generation consists of, and how the
// content of a region looks in a copy of it. Pure.
//
// Control slots, ring and control log (the private area) never belong to a
// generation. Everything else outside the partition does; inside it, the blocks
// that the space bitmap calls used.
//
// Thread-safety: immutable after construction.
#pragma once

#include <cstdint>

#include "index/change_map.h"
#include "media/error.h"
#include "media/types.h"
#include "media/udf/layout.h"

namespace vellum {

class SectorMap {
 public:
  // `bitmap`: 1 = free (udf::ReadBitmap). `whole`: every sector outside the
  // private area counts as used.
  SectorMap(const udf::Geometry& geometry, Bytes bitmap, bool whole = false);

  const udf::Geometry& geometry() const { return geometry_; }
  const Bytes& bitmap() const { return bitmap_; }
  bool whole() const { return whole_; }

  // Regions of the volume; the last one may be cut short by its end.
  uint64_t regions() const;
  // The sectors of `count` regions from `first` that lie within the volume.
  SectorRange SectorsOf(uint64_t first, uint64_t count) const;

  bool Uses(uint64_t sector) const;
  // Bit i: sector region * 32 + i is used.
  uint32_t Mask(uint64_t region) const;
  // Regions with at least one used sector.
  RegionSet UsedRegions() const;
  // Used sectors in these regions.
  uint64_t CountSectors(const RegionSet& regions) const;
  // True for regions of control slots, ring and log.
  bool IsPrivate(uint64_t region) const;

  // Gives the sectors `range` (whole regions) the content that they have in a
  // copy: unused sectors are zeros, the LVID is closed. So the content of a
  // region is a function of the generation alone. kCorruption: no LVID where
  // it should be.
  Status Normalise(SectorRange range, ByteSpan data) const;

 private:
  udf::Geometry geometry_;
  Bytes bitmap_;
  bool whole_;
};

}  // namespace vellum
