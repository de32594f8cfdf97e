// SPDX-License-Identifier: Apache-2.0
// Room on the disks below: that of a medium's image and that of the catalog. A
// commit that fails half-way freezes the volume, so what is acknowledged must
// be known to find room there.
#include <fmt/format.h>

#include <algorithm>
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

bool Volume::Impl::HostCounts() const {
  return attached_ && medium_ != nullptr && CheckWritableLocked().ok();
}

Result<uint64_t> Volume::Impl::PledgeHost(uint64_t bytes, HostUse use) {
  const uint64_t cost = bytes + 2 * kPerOperation;
  {
    MutexLock lock(&mu_);
    const bool counts = HostCounts();
    if (!counts || (host_room_ >= cost &&
                    std::chrono::steady_clock::now() < host_room_until_)) {
      if (counts) host_room_ -= cost;
      host_pledged_ += cost;
      return cost;
    }
  }
  const HostFigures figures = AskHost();
  MutexLock lock(&mu_);
  RETURN_IF_ERROR(CheckHost(figures, cost, use));
  host_pledged_ += cost;
  return cost;
}

HostFigures Volume::Impl::AskHost() {
  HostFigures figures;
  figures.asked = std::chrono::steady_clock::now();
  {
    MutexLock lock(&mu_);
    figures.landed = host_landed_;
  }
  figures.medium = medium_->HostFreeBytes();
  figures.catalog = catalog_->Room();
  return figures;
}

Status Volume::Impl::CheckHost(const HostFigures& figures, uint64_t cost,
                               HostUse use) {
  if (!HostCounts()) return Status::Ok();
  uint64_t need = options_.host_reserve;
  switch (use) {
    case HostUse::kChange:
      need += 2 * CommitBytes();
      break;
    case HostUse::kRemoval:
      need = need / 2 + CommitBytes();
      break;
    case HostUse::kCommit:
      need = need / 4 + CommitBytes();
      break;
  }
  need += cost + (host_pledged_ - figures.landed);
  host_room_ = 0;
  if (figures.medium < need) {
    return Status(Errc::kNoSpace,
                  fmt::format("host disk of volume {}'s image is full: {} "
                              "bytes free, {} needed",
                              record_.id, figures.medium, need));
  }
  if (!figures.catalog.ok()) {
    return figures.catalog.status().WithContext(
        fmt::format("volume {}", record_.id));
  }
  if (*figures.catalog < need) {
    return Status(Errc::kNoSpace,
                  fmt::format("volume {}: no space for the catalog: {} bytes "
                              "free beyond its reserve, {} needed",
                              record_.id, *figures.catalog, need));
  }
  if (std::min(figures.medium, *figures.catalog) - need >= kPlenty) {
    host_room_ = kPlenty;
    host_room_until_ = figures.asked + kBelieved;
  }
  return Status::Ok();
}

}  // namespace vellum
