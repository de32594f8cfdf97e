// SPDX-License-Identifier: Apache-2.0
#include "tests/index/faulty_file_system.h"

#include <fcntl.h>
#include <pthread.h>
#include <rocksdb/env.h>
#include <rocksdb/system_clock.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <random>
#include <string_view>
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

// Zeros from `begin` to `end`.
void Clear(const std::string& name, uint64_t begin, uint64_t end) {
  const std::string zeros(end - begin, '\0');
  const int fd = open(name.c_str(), O_WRONLY | O_CLOEXEC);
  VELLUM_CHECK(fd >= 0);
  VELLUM_CHECK(
      pwrite(fd, zeros.data(), zeros.size(), static_cast<off_t>(begin)) ==
      static_cast<ssize_t>(zeros.size()));
  VELLUM_CHECK(close(fd) == 0);
}

// By the name that RocksDB gives to those of its pools.
bool IsThreadOfDatabase() {
  std::array<char, 16> name = {};
  return pthread_getname_np(pthread_self(), name.data(), name.size()) == 0 &&
         std::string_view(name.data()).rfind("rocksdb:", 0) == 0;
}

// Renames and deletions are durable at once: there is nothing to sync.
class Directory : public rocksdb::FSDirectoryWrapper {
 public:
  using FSDirectoryWrapper::FSDirectoryWrapper;
  IOStatus Fsync(const IOOptions&, IODebugContext*) override {
    return IOStatus::OK();
  }
  IOStatus FsyncWithDirOptions(const IOOptions&, IODebugContext*,
                               const rocksdb::DirFsyncOptions&) override {
    return IOStatus::OK();
  }
};

// RocksDB waits a second whenever work in the background fails.
class HastyClock : public rocksdb::SystemClockWrapper {
 public:
  using SystemClockWrapper::SystemClockWrapper;
  const char* Name() const override { return "HastyClock"; }
  void SleepForMicroseconds(int micros) override {
    target_->SleepForMicroseconds(std::min(micros, 1000));
  }
};

class HastyEnv : public rocksdb::EnvWrapper {
 public:
  explicit HastyEnv(std::unique_ptr<rocksdb::Env> target)
      : EnvWrapper(target.get()), owned_(std::move(target)) {
    file_system_ = owned_->GetFileSystem();
    system_clock_ = std::make_shared<HastyClock>(owned_->GetSystemClock());
  }

 private:
  const std::unique_ptr<rocksdb::Env> owned_;
};

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
        owner_->Struck();
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
  // Preallocation is for speed; hundreds of short sessions are quicker without.
  void PrepareWrite(size_t, size_t, const IOOptions&,
                    IODebugContext*) override {}
  IOStatus Allocate(uint64_t, uint64_t, const IOOptions&,
                    IODebugContext*) override {
    return IOStatus::OK();
  }

  Sizes& sizes() const { return *sizes_; }

 private:
  IOStatus DoSync(const IOOptions& options) {
    switch (owner_->Operation()) {
      case Fault::kNoPower:
        return PowerIsOff();
      case Fault::kFailedSync:
        // As below: what is lost is lost of the file.
        target()->Flush(options, nullptr).PermitUncheckedError();
        owner_->SyncFailed(this);
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

class FaultyFileSystem::Table : public rocksdb::FSRandomAccessFileOwnerWrapper {
 public:
  Table(FaultyFileSystem* owner,
        std::unique_ptr<rocksdb::FSRandomAccessFile> target)
      : FSRandomAccessFileOwnerWrapper(std::move(target)), owner_(owner) {}

  IOStatus Read(uint64_t offset, size_t bytes, const IOOptions& options,
                Slice* result, char* scratch,
                IODebugContext* dbg) const override {
    if (owner_->ReadFails()) return IOStatus::IOError("injected fault");
    return target()->Read(offset, bytes, options, result, scratch, dbg);
  }
  IOStatus MultiRead(rocksdb::FSReadRequest* requests, size_t count,
                     const IOOptions& options, IODebugContext* dbg) override {
    return FSRandomAccessFile::MultiRead(requests, count, options, dbg);
  }
  IOStatus Prefetch(uint64_t, size_t, const IOOptions&,
                    IODebugContext*) override {
    return IOStatus::NotSupported("reads only");
  }

 private:
  FaultyFileSystem* const owner_;
};

FaultyFileSystem::FaultyFileSystem()
    : FileSystemWrapper(rocksdb::FileSystem::Default()) {}

void FaultyFileSystem::IgnoreSyncs() {
  const MutexLock lock(&mu_);
  ignore_syncs_ = true;
}

void FaultyFileSystem::SetFreeSpace(uint64_t bytes) {
  MutexLock lock(&mu_);
  free_space_ = bytes;
}

IOStatus FaultyFileSystem::GetFreeSpace(const std::string&, const IOOptions&,
                                        uint64_t* bytes, IODebugContext*) {
  MutexLock lock(&mu_);
  *bytes = free_space_;
  return IOStatus::OK();
}

void FaultyFileSystem::SetFault(Fault fault) {
  const MutexLock lock(&mu_);
  fault_ = fault;
}

void FaultyFileSystem::FaultAt(uint64_t n, Fault fault) {
  const MutexLock lock(&mu_);
  fault_at_ = operations_ + n;
  next_fault_ = fault;
}

void FaultyFileSystem::FailReadAt(uint64_t n) {
  const MutexLock lock(&mu_);
  read_at_ = n;
  read_failed_ = background_read_failed_ = false;
}

bool FaultyFileSystem::read_failed() const {
  const MutexLock lock(&mu_);
  return read_failed_;
}

bool FaultyFileSystem::background_read_failed() const {
  const MutexLock lock(&mu_);
  return background_read_failed_;
}

bool FaultyFileSystem::ReadFails() {
  const MutexLock lock(&mu_);
  if (read_at_ == 0 || --read_at_ > 0) return false;
  background_read_failed_ = IsThreadOfDatabase();
  return read_failed_ = true;
}

bool FaultyFileSystem::power() const {
  const MutexLock lock(&mu_);
  return fault_ != Fault::kNoPower;
}

bool FaultyFileSystem::faulty() const {
  const MutexLock lock(&mu_);
  return fault_ != Fault::kNone;
}

bool FaultyFileSystem::struck() const {
  const MutexLock lock(&mu_);
  return struck_;
}

void FaultyFileSystem::Struck() {
  const MutexLock lock(&mu_);
  struck_ = true;
}

void FaultyFileSystem::SyncFailed(const File* file) {
  const MutexLock lock(&mu_);
  struck_ = true;
  file->sizes().failed = file->sizes().written;
}

uint64_t FaultyFileSystem::appends_and_syncs() const {
  const MutexLock lock(&mu_);
  return operations_;
}

FaultyFileSystem::Fault FaultyFileSystem::Operation() {
  const MutexLock lock(&mu_);
  if (++operations_ == fault_at_) fault_ = next_fault_;
  return fault_;
}

void FaultyFileSystem::Written(const File* file, uint64_t bytes) {
  const MutexLock lock(&mu_);
  file->sizes().written += bytes;
}

void FaultyFileSystem::Synced(const File* file) {
  const MutexLock lock(&mu_);
  if (!ignore_syncs_) file->sizes().synced = file->sizes().written;
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
    Clear(name, at, std::min(kept, (at / kPage + 1) * kPage));
  }
}

void FaultyFileSystem::LoseFailed(uint64_t seed) {
  std::mt19937_64 random(seed);
  const MutexLock lock(&mu_);
  for (const auto& [name, sizes] : files_) {
    if (sizes->failed <= sizes->synced) continue;
    const uint64_t lost = sizes->failed - sizes->synced;
    switch (seed % 4) {
      case 0:
        break;
      case 1:
        VELLUM_CHECK(
            truncate(name.c_str(), static_cast<off_t>(sizes->synced)) == 0);
        break;
      case 2:
        Clear(name, sizes->synced, sizes->failed);
        break;
      default:
        Clear(name, sizes->synced + random() % lost, sizes->failed);
    }
  }
}

IOStatus FaultyFileSystem::NewRandomAccessFile(
    const std::string& name, const rocksdb::FileOptions& options,
    std::unique_ptr<rocksdb::FSRandomAccessFile>* result, IODebugContext* dbg) {
  std::unique_ptr<rocksdb::FSRandomAccessFile> file;
  const IOStatus status =
      target()->NewRandomAccessFile(name, options, &file, dbg);
  if (!status.ok()) return status;
  *result = std::make_unique<Table>(this, std::move(file));
  return status;
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

IOStatus FaultyFileSystem::NewDirectory(
    const std::string& name, const IOOptions& options,
    std::unique_ptr<rocksdb::FSDirectory>* result, IODebugContext* dbg) {
  std::unique_ptr<rocksdb::FSDirectory> directory;
  const IOStatus status =
      target()->NewDirectory(name, options, &directory, dbg);
  if (!status.ok()) return status;
  *result = std::make_unique<Directory>(std::move(directory));
  return status;
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
  return std::make_shared<HastyEnv>(rocksdb::NewCompositeEnv(file_system));
}

}  // namespace vellum
