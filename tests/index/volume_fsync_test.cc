// SPDX-License-Identifier: Apache-2.0
// What is written ahead of a file that grows by little from fsync to fsync.
#include <fmt/format.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <set>
#include <span>
#include <string>

#include "index/volume.h"
#include "media/borrowed_medium.h"
#include "tests/index/volume_fixture.h"
#include "tests/support/logged_lines.h"

namespace vellum {
namespace {

// Knows what was written as exactly as a file system knows its holes.
class WriteLog : public BorrowedMedium {
 public:
  using BorrowedMedium::BorrowedMedium;
  Status WriteBy(Writer write, uint64_t lba, ConstByteSpan data) override {
    if (data.size() / kSectorSize >= fails_from) {
      return Status(Errc::kDeviceError,
                    "injected: sector " + std::to_string(lba));
    }
    for (uint64_t i = 0; i < data.size() / kSectorSize; ++i) {
      written.insert(lba + i);
    }
    longest = std::max(longest, data.size() / kSectorSize);
    return BorrowedMedium::WriteBy(write, lba, data);
  }
  Result<SectorRange> NextAllocated(SectorRange from) override {
    if (search_fails) {
      searched = from.first;
      return Error{Errc::kDeviceError, "injected"};
    }
    const auto next = written.lower_bound(from.first);
    if (all_written && from.count > 0) return from;
    if (next == written.end() || *next >= from.end()) {
      return SectorRange{from.end(), 0};
    }
    return SectorRange{*next, 1};
  }
  uint64_t HostFreeBytes() const override { return host_free; }

  std::set<uint64_t> written;
  size_t longest = 0;
  size_t fails_from = SIZE_MAX;  // sectors at once
  bool all_written = false;
  bool search_fails = false;
  uint64_t searched = 0;
  uint64_t host_free = UINT64_MAX;
};

class VolumeFsyncTest : public VolumeTest {
 protected:
  void Make(uint32_t atomic_sectors = 1) {
    Format(32768, {}, atomic_sectors);
    geometry_ = udf::ReadDescription(*medium_)->geometry;
    log_ = std::make_unique<WriteLog>(medium_.get());
    ASSERT_OK(volume_->Attach(log_.get()));
  }

  // How many of `count` appends of `bytes` went to sectors that had been
  // written before.
  int Ahead(InodeNumber ino, int count, size_t bytes, bool synced) {
    EXPECT_OK(volume_->Open(ino));  // else nothing is reserved for it
    int ahead = 0;
    for (int i = 0; i < count; ++i) {
      const std::set<uint64_t> before = log_->written;
      EXPECT_OK(volume_->Append(ino, AsBytes(std::string(bytes, 'b'))));
      const uint64_t at = volume_->DataAddress(ino, i * bytes);
      ahead += static_cast<int>(
          before.count(geometry_.Sector(static_cast<uint32_t>(at))));
      if (synced) {
        EXPECT_OK(volume_->Fsync(ino));
      }
    }
    volume_->Close(ino);
    return ahead;
  }

  // That it holds so many 'b' and nothing else, and the volume is whole.
  void Check(InodeNumber ino, size_t bytes) {
    EXPECT_EQ(ReadAll(ino), std::string(bytes, 'b'));
    ASSERT_OK(volume_->Detach());
    EXPECT_EQ(FsckText(*medium_), "");
  }

  std::unique_ptr<WriteLog> log_;
  udf::Geometry geometry_;
};

// What the storage below has never written costs an fsync more.
TEST_F(VolumeFsyncTest, AFileThatGrowsFromFsyncToFsyncIsWrittenAhead) {
  Make();
  const InodeNumber file = MakeFile("log", "").ino;
  EXPECT_GT(Ahead(file, 400, 4096, true), 350);
  Check(file, 400 * 4096);
}

TEST_F(VolumeFsyncTest, NothingIsWrittenAheadForNothing) {
  Make();
  EXPECT_EQ(Ahead(MakeFile("never synced", "").ino, 200, 4096, false), 0);
  const InodeNumber large = MakeFile("large writes", "").ino;
  EXPECT_EQ(Ahead(large, 20, 256 << 10, true), 0);
  log_->host_free = 1 << 29;
  EXPECT_EQ(Ahead(MakeFile("full disk", "").ino, 200, 4096, true), 0);
  log_->host_free = UINT64_MAX;
  log_->all_written = true;
  log_->longest = 0;
  Ahead(MakeFile("no holes", "").ino, 200, 4096, true);
  EXPECT_LT(log_->longest, 256u);
  Check(large, 20 * (256 << 10));
}

// Nobody has asked for it, so it is nobody's error; but of a medium that fails
// the operator has to know.
TEST_F(VolumeFsyncTest, WhatCannotBeWrittenAheadIsLoggedAndFailsNoWrite) {
  Make();
  const InodeNumber file = MakeFile("log", "").ino;
  log_->fails_from = 100;
  const LoggedLines logged;
  EXPECT_LT(Ahead(file, 400, 4096, true), 100);
  EXPECT_GT(logged.Count("which a file may need next, cannot be filled: "
                         "injected: sector "),
            0);
  // A search for holes that fails tells no address.
  log_->fails_from = SIZE_MAX;
  log_->search_fails = true;
  EXPECT_LT(Ahead(MakeFile("other", "").ino, 400, 4096, true), 100);
  const uint64_t first = log_->searched - 2;  // behind a page
  EXPECT_GT(logged.Count(fmt::format("volume TEST: sectors {} to ", first)), 0);
  EXPECT_GT(logged.Count("cannot be filled: injected"), 0);
  Check(file, 400 * 4096);
}

// A drive that destroys units must not do that for nothing.
TEST_F(VolumeFsyncTest, NothingIsWrittenAheadWhereUnitsCanBeDestroyed) {
  Make(16);
  const InodeNumber file = MakeFile("log", "").ino;
  EXPECT_EQ(Ahead(file, 200, 65536, true), 0);
  Check(file, 200 * 65536);
}

}  // namespace
}  // namespace vellum
