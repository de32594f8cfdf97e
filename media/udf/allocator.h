// SPDX-License-Identifier: Apache-2.0
// Which blocks of the partition are free, and which may be reused when.
//
// A block is in one of these states:
//   free        may be handed out
//   reserved    handed out in memory, referenced by nothing that commits
//   used        referenced by the active (next) generation
//   freed(g)    no longer referenced since generation g; not reusable before
//               the flush that makes g's S4 durable, nor while a pin holds a
//               generation < g, nor while a reader that began before is active
//   held        belongs to an unlinked file that is still open
// The on-medium bitmap says used for "used" only: it is exact after replay.
//
// Thread-safety: none; Volume guards it with its mutex. No I/O.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <set>
#include <vector>

#include "media/error.h"
#include "media/medium.h"
#include "media/types.h"
#include "media/udf/codec.h"
#include "media/udf/layout.h"

namespace vellum::udf {

struct BlockRun {
  uint32_t block = 0;  // partition-relative
  uint32_t count = 0;
  bool operator==(const BlockRun&) const = default;
};

class Allocator {
 public:
  // `bitmap`: the content of the space bitmap, one bit a block, LSB first,
  // 1 = free, of ceil(partition_blocks / 8) bytes.
  Allocator(const Geometry& geometry, Bytes bitmap);

  uint32_t total_blocks() const;
  // Blocks that Allocate could hand out now.
  uint64_t free_blocks() const;
  // Blocks that become free once commits and pins let go of them.
  uint64_t deferred_blocks() const;
  // Blocks that the committed-to-be state uses (total - these = statfs free).
  uint64_t used_blocks() const;

  // One run of up to `want` and at least `min` blocks, reserved: at `near` if
  // that is free, else the first fit behind it, else the largest run found.
  // nullopt when no run of `min` exists.
  std::optional<BlockRun> Allocate(uint32_t want, uint32_t min, uint32_t near);
  // Exactly [block, block + count) if all of it is free: reserved. For growing
  // a directory where it stands.
  bool AllocateAt(uint32_t block, uint32_t count);
  // One block for an ICB, from a 32-block zone near `near_icb` if possible.
  std::optional<uint32_t> AllocateIcb(uint32_t near_icb);
  // The largest free run, in blocks.
  uint32_t LargestFreeRun() const;

  // reserved -> free (a reservation that was not used).
  void Unreserve(BlockRun run);
  // reserved -> used in the active generation.
  void Use(BlockRun run);
  // used -> freed(active generation).
  void Free(BlockRun run);
  // used -> held: unlinked but open; the bitmap of the active generation says
  // free. ReleaseHeld: held -> freed(active generation).
  void Hold(BlockRun run);
  void ReleaseHeld(BlockRun run);

  // The active generation's number.
  uint64_t active() const;
  // Ends the active generation: answers the bitmap sectors (index within the
  // bitmap's blocks) whose content changed in it, with their new content, tag
  // included in sector 0. The next number becomes active.
  std::map<uint32_t, Sector> Freeze();
  // S4 of generation `number` is durable: blocks freed by it and before may
  // become free when no pin or reader holds them.
  void Durable(uint64_t number);

  // A pin keeps the blocks that generation `number` uses: a snapshot, a read in
  // flight. REQUIRES: number is the last frozen generation or the active one.
  void Pin(uint64_t number);
  void Unpin(uint64_t number);

  // Is the block used in the state that was last frozen (or mounted)?
  bool UsedInFrozen(uint32_t block) const;
  // Copy of the last frozen bitmap, 1 = free.
  Bytes FrozenBitmap() const;

 private:
  void Reclaim();
  // (implementation's choice)
};

// Helpers on raw bitmaps (1 = free, LSB first).
bool BitmapIsFree(const Bytes& bitmap, uint32_t block);
// Reads the space bitmap descriptor. kCorruption.
Result<Bytes> ReadBitmap(Medium& medium, const Geometry& geometry);

}  // namespace vellum::udf
