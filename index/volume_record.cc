// SPDX-License-Identifier: Apache-2.0
// Room for the redo record of the active generation. It is found before an
// operation is answered: a commit that finds none would lose what was accepted.
//
// A record beyond the ring stands in one of two areas, used in turn: the record
// before must stay whole until the next one is durable. The areas are blocks
// that nobody else gets while they are needed; in the bitmap they are free.
//
// On media whose drive destroys a whole unit of sectors when it loses power
// while writing one of them (MediumInfo::atomic_sectors, media/udf/JOURNAL.md)
// a generation writes directly only to units without committed blocks. What
// lands in another unit waits in memory and goes into the record, with the rest
// of its unit. Everything is counted in these units; elsewhere one is a sector.
#include <fmt/format.h>

#include <algorithm>
#include <unordered_set>

#include "index/volume.h"
#include "index/volume_impl.h"
#include "media/round_up.h"

namespace vellum {
namespace {

// Units that one operation may add to the record without saying so first: the
// entries, names and parent entries that it changes.
constexpr uint64_t kOpUnits = 20;
// Units of content that a write finds room for even in a full volume.
constexpr uint64_t kWriteUnits = 4;
// Ranges of one spill: the ring has to list them.
constexpr size_t kMaxSpillRuns = 4096;
// Allocation descriptors in one block of them, at least (ECMA-167 4/14.5).
constexpr uint64_t kDescriptorsPerBlock = 250;
// Sectors of a file that one descriptor covers, at least (ECMA-167 4/14.14.1.1:
// 2^30 - 1 bytes).
constexpr uint64_t kDescriptorSectors = (1u << 30) / kSectorSize - 1;

}  // namespace

bool Volume::Impl::Journaled(uint32_t block) const {
  // A unit whose committed blocks went away meanwhile may still have images
  // that wait.
  return unit_ > 1 && (allocator_->Shared(block) ||
                       record_units_.count(Sector(block) / unit_) != 0);
}

void Volume::Impl::NoteEntry(const LiveInode& inode) {
  if (unit_ == 1 && inode.fresh) return;  // nothing of it is in the record
  record_units_.insert(Sector(inode.ino) / unit_);
  for (const uint32_t block : inode.rec.aed_blocks) {
    record_units_.insert(Sector(block) / unit_);
  }
}

bool Volume::Impl::FitsRecord(uint64_t directory_bytes) const {
  return directory_bytes / kSectorSize + 2 * unit_ <=
         geometry_.ring_sectors / 4;
}

void Volume::Impl::NoteNames(const LiveInode& dir, bool removal) {
  if (unit_ == 1 && dir.fresh) return;
  const auto names = names_.find(dir.ino);
  const uint64_t changes = names == names_.end() ? 0 : names->second.size();
  const uint64_t whole = dir.dir_bytes / (kSectorSize * unit_) + 2;
  // A changed name concerns two sectors at most, unless removals are reason to
  // write the directory anew.
  const uint64_t most = removal && FitsRecord(dir.dir_bytes)
                            ? whole
                            : std::min<uint64_t>(2 * changes, whole);
  uint64_t& units = name_units_[dir.ino];
  if (most <= units) return;
  name_units_sum_ += most - units;
  units = most;
}

void Volume::Impl::NoteParentEntry(const LiveInode& dir) {
  if (dir.extents.empty()) return;
  record_units_.insert(Sector(dir.extents.Blocks().front().block) / unit_);
}

void Volume::Impl::NoteExtents(LiveInode* inode) {
  uint64_t need = 0;
  if (inode->dirty && !inode->rec.inline_data) {
    // Holes have descriptors, too.
    const uint64_t descriptors =
        2 * inode->extents.pieces() + 2 +
        inode->rec.attr.size / (kSectorSize * kDescriptorSectors);
    const uint64_t have = inode->rec.aed_blocks.size();
    need = descriptors / kDescriptorsPerBlock;
    need = need > have ? need - have : 0;
  }
  descriptor_blocks_ += need;
  descriptor_blocks_ -= inode->descriptor_blocks;
  inode->descriptor_blocks = need;
}

bool Volume::Impl::Spare(uint64_t blocks) const {
  return allocator_->free_blocks() >= blocks + descriptor_blocks_;
}

void Volume::Impl::ForgetRecordUnits() {
  record_units_.clear();
  name_units_.clear();
  name_units_sum_ = 0;
}

uint64_t Volume::Impl::RecordSectors(uint64_t more_units) const {
  // One operation may concern all of the bitmap: a fragmented file that goes.
  const uint64_t dirty = uint64_t{allocator_->dirty_bitmap().size()} * unit_ +
                         (unit_ == 1 ? geometry_.ring_sectors / 8 : 0);
  const uint64_t bitmap =
      std::min<uint64_t>(RoundUp(geometry_.bitmap_blocks, unit_), dirty);
  return bitmap +
         unit_ * (1 + record_units_.size() + name_units_sum_ + more_units);
}

bool Volume::Impl::RecordIsFull() const {
  if (allocator_ == nullptr) return false;  // not loaded
  return RecordSectors(0) >
         std::max<uint64_t>(
             geometry_.ring_sectors / 2,
             std::min<uint64_t>(16384, geometry_.partition_blocks / 16));
}

bool Volume::Impl::GrowSpill(SpillArea* area, uint64_t sectors) {
  const uint32_t near = geometry_.partition_blocks / 4 * 3;
  while (area->blocks < sectors) {
    const auto want = static_cast<uint32_t>(
        std::min<uint64_t>(sectors - area->blocks, UINT32_MAX));
    if (area->runs.size() == kMaxSpillRuns ||
        !Spare(RoundUp(want, kRegionSectors))) {
      return false;
    }
    std::optional<udf::BlockRun> run = allocator_->AllocateRegions(want, near);
    if (!run.has_value() && unit_ == 1) {
      run = allocator_->Allocate(want, 1, near);
    }
    if (!run.has_value()) return false;
    area->runs.push_back(*run);
    area->blocks += run->count;
  }
  return true;
}

bool Volume::Impl::ReserveRecord(uint64_t more_units) {
  const uint64_t sectors = RecordSectors(more_units);
  if (sectors > udf::MaxRecordImages(geometry_) / 2) return false;
  return !journal_->NeedsSpill(sectors) ||
         GrowSpill(&spill_[next_spill_], udf::Journal::SpillSectors(sectors));
}

bool Volume::Impl::ReserveForWrite(uint64_t units) {
  return ReserveRecord(inflight_ * kOpUnits + units);
}

// Sees to it that one operation more has room in the record.
Status Volume::Impl::ReserveForOperation() {
  while (!ReserveRecord((inflight_ + 1) * kOpUnits)) {
    if (inflight_ == 0) {
      return Status(Errc::kNoSpace,
                    fmt::format("volume {} is full: the redo record would need "
                                "{} sectors",
                                record_.id, RecordSectors(kOpUnits)));
    }
    changed_.Wait(&mu_);
    if (freezing_) break;  // the caller begins anew
  }
  return Status::Ok();
}

void Volume::Impl::PrepareSpill() {
  MutexLock lock(&mu_);
  const uint64_t sectors = RecordSectors(kOpUnits + kWriteUnits);
  if (!journal_->NeedsSpill(sectors)) return;
  for (SpillArea& area : spill_) {
    // Without room, operations say so.
    if (!GrowSpill(&area, udf::Journal::SpillSectors(sectors))) return;
  }
}

void Volume::Impl::TrimSpill(bool spilled) {
  const uint64_t sectors =
      RecordSectors((inflight_ + 1) * kOpUnits + kWriteUnits);
  const uint64_t keep =
      journal_->NeedsSpill(sectors) ? udf::Journal::SpillSectors(sectors) : 0;
  for (size_t i = 0; i < spill_.size(); ++i) {
    // The other one holds the newest record, if that was spilled.
    if (spilled && i != next_spill_) continue;
    SpillArea& area = spill_[i];
    while (!area.runs.empty() && area.blocks - area.runs.back().count >= keep) {
      allocator_->Unreserve(area.runs.back());
      area.blocks -= area.runs.back().count;
      area.runs.pop_back();
    }
  }
}

Status Volume::Impl::PrepareFreeze() {
  const uint64_t sectors = RecordSectors(0);
  if (journal_->NeedsSpill(sectors) &&
      !GrowSpill(&spill_[next_spill_], udf::Journal::SpillSectors(sectors))) {
    return Status(Errc::kNoSpace,
                  fmt::format("volume {}: no room for a commit record of {} "
                              "sectors",
                              record_.id, sectors));
  }
  if (!Spare(0)) {
    return Status(Errc::kNoSpace,
                  fmt::format("volume {}: no room for {} blocks of extents",
                              record_.id, descriptor_blocks_));
  }
  return Status::Ok();
}

uint64_t Volume::Impl::ImagesOf(const Frozen& frozen) const {
  uint64_t images = frozen.data.size() + allocator_->dirty_bitmap().size() + 1;
  for (const FrozenDirectory& dir : frozen.directories) {
    images += dir.in_place.size();
  }
  for (const FrozenInode& inode : frozen.inodes) {
    images += inode.old_aeds.size() + (inode.fresh ? 0 : 1);
  }
  return images;
}

uint64_t Volume::Impl::UnitImagesOf(const Frozen& frozen) const {
  std::unordered_set<uint64_t> units = {udf::kLvidSector / unit_};
  const auto add = [&](uint64_t sector) { units.insert(sector / unit_); };
  const auto add_new = [&](uint32_t block) REQUIRES(mu_) {
    if (Journaled(block)) add(Sector(block));
  };
  for (const uint32_t index : allocator_->dirty_bitmap()) {
    add(Sector(udf::kBitmapBlock + index));
  }
  for (const auto& [sector, image] : frozen.data) add(sector);
  for (const FrozenInode& inode : frozen.inodes) {
    if (inode.fresh) {
      add_new(static_cast<uint32_t>(inode.ino));
    } else {
      add(Sector(static_cast<uint32_t>(inode.ino)));
    }
    for (const uint32_t block : inode.rec.aed_blocks) add_new(block);
    if (inode.fresh && inode.rec.attr.type == udf::FileType::kSymlink) {
      for (const udf::Extent& e : inode.rec.extents) {
        for (uint32_t i = 0; i < e.count; ++i) add_new(e.block + i);
      }
    }
  }
  for (const FrozenDirectory& dir : frozen.directories) {
    for (const uint32_t i : dir.in_place) add(Sector(dir.block + i));
    for (const uint32_t i : dir.direct) add_new(dir.block + i);
    const uint64_t blocks = dir.whole ? SectorsFor(dir.image->size()) : 0;
    for (uint32_t i = 0; i < blocks; ++i) add_new(dir.block + i);
  }
  return units.size() * unit_;
}

Status Volume::Impl::PickSpill(Frozen* frozen) {
  const uint64_t sectors =
      unit_ > 1 ? UnitImagesOf(*frozen) : ImagesOf(*frozen);
  ForgetRecordUnits();
  if (!journal_->NeedsSpill(sectors)) return Status::Ok();
  SpillArea& area = spill_[next_spill_];
  if (!GrowSpill(&area, udf::Journal::SpillSectors(sectors))) {
    return Status(Errc::kNoSpace,
                  fmt::format("volume {}: no room for a commit record of {} "
                              "sectors",
                              record_.id, sectors));
  }
  for (const udf::BlockRun& run : area.runs) {
    frozen->spill.push_back({Sector(run.block), run.count});
  }
  next_spill_ = 1 - next_spill_;
  return Status::Ok();
}

// Moves what must not be written directly into the record, and completes the
// record's units. REQUIRES: nothing of `direct` was written yet.
Status Volume::Impl::MergeUnits(udf::SectorImages* direct,
                                udf::SectorImages* in_place,
                                udf::Record* record) {
  std::unordered_set<uint64_t> units;
  for (const auto& [sector, image] : *in_place) units.insert(sector / unit_);
  {
    MutexLock lock(&mu_);
    for (auto it = direct->begin(); it != direct->end();) {
      const uint32_t block =
          static_cast<uint32_t>(it->first - geometry_.partition_first);
      if (allocator_->WasShared(block) || units.count(it->first / unit_) != 0) {
        in_place->insert_or_assign(it->first, std::move(it->second));
        record->fresh.insert(it->first);
        it = direct->erase(it);
      } else {
        ++it;
      }
    }
  }
  record->images = *in_place;
  // What nobody uses need not be readable: a unit that was being written when
  // power went may be partly written anew since.
  return udf::FillAtomicUnits(
      *medium_, &record->images, [this](uint64_t sector) {
        if (!geometry_.InPartition(sector)) return true;
        MutexLock lock(&mu_);
        return allocator_->UsedInFrozen(
            static_cast<uint32_t>(sector - geometry_.partition_first));
      });
}

}  // namespace vellum
