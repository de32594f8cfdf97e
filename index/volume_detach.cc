// SPDX-License-Identifier: Apache-2.0
// A volume leaves its medium: what changed is committed, or lost. Meanwhile
// nothing else uses the medium (Volumes sees to it).
#include <fmt/format.h>

#include "index/volume.h"
#include "index/volume_impl.h"
#include "media/udf/control.h"

namespace vellum {

Status Volume::Detach() {
  Impl& impl = *impl_;
  Status status;
  uint64_t target = 0;
  bool close = false;
  {
    MutexLock lock(&impl.mu_);
    if (!impl.attached_) return Status::Ok();
    VELLUM_CHECK(impl.snapshots_.empty());
    close = impl.journal_ != nullptr && impl.broken_.ok() &&
            (impl.DirtyLocked() || impl.slot_.state == impl.OpenState());
    if (!impl.broken_.ok()) {
      status = Status(impl.BrokenCodeLocked(),
                      fmt::format("volume {}: {}", impl.record_.id,
                                  impl.broken_.error().message));
    }
    target = impl.active_;
  }
  if (close) {
    status = impl.CommitUpTo(target, true);
    if (!status.ok()) {
      // Also when it was refused: the changes go with the medium.
      MutexLock lock(&impl.mu_);
      if (impl.broken_.ok()) impl.broken_ = status;
    }
    if (status.ok()) {
      impl.BecomeCommitter();
      status = impl.medium_->Flush();
      if (status.ok()) {
        impl.slot_.state = impl.ClosedState();
        {
          MutexLock lock(&impl.mu_);
          impl.slot_.generation = impl.record_.generation;
          impl.record_.state = impl.ClosedState();
        }
        impl.slot_.lvid_crc = impl.lvid_crc_;
        impl.slot_.ring_head = impl.journal_->next_sector();
        impl.slot_.time = Now();
        status = udf::WriteControlSlot(*impl.medium_, &impl.slot_);
      }
      if (status.ok()) status = impl.medium_->Flush();
      impl.EndCommitter(status);
      if (status.ok()) {
        CatalogBatch batch;
        batch.PutVolume(record());
        // With the closing generation, whose record may not survive the next
        // load (see Reconcile).
        status = impl.catalog_->Write(batch, Sync::kYes);
      }
    }
  }
  MutexLock lock(&impl.mu_);
  VELLUM_CHECK(impl.inflight_ == 0);
  impl.allocator_.reset();
  impl.bitmap_damage_ = Status::Ok();
  impl.journal_.reset();
  impl.medium_ = nullptr;
  impl.replayed_.reset();
  impl.medium_read_only_.reset();
  impl.attached_ = false;
  impl.dir_images_.clear();
  impl.dir_images_order_.clear();
  impl.base_offsets_.clear();
  const bool loses =
      !impl.broken_.ok() && (impl.DirtyLocked() || impl.LeftBehindLocked());
  uint64_t lost = impl.removed_.size();
  for (auto it = impl.inodes_.begin(); it != impl.inodes_.end();) {
    LiveInode& inode = *it->second;
    if (inode.dirty || inode.in_commit) ++lost;
    it = inode.opens == 0 ? impl.inodes_.erase(it) : std::next(it);
  }
  if (impl.broken_.ok()) return status;
  if (loses) {
    ++impl.losses_;
    status = Status(
        impl.broken_.error().code,
        fmt::format("medium {} has nothing newer than generation {} for "
                    "certain, {} {} changed after it: {}",
                    impl.record_.medium, impl.committed_, lost,
                    lost == 1 ? "file or directory" : "files and directories",
                    impl.broken_.error().message));
  }
  // What did not commit is gone: the catalog shows the last commit.
  ++impl.tree_version_;
  impl.names_.clear();
  impl.name_changes_ = 0;
  impl.dirty_inodes_ = 0;
  impl.touched_ = false;
  impl.moved_bytes_ = 0;
  impl.frozen_.reset();
  impl.images_.clear();
  impl.fresh_.clear();
  impl.ForgetRecordUnits();
  impl.removed_.clear();
  impl.dead_names_.clear();
  return status;
}

}  // namespace vellum
