// SPDX-License-Identifier: Apache-2.0
// ExtentMap: which blocks hold which sectors of one live file. Pure data.
#pragma once

#include <cstdint>
#include <map>
#include <vector>

#include "media/udf/allocator.h"
#include "media/udf/codec.h"

namespace vellum {

// A run of sectors of the file with one state.
struct Segment {
  uint64_t file_sector = 0;
  uint32_t count = 0;
  bool mapped = false;     // false: a hole
  uint32_t block = 0;      // mapped only
  bool unwritten = false;  // allocated, reads as zeros
  uint64_t born = 0;       // generation that mapped it; 0: before this load
};

// Invariant: pieces are ordered by file sector and do not overlap.
// Thread-safety: none (Volume's mutex).
class ExtentMap {
 public:
  ExtentMap() = default;
  explicit ExtentMap(const std::vector<udf::Extent>& extents);

  // [first, first + count) cut at every change of state.
  std::vector<Segment> Segments(uint64_t first, uint64_t count) const;
  // Takes [first, first + count) out; answers the blocks that it held.
  std::vector<udf::BlockRun> Remove(uint64_t first, uint64_t count);
  // Maps `segment` (mapped). REQUIRES: its range is a hole.
  void Insert(const Segment& segment);
  // Nobody asks any more which generation mapped what is there now: neighbours
  // that continue each other become one piece, of generation 0.
  void Settle();
  // The blocks of the whole file.
  std::vector<udf::BlockRun> Blocks() const;
  // Neighbours that continue each other are one extent.
  std::vector<udf::Extent> Extents() const;
  // Block behind the last mapped one before `file_sector`; 0 when none.
  uint32_t BlockBefore(uint64_t file_sector) const;
  uint64_t mapped_sectors() const { return mapped_; }
  size_t pieces() const { return pieces_.size(); }
  bool empty() const { return pieces_.empty(); }

 private:
  struct Piece {
    uint32_t block = 0;
    uint32_t count = 0;
    bool unwritten = false;
    uint64_t born = 0;
  };
  std::map<uint64_t, Piece> pieces_;  // by first file sector
  uint64_t mapped_ = 0;               // recorded or unwritten sectors
};

}  // namespace vellum
