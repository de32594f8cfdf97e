// SPDX-License-Identifier: Apache-2.0
#include "media/udf/allocator.h"

#include <fmt/format.h>

#include <algorithm>
#include <bit>

#include "media/udf/space_bitmap.h"

namespace vellum::udf {
namespace {

constexpr uint32_t kUnit = 32;
constexpr uint32_t kWholeUnit = 0xFFFFFFFF;
// How far an ICB may go to join a zone before a new one is begun: 64 MiB.
constexpr uint32_t kZoneReach = 1024;

// Files from 1 MiB on begin at a region: the gaps are a few percent of them.
constexpr uint32_t kAlignedRun = 512;
constexpr uint32_t kPageBlocks = 4096 / kSectorSize;

uint32_t AlignmentOf(uint32_t want) {
  if (want >= kAlignedRun) return kUnit;
  return want >= kPageBlocks ? kPageBlocks : 1;
}

uint64_t EndOf(BlockRun run) { return uint64_t{run.block} + run.count; }

// Calls visit(run) for the runs of ones in the mask of a unit.
template <typename Visit>
void ForEachRun(uint32_t unit, uint32_t mask, Visit visit) {
  uint32_t bit = 0;
  while (bit < kUnit && (mask >> bit) != 0) {
    bit += static_cast<uint32_t>(std::countr_zero(mask >> bit));
    const uint32_t count = static_cast<uint32_t>(std::countr_one(mask >> bit));
    visit(BlockRun{unit * kUnit + bit, count});
    bit += count;
  }
}

}  // namespace

Allocator::Allocator(const Geometry& geometry, Bytes bitmap, uint64_t active,
                     uint32_t atomic_sectors)
    : geometry_(geometry),
      bitmap_(std::move(bitmap)),
      free_(geometry.partition_blocks),
      is_zone_((uint64_t{geometry.partition_blocks} + kUnit - 1) / kUnit),
      active_(active),
      durable_(active - 1) {
  const uint32_t blocks = geometry_.partition_blocks;
  VELLUM_CHECK(active > 0 && bitmap_.size() == (uint64_t{blocks} + 7) / 8);
  frozen_ = bitmap_;
  if (atomic_sectors > 1) units_.emplace(blocks, atomic_sectors, bitmap_);
  uint32_t at = 0;
  while (at < blocks) {
    const bool is_free = BitmapIsFree(bitmap_, at);
    const std::byte same{static_cast<uint8_t>(is_free ? 0xFF : 0)};
    uint32_t end = at + 1;
    while (end < blocks && BitmapIsFree(bitmap_, end) == is_free) {
      // Whole bytes at a time.
      if (end % 8 == 0 && blocks - end >= 8 && bitmap_[end / 8] == same) {
        end += 8;
      } else {
        ++end;
      }
    }
    if (is_free) {
      AddFree(at, end - at);
    } else {
      used_ += end - at;
    }
    at = end;
  }
}

uint32_t Allocator::total_blocks() const { return geometry_.partition_blocks; }
uint64_t Allocator::free_blocks() const {
  return free_.free_count() + zone_free_;
}
uint64_t Allocator::deferred_blocks() const { return deferred_count_; }
uint64_t Allocator::used_blocks() const { return used_; }
uint64_t Allocator::active() const { return active_; }

std::optional<BlockRun> Allocator::TryAllocate(const FreeMap& from,
                                               uint32_t want, uint32_t min,
                                               uint32_t near, uint32_t align) {
  const auto take = [this](uint32_t block, uint32_t count) {
    RemoveFree(block, count);
    return BlockRun{block, count};
  };
  // Blocks from `block` to the next one that is aligned on the medium.
  const auto gap = [this, align](uint32_t block) {
    return static_cast<uint32_t>(-geometry_.Sector(block) % align);
  };
  const uint32_t at = near + gap(near);
  const uint32_t here = at < total_blocks() ? from.RunAt(at, want) : 0;
  if (here >= min) return take(at, here);
  if (from.Longest() >= want) {
    // What fits as it stands, then what has room for the gap as well, then
    // anything.
    for (const uint32_t first : {near, 0u}) {
      for (const uint32_t room : {want, want + align - 1}) {
        const std::optional<uint32_t> found = from.Find(first, room);
        if (found && from.RunAt(*found + gap(*found), want) == want) {
          return take(*found + gap(*found), want);
        }
      }
    }
    std::optional<uint32_t> found = from.Find(near, want);
    if (!found) found = from.Find(0, want);
    VELLUM_CHECK(found.has_value());
    return take(*found, want);
  }
  const uint32_t longest = from.Longest();
  if (longest < min) return std::nullopt;
  return take(*from.Find(0, longest), longest);
}

std::optional<BlockRun> Allocator::Allocate(uint32_t want, uint32_t min,
                                            uint32_t near, bool follow) {
  VELLUM_CHECK(min > 0 && min <= want);
  if (near >= total_blocks()) near = 0;
  const uint32_t align = follow ? 1 : AlignmentOf(want);
  if (units_ && !(follow && free_.RunAt(near, min) == min)) {
    const auto run = TryAllocate(units_->clean(), want, min, near, align);
    if (run) return run;
  }
  std::optional<BlockRun> run = TryAllocate(free_, want, min, near, align);
  if (!run && zone_free_ > 0) {
    DissolveZones();
    run = TryAllocate(free_, want, min, near, align);
  }
  return run;
}

std::optional<BlockRun> Allocator::AllocateRegions(uint32_t want,
                                                   uint32_t near) {
  std::optional<uint32_t> unit = free_.FindUnit(near / kUnit);
  if (!unit) unit = free_.FindUnit(0);
  if (!unit) return std::nullopt;
  BlockRun run{*unit * kUnit, kUnit};
  while (run.count < want && EndOf(run) + kUnit <= total_blocks() &&
         free_.Unit(static_cast<uint32_t>(EndOf(run) / kUnit)) == kWholeUnit) {
    run.count += kUnit;
  }
  RemoveFree(run.block, run.count);
  return run;
}

void Allocator::AddFree(uint32_t block, uint32_t count) {
  free_.Add(block, count);
  if (units_) units_->Added(block, count);
}

void Allocator::RemoveFree(uint32_t block, uint32_t count) {
  free_.Remove(block, count);
  if (units_) units_->Removed(block, count);
}

bool Allocator::Shared(uint32_t block) const {
  return units_ && units_->Shared(block);
}

bool Allocator::WasShared(uint32_t block) const {
  return units_ && units_->WasShared(block);
}

// The blocks of `unit` that lie in [first, end), as bits.
uint32_t Allocator::UnitMask(uint32_t unit, uint64_t first,
                             uint64_t end) const {
  const uint64_t begin = uint64_t{unit} * kUnit;
  uint32_t mask = kWholeUnit;
  if (first > begin) mask &= kWholeUnit << (first - begin);
  if (end < begin + kUnit) mask &= ~(kWholeUnit << (end - begin));
  return mask;
}

bool Allocator::AllocateAt(uint32_t block, uint32_t count) {
  const BlockRun run{block, count};
  if (count == 0 || EndOf(run) > total_blocks()) return false;
  const uint32_t last = static_cast<uint32_t>((EndOf(run) - 1) / kUnit);
  for (uint32_t unit = block / kUnit; unit <= last; ++unit) {
    const uint32_t mask = UnitMask(unit, block, EndOf(run));
    const auto zone = zones_.find(unit);
    const uint32_t has = zone != zones_.end() ? zone->second : free_.Unit(unit);
    if ((has & mask) != mask) return false;
  }
  if (zone_free_ == 0) {
    RemoveFree(block, count);
    return true;
  }
  for (uint32_t unit = block / kUnit; unit <= last; ++unit) {
    const uint32_t mask = UnitMask(unit, block, EndOf(run));
    const auto zone = zones_.find(unit);
    if (zone == zones_.end()) {
      RemoveFree(unit * kUnit + static_cast<uint32_t>(std::countr_zero(mask)),
                 static_cast<uint32_t>(std::popcount(mask)));
    } else {
      zone->second &= ~mask;
      zone_free_ -= static_cast<uint64_t>(std::popcount(mask));
      if (zone->second == 0) zones_.erase(zone);
    }
  }
  return true;
}

void Allocator::MakeZone(uint32_t unit) {
  const uint32_t mask = free_.Unit(unit);
  ForEachRun(unit, mask,
             [this](BlockRun run) { RemoveFree(run.block, run.count); });
  is_zone_[unit] = true;
  zones_[unit] = mask;
  zone_free_ += static_cast<uint64_t>(std::popcount(mask));
}

uint32_t Allocator::TakeFromZone(std::map<uint32_t, uint32_t>::iterator zone) {
  const uint32_t bit = static_cast<uint32_t>(std::countr_zero(zone->second));
  const uint32_t block = zone->first * kUnit + bit;
  zone->second &= zone->second - 1;
  --zone_free_;
  if (zone->second == 0) zones_.erase(zone);
  return block;
}

// REQUIRES: zones_ is not empty.
std::map<uint32_t, uint32_t>::iterator Allocator::NearestZone(uint32_t unit) {
  auto after = zones_.lower_bound(unit);
  if (after == zones_.begin()) return after;
  const auto before = std::prev(after);
  if (after == zones_.end()) return before;
  return after->first - unit <= unit - before->first ? after : before;
}

std::optional<uint32_t> Allocator::AllocateIcb(uint32_t near_icb) {
  if (near_icb >= total_blocks()) near_icb = 0;
  const uint32_t unit = near_icb / kUnit;
  if (!is_zone_[unit] && free_.Unit(unit) != 0) MakeZone(unit);
  const auto distance = [unit](uint32_t other) {
    return other > unit ? other - unit : unit - other;
  };
  const auto zone = zones_.empty() ? zones_.end() : NearestZone(unit);
  if (zone != zones_.end() && distance(zone->first) <= kZoneReach) {
    return TakeFromZone(zone);
  }
  std::optional<uint32_t> fresh = free_.FindUnit(unit);
  if (!fresh) fresh = free_.FindUnit(0);
  if (zone != zones_.end() &&
      (!fresh || distance(zone->first) <= distance(*fresh) + kZoneReach)) {
    return TakeFromZone(zone);
  }
  if (fresh) {
    MakeZone(*fresh);
    return TakeFromZone(zones_.find(*fresh));
  }
  const std::optional<BlockRun> run = TryAllocate(free_, 1, 1, near_icb, 1);
  if (!run) return std::nullopt;
  return run->block;
}

void Allocator::DissolveZones() {
  for (const auto& [unit, mask] : zones_) {
    ForEachRun(unit, mask,
               [this](BlockRun run) { AddFree(run.block, run.count); });
  }
  zones_.clear();
  zone_free_ = 0;
  is_zone_.assign(is_zone_.size(), false);
}

uint32_t Allocator::LargestFreeRun() const {
  if (free_.Longest() > 0 || zones_.empty()) return free_.Longest();
  return 1;
}

bool Allocator::BitmapIs(BlockRun run, bool free) const {
  const std::byte same{static_cast<uint8_t>(free ? 0xFF : 0)};
  uint64_t at = run.block;
  while (at < EndOf(run)) {
    if (at % 8 == 0 && EndOf(run) - at >= 8) {
      if (bitmap_[at / 8] != same) return false;
      at += 8;
    } else {
      if (BitmapIsFree(bitmap_, static_cast<uint32_t>(at)) != free) {
        return false;
      }
      ++at;
    }
  }
  return true;
}

bool Allocator::IsTaken(BlockRun run) const {
  if (run.count == 0 || EndOf(run) > total_blocks() ||
      !free_.NoneFree(run.block, run.count)) {
    return false;
  }
  for (auto zone = zones_.lower_bound(run.block / kUnit);
       zone != zones_.end() && uint64_t{zone->first} * kUnit < EndOf(run);
       ++zone) {
    if ((zone->second & UnitMask(zone->first, run.block, EndOf(run))) != 0) {
      return false;
    }
  }
  return true;
}

void Allocator::MakeFree(BlockRun run) {
  // Neighbouring units that are no zones go back in one piece.
  uint64_t plain = run.block;
  const auto give_back = [this, &plain](uint64_t end) {
    if (end > plain) {
      AddFree(static_cast<uint32_t>(plain), static_cast<uint32_t>(end - plain));
    }
  };
  const uint32_t last = static_cast<uint32_t>((EndOf(run) - 1) / kUnit);
  for (uint32_t unit = run.block / kUnit; unit <= last; ++unit) {
    if (!is_zone_[unit]) continue;
    const uint64_t begin = uint64_t{unit} * kUnit;
    give_back(begin);
    plain = begin + kUnit;
    const uint32_t mask = UnitMask(unit, run.block, EndOf(run));
    uint32_t& has = zones_[unit];
    VELLUM_CHECK((has & mask) == 0);
    has |= mask;
    zone_free_ += static_cast<uint64_t>(std::popcount(mask));
    if (has == kWholeUnit) {
      zones_.erase(unit);
      zone_free_ -= kUnit;
      is_zone_[unit] = false;
      AddFree(unit * kUnit, kUnit);
    }
  }
  give_back(EndOf(run));
}

void Allocator::MarkBitmap(BlockRun run, bool free) {
  SetBitmap(&bitmap_, run, free);
  const uint64_t first = BitmapSectorOf(run.block);
  const uint64_t last = BitmapSectorOf(static_cast<uint32_t>(EndOf(run) - 1));
  for (uint64_t s = first; s <= last; ++s) {
    dirty_.insert(static_cast<uint32_t>(s));
  }
}

void Allocator::Unreserve(BlockRun run) {
  VELLUM_CHECK(IsTaken(run) && BitmapIs(run, true));
  MakeFree(run);
}

void Allocator::Use(BlockRun run) {
  VELLUM_CHECK(IsTaken(run) && BitmapIs(run, true));
  MarkBitmap(run, false);
  used_ += run.count;
  if (units_) units_->Used(run.block, run.count);
}

bool Allocator::CheckUsed(BlockRun run) {
  if (!damage_.ok()) return false;
  if (IsTaken(run) && BitmapIs(run, false)) return true;
  damage_ =
      Status(Errc::kCorruption,
             fmt::format(
                 "blocks {} to {} (sectors {} to {}) belong to a file, but the "
                 "space bitmap calls them free: the bitmap is damaged, or two "
                 "files share them",
                 run.block, EndOf(run) - 1, geometry_.Sector(run.block),
                 geometry_.Sector(run.block) + run.count - 1));
  return false;
}

void Allocator::Free(BlockRun run) {
  if (!CheckUsed(run)) return;
  MarkBitmap(run, true);
  used_ -= run.count;
  Defer(run);
}

void Allocator::Hold(BlockRun run) {
  if (!CheckUsed(run)) return;
  MarkBitmap(run, true);
  used_ -= run.count;
  held_ += run.count;
}

void Allocator::ReleaseHeld(BlockRun run) {
  if (!damage_.ok()) return;  // it may never have been held
  VELLUM_CHECK(IsTaken(run) && BitmapIs(run, true) && held_ >= run.count);
  held_ -= run.count;
  Defer(run);
}

void Allocator::Defer(BlockRun run) {
  if (deferred_.empty() || deferred_.back().stamp != stamp_) {
    deferred_.push_back({active_, stamp_, {}});
  }
  std::vector<BlockRun>& runs = deferred_.back().runs;
  if (!runs.empty() && EndOf(runs.back()) == run.block) {
    runs.back().count += run.count;
  } else {
    runs.push_back(run);
  }
  deferred_count_ += run.count;
}

std::map<uint32_t, Sector> Allocator::Freeze() {
  std::map<uint32_t, Sector> changed;
  for (uint32_t index : dirty_) {
    if (CopyBitmapSector(bitmap_, index, &frozen_)) {
      changed[index] = EncodeBitmapSector(geometry_, frozen_, index);
    }
  }
  dirty_.clear();
  if (units_) units_->Freeze(free_);
  // Every later free has a higher stamp than every earlier one: generations
  // ascend in deferred_ as stamps do.
  frozen_stamp_ = ++stamp_;
  ++active_;
  return changed;
}

void Allocator::Durable(uint64_t number) {
  VELLUM_CHECK(number < active_);
  durable_ = std::max(durable_, number);
  Reclaim();
}

void Allocator::ReclaimAgainstTheRules() {
  const uint64_t durable = durable_;
  durable_ = active_;
  Reclaim();
  durable_ = durable;
}

void Allocator::Pin(uint64_t number) {
  PinState& pin = pins_[number];
  if (pin.count == 0) {
    VELLUM_CHECK(number == active_ || number + 1 == active_);
    pin.stamp = number == active_ ? ++stamp_ : frozen_stamp_;
  }
  ++pin.count;
}

void Allocator::Unpin(uint64_t number) {
  const auto pin = pins_.find(number);
  VELLUM_CHECK(pin != pins_.end());
  if (--pin->second.count > 0) return;
  pins_.erase(pin);
  Reclaim();
}

void Allocator::Reclaim() {
  while (!deferred_.empty()) {
    const Deferred& oldest = deferred_.front();
    if (oldest.generation > durable_) return;
    if (!pins_.empty() && oldest.stamp >= pins_.begin()->second.stamp) return;
    for (const BlockRun& run : oldest.runs) {
      deferred_count_ -= run.count;
      if (units_) units_->Reclaimed(run.block, run.count, free_);
      MakeFree(run);
    }
    deferred_.pop_front();
  }
}

bool Allocator::UsedInFrozen(uint32_t block) const {
  return !BitmapIsFree(frozen_, block);
}

Bytes Allocator::FrozenBitmap() const { return frozen_; }

}  // namespace vellum::udf
