// SPDX-License-Identifier: Apache-2.0
#include "tests/support/memory_medium.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <utility>

#include "media/borrowed_medium.h"
#include "media/medium_range.h"

namespace vellum {

namespace {

MemoryMediumOptions WithSectors(uint64_t sectors) {
  MemoryMediumOptions options;
  options.sectors = sectors;
  return options;
}

class SharedMedium : public BorrowedMedium {
 public:
  explicit SharedMedium(std::shared_ptr<Medium> medium)
      : BorrowedMedium(medium.get()), medium_(std::move(medium)) {}

 private:
  const std::shared_ptr<Medium> medium_;
};

}  // namespace

MemoryMedium::MemoryMedium(const MemoryMediumOptions& options) {
  info_.medium_class = options.medium_class;
  info_.sectors = options.sectors;
  info_.atomic_sectors = options.atomic_sectors;
  info_.write_protected = options.write_protected;
  info_.name = options.name;
}

MemoryMedium::MemoryMedium(uint64_t sectors)
    : MemoryMedium(WithSectors(sectors)) {}

MediumInfo MemoryMedium::Info() const {
  MutexLock lock(&mu_);
  return info_;
}

Status MemoryMedium::Read(uint64_t lba, ByteSpan out) {
  MutexLock lock(&mu_);
  RETURN_IF_ERROR(InsideLocked(CheckTransfer(info_, "read", lba, out.size())));
  if (!unreadable_.empty()) {
    const auto bad = unreadable_.lower_bound(lba);
    if (bad != unreadable_.end() && *bad < lba + out.size() / kSectorSize) {
      return Status(Errc::kDeviceError,
                    fmt::format("{}: read sector {}: unrecovered read error "
                                "(3/11/00)",
                                info_.name, *bad));
    }
  }
  ReadLocked(lba * kSectorSize, out);
  return Status::Ok();
}

Status MemoryMedium::Write(uint64_t lba, ConstByteSpan data) {
  if (before_write_) before_write_(lba);
  MutexLock lock(&mu_);
  RETURN_IF_ERROR(
      InsideLocked(CheckTransfer(info_, "write", lba, data.size())));
  RETURN_IF_ERROR(CheckWritable(info_, "write"));
  MakeReadableLocked(lba, data.size() / kSectorSize);
  WriteLocked(lba * kSectorSize, data);
  return Status::Ok();
}

Status MemoryMedium::Discard(uint64_t lba, uint64_t count) {
  MutexLock lock(&mu_);
  RETURN_IF_ERROR(InsideLocked(CheckSectorRange(info_, "discard", lba, count)));
  RETURN_IF_ERROR(CheckWritable(info_, "discard"));
  MakeReadableLocked(lba, count);
  const uint64_t begin = lba * kSectorSize;
  const uint64_t end = begin + count * kSectorSize;
  auto it = chunks_.lower_bound(begin / kChunkSize);
  while (it != chunks_.end() && it->first * kChunkSize < end) {
    const uint64_t chunk_begin = it->first * kChunkSize;
    const uint64_t from = std::max(begin, chunk_begin);
    const uint64_t to = std::min<uint64_t>(end, chunk_begin + kChunkSize);
    if (to - from == kChunkSize) {
      it = chunks_.erase(it);
      continue;
    }
    Chunk& chunk = WritableLocked(it->first);
    std::memset(chunk.data() + (from - chunk_begin), 0, to - from);
    ++it;
  }
  return Status::Ok();
}

Result<SectorRange> MemoryMedium::NextAllocated(SectorRange from) {
  MutexLock lock(&mu_);
  RETURN_IF_ERROR(InsideLocked(
      CheckSectorRange(info_, "search for data", from.first, from.count)));
  constexpr uint64_t kPerChunk = kChunkSize / kSectorSize;
  auto it = chunks_.lower_bound(from.first / kPerChunk);
  if (it == chunks_.end() || it->first * kPerChunk >= from.end()) {
    return SectorRange{from.end(), 0};
  }
  const uint64_t first = std::max(from.first, it->first * kPerChunk);
  uint64_t next = it->first;
  while (it != chunks_.end() && it->first == next) {
    ++it;
    ++next;
  }
  return SectorRange{first, std::min(from.end(), next * kPerChunk) - first};
}

std::unique_ptr<MemoryMedium> MemoryMedium::Clone() const {
  auto copy = std::make_unique<MemoryMedium>();
  MutexLock lock(&mu_);
  for (auto& [index, slot] : chunks_) slot.shared = true;
  MutexLock copy_lock(&copy->mu_);  // nobody else knows it yet
  copy->info_ = info_;
  copy->chunks_ = chunks_;
  copy->unreadable_ = unreadable_;
  copy->abort_outside_ = abort_outside_;
  return copy;
}

void MemoryMedium::MakeUnreadable(SectorRange range) {
  MutexLock lock(&mu_);
  for (uint64_t s = range.first; s < range.end(); ++s) unreadable_.insert(s);
}

void MemoryMedium::SetWriteProtected(bool on) {
  MutexLock lock(&mu_);
  info_.write_protected = on;
}

void MemoryMedium::CutTo(uint64_t sectors) {
  MutexLock lock(&mu_);
  info_.sectors = std::min(info_.sectors, sectors);
}

void MemoryMedium::AbortOutside() {
  MutexLock lock(&mu_);
  abort_outside_ = true;
}

Status MemoryMedium::InsideLocked(Status inside) const {
  if (abort_outside_ && !inside.ok()) {
    std::fprintf(stderr, "asked outside: %s\n", inside.ToString().c_str());
    std::abort();
  }
  return inside;
}

void MemoryMedium::Poke(uint64_t byte_offset, ConstByteSpan data) {
  MutexLock lock(&mu_);
  WriteLocked(byte_offset, data);
}

void MemoryMedium::Peek(uint64_t byte_offset, ByteSpan out) const {
  MutexLock lock(&mu_);
  ReadLocked(byte_offset, out);
}

void MemoryMedium::ReadLocked(uint64_t offset, ByteSpan out) const {
  while (!out.empty()) {
    const size_t at = offset % kChunkSize;
    const size_t n = std::min(out.size(), kChunkSize - at);
    const auto it = chunks_.find(offset / kChunkSize);
    if (it == chunks_.end()) {
      std::memset(out.data(), 0, n);
    } else {
      std::memcpy(out.data(), it->second.chunk->data() + at, n);
    }
    out = out.subspan(n);
    offset += n;
  }
}

void MemoryMedium::WriteLocked(uint64_t offset, ConstByteSpan data) {
  while (!data.empty()) {
    const size_t at = offset % kChunkSize;
    const size_t n = std::min(data.size(), kChunkSize - at);
    Chunk& chunk = WritableLocked(offset / kChunkSize);
    std::memcpy(chunk.data() + at, data.data(), n);
    data = data.subspan(n);
    offset += n;
  }
}

MemoryMedium::Chunk& MemoryMedium::WritableLocked(uint64_t index) {
  Slot& slot = chunks_[index];
  if (slot.chunk == nullptr) {
    slot.chunk = std::make_shared<Chunk>();  // zeros
  } else if (slot.shared) {
    slot.chunk = std::make_shared<Chunk>(*slot.chunk);
  }
  slot.shared = false;
  return *slot.chunk;
}

void MemoryMedium::MakeReadableLocked(uint64_t lba, uint64_t count) {
  if (unreadable_.empty()) return;
  unreadable_.erase(unreadable_.lower_bound(lba),
                    unreadable_.lower_bound(lba + count));
}

std::unique_ptr<Medium> ShareMedium(std::shared_ptr<Medium> medium) {
  return std::make_unique<SharedMedium>(std::move(medium));
}

}  // namespace vellum
