// SPDX-License-Identifier: Apache-2.0
// Blocks that are written before they are needed. An fsync that brings data to
// blocks which the storage below has never written costs it about twice as much
// as one that overwrites: it has to allocate them, and to make that durable. So
// what is reserved for a file that grows from fsync to fsync by little is
// filled with zeros, a piece at a time. The blocks are free: nothing refers to
// them, and no copy or record has them.
#include <spdlog/spdlog.h>

#include <algorithm>

#include "index/volume.h"
#include "index/volume_impl.h"

namespace vellum {
namespace {

// At most so much at a time, and not for less.
constexpr uint32_t kMostAhead = 256;
constexpr uint32_t kLeastAhead = 16;
// Whoever writes so much at once gains nothing.
constexpr uint64_t kMuchAtOnce = 64;
// Not where the storage below has less left.
constexpr uint64_t kHostRoomAhead = 1ull << 30;
// A page of the storage below may hold a neighbour as well.
constexpr uint32_t kPageSectors = 2;

}  // namespace

udf::BlockRun Volume::Impl::TakeAhead(LiveInode* inode, uint64_t written) {
  const udf::BlockRun& reserve = inode->reserve;
  if (!inode->synced || unit_ > 1 || written > kMuchAtOnce ||
      reserve.count < kLeastAhead || reserve.block < inode->ahead_end ||
      allocator_->free_blocks() < geometry_.partition_blocks / 8) {
    return {};
  }
  inode->synced = false;  // the next piece only if it is synced still
  // Nobody else takes it meanwhile.
  return std::exchange(inode->reserve, {});
}

void Volume::Impl::ReturnAhead(LiveInode* inode, udf::BlockRun taken) {
  if (taken.count == 0) return;
  inode->ahead_end = taken.block + std::min(taken.count, kMostAhead);
  if (inode->reserve.count == 0) {
    inode->reserve = taken;
  } else {
    allocator_->Unreserve(taken);
  }
}

void Volume::Impl::WriteAhead(udf::BlockRun taken) {
  const Status written = FillAhead(taken);
  if (written.ok()) return;
  // The error of a medium names no volume, that of a search no address.
  const uint64_t first = Sector(taken.block);
  spdlog::warn(
      "{}: sectors {} to {}, which a file may need next, cannot be "
      "filled: {}",
      Name(), first, first + std::min(taken.count, kMostAhead) - 1,
      written.error().message);
}

Status Volume::Impl::FillAhead(udf::BlockRun taken) {
  const uint32_t count = std::min(taken.count, kMostAhead);
  const uint64_t first = Sector(taken.block);
  // Only holes gain.
  ASSIGN_OR_RETURN(
      const SectorRange written,
      medium_->NextAllocated({first + kPageSectors, count - 2 * kPageSectors}));
  if (written.count != 0 || medium_->HostFreeBytes() < kHostRoomAhead) {
    return Status::Ok();
  }
  const Bytes zeros(size_t{count} * kSectorSize);
  return medium_->Write(first, zeros);
}

}  // namespace vellum
