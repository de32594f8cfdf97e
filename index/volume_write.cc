// SPDX-License-Identifier: Apache-2.0
// Writing file content. New data goes to free blocks at once (format: S1); an
// overwrite of less than a region of committed data waits in memory and travels
// in the redo record; a file that fits its entry is kept there.
#include <fmt/format.h>

#include <algorithm>
#include <cstring>
#include <set>

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
  bool journaled = false;  // to the record instead of the medium
};

// Cuts the pieces of kind kNew where the runs end that were allocated for them.
std::vector<Piece> Place(const std::vector<Piece>& pieces,
                         const std::vector<udf::BlockRun>& runs) {
  std::vector<Piece> out;
  size_t run = 0;
  uint32_t used = 0;
  for (const Piece& piece : pieces) {
    if (piece.kind != Piece::Kind::kNew) {
      out.push_back(piece);
      continue;
    }
    uint32_t done = 0;
    while (done < piece.count) {
      const uint32_t n = std::min(piece.count - done, runs[run].count - used);
      Piece p = piece;
      p.file_sector += done;
      p.block = runs[run].block + used;
      p.count = n;
      out.push_back(p);
      done += n;
      used += n;
      if (used == runs[run].count) {
        ++run;
        used = 0;
      }
    }
  }
  return out;
}

// Cuts at units what does not wait for the record anyway.
std::vector<Piece> CutAtUnits(const std::vector<Piece>& pieces, uint32_t unit) {
  std::vector<Piece> out;
  for (const Piece& piece : pieces) {
    for (uint32_t done = 0; done < piece.count;) {
      Piece p = piece;
      p.file_sector += done;
      p.block += done;
      p.count = piece.count - done;
      if (!p.journaled) p.count = std::min(p.count, unit - p.block % unit);
      out.push_back(p);
      done += p.count;
    }
  }
  return out;
}

// Joins what is written alike, so that the medium gets long writes.
std::vector<Piece> Joined(const std::vector<Piece>& pieces) {
  std::vector<Piece> out;
  for (const Piece& p : pieces) {
    if (!out.empty()) {
      Piece& last = out.back();
      if (last.kind == p.kind && last.journaled == p.journaled &&
          last.was_unwritten == p.was_unwritten &&
          last.file_sector + last.count == p.file_sector &&
          last.block + last.count == p.block) {
        last.count += p.count;
        continue;
      }
    }
    out.push_back(p);
  }
  return out;
}

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
                                  ConstByteSpan data, bool grow,
                                  bool* record_full) {
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
  udf::BlockRun ahead;
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
        piece.journaled = true;
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
        // A full volume keeps what preallocation promised, through the record:
        // a copy must find the change marked.
        for (Piece& piece : pieces) {
          if (piece.kind != Piece::Kind::kNew || !piece.was_unwritten) continue;
          piece.kind = Piece::Kind::kImage;
          piece.journaled = true;
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
    pieces = Place(pieces, fresh);
    if (unit_ > 1) {
      pieces = CutAtUnits(pieces, unit_);
      for (Piece& piece : pieces) {
        piece.journaled = piece.journaled || Journaled(piece.block);
      }
      pieces = Joined(pieces);
    }
    std::set<uint64_t> units;
    for (const Piece& piece : pieces) {
      for (uint32_t i = 0; piece.journaled && i < piece.count; ++i) {
        const uint64_t unit = Sector(piece.block + i) / unit_;
        if (record_units_.count(unit) == 0) units.insert(unit);
      }
    }
    const bool room = units.empty() || ReserveForWrite(units.size());
    if (room) {
      record_units_.insert(units.begin(), units.end());
    } else {
      for (const udf::BlockRun& run : fresh) allocator_->Unreserve(run);
      if (record_full != nullptr) *record_full = true;
      return Status(Errc::kNoSpace,
                    fmt::format("volume {} is full: {} bytes that must go "
                                "through the redo record find no room in it",
                                record_.id, data.size()));
    }
    if (grow) ahead = TakeAhead(inode, need);
  }

  auto bytes_of = [&](const Piece& p) {
    return content.subspan((p.file_sector - first) * kSectorSize,
                           size_t{p.count} * kSectorSize);
  };
  Status status;
  if (ahead.count != 0) WriteAhead(ahead);
  for (const Piece& piece : pieces) {
    if (!status.ok()) break;
    if (piece.journaled) continue;
    status = medium_->Write(Sector(piece.block), bytes_of(piece));
  }

  MutexLock lock(&mu_);
  ReturnAhead(inode, ahead);
  if (!status.ok()) {
    written_.reset();  // nobody knows what stands there
    for (const udf::BlockRun& run : fresh) allocator_->Unreserve(run);
    return Status(status.code(), fmt::format("volume {}: {}", record_.id,
                                             status.error().message));
  }
  for (const Piece& piece : pieces) {
    if (piece.journaled) {
      const ConstByteSpan bytes = bytes_of(piece);
      for (uint32_t i = 0; i < piece.count; ++i) {
        auto image = std::make_shared<udf::Sector>();
        std::memcpy(image->data(), bytes.data() + size_t{i} * kSectorSize,
                    kSectorSize);
        images_[Sector(piece.block) + i] = std::move(image);
        if (piece.kind != Piece::Kind::kImage || piece.was_unwritten) {
          fresh_.insert(Sector(piece.block) + i);
        }
      }
      touched_ = true;
    }
    if (piece.kind == Piece::Kind::kImage) {
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
    if (!piece.journaled) {
      NoteWritten(piece.block, bytes_of(piece));
      regions_.InsertSectors(Sector(piece.block), piece.count);
    }
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

Status Volume::Impl::WriteOnce(InodeNumber ino, uint64_t offset,
                               ConstByteSpan data, bool* record_full) {
  ASSIGN_OR_RETURN(LiveInode * inode, LockContent(ino));
  const Status status = [&]() -> Status {
    RETURN_IF_ERROR(CheckRegular(*inode));
    const uint64_t end = offset + data.size();
    bool is_inline = false;
    bool fits = false;
    {
      MutexLock lock(&mu_);
      is_inline = inode->rec.inline_data;
      fits = std::max(end, inode->rec.attr.size) <=
             udf::InlineCapacity(inode->rec.attr);
    }
    if (is_inline && fits) {
      RETURN_IF_ERROR(LoadInline(inode));
      MutexLock lock(&mu_);
      Bytes& content = *inode->inline_data;
      if (content.size() < end) content.resize(end);
      std::memcpy(content.data() + offset, data.data(), data.size());
      inode->rec.attr.size = content.size();
      if (!inode->unlinked) MarkDirty(inode);
    } else {
      if (is_inline) RETURN_IF_ERROR(ConvertInline(inode));
      RETURN_IF_ERROR(WriteContent(inode, offset, data, true, record_full));
    }
    MutexLock lock(&mu_);
    inode->rec.attr.mtime = inode->rec.attr.ctime = Now();
    return Status::Ok();
  }();
  UnlockContent(inode);
  return status;
}

Result<size_t> Volume::Write(InodeNumber ino, uint64_t offset,
                             ConstByteSpan data) {
  if (data.empty()) return size_t{0};
  if (offset > udf::kMaxFileSize || data.size() > udf::kMaxFileSize - offset) {
    return Error{Errc::kTooLarge, "a file has at most 16 TiB"};
  }
  // In one piece, unless a record has no room for so much.
  size_t done = 0;
  size_t step = data.size();
  while (done < data.size()) {
    const ConstByteSpan piece =
        data.subspan(done, std::min(step, data.size() - done));
    bool record_full = false;
    const Status status = impl_->Run(
        [&]() -> Status {
          record_full = false;
          return impl_->WriteOnce(ino, offset + done, piece, &record_full);
        },
        piece.size());
    if (status.ok()) {
      done += piece.size();
      continue;
    }
    if (!record_full || piece.size() <= kSectorSize) return status.error();
    RETURN_IF_ERROR(Sync());
    step = std::max<size_t>(piece.size() / 2, kSectorSize);
  }
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
