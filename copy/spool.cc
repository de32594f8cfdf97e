// SPDX-License-Identifier: Apache-2.0
#include "copy/spool.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <spdlog/spdlog.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <filesystem>
#include <system_error>
#include <utility>

#include "media/file_util.h"

namespace vellum {
namespace {

// "job-17.img" -> 17
bool ParseName(const std::string& name, JobId* id) {
  constexpr std::string_view kPrefix = "job-";
  if (name.rfind(kPrefix, 0) != 0) return false;
  const size_t dot = name.find('.', kPrefix.size());
  if (dot == std::string::npos || dot == kPrefix.size()) return false;
  const std::string digits = name.substr(kPrefix.size(), dot - kPrefix.size());
  if (digits.size() > 18 ||
      digits.find_first_not_of("0123456789") != std::string::npos) {
    return false;
  }
  *id = std::stoull(digits);
  return true;
}

// Disk blocks for [0, bytes) of the file, which is made when it is missing.
Status AllocateFile(const std::string& path, uint64_t bytes) {
  UniqueFd fd(open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600));
  if (!fd.valid()) return ErrnoError("open " + path, errno);
  if (bytes == 0) return Status::Ok();
  if (fallocate(fd.get(), 0, 0, static_cast<off_t>(bytes)) == 0) {
    return Status::Ok();
  }
  // A filesystem that cannot reserve: the accounts alone have to do.
  if (errno == EOPNOTSUPP || errno == ENOSYS) return Status::Ok();
  return ErrnoError("reserve " + std::to_string(bytes) + " bytes in " + path,
                    errno);
}

}  // namespace

Spool::Spool(std::string directory, uint64_t limit)
    : directory_(std::move(directory)), limit_(limit) {
  std::error_code ec;  // a directory that cannot be made fails in Reserve
  std::filesystem::create_directories(directory_, ec);
}

std::string Spool::ImagePath(JobId job) const {
  return fmt::format("{}/job-{}.img", directory_, job);
}

std::string Spool::MetaPath(JobId job) const {
  return fmt::format("{}/job-{}.meta", directory_, job);
}

Result<uint64_t> Spool::FreeLocked() const {
  struct statvfs vfs = {};
  if (statvfs(directory_.c_str(), &vfs) != 0) {
    return ErrnoError("statvfs " + directory_, errno);
  }
  uint64_t free = uint64_t{vfs.f_bavail} * vfs.f_frsize;
  uint64_t promised = 0;
  for (const auto& [job, bytes] : promised_) promised += bytes;
  free -= std::min(free, promised);
  if (limit_ != 0) {
    uint64_t reserved = 0;
    for (const auto& [job, bytes] : reserved_) reserved += bytes;
    free = std::min(free, limit_ - std::min(limit_, reserved));
  }
  return free;
}

Result<uint64_t> Spool::Free() const {
  MutexLock lock(&mu_);
  return FreeLocked();
}

Status Spool::Reserve(JobId job, uint64_t bytes) {
  uint64_t before = 0;
  {
    MutexLock lock(&mu_);
    const auto it = reserved_.find(job);
    before = it == reserved_.end() ? 0 : it->second;
    if (bytes <= before) return Status::Ok();
    ASSIGN_OR_RETURN(const uint64_t free, FreeLocked());
    if (bytes - before > free) {
      return Status(
          Errc::kNoSpace,
          fmt::format("staging space in {}: needed {} bytes, free {} bytes",
                      directory_, bytes - before, free));
    }
    reserved_[job] = bytes;
    promised_[job] = bytes - before;
  }
  const Status status = AllocateFile(ImagePath(job), bytes);
  MutexLock lock(&mu_);
  promised_.erase(job);
  if (status.ok()) return status;
  if (before == 0) {
    reserved_.erase(job);
    unlink(ImagePath(job).c_str());
  } else {
    reserved_[job] = before;
  }
  return status.WithContext("staging space");
}

void Spool::Release(JobId job) {
  for (const std::string& path : {MetaPath(job), ImagePath(job)}) {
    // The next start removes what stays (RemoveOthers).
    if (unlink(path.c_str()) == 0 || errno == ENOENT) continue;
    spdlog::error("{} takes up room until the next start: {}", path,
                  ErrnoError("unlink", errno).message);
  }
  MutexLock lock(&mu_);
  reserved_.erase(job);
  promised_.erase(job);
}

Status Spool::RemoveOthers(const std::set<JobId>& keep) {
  std::error_code ec;
  std::filesystem::directory_iterator it(directory_, ec);
  if (ec) return ErrnoError("read directory " + directory_, ec.value());
  for (const std::filesystem::directory_entry& entry : it) {
    JobId id = 0;
    if (!ParseName(entry.path().filename().string(), &id)) continue;
    if (keep.count(id) != 0) continue;
    if (unlink(entry.path().c_str()) != 0 && errno != ENOENT) {
      return ErrnoError("remove " + entry.path().string(), errno);
    }
  }
  return Status::Ok();
}

void Spool::Adopt(JobId job) {
  struct stat st = {};
  if (stat(ImagePath(job).c_str(), &st) != 0) return;
  MutexLock lock(&mu_);
  uint64_t& reserved = reserved_[job];
  reserved = std::max<uint64_t>(reserved, static_cast<uint64_t>(st.st_size));
}

}  // namespace vellum
