// SPDX-License-Identifier: Apache-2.0
// Changes of the namespace. All of it happens in memory, in the active
// generation, under mu_.
#include <fmt/format.h>

#include <algorithm>

#include "index/volume.h"
#include "index/volume_impl.h"

namespace vellum {
namespace {

// Blocks that only the clean-up of names may use.
constexpr uint64_t kNameReserve = 16;

}  // namespace

Status CheckName(std::string_view name) {
  if (name.empty() || name == "." || name == ".." ||
      name.find('/') != std::string_view::npos ||
      name.find('\0') != std::string_view::npos) {
    return Status(Errc::kInvalidArgument,
                  fmt::format("'{}' is no file name", name));
  }
  if (name.size() > 255) {
    return Status(Errc::kNameTooLong,
                  fmt::format("a name of {} bytes; 255 fit", name.size()));
  }
  return Status::Ok();
}

Result<LiveInode*> Volume::Impl::LiveDirectory(InodeNumber dir) {
  ASSIGN_OR_RETURN(LiveInode * inode, Live(dir));
  if (!IsDir(*inode)) {
    return Error{
        Errc::kNotDirectory,
        fmt::format("inode {} of volume {} is no directory", dir, record_.id)};
  }
  if (inode->unlinked) {
    return Error{Errc::kNotFound, "the directory was removed"};
  }
  return inode;
}

Result<Volume::Impl::NamePlace> Volume::Impl::FindPlace(
    InodeNumber dir, std::string_view name) const {
  const uint64_t hash = NameHash(name);
  std::set<uint64_t> taken;
  NamePlace place;
  const DirChanges* const frozen =
      frozen_ != nullptr ? &frozen_->names : nullptr;
  for (const DirChanges* layer : {&names_, frozen}) {
    if (layer == nullptr) continue;
    const auto it = layer->find(dir);
    if (it == layer->end()) continue;
    for (auto at = it->second.lower_bound(MakeCookie(hash, 0));
         at != it->second.end() && at->first < MakeCookie(hash + 1, 0); ++at) {
      const auto& [cookie, change] = *at;
      if (change.name == name) {
        place.cookie = cookie;
        if (change.present) place.entry = ToDirent(cookie, change);
        return place;
      }
      taken.insert(cookie);
    }
  }
  if (!IsUnknownToCatalog(dir)) {
    ASSIGN_OR_RETURN(std::vector<DirentRecord> stored,
                     catalog_->FindDirents(index_, dir, hash));
    for (DirentRecord& entry : stored) {
      if (entry.name == name) {
        place.cookie = entry.cookie;
        place.entry = std::move(entry);
        return place;
      }
      taken.insert(entry.cookie);
    }
  }
  place.is_new = true;
  for (uint32_t ordinal = 0; ordinal < 128; ++ordinal) {
    place.cookie = MakeCookie(hash, ordinal);
    if (taken.count(place.cookie) == 0) return place;
  }
  return Error{
      Errc::kInternal,
      fmt::format("128 names of one directory share the hash of '{}'", name)};
}

Status Volume::Impl::EnsureDirSpace(LiveInode* dir, std::string_view name) {
  udf::Fid fid;
  fid.name = std::string(name);
  ASSIGN_OR_RETURN(const size_t length, udf::FidLength(fid));
  const uint64_t bytes = dir->dir_bytes + length;
  const uint32_t need = BlocksFor(bytes);
  udf::BlockRun current;
  if (!dir->extents.empty()) current = dir->extents.Blocks().front();
  const uint32_t here =
      current.count == 0 ? 0 : current.count + dir->tail.count;
  const uint32_t room = std::max(here, dir->relocation.count);
  if (need > room) {
    const uint32_t grow =
        need - here + std::clamp<uint32_t>(current.count, 1, 4096);
    const uint32_t end = current.block + here;
    bool grown = false;
    if (current.count != 0 && dir->relocation.count == 0) {
      for (const uint32_t n : {grow, need - here}) {
        if (Spare(n) && allocator_->AllocateAt(end, n)) {
          if (dir->tail.count == 0) dir->tail.block = end;
          dir->tail.count += n;
          grown = true;
          break;
        }
      }
    }
    if (!grown) {
      const uint32_t want = need + std::min<uint32_t>(need, 8192);
      std::optional<udf::BlockRun> run;
      if (Spare(want)) run = allocator_->Allocate(want, need, data_cursor_);
      if (!run.has_value() && Spare(need)) {
        run = allocator_->Allocate(need, need, data_cursor_);
      }
      if (!run.has_value()) {
        return Status(
            Errc::kNoSpace,
            fmt::format("volume {}: a directory of {} entry blocks "
                        "finds no single free run; the largest has "
                        "{} blocks",
                        record_.id, need, allocator_->LargestFreeRun()));
      }
      if (dir->relocation.count != 0) allocator_->Unreserve(dir->relocation);
      dir->relocation = *run;
      moved_bytes_ += uint64_t{run->count} * kSectorSize;
    }
  }
  dir->dir_bytes = bytes;
  return Status::Ok();
}

void Volume::Impl::PutName(LiveInode* dir, std::string_view name,
                           const NamePlace& place, const LiveInode& child) {
  NameChange& change = names_[dir->ino][place.cookie];
  if (change.name.empty()) {
    ++name_changes_;
    change.is_new = place.is_new;
  }
  change.name = std::string(name);
  change.present = true;
  change.ino = child.ino;
  change.unique_id = child.rec.attr.unique_id;
  change.type = child.rec.attr.type;
  const TimeSpec now = Now();
  dir->rec.attr.mtime = now;
  dir->rec.attr.ctime = now;
  MarkDirty(dir);
  NoteNames(*dir);
  if (!IsDir(child)) ++files_;
}

void Volume::Impl::RemoveName(LiveInode* dir, std::string_view name,
                              uint64_t cookie) {
  NameChange& change = names_[dir->ino][cookie];
  if (change.name.empty()) ++name_changes_;
  change.name = std::string(name);
  change.present = false;
  const TimeSpec now = Now();
  dir->rec.attr.mtime = now;
  dir->rec.attr.ctime = now;
  MarkDirty(dir);
  NoteNames(*dir, /*removal=*/true);
}

void Volume::Impl::FreeInode(LiveInode* inode) {
  inode->unlinked = true;
  ReleaseReserve(inode);
  const bool keep = inode->opens > 0;
  auto release = [&](udf::BlockRun run) REQUIRES(mu_) {
    if (keep) {
      allocator_->Hold(run);
    } else {
      allocator_->Free(run);
    }
  };
  for (const udf::BlockRun& run : inode->extents.Blocks()) release(run);
  for (const uint32_t block : inode->rec.aed_blocks) release({block, 1});
  release({inode->ino, 1});
  if (IsDir(*inode)) {
    for (udf::BlockRun* run : {&inode->tail, &inode->relocation}) {
      if (run->count != 0) allocator_->Unreserve(*run);
      *run = {};
    }
    const auto it = names_.find(inode->ino);
    if (it != names_.end()) {
      for (const auto& [cookie, change] : it->second) {
        dead_names_.emplace_back(inode->ino, cookie);
      }
      name_changes_ -= it->second.size();
      names_.erase(it);
    }
    --directories_;
  }
  if (!inode->fresh) removed_.push_back(inode->ino);
  if (inode->dirty) {
    inode->dirty = false;
    --dirty_inodes_;
    NoteExtents(inode);
  }
  touched_ = true;
  // The entry stays until the commit that removes the inode from the catalog is
  // applied, so that nobody finds it there meanwhile.
  inode->keep_until = inode->fresh ? 0 : active_;
  if (!keep) {
    for (const udf::BlockRun& run : inode->extents.Blocks()) {
      ForgetWritten(run);
    }
    // Nothing to give back on the last close: forget what was freed here.
    inode->extents = ExtentMap();
    inode->rec.aed_blocks.clear();
    inode->lost = true;
    MaybeDrop(inode->ino);
  }
}

void Volume::Impl::DropLink(LiveInode* inode) {
  const TimeSpec now = Now();
  inode->rec.attr.ctime = now;
  if (!IsDir(*inode)) --files_;
  if (IsDir(*inode) || inode->rec.attr.links <= 1) {
    inode->rec.attr.links = 0;
    FreeInode(inode);
    return;
  }
  --inode->rec.attr.links;
  MarkDirty(inode);
}

Result<bool> Volume::Impl::IsEmptyDirectory(InodeNumber dir) const {
  NameChanges changes;
  const DirChanges* const frozen =
      frozen_ != nullptr ? &frozen_->names : nullptr;
  for (const DirChanges* layer : {frozen, &names_}) {
    if (layer == nullptr) continue;
    const auto it = layer->find(dir);
    if (it == layer->end()) continue;
    for (const auto& [cookie, change] : it->second) changes[cookie] = change;
  }
  for (const auto& [cookie, change] : changes) {
    if (change.present) return false;
  }
  bool empty = true;
  RETURN_IF_ERROR(
      catalog_->ForEachDirent(index_, dir, 0, [&](DirentRecord&& entry) {
        const auto it = changes.find(entry.cookie);
        if (it == changes.end()) empty = false;
        return empty;
      }));
  return empty;
}

Result<Attr> Volume::Impl::CreateLocked(InodeNumber dir, std::string_view name,
                                        const NewInode& inode) {
  RETURN_IF_ERROR(CheckName(name));
  ASSIGN_OR_RETURN(LiveInode * parent, LiveDirectory(dir));
  ASSIGN_OR_RETURN(const NamePlace place, FindPlace(dir, name));
  if (place.entry.has_value()) {
    return Error{Errc::kExists, fmt::format("'{}' exists", name)};
  }
  const bool directory = inode.type == udf::FileType::kDirectory;
  if (directory && parent->rec.attr.links >= kMaxLinks) {
    return Error{Errc::kTooManyLinks,
                 fmt::format("a directory holds at most {} subdirectories",
                             kMaxLinks - 2)};
  }
  InodeRecord rec;
  rec.attr.type = inode.type;
  rec.attr.mode = inode.mode & 07777;
  rec.attr.uid = inode.uid;
  rec.attr.gid = inode.gid;
  rec.attr.major = inode.major;
  rec.attr.minor = inode.minor;
  rec.attr.links = directory ? 2 : 1;
  rec.attr.atime = rec.attr.mtime = rec.attr.ctime = rec.attr.btime = Now();
  rec.attr.xattrs = inode.xattrs;
  rec.symlink_target = inode.symlink_target;
  rec.parent = directory ? dir : 0;
  rec.inline_data = inode.type == udf::FileType::kRegular;
  if (inode.type == udf::FileType::kSymlink) {
    rec.attr.size = inode.symlink_target.size();
    udf::InodeAttr bare = rec.attr;
    bare.xattrs.clear();
    if (!udf::CheckXattrsFit(bare, rec.symlink_target).ok()) {
      return Error{Errc::kNameTooLong,
                   fmt::format("a symlink target of {} bytes that path "
                               "components cannot say exactly",
                               rec.symlink_target.size())};
    }
  }
  if (inode.type == udf::FileType::kSymlink || !rec.attr.xattrs.empty()) {
    RETURN_IF_ERROR(udf::CheckXattrsFit(rec.attr, rec.symlink_target));
  }
  const uint64_t used = allocator_->used_blocks();
  const uint64_t limit =
      uint64_t{record_.geometry.partition_blocks} * record_.threshold / 100;
  if (used + 1 > limit || !Spare(kNameReserve)) {
    return Error{
        Errc::kNoSpace,
        fmt::format("volume {} is full ({} of {} blocks, threshold "
                    "{} %)",
                    record_.id, used, record_.geometry.partition_blocks,
                    record_.threshold)};
  }
  const std::optional<uint32_t> icb = allocator_->AllocateIcb(dir);
  if (!icb.has_value()) {
    return Error{Errc::kNoSpace,
                 fmt::format("volume {} has no free block for a file entry",
                             record_.id)};
  }
  rec.attr.unique_id = next_unique_id_;
  auto live = std::make_unique<LiveInode>();
  live->ino = *icb;
  live->rec = std::move(rec);
  live->fresh = true;
  if (live->rec.inline_data) live->inline_data = Bytes();
  Status status;
  if (inode.type == udf::FileType::kSymlink &&
      udf::SymlinkNeedsExtent(inode.symlink_target)) {
    const uint32_t need =
        BlocksFor(udf::EncodeSymlinkData(inode.symlink_target).size());
    std::optional<udf::BlockRun> run;
    if (Spare(need)) run = allocator_->Allocate(need, need, data_cursor_);
    if (run.has_value()) {
      Segment segment;
      segment.count = need;
      segment.mapped = true;
      segment.block = run->block;
      segment.born = active_;
      live->extents.Insert(segment);
    } else {
      status =
          Status(Errc::kNoSpace, fmt::format("volume {} is full", record_.id));
    }
  }
  if (directory) {
    // The parent FID of its own content.
    live->dir_bytes = 40;
    const std::optional<udf::BlockRun> run =
        allocator_->Allocate(1, 1, data_cursor_);
    if (run.has_value()) {
      live->relocation = *run;
    } else {
      status =
          Status(Errc::kNoSpace, fmt::format("volume {} is full", record_.id));
    }
  }
  if (status.ok()) status = EnsureDirSpace(parent, name);
  if (!status.ok()) {
    if (live->relocation.count != 0) allocator_->Unreserve(live->relocation);
    for (const udf::BlockRun& run : live->extents.Blocks()) {
      allocator_->Unreserve(run);
    }
    allocator_->Unreserve({*icb, 1});
    return status;
  }
  PutName(parent, name, place, *live);
  for (const udf::BlockRun& run : live->extents.Blocks()) allocator_->Use(run);
  ++next_unique_id_;
  allocator_->Use({*icb, 1});
  if (directory) {
    ++directories_;
    ++parent->rec.attr.links;
  }
  // An unlinked inode of that block may still be remembered: it is gone.
  inodes_.erase(*icb);
  LiveInode* created =
      inodes_.emplace(*icb, std::move(live)).first->second.get();
  MarkDirty(created);
  return ToAttr(*created);
}

Result<Attr> Volume::Create(InodeNumber dir, std::string_view name,
                            const NewInode& inode) {
  std::optional<Attr> out;
  RETURN_IF_ERROR(impl_->Run([&]() -> Status {
    MutexLock lock(&impl_->mu_);
    ASSIGN_OR_RETURN(out, impl_->CreateLocked(dir, name, inode));
    return Status::Ok();
  }));
  return std::move(*out);
}

Result<Attr> Volume::Link(InodeNumber ino, InodeNumber dir,
                          std::string_view name) {
  std::optional<Attr> out;
  RETURN_IF_ERROR(impl_->Run([&]() -> Status {
    RETURN_IF_ERROR(CheckName(name));
    MutexLock lock(&impl_->mu_);
    ASSIGN_OR_RETURN(LiveInode * parent, impl_->LiveDirectory(dir));
    ASSIGN_OR_RETURN(LiveInode * inode, impl_->Live(ino));
    if (inode->unlinked) {
      return Status(Errc::kNotFound, "the file was removed");
    }
    if (IsDir(*inode)) {
      return Status(Errc::kNotPermitted, "a directory takes no hard link");
    }
    if (inode->rec.attr.links >= kMaxLinks) {
      return Status(Errc::kTooManyLinks,
                    fmt::format("a file has at most {} links", kMaxLinks));
    }
    ASSIGN_OR_RETURN(const Impl::NamePlace place, impl_->FindPlace(dir, name));
    if (place.entry.has_value()) {
      return Status(Errc::kExists, fmt::format("'{}' exists", name));
    }
    RETURN_IF_ERROR(impl_->EnsureDirSpace(parent, name));
    impl_->PutName(parent, name, place, *inode);
    ++inode->rec.attr.links;
    inode->rec.attr.ctime = Now();
    impl_->MarkDirty(inode);
    out = impl_->ToAttr(*inode);
    return Status::Ok();
  }));
  return std::move(*out);
}

Status Volume::Unlink(InodeNumber dir, std::string_view name) {
  return impl_->Run(
      [&]() -> Status {
        RETURN_IF_ERROR(CheckName(name));
        MutexLock lock(&impl_->mu_);
        ASSIGN_OR_RETURN(LiveInode * parent, impl_->LiveDirectory(dir));
        ASSIGN_OR_RETURN(const auto entry, impl_->FindName(dir, name));
        if (!entry.has_value()) {
          return Status(Errc::kNotFound, fmt::format("no '{}'", name));
        }
        if (entry->type == udf::FileType::kDirectory) {
          return Status(Errc::kIsDirectory,
                        fmt::format("'{}' is a directory", name));
        }
        ASSIGN_OR_RETURN(LiveInode * inode, impl_->Live(entry->ino));
        impl_->RemoveName(parent, name, entry->cookie);
        impl_->DropLink(inode);
        return Status::Ok();
      },
      0, HostUse::kRemoval);
}

Status Volume::Rmdir(InodeNumber dir, std::string_view name) {
  return impl_->Run(
      [&]() -> Status {
        if (name == ".") return Status(Errc::kInvalidArgument, "'.'");
        if (name == "..") return Status(Errc::kNotEmpty, "'..'");
        RETURN_IF_ERROR(CheckName(name));
        MutexLock lock(&impl_->mu_);
        ASSIGN_OR_RETURN(LiveInode * parent, impl_->LiveDirectory(dir));
        ASSIGN_OR_RETURN(const auto entry, impl_->FindName(dir, name));
        if (!entry.has_value()) {
          return Status(Errc::kNotFound, fmt::format("no '{}'", name));
        }
        if (entry->type != udf::FileType::kDirectory) {
          return Status(Errc::kNotDirectory,
                        fmt::format("'{}' is no directory", name));
        }
        ASSIGN_OR_RETURN(const bool empty, impl_->IsEmptyDirectory(entry->ino));
        if (!empty) {
          return Status(Errc::kNotEmpty,
                        fmt::format("'{}' is not empty", name));
        }
        ASSIGN_OR_RETURN(LiveInode * inode, impl_->Live(entry->ino));
        impl_->RemoveName(parent, name, entry->cookie);
        --parent->rec.attr.links;
        impl_->DropLink(inode);
        return Status::Ok();
      },
      0, HostUse::kRemoval);
}

}  // namespace vellum
