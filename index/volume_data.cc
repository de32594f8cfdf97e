// SPDX-License-Identifier: Apache-2.0
// File content: who may change it, which blocks it gets, and reading it.
// Changes are in volume_write.cc and volume_holes.cc.
#include <fmt/format.h>

#include <algorithm>
#include <cstring>

#include "index/volume.h"
#include "index/volume_impl.h"

namespace vellum {
namespace {

// Blocks reserved ahead for a file that grows: at most 64 MiB.
constexpr uint64_t kMaxReserve = 32768;

}  // namespace

Status CheckRegular(const LiveInode& inode) {
  if (inode.rec.attr.type == udf::FileType::kDirectory) {
    return Status(Errc::kIsDirectory, "is a directory");
  }
  if (inode.rec.attr.type != udf::FileType::kRegular) {
    return Status(Errc::kInvalidArgument, "not a regular file");
  }
  return Status::Ok();
}

// ------------------------------------------------------------------ locking

Result<LiveInode*> Volume::Impl::LockContent(InodeNumber ino) {
  MutexLock lock(&mu_);
  for (;;) {
    ASSIGN_OR_RETURN(LiveInode * inode, Live(ino));
    if (!inode->busy) {
      inode->busy = true;
      ++inode->users;
      return inode;
    }
    changed_.Wait(&mu_);
  }
}

void Volume::Impl::UnlockContent(LiveInode* inode) {
  MutexLock lock(&mu_);
  NoteExtents(inode);
  inode->busy = false;
  --inode->users;
  changed_.NotifyAll();
  MaybeDrop(inode->ino);
}

// ------------------------------------------------------------------- blocks

void Volume::Impl::UseFor(const LiveInode& inode, udf::BlockRun run) {
  allocator_->Use(run);
  if (inode.unlinked) allocator_->Hold(run);
}

void Volume::Impl::FreeFor(const LiveInode& inode, udf::BlockRun run) {
  ForgetWritten(run);
  if (inode.unlinked) {
    allocator_->ReleaseHeld(run);
  } else {
    allocator_->Free(run);
  }
}

void Volume::Impl::ReleaseReserve(LiveInode* inode) {
  if (allocator_ == nullptr) {
    inode->reserve = inode->tail = inode->relocation = {};
    return;
  }
  if (inode->reserve.count != 0) allocator_->Unreserve(inode->reserve);
  inode->reserve = {};
  if (inode->rec.attr.type == udf::FileType::kDirectory && !inode->dirty) {
    if (inode->tail.count != 0) allocator_->Unreserve(inode->tail);
    if (inode->relocation.count != 0) allocator_->Unreserve(inode->relocation);
    inode->tail = inode->relocation = {};
  }
}

uint64_t Volume::Impl::MetadataReserve() const {
  // For directories, descriptors of extents and spilled records.
  const uint64_t total = geometry_.partition_blocks;
  return std::clamp<uint64_t>(total / 256, 64, 8192);
}

std::optional<std::vector<udf::BlockRun>> Volume::Impl::AllocateData(
    LiveInode* inode, uint64_t at_sector, uint64_t count, bool grow) {
  const uint64_t limit =
      uint64_t{geometry_.partition_blocks} * record_.threshold / 100;
  const uint64_t used = allocator_->used_blocks();
  if (used + count > limit) return std::nullopt;
  auto enough = [&]() REQUIRES(mu_) {
    return allocator_->free_blocks() + inode->reserve.count >=
           count + MetadataReserve() + descriptor_blocks_;
  };
  if (!enough()) {
    // What other files have reserved for their growth comes back first.
    for (auto& [ino, other] : inodes_) {
      if (other.get() == inode || other->reserve.count == 0) continue;
      allocator_->Unreserve(other->reserve);
      other->reserve = {};
    }
    if (!enough()) return std::nullopt;
  }
  std::vector<udf::BlockRun> out;
  uint64_t left = count;
  const uint32_t near_block = inode->extents.BlockBefore(at_sector);
  while (left > 0) {
    if (inode->reserve.count != 0) {
      const auto n =
          static_cast<uint32_t>(std::min<uint64_t>(left, inode->reserve.count));
      out.push_back({inode->reserve.block, n});
      inode->reserve.block += n;
      inode->reserve.count -= n;
      left -= n;
      continue;
    }
    uint64_t want = left;
    if (grow) {
      want += std::min({inode->extents.mapped_sectors(), kMaxReserve,
                        allocator_->free_blocks() / 16});
    }
    want = std::min<uint64_t>(want, UINT32_MAX);
    const auto least =
        static_cast<uint32_t>(std::min<uint64_t>(left, kRegionSectors));
    const uint32_t near = near_block != 0 ? near_block : data_cursor_;
    std::optional<udf::BlockRun> run = allocator_->Allocate(
        static_cast<uint32_t>(want), least, near, near_block != 0);
    if (!run.has_value()) {
      run = allocator_->Allocate(static_cast<uint32_t>(left), 1, near);
    }
    if (!run.has_value()) {
      for (const udf::BlockRun& r : out) allocator_->Unreserve(r);
      return std::nullopt;
    }
    data_cursor_ = run->block + run->count;
    inode->reserve = *run;
    inode->ahead_end = 0;
  }
  return out;
}

// ------------------------------------------------------------------- reading

// Reads whole sectors of the file's extents as they are now, images that wait
// for a record included.
Status Volume::Impl::ReadSectors(const LiveInode& inode, uint64_t first,
                                 ByteSpan out) {
  struct Io {
    uint64_t sector = 0;
    size_t at = 0;
    size_t bytes = 0;
  };
  struct Patch {
    size_t at = 0;
    std::shared_ptr<const udf::Sector> image;
  };
  std::vector<Io> reads;
  std::vector<Patch> patches;
  uint64_t pin = 0;
  bool pinned = false;
  const uint64_t count = out.size() / kSectorSize;
  {
    MutexLock lock(&mu_);
    for (const Segment& s : inode.extents.Segments(first, count)) {
      const size_t at = (s.file_sector - first) * kSectorSize;
      const size_t bytes = size_t{s.count} * kSectorSize;
      if (!s.mapped || s.unwritten) {
        std::memset(out.data() + at, 0, bytes);
        continue;
      }
      const uint64_t sector = Sector(s.block);
      reads.push_back({sector, at, bytes});
      auto look = [&](const udf::SectorImages& images) {
        for (auto it = images.lower_bound(sector);
             it != images.end() && it->first < sector + s.count; ++it) {
          patches.push_back(
              {at + (it->first - sector) * kSectorSize, it->second});
        }
      };
      if (frozen_ != nullptr) look(frozen_->data);
      look(images_);  // newer: last
    }
    if (!reads.empty() && allocator_ != nullptr) {
      pin = active_;
      allocator_->Pin(pin);
      pinned = true;
    }
  }
  Status status;
  for (const Io& io : reads) {
    status = medium_->Read(io.sector, out.subspan(io.at, io.bytes));
    if (!status.ok()) break;
  }
  for (const Patch& patch : patches) {
    std::memcpy(out.data() + patch.at, patch.image->data(), kSectorSize);
  }
  if (pinned) {
    MutexLock lock(&mu_);
    allocator_->Unpin(pin);
  }
  return status.ok() ? status : status.WithContext(Name());
}

Status Volume::Impl::LoadInline(LiveInode* inode) {
  {
    MutexLock lock(&mu_);
    // A commit that carries this entry is about to overwrite it.
    while (broken_.ok() && inode->in_commit &&
           !inode->inline_data.has_value() && inode->rec.inline_data) {
      changed_.Wait(&mu_);
    }
    if (!inode->rec.inline_data || inode->inline_data.has_value()) {
      return Status::Ok();
    }
  }
  udf::Sector sector;
  RETURN_IF_ERROR(medium_->Read(Sector(inode->ino), sector));
  ASSIGN_OR_RETURN(
      udf::FileEntry entry,
      udf::DecodeFileEntry(sector, inode->ino, geometry_.partition_blocks,
                           [inode](uint32_t, udf::Sector*) {
                             return Status(
                                 Errc::kCorruption,
                                 fmt::format("the inline file in block {} has "
                                             "descriptors",
                                             inode->ino));
                           }));
  if (!entry.inline_data.has_value()) {
    return Status(Errc::kCorruption,
                  fmt::format("{}: the file entry at block {} has no inline "
                              "data, the catalog says it has",
                              Name(), inode->ino));
  }
  MutexLock lock(&mu_);
  // What has changed the size since has loaded the content before.
  if (inode->rec.attr.size != entry.inline_data->size()) {
    return Status(
        Errc::kCorruption,
        fmt::format("{}: the catalog says that the file entry at block {} "
                    "holds {} bytes, it holds {}",
                    record_.id, inode->ino, inode->rec.attr.size,
                    entry.inline_data->size()));
  }
  inode->inline_data = std::move(*entry.inline_data);
  return Status::Ok();
}

Result<size_t> Volume::Read(InodeNumber ino, uint64_t offset, ByteSpan out) {
  LiveInode* inode = nullptr;
  uint64_t size = 0;
  bool is_inline = false;
  {
    MutexLock lock(&impl_->mu_);
    if (!impl_->attached_) {
      return Error{Errc::kNotReady,
                   fmt::format("volume {} is not loaded", impl_->record_.id)};
    }
    ASSIGN_OR_RETURN(inode, impl_->Live(ino));
    const Status regular = CheckRegular(*inode);
    if (!regular.ok()) {
      impl_->MaybeDrop(ino);
      return regular;
    }
    size = inode->rec.attr.size;
    is_inline = inode->rec.inline_data;
    if (offset >= size || out.empty()) {
      impl_->MaybeDrop(ino);
      return size_t{0};
    }
    ++inode->users;
  }
  const size_t want = std::min<uint64_t>(out.size(), size - offset);
  const Status status = [&]() -> Status {
    if (is_inline) {
      ASSIGN_OR_RETURN(LiveInode * locked, impl_->LockContent(ino));
      const Status loaded = impl_->LoadInline(locked);
      bool served = false;
      if (loaded.ok()) {
        MutexLock lock(&impl_->mu_);
        if (locked->inline_data.has_value()) {
          const Bytes& data = *locked->inline_data;
          std::memset(out.data(), 0, want);
          if (offset < data.size()) {
            std::memcpy(out.data(), data.data() + offset,
                        std::min<size_t>(want, data.size() - offset));
          }
          served = true;
        }
      }
      impl_->UnlockContent(locked);
      if (!loaded.ok() || served) return loaded;
      // It outgrew its entry meanwhile: read the blocks.
    }
    const uint64_t first = offset / kSectorSize;
    const uint64_t end = SectorsFor(offset + want);
    if (offset % kSectorSize == 0 && want % kSectorSize == 0) {
      return impl_->ReadSectors(*inode, first, out.first(want));
    }
    Bytes buffer((end - first) * kSectorSize);
    RETURN_IF_ERROR(impl_->ReadSectors(*inode, first, buffer));
    std::memcpy(out.data(), buffer.data() + (offset - first * kSectorSize),
                want);
    return Status::Ok();
  }();
  {
    MutexLock lock(&impl_->mu_);
    --inode->users;
    impl_->MaybeDrop(ino);
  }
  RETURN_IF_ERROR(status);
  return want;
}

}  // namespace vellum
