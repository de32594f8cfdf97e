// SPDX-License-Identifier: Apache-2.0
// The commit of a generation, in the order of media/udf/FORMAT.md section 3:
//   S1 new sectors, written directly   P  pending batch (synced)   F1 flush
//   S3 redo record                     F2 flush = the commit
//   apply the batch                    S4 overwrite in place
// S4 is durable by the next flush; the blocks that this generation freed are
// reusable from then on. A small generation goes without P and F1: its record
// has what they would have made durable (volume_small.cc).
#include <fmt/format.h>
#include <spdlog/spdlog.h>

#include <algorithm>
#include <future>

#include "index/volume.h"
#include "index/volume_impl.h"

namespace vellum {

bool Volume::Impl::DirtyLocked() const {
  return touched_ || dirty_inodes_ > 0 || name_changes_ > 0 ||
         !images_.empty() || !removed_.empty();
}

bool Volume::Impl::LeftBehindLocked() const {
  return !broken_.ok() && frozen_ != nullptr && frozen_->number > committed_;
}

Errc Volume::Impl::BrokenCodeLocked() const {
  return broken_.Is(Errc::kCorruption) ? Errc::kCorruption : Errc::kDeviceError;
}

Status Volume::Impl::Step(CommitStep step) {
  if (!options_.on_commit_step) return Status::Ok();
  return options_.on_commit_step(step);
}

Status Volume::Impl::PreserveForSnapshots(const udf::SectorImages& images) {
  std::vector<std::shared_ptr<SnapshotState>> snapshots;
  {
    MutexLock lock(&mu_);
    snapshots = snapshots_;
  }
  if (snapshots.empty()) return Status::Ok();
  udf::Sector old;
  for (const auto& [sector, image] : images) {
    const bool needed =
        std::any_of(snapshots.begin(), snapshots.end(),
                    [s = sector](const std::shared_ptr<SnapshotState>& state) {
                      return !state->overlay->Has(s);
                    });
    if (!needed) continue;
    // A snapshot that is not whole says so itself when it is read; the
    // application that writes must not suffer from it.
    const Status read = medium_->Read(sector, old);
    for (const std::shared_ptr<SnapshotState>& state : snapshots) {
      if (!read.ok()) {
        if (!state->overlay->Has(sector)) state->overlay->Fail(read);
        continue;
      }
      state->overlay->Put(sector, old).IgnoreError("kept by the overlay");
    }
  }
  return Status::Ok();
}

void Volume::Impl::BecomeCommitter() {
  MutexLock lock(&mu_);
  while (committing_) changed_.Wait(&mu_);
  committing_ = true;
}

void Volume::Impl::EndCommitter(const Status& status) {
  MutexLock lock(&mu_);
  committing_ = false;
  commit_bytes_ = 0;
  if (!status.ok() && broken_.ok()) {
    broken_ = status;
    spdlog::error("volume {} is read-only until it is loaded anew: {}",
                  record_.id, status.error().message);
  }
  changed_.NotifyAll();
}

Status Volume::Impl::CommitUpTo(uint64_t target, bool closing,
                                const std::function<void()>& committed) {
  std::optional<HostFigures> figures;
  for (;;) {
    {
      MutexLock lock(&mu_);
      for (;;) {
        if (committed_ >= target) return Status::Ok();
        if (!broken_.ok()) {
          return Status(BrokenCodeLocked(),
                        fmt::format("volume {}: {}", record_.id,
                                    broken_.error().message));
        }
        if (!attached_ || journal_ == nullptr) {
          return Status(Errc::kNotReady,
                        fmt::format("volume {} is not loaded", record_.id));
        }
        if (!committing_) break;
        figures.reset();  // old when that commit is done
        changed_.Wait(&mu_);
      }
      if (figures) {
        // Nothing is frozen yet: what waits goes on waiting for room.
        RETURN_IF_ERROR(CheckHost(*figures, 0, HostUse::kCommit));
        commit_bytes_ = CommitBytes();
        committing_ = true;
      }
    }
    if (!figures) {
      figures = AskHost();
      continue;
    }
    figures.reset();
    bool begun = false;
    const Status status = RunCommit(closing, committed, &begun);
    // What found no room goes on waiting; nothing of it is lost.
    EndCommitter(begun ? status : Status::Ok());
    RETURN_IF_ERROR(status);
  }
}

Status Volume::Impl::RunCommit(bool closing,
                               const std::function<void()>& committed,
                               bool* begun) {
  std::shared_ptr<Frozen> frozen;
  for (;;) {
    *begun = true;
    RETURN_IF_ERROR(Prefetch());
    MutexLock lock(&mu_);
    freezing_ = true;
    while (inflight_ > 0) changed_.Wait(&mu_);
    if (!PrefetchDone()) {
      freezing_ = false;
      changed_.NotifyAll();
      continue;
    }
    Status status = PrepareFreeze();
    *begun = status.ok();
    if (status.ok()) status = Freeze(closing);
    frozen = frozen_;
    freezing_ = false;
    changed_.NotifyAll();
    RETURN_IF_ERROR(status);
    break;
  }
  const Status status = Commit(frozen, committed);
  if (!status.ok()) return status;
  FinishCommit(*frozen);
  TrimImageCache();
  return Status::Ok();
}

Status Volume::Impl::Commit(const std::shared_ptr<Frozen>& frozen,
                            const std::function<void()>& committed) {
  RETURN_IF_ERROR(Step(CommitStep::kFrozen));
  udf::SectorImages direct;
  udf::Record record;
  RETURN_IF_ERROR(BuildSectors(*frozen, &direct, &record.images));
  record.fresh = frozen->fresh;
  for (const FrozenDirectory& dir : frozen->directories) {
    if (!dir.longer) continue;
    for (const uint32_t i : dir.in_place) {
      record.fresh.insert(Sector(dir.block + i));
    }
  }
  // What of the record says something new.
  udf::SectorImages without_fill;
  if (unit_ > 1) {
    without_fill = std::move(record.images);
    RETURN_IF_ERROR(MergeUnits(&direct, &without_fill, &record));
  }
  const udf::SectorImages& changed = unit_ > 1 ? without_fill : record.images;

  VolumeRecord next;
  {
    MutexLock lock(&mu_);
    next = record_;
  }
  // S1. The first commit of a load also says that the volume is in use, before
  // any record of it.
  const bool first = slot_.state != OpenState();
  if (first) {
    slot_.state = OpenState();
    slot_.generation = next.generation;
    slot_.lvid_crc = lvid_crc_;
    slot_.time = Now();
    RETURN_IF_ERROR(udf::WriteControlSlot(*medium_, &slot_));
  }
  RETURN_IF_ERROR(udf::WriteInPlace(*medium_, direct));
  RETURN_IF_ERROR(Step(CommitStep::kDataWritten));

  record.header.format_uuid = next.format_uuid;
  record.header.epoch = slot_.epoch;
  record.header.generation = {next.generation.lineage, frozen->number};
  record.header.role = slot_.role;
  record.header.owner_id = slot_.owner_id;
  record.header.lvid_before = lvid_crc_;
  record.header.lvid_after = udf::Crc32c(*record.images.at(udf::kLvidSector));
  std::optional<udf::Record> whole;
  if (!first) whole = CarryAll(*frozen, direct, record);
  udf::Record* const written = whole.has_value() ? &*whole : &record;

  next.generation.number = frozen->number;
  next.record_crc = udf::RecordCrc(*written);
  next.tree = TreeState::kValid;
  next.state = OpenState();
  next.used_blocks = frozen->used_blocks;
  next.files = frozen->files;
  next.directories = frozen->directories_count;
  next.next_unique_id = frozen->next_unique_id;
  CatalogBatch batch;
  RETURN_IF_ERROR(BuildBatch(*frozen, direct, changed, next, &batch));
  direct.clear();

  const bool one_flush = whole.has_value() && CarryBatch(batch, next, written);
  if (one_flush) {
    RETURN_IF_ERROR(Step(CommitStep::kPendingStored));
    RETURN_IF_ERROR(Step(CommitStep::kDataFlushed));
  } else {
    RETURN_IF_ERROR(StoreAndFlush(batch, next));
  }

  RETURN_IF_ERROR(journal_->Write(written, frozen->spill));
  RETURN_IF_ERROR(Step(CommitStep::kRecordWritten));
  const Status flushed = medium_->Flush();
  if (!flushed.ok()) return flushed.WithContext("flush of the record");
  RETURN_IF_ERROR(Step(CommitStep::kRecordFlushed));
  if (one_flush) {
    MutexLock lock(&mu_);
    allocator_->Durable(frozen->number - 1);
  }

  // The generation is committed: whoever waits for it may go on once the
  // catalog shows it too.
  RETURN_IF_ERROR(
      catalog_->ApplyPending(index_, &batch).WithContext("catalog"));
  {
    MutexLock lock(&mu_);
    record_.generation = next.generation;
    record_.record_crc = next.record_crc;
    record_.tree = next.tree;
    record_.state = next.state;
    record_.used_blocks = next.used_blocks;
    record_.files = next.files;
    record_.directories = next.directories;
    record_.next_unique_id = next.next_unique_id;
    committed_ = frozen->number;
    applied_ = frozen->number;
    changed_.NotifyAll();
  }
  if (committed) committed();
  RETURN_IF_ERROR(Step(CommitStep::kApplied));

  // S4.
  RETURN_IF_ERROR(PreserveForSnapshots(changed));
  RETURN_IF_ERROR(udf::WriteInPlace(*medium_, record.images, record.fresh));
  NotePlaced(std::move(record));
  return Step(CommitStep::kInPlaceWritten);
}

Status Volume::Impl::StoreAndFlush(const CatalogBatch& batch,
                                   const VolumeRecord& next) {
  if (catalog_identity_.empty()) {
    ASSIGN_OR_RETURN(catalog_identity_, catalog_->Identity());
  }
  PendingBatch pending;
  pending.generation = next.generation;
  pending.record_crc = next.record_crc;
  pending.batch = batch.Serialize();
  // P and F1 need each other's company only: both before S3.
  std::future<Status> stored =
      std::async(std::launch::async, [this, &pending]() -> Status {
        return catalog_->PutPending(index_, pending);
      });
  const Status flushed = medium_->Flush();
  const Status put = stored.get();
  if (!put.ok()) return put.WithContext("catalog, pending batch");
  RETURN_IF_ERROR(Step(CommitStep::kPendingStored));
  if (!flushed.ok()) return flushed.WithContext("flush before the record");
  RETURN_IF_ERROR(Step(CommitStep::kDataFlushed));
  RETURN_IF_ERROR(NoteStored(pending));
  MutexLock lock(&mu_);
  allocator_->Durable(next.generation.number - 1);
  return Status::Ok();
}

void Volume::Impl::FinishCommit(const Frozen& frozen) {
  MutexLock lock(&mu_);
  TrimSpill(!frozen.spill.empty());
  for (const FrozenInode& inode : frozen.inodes) {
    const auto it = inodes_.find(inode.ino);
    if (it != inodes_.end()) it->second->in_commit = false;
  }
  frozen_.reset();
  std::vector<InodeNumber> all;
  all.reserve(inodes_.size());
  for (const auto& [ino, inode] : inodes_) all.push_back(ino);
  for (const InodeNumber ino : all) MaybeDrop(ino);
  changed_.NotifyAll();
}

Status Volume::Sync(const std::function<void()>& committed) {
  return impl_->Sync(committed);
}

Status Volume::Impl::Sync(const std::function<void()>& committed) {
  uint64_t target = 0;
  {
    MutexLock lock(&mu_);
    if (journal_ == nullptr && broken_.ok()) {
      return Status::Ok();  // a backup or a write-protected medium
    }
    // Whoever asks must hear of it, however often.
    if (LeftBehindLocked()) {
      return Status(
          BrokenCodeLocked(),
          fmt::format("volume {}: generation {} could not be "
                      "committed: {}",
                      record_.id, frozen_->number, broken_.error().message));
    }
    target = DirtyLocked() ? active_ : active_ - 1;
  }
  return CommitUpTo(target, false, committed);
}

uint64_t Volume::losses() const {
  MutexLock lock(&impl_->mu_);
  return impl_->losses_;
}

Status Volume::Fsync(InodeNumber ino, std::atomic<uint64_t>* losses_seen,
                     const std::function<void()>& committed) {
  {
    MutexLock lock(&impl_->mu_);
    if (losses_seen != nullptr &&
        losses_seen->exchange(impl_->losses_) != impl_->losses_) {
      return Status(Errc::kDeviceError,
                    fmt::format("volume {}: changes were lost since the file "
                                "was opened",
                                impl_->record_.id));
    }
    const auto live = impl_->inodes_.find(ino);
    LiveInode* const inode =
        live == impl_->inodes_.end() ? nullptr : live->second.get();
    if (!impl_->attached_) return Status::Ok();
    const bool names = impl_->names_.count(ino) != 0;
    const bool waits = inode != nullptr && (inode->dirty || inode->in_commit);
    if (!waits && !names && impl_->broken_.ok()) return Status::Ok();
    if (inode != nullptr) inode->synced = true;
  }
  return impl_->Sync(committed);
}

}  // namespace vellum
