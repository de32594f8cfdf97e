// SPDX-License-Identifier: Apache-2.0
#include "fs/image_tree.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/file.h>

#include <algorithm>
#include <cerrno>
#include <utility>

#include "fs/tree.h"
#include "media/udf/control.h"
#include "media/udf/journal.h"
#include "media/virtual_library.h"

namespace vellum {

Result<UniqueFd> LockImage(const std::string& path) {
  UniqueFd fd(open(path.c_str(), O_RDONLY | O_CLOEXEC));
  if (!fd.valid()) return ErrnoError("image " + path, errno);
  while (flock(fd.get(), LOCK_SH | LOCK_NB) != 0) {
    if (errno == EINTR) continue;
    // Some network file systems have no locks: no drive has one there.
    if (errno == ENOLCK || errno == EOPNOTSUPP) break;
    if (errno != EWOULDBLOCK) return ErrnoError("lock image " + path, errno);
    return Error{Errc::kBusy,
                 fmt::format("image {}: a drive of a running library has it, "
                             "its content may change any time",
                             path)};
  }
  return fd;
}

Result<std::unique_ptr<ImageTree>> ImageTree::Open(const std::string& path) {
  ASSIGN_OR_RETURN(UniqueFd lock, LockImage(path));
  ASSIGN_OR_RETURN(std::unique_ptr<Medium> image, OpenImageFile(path, true));
  ASSIGN_OR_RETURN(const udf::ControlSlot slot, udf::ReadControlSlot(*image));
  if (slot.role == udf::Role::kBackup &&
      slot.state != udf::SlotState::kComplete &&
      slot.state != udf::SlotState::kFiles) {
    return Error{Errc::kCorruption,
                 fmt::format("{}: {} is a backup that no copy has completed",
                             path, slot.volume_id)};
  }
  ASSIGN_OR_RETURN(const udf::VolumeDescription description,
                   udf::ReadDescription(*image));
  ASSIGN_OR_RETURN(udf::ReplayPlan plan,
                   udf::PlanReplay(*image, description.geometry, slot));
  std::unique_ptr<ImageTree> tree(new ImageTree);
  tree->lock_ = std::move(lock);
  tree->medium_ = std::make_unique<udf::ReplayedMedium>(std::move(image),
                                                        std::move(plan.images));
  ASSIGN_OR_RETURN(tree->reader_, udf::Reader::Open(tree->medium_.get()));
  tree->volume_id_ = slot.volume_id;
  // An image without a root is no use: say so now.
  RETURN_IF_ERROR(tree->Entry(tree->root()).status().WithContext(path));
  return tree;
}

Result<udf::FileEntry> ImageTree::Entry(Block block) const {
  return reader_->ReadEntry(block);
}

struct stat ImageTree::ToStat(Block block, const udf::FileEntry& entry) {
  uint64_t allocated = 0;
  for (const udf::Extent& extent : entry.extents) {
    allocated += uint64_t{extent.count} * kSectorSize;
  }
  return StatOf(entry.attr, MakeVolumeNode(1, block), allocated);
}

Result<std::shared_ptr<const ImageTree::Listing>> ImageTree::List(
    Block dir) const {
  {
    MutexLock lock(&mu_);
    const auto it =
        std::find_if(cache_.begin(), cache_.end(),
                     [dir](const auto& cached) { return cached.first == dir; });
    if (it != cache_.end()) {
      cache_.splice(cache_.begin(), cache_, it);
      return cache_.front().second;
    }
  }
  ASSIGN_OR_RETURN(const udf::FileEntry entry, Entry(dir));
  if (entry.attr.type != udf::FileType::kDirectory) {
    return Error{Errc::kNotDirectory,
                 fmt::format("block {} is not a directory", dir)};
  }
  auto listing = std::make_shared<Listing>();
  Result<std::vector<udf::DirEntry>> entries = reader_->ReadDirectory(entry);
  if (!entries.ok()) {
    return entries.status().WithContext(
        fmt::format("directory entry in block {}", dir));
  }
  listing->entries = *std::move(entries);
  for (size_t i = 0; i < listing->entries.size(); ++i) {
    listing->by_name.emplace(listing->entries[i].fid.name, i);
  }
  MutexLock lock(&mu_);
  cache_.emplace_front(dir, listing);
  if (cache_.size() > kCachedDirectories) cache_.pop_back();
  return std::shared_ptr<const Listing>(std::move(listing));
}

Result<ImageTree::Block> ImageTree::Lookup(Block dir,
                                           std::string_view name) const {
  ASSIGN_OR_RETURN(const std::shared_ptr<const Listing> listing, List(dir));
  const auto it = listing->by_name.find(name);
  if (it == listing->by_name.end()) {
    return Error{Errc::kNotFound, std::string(name)};
  }
  return listing->entries[it->second].fid.icb_block;
}

Result<size_t> ImageTree::Read(const udf::FileEntry& entry, uint64_t offset,
                               ByteSpan out) const {
  return reader_->ReadFile(entry, offset, out);
}

Status ImageTree::StatFs(struct statvfs* out) const {
  ASSIGN_OR_RETURN(const udf::Lvid lvid, reader_->ReadLvid());
  *out = {};
  out->f_bsize = kSectorSize;
  out->f_frsize = kSectorSize;
  out->f_blocks = lvid.partition_blocks;
  out->f_bfree = lvid.free_blocks;
  out->f_bavail = 0;  // nothing can be written
  out->f_files = uint64_t{lvid.files} + lvid.directories;
  out->f_namemax = kMaxNameLength;
  return Status::Ok();
}

}  // namespace vellum
