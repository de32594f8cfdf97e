// SPDX-License-Identifier: Apache-2.0
// Media whose drive destroys a whole unit of sectors when it loses power while
// writing one of them (MediumInfo::atomic_sectors, media/udf/JOURNAL.md).
//
// What a generation writes directly goes to units without committed blocks.
// What lands in another unit waits in memory and goes into the redo record,
// with the rest of its unit. The record may then be many times larger than the
// changes: room for it is reserved before an operation is answered.
//
// Records beyond the ring stand in one of two areas, used in turn: the record
// before must stay whole until the next one is durable. The areas are regions
// that nobody else gets while the volume is loaded; in the bitmap they are
// free.
#include <fmt/format.h>

#include <algorithm>
#include <unordered_set>

#include "index/volume.h"
#include "index/volume_impl.h"
#include "media/round_up.h"

namespace vellum {
namespace {

// Units that one operation may add to the record without saying so first: the
// entries and names that it changes, and the bitmap.
constexpr uint64_t kOpUnits = 12;
// Units of content that a write finds room for even in a full volume.
constexpr uint64_t kWriteUnits = 4;

}  // namespace

bool Volume::Impl::Journaled(uint32_t block) const {
  // A unit whose committed blocks went away meanwhile may still have images
  // that wait.
  return unit_ > 1 && (allocator_->Shared(block) ||
                       record_units_.count(Sector(block) / unit_) != 0);
}

void Volume::Impl::NoteEntry(const LiveInode& inode) {
  if (unit_ == 1) return;
  record_units_.insert(Sector(inode.ino) / unit_);
  for (const uint32_t block : inode.rec.aed_blocks) {
    record_units_.insert(Sector(block) / unit_);
  }
}

void Volume::Impl::NoteNames(const LiveInode& dir) {
  if (unit_ == 1) return;
  const auto names = names_.find(dir.ino);
  const uint64_t changes = names == names_.end() ? 0 : names->second.size();
  uint64_t& units = name_units_[dir.ino];
  name_units_sum_ -= units;
  // A changed name concerns two sectors at most.
  units = std::min<uint64_t>(2 * changes,
                             dir.dir_bytes / (kSectorSize * unit_) + 2);
  name_units_sum_ += units;
}

void Volume::Impl::ForgetRecordUnits() {
  record_units_.clear();
  name_units_.clear();
  name_units_sum_ = 0;
}

uint64_t Volume::Impl::RecordSectors(uint64_t more_units) const {
  const uint64_t bitmap =
      std::min<uint64_t>(RoundUp(geometry_.bitmap_blocks, unit_),
                         uint64_t{allocator_->dirty_bitmap().size()} * unit_);
  return bitmap +
         unit_ * (1 + record_units_.size() + name_units_sum_ + more_units);
}

bool Volume::Impl::RecordIsFull() const {
  if (unit_ == 1) return false;
  return RecordSectors(0) >
         std::max<uint64_t>(
             geometry_.ring_sectors / 2,
             std::min<uint64_t>(16384, geometry_.partition_blocks / 16));
}

bool Volume::Impl::GrowSpill(SpillArea* area, uint64_t sectors) {
  const uint32_t near = geometry_.partition_blocks / 4 * 3;
  while (area->blocks < sectors) {
    const auto run =
        allocator_->AllocateRegions(static_cast<uint32_t>(std::min<uint64_t>(
                                        sectors - area->blocks, UINT32_MAX)),
                                    near);
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
                    fmt::format("volume {} is full: no {} sectors for the "
                                "redo record are free in whole regions",
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
  if (unit_ == 1 || !journal_->NeedsSpill(sectors)) return;
  for (SpillArea& area : spill_) {
    // Without room, operations say so.
    if (!GrowSpill(&area, udf::Journal::SpillSectors(sectors))) return;
  }
}

// Gives back what the area of the next record has too much.
void Volume::Impl::TrimSpill() {
  const uint64_t sectors =
      RecordSectors((inflight_ + 1) * kOpUnits + kWriteUnits);
  const uint64_t keep =
      journal_->NeedsSpill(sectors) ? udf::Journal::SpillSectors(sectors) : 0;
  SpillArea& area = spill_[next_spill_];
  while (!area.runs.empty() && area.blocks - area.runs.back().count >= keep) {
    allocator_->Unreserve(area.runs.back());
    area.blocks -= area.runs.back().count;
    area.runs.pop_back();
  }
}

// REQUIRES: before Allocator::Freeze of the generation.
Status Volume::Impl::PickSpillOfUnits(Frozen* frozen) {
  std::unordered_set<uint64_t> units = {udf::kLvidSector / unit_};
  const auto add = [&](uint64_t sector) { units.insert(sector / unit_); };
  const auto add_new = [&](uint32_t block) REQUIRES(mu_) {
    if (Journaled(block)) add(Sector(block));
  };
  for (const uint32_t index : allocator_->dirty_bitmap()) {
    add(Sector(udf::kBitmapBlock + index));
  }
  for (const auto& [sector, image] : frozen->data) add(sector);
  for (const FrozenInode& inode : frozen->inodes) {
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
  for (const FrozenDirectory& dir : frozen->directories) {
    for (const uint32_t i : dir.in_place) add(Sector(dir.block + i));
    for (const uint32_t i : dir.direct) add_new(dir.block + i);
    const uint64_t blocks = dir.whole ? SectorsFor(dir.image->size()) : 0;
    for (uint32_t i = 0; i < blocks; ++i) add_new(dir.block + i);
  }
  ForgetRecordUnits();
  const uint64_t sectors = units.size() * unit_;
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
