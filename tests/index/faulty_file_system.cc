// SPDX-License-Identifier: Apache-2.0
#include "tests/index/faulty_file_system.h"

#include <fcntl.h>
#include <rocksdb/env.h>
#include <unistd.h>

#include <algorithm>
#include <random>
#include <utility>

#include "media/error.h"

namespace vellum {

using rocksdb::IODebugContext;
using rocksdb::IOOptions;
using rocksdb::IOStatus;
using rocksdb::Slice;

namespace {

constexpr uint64_t kPage = 4096;

IOStatus PowerIsOff() { return IOStatus::IOError("power is off"); }

}  // namespace

class FaultyFileSystem::File : public rocksdb::FSWritableFileOwnerWrapper {
 public:
  File(FaultyFileSystem* owner, std::shared_ptr<Sizes> sizes,
       std::unique_ptr<rocksdb::FSWritableFile> target)
      : FSWritableFileOwnerWrapper(std::move(target)),
        owner_(owner),
        sizes_(std::move(sizes)) {}

  IOStatus Append(const Slice& data, const IOOptions& options,
                  IODebugContext* dbg) override {
    switch (owner_->Operation()) {
      case Fault::kNoPower:
        return PowerIsOff();
      case Fault::kFull: {
        const Slice half(data.data(), data.size() / 2);
        const IOStatus status = target()->Append(half, options, dbg);
        if (!status.ok()) return status;
        owner_->Written(this, half.size());
        return IOStatus::NoSpace("disk is full");
      }
      case Fault::kFailedSync:
      case Fault::kNone:
        break;
    }
    const IOStatus status = target()->Append(data, options, dbg);
    if (status.ok()) owner_->Written(this, data.size());
    return status;
  }
  IOStatus Append(const Slice& data, const IOOptions& options,
                  const rocksdb::DataVerificationInfo&,
                  IODebugContext* dbg) override {
    return Append(data, options, dbg);
  }
  IOStatus Sync(const IOOptions& options, IODebugContext*) override {
    return DoSync(options);
  }
  IOStatus Fsync(const IOOptions& options, IODebugContext*) override {
    return DoSync(options);
  }
  IOStatus RangeSync(uint64_t, uint64_t, const IOOptions&,
                     IODebugContext*) override {
    return IOStatus::OK();  // promises nothing
  }

  Sizes& sizes() const { return *sizes_; }

 private:
  IOStatus DoSync(const IOOptions& options) {
    switch (owner_->Operation()) {
      case Fault::kNoPower:
        return PowerIsOff();
      case Fault::kFailedSync:
        return IOStatus::IOError("sync failed");
      case Fault::kFull:
      case Fault::kNone:
        break;
    }
    // What the file system below keeps in its own buffer must be in the file.
    const IOStatus status = target()->Flush(options, nullptr);
    if (status.ok()) owner_->Synced(this);
    return status;
  }

  FaultyFileSystem* const owner_;
  const std::shared_ptr<Sizes> sizes_;
};

FaultyFileSystem::FaultyFileSystem()
    : FileSystemWrapper(rocksdb::FileSystem::Default()) {}

void FaultyFileSystem::SetFault(Fault fault) {
  const MutexLock lock(&mu_);
  fault_ = fault;
}

void FaultyFileSystem::CutPowerAt(uint64_t n) {
  const MutexLock lock(&mu_);
  cut_at_ = operations_ + n;
}

bool FaultyFileSystem::power() const {
  const MutexLock lock(&mu_);
  return fault_ != Fault::kNoPower;
}

uint64_t FaultyFileSystem::appends_and_syncs() const {
  const MutexLock lock(&mu_);
  return operations_;
}

FaultyFileSystem::Fault FaultyFileSystem::Operation() {
  const MutexLock lock(&mu_);
  if (++operations_ == cut_at_) fault_ = Fault::kNoPower;
  return fault_;
}

void FaultyFileSystem::Written(const File* file, uint64_t bytes) {
  const MutexLock lock(&mu_);
  file->sizes().written += bytes;
}

void FaultyFileSystem::Synced(const File* file) {
  const MutexLock lock(&mu_);
  file->sizes().synced = file->sizes().written;
}

void FaultyFileSystem::LoseUnsynced(uint64_t seed) {
  std::mt19937_64 random(seed);
  const MutexLock lock(&mu_);
  for (const auto& [name, sizes] : files_) {
    const uint64_t unsynced = sizes->written - sizes->synced;
    const uint64_t kept = sizes->synced + random() % (unsynced + 1);
    VELLUM_CHECK(truncate(name.c_str(), static_cast<off_t>(kept)) == 0);
    if (kept == sizes->synced) continue;
    const uint64_t at = sizes->synced + random() % (kept - sizes->synced);
    const std::string zeros(std::min(kept, (at / kPage + 1) * kPage) - at,
                            '\0');
    const int fd = open(name.c_str(), O_WRONLY | O_CLOEXEC);
    VELLUM_CHECK(fd >= 0);
    VELLUM_CHECK(
        pwrite(fd, zeros.data(), zeros.size(), static_cast<off_t>(at)) ==
        static_cast<ssize_t>(zeros.size()));
    VELLUM_CHECK(close(fd) == 0);
  }
}

IOStatus FaultyFileSystem::NewWritableFile(
    const std::string& name, const rocksdb::FileOptions& options,
    std::unique_ptr<rocksdb::FSWritableFile>* result, IODebugContext* dbg) {
  if (!power()) return PowerIsOff();
  std::unique_ptr<rocksdb::FSWritableFile> file;
  const IOStatus status = target()->NewWritableFile(name, options, &file, dbg);
  if (!status.ok()) return status;
  auto sizes = std::make_shared<Sizes>();
  {
    const MutexLock lock(&mu_);
    files_[name] = sizes;
  }
  *result = std::make_unique<File>(this, std::move(sizes), std::move(file));
  return status;
}

IOStatus FaultyFileSystem::ReopenWritableFile(
    const std::string&, const rocksdb::FileOptions&,
    std::unique_ptr<rocksdb::FSWritableFile>*, IODebugContext*) {
  return IOStatus::NotSupported("files are not appended to");
}

IOStatus FaultyFileSystem::RenameFile(const std::string& from,
                                      const std::string& to,
                                      const IOOptions& options,
                                      IODebugContext* dbg) {
  if (!power()) return PowerIsOff();
  const IOStatus status = target()->RenameFile(from, to, options, dbg);
  if (!status.ok()) return status;
  const MutexLock lock(&mu_);
  const auto it = files_.find(from);
  if (it != files_.end()) {
    files_[to] = it->second;
    files_.erase(from);
  }
  return status;
}

IOStatus FaultyFileSystem::DeleteFile(const std::string& name,
                                      const IOOptions& options,
                                      IODebugContext* dbg) {
  if (!power()) return PowerIsOff();
  const IOStatus status = target()->DeleteFile(name, options, dbg);
  if (!status.ok()) return status;
  const MutexLock lock(&mu_);
  files_.erase(name);
  return status;
}

std::shared_ptr<rocksdb::Env> MakeEnv(
    const std::shared_ptr<FaultyFileSystem>& file_system) {
  return std::shared_ptr<rocksdb::Env>(rocksdb::NewCompositeEnv(file_system));
}

}  // namespace vellum
