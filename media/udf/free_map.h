// SPDX-License-Identifier: Apache-2.0
// A set of free blocks that finds runs quickly: one bit a block, and a tree
// over chunks of 1024 blocks that knows the runs at both ends and the longest
// run of each part. Finding and changing take logarithmic time; about 1.2 bits
// a block. Private to media/udf.
//
// Thread-safety: none.
#pragma once

#include <cstdint>
#include <optional>
#include <vector>

namespace vellum::udf {

class FreeMap {
 public:
  // Nothing is free.
  explicit FreeMap(uint32_t blocks);

  uint32_t blocks() const { return blocks_; }
  uint64_t free_count() const { return free_count_; }
  bool Test(uint32_t block) const {
    return (words_[block / 64] >> (block % 64) & 1) != 0;
  }
  bool AllFree(uint32_t block, uint32_t count) const;
  bool NoneFree(uint32_t block, uint32_t count) const;
  // The 32 bits of unit `unit`, block unit * 32 first.
  uint32_t Unit(uint32_t unit) const {
    return static_cast<uint32_t>(words_[unit / 2] >> (unit % 2 * 32));
  }

  // REQUIRES: none / all of the range is free, and the range lies inside.
  void Add(uint32_t block, uint32_t count);
  void Remove(uint32_t block, uint32_t count);

  // Free blocks from `block` on, at most `limit`.
  uint32_t RunAt(uint32_t block, uint32_t limit) const;
  // The first p >= from with [p, p + want) free. REQUIRES: want > 0.
  std::optional<uint32_t> Find(uint32_t from, uint32_t want) const;
  // The first unit >= from_unit whose 32 blocks are all free.
  std::optional<uint32_t> FindUnit(uint32_t from_unit) const;
  // Length of the longest run.
  uint32_t Longest() const { return nodes_[1].longest; }

 private:
  struct Node {
    uint32_t prefix = 0;
    uint32_t suffix = 0;
    uint32_t longest = 0;
  };
  struct Search;

  Node Summarise(uint32_t chunk) const;
  void Update(uint32_t block, uint32_t count);
  void Assign(uint32_t block, uint32_t count, bool free);
  bool Visit(size_t node, uint64_t first, uint64_t length,
             Search* search) const;
  bool Scan(uint64_t first, uint64_t end, Search* search) const;

  const uint32_t blocks_;
  size_t leaves_;  // power of two; nodes_[leaves_ + c] is chunk c
  uint64_t free_count_ = 0;
  std::vector<uint64_t> words_;
  std::vector<Node> nodes_;
};

}  // namespace vellum::udf
