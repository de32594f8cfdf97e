// SPDX-License-Identifier: Apache-2.0
// Atomic units of the partition: on a drive that destroys a whole unit when it
// loses power while writing one of its sectors, a block may be written directly
// only in a unit that holds no block of a generation that a recovery could
// need. Private to media/udf (Allocator).
//
// A block is committed from the Freeze after its use until it may be reused; a
// unit with a committed block is shared. Free blocks of the other units are
// kept in a map of their own, so that allocation finds them first.
//
// Thread-safety: none.
#pragma once

#include <cstdint>
#include <vector>

#include "media/types.h"
#include "media/udf/free_map.h"

namespace vellum::udf {

class UnitMap {
 public:
  // `bitmap`: 1 = free; what it calls used is committed. Nothing is free yet
  // (Added). REQUIRES: unit is a power of two, 2 to 32.
  UnitMap(uint32_t blocks, uint32_t unit, const Bytes& bitmap);

  bool Shared(uint32_t block) const { return UnitBits(committed_, block) != 0; }
  // Before the last Freeze: where what that generation uses may be written.
  bool WasShared(uint32_t block) const { return UnitBits(before_, block) != 0; }
  // Free blocks of units that are not shared.
  const FreeMap& clean() const { return clean_; }

  // What happens to blocks in `free`, the allocator's map. Added and Removed:
  // after it changed, or before. Used: since the last Freeze.
  void Added(uint32_t block, uint32_t count);
  void Removed(uint32_t block, uint32_t count);
  void Used(uint32_t block, uint32_t count);
  void Freeze(const FreeMap& free);
  // No generation needs them any more; not free yet.
  void Reclaimed(uint32_t block, uint32_t count, const FreeMap& free);

 private:
  struct Run {
    uint32_t block = 0;
    uint32_t count = 0;
  };
  using Words = std::vector<uint32_t>;  // 32 blocks each, lowest bit first

  uint32_t UnitMask(uint32_t block) const;
  uint32_t UnitBits(const Words& words, uint32_t block) const {
    return words[block / 32] & UnitMask(block);
  }
  template <typename Visit>
  void ForEachUnit(uint32_t block, uint32_t count, Visit visit) const;
  template <typename Visit>
  void ForEachCleanPart(uint32_t block, uint32_t count, Visit visit) const;
  static void SetBits(Words* words, uint32_t block, uint32_t count, bool value);

  const uint32_t unit_;
  Words committed_;
  Words before_;
  FreeMap clean_;
  std::vector<Run> used_;  // since the last Freeze
};

}  // namespace vellum::udf
