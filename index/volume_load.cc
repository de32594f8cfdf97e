// SPDX-License-Identifier: Apache-2.0
// A volume meets its medium. Meanwhile nothing else uses the medium (Volumes
// sees to it).
#include <fmt/format.h>
#include <spdlog/spdlog.h>

#include "index/commit_note.h"
#include "index/volume.h"
#include "index/volume_impl.h"
#include "media/borrowed_medium.h"
#include "media/udf/format.h"
#include "media/udf/slot_places.h"

namespace vellum {
namespace {

// What a load found, before the catalog is asked.
struct Found {
  udf::ReplayResult replay;
  std::unique_ptr<Medium> view;  // write-protected: replayed in memory
  uint32_t lvid_crc = 0;
};

Result<Found> Recover(Medium* medium, const udf::Geometry& geometry,
                      const udf::ControlSlot& slot, bool read_only) {
  Found found;
  if (!read_only) {
    ASSIGN_OR_RETURN(found.replay, udf::ReplayJournal(*medium, geometry, slot));
  } else {
    ASSIGN_OR_RETURN(udf::ReplayPlan plan,
                     udf::PlanReplay(*medium, geometry, slot));
    found.replay = plan.result;
    found.view = std::make_unique<udf::ReplayedMedium>(
        std::make_unique<BorrowedMedium>(medium), std::move(plan.images));
  }
  Medium* const view = found.view != nullptr ? found.view.get() : medium;
  udf::Sector lvid;
  RETURN_IF_ERROR(view->Read(udf::kLvidSector, lvid));
  found.lvid_crc = udf::Crc32c(lvid);
  return found;
}

// Answers why the volume takes no changes: a control slot that cannot be
// written means that a later one, and with it commits, could be overlooked.
Result<std::optional<Error>> CheckSlots(Medium* medium, const std::string& id,
                                        udf::ControlSlot* slot) {
  const MediumInfo info = medium->Info();
  std::string repaired;
  const bool writable =
      !info.write_protected && info.atomic_sectors <= kRegionSectors;
  const Status status = writable
                            ? udf::RepairSlotPlaces(*medium, slot, &repaired)
                            : udf::CheckSlotPlaces(*medium);
  if (!repaired.empty()) {
    spdlog::warn("volume {}: {}; it was written anew", id, repaired);
  }
  if (status.ok()) return std::optional<Error>();
  if (!status.Is(Errc::kDeviceError)) return status;
  spdlog::error("volume {}: {}", id, status.error().message);
  return std::optional<Error>(
      Error{Errc::kReadOnly,
            fmt::format("volume {} takes no changes, copy it to another "
                        "medium: {}",
                        id, status.error().message)});
}

}  // namespace

Status Volume::Attach(Medium* medium) {
  VolumeRecord record;
  {
    MutexLock lock(&impl_->mu_);
    VELLUM_CHECK(!impl_->attached_);
    record = impl_->record_;
  }
  Result<udf::ControlSlot> slot = udf::ReadControlSlot(*medium);
  if (!slot.ok()) {
    return slot.status().WithContext(
        fmt::format("volume {} on {}", record.id, medium->Info().name));
  }
  if (slot->medium_uuid != record.medium_uuid ||
      slot->format_uuid != record.format_uuid) {
    return Status(Errc::kNoMedium,
                  fmt::format("{} holds volume {} instead of volume {} (the "
                              "medium was replaced or formatted elsewhere)",
                              medium->Info().name, slot->volume_id, record.id));
  }
  if (impl_->options_.copier && slot->state != udf::SlotState::kFiles) {
    return Status(
        Errc::kInternal,
        fmt::format("volume {} takes no files one by one", record.id));
  }
  if (slot->role == udf::Role::kBackup && !impl_->options_.copier) {
    return impl_->AttachBackup(medium, std::move(*slot));
  }
  return impl_->AttachPrimary(medium, std::move(*slot));
}

// Applies the given batch, and the pending one is gone.
Status Volume::Impl::Decide(const CatalogBatch* batch) {
  RETURN_IF_ERROR(catalog_->ApplyPending(index_, batch));
  // The record that decided may be overwritten from now on (its spill is free):
  // the decision must not be needed a second time.
  RETURN_IF_ERROR(catalog_->SyncLog());
  ASSIGN_OR_RETURN(VolumeRecord applied, catalog_->GetVolume(index_));
  MutexLock lock(&mu_);
  record_ = std::move(applied);
  ++tree_version_;
  return Status::Ok();
}

Status Volume::Impl::Reconcile(const udf::ReplayResult& replay, bool* rescan) {
  *rescan = false;
  VolumeRecord record;
  {
    MutexLock lock(&mu_);
    record = record_;
  }
  ASSIGN_OR_RETURN(const std::optional<PendingBatch> pending,
                   catalog_->GetPending(index_));
  if (replay.outcome == udf::ReplayOutcome::kForeign) {
    spdlog::warn(
        "volume {}: another system wrote to the medium; reading it "
        "anew",
        record.id);
    *rescan = true;
    return Status::Ok();
  }
  if (pending.has_value() && record.tree == TreeState::kValid &&
      pending->generation == replay.generation &&
      pending->record_crc == replay.record_crc) {
    const auto where = [&record] {
      return fmt::format("volume {}: its pending batch", record.id);
    };
    Result<CatalogBatch> batch = CatalogBatch::Parse(pending->batch);
    if (!batch.ok()) return batch.status().WithContext(where());
    const Result<VolumeRecord> next = batch->RecordOf(index_);
    if (!next.ok()) return next.status().WithContext(where());
    batch->PutVolume(AfterCommit(record, *next));
    return Decide(&*batch);
  }
  if (record.tree == TreeState::kValid &&
      record.generation == replay.generation &&
      (record.record_crc == 0 || replay.record_crc == 0 ||
       record.record_crc == replay.record_crc)) {
    if (pending.has_value()) {
      CatalogBatch batch;
      batch.DeletePending(index_);
      RETURN_IF_ERROR(catalog_->Write(batch, Sync::kNo));
    }
    return Status::Ok();
  }
  if (!replay.note.empty()) {
    ASSIGN_OR_RETURN(const bool applied, ApplyNote(replay, record));
    if (applied) return Status::Ok();
  }
  if (record.tree == TreeState::kNone) {
    spdlog::info("volume {}: reading its tree", record.id);
  } else {
    spdlog::warn(
        "volume {}: the medium is at generation {}, the catalog at {}; "
        "reading the medium anew",
        record.id, ToString(replay.generation), ToString(record.generation));
  }
  *rescan = true;
  return Status::Ok();
}

Status Volume::Impl::AttachPrimary(Medium* medium, udf::ControlSlot slot) {
  ASSIGN_OR_RETURN(const udf::VolumeDescription description,
                   udf::ReadDescription(*medium));
  VolumeRecord record;
  {
    MutexLock lock(&mu_);
    record = record_;
  }
  if (!(description.geometry == record.geometry)) {
    return Status(
        Errc::kCorruption,
        fmt::format("volume {}: the geometry in the volume descriptors "
                    "from sector {} on of {} is not the one that the "
                    "catalog knows",
                    record.id, udf::kMainVdsSector, medium->Info().name));
  }
  ASSIGN_OR_RETURN(std::optional<Error> bad_slot,
                   CheckSlots(medium, record.id, &slot));
  std::optional<Error> reason;
  if (medium->Info().write_protected) {
    reason = Error{
        Errc::kWriteProtected,
        fmt::format("the medium of volume {} is write-protected", record.id)};
  } else if (medium->Info().atomic_sectors > kRegionSectors) {
    // The control slots would share a unit (format, section 2).
    reason = Error{
        Errc::kWriteProtected,
        fmt::format("the medium of volume {} writes units of {} "
                    "sectors, more than {}: it can be read here, "
                    "not written",
                    record.id, medium->Info().atomic_sectors, kRegionSectors)};
  } else if (bad_slot) {
    reason = std::move(bad_slot);
  }
  const bool read_only = reason.has_value();
  ASSIGN_OR_RETURN(Found found,
                   Recover(medium, record.geometry, slot, read_only));
  Medium* const view = found.view != nullptr ? found.view.get() : medium;
  bool rescan = false;
  RETURN_IF_ERROR(Reconcile(found.replay, &rescan));
  {
    MutexLock lock(&mu_);
    record = record_;
  }
  if (rescan) {
    // A new lineage: no backup is thought to be an ancestor of what was found.
    record.generation.number =
        std::max(found.replay.generation.number, record.generation.number);
    record.generation.lineage = udf::NewLineage();
    record.record_crc = 0;
    record.change_floor = record.generation.number;
    record.threshold = slot.threshold;
    if (!read_only) {
      udf::ControlSlot renewed = slot;
      renewed.state = ClosedState();
      renewed.generation = record.generation;
      renewed.record_floor = slot.epoch + 1;
      renewed.lvid_crc = found.lvid_crc;
      renewed.time = Now();
      RETURN_IF_ERROR(Scan(view, record));
      RETURN_IF_ERROR(udf::WriteControlSlot(*medium, &renewed));
      RETURN_IF_ERROR(medium->Flush());
      if (ClosedState() == OpenState()) {
        // No first commit will do it: both slots have to know the lineage.
        RETURN_IF_ERROR(udf::WriteControlSlot(*medium, &renewed));
        RETURN_IF_ERROR(medium->Flush());
      }
      slot = renewed;
    } else {
      // The slot cannot take a new lineage: keep what it says and mistrust the
      // map instead.
      record.generation = found.replay.generation;
      record.change_floor = record.generation.number;
      record.record_crc = found.replay.record_crc;
      RETURN_IF_ERROR(Scan(view, record));
    }
  } else if (!read_only && !(slot.generation == found.replay.generation)) {
    // Recovered after a crash. A large record stands in blocks that are free
    // from now on; once they are reused the slot must say what is in place, or
    // the next recovery would take an older record for the newest.
    slot.generation = found.replay.generation;
    slot.lvid_crc = found.lvid_crc;
    slot.time = Now();
    RETURN_IF_ERROR(udf::WriteControlSlot(*medium, &slot));
    RETURN_IF_ERROR(medium->Flush());
  }
  if (record.threshold != slot.threshold) {
    // A change of it was cut between slot and catalog.
    record.threshold = slot.threshold;
    CatalogBatch batch;
    batch.PutVolume(record);
    RETURN_IF_ERROR(catalog_->Write(batch, Sync::kNo));
    MutexLock lock(&mu_);
    record_.threshold = slot.threshold;
  }
  // The committed generation is where the medium is.
  medium_ = view;
  replayed_ = std::move(found.view);
  slot_ = std::move(slot);
  lvid_crc_ = found.lvid_crc;
  medium_read_only_ = std::move(reason);
  ForgetDurability();
  unit_ = read_only || options_.break_units
              ? 1
              : std::max<uint32_t>(1, medium->Info().atomic_sectors);
  dir_images_.clear();
  dir_images_order_.clear();
  base_offsets_.clear();
  const Status started = StartAllocator();
  if (!started.ok()) {
    medium_ = nullptr;
    replayed_.reset();
    return started;
  }
  if (!read_only) {
    journal_ = std::make_unique<udf::Journal>(medium_, geometry_,
                                              found.replay.next_sequence,
                                              found.replay.next_sector);
    PrepareSpill();
  }
  MutexLock lock(&mu_);
  attached_ = true;
  return Status::Ok();
}

// Of the files that are open, by inode: what the catalog has of those that are
// still there. An error of the catalog is none: it does not say that a file is
// gone, and nothing has changed yet.
Result<std::map<InodeNumber, InodeRecord>> Volume::Impl::OpenInodesInCatalog() {
  std::map<InodeNumber, InodeRecord> known;
  for (const auto& [ino, inode] : inodes_) {
    if (inode->opens == 0) continue;
    Result<InodeRecord> rec = catalog_->GetInode(index_, ino);
    if (!rec.ok() && rec.error().code != Errc::kNotFound) {
      return rec.status().WithContext(
          fmt::format("volume {}, open file {}", record_.id, ino));
    }
    if (rec.ok() && rec->attr.unique_id == inode->rec.attr.unique_id) {
      known.emplace(ino, std::move(*rec));
    }
  }
  return known;
}

// Reads the bitmap and brings the inodes that stayed in memory (open files) in
// line with what the medium now holds.
Status Volume::Impl::StartAllocator() {
  ASSIGN_OR_RETURN(Bytes bitmap, udf::ReadBitmap(*medium_, geometry_));
  MutexLock lock(&mu_);
  ASSIGN_OR_RETURN(auto known, OpenInodesInCatalog());
  const bool was_broken = !broken_.ok();
  broken_ = Status::Ok();
  committed_ = applied_ = record_.generation.number;
  active_ = committed_ + 1;
  allocator_ = std::make_unique<udf::Allocator>(geometry_, std::move(bitmap),
                                                active_, unit_);
  // The bitmap has no CRC of its own: the commit's count stands in for it.
  bitmap_damage_ = Status::Ok();
  if (allocator_->used_blocks() != record_.used_blocks) {
    bitmap_damage_ = Status(
        Errc::kCorruption,
        fmt::format("the space bitmap in block {} calls {} blocks used, the "
                    "last commit left {}: it is damaged",
                    udf::kBitmapBlock, allocator_->used_blocks(),
                    record_.used_blocks));
    spdlog::error("volume {}: {}", record_.id, bitmap_damage_.error().message);
  }
  ForgetRecordUnits();
  descriptor_blocks_ = 0;
  spill_ = {};
  next_spill_ = 0;
  names_.clear();
  name_changes_ = 0;
  dirty_inodes_ = 0;
  images_.clear();
  fresh_.clear();
  regions_ = RegionSet();
  written_.emplace();
  removed_.clear();
  dead_names_.clear();
  frozen_.reset();
  touched_ = false;
  moved_bytes_ = 0;
  host_room_ = 0;
  next_unique_id_ = record_.next_unique_id;
  files_ = record_.files;
  directories_ = record_.directories;
  data_cursor_ = geometry_.first_free_block;
  for (auto it = inodes_.begin(); it != inodes_.end();) {
    LiveInode& inode = *it->second;
    if (inode.opens == 0) {
      it = inodes_.erase(it);
      continue;
    }
    inode.dirty = inode.in_commit = inode.parent_moved = false;
    inode.keep_until = 0;
    inode.reserve = inode.tail = inode.relocation = {};
    inode.ahead_end = 0;
    inode.descriptor_blocks = 0;
    if (inode.unlinked) {
      // Its blocks are free on the medium; they stay its own until the last
      // close, if nobody took them while the medium was away.
      std::vector<udf::BlockRun> runs = inode.extents.Blocks();
      for (const uint32_t block : inode.rec.aed_blocks) {
        runs.push_back({block, 1});
      }
      runs.push_back({inode.ino, 1});
      std::vector<udf::BlockRun> taken;
      bool whole = !was_broken && !inode.lost;
      for (const udf::BlockRun& run : runs) {
        if (!whole) break;
        whole = allocator_->AllocateAt(run.block, run.count);
        if (whole) taken.push_back(run);
      }
      for (const udf::BlockRun& run : taken) {
        if (whole) {
          allocator_->Use(run);
          allocator_->Hold(run);
        } else {
          allocator_->Unreserve(run);
        }
      }
      if (!whole) {
        inode.lost = true;
        inode.extents = ExtentMap();
        inode.rec.aed_blocks.clear();
      }
      ++it;
      continue;
    }
    const auto rec = known.find(inode.ino);
    if (rec != known.end()) {
      inode.rec = std::move(rec->second);
      inode.extents = ExtentMap(inode.rec.extents);
      inode.inline_data.reset();
      inode.fresh = false;
      inode.dir_bytes = inode.rec.attr.size;
    } else {
      inode.lost = true;
      inode.unlinked = true;
      inode.extents = ExtentMap();
      inode.rec.aed_blocks.clear();
    }
    ++it;
  }
  return Status::Ok();
}

Status Volume::Impl::AttachBackup(Medium* medium, udf::ControlSlot slot) {
  VolumeRecord record;
  {
    MutexLock lock(&mu_);
    record = record_;
  }
  if (slot.state == udf::SlotState::kIncomplete) {
    return Status(
        Errc::kNoMedium,
        fmt::format("backup {} is incomplete: a copy of {} onto it was "
                    "broken off; copy again",
                    record.id, slot.owner_id));
  }
  ASSIGN_OR_RETURN(const udf::VolumeDescription description,
                   udf::ReadDescription(*medium));
  ASSIGN_OR_RETURN(const std::optional<Error> bad_slot,
                   CheckSlots(medium, record.id, &slot));
  const bool read_only = medium->Info().write_protected || bad_slot.has_value();
  ASSIGN_OR_RETURN(Found found,
                   Recover(medium, description.geometry, slot, read_only));
  if (found.replay.outcome == udf::ReplayOutcome::kForeign) {
    return Status(
        Errc::kCorruption,
        fmt::format("backup {}: another system wrote to its medium (the "
                    "integrity descriptor in sector {}); make a full "
                    "copy",
                    record.id, udf::kLvidSector));
  }
  Medium* const view = found.view != nullptr ? found.view.get() : medium;
  if (!read_only && !(slot.generation == found.replay.generation)) {
    // A copy was cut between its commit and its last slot write.
    slot.generation = found.replay.generation;
    if (slot.state != udf::SlotState::kFiles) {
      slot.state = udf::SlotState::kComplete;
    }
    slot.lvid_crc = found.lvid_crc;
    slot.time = Now();
    RETURN_IF_ERROR(udf::WriteControlSlot(*medium, &slot));
    RETURN_IF_ERROR(medium->Flush());
  }
  bool rescan = false;
  if (slot.state == udf::SlotState::kFiles) {
    // The copier commits as to a primary.
    RETURN_IF_ERROR(Reconcile(found.replay, &rescan));
    MutexLock lock(&mu_);
    record = record_;
  }
  if (rescan || record.tree != TreeState::kValid ||
      !(record.generation == found.replay.generation) ||
      !(record.geometry == description.geometry)) {
    record.generation = found.replay.generation;
    record.geometry = description.geometry;
    record.state = slot.state;
    record.owner_id = slot.owner_id;
    record.owner_uuid = slot.owner_uuid;
    record.threshold = slot.threshold;
    record.record_crc = 0;
    RETURN_IF_ERROR(Scan(view, record));
  }
  MutexLock lock(&mu_);
  ASSIGN_OR_RETURN(auto known, OpenInodesInCatalog());
  geometry_ = record_.geometry;
  medium_ = view;
  replayed_ = std::move(found.view);
  slot_ = std::move(slot);
  medium_read_only_ = Error{Errc::kReadOnly, "a backup"};
  committed_ = applied_ = record_.generation.number;
  active_ = committed_ + 1;
  for (auto it = inodes_.begin(); it != inodes_.end();) {
    if (it->second->opens == 0) {
      it = inodes_.erase(it);
      continue;
    }
    // The backup may hold a later generation than when the file was opened.
    LiveInode& inode = *it->second;
    const auto rec = known.find(inode.ino);
    inode.lost = rec == known.end();
    if (!inode.lost) {
      inode.rec = std::move(rec->second);
      inode.extents = ExtentMap(inode.rec.extents);
      inode.inline_data.reset();
    }
    ++it;
  }
  attached_ = true;
  return Status::Ok();
}

Status Volume::SetThreshold(uint32_t percent) {
  Impl& impl = *impl_;
  {
    MutexLock lock(&impl.mu_);
    if (impl.record_.role == udf::Role::kBackup) {
      return Status(Errc::kNotPermitted,
                    fmt::format("the threshold of backup {} is always 99 %",
                                impl.record_.id));
    }
    RETURN_IF_ERROR(impl.CheckWritableLocked());
    if (!impl.attached_) {
      return Status(Errc::kNotReady,
                    fmt::format("volume {} is not loaded", impl.record_.id));
    }
    if (percent < 1 || percent > 100) {
      return Status(Errc::kInvalidArgument,
                    fmt::format("threshold {}: 1 to 100 per cent", percent));
    }
  }
  impl.BecomeCommitter();
  // The commit that it waited for may have frozen the volume.
  Status writable;
  {
    MutexLock lock(&impl.mu_);
    writable = impl.CheckWritableLocked();
  }
  if (!writable.ok()) {
    impl.EndCommitter(Status::Ok());
    return writable;
  }
  impl.slot_.threshold = percent;
  {
    MutexLock lock(&impl.mu_);
    if (impl.slot_.state == udf::SlotState::kClean) {
      impl.slot_.generation = impl.record_.generation;
      impl.slot_.lvid_crc = impl.lvid_crc_;
    }
  }
  Status status = udf::WriteControlSlot(*impl.medium_, &impl.slot_);
  if (status.ok()) status = impl.medium_->Flush();
  impl.EndCommitter(status);
  RETURN_IF_ERROR(status);
  VolumeRecord record;
  {
    MutexLock lock(&impl.mu_);
    impl.record_.threshold = percent;
    record = impl.record_;
  }
  CatalogBatch batch;
  batch.PutVolume(record);
  return impl.catalog_->Write(batch, Sync::kYes);
}

}  // namespace vellum
