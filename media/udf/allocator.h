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
// The on-medium bitmap says used for "used" only: it is exact after replay. A
// block that is used and freed within one generation is freed(g) like any
// other.
//
// Some free blocks are kept for ICBs: units of 32 blocks that hold ICBs
// ("zones"). Data goes there only when it fits nowhere else; then all zones are
// given up. A zone whose 32 blocks are all free again is given up as well.
//
// On media with atomic units of several sectors, Allocate takes blocks of units
// without committed blocks first (Shared, media/udf/JOURNAL.md): those may be
// written directly, others through the record only.
//
// A broken precondition (use of a block that is not reserved) aborts. What the
// medium may be to blame for does not: see damage(). Thread-safety: none;
// Volume guards it with its mutex. No I/O.
#pragma once

#include <cstdint>
#include <deque>
#include <map>
#include <optional>
#include <set>
#include <vector>

#include "media/error.h"
#include "media/medium.h"
#include "media/types.h"
#include "media/udf/codec.h"
#include "media/udf/free_map.h"
#include "media/udf/layout.h"
#include "media/udf/unit_map.h"

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
  // `active`: the number that the next Freeze ends (last commit + 1); the
  // generation before it is in place and durable. REQUIRES: active > 0.
  // `atomic_sectors`: of the medium; a power of two, at most 32.
  Allocator(const Geometry& geometry, Bytes bitmap, uint64_t active,
            uint32_t atomic_sectors = 1);

  uint32_t total_blocks() const;
  // Blocks that Allocate could hand out now.
  uint64_t free_blocks() const;
  // Blocks that become free once commits and pins let go of them.
  uint64_t deferred_blocks() const;
  // Blocks that the committed-to-be state uses (total - these = statfs free).
  uint64_t used_blocks() const;

  // One run of up to `want` and at least `min` blocks, reserved: at `near` if
  // `min` blocks are free there (even when `want` are not: it continues what
  // ends at `near`), else the first run of `want` behind it, else the first one
  // before it, else the largest run. nullopt when no run of `min` exists.
  // Runs of 1 MiB and more begin at a region if possible, others of at least
  // 4 KiB at a multiple of that on the medium, but for what begins at `near`
  // with `follow`: else half a page of the host, or a region, is touched at
  // either end of what a program takes for whole ones.
  // REQUIRES: 0 < min <= want. Logarithmic time.
  // With atomic units: of units that are not shared if there are any; `follow`
  // (a file goes on at `near`) makes `near` come first all the same.
  std::optional<BlockRun> Allocate(uint32_t want, uint32_t min, uint32_t near,
                                   bool follow = false);
  // Up to `want` blocks in units of 32 (whole regions) that are wholly free,
  // behind each other, the first of them at or behind `near` if possible:
  // reserved. nullopt when there is none.
  std::optional<BlockRun> AllocateRegions(uint32_t want, uint32_t near);
  // Exactly [block, block + count) if all of it is free: reserved. For growing
  // a directory where it stands.
  bool AllocateAt(uint32_t block, uint32_t count);
  // One block for an ICB, from a 32-block zone near `near_icb` if possible;
  // nullopt when nothing is free.
  std::optional<uint32_t> AllocateIcb(uint32_t near_icb);
  // The largest free run, in blocks; what is kept for ICBs counts only when
  // nothing else is free. Allocate finds at least this. Constant time.
  uint32_t LargestFreeRun() const;

  // reserved -> free (a reservation that was not used).
  void Unreserve(BlockRun run);
  // reserved -> used in the active generation.
  void Use(BlockRun run);
  // used -> freed(active generation). Of Free and Hold: blocks that are not in
  // use are damage.
  void Free(BlockRun run);
  // used -> held: unlinked but open; the bitmap of the active generation says
  // free. ReleaseHeld: held -> freed(active generation).
  void Hold(BlockRun run);
  void ReleaseHeld(BlockRun run);
  // kCorruption once Free or Hold was called for blocks that are not in use:
  // the bitmap on the medium is damaged, or two files share blocks. That call
  // and all later ones of the three above changed nothing, so what follows must
  // not be committed.
  const Status& damage() const { return damage_; }

  // The active generation's number.
  uint64_t active() const;
  // Ends the active generation: answers the bitmap sectors (index within the
  // bitmap's blocks) whose content changed in it, with their new content, tag
  // included in sector 0. The next number becomes active. Write them at
  // geometry.Sector(kBitmapBlock + index).
  std::map<uint32_t, Sector> Freeze();
  // S4 of generation `number` is durable: blocks freed by it and before may
  // become free when no pin or reader holds them.
  void Durable(uint64_t number);

  // A pin keeps blocks from being reused. Of the last frozen generation: all
  // blocks that it uses, those freed since included (a snapshot). Of the active
  // generation, which still changes: all blocks in use now, that is whatever is
  // freed after this call, in this generation too (a read in flight, or a
  // snapshot that waits for the generation to be frozen).
  // Pins count. Several pins on one number protect what the first of them did
  // until the last is gone. REQUIRES: number is active(), active() - 1, or has
  // a pin already.
  void Pin(uint64_t number);
  void Unpin(uint64_t number);

  // The negative control of the crash tests: what was freed may be reused at
  // once, against the rules above. Never called in production.
  void ReclaimAgainstTheRules();

  // Does the block's atomic unit hold a block that is part of a generation
  // which a recovery may need? Then it must not be written directly. Always
  // false without atomic units. WasShared: as of before the last Freeze, for
  // what that generation writes.
  bool Shared(uint32_t block) const;
  bool WasShared(uint32_t block) const;
  // Bitmap sectors that the active generation may have changed so far.
  const std::set<uint32_t>& dirty_bitmap() const { return dirty_; }

  // Is the block used in the state that was last frozen (or mounted)?
  bool UsedInFrozen(uint32_t block) const;
  // Copy of the last frozen bitmap, 1 = free.
  Bytes FrozenBitmap() const;

 private:
  // Frees in order. A pin holds a position in this order (`stamp`): what was
  // freed at that stamp or later is protected.
  struct Deferred {
    uint64_t generation = 0;
    uint64_t stamp = 0;
    std::vector<BlockRun> runs;
  };
  struct PinState {
    uint64_t count = 0;
    uint64_t stamp = 0;
  };

  bool CheckUsed(BlockRun run);
  void Reclaim();
  void Defer(BlockRun run);
  void MarkBitmap(BlockRun run, bool free);
  bool BitmapIs(BlockRun run, bool free) const;
  // Neither may be handed out nor kept for ICBs.
  bool IsTaken(BlockRun run) const;
  void MakeFree(BlockRun run);
  std::optional<BlockRun> TryAllocate(const FreeMap& from, uint32_t want,
                                      uint32_t min, uint32_t near,
                                      uint32_t align);
  void AddFree(uint32_t block, uint32_t count);
  void RemoveFree(uint32_t block, uint32_t count);
  uint32_t UnitMask(uint32_t unit, uint64_t first, uint64_t end) const;
  void MakeZone(uint32_t unit);
  uint32_t TakeFromZone(std::map<uint32_t, uint32_t>::iterator zone);
  std::map<uint32_t, uint32_t>::iterator NearestZone(uint32_t unit);
  void DissolveZones();

  const Geometry geometry_;
  Bytes bitmap_;                  // of the active generation, 1 = free
  Bytes frozen_;                  // of the generation before
  std::set<uint32_t> dirty_;      // bitmap sectors that may differ
  FreeMap free_;                  // free and not kept for ICBs
  std::optional<UnitMap> units_;  // of a medium with atomic units

  std::vector<bool> is_zone_;           // by unit
  std::map<uint32_t, uint32_t> zones_;  // unit -> its free blocks, never none
  uint64_t zone_free_ = 0;

  uint64_t used_ = 0;
  uint64_t held_ = 0;
  uint64_t deferred_count_ = 0;
  std::deque<Deferred> deferred_;
  std::map<uint64_t, PinState> pins_;  // by number; stamps ascend with it
  uint64_t stamp_ = 1;
  uint64_t frozen_stamp_ = 1;  // when the last generation was frozen
  uint64_t active_ = 1;
  uint64_t durable_ = 0;
  Status damage_;
};

// Helpers on raw bitmaps (1 = free, LSB first).
bool BitmapIsFree(const Bytes& bitmap, uint32_t block);
void SetBitmap(Bytes* bitmap, BlockRun run, bool free);
// Sectors that the space bitmap descriptor takes.
uint32_t BitmapSectors(const Geometry& geometry);
// Sector `index` of the space bitmap descriptor, tag included in sector 0.
Sector EncodeBitmapSector(const Geometry& geometry, const Bytes& bitmap,
                          uint32_t index);
// Reads the space bitmap descriptor. kCorruption.
Result<Bytes> ReadBitmap(Medium& medium, const Geometry& geometry);

}  // namespace vellum::udf
