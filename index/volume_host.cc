// SPDX-License-Identifier: Apache-2.0
// Room on the disks below: that of a medium's image and that of the catalog. A
// commit that fails half-way freezes the volume, so what is acknowledged must
// be known to find room there.
#include <fmt/format.h>

#include <chrono>

#include "index/volume.h"
#include "index/volume_impl.h"

namespace vellum {
namespace {

// Disks hand out pages of this size, whatever is written.
constexpr uint64_t kPage = 4096;
constexpr uint64_t kPerImage = kPage + kSectorSize;  // in place, in the record
// Its entry in place, in the record and in the pending batch.
constexpr uint64_t kPerInode = 2 * kPage + kSectorSize;
constexpr uint64_t kPerName = 1024;  // in the directory, the record, the batch
constexpr uint64_t kPerCommit = 256 << 10;  // bitmap, LVID, headers
constexpr uint64_t kPerOperation = 4 * kPerInode;

// While there is so much more than needed, it is asked for only now and then.
constexpr uint64_t kPlenty = 64ull << 20;
constexpr std::chrono::milliseconds kBelieved{20};

}  // namespace

uint64_t Volume::Impl::CommitBytes() const {
  return kPerCommit + images_.size() * kPerImage + dirty_inodes_ * kPerInode +
         name_changes_ * kPerName + moved_bytes_ + commit_bytes_;
}

Status Volume::Impl::CheckHost(uint64_t bytes, HostUse use) {
  // Those are refused for another reason.
  if (!attached_ || medium_ == nullptr || !CheckWritableLocked().ok()) {
    return Status::Ok();
  }
  const auto now = std::chrono::steady_clock::now();
  const uint64_t cost = bytes + 2 * kPerOperation;
  if (use != HostUse::kCommit && now < host_room_until_ && host_room_ >= cost) {
    host_room_ -= cost;
    return Status::Ok();
  }
  uint64_t need = options_.host_reserve;
  switch (use) {
    case HostUse::kChange:
      need += 2 * CommitBytes() + cost;
      break;
    case HostUse::kRemoval:
      need = need / 2 + CommitBytes() + cost;
      break;
    case HostUse::kCommit:
      need = need / 4 + CommitBytes();
      break;
  }
  host_room_ = 0;
  const uint64_t free = medium_->HostFreeBytes();
  if (free < need) {
    return Status(Errc::kNoSpace,
                  fmt::format("host disk of volume {}'s image is full: {} "
                              "bytes free, {} needed",
                              record_.id, free, need));
  }
  RETURN_IF_ERROR(catalog_->CheckWrite(need).WithContext(
      fmt::format("volume {}", record_.id)));
  if (free - need >= kPlenty && catalog_->CheckWrite(need + kPlenty).ok()) {
    host_room_ = kPlenty;
    host_room_until_ = now + kBelieved;
  }
  return Status::Ok();
}

}  // namespace vellum
