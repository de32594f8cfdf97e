// SPDX-License-Identifier: Apache-2.0
#include "media/image_medium.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <linux/fs.h>
#include <spdlog/spdlog.h>
#include <sys/file.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <thread>
#include <utility>
#include <vector>

#include "media/medium_range.h"
#include "media/virtual_library.h"
#include "media/virtual_medium.h"

namespace vellum {

namespace {

// Shorter writes are not worth the wait for the disk.
constexpr size_t kUncachedBytes = 64 << 10;

// Everything but a full disk is a device error to the user of a medium: an
// EINVAL of the host file system is no mistake of the caller.
Error IoError(const MediumInfo& info, const char* operation, uint64_t sector,
              int err) {
  Error error = ErrnoError(
      fmt::format("{}: {} at sector {}", info.name, operation, sector), err);
  if (error.code != Errc::kNoSpace) error.code = Errc::kDeviceError;
  return error;
}

std::string SizeProblem(uint64_t size, uint64_t capacity) {
  if (size == 0) return "is empty";
  if (size % kSectorSize != 0) {
    return fmt::format("size {} is not a whole number of sectors of {} bytes",
                       size, kSectorSize);
  }
  if (capacity != 0 && size != capacity) {
    return fmt::format("size {} is not the capacity {}", size, capacity);
  }
  return "";
}

// Bytes of the open device, and whether it takes writes.
Status AskDevice(int fd, const std::string& path, uint64_t* size,
                 bool* read_only) {
  int ro = 0;
  if (ioctl(fd, BLKGETSIZE64, size) != 0 || ioctl(fd, BLKROGET, &ro) != 0) {
    return ErrnoError("device " + path, errno);
  }
  *read_only = ro != 0;
  if (*size == 0) return Status(Errc::kNoMedium, "device " + path + ": empty");
  return Status::Ok();
}

// Opens a block device for writing when it takes writes, and for ourselves
// alone: what is mounted must not be written behind the back of its driver.
Result<UniqueFd> OpenDevice(const std::string& path, bool* write_protected,
                            uint64_t* size) {
  UniqueFd fd(open(path.c_str(), O_RDONLY | O_CLOEXEC));
  if (!fd.valid()) return ErrnoError("open device " + path, errno);
  bool read_only = false;
  RETURN_IF_ERROR(AskDevice(fd.get(), path, size, &read_only));
  *write_protected = *write_protected || read_only;
  if (*write_protected) return fd;
  UniqueFd writable(open(path.c_str(), O_RDWR | O_EXCL | O_CLOEXEC));
  if (!writable.valid()) return ErrnoError("open device " + path, errno);
  // The medium may have changed between the two.
  RETURN_IF_ERROR(AskDevice(writable.get(), path, size, &read_only));
  return writable;
}

// A directory or the like in its place: the device is at fault, not the caller.
Error NoImage(const std::string& path) {
  return Error{Errc::kDeviceError, "image " + path + ": not a regular file"};
}

// Waits in steps, because flock(2) itself knows no bound.
Status LockImage(int fd, const std::string& path,
                 std::chrono::milliseconds timeout) {
  const auto deadline = std::chrono::steady_clock::now() + timeout;
  bool told = false;
  while (flock(fd, LOCK_EX | LOCK_NB) != 0) {
    if (errno == EINTR) continue;
    // Some network file systems have no locks: nobody else has one there.
    if (errno == ENOLCK || errno == EOPNOTSUPP) return Status::Ok();
    if (errno != EWOULDBLOCK) return ErrnoError("lock image " + path, errno);
    if (!told) {
      spdlog::warn("image {}: another process has locked it: waiting", path);
    }
    told = true;
    if (std::chrono::steady_clock::now() >= deadline) {
      return Status(Errc::kTimedOut,
                    fmt::format("image {}: another process has had it locked "
                                "for {} ms",
                                path, timeout.count()));
    }
    std::this_thread::sleep_for(std::chrono::milliseconds(10));
  }
  return Status::Ok();
}

// The file behind `fd` once more, around the page cache; invalid where the file
// system cannot. Through /proc, as the name may have changed hands.
UniqueFd OpenUncached(int fd) {
  return UniqueFd(open(fmt::format("/proc/self/fd/{}", fd).c_str(),
                       O_WRONLY | O_DIRECT | O_CLOEXEC));
}

bool IsAligned(ConstByteSpan data) {
  return reinterpret_cast<uintptr_t>(data.data()) % kMemoryAlignment == 0;
}

}  // namespace

Result<std::unique_ptr<ImageMedium>> ImageMedium::Open(
    const std::string& path, const ImageMediumOptions& options) {
  struct stat st {};
  if (stat(path.c_str(), &st) != 0) return ErrnoError("image " + path, errno);
  if (!S_ISREG(st.st_mode) &&
      !(options.allow_block_device && S_ISBLK(st.st_mode))) {
    return NoImage(path);
  }
  bool write_protected =
      options.read_only || (st.st_mode & (S_IWUSR | S_IWGRP | S_IWOTH)) == 0;
  const bool device = options.allow_block_device && S_ISBLK(st.st_mode);
  UniqueFd fd;
  uint64_t size = 0;
  if (device) {
    ASSIGN_OR_RETURN(fd, OpenDevice(path, &write_protected, &size));
  } else {
    fd = UniqueFd(
        open(path.c_str(), (write_protected ? O_RDONLY : O_RDWR) | O_CLOEXEC));
    if (!fd.valid()) return ErrnoError("open image " + path, errno);
  }
  if (options.lock_timeout) {
    RETURN_IF_ERROR(LockImage(fd.get(), path, *options.lock_timeout));
  }
  // The name may have changed hands since stat; the descriptor cannot.
  if (fstat(fd.get(), &st) != 0) return ErrnoError("image " + path, errno);
  if (!device) {
    if (!S_ISREG(st.st_mode)) return NoImage(path);
    size = static_cast<uint64_t>(st.st_size);
  }
  const std::string problem = SizeProblem(size, options.capacity);
  if (!problem.empty()) {
    return Error{Errc::kIncompatible, "image " + path + ": " + problem};
  }
  MediumInfo info;
  info.sectors = size / kSectorSize;
  info.atomic_sectors = options.atomic_sectors;
  info.write_protected = write_protected;
  info.name = options.name.empty() ? path : options.name;
  // A device has been opened for ourselves alone (O_EXCL).
  UniqueFd uncached;
  if (!device && !write_protected) uncached = OpenUncached(fd.get());
  return std::unique_ptr<ImageMedium>(
      new ImageMedium(std::move(fd), std::move(uncached), std::move(info)));
}

Status ImageMedium::Read(uint64_t lba, ByteSpan out) {
  RETURN_IF_ERROR(CheckTransfer(info_, "read", lba, out.size()));
  uint64_t offset = lba * kSectorSize;
  while (!out.empty()) {
    const ssize_t n =
        pread(fd_.get(), out.data(), out.size(), static_cast<off_t>(offset));
    if (n < 0) {
      if (errno == EINTR) continue;
      return IoError(info_, "read", offset / kSectorSize, errno);
    }
    if (n == 0) {
      return Status(Errc::kDeviceError,
                    fmt::format("{}: read at sector {}: the image ends there: "
                                "it was cut short while in use",
                                info_.name, offset / kSectorSize));
    }
    out = out.subspan(static_cast<size_t>(n));
    offset += static_cast<uint64_t>(n);
  }
  return Status::Ok();
}

Status ImageMedium::Write(uint64_t lba, ConstByteSpan data) {
  return WriteTo(fd_.get(), lba, data);
}

Status ImageMedium::WriteStream(uint64_t lba, ConstByteSpan data) {
  // The kernel keeps what is written around its cache and what is in it apart
  // from each other: pages of the range are written and dropped.
  const bool around = uncached_.valid() && !refuses_uncached_.load() &&
                      data.size() >= kUncachedBytes && IsAligned(data);
  return WriteTo(around ? uncached_.get() : fd_.get(), lba, data);
}

Status ImageMedium::WriteTo(int fd, uint64_t lba, ConstByteSpan data) {
  RETURN_IF_ERROR(CheckTransfer(info_, "write", lba, data.size()));
  RETURN_IF_ERROR(CheckWritable(info_, "write"));
  uint64_t offset = lba * kSectorSize;
  while (!data.empty()) {
    const ssize_t n =
        pwrite(fd, data.data(), data.size(), static_cast<off_t>(offset));
    if (n < 0) {
      if (errno == EINTR) continue;
      if (errno == EINVAL && fd == uncached_.get()) {
        // Larger blocks than ours, or a short write that ends within one.
        refuses_uncached_.store(true);
        fd = fd_.get();
        continue;
      }
      return IoError(info_, "write", offset / kSectorSize, errno);
    }
    data = data.subspan(static_cast<size_t>(n));
    offset += static_cast<uint64_t>(n);
  }
  return Status::Ok();
}

Status ImageMedium::Flush() {
  if (flush_failed_.load()) {
    return Status(Errc::kDeviceError,
                  fmt::format("{}: flush: an earlier flush failed, what was "
                              "written since is not known to be durable",
                              info_.name));
  }
  if (info_.write_protected) return Status::Ok();
  if (fdatasync(fd_.get()) != 0) {
    const int err = errno;
    flush_failed_.store(true);
    Error error = ErrnoError(info_.name + ": flush", err);
    if (error.code != Errc::kNoSpace) error.code = Errc::kDeviceError;
    return error;
  }
  return Status::Ok();
}

Status ImageMedium::Discard(uint64_t lba, uint64_t count) {
  RETURN_IF_ERROR(CheckSectorRange(info_, "discard", lba, count));
  RETURN_IF_ERROR(CheckWritable(info_, "discard"));
  if (count == 0) return Status::Ok();
  int result = 0;
  do {
    result = fallocate(fd_.get(), FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE,
                       static_cast<off_t>(lba * kSectorSize),
                       static_cast<off_t>(count * kSectorSize));
  } while (result != 0 && errno == EINTR);
  if (result == 0) return Status::Ok();
  if (errno != EOPNOTSUPP && errno != ENOSYS) {
    return IoError(info_, "discard", lba, errno);
  }
  // This file system cannot punch holes.
  const Bytes zeros(std::min<uint64_t>(count, 512) * kSectorSize);
  while (count > 0) {
    const uint64_t n = std::min<uint64_t>(count, 512);
    RETURN_IF_ERROR(Write(lba, ConstByteSpan(zeros).first(n * kSectorSize)));
    lba += n;
    count -= n;
  }
  return Status::Ok();
}

Result<SectorRange> ImageMedium::NextAllocated(SectorRange from) {
  RETURN_IF_ERROR(
      CheckSectorRange(info_, "search for data", from.first, from.count));
  const SectorRange nothing{from.end(), 0};
  if (from.count == 0) return nothing;
  // The file offset that lseek moves is used by nobody: pread and pwrite
  // carry their own.
  const off_t data =
      lseek(fd_.get(), static_cast<off_t>(from.first * kSectorSize), SEEK_DATA);
  if (data < 0) {
    if (errno == ENXIO) return nothing;
    if (errno == EINVAL) return from;  // the file system does not know
    return IoError(info_, "search for data", from.first, errno);
  }
  const uint64_t first = static_cast<uint64_t>(data) / kSectorSize;
  if (first >= from.end()) return nothing;
  const off_t hole = lseek(fd_.get(), data, SEEK_HOLE);
  if (hole < 0) return IoError(info_, "search for a hole", first, errno);
  const uint64_t end =
      std::min(from.end(),
               (static_cast<uint64_t>(hole) + kSectorSize - 1) / kSectorSize);
  return SectorRange{first, end - first};
}

void ImageMedium::DropReadCache(uint64_t lba, uint64_t count) {
  if (!CheckSectorRange(info_, "drop cache", lba, count).ok() || count == 0) {
    return;
  }
  // Only whole pages are dropped, so the range grows to whole pages.
  constexpr uint64_t kPage = 4096;
  const uint64_t begin = lba * kSectorSize / kPage * kPage;
  const uint64_t end = (lba + count) * kSectorSize / kPage * kPage + kPage;
  posix_fadvise(fd_.get(), static_cast<off_t>(begin),
                static_cast<off_t>(end - begin), POSIX_FADV_DONTNEED);
}

uint64_t ImageMedium::HostFreeBytes() const {
  // Not fstat(2): where time stamps are multigrain (Linux 6.13) asking for them
  // makes the next write take a new one, and the next flush write the inode.
  struct statx st {};
  struct statvfs fs {};
  // What cannot be asked does not limit: a write that fails says so itself.
  if (statx(fd_.get(), "", AT_EMPTY_PATH, STATX_SIZE | STATX_BLOCKS, &st) !=
          0 ||
      fstatvfs(fd_.get(), &fs) != 0) {
    return UINT64_MAX;
  }
  constexpr uint64_t kStatBlock = 512;
  if (st.stx_blocks * kStatBlock >= st.stx_size) return UINT64_MAX;
  return uint64_t{fs.f_bavail} * fs.f_frsize;
}

std::string DescribeImageProblem(const std::string& path, uint64_t capacity) {
  struct stat st {};
  if (stat(path.c_str(), &st) != 0) {
    return ErrnoError("image " + path, errno).message;
  }
  if (!S_ISREG(st.st_mode)) return NoImage(path).message;
  const std::string problem =
      SizeProblem(static_cast<uint64_t>(st.st_size), capacity);
  return problem.empty() ? "" : "image " + path + ": " + problem;
}

Result<std::unique_ptr<Medium>> OpenImageFile(const std::string& path,
                                              bool read_only) {
  ImageMediumOptions options;
  options.read_only = read_only;
  // A file of that name beside an image that is of no library may be anything.
  const auto traits = ReadMediumTraits(path);
  if (traits.ok() && *traits) return OpenVirtualMedium(path, options);
  ASSIGN_OR_RETURN(std::unique_ptr<ImageMedium> medium,
                   ImageMedium::Open(path, options));
  return std::unique_ptr<Medium>(std::move(medium));
}

}  // namespace vellum
