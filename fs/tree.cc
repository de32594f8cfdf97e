// SPDX-License-Identifier: Apache-2.0
#include "fs/tree.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include <algorithm>
#include <utility>

#include "copy/damage_notes.h"
#include "copy/file_tree.h"
#include "copy/shelf.h"
#include "copy/verified.h"
#include "fs/posix_acl.h"

namespace vellum {
namespace {

constexpr std::string_view kPrefix = "user.vellum.";

mode_t TypeBits(udf::FileType type) {
  switch (type) {
    case udf::FileType::kDirectory:
      return S_IFDIR;
    case udf::FileType::kRegular:
      return S_IFREG;
    case udf::FileType::kBlockDevice:
      return S_IFBLK;
    case udf::FileType::kCharDevice:
      return S_IFCHR;
    case udf::FileType::kFifo:
      return S_IFIFO;
    case udf::FileType::kSocket:
      return S_IFSOCK;
    case udf::FileType::kSymlink:
      return S_IFLNK;
  }
  return S_IFREG;
}

timespec ToTimespec(const TimeSpec& time) {
  timespec out{};
  out.tv_sec = static_cast<time_t>(time.sec);
  out.tv_nsec = static_cast<decltype(out.tv_nsec)>(time.nsec);
  return out;
}

// As Linux has it for file systems that keep attributes themselves.
Status CheckNamespace(std::string_view name) {
  if (IsAclName(name)) return Status::Ok();
  for (const std::string_view kept : {"user.", "trusted.", "security."}) {
    if (name == kept) {
      return Status(Errc::kInvalidArgument,
                    fmt::format("{}: a namespace, no name", name));
    }
    if (name.starts_with(kept)) return Status::Ok();
  }
  return Status(Errc::kNotSupported,
                fmt::format("{}: not kept by Vellum", name));
}

// The root directory of a volume whose tree the catalog does not have: it is
// shown all the same, and has no attributes.
bool IsWithoutTree(const ShownVolume& shown, InodeNumber ino, Errc code) {
  return code == Errc::kStale && ino == shown.volume->root();
}

bool SameContent(const udf::InodeAttr& a, const udf::InodeAttr& b) {
  return a.unique_id == b.unique_id && a.size == b.size && a.mtime == b.mtime &&
         a.ctime == b.ctime;
}

void FillStatFs(uint64_t total, uint64_t free, uint64_t inodes,
                struct statvfs* out) {
  *out = {};
  out->f_bsize = kSectorSize;
  out->f_frsize = kSectorSize;
  out->f_blocks = total;
  out->f_bfree = free;
  out->f_bavail = free;
  // An inode takes a block: as many more as there are free blocks.
  out->f_files = inodes + free;
  out->f_ffree = free;
  out->f_favail = free;
  out->f_namemax = kMaxNameLength;
}

}  // namespace

struct stat StatOf(const udf::InodeAttr& attr, NodeId node,
                   uint64_t allocated) {
  struct stat st {};
  st.st_ino = node;
  st.st_mode = TypeBits(attr.type) | (attr.mode & 07777);
  st.st_nlink = attr.links;
  st.st_uid = attr.uid;
  st.st_gid = attr.gid;
  st.st_rdev = makedev(attr.major, attr.minor);
  // A directory's length on the medium is settled when it is committed, and
  // means nothing to anyone.
  st.st_size = attr.type == udf::FileType::kDirectory
                   ? off_t{kSectorSize}
                   : static_cast<off_t>(attr.size);
  st.st_blocks = static_cast<blkcnt_t>(allocated / 512);
  st.st_atim = ToTimespec(attr.atime);
  st.st_mtim = ToTimespec(attr.mtime);
  st.st_ctim = ToTimespec(attr.ctime);
  return st;
}

Tree::Tree(Catalog* catalog, Library* library, Volumes* volumes)
    : catalog_(catalog),
      library_(library),
      volumes_(volumes),
      started_(Now()) {}

std::shared_ptr<const Tree::ShownMap> Tree::Shown() const {
  MutexLock lock(&mu_);
  const uint64_t count = volumes_->change_count();
  if (shown_ && count == change_count_) return shown_;
  auto map = std::make_shared<ShownMap>();
  for (const std::shared_ptr<Volume>& volume : volumes_->List()) {
    const VolumeRecord record = volume->record();
    ShownVolume shown;
    shown.volume = volume;
    shown.id = record.id;
    shown.backup = record.role == udf::Role::kBackup;
    const uint64_t lineage = record.generation.lineage;
    const auto first = lineage_.emplace(record.index, lineage).first;
    shown.steady = !shown.backup && first->second == lineage;
    map->emplace(record.index,
                 std::make_shared<const ShownVolume>(std::move(shown)));
  }
  shown_ = map;
  change_count_ = count;
  return map;
}

std::vector<ShownVolumePtr> Tree::List() const {
  // Held while it is walked: another thread may put a new one in its place.
  const std::shared_ptr<const ShownMap> map = Shown();
  std::vector<ShownVolumePtr> list;
  for (const auto& [index, shown] : *map) list.push_back(shown);
  return list;
}

ShownVolumePtr Tree::FindByName(std::string_view id) const {
  const auto shown = Shown();
  const auto it = std::find_if(
      shown->begin(), shown->end(),
      [id](const ShownMap::value_type& item) { return item.second->id == id; });
  return it == shown->end() ? nullptr : it->second;
}

Result<ShownVolumePtr> Tree::Find(VolumeIndex index) const {
  const auto shown = Shown();
  const auto it = shown->find(index);
  if (it == shown->end()) {
    return Error{Errc::kStale,
                 fmt::format("volume number {} is not there any more", index)};
  }
  return it->second;
}

struct stat Tree::RootStat() const {
  struct stat st {};
  st.st_ino = kRootNode;
  st.st_mode = S_IFDIR | 0755;
  st.st_nlink = static_cast<nlink_t>(3 + Shown()->size());
  st.st_uid = getuid();
  st.st_gid = getgid();
  st.st_atim = st.st_mtim = st.st_ctim = ToTimespec(started_);
  return st;
}

void Tree::RootStatFs(struct statvfs* out) const {
  uint64_t total = 0, free = 0, inodes = 0;
  for (const ShownVolumePtr& shown : List()) {
    const VolumeSpace space = shown->volume->Space();
    total += space.total_blocks;
    free += shown->backup ? 0 : space.free_blocks;
    inodes += space.inodes;
  }
  FillStatFs(total, free, inodes, out);
}

Result<Attr> Tree::GetAttr(const ShownVolume& shown, InodeNumber ino) const {
  Result<Attr> attr = shown.volume->GetAttr(ino);
  if (attr.ok() || ino != shown.volume->root()) return attr;
  Attr closed;
  closed.ino = ino;
  closed.attr.type = udf::FileType::kDirectory;
  closed.attr.mode = 0500;
  closed.attr.uid = getuid();
  closed.attr.gid = getgid();
  closed.attr.links = 2;
  closed.attr.atime = closed.attr.mtime = closed.attr.ctime = started_;
  return closed;
}

struct stat Tree::ToStat(const ShownVolume& shown, const Attr& attr) {
  return StatOf(attr.attr, MakeVolumeNode(shown.index(), attr.ino),
                attr.allocated);
}

void Tree::VolumeStatFs(const ShownVolume& shown, struct statvfs* out) {
  const VolumeSpace space = shown.volume->Space();
  FillStatFs(space.total_blocks, shown.backup ? 0 : space.free_blocks,
             space.inodes, out);
}

Status Tree::CheckChange(const ShownVolume& shown) {
  if (shown.backup) {
    return Status(
        Errc::kReadOnly,
        fmt::format("{} is a BACKUP: only copies change it", shown.id));
  }
  return shown.volume->CheckWritable();
}

Status Tree::CheckOpen(const ShownVolume& shown, int flags) {
  const bool writes = (flags & O_ACCMODE) != O_RDONLY || (flags & O_TRUNC) != 0;
  if (writes) return CheckChange(shown);
  if (shown.backup) {
    return Status(Errc::kAccessDenied,
                  fmt::format("{} is a BACKUP: its files are used through a "
                              "copy or a read-only mount of the volume",
                              shown.id));
  }
  return Status::Ok();
}

void Tree::Inherit(const Attr& parent, bool caller_in_group, NewInode* inode) {
  inode->mode &= 07777;
  if ((parent.attr.mode & S_ISGID) == 0) return;
  inode->gid = parent.attr.gid;
  if (inode->type == udf::FileType::kDirectory) {
    inode->mode |= S_ISGID;
  } else if ((inode->mode & (S_ISGID | S_IXGRP)) == (S_ISGID | S_IXGRP) &&
             !caller_in_group) {
    // Else anybody could make programs that run with the directory's group.
    inode->mode &= ~uint32_t{S_ISGID};
  }
}

Result<std::string> Tree::GetXattr(const ShownVolume& shown, InodeNumber ino,
                                   const std::string& name) const {
  const std::string_view view = name;
  RETURN_IF_ERROR(CheckNamespace(view));
  if (view.substr(0, kPrefix.size()) != kPrefix) {
    Result<std::string> value = shown.volume->GetXattr(ino, name);
    if (!value.ok() && IsWithoutTree(shown, ino, value.error().code)) {
      return Error{Errc::kNoAttribute, name};
    }
    return value;
  }
  const std::string_view key = view.substr(kPrefix.size());
  if (ino == shown.volume->root()) return VolumeXattr(shown, key);
  if (key == "state") return FileState(shown, ino);
  return Error{Errc::kNoAttribute, name};
}

Status Tree::CheckSetXattr(std::string_view name) {
  if (name.substr(0, kPrefix.size()) == kPrefix) {
    return Status(Errc::kNotPermitted,
                  fmt::format("{}: only shown, never set", name));
  }
  return CheckNamespace(name);
}

Result<std::vector<std::string>> Tree::ListXattr(const ShownVolume& shown,
                                                 InodeNumber ino) {
  Result<std::vector<std::string>> names = shown.volume->ListXattr(ino);
  if (!names.ok() && IsWithoutTree(shown, ino, names.error().code)) {
    return std::vector<std::string>();
  }
  return names;
}

Result<std::string> Tree::VolumeXattr(const ShownVolume& shown,
                                      std::string_view key) const {
  const VolumeRecord record = shown.volume->record();
  const Result<MediumPlace> place = library_->FindMedium(record.medium);
  if (key == "role") return std::string(shown.backup ? "backup" : "primary");
  if (key == "owner" && !record.owner_id.empty()) return record.owner_id;
  if (key == "generation") return std::to_string(record.generation.number);
  if (key == "slot" && place.ok()) return ToString(place->home);
  if (key == "state") return MediumState(place, record.location);
  if (key == "free") {
    // As statfs has it: nothing can be written to a backup.
    const uint64_t blocks =
        shown.backup ? 0 : shown.volume->Space().free_blocks;
    return std::to_string(blocks * kSectorSize);
  }
  if (key == "threshold") return std::to_string(record.threshold);
  return Error{Errc::kNoAttribute, fmt::format("user.vellum.{}", key)};
}

Result<std::string> Tree::FileState(const ShownVolume& shown,
                                    InodeNumber ino) const {
  ASSIGN_OR_RETURN(const Attr attr, shown.volume->GetAttr(ino));
  if (attr.attr.type != udf::FileType::kRegular) {
    return Error{Errc::kNoAttribute, "user.vellum.state: files only"};
  }
  if (shown.backup) return std::string("backup");
  // The catalog holds what is committed to the medium, the volume what is true.
  const Result<InodeRecord> committed = catalog_->GetInode(shown.index(), ino);
  if (!committed.ok() || !SameContent(committed->attr, attr.attr)) {
    return std::string("staged");
  }
  std::string state = "primary";
  for (const ShownVolumePtr& other : List()) {
    if (!other->backup) continue;
    ASSIGN_OR_RETURN(const bool holds, Holds(*other, shown, attr));
    const VolumeRecord record = other->volume->record();
    if (!holds || IsDamaged(*catalog_, record.medium_uuid)) continue;
    ASSIGN_OR_RETURN(const bool verified, IsVerified(*catalog_, record));
    if (verified) return std::string("verified");
    state = "backup";
  }
  return state;
}

Result<bool> Tree::Holds(const ShownVolume& backup, const ShownVolume& primary,
                         const Attr& attr) const {
  const VolumeRecord copy = backup.volume->record();
  const VolumeRecord owner = primary.volume->record();
  if (copy.owner_uuid != owner.medium_uuid) return false;
  if (copy.state == udf::SlotState::kComplete) {
    // It keeps the inodes where its primary has them, so the same number with
    // the same times is the same content.
    if (copy.generation.lineage != owner.generation.lineage) return false;
    const Result<Attr> there = backup.volume->GetAttr(attr.ino);
    return there.ok() && SameContent(there->attr, attr.attr);
  }
  if (copy.state != udf::SlotState::kFiles || copy.tree != TreeState::kValid) {
    return false;
  }
  ASSIGN_OR_RETURN(const auto files, CounterpartsOn(backup, primary));
  const InodeNumber there = CounterpartOf(*files, attr.ino);
  if (there == 0) return false;
  const Result<Attr> found = backup.volume->GetAttr(there);
  // All times are the primary's there; the numbers are its own.
  return found.ok() && found->attr.size == attr.attr.size &&
         found->attr.mtime == attr.attr.mtime &&
         found->attr.ctime == attr.attr.ctime;
}

Result<std::shared_ptr<const FileCounterparts>> Tree::CounterpartsOn(
    const ShownVolume& backup, const ShownVolume& primary) const {
  const Generation generation = backup.volume->generation();
  {
    MutexLock lock(&counterparts_mu_);
    const auto it = counterparts_.find(backup.index());
    if (it != counterparts_.end() && it->second.generation == generation &&
        it->second.primary == primary.index()) {
      return it->second.files;
    }
  }
  ASSIGN_OR_RETURN(FileCounterparts found,
                   FindCounterparts(*TreeOfVolume(*primary.volume),
                                    *TreeOfVolume(*backup.volume)));
  auto files = std::make_shared<const FileCounterparts>(std::move(found));
  MutexLock lock(&counterparts_mu_);
  counterparts_[backup.index()] = {generation, primary.index(), files};
  return files;
}

}  // namespace vellum
