// SPDX-License-Identifier: Apache-2.0
#include "index/snapshot.h"

#include <fmt/format.h>

#include <algorithm>

#include "index/volume.h"
#include "index/volume_impl.h"
#include "media/udf/format.h"

namespace vellum {

Result<std::unique_ptr<VolumeSnapshot>> Volume::TakeSnapshot() {
  Impl& impl = *impl_;
  RETURN_IF_ERROR(Sync());
  auto state = std::make_shared<SnapshotState>();
  state->owner = &impl;
  state->db = impl.catalog_;
  state->overlay = std::make_unique<Overlay>(impl.options_.overlay_limit,
                                             impl.options_.spool_directory);
  // Between two commits and with no operation in flight, so that nothing that
  // was planned without the snapshot is still being written.
  impl.BecomeCommitter();
  Status status;
  {
    MutexLock lock(&impl.mu_);
    impl.freezing_ = true;
    while (impl.inflight_ > 0) impl.changed_.Wait(&impl.mu_);
    if (!impl.attached_) {
      status = Status(Errc::kNotReady,
                      fmt::format("volume {} is not loaded", impl.record_.id));
    } else {
      state->medium = impl.medium_;
      state->record = impl.record_;
      state->catalog = impl.catalog_->Snapshot();
      if (impl.allocator_ != nullptr) {
        state->pinned = impl.committed_;
        impl.allocator_->Pin(*state->pinned);
        state->bitmap = impl.allocator_->FrozenBitmap();
      }
      impl.snapshots_.push_back(state);
    }
    impl.freezing_ = false;
    impl.changed_.NotifyAll();
  }
  impl.EndCommitter(Status::Ok());
  RETURN_IF_ERROR(status);
  std::unique_ptr<VolumeSnapshot> snapshot(new VolumeSnapshot(state));
  if (state->bitmap.empty()) {
    // A backup or write-protected medium: nothing changes under it.
    ASSIGN_OR_RETURN(state->bitmap,
                     udf::ReadBitmap(*state->medium, state->record.geometry));
  }
  return snapshot;
}

VolumeSnapshot::VolumeSnapshot(std::shared_ptr<SnapshotState> state)
    : state_(std::move(state)) {}

VolumeSnapshot::~VolumeSnapshot() {
  Volume::Impl& impl = *state_->owner;
  MutexLock lock(&impl.mu_);
  std::erase(impl.snapshots_, state_);
  if (state_->pinned.has_value() && impl.allocator_ != nullptr) {
    impl.allocator_->Unpin(*state_->pinned);
  }
}

const VolumeRecord& VolumeSnapshot::record() const { return state_->record; }

Generation VolumeSnapshot::generation() const {
  return state_->record.generation;
}

const udf::Geometry& VolumeSnapshot::geometry() const {
  return state_->record.geometry;
}

const Bytes& VolumeSnapshot::bitmap() const { return state_->bitmap; }

std::shared_ptr<const CatalogSnapshot> VolumeSnapshot::catalog() const {
  return state_->catalog;
}

bool VolumeSnapshot::UsesSector(uint64_t sector) const {
  const udf::Geometry& g = geometry();
  if (g.InPartition(sector)) {
    return !udf::BitmapIsFree(
        state_->bitmap, static_cast<uint32_t>(sector - g.partition_first));
  }
  if (sector >= udf::kLvidSector &&
      sector < udf::kLvidSector + udf::kLvidExtentSectors) {
    return true;
  }
  for (const SectorRange& range : udf::DescriptorRanges(g)) {
    if (sector >= range.first && sector < range.end()) return true;
  }
  return false;
}

RegionSet VolumeSnapshot::UsedRegions() const {
  const udf::Geometry& g = geometry();
  RegionSet out;
  out.InsertSectors(udf::kLvidSector, udf::kLvidExtentSectors);
  for (const SectorRange& range : udf::DescriptorRanges(g)) {
    out.InsertSectors(range.first, range.count);
  }
  for (uint32_t b = 0; b < g.partition_blocks; b += kRegionSectors) {
    const uint32_t end = std::min(b + kRegionSectors, g.partition_blocks);
    for (uint32_t i = b; i < end; ++i) {
      if (!udf::BitmapIsFree(state_->bitmap, i)) {
        out.Insert(RegionOf(g.Sector(b)));
        break;
      }
    }
  }
  return out;
}

Result<RegionSet> VolumeSnapshot::ChangedSince(const Generation& since) const {
  const VolumeRecord& record = state_->record;
  if (since.lineage != record.generation.lineage || since.lineage == 0) {
    return Error{
        Errc::kOutOfRange,
        fmt::format("generation {} is not of the lineage of volume {} "
                    "({})",
                    ToString(since), record.id, ToString(record.generation))};
  }
  if (since.number > record.generation.number) {
    return Error{
        Errc::kOutOfRange,
        fmt::format("generation {} is newer than volume {} ({})",
                    ToString(since), record.id, ToString(record.generation))};
  }
  if (since.number < record.change_floor) {
    return Error{Errc::kOutOfRange,
                 fmt::format("the change map of volume {} reaches back to "
                             "generation {}, not to {}",
                             record.id, record.change_floor, since.number)};
  }
  return ChangedBetween(*state_->db, record.index, since.number,
                        record.generation.number, state_->catalog.get());
}

Status VolumeSnapshot::Read(uint64_t lba, ByteSpan out) const {
  RETURN_IF_ERROR(state_->medium->Read(lba, out));
  return state_->overlay->Patch(lba, out);
}

Status VolumeSnapshot::CheckWhole() const { return state_->overlay->Whole(); }

}  // namespace vellum
