// SPDX-License-Identifier: Apache-2.0
#include "tests/copy/spool_faults.h"

#include <fcntl.h>
#include <sys/types.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <cstdarg>
#include <cstdio>
#include <random>
#include <utility>

#include "media/error.h"

namespace vellum {
namespace {

// Functions of C have nowhere else to find it.
std::atomic<SpoolFaults*> spool_faults{nullptr};

SpoolFaults* FaultsOf(int fd) {
  SpoolFaults* const faults = spool_faults.load();
  return faults != nullptr && faults->Watches(fd) ? faults : nullptr;
}

SpoolFaults* FaultsOf(const char* path) {
  SpoolFaults* const faults = spool_faults.load();
  return faults != nullptr && faults->Watches(path) ? faults : nullptr;
}

}  // namespace

SpoolFaults::SpoolFaults(std::string directory, std::function<bool()> power,
                         std::function<void()> cut)
    : directory_(std::move(directory)),
      power_(std::move(power)),
      cut_(std::move(cut)) {
  SpoolFaults* none = nullptr;
  VELLUM_CHECK(spool_faults.compare_exchange_strong(none, this));
}

SpoolFaults::~SpoolFaults() { spool_faults.store(nullptr); }

void SpoolFaults::At(uint64_t n, Act act) {
  const MutexLock lock(&mu_);
  left_ = n;
  act_ = act;
  reached_ = struck_ = false;
}

bool SpoolFaults::reached() const {
  const MutexLock lock(&mu_);
  return reached_;
}

void SpoolFaults::Clear() {
  const MutexLock lock(&mu_);
  left_ = 0;
  reached_ = struck_ = false;
}

bool SpoolFaults::struck() const {
  const MutexLock lock(&mu_);
  return struck_;
}

bool SpoolFaults::Watches(int fd) const {
  const MutexLock lock(&mu_);
  return open_.count(fd) != 0;
}

bool SpoolFaults::Watches(const char* path) const {
  return std::string(path).rfind(directory_, 0) == 0;
}

SpoolFaults::Verdict SpoolFaults::Judge(Call call) {
  if (!power_()) return {EIO, false};
  const bool changes = call != Call::kRead && call != Call::kOpen;
  const bool fills = call == Call::kWrite || call == Call::kAllocate;
  {
    const MutexLock lock(&mu_);
    bool now = false;
    if (left_ > 0 && (act_ != Act::kCut || changes)) now = --left_ == 0;
    reached_ = reached_ || now;
    switch (act_) {
      case Act::kFail:
        struck_ = struck_ || now;
        return {now ? EIO : 0, false};
      case Act::kBroken:
        struck_ = reached_;
        return {reached_ ? EIO : 0, false};
      case Act::kFull:
        struck_ = struck_ || (reached_ && fills);
        return {reached_ && fills ? ENOSPC : 0, false};
      case Act::kCut:
        if (!now) return {};
        break;
    }
  }
  cut_();
  // A sync that is cut has synced nothing, anything else may have happened.
  return {EIO, call != Call::kSync};
}

void SpoolFaults::Opened(int fd, const char* path) {
  const MutexLock lock(&mu_);
  open_[fd] = path;
}

void SpoolFaults::Closed(int fd) {
  const MutexLock lock(&mu_);
  open_.erase(fd);
}

void SpoolFaults::Written(int fd, uint64_t offset, uint64_t bytes) {
  const MutexLock lock(&mu_);
  const auto it = open_.find(fd);
  if (it != open_.end()) unsynced_[it->second].push_back({offset, bytes});
}

void SpoolFaults::Synced(int fd) {
  const MutexLock lock(&mu_);
  const auto it = open_.find(fd);
  if (it != open_.end()) unsynced_.erase(it->second);
}

void SpoolFaults::Renamed(const char* from, const char* to) {
  const MutexLock lock(&mu_);
  unsynced_.erase(to);
  auto moved = unsynced_.extract(from);
  if (moved.empty()) return;
  moved.key() = to;
  unsynced_.insert(std::move(moved));
}

void SpoolFaults::LoseUnsynced(uint64_t seed) {
  std::mt19937_64 random(seed);
  const MutexLock lock(&mu_);
  for (const auto& [path, ranges] : unsynced_) {
    std::FILE* const file = std::fopen(path.c_str(), "r+b");
    if (file == nullptr) continue;  // removed
    for (const Range& range : ranges) {
      if (seed % 2 == 0 && random() % 2 == 0) continue;
      const std::string zeros(range.bytes, '\0');
      VELLUM_CHECK(
          std::fseek(file, static_cast<long>(range.offset), SEEK_SET) == 0);
      VELLUM_CHECK(std::fwrite(zeros.data(), 1, zeros.size(), file) ==
                   zeros.size());
    }
    VELLUM_CHECK(std::fclose(file) == 0);
  }
  unsynced_.clear();
}

}  // namespace vellum

// What the linker puts in the place of the calls (--wrap).
extern "C" {

int __real_open64(const char* path, int flags, ...);
int __wrap_open64(const char* path, int flags, ...) {
  mode_t mode = 0;
  if ((flags & O_CREAT) != 0) {
    va_list args;
    va_start(args, flags);
    mode = va_arg(args, mode_t);
    va_end(args);
  }
  vellum::SpoolFaults* const faults = vellum::FaultsOf(path);
  if (faults == nullptr) return __real_open64(path, flags, mode);
  const auto verdict = faults->Judge(vellum::SpoolFaults::Call::kOpen);
  if (verdict.error != 0) {
    errno = verdict.error;
    return -1;
  }
  const int fd = __real_open64(path, flags, mode);
  if (fd >= 0) faults->Opened(fd, path);
  return fd;
}

int __real_close(int fd);
int __wrap_close(int fd) {
  if (vellum::SpoolFaults* const faults = vellum::FaultsOf(fd)) {
    faults->Closed(fd);
  }
  return __real_close(fd);
}

ssize_t __real_pread64(int fd, void* to, size_t n, off64_t offset);
ssize_t __wrap_pread64(int fd, void* to, size_t n, off64_t offset) {
  if (vellum::SpoolFaults* const faults = vellum::FaultsOf(fd)) {
    const auto verdict = faults->Judge(vellum::SpoolFaults::Call::kRead);
    if (verdict.error != 0) {
      errno = verdict.error;
      return -1;
    }
  }
  return __real_pread64(fd, to, n, offset);
}

ssize_t __real_read(int fd, void* to, size_t n);
ssize_t __wrap_read(int fd, void* to, size_t n) {
  if (vellum::SpoolFaults* const faults = vellum::FaultsOf(fd)) {
    const auto verdict = faults->Judge(vellum::SpoolFaults::Call::kRead);
    if (verdict.error != 0) {
      errno = verdict.error;
      return -1;
    }
  }
  return __real_read(fd, to, n);
}

ssize_t __real_pwrite64(int fd, const void* from, size_t n, off64_t offset);
ssize_t __wrap_pwrite64(int fd, const void* from, size_t n, off64_t offset) {
  vellum::SpoolFaults* const faults = vellum::FaultsOf(fd);
  if (faults == nullptr) return __real_pwrite64(fd, from, n, offset);
  const auto verdict = faults->Judge(vellum::SpoolFaults::Call::kWrite);
  if (verdict.error == 0 || verdict.first) {
    const ssize_t written = __real_pwrite64(fd, from, n, offset);
    if (written > 0) {
      faults->Written(fd, static_cast<uint64_t>(offset),
                      static_cast<uint64_t>(written));
    }
    if (verdict.error == 0) return written;
  }
  errno = verdict.error;
  return -1;
}

ssize_t __real_write(int fd, const void* from, size_t n);
ssize_t __wrap_write(int fd, const void* from, size_t n) {
  vellum::SpoolFaults* const faults = vellum::FaultsOf(fd);
  if (faults == nullptr) return __real_write(fd, from, n);
  const auto verdict = faults->Judge(vellum::SpoolFaults::Call::kWrite);
  if (verdict.error == 0 || verdict.first) {
    const off64_t offset = lseek64(fd, 0, SEEK_CUR);
    const ssize_t written = __real_write(fd, from, n);
    if (written > 0) {
      faults->Written(fd, static_cast<uint64_t>(offset),
                      static_cast<uint64_t>(written));
    }
    if (verdict.error == 0) return written;
  }
  errno = verdict.error;
  return -1;
}

int __real_fallocate64(int fd, int mode, off64_t offset, off64_t bytes);
int __wrap_fallocate64(int fd, int mode, off64_t offset, off64_t bytes) {
  if (vellum::SpoolFaults* const faults = vellum::FaultsOf(fd)) {
    const auto verdict = faults->Judge(vellum::SpoolFaults::Call::kAllocate);
    if (verdict.error != 0) {
      errno = verdict.error;
      return -1;
    }
  }
  return __real_fallocate64(fd, mode, offset, bytes);
}

// Nothing is synced in earnest: only what that promises is simulated.
static int SyncOrFail(vellum::SpoolFaults* faults, int fd) {
  const auto verdict = faults->Judge(vellum::SpoolFaults::Call::kSync);
  if (verdict.error != 0) {
    errno = verdict.error;
    return -1;
  }
  faults->Synced(fd);
  return 0;
}

int __real_fsync(int fd);
int __wrap_fsync(int fd) {
  vellum::SpoolFaults* const faults = vellum::FaultsOf(fd);
  return faults == nullptr ? __real_fsync(fd) : SyncOrFail(faults, fd);
}

int __real_fdatasync(int fd);
int __wrap_fdatasync(int fd) {
  vellum::SpoolFaults* const faults = vellum::FaultsOf(fd);
  return faults == nullptr ? __real_fdatasync(fd) : SyncOrFail(faults, fd);
}

// Never fails by itself: those who remove what nobody needs do not ask. Behind
// a power cut nobody removes anything.
int __real_unlink(const char* path);
int __wrap_unlink(const char* path) {
  vellum::SpoolFaults* const faults = vellum::FaultsOf(path);
  if (faults == nullptr || faults->power()) return __real_unlink(path);
  errno = EIO;
  return -1;
}

int __real_rename(const char* from, const char* to);
int __wrap_rename(const char* from, const char* to) {
  vellum::SpoolFaults* const faults = vellum::FaultsOf(to);
  if (faults == nullptr) return __real_rename(from, to);
  const auto verdict = faults->Judge(vellum::SpoolFaults::Call::kRename);
  if (verdict.error == 0 || verdict.first) {
    const int renamed = __real_rename(from, to);
    if (renamed == 0) faults->Renamed(from, to);
    if (verdict.error == 0) return renamed;
  }
  errno = verdict.error;
  return -1;
}

}  // extern "C"
