// SPDX-License-Identifier: Apache-2.0
// From medium to catalog: reads the whole tree of a volume.
#include <fmt/format.h>

#include <unordered_map>

#include "index/volume.h"
#include "index/volume_impl.h"
#include "media/udf/reader.h"

namespace vellum {
namespace {

// A batch is written when it holds this much.
constexpr size_t kBatchBytes = 1u << 20;

class TreeLoader {
 public:
  TreeLoader(Catalog* catalog, VolumeIndex volume)
      : catalog_(catalog), volume_(volume) {}

  Status Link(InodeNumber parent, const udf::DirEntry& entry) {
    RETURN_IF_ERROR(FlushLink());
    if (parent != directory_) {
      directory_ = parent;
      ordinals_.clear();
    }
    const uint64_t hash = NameHash(entry.fid.name);
    const uint32_t ordinal = ordinals_[hash]++;
    if (ordinal >= 128) {
      return Status(Errc::kCorruption,
                    fmt::format("directory {} has {} names of one hash", parent,
                                ordinal));
    }
    link_.cookie = MakeCookie(hash, ordinal);
    link_.name = entry.fid.name;
    link_.ino = entry.fid.icb_block;
    link_.fid_offset = static_cast<uint32_t>(entry.offset);
    link_waits_ = true;
    if (!entry.fid.directory) ++files_;
    return Status::Ok();
  }

  Status Inode(InodeNumber ino, const udf::FileEntry& entry) {
    InodeRecord rec;
    rec.attr = entry.attr;
    rec.extents = entry.extents;
    rec.aed_blocks = entry.aed_blocks;
    rec.symlink_target = entry.symlink_target;
    rec.inline_data = entry.inline_data.has_value();
    const bool directory = entry.attr.type == udf::FileType::kDirectory;
    if (directory) {
      ++directories_;
      rec.parent = link_waits_ ? directory_ : ino;  // the root is its own
    }
    if (entry.attr.links > 1 && !directory) types_[ino] = entry.attr.type;
    next_unique_id_ = std::max(next_unique_id_, entry.attr.unique_id + 1);
    batch_.PutInode(volume_, ino, rec);
    if (link_waits_) RETURN_IF_ERROR(StoreLink(entry.attr.type));
    return MaybeWrite();
  }

  Status Finish() {
    RETURN_IF_ERROR(FlushLink());
    return catalog_->Write(batch_, Sync::kNo);
  }

  uint64_t files() const { return files_; }
  uint64_t directories() const { return directories_; }
  uint64_t next_unique_id() const { return next_unique_id_; }

 private:
  // The link that waits leads to an inode that was visited before.
  Status FlushLink() {
    if (!link_waits_) return Status::Ok();
    const auto it = types_.find(link_.ino);
    if (it == types_.end()) {
      return Status(Errc::kCorruption,
                    fmt::format("'{}' in directory {} is a further name of "
                                "inode {}, whose link count is 1",
                                link_.name, directory_, link_.ino));
    }
    return StoreLink(it->second);
  }

  Status StoreLink(udf::FileType type) {
    link_.type = type;
    batch_.PutDirent(volume_, directory_, link_);
    link_waits_ = false;
    return MaybeWrite();
  }

  Status MaybeWrite() {
    if (batch_.bytes() < kBatchBytes) return Status::Ok();
    RETURN_IF_ERROR(catalog_->Write(batch_, Sync::kNo));
    batch_ = CatalogBatch();
    return Status::Ok();
  }

  Catalog* const catalog_;
  const VolumeIndex volume_;
  CatalogBatch batch_;
  InodeNumber directory_ = 0;
  std::unordered_map<uint64_t, uint32_t> ordinals_;  // of directory_
  DirentRecord link_;
  bool link_waits_ = false;
  std::unordered_map<InodeNumber, udf::FileType> types_;  // hard-linked ones
  uint64_t files_ = 0;
  uint64_t directories_ = 0;
  uint64_t next_unique_id_ = 16;
};

}  // namespace

// Replaces the volume's entries in the catalog by what is on `medium`, and
// stores `record` with the counts. A scan that breaks off leaves kScanning: the
// next load scans again.
Status Volume::Impl::Scan(Medium* medium, VolumeRecord record) {
  {
    VolumeRecord scanning = record;
    scanning.tree = TreeState::kScanning;
    CatalogBatch batch;
    batch.DeletePending(index_);
    batch.PutVolume(scanning);
    RETURN_IF_ERROR(catalog_->Write(batch, Sync::kYes));
    MutexLock lock(&mu_);
    record_.tree = TreeState::kScanning;
    ++tree_version_;  // no names until the end
  }
  RETURN_IF_ERROR(catalog_->ClearTree(index_));
  RETURN_IF_ERROR(catalog_->ClearChangeMap(index_));
  const std::string context = "scan of volume " + record.id;
  Result<std::unique_ptr<udf::Reader>> reader = udf::Reader::Open(medium);
  if (!reader.ok()) return reader.status().WithContext(context);
  TreeLoader loader(catalog_, index_);
  udf::Reader::Visitor visitor;
  visitor.inode = [&loader](uint32_t icb, const udf::FileEntry& entry) {
    return loader.Inode(icb, entry);
  };
  visitor.link = [&loader](uint32_t parent, const udf::DirEntry& entry) {
    return loader.Link(parent, entry);
  };
  RETURN_IF_ERROR((*reader)->Walk(visitor).WithContext(context));
  RETURN_IF_ERROR(loader.Finish().WithContext(context));
  ASSIGN_OR_RETURN(const udf::Lvid lvid, (*reader)->ReadLvid());
  ASSIGN_OR_RETURN(const Bytes bitmap,
                   udf::ReadBitmap(*medium, record.geometry));
  uint64_t free_blocks = 0;
  for (uint32_t b = 0; b < record.geometry.partition_blocks; ++b) {
    if (udf::BitmapIsFree(bitmap, b)) ++free_blocks;
  }
  record.used_blocks = record.geometry.partition_blocks - free_blocks;
  record.files = loader.files();
  record.directories = loader.directories();
  record.next_unique_id =
      std::max(lvid.next_unique_id, loader.next_unique_id());
  record.tree = TreeState::kValid;
  CatalogBatch batch;
  batch.PutVolume(record);
  RETURN_IF_ERROR(catalog_->Write(batch, Sync::kYes));
  MutexLock lock(&mu_);
  record_ = record;
  ++tree_version_;
  return Status::Ok();
}

}  // namespace vellum
