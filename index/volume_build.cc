// SPDX-License-Identifier: Apache-2.0
// From changes in memory to sectors: what a generation writes, and where.
#include <fmt/format.h>

#include <algorithm>
#include <cstring>

#include "index/volume.h"
#include "index/volume_impl.h"

namespace vellum {
namespace {

// Contents of directories that stay in memory between commits.
constexpr size_t kImageCacheBytes = 64u << 20;

std::shared_ptr<const udf::Sector> SectorAt(const Bytes& content,
                                            uint32_t index) {
  auto sector = std::make_shared<udf::Sector>();
  sector->fill(std::byte{0});
  const size_t at = size_t{index} * kSectorSize;
  const size_t n = std::min<size_t>(kSectorSize, content.size() - at);
  std::memcpy(sector->data(), content.data() + at, n);
  return sector;
}

}  // namespace

std::set<InodeNumber> Volume::Impl::ChangedDirectories() const {
  std::set<InodeNumber> out;
  for (const auto& [dir, changes] : names_) out.insert(dir);
  for (const auto& [ino, inode] : inodes_) {
    if (inode->parent_moved && inode->dirty) out.insert(ino);
  }
  return out;
}

bool Volume::Impl::PrefetchDone() const {
  for (const InodeNumber dir : ChangedDirectories()) {
    const LiveInode* inode = FindLive(dir);
    if (inode != nullptr && inode->fresh) continue;
    if (dir_images_.count(dir) == 0) return false;
  }
  return true;
}

Result<std::optional<uint32_t>> Volume::Impl::BaseOffset(
    InodeNumber dir, uint64_t cookie, const std::string& name) {
  const BaseKey key(dir, cookie);
  const auto it = base_offsets_.find(key);
  if (it != base_offsets_.end()) return it->second;
  Result<DirentRecord> found = catalog_->FindDirent(index_, dir, name);
  if (!found.ok() && found.error().code != Errc::kNotFound) {
    return found.error();
  }
  std::optional<uint32_t> offset;
  if (found.ok()) offset = found->fid_offset;
  base_offsets_[key] = offset;
  return offset;
}

Status Volume::Impl::Prefetch() {
  struct Wanted {
    InodeNumber ino = 0;
    udf::BlockRun run;
    uint64_t size = 0;
  };
  std::vector<Wanted> wanted;
  std::vector<std::pair<BaseKey, std::string>> names;
  {
    MutexLock lock(&mu_);
    for (const InodeNumber dir : ChangedDirectories()) {
      ASSIGN_OR_RETURN(const LiveInode* inode, Live(dir));
      if (inode->fresh) continue;
      const auto changes = names_.find(dir);
      if (changes != names_.end()) {
        for (const auto& [cookie, change] : changes->second) {
          if (change.is_new) continue;
          names.emplace_back(BaseKey(dir, cookie), change.name);
        }
      }
      if (dir_images_.count(dir) != 0) continue;
      if (inode->extents.Blocks().size() != 1) {
        return Status(Errc::kCorruption,
                      fmt::format("volume {}: directory {} is not one extent",
                                  record_.id, dir));
      }
      wanted.push_back(
          {dir, inode->extents.Blocks().front(), inode->rec.attr.size});
    }
  }
  for (const auto& [key, name] : names) {
    RETURN_IF_ERROR(BaseOffset(key.first, key.second, name).status());
  }
  for (const Wanted& want : wanted) {
    // It is read whole, into memory.
    const uint64_t most = std::min(uint64_t{want.run.count} * kSectorSize,
                                   udf::kMaxDirectorySize);
    if (want.size > most) {
      return Status(
          Errc::kCorruption,
          fmt::format("{}: directory {} of {} bytes has {} blocks, "
                      "it can have {} bytes at most",
                      Name(), want.ino, want.size, want.run.count, most));
    }
    Bytes content(size_t{BlocksFor(want.size)} * kSectorSize);
    RETURN_IF_ERROR(medium_->Read(Sector(want.run.block), content));
    content.resize(want.size);
    Result<DirectoryImage> image =
        DirectoryImage::Parse(std::move(content), want.run.block);
    if (!image.ok()) {
      return image.status().WithContext(
          fmt::format("{}: directory {}", Name(), want.ino));
    }
    dir_images_[want.ino] = std::make_shared<DirectoryImage>(std::move(*image));
    dir_images_order_.push_back(want.ino);
  }
  return Status::Ok();
}

void Volume::Impl::TrimImageCache() {
  size_t bytes = 0;
  for (const auto& [ino, image] : dir_images_) bytes += image->size();
  while (bytes > kImageCacheBytes && !dir_images_order_.empty()) {
    const InodeNumber oldest = dir_images_order_.front();
    dir_images_order_.pop_front();
    const auto it = dir_images_.find(oldest);
    if (it == dir_images_.end()) continue;
    bytes -= it->second->size();
    dir_images_.erase(it);
  }
}

Status Volume::Impl::ResizeDirectory(LiveInode* dir, udf::BlockRun* extent,
                                     uint32_t blocks) {
  if (blocks > extent->count) {
    const uint32_t more = blocks - extent->count;
    if (more > dir->tail.count) {  // EnsureDirSpace reserved it
      return Status(Errc::kNoSpace,
                    fmt::format("volume {}: directory {} finds no room for {} "
                                "blocks",
                                record_.id, dir->ino, blocks));
    }
    allocator_->Use({dir->tail.block, more});
    dir->tail.block += more;
    dir->tail.count -= more;
  } else if (blocks < extent->count) {
    // The tail would not stand right behind the extent any more.
    if (dir->tail.count != 0) allocator_->Unreserve(dir->tail);
    dir->tail = {};
    allocator_->Free({extent->block + blocks, extent->count - blocks});
  }
  extent->count = blocks;
  return Status::Ok();
}

Status Volume::Impl::FreezeDirectory(Frozen* frozen, LiveInode* dir,
                                     const NameChanges& names) {
  uint64_t parent_unique = 0;
  if (dir->ino != record_.geometry.root_block) {
    const LiveInode* parent = FindLive(dir->rec.parent);
    if (parent != nullptr) {
      parent_unique = parent->rec.attr.unique_id;
    } else {
      ASSIGN_OR_RETURN(const InodeRecord stored,
                       catalog_->GetInode(index_, dir->rec.parent));
      parent_unique = stored.attr.unique_id;
    }
  }
  std::shared_ptr<DirectoryImage>& image = dir_images_[dir->ino];
  if (image == nullptr) {
    VELLUM_CHECK(dir->fresh);
    ASSIGN_OR_RETURN(
        DirectoryImage made,
        DirectoryImage::Make(dir->rec.parent,
                             static_cast<uint32_t>(parent_unique)));
    image = std::make_shared<DirectoryImage>(std::move(made));
    dir_images_order_.push_back(dir->ino);
  }
  std::vector<NameRemoval> removals;
  std::vector<NameAddition> additions;
  std::vector<uint64_t> added_cookies;
  for (const auto& [cookie, change] : names) {
    if (!dir->fresh && !change.is_new) {
      ASSIGN_OR_RETURN(const std::optional<uint32_t> base,
                       BaseOffset(dir->ino, cookie, change.name));
      if (base.has_value()) removals.push_back({*base});
    }
    if (!change.present) continue;
    NameAddition addition;
    addition.fid.name = change.name;
    addition.fid.icb_block = change.ino;
    addition.fid.unique_id = static_cast<uint32_t>(change.unique_id);
    addition.fid.directory = change.type == udf::FileType::kDirectory;
    additions.push_back(std::move(addition));
    added_cookies.push_back(cookie);
  }

  FrozenDirectory out;
  out.ino = dir->ino;
  udf::BlockRun current;
  if (!dir->extents.empty()) current = dir->extents.Blocks().front();
  const uint64_t old_size = current.count == 0 ? 0 : image->size();
  bool edited = false;
  if (current.count != 0 && dir->relocation.count == 0) {
    // Padding is borne where there is no room to write the directory anew.
    const bool anew = FitsRecord(old_size) || Spare(BlocksFor(old_size));
    ASSIGN_OR_RETURN(edited, image->Edit(removals, &additions, current.block,
                                         /*keep_padding=*/!anew));
  }
  udf::BlockRun run;
  if (!edited) {
    // The whole directory anew: where it has been promised room, else where
    // there is some.
    uint64_t most = image->size();
    for (const NameAddition& addition : additions) {
      ASSIGN_OR_RETURN(const size_t length, udf::FidLength(addition.fid));
      most += length;
    }
    run = std::exchange(dir->relocation, {});
    if (run.count < BlocksFor(most)) {
      if (run.count != 0) allocator_->Unreserve(run);
      const uint32_t want = BlocksFor(most);
      run = {};
      if (Spare(want)) {
        run = allocator_->Allocate(want, want, data_cursor_)
                  .value_or(udf::BlockRun());
      }
    }
    const bool in_place = run.count == 0;
    auto& moved = frozen->moved[dir->ino];
    const auto note = [&moved](uint32_t from, uint32_t to) {
      moved[from] = to;
    };
    if (in_place && !FitsRecord(old_size)) {
      // A full volume: no more than NoteNames counted may go into the record.
      ASSIGN_OR_RETURN(
          edited, image->Compact(removals, &additions, current.block, note));
    }
    if (!edited) {
      RETURN_IF_ERROR(image->Rewrite(
          removals, &additions, in_place ? current.block : run.block, note));
    }
    if (in_place && !edited) {
      for (uint32_t i = 0; i < BlocksFor(image->size()); ++i) {
        (i < BlocksFor(old_size) ? out.in_place : out.direct).insert(i);
      }
    }
  }
  const uint32_t need = BlocksFor(image->size());
  if (run.count != 0) {
    if (current.count != 0) allocator_->Free(current);
    if (dir->tail.count != 0) allocator_->Unreserve(dir->tail);
    allocator_->Use({run.block, need});
    dir->tail = {run.block + need, run.count - need};
    current = {run.block, need};
    out.whole = true;
  } else {
    RETURN_IF_ERROR(ResizeDirectory(dir, &current, need));
  }
  out.block = current.block;
  if (dir->parent_moved) {
    RETURN_IF_ERROR(image->SetParent(
        dir->rec.parent, static_cast<uint32_t>(parent_unique), current.block));
  }
  for (const uint32_t sector : image->TakeChangedSectors()) {
    if (out.whole) break;
    (sector < BlocksFor(old_size) ? out.in_place : out.direct).insert(sector);
  }
  out.longer = image->size() > old_size;
  dir->parent_moved = false;
  dir->rec.attr.size = image->size();
  dir->dir_bytes = image->size();
  dir->extents =
      ExtentMap({udf::Extent{0, current.block, current.count, false}});
  for (size_t i = 0; i < additions.size(); ++i) {
    frozen->offsets[{dir->ino, added_cookies[i]}] = additions[i].fid_offset;
  }
  out.image = image;
  frozen->directories.push_back(std::move(out));
  return Status::Ok();
}

Status Volume::Impl::FreezeInode(Frozen* frozen, LiveInode* inode) {
  FrozenInode out;
  out.ino = inode->ino;
  out.fresh = inode->fresh;
  out.old_aeds.insert(inode->rec.aed_blocks.begin(),
                      inode->rec.aed_blocks.end());
  // Else a file that grows from commit to commit has a piece of each.
  inode->extents.Settle();
  inode->rec.extents = inode->extents.Extents();
  udf::FileEntry entry;
  entry.attr = inode->rec.attr;
  entry.extents = inode->rec.extents;
  entry.symlink_target = inode->rec.symlink_target;
  if (inode->rec.inline_data) entry.inline_data = Bytes();
  const size_t need = inode->rec.inline_data ? 0 : udf::AedsNeeded(entry);
  std::vector<uint32_t>& aeds = inode->rec.aed_blocks;
  while (aeds.size() > need) {
    allocator_->Free({aeds.back(), 1});
    aeds.pop_back();
  }
  while (aeds.size() < need) {
    const auto run = allocator_->Allocate(
        static_cast<uint32_t>(need - aeds.size()), 1, data_cursor_);
    if (!run.has_value()) {
      return Status(Errc::kNoSpace,
                    fmt::format("volume {}: no block for the extents of inode "
                                "{}",
                                record_.id, inode->ino));
    }
    allocator_->Use(*run);
    for (uint32_t i = 0; i < run->count; ++i) aeds.push_back(run->block + i);
  }
  out.rec = inode->rec;
  out.inline_data = inode->inline_data;
  inode->fresh = false;
  inode->dirty = false;
  NoteExtents(inode);
  inode->in_commit = true;
  frozen->inodes.push_back(std::move(out));
  return Status::Ok();
}

Status Volume::Impl::Freeze(bool closing) {
  auto frozen = std::make_shared<Frozen>();
  frozen->number = active_;
  frozen->closing = closing;
  const std::set<InodeNumber> directories = ChangedDirectories();
  frozen->names = std::exchange(names_, {});
  name_changes_ = 0;
  frozen->removed = std::exchange(removed_, {});
  frozen->dead_names = std::exchange(dead_names_, {});
  frozen->data = std::exchange(images_, {});
  frozen->fresh = std::exchange(fresh_, {});
  frozen->regions = std::exchange(regions_, {});
  frozen->written = std::exchange(written_, udf::SectorImages());
  frozen_ = frozen;
  touched_ = false;
  moved_bytes_ = 0;  // commit_bytes_ has them now
  for (const InodeNumber ino : frozen->removed) dir_images_.erase(ino);
  // New directories without a name yet have content too: the parent entry.
  std::set<InodeNumber> all = directories;
  for (const auto& [ino, inode] : inodes_) {
    if (inode->dirty && inode->fresh &&
        inode->rec.attr.type == udf::FileType::kDirectory) {
      all.insert(ino);
    }
  }
  static const NameChanges kNone;
  for (const InodeNumber dir : all) {
    const auto it = frozen->names.find(dir);
    ASSIGN_OR_RETURN(LiveInode * inode, Live(dir));
    RETURN_IF_ERROR(FreezeDirectory(
        frozen.get(), inode, it == frozen->names.end() ? kNone : it->second));
  }
  base_offsets_.clear();
  for (auto& [ino, inode] : inodes_) {
    if (inode->dirty) RETURN_IF_ERROR(FreezeInode(frozen.get(), inode.get()));
  }
  dirty_inodes_ = 0;
  RETURN_IF_ERROR(PickSpill(frozen.get()));
  RETURN_IF_ERROR(allocator_->damage());
  frozen->bitmap = allocator_->Freeze();
  frozen->used_blocks = allocator_->used_blocks();
  frozen->free_blocks = geometry_.partition_blocks - frozen->used_blocks;
  frozen->files = files_;
  frozen->directories_count = directories_;
  frozen->next_unique_id = next_unique_id_;
  ++active_;
  return Status::Ok();
}

Status Volume::Impl::BuildEntry(const FrozenInode& inode,
                                udf::SectorImages* direct,
                                udf::SectorImages* in_place) {
  udf::FileEntry entry;
  entry.attr = inode.rec.attr;
  entry.symlink_target = inode.rec.symlink_target;
  entry.aed_blocks = inode.rec.aed_blocks;
  if (inode.rec.inline_data) {
    entry.inline_data = inode.inline_data;
    if (!entry.inline_data.has_value()) {
      // Only attributes changed: the content is in the committed entry.
      udf::Sector old;
      RETURN_IF_ERROR(medium_->Read(Sector(inode.ino), old));
      ASSIGN_OR_RETURN(
          udf::FileEntry committed,
          udf::DecodeFileEntry(old, inode.ino, geometry_.partition_blocks,
                               [&inode](uint32_t, udf::Sector*) {
                                 return Status(
                                     Errc::kCorruption,
                                     fmt::format("the inline file in block {} "
                                                 "has descriptors",
                                                 inode.ino));
                               }));
      entry.inline_data = std::move(committed.inline_data);
      if (!entry.inline_data.has_value()) {
        return Status(Errc::kCorruption,
                      fmt::format("the file entry at block {} has no inline "
                                  "data",
                                  inode.ino));
      }
      if (entry.inline_data->size() != entry.attr.size) {
        return Status(
            Errc::kCorruption,
            fmt::format("the catalog says that the file entry at block {} "
                        "holds {} bytes, it holds {}",
                        inode.ino, entry.attr.size, entry.inline_data->size()));
      }
    }
  } else {
    entry.extents = inode.rec.extents;
  }
  ASSIGN_OR_RETURN(const udf::EncodedEntry encoded,
                   udf::EncodeFileEntry(entry, inode.ino));
  (inode.fresh ? direct : in_place)
      ->insert_or_assign(Sector(inode.ino),
                         std::make_shared<const udf::Sector>(encoded.icb));
  for (size_t i = 0; i < encoded.aeds.size(); ++i) {
    const uint32_t block = inode.rec.aed_blocks[i];
    (inode.old_aeds.count(block) == 0 ? direct : in_place)
        ->insert_or_assign(Sector(block), std::make_shared<const udf::Sector>(
                                              encoded.aeds[i]));
  }
  if (inode.fresh && inode.rec.attr.type == udf::FileType::kSymlink &&
      !inode.rec.extents.empty()) {
    const Bytes data = udf::EncodeSymlinkData(inode.rec.symlink_target);
    uint32_t index = 0;
    for (const udf::Extent& e : inode.rec.extents) {
      for (uint32_t i = 0; i < e.count; ++i, ++index) {
        direct->insert_or_assign(Sector(e.block + i), SectorAt(data, index));
      }
    }
  }
  return Status::Ok();
}

Status Volume::Impl::BuildSectors(const Frozen& frozen,
                                  udf::SectorImages* direct,
                                  udf::SectorImages* in_place) {
  *in_place = frozen.data;
  for (const FrozenDirectory& dir : frozen.directories) {
    const Bytes& content = dir.image->content();
    if (dir.whole) {
      for (uint32_t i = 0; i < BlocksFor(content.size()); ++i) {
        direct->insert_or_assign(Sector(dir.block + i), SectorAt(content, i));
      }
      continue;
    }
    for (const uint32_t i : dir.direct) {
      direct->insert_or_assign(Sector(dir.block + i), SectorAt(content, i));
    }
    for (const uint32_t i : dir.in_place) {
      in_place->insert_or_assign(Sector(dir.block + i), SectorAt(content, i));
    }
  }
  for (const FrozenInode& inode : frozen.inodes) {
    RETURN_IF_ERROR(BuildEntry(inode, direct, in_place).WithContext(Name()));
  }
  for (const auto& [index, sector] : frozen.bitmap) {
    in_place->insert_or_assign(Sector(udf::kBitmapBlock + index),
                               std::make_shared<const udf::Sector>(sector));
  }
  udf::Lvid lvid;
  lvid.closed = frozen.closing;
  lvid.time = Now();
  lvid.next_unique_id = frozen.next_unique_id;
  lvid.free_blocks = static_cast<uint32_t>(frozen.free_blocks);
  lvid.partition_blocks = geometry_.partition_blocks;
  lvid.files = static_cast<uint32_t>(frozen.files);
  lvid.directories = static_cast<uint32_t>(frozen.directories_count);
  in_place->insert_or_assign(
      udf::kLvidSector,
      std::make_shared<const udf::Sector>(udf::EncodeLvid(lvid)));
  return Status::Ok();
}

Status Volume::Impl::BuildBatch(const Frozen& frozen,
                                const udf::SectorImages& direct,
                                const udf::SectorImages& in_place,
                                const VolumeRecord& record,
                                CatalogBatch* batch) {
  for (const InodeNumber ino : frozen.removed) {
    batch->DeleteInode(index_, ino);
  }
  for (const auto& [dir, cookie] : frozen.dead_names) {
    batch->DeleteDirent(index_, dir, cookie);
  }
  for (const FrozenInode& inode : frozen.inodes) {
    batch->PutInode(index_, inode.ino, inode.rec);
  }
  for (const auto& [dir, names] : frozen.names) {
    for (const auto& [cookie, change] : names) {
      if (!change.present) {
        batch->DeleteDirent(index_, dir, cookie);
        continue;
      }
      DirentRecord entry;
      entry.cookie = cookie;
      entry.name = change.name;
      entry.ino = change.ino;
      entry.type = change.type;
      entry.fid_offset = frozen.offsets.at({dir, cookie});
      batch->PutDirent(index_, dir, entry);
    }
  }
  for (const auto& [dir, moved] : frozen.moved) {
    if (moved.empty()) continue;
    const auto names = frozen.names.find(dir);
    RETURN_IF_ERROR(catalog_->ForEachDirent(
        index_, dir, 0, [&, d = dir, &m = moved](DirentRecord&& entry) {
          if (names != frozen.names.end() &&
              names->second.count(entry.cookie) != 0) {
            return true;
          }
          const auto to = m.find(entry.fid_offset);
          if (to != m.end()) {
            entry.fid_offset = to->second;
            batch->PutDirent(index_, d, entry);
          }
          return true;
        }));
  }
  RegionSet regions = frozen.regions;
  for (const auto& [sector, image] : direct) regions.InsertSectors(sector, 1);
  for (const auto& [sector, image] : in_place) regions.InsertSectors(sector, 1);
  if (options_.break_marks) options_.break_marks(&regions);
  RETURN_IF_ERROR(
      MarkChanged(*catalog_, index_, regions, frozen.number, batch));
  batch->PutVolume(record);
  return Status::Ok();
}

}  // namespace vellum
