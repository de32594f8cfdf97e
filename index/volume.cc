// SPDX-License-Identifier: Apache-2.0
// Identity, state of inodes in memory, and everything that only reads metadata.
#include "index/volume.h"

#include <fmt/format.h>

#include <algorithm>

#include "index/volume_impl.h"

namespace vellum {

Volume::Impl::Impl(Catalog* catalog, VolumeRecord record, VolumeOptions options)
    : catalog_(catalog),
      options_(std::move(options)),
      index_(record.index),
      geometry_(record.geometry),
      record_(std::move(record)) {}

Volume::Volume(Catalog* catalog, VolumeRecord record, VolumeOptions options)
    : index_(record.index),
      impl_(std::make_unique<Impl>(catalog, std::move(record),
                                   std::move(options))) {}

Volume::~Volume() = default;

std::string Volume::Impl::Name() const {
  MutexLock lock(&mu_);
  return "volume " + record_.id;
}

Status Volume::Impl::CheckWritableLocked() const {
  if (record_.role == udf::Role::kBackup && !options_.copier) {
    return Status(
        Errc::kReadOnly,
        fmt::format("volume {} is a backup: only the copier writes it",
                    record_.id));
  }
  // The next load begins afresh: who asks before it is not refused, or nobody
  // would load it.
  if (attached_ && !broken_.ok()) {
    return Status(Errc::kReadOnly,
                  fmt::format("volume {} takes no changes until it is loaded "
                              "anew: {}",
                              record_.id, broken_.error().message));
  }
  Status damage = bitmap_damage_;
  if (damage.ok() && allocator_ != nullptr) damage = allocator_->damage();
  if (!damage.ok()) {
    return Status(
        Errc::kReadOnly,
        fmt::format("volume {} takes no changes, check it with fsck: {}",
                    record_.id, damage.error().message));
  }
  if (attached_ && medium_read_only_.has_value()) return *medium_read_only_;
  return Status::Ok();
}

const LiveInode* Volume::Impl::FindLive(InodeNumber ino) const {
  const auto it = inodes_.find(ino);
  return it == inodes_.end() ? nullptr : it->second.get();
}

Result<LiveInode*> Volume::Impl::Live(InodeNumber ino) {
  const auto it = inodes_.find(ino);
  if (it != inodes_.end()) {
    if (it->second->lost) {
      return Error{Errc::kStale, fmt::format("inode {} of volume {} is gone",
                                             ino, record_.id)};
    }
    return it->second.get();
  }
  Result<InodeRecord> rec = catalog_->GetInode(index_, ino);
  if (!rec.ok()) {
    if (rec.error().code != Errc::kNotFound) return rec.error();
    return Error{Errc::kStale,
                 fmt::format("volume {} has no inode {}", record_.id, ino)};
  }
  auto live = std::make_unique<LiveInode>();
  live->ino = ino;
  live->rec = std::move(*rec);
  live->extents = ExtentMap(live->rec.extents);
  if (live->rec.attr.type == udf::FileType::kDirectory) {
    live->dir_bytes = live->rec.attr.size;
  }
  return inodes_.emplace(ino, std::move(live)).first->second.get();
}

void Volume::Impl::MaybeDrop(InodeNumber ino) {
  const auto it = inodes_.find(ino);
  if (it == inodes_.end()) return;
  LiveInode* inode = it->second.get();
  if (inode->opens > 0 || inode->users > 0 || inode->dirty ||
      inode->in_commit || inode->keep_until > applied_) {
    return;
  }
  ReleaseReserve(inode);
  if (inode->unlinked && allocator_ != nullptr && !inode->lost) {
    // The last close of an unlinked file: its blocks may be reused once the
    // generations that still have it are gone.
    for (const udf::BlockRun& run : inode->extents.Blocks()) {
      allocator_->ReleaseHeld(run);
    }
    for (const uint32_t block : inode->rec.aed_blocks) {
      allocator_->ReleaseHeld({block, 1});
    }
    allocator_->ReleaseHeld({ino, 1});
  }
  inodes_.erase(it);
}

void Volume::Impl::MarkDirty(LiveInode* inode) {
  touched_ = true;
  if (inode->dirty) return;
  inode->dirty = true;
  ++dirty_inodes_;
  NoteEntry(*inode);
  NoteExtents(inode);
}

Attr Volume::Impl::ToAttr(const LiveInode& inode) const {
  Attr out;
  out.ino = inode.ino;
  out.attr = inode.rec.attr;
  out.allocated = inode.extents.mapped_sectors() * kSectorSize;
  if (inode.rec.inline_data) out.allocated = kSectorSize;
  return out;
}

// ---------------------------------------------------------------- identity

bool Volume::attached() const {
  MutexLock lock(&impl_->mu_);
  return impl_->attached_;
}

bool Volume::dirty() const {
  MutexLock lock(&impl_->mu_);
  return impl_->DirtyLocked() || impl_->LeftBehindLocked();
}

Status Volume::CheckNothingToLose() const {
  MutexLock lock(&impl_->mu_);
  if (impl_->broken_.ok() || !impl_->attached_) return Status::Ok();
  if (!impl_->DirtyLocked() && !impl_->LeftBehindLocked()) return Status::Ok();
  return Status(Errc::kBusy,
                fmt::format("volume {} has changes since generation {} that "
                            "cannot be committed ({}) and are lost when it is "
                            "unloaded: copy them elsewhere, then end the "
                            "daemon and start it anew",
                            impl_->record_.id, impl_->committed_,
                            impl_->broken_.error().message));
}

VolumeRecord Volume::record() const {
  MutexLock lock(&impl_->mu_);
  VolumeRecord record = impl_->record_;
  if (impl_->attached_ && impl_->allocator_ != nullptr) {
    record.used_blocks = impl_->allocator_->used_blocks();
    record.files = impl_->files_;
    record.directories = impl_->directories_;
  }
  return record;
}

std::string Volume::id() const {
  MutexLock lock(&impl_->mu_);
  return impl_->record_.id;
}

InodeNumber Volume::root() const {
  MutexLock lock(&impl_->mu_);
  return impl_->record_.geometry.root_block;
}

Status Volume::CheckWritable() const {
  MutexLock lock(&impl_->mu_);
  return impl_->CheckWritableLocked();
}

Generation Volume::generation() const {
  MutexLock lock(&impl_->mu_);
  return impl_->record_.generation;
}

uint64_t Volume::tree_version() const {
  MutexLock lock(&impl_->mu_);
  return impl_->tree_version_;
}

void Volume::TellTreeChanged() {
  MutexLock lock(&impl_->mu_);
  ++impl_->tree_version_;
}

VolumeSpace Volume::Impl::SpaceLocked() const {
  VolumeSpace space;
  space.total_blocks = record_.geometry.partition_blocks;
  uint64_t used = record_.used_blocks;
  uint64_t files = record_.files;
  uint64_t directories = record_.directories;
  if (attached_ && allocator_ != nullptr) {
    used = allocator_->used_blocks();
    files = files_;
    directories = directories_;
  }
  // What AllocateData keeps for metadata is not free for data.
  uint64_t kept = MetadataReserve() + descriptor_blocks_;
  for (const SpillArea& area : spill_) kept += area.blocks;
  const uint64_t limit =
      std::min(space.total_blocks * record_.threshold / 100,
               space.total_blocks - std::min(kept, space.total_blocks));
  space.free_blocks = limit > used ? limit - used : 0;
  space.inodes = files + directories;
  return space;
}

VolumeSpace Volume::Space() const {
  MutexLock lock(&impl_->mu_);
  return impl_->SpaceLocked();
}

void Volume::SetRecord(const VolumeRecord& record) {
  MutexLock lock(&impl_->mu_);
  VELLUM_CHECK(!impl_->attached_);
  VELLUM_CHECK(record.index == index_);
  impl_->record_ = record;
  impl_->geometry_ = record.geometry;
}

// ---------------------------------------------------------------- metadata

bool Volume::Impl::IsUnknownToCatalog(InodeNumber dir) const {
  const LiveInode* live = FindLive(dir);
  return live != nullptr && live->fresh;
}

DirentRecord Volume::Impl::ToDirent(uint64_t cookie, const NameChange& change) {
  DirentRecord out;
  out.cookie = cookie;
  out.name = change.name;
  out.ino = change.ino;
  out.type = change.type;
  return out;
}

std::optional<DirentRecord> Volume::Impl::FindChange(InodeNumber dir,
                                                     std::string_view name,
                                                     bool* known) const {
  const uint64_t hash = NameHash(name);
  const DirChanges* const frozen =
      frozen_ != nullptr ? &frozen_->names : nullptr;
  *known = true;
  for (const DirChanges* layer : {&names_, frozen}) {
    if (layer == nullptr) continue;
    const auto it = layer->find(dir);
    if (it == layer->end()) continue;
    auto at = it->second.lower_bound(MakeCookie(hash, 0));
    const auto end = it->second.lower_bound(MakeCookie(hash + 1, 0));
    for (; at != end; ++at) {
      const auto& [cookie, change] = *at;
      if (change.name != name) continue;
      if (!change.present) return std::nullopt;
      return ToDirent(cookie, change);
    }
  }
  *known = IsUnknownToCatalog(dir);
  return std::nullopt;
}

Result<std::optional<DirentRecord>> Volume::Impl::FindName(
    InodeNumber dir, std::string_view name) const {
  bool known = false;
  std::optional<DirentRecord> change = FindChange(dir, name, &known);
  if (known) return change;
  Result<DirentRecord> found = catalog_->FindDirent(index_, dir, name);
  if (found.ok()) return std::optional<DirentRecord>(std::move(*found));
  if (found.error().code == Errc::kNotFound) {
    return std::optional<DirentRecord>();
  }
  return found.error();
}

Result<Attr> Volume::Lookup(InodeNumber dir, std::string_view name) const {
  if (name.size() > 255) {
    return Error{Errc::kNameTooLong,
                 fmt::format("a name of {} bytes", name.size())};
  }
  std::optional<DirentRecord> entry;
  {
    MutexLock lock(&impl_->mu_);
    bool known = false;
    entry = impl_->FindChange(dir, name, &known);
    if (known && !entry.has_value()) {
      return Error{Errc::kNotFound, fmt::format("no '{}'", name)};
    }
  }
  if (!entry.has_value()) {
    // Not changed since the last applied commit: the catalog is right, and what
    // is applied meanwhile is only newer.
    ASSIGN_OR_RETURN(entry,
                     impl_->catalog_->FindDirent(impl_->index_, dir, name));
  }
  Result<Attr> attr = GetAttr(entry->ino);
  if (!attr.ok() && attr.error().code == Errc::kStale) {
    return Error{Errc::kNotFound, fmt::format("no '{}'", name)};
  }
  return attr;
}

uint64_t Volume::DataAddress(InodeNumber ino, uint64_t offset) const {
  const uint64_t sector = offset / kSectorSize;
  {
    MutexLock lock(&impl_->mu_);
    const LiveInode* live = impl_->FindLive(ino);
    if (live != nullptr) {
      if (live->rec.inline_data) return ino;
      const uint64_t size = live->rec.attr.size;
      const uint64_t end = (size + kSectorSize - 1) / kSectorSize;
      if (sector >= end) return 0;
      for (const Segment& s : live->extents.Segments(sector, end - sector)) {
        if (s.mapped && !s.unwritten) return s.block;
      }
      return 0;
    }
  }
  const Result<InodeRecord> rec = impl_->catalog_->GetInode(index_, ino);
  if (!rec.ok()) return 0;
  if (rec->inline_data) return ino;
  for (const udf::Extent& e : rec->extents) {
    if (e.unwritten || e.file_sector + e.count <= sector) continue;
    return e.block + (sector > e.file_sector ? sector - e.file_sector : 0);
  }
  return 0;
}

Result<Attr> Volume::GetAttr(InodeNumber ino) const {
  {
    MutexLock lock(&impl_->mu_);
    const LiveInode* live = impl_->FindLive(ino);
    if (live != nullptr) {
      if (live->lost || (live->unlinked && live->opens == 0)) {
        return Error{Errc::kStale, fmt::format("inode {} is gone", ino)};
      }
      return impl_->ToAttr(*live);
    }
  }
  Result<InodeRecord> rec = impl_->catalog_->GetInode(index_, ino);
  if (!rec.ok()) {
    if (rec.error().code == Errc::kNotFound) {
      return Error{Errc::kStale, fmt::format("no inode {}", ino)};
    }
    return rec.error();
  }
  Attr out;
  out.ino = ino;
  uint64_t sectors = rec->inline_data ? 1 : 0;
  for (const udf::Extent& e : rec->extents) sectors += e.count;
  out.allocated = sectors * kSectorSize;
  out.attr = std::move(rec->attr);
  return out;
}

Status Volume::ReadDir(InodeNumber dir, uint64_t after,
                       const std::function<bool(const DirItem&)>& visit) const {
  // The catalog's entries with the two layers of changes laid over them, a page
  // of changes at a time. The changes are taken first: what is applied
  // meanwhile is in both. A listing of the mount wants a few dozen names at a
  // time, others want all.
  constexpr size_t kFirstPage = 64;
  constexpr size_t kLastPage = 1024;
  size_t page = kFirstPage;
  bool go_on = true;
  for (uint64_t from = after; go_on; page = std::min(2 * page, kLastPage)) {
    NameChanges changes;
    uint64_t limit = UINT64_MAX;  // cookies up to here are complete
    {
      MutexLock lock(&impl_->mu_);
      auto take = [&](const DirChanges& layer) {
        const auto it = layer.find(dir);
        if (it == layer.end()) return;
        size_t taken = 0;
        for (auto at = it->second.upper_bound(from); at != it->second.end();
             ++at) {
          if (taken++ == page) {
            limit = std::min(limit, std::prev(at)->first);
            return;
          }
          changes[at->first] = at->second;
        }
      };
      if (impl_->frozen_ != nullptr) take(impl_->frozen_->names);
      take(impl_->names_);
    }
    auto next_change = changes.begin();
    auto emit_changes_upto = [&](uint64_t cookie) {
      for (; go_on && next_change != changes.end() &&
             next_change->first <= cookie;
           ++next_change) {
        const NameChange& change = next_change->second;
        if (!change.present) continue;
        go_on =
            visit({change.name, change.ino, change.type, next_change->first});
      }
    };
    RETURN_IF_ERROR(impl_->catalog_->ForEachDirent(
        index_, dir, from, [&](DirentRecord&& entry) {
          if (entry.cookie > limit) return false;
          if (changes.count(entry.cookie) != 0) return true;  // laid over
          emit_changes_upto(entry.cookie);
          if (go_on) {
            go_on = visit({entry.name, entry.ino, entry.type, entry.cookie});
          }
          return go_on;
        }));
    emit_changes_upto(limit);
    if (limit == UINT64_MAX) break;
    from = limit;
  }
  return Status::Ok();
}

Result<InodeNumber> Volume::ParentOf(InodeNumber dir) const {
  {
    MutexLock lock(&impl_->mu_);
    const LiveInode* live = impl_->FindLive(dir);
    if (live != nullptr) return live->rec.parent;
  }
  ASSIGN_OR_RETURN(const InodeRecord rec,
                   impl_->catalog_->GetInode(index_, dir));
  return rec.parent;
}

Result<std::string> Volume::ReadLink(InodeNumber ino) const {
  {
    MutexLock lock(&impl_->mu_);
    const LiveInode* live = impl_->FindLive(ino);
    if (live != nullptr) {
      if (live->rec.attr.type != udf::FileType::kSymlink) {
        return Error{Errc::kInvalidArgument, "not a symbolic link"};
      }
      return live->rec.symlink_target;
    }
  }
  ASSIGN_OR_RETURN(InodeRecord rec, impl_->catalog_->GetInode(index_, ino));
  if (rec.attr.type != udf::FileType::kSymlink) {
    return Error{Errc::kInvalidArgument, "not a symbolic link"};
  }
  return std::move(rec.symlink_target);
}

Result<std::string> Volume::GetXattr(InodeNumber ino,
                                     const std::string& name) const {
  ASSIGN_OR_RETURN(Attr attr, GetAttr(ino));
  const auto it = attr.attr.xattrs.find(name);
  if (it == attr.attr.xattrs.end()) {
    return Error{Errc::kNoAttribute, fmt::format("no attribute '{}'", name)};
  }
  return it->second;
}

Result<std::vector<std::string>> Volume::ListXattr(InodeNumber ino) const {
  ASSIGN_OR_RETURN(Attr attr, GetAttr(ino));
  std::vector<std::string> names;
  for (const auto& [name, value] : attr.attr.xattrs) names.push_back(name);
  return names;
}

// -------------------------------------------------------------- open files

Status Volume::Open(InodeNumber ino) {
  MutexLock lock(&impl_->mu_);
  ASSIGN_OR_RETURN(LiveInode * inode, impl_->Live(ino));
  if (inode->unlinked && inode->opens == 0) {
    return Status(Errc::kStale, fmt::format("inode {} is gone", ino));
  }
  ++inode->opens;
  return Status::Ok();
}

size_t Volume::open_files() const {
  MutexLock lock(&impl_->mu_);
  size_t open = 0;
  for (const auto& entry : impl_->inodes_) {
    if (entry.second->opens > 0) ++open;
  }
  return open;
}

void Volume::Close(InodeNumber ino) {
  MutexLock lock(&impl_->mu_);
  const auto it = impl_->inodes_.find(ino);
  VELLUM_CHECK(it != impl_->inodes_.end() && it->second->opens > 0);
  if (--it->second->opens > 0) return;
  impl_->ReleaseReserve(it->second.get());
  impl_->MaybeDrop(ino);
}

// ------------------------------------------------------ operations in flight

Status Volume::Impl::BeginOp() {
  MutexLock lock(&mu_);
  do {
    while (freezing_) changed_.Wait(&mu_);
    RETURN_IF_ERROR(CheckWritableLocked());
    if (!attached_) {
      return Status(Errc::kNotReady,
                    fmt::format("volume {} is not loaded", record_.id));
    }
    RETURN_IF_ERROR(ReserveForOperation());
  } while (freezing_);
  ++inflight_;
  return Status::Ok();
}

void Volume::Impl::EndOp(bool begun, uint64_t pledged) {
  MutexLock lock(&mu_);
  host_landed_ += pledged;
  if (!begun) return;
  VELLUM_CHECK(inflight_ > 0);
  if (options_.break_reuse) allocator_->ReclaimAgainstTheRules();
  if (--inflight_ == 0) changed_.NotifyAll();
}

Status Volume::Impl::Throttle() {
  uint64_t target = 0;
  {
    MutexLock lock(&mu_);
    // Bounds of what one record has room for and of memory.
    const size_t ring_room = geometry_.ring_sectors / 4;
    const bool full = images_.size() > ring_room ||
                      dirty_inodes_ > std::max<size_t>(ring_room, 16384) ||
                      name_changes_ > 65536 || RecordIsFull();
    if (!full) return Status::Ok();
    target = active_;
  }
  return CommitUpTo(target, false);
}

Status Volume::Impl::Run(const std::function<Status()>& operation,
                         uint64_t bytes, HostUse use) {
  // So much is worth a commit to make the next one small.
  constexpr uint64_t kMuchWaits = 4ull << 20;
  RETURN_IF_ERROR(Throttle());
  for (int attempt = 0;; ++attempt) {
    const Result<uint64_t> pledged = PledgeHost(bytes, use);
    if (!pledged.ok()) {
      uint64_t waiting = 0;
      {
        MutexLock lock(&mu_);
        if (attempt > 0 || CommitBytes() < kMuchWaits) return pledged.status();
        waiting = active_;
      }
      RETURN_IF_ERROR(CommitUpTo(waiting, false));
      continue;
    }
    Status status;
    {
      OpGuard op(this, *pledged);
      status = op.Begin();
      if (status.ok()) status = operation();
    }
    if (!status.Is(Errc::kNoSpace) || attempt == 2) return status;
    // Blocks that were freed become reusable two commits later; the next record
    // is empty.
    uint64_t target = 0;
    {
      MutexLock lock(&mu_);
      if (allocator_ == nullptr ||
          (allocator_->deferred_blocks() == 0 && record_units_.empty())) {
        return status;
      }
      touched_ = true;  // a generation of its own, if nothing else changed
      target = active_;
    }
    RETURN_IF_ERROR(CommitUpTo(target, false));
  }
}

}  // namespace vellum
