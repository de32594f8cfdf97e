// SPDX-License-Identifier: Apache-2.0
// A medium that is a (sparse) file: byte for byte what would be on the disc; or
// a block device.
#pragma once

#include <atomic>
#include <chrono>
#include <memory>
#include <optional>
#include <string>

#include "media/file_util.h"
#include "media/medium.h"

namespace vellum {

struct ImageMediumOptions {
  bool read_only = false;
  // Exact size in bytes that the file must have; 0: any number of whole
  // sectors.
  uint64_t capacity = 0;
  uint32_t atomic_sectors = 1;
  std::string name;  // for messages; empty: the path
  // A block device will do as well as a regular file. Nothing else can mount
  // or open it for itself while it is open for writing (O_EXCL).
  bool allow_block_device = false;
  // Lock the file as a drive does (flock(2), exclusive), as long as the medium
  // lives; while another process has such a lock, wait this long for it.
  std::optional<std::chrono::milliseconds> lock_timeout;
};

// Thread-safety: as Medium says; the kernel orders pread and pwrite.
class ImageMedium : public Medium {
 public:
  // A file without any write permission bit is a write-protected medium.
  // kNotFound, kAccessDenied, kDeviceError; kIncompatible for a wrong size;
  // kTimedOut when the lock was not to be had; of block devices kBusy (mounted)
  // and kNoMedium.
  // Every message names the path.
  static Result<std::unique_ptr<ImageMedium>> Open(
      const std::string& path, const ImageMediumOptions& options);

  MediumInfo Info() const override { return info_; }
  Status Read(uint64_t lba, ByteSpan out) override;
  Status Write(uint64_t lba, ConstByteSpan data) override;
  // O_DIRECT where the file system has it and the memory is aligned for it.
  Status WriteStream(uint64_t lba, ConstByteSpan data) override;
  Status Flush() override;
  Status Discard(uint64_t lba, uint64_t count) override;
  Result<SectorRange> NextAllocated(SectorRange from) override;
  void DropReadCache(uint64_t lba, uint64_t count) override;
  // Of the file's file system; a file without holes needs none.
  uint64_t HostFreeBytes() const override;
  int DirectFd() const override { return fd_.get(); }

 private:
  ImageMedium(UniqueFd fd, UniqueFd uncached, MediumInfo info)
      : fd_(std::move(fd)),
        uncached_(std::move(uncached)),
        info_(std::move(info)) {}

  Status WriteTo(int fd, uint64_t lba, ConstByteSpan data);

  const UniqueFd fd_;
  // The same file with O_DIRECT; invalid where that is not to be had.
  const UniqueFd uncached_;
  const MediumInfo info_;
  std::atomic<bool> refuses_uncached_{false};
  // The kernel forgets pages whose write-back failed: a later fdatasync would
  // report success for data that is gone.
  std::atomic<bool> flush_failed_{false};
};

// What is wrong with the file as a medium of `capacity` bytes, for the note of
// an element; empty when nothing is.
std::string DescribeImageProblem(const std::string& path, uint64_t capacity);

}  // namespace vellum
