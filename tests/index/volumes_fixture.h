// SPDX-License-Identifier: Apache-2.0
// A virtual library with volumes on its media, a catalog in memory, and
// Volumes over both.
#pragma once

#include <gtest/gtest.h>

#include <chrono>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "index/catalog.h"
#include "index/volumes.h"
#include "media/library.h"
#include "media/mutex.h"
#include "media/udf/format.h"
#include "media/virtual_library.h"
#include "tests/support/status_matchers.h"
#include "tests/support/temp_dir.h"

namespace vellum {

inline constexpr std::chrono::seconds kPatience{20};

// For state that nothing announces.
inline bool WaitUntil(const std::function<bool()>& condition) {
  const auto deadline = std::chrono::steady_clock::now() + kPatience;
  while (!condition()) {
    if (std::chrono::steady_clock::now() > deadline) return false;
    std::this_thread::sleep_for(std::chrono::milliseconds(1));
  }
  return true;
}

// Counts how operations ended, by number.
class Outcomes {
 public:
  // Notes the end of operation `key`; drops the use.
  Volumes::Operation Note(int key) {
    return [this, key](Result<VolumeUse> use) {
      MutexLock lock(&mu_);
      ends_[key].push_back(use.status());
      threads_[key] = std::this_thread::get_id();
      changed_.NotifyAll();
    };
  }
  bool WaitFor(size_t count) { return WaitFor(count, kPatience); }
  bool WaitFor(size_t count, std::chrono::nanoseconds timeout) {
    const auto deadline = std::chrono::steady_clock::now() + timeout;
    MutexLock lock(&mu_);
    while (CountLocked() < count) {
      const auto left = deadline - std::chrono::steady_clock::now();
      if (left.count() <= 0) return false;
      changed_.WaitFor(&mu_, left);
    }
    return true;
  }
  size_t count() {
    MutexLock lock(&mu_);
    return CountLocked();
  }
  // The end of operation `key`; kInternal when it did not end exactly once.
  Status End(int key) {
    MutexLock lock(&mu_);
    const auto it = ends_.find(key);
    if (it == ends_.end()) return Status(Errc::kInternal, "not called");
    if (it->second.size() != 1) {
      return Status(Errc::kInternal, "called more than once");
    }
    return it->second.front();
  }
  std::thread::id Thread(int key) {
    MutexLock lock(&mu_);
    return threads_[key];
  }

 private:
  size_t CountLocked() const REQUIRES(mu_) {
    size_t count = 0;
    for (const auto& entry : ends_) count += entry.second.size();
    return count;
  }

  Mutex mu_;
  CondVar changed_;
  std::map<int, std::vector<Status>> ends_ GUARDED_BY(mu_);
  std::map<int, std::thread::id> threads_ GUARDED_BY(mu_);
};

class VolumesTest : public testing::Test {
 protected:
  ~VolumesTest() override { Stop(); }

  // Media V00001, V00002, …, blank.
  void Start(uint16_t drives, uint16_t media,
             const VolumesOptions& options = QuickOptions()) {
    VirtualLibraryOptions geometry;
    geometry.drives = drives;
    geometry.media = media;
    geometry.capacity = 16 << 20;
    ASSERT_OK(InitVirtualLibrary(dir_.Sub("library"), geometry));
    ASSERT_OK_AND_ASSIGN(config_, ReadLibraryConfig(dir_.Sub("library")));
    Catalog::Options catalog;
    catalog.in_memory = catalog_env_ == nullptr;
    catalog.env = catalog_env_;
    ASSERT_OK_AND_ASSIGN(
        catalog_,
        Catalog::Open(catalog.in_memory ? "catalog" : dir_.Sub("catalog"),
                      catalog));
    OpenAll(options);
  }
  void OpenAll(const VolumesOptions& options = QuickOptions()) {
    ASSERT_OK_AND_ASSIGN(LibraryDevices devices, OpenVirtualLibrary(config_));
    ASSERT_OK_AND_ASSIGN(library_, Library::Open(std::move(devices.changer),
                                                 std::move(devices.drives)));
    ASSERT_OK_AND_ASSIGN(
        volumes_, Volumes::Open(catalog_.get(), library_.get(), options));
  }
  void Stop() {
    volumes_.reset();
    library_.reset();
  }

  // A residency that tests can wait for, no timed commits.
  static VolumesOptions QuickOptions() {
    VolumesOptions options;
    options.checkpoint_interval_ms = 0;
    options.min_residency_ms = 50;
    return options;
  }

  Result<MediumLease> Lease(const MediumId& medium,
                            LeaseMode mode = LeaseMode::kExclusive) {
    LeaseRequest request;
    request.medium = medium;
    request.mode = mode;
    request.owner = "test";
    std::vector<LeaseRequest> requests;
    requests.push_back(std::move(request));
    ASSIGN_OR_RETURN(std::vector<MediumLease> leases,
                     library_->AcquireAndWait(std::move(requests)));
    return std::move(leases.front());
  }

  // Formats the medium and makes the volume known. Not loaded afterwards.
  std::shared_ptr<Volume> MakeVolume(const MediumId& medium,
                                     const std::string& id,
                                     udf::Role role = udf::Role::kPrimary) {
    Result<MediumLease> lease = Lease(medium);
    EXPECT_OK(lease);
    if (!lease.ok()) return nullptr;
    udf::FormatOptions options;
    options.volume_id = id;
    options.role = role;
    const auto slot = udf::FormatVolume(lease->medium(), options);
    EXPECT_OK(slot);
    auto volume = volumes_->Identify(medium, lease->medium());
    EXPECT_OK(volume);
    return volume.ok() ? *volume : nullptr;
  }

  // Fills every drive but what the caller frees again: nothing loads meanwhile.
  MediumLease OccupyDrive(const MediumId& medium) {
    Result<MediumLease> lease = Lease(medium);
    EXPECT_OK(lease);
    return lease.ok() ? std::move(*lease) : MediumLease();
  }

  // Loads of all drives since the library was opened.
  uint64_t Loads() {
    uint64_t loads = 0;
    for (const DriveState& drive : library_->Drives()) loads += drive.loads;
    return loads;
  }

  TempDir dir_;
  std::shared_ptr<rocksdb::Env> catalog_env_;  // of Start; null: in memory
  LibraryConfig config_;
  std::unique_ptr<Catalog> catalog_;
  std::unique_ptr<Library> library_;
  std::unique_ptr<Volumes> volumes_;
};

}  // namespace vellum
