// SPDX-License-Identifier: Apache-2.0
// ChangeMap: for each 64 KiB region of a volume the number of the generation in
// which it last changed. One map serves every backup: a region changed since
// generation g of the same lineage <=> its number > g. It is stored in chunks
// of 256 regions (16 MiB), run-length encoded, and every mark travels in the
// generation's batch, pending or in its record: it is durable before the change
// is, or with it.
//
// Thread-safety: functions; the catalog's rules.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "index/catalog.h"
#include "media/error.h"
#include "media/types.h"

namespace vellum {

inline constexpr uint32_t kChunkRegions = 256;

// Region of a sector, counted from the start of the medium.
inline uint64_t RegionOf(uint64_t sector) { return sector / kRegionSectors; }

// Ordered, coalesced, non-overlapping set of regions: what one generation
// changes. Insert is O(log n), amortised O(1) for sequential input.
class RegionSet {
 public:
  struct Run {
    uint64_t first = 0;
    uint64_t count = 0;
    bool operator==(const Run&) const = default;
  };
  void Insert(uint64_t region) { InsertRange(region, 1); }
  void InsertRange(uint64_t first, uint64_t count);
  void InsertSectors(uint64_t sector, uint64_t count);
  void Merge(const RegionSet& other);
  bool Contains(uint64_t region) const;
  bool empty() const { return runs_.empty(); }
  uint64_t count() const;  // regions
  std::vector<Run> Runs() const;

 private:
  std::map<uint64_t, uint64_t> runs_;  // first -> end; disjoint, not adjacent
};

// 256 numbers of one chunk, 0 = never changed. Encoding: runs of (length
// varint, number varint), trailing zeros left out.
std::string EncodeChunk(const std::vector<uint64_t>& numbers);
Result<std::vector<uint64_t>> DecodeChunk(std::string_view data);

// Adds to `batch` the chunks in which every region of `changed` has `number`.
// Reads the chunks as the catalog has them now: REQUIRES no pending batch of
// this volume that is not applied.
Status MarkChanged(const Catalog& catalog, VolumeIndex volume,
                   const RegionSet& changed, uint64_t number,
                   CatalogBatch* batch);

// The regions whose number is > since and <= upto.
Result<RegionSet> ChangedBetween(const Catalog& catalog, VolumeIndex volume,
                                 uint64_t since, uint64_t upto,
                                 const CatalogSnapshot* snapshot = nullptr);

}  // namespace vellum
