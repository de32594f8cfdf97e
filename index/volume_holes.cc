// SPDX-License-Identifier: Apache-2.0
// Truncation, holes and preallocation.
#include <fcntl.h>
#include <fmt/format.h>
#include <linux/falloc.h>

#include <algorithm>

#include "index/volume.h"
#include "index/volume_impl.h"

namespace vellum {

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
    // A generation that begins now has both.
    inode->rec.attr.size = size;
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
      if (keep_size && kind != FALLOC_FL_PUNCH_HOLE &&
          offset + length > SectorsFor(size) * kSectorSize) {
        // Readers hold descriptors to the size: what would be kept behind it
        // could not be written down, and a check of the room is no promise.
        return Status(Errc::kNotSupported,
                      fmt::format("{}: nothing is reserved behind the "
                                  "end of a file",
                                  impl_->Name()));
      }
      const uint64_t new_size =
          keep_size ? size : std::max(size, offset + length);
      if (is_inline) RETURN_IF_ERROR(impl_->ConvertInline(inode));
      if (kind != 0) {
        RETURN_IF_ERROR(impl_->PunchHole(inode, offset, length));
      }
      MutexLock lock(&impl_->mu_);
      if (kind != FALLOC_FL_PUNCH_HOLE) {
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
