// SPDX-License-Identifier: Apache-2.0
#include "index/overlay.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <utility>
#include <vector>

namespace vellum {
namespace {

constexpr size_t kMemorySectors = 8192;  // 16 MiB before the spool is used

}  // namespace

Overlay::Overlay(uint64_t limit, std::string directory)
    : limit_(limit), directory_(std::move(directory)) {}

Overlay::~Overlay() {
  if (fd_ >= 0) close(fd_);
}

bool Overlay::Has(uint64_t sector) const {
  MutexLock lock(&mu_);
  return places_.count(sector) != 0;
}

uint64_t Overlay::sectors() const {
  MutexLock lock(&mu_);
  return places_.size();
}

Status Overlay::Whole() const {
  MutexLock lock(&mu_);
  return error_;
}

void Overlay::Fail(const Status& why) {
  MutexLock lock(&mu_);
  if (error_.ok()) error_ = why;
}

Status Overlay::Put(uint64_t sector, const udf::Sector& content) {
  int fd = -1;
  int64_t offset = 0;
  {
    MutexLock lock(&mu_);
    if (!error_.ok()) return error_;
    if (places_.count(sector) != 0) return Status::Ok();
    if ((places_.size() + 1) * kSectorSize > limit_) {
      error_ = Status(Errc::kNoSpace,
                      fmt::format("the snapshot's overlay passed its limit of "
                                  "{} bytes (overlay_limit)",
                                  limit_));
      return error_;
    }
    if (places_.size() < kMemorySectors || directory_.empty()) {
      places_.emplace(sector,
                      Place{std::make_shared<const udf::Sector>(content), -1});
      return Status::Ok();
    }
    if (fd_ < 0) {
      fd_ = open(directory_.c_str(), O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
      if (fd_ < 0) {
        error_ = Status(ErrnoError("overlay in " + directory_, errno));
        return error_;
      }
    }
    fd = fd_;
    offset = file_end_;
    file_end_ += kSectorSize;
  }
  const ssize_t n = pwrite(fd, content.data(), content.size(), offset);
  MutexLock lock(&mu_);
  if (n != static_cast<ssize_t>(content.size())) {
    error_ =
        Status(ErrnoError("overlay in " + directory_, n < 0 ? errno : ENOSPC));
    return error_;
  }
  places_.emplace(sector, Place{nullptr, offset});
  return Status::Ok();
}

Status Overlay::Patch(uint64_t lba, ByteSpan data) const {
  struct Hit {
    size_t at = 0;
    int64_t offset = 0;
  };
  std::vector<Hit> from_file;
  int fd = -1;
  {
    MutexLock lock(&mu_);
    if (!error_.ok()) return error_;
    fd = fd_;
    for (size_t i = 0; i < data.size() / kSectorSize; ++i) {
      const auto it = places_.find(lba + i);
      if (it == places_.end()) continue;
      if (it->second.memory != nullptr) {
        std::memcpy(data.data() + i * kSectorSize, it->second.memory->data(),
                    kSectorSize);
      } else {
        from_file.push_back({i * kSectorSize, it->second.file_offset});
      }
    }
  }
  for (const Hit& hit : from_file) {
    const ssize_t n = pread(fd, data.data() + hit.at, kSectorSize, hit.offset);
    if (n != static_cast<ssize_t>(kSectorSize)) {
      return ErrnoError("overlay in " + directory_, n < 0 ? errno : EIO);
    }
  }
  return Status::Ok();
}

}  // namespace vellum
