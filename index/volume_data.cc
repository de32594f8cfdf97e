// SPDX-License-Identifier: Apache-2.0
// File content. New data goes to free blocks at once (format: S1); an overwrite
// of less than a region of committed data waits in memory and travels in the
// redo record; a file that fits its entry is kept there.
#include <fcntl.h>
#include <fmt/format.h>
#include <linux/falloc.h>

#include <algorithm>
#include <cstring>

#include "index/volume.h"
#include "index/volume_impl.h"

namespace vellum {
namespace {

// Blocks reserved ahead for a file that grows: at most 64 MiB.
constexpr uint64_t kMaxReserve = 32768;

uint64_t SectorsFor(uint64_t bytes) {
  return (bytes + kSectorSize - 1) / kSectorSize;
}

Status CheckRegular(const LiveInode& inode) {
  if (inode.rec.attr.type == udf::FileType::kDirectory) {
    return Status(Errc::kIsDirectory, "is a directory");
  }
  if (inode.rec.attr.type != udf::FileType::kRegular) {
    return Status(Errc::kInvalidArgument, "not a regular file");
  }
  return Status::Ok();
}

// What is written where, once planned.
struct Piece {
  enum class Kind : uint8_t { kDirect, kNew, kImage } kind = Kind::kDirect;
  uint64_t file_sector = 0;
  uint32_t block = 0;
  uint32_t count = 0;
  bool was_unwritten = false;
};

}  // namespace

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
  images_.erase(images_.lower_bound(Sector(run.block)),
                images_.lower_bound(Sector(run.block) + run.count));
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
           count + MetadataReserve();
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
    std::optional<udf::BlockRun> run =
        allocator_->Allocate(static_cast<uint32_t>(want), least, near);
    if (!run.has_value()) {
      run = allocator_->Allocate(static_cast<uint32_t>(left), 1, near);
    }
    if (!run.has_value()) {
      for (const udf::BlockRun& r : out) allocator_->Unreserve(r);
      return std::nullopt;
    }
    data_cursor_ = run->block + run->count;
    inode->reserve = *run;
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
    if (inode->rec.attr.size == 0) {
      inode->inline_data = Bytes();
      return Status::Ok();
    }
  }
  udf::Sector sector;
  RETURN_IF_ERROR(medium_->Read(Sector(inode->ino), sector));
  ASSIGN_OR_RETURN(
      udf::FileEntry entry,
      udf::DecodeFileEntry(sector, inode->ino, geometry_.partition_blocks,
                           [](uint32_t, udf::Sector*) {
                             return Status(Errc::kCorruption,
                                           "an inline file has descriptors");
                           }));
  if (!entry.inline_data.has_value()) {
    return Status(Errc::kCorruption,
                  fmt::format("{}: the file entry at block {} has no inline "
                              "data, the catalog says it has",
                              Name(), inode->ino));
  }
  MutexLock lock(&mu_);
  inode->inline_data = std::move(*entry.inline_data);
  inode->inline_data->resize(inode->rec.attr.size);
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

// ------------------------------------------------------------------- writing

// An inline file becomes one with blocks.
Status Volume::Impl::ConvertInline(LiveInode* inode) {
  RETURN_IF_ERROR(LoadInline(inode));
  Bytes content;
  {
    MutexLock lock(&mu_);
    if (!inode->rec.inline_data) return Status::Ok();
    content = *inode->inline_data;
    inode->rec.inline_data = false;
  }
  Status status;
  if (!content.empty()) status = WriteContent(inode, 0, content, false);
  MutexLock lock(&mu_);
  if (!status.ok()) {
    inode->rec.inline_data = true;
    return status;
  }
  inode->inline_data.reset();
  if (!inode->unlinked) MarkDirty(inode);
  return Status::Ok();
}

// Writes `data` at `offset` into blocks and maps them; the size grows when the
// data ends behind it. REQUIRES: content locked, not inline.
Status Volume::Impl::WriteContent(LiveInode* inode, uint64_t offset,
                                  ConstByteSpan data, bool grow) {
  const uint64_t first = offset / kSectorSize;
  const uint64_t end = SectorsFor(offset + data.size());
  uint64_t old_size = 0;
  {
    MutexLock lock(&mu_);
    old_size = inode->rec.attr.size;
  }
  // Partial sectors at either end get what is around the new bytes.
  Bytes padded;
  ConstByteSpan content = data;
  const size_t lead = offset % kSectorSize;
  const size_t trail = (offset + data.size()) % kSectorSize;
  if (lead != 0 || trail != 0) {
    padded.resize((end - first) * kSectorSize);
    if (lead != 0) {
      RETURN_IF_ERROR(
          ReadSectors(*inode, first, ByteSpan(padded).first(kSectorSize)));
    }
    if (trail != 0 && (end - 1 > first || lead == 0)) {
      RETURN_IF_ERROR(
          ReadSectors(*inode, end - 1,
                      ByteSpan(padded).subspan((end - 1 - first) * kSectorSize,
                                               kSectorSize)));
    }
    std::memcpy(padded.data() + lead, data.data(), data.size());
    content = padded;
  }

  std::vector<Piece> pieces;
  std::vector<udf::BlockRun> fresh;
  {
    MutexLock lock(&mu_);
    uint64_t need = 0;
    const bool snapshots = !snapshots_.empty();
    for (const Segment& s : inode->extents.Segments(first, end - first)) {
      Piece piece;
      piece.file_sector = s.file_sector;
      piece.block = s.block;
      piece.count = s.count;
      piece.was_unwritten = s.unwritten;
      if (s.mapped && s.born == active_) {
        piece.kind = Piece::Kind::kDirect;
      } else if (s.mapped && s.unwritten && !snapshots) {
        // Reads as zeros whatever it holds, until this generation commits.
        piece.kind = Piece::Kind::kDirect;
      } else if (s.mapped && !s.unwritten && s.count < kRegionSectors) {
        piece.kind = Piece::Kind::kImage;
      } else {
        piece.kind = Piece::Kind::kNew;
        need += s.count;
      }
      pieces.push_back(piece);
    }
    if (need > 0) {
      auto runs = AllocateData(inode, first, need,
                               grow && end * kSectorSize >= old_size);
      if (!runs.has_value()) {
        return Status(
            Errc::kNoSpace,
            fmt::format("volume {} is full: {} of {} blocks used, threshold "
                        "{} %, {} more wanted",
                        record_.id, allocator_->used_blocks(),
                        geometry_.partition_blocks, record_.threshold, need));
      }
      fresh = std::move(*runs);
    }
    // New pieces are cut where their runs end.
    std::vector<Piece> cut;
    size_t run = 0;
    uint32_t used = 0;
    for (const Piece& piece : pieces) {
      if (piece.kind != Piece::Kind::kNew) {
        cut.push_back(piece);
        continue;
      }
      uint32_t done = 0;
      while (done < piece.count) {
        const uint32_t n =
            std::min(piece.count - done, fresh[run].count - used);
        Piece p = piece;
        p.file_sector += done;
        p.block = fresh[run].block + used;
        p.count = n;
        cut.push_back(p);
        done += n;
        used += n;
        if (used == fresh[run].count) {
          ++run;
          used = 0;
        }
      }
    }
    pieces = std::move(cut);
  }

  auto bytes_of = [&](const Piece& p) {
    return content.subspan((p.file_sector - first) * kSectorSize,
                           size_t{p.count} * kSectorSize);
  };
  Status status;
  for (const Piece& piece : pieces) {
    if (piece.kind == Piece::Kind::kImage) continue;
    status = medium_->Write(Sector(piece.block), bytes_of(piece));
    if (!status.ok()) break;
  }

  MutexLock lock(&mu_);
  if (!status.ok()) {
    for (const udf::BlockRun& run : fresh) allocator_->Unreserve(run);
    return Status(status.code(), fmt::format("volume {}: {}", record_.id,
                                             status.error().message));
  }
  for (const Piece& piece : pieces) {
    if (piece.kind == Piece::Kind::kImage) {
      const ConstByteSpan bytes = bytes_of(piece);
      for (uint32_t i = 0; i < piece.count; ++i) {
        auto image = std::make_shared<udf::Sector>();
        std::memcpy(image->data(), bytes.data() + size_t{i} * kSectorSize,
                    kSectorSize);
        images_[Sector(piece.block) + i] = std::move(image);
      }
      touched_ = true;
      continue;
    }
    regions_.InsertSectors(Sector(piece.block), piece.count);
    if (piece.kind == Piece::Kind::kDirect && !piece.was_unwritten) continue;
    Segment segment;
    segment.file_sector = piece.file_sector;
    segment.count = piece.count;
    segment.mapped = true;
    segment.block = piece.block;
    segment.born = active_;
    const std::vector<udf::BlockRun> old =
        inode->extents.Remove(piece.file_sector, piece.count);
    if (piece.kind == Piece::Kind::kNew) {
      for (const udf::BlockRun& run : old) FreeFor(*inode, run);
      UseFor(*inode, {piece.block, piece.count});
    }
    inode->extents.Insert(segment);
  }
  if (offset + data.size() > inode->rec.attr.size) {
    inode->rec.attr.size = offset + data.size();
  }
  if (!inode->unlinked) MarkDirty(inode);
  return Status::Ok();
}

Result<size_t> Volume::Write(InodeNumber ino, uint64_t offset,
                             ConstByteSpan data) {
  if (data.empty()) return size_t{0};
  if (offset > udf::kMaxFileSize || data.size() > udf::kMaxFileSize - offset) {
    return Error{Errc::kTooLarge, "a file has at most 16 TiB"};
  }
  RETURN_IF_ERROR(impl_->Run([&]() -> Status {
    ASSIGN_OR_RETURN(LiveInode * inode, impl_->LockContent(ino));
    const Status status = [&]() -> Status {
      RETURN_IF_ERROR(CheckRegular(*inode));
      const uint64_t end = offset + data.size();
      bool is_inline = false;
      bool fits = false;
      {
        MutexLock lock(&impl_->mu_);
        is_inline = inode->rec.inline_data;
        fits = std::max(end, inode->rec.attr.size) <=
               udf::InlineCapacity(inode->rec.attr);
      }
      if (is_inline && fits) {
        RETURN_IF_ERROR(impl_->LoadInline(inode));
        MutexLock lock(&impl_->mu_);
        Bytes& content = *inode->inline_data;
        if (content.size() < end) content.resize(end);
        std::memcpy(content.data() + offset, data.data(), data.size());
        inode->rec.attr.size = content.size();
        if (!inode->unlinked) impl_->MarkDirty(inode);
      } else {
        if (is_inline) RETURN_IF_ERROR(impl_->ConvertInline(inode));
        RETURN_IF_ERROR(impl_->WriteContent(inode, offset, data, true));
      }
      MutexLock lock(&impl_->mu_);
      inode->rec.attr.mtime = inode->rec.attr.ctime = Now();
      return Status::Ok();
    }();
    impl_->UnlockContent(inode);
    return status;
  }));
  return data.size();
}

Result<uint64_t> Volume::Append(InodeNumber ino, ConstByteSpan data) {
  uint64_t offset = 0;
  {
    ASSIGN_OR_RETURN(const Attr attr, GetAttr(ino));
    offset = attr.attr.size;
  }
  RETURN_IF_ERROR(Write(ino, offset, data).status());
  return offset;
}

// Takes [first, last) sectors out of the file's map.
Status Volume::Impl::PunchHole(LiveInode* inode, uint64_t offset,
                               uint64_t length) {
  uint64_t size = 0;
  {
    MutexLock lock(&mu_);
    size = inode->rec.attr.size;
  }
  if (offset >= size) return Status::Ok();
  const uint64_t end = std::min(size, offset + length);
  const uint64_t first = SectorsFor(offset);
  const uint64_t last = end == size ? SectorsFor(end) : end / kSectorSize;
  // Zeros over the partial sectors that hold something.
  auto zero = [&](uint64_t from, uint64_t to) -> Status {
    if (from >= to) return Status::Ok();
    {
      MutexLock lock(&mu_);
      const std::vector<Segment> s =
          inode->extents.Segments(from / kSectorSize, 1);
      if (!s.front().mapped || s.front().unwritten) return Status::Ok();
    }
    const Bytes zeros(to - from);
    return WriteContent(inode, from, zeros, false);
  };
  if (first > last || first * kSectorSize >= end) {
    return zero(offset, end);  // within one sector
  }
  RETURN_IF_ERROR(zero(offset, std::min(end, first * kSectorSize)));
  if (last * kSectorSize < end) {
    RETURN_IF_ERROR(zero(last * kSectorSize, end));
  }
  MutexLock lock(&mu_);
  if (first < last) {
    for (const udf::BlockRun& run :
         inode->extents.Remove(first, last - first)) {
      FreeFor(*inode, run);
    }
  }
  if (!inode->unlinked) MarkDirty(inode);
  return Status::Ok();
}

Status Volume::Impl::Truncate(LiveInode* inode, uint64_t size) {
  RETURN_IF_ERROR(CheckRegular(*inode));
  if (size > udf::kMaxFileSize) {
    return Status(Errc::kTooLarge, "a file has at most 16 TiB");
  }
  bool is_inline = false;
  uint64_t old_size = 0;
  size_t capacity = 0;
  {
    MutexLock lock(&mu_);
    is_inline = inode->rec.inline_data;
    old_size = inode->rec.attr.size;
    capacity = udf::InlineCapacity(inode->rec.attr);
  }
  if (is_inline && size <= capacity) {
    if (size != 0) {
      RETURN_IF_ERROR(LoadInline(inode));
    }
    MutexLock lock(&mu_);
    if (size == 0) inode->inline_data = Bytes();
    inode->inline_data->resize(size);
  } else {
    if (is_inline) RETURN_IF_ERROR(ConvertInline(inode));
    if (size < old_size) {
      const uint64_t keep = SectorsFor(size);
      // The bytes behind the new end read as zeros if the file grows again.
      if (size % kSectorSize != 0) {
        const uint64_t to = std::min(keep * kSectorSize, old_size);
        RETURN_IF_ERROR(PunchHole(inode, size, to - size));
      }
      MutexLock lock(&mu_);
      for (const udf::BlockRun& run : inode->extents.Remove(
               keep,
               SectorsFor(old_size) - std::min(keep, SectorsFor(old_size)))) {
        FreeFor(*inode, run);
      }
      ReleaseReserve(inode);
    }
  }
  MutexLock lock(&mu_);
  inode->rec.attr.size = size;
  if (size == 0 && !inode->rec.inline_data && inode->extents.empty()) {
    inode->rec.inline_data = true;
    inode->inline_data = Bytes();
  }
  inode->rec.attr.mtime = inode->rec.attr.ctime = Now();
  if (!inode->unlinked) MarkDirty(inode);
  return Status::Ok();
}

Status Volume::Fallocate(InodeNumber ino, int mode, uint64_t offset,
                         uint64_t length) {
  const bool keep_size = (mode & FALLOC_FL_KEEP_SIZE) != 0;
  const int kind = mode & ~FALLOC_FL_KEEP_SIZE;
  if (kind != 0 && kind != FALLOC_FL_PUNCH_HOLE &&
      kind != FALLOC_FL_ZERO_RANGE) {
    return Status(Errc::kNotSupported,
                  fmt::format("fallocate mode {:#x}", mode));
  }
  if (kind == FALLOC_FL_PUNCH_HOLE && !keep_size) {
    return Status(Errc::kNotSupported, "PUNCH_HOLE needs KEEP_SIZE");
  }
  if (length == 0) return Status(Errc::kInvalidArgument, "length 0");
  if (offset > udf::kMaxFileSize || length > udf::kMaxFileSize - offset) {
    return Status(Errc::kTooLarge, "a file has at most 16 TiB");
  }
  return impl_->Run([&]() -> Status {
    ASSIGN_OR_RETURN(LiveInode * inode, impl_->LockContent(ino));
    const Status status = [&]() -> Status {
      RETURN_IF_ERROR(CheckRegular(*inode));
      uint64_t size = 0;
      bool is_inline = false;
      {
        MutexLock lock(&impl_->mu_);
        size = inode->rec.attr.size;
        is_inline = inode->rec.inline_data;
      }
      const uint64_t new_size =
          keep_size ? size : std::max(size, offset + length);
      if (is_inline) RETURN_IF_ERROR(impl_->ConvertInline(inode));
      if (kind != 0) {
        RETURN_IF_ERROR(impl_->PunchHole(inode, offset, length));
      }
      MutexLock lock(&impl_->mu_);
      if (kind != FALLOC_FL_PUNCH_HOLE) {
        // Descriptors never reach behind the size: what KEEP_SIZE asks for
        // there is only checked, not kept.
        const uint64_t end = std::min(offset + length, new_size);
        if (end > offset) {
          const uint64_t first = offset / kSectorSize;
          uint64_t need = 0;
          std::vector<Segment> holes;
          for (const Segment& s :
               inode->extents.Segments(first, SectorsFor(end) - first)) {
            if (s.mapped) continue;
            need += s.count;
            holes.push_back(s);
          }
          if (need > 0) {
            auto runs = impl_->AllocateData(inode, first, need, false);
            if (!runs.has_value()) {
              return Status(Errc::kNoSpace,
                            fmt::format("volume {} has no room for {} blocks",
                                        impl_->record_.id, need));
            }
            size_t run = 0;
            uint32_t used = 0;
            for (const Segment& hole : holes) {
              uint32_t done = 0;
              while (done < hole.count) {
                const udf::BlockRun& r = (*runs)[run];
                const uint32_t n = std::min(hole.count - done, r.count - used);
                Segment s;
                s.file_sector = hole.file_sector + done;
                s.count = n;
                s.mapped = true;
                s.block = r.block + used;
                s.unwritten = true;
                s.born = impl_->active_;
                inode->extents.Insert(s);
                impl_->UseFor(*inode, {s.block, n});
                // Used without being written: a copy must carry it all the
                // same.
                impl_->regions_.InsertSectors(impl_->Sector(s.block), n);
                done += n;
                used += n;
                if (used == r.count) {
                  ++run;
                  used = 0;
                }
              }
            }
          }
        }
        if (keep_size && offset + length > size) {
          const uint64_t beyond = SectorsFor(offset + length - size);
          if (impl_->allocator_->free_blocks() <
              beyond + impl_->MetadataReserve()) {
            return Status(Errc::kNoSpace,
                          fmt::format("volume {} has no room for {} blocks",
                                      impl_->record_.id, beyond));
          }
        }
      }
      inode->rec.attr.size = new_size;
      inode->rec.attr.mtime = inode->rec.attr.ctime = Now();
      if (!inode->unlinked) impl_->MarkDirty(inode);
      return Status::Ok();
    }();
    impl_->UnlockContent(inode);
    return status;
  });
}

Result<uint64_t> Volume::Seek(InodeNumber ino, uint64_t offset,
                              bool data) const {
  MutexLock lock(&impl_->mu_);
  ASSIGN_OR_RETURN(LiveInode * inode, impl_->Live(ino));
  const uint64_t size = inode->rec.attr.size;
  if (offset >= size) {
    return Error{Errc::kOutOfRange, "behind the end of the file"};
  }
  if (inode->rec.inline_data) return data ? offset : size;
  const uint64_t first = offset / kSectorSize;
  for (const Segment& s :
       inode->extents.Segments(first, SectorsFor(size) - first)) {
    const bool holds = s.mapped && !s.unwritten;
    if (holds == data) {
      return std::min(size, std::max(offset, s.file_sector * kSectorSize));
    }
  }
  if (data) return Error{Errc::kOutOfRange, "no data up to the end"};
  return size;
}

}  // namespace vellum
