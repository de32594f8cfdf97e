// SPDX-License-Identifier: Apache-2.0
// Writing file content. New data goes to free blocks at once (format: S1); an
// overwrite of less than a region of committed data waits in memory and travels
// in the redo record; a file that fits its entry is kept there.
#include <fmt/format.h>

#include <algorithm>
#include <cstring>

#include "index/volume.h"
#include "index/volume_impl.h"

namespace vellum {
namespace {

// What is written where, once planned.
struct Piece {
  enum class Kind : uint8_t { kDirect, kNew, kImage } kind = Kind::kDirect;
  uint64_t file_sector = 0;
  uint32_t block = 0;
  uint32_t count = 0;
  bool was_unwritten = false;
};

}  // namespace

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
    for (const Segment& s : inode->extents.Segments(first, end - first)) {
      Piece piece;
      piece.file_sector = s.file_sector;
      piece.block = s.block;
      piece.count = s.count;
      piece.was_unwritten = s.unwritten;
      if (s.mapped && s.born == active_) {
        piece.kind = Piece::Kind::kDirect;
      } else if (s.mapped && s.count < kRegionSectors) {
        // Preallocated blocks too: they read as zeros, but a crash must not
        // leave them other than the copies of this generation have them.
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
      if (!runs.has_value() && snapshots_.empty()) {
        // A full volume keeps what preallocation promised. After a crash a
        // copy may differ there, in blocks that both read as zeros.
        for (Piece& piece : pieces) {
          if (piece.kind != Piece::Kind::kNew || !piece.was_unwritten) continue;
          piece.kind = Piece::Kind::kDirect;
          need -= piece.count;
        }
        if (need == 0) {
          runs.emplace();
        } else {
          runs = AllocateData(inode, first, need, false);
        }
      }
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
      if (!piece.was_unwritten) continue;
      // Born before this generation: later writes to it are images as well.
      Segment written;
      written.file_sector = piece.file_sector;
      written.count = piece.count;
      written.mapped = true;
      written.block = piece.block;
      inode->extents.Remove(piece.file_sector, piece.count);
      inode->extents.Insert(written);
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

}  // namespace vellum
