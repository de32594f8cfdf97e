// SPDX-License-Identifier: Apache-2.0
// A volume that runs full: what was accepted finds room in a commit, whatever
// it is. Media without atomic units, and with small and large ones.
#include <fcntl.h>
#include <gtest/gtest.h>
#include <linux/falloc.h>

#include <map>
#include <memory>
#include <random>
#include <string>
#include <vector>

#include "index/volume.h"
#include "media/borrowed_medium.h"
#include "tests/index/volume_fixture.h"

namespace vellum {
namespace {

class VolumeFullTest : public testing::TestWithParam<uint32_t> {
 protected:
  void Make(uint64_t sectors) {
    MemoryMediumOptions options;
    options.sectors = sectors;
    options.atomic_sectors = GetParam();
    medium_ = std::make_unique<MemoryMedium>(options);
    udf::FormatOptions format;
    format.volume_id = "TEST";
    const Result<udf::ControlSlot> slot = udf::FormatVolume(*medium_, format);
    ASSERT_OK(slot);
    volume_ = std::make_unique<Volume>(
        catalog_.get(), RecordFor(*medium_, *slot, 1), VolumeOptions());
    ASSERT_OK(volume_->Attach(medium_.get()));
    root_ = volume_->root();
  }

  // As after an unmount and a mount.
  void Reload() {
    ASSERT_OK(volume_->Detach());
    EXPECT_EQ(FsckText(*medium_), "");
    ASSERT_OK(volume_->Attach(medium_.get()));
  }

  Result<Attr> Create(InodeNumber dir, const std::string& name) {
    return volume_->Create(dir, name, {});
  }
  Result<size_t> Write(InodeNumber ino, uint64_t offset, size_t bytes) {
    const Bytes data(bytes, std::byte{'d'});
    return volume_->Write(ino, offset, data);
  }

  // Until not even a sector is accepted.
  InodeNumber Fill() {
    const Result<Attr> file = Create(root_, "filler");
    EXPECT_OK(file);
    uint64_t filled = 0;
    for (size_t step = 1 << 20; step >= kSectorSize;) {
      const Result<size_t> n = Write(file->ino, filled, step);
      if (n.ok()) {
        filled += *n;
      } else {
        EXPECT_THAT(n, HasErrc(Errc::kNoSpace));
        step /= 2;
      }
    }
    return file->ino;
  }

  std::unique_ptr<Catalog> catalog_ = MemoryCatalog();
  std::unique_ptr<MemoryMedium> medium_;
  std::unique_ptr<Volume> volume_;
  InodeNumber root_ = 0;
};

INSTANTIATE_TEST_SUITE_P(AtomicSectors, VolumeFullTest,
                         testing::Values(1u, 16u, 32u));

TEST_P(VolumeFullTest, EveryFileOfAFullVolumeCanBeChangedAndRemoved) {
  Make(32768);
  constexpr int kFiles = 3000;
  std::vector<InodeNumber> files;
  for (int i = 0; i < kFiles; ++i) {
    const Result<Attr> file = Create(root_, "f" + std::to_string(i));
    ASSERT_OK(file);
    ASSERT_OK(Write(file->ino, 0, 100));
    files.push_back(file->ino);
  }
  ASSERT_OK(volume_->Sync());
  Fill();
  ASSERT_OK(volume_->Sync());
  for (const InodeNumber file : files) {
    AttrChange change;
    change.mode = 0600;
    ASSERT_OK(volume_->SetAttr(file, change));
  }
  ASSERT_OK(volume_->Sync());
  Reload();
  for (int i = 0; i < kFiles; ++i) {
    const Result<Attr> file = volume_->Lookup(root_, "f" + std::to_string(i));
    ASSERT_OK(file);
    ASSERT_EQ(file->attr.mode, 0600u) << i;
  }
  for (int i = 0; i < kFiles; ++i) {
    ASSERT_OK(volume_->Unlink(root_, "f" + std::to_string(i)));
  }
  ASSERT_OK(volume_->Unlink(root_, "filler"));
  ASSERT_OK(volume_->Sync());
  Reload();
  EXPECT_EQ(volume_->Space().inodes, 1u);
  EXPECT_OK(Create(root_, "room again"));
}

TEST_P(VolumeFullTest, WhatWasAcceptedBeforeTheVolumeWasFullIsThere) {
  for (const uint64_t seed : {1, 2, 3}) {
    Make(32768);
    std::mt19937_64 rng(seed);
    std::map<std::string, uint64_t> accepted;  // name -> size
    for (int refused = 0; refused < 20;) {
      const std::string name = "n" + std::to_string(rng());
      const Result<Attr> file = Create(root_, name);
      if (!file.ok()) {
        ASSERT_THAT(file, HasErrc(Errc::kNoSpace));
        ++refused;
        continue;
      }
      accepted[name] = 0;
      const size_t size = rng() % 4 == 0 ? rng() % 1000000 : rng() % 3000;
      if (size == 0) continue;
      const Result<size_t> n = Write(file->ino, 0, size);
      if (n.ok()) {
        accepted[name] = *n;
      } else {
        ASSERT_THAT(n, HasErrc(Errc::kNoSpace));
        ++refused;
      }
    }
    ASSERT_GT(accepted.size(), 100u);
    ASSERT_OK(volume_->Sync());
    Reload();
    for (const auto& [name, size] : accepted) {
      const Result<Attr> file = volume_->Lookup(root_, name);
      ASSERT_OK(file) << name;
      ASSERT_EQ(file->attr.size, size) << name;
    }
    ASSERT_OK(volume_->Detach());
    catalog_ = MemoryCatalog();
  }
}

TEST_P(VolumeFullTest, TreesThatAreMovedUntilNothingFits) {
  Make(16384);
  std::map<std::string, int> files;  // directory that is moved -> its files
  InodeNumber parent = root_;
  uint64_t made = 0;
  for (int round = 0;; ++round) {
    std::vector<std::string> names;
    bool full = false;
    for (int d = 0; d < 8 && !full; ++d) {
      const std::string name = std::to_string(round) + "." + std::to_string(d);
      NewInode inode;
      inode.type = udf::FileType::kDirectory;
      const Result<Attr> dir = volume_->Create(parent, name, inode);
      full = !dir.ok();
      if (full) break;
      names.push_back(name);
      for (int f = 0; f < 40 && !full; ++f) {
        const Result<Attr> file = Create(dir->ino, std::to_string(f));
        full = !file.ok();
        if (!full) ++made;
        if (!full) full = !Write(file->ino, 0, 3000).ok();
      }
    }
    NewInode inode;
    inode.type = udf::FileType::kDirectory;
    const Result<Attr> next =
        volume_->Create(parent, "k" + std::to_string(round), inode);
    if (full || !next.ok()) break;
    for (const std::string& name : names) {
      if (!volume_->Rename(parent, name, next->ino, name, RenameMode::kReplace)
               .ok()) {
        full = true;
      }
    }
    parent = next->ino;
    if (full) break;
  }
  ASSERT_GT(made, 500u);
  ASSERT_OK(volume_->Sync());
  const uint64_t inodes = volume_->Space().inodes;
  Reload();
  EXPECT_EQ(volume_->Space().inodes, inodes);
  const Result<udf::FsckReport> report = udf::CheckVolume(*medium_, {});
  ASSERT_OK(report);
  EXPECT_EQ(report->files, made);
}

// Names that stand one behind the other, in a directory for which there is no
// room elsewhere: more than a FID can swallow.
TEST_P(VolumeFullTest, D1_LongRunsOfNamesAreRemoved) {
  struct Case {
    size_t run, kept;  // so many go, so many stay, again and again
  };
  // With small units: more than what is left free can take.
  const size_t count = GetParam() == 1 ? 30000 : 3000;
  for (const Case& c : {Case{count, 0}, Case{900, 3}, Case{100, 40}}) {
    SCOPED_TRACE(c.run);
    catalog_ = MemoryCatalog();
    Make(GetParam() == 1 ? 32768 : 16384);
    NewInode directory;
    directory.type = udf::FileType::kDirectory;
    const Result<Attr> dir = volume_->Create(root_, "dir", directory);
    ASSERT_OK(dir);
    const Result<Attr> file = Create(root_, "file");
    ASSERT_OK(file);
    for (size_t i = 0; i < count; ++i) {
      ASSERT_OK(volume_->Link(file->ino, dir->ino, "n" + std::to_string(i)));
    }
    ASSERT_OK(volume_->Sync());
    Fill();
    ASSERT_OK(volume_->Sync());
    // What one commit adds stands on the medium in the order of the listing.
    std::vector<std::string> names;
    ASSERT_OK(volume_->ReadDir(dir->ino, 0, [&](const DirItem& item) {
      names.push_back(item.name);
      return true;
    }));
    ASSERT_EQ(names.size(), count);
    const auto goes = [&](size_t i) { return i % (c.run + c.kept) < c.run; };
    for (size_t i = 0; i < count; ++i) {
      if (goes(i)) {
        ASSERT_OK(volume_->Unlink(dir->ino, names[i])) << i;
      }
    }
    ASSERT_OK(volume_->Sync());
    Reload();
    uint64_t left = 0;
    for (size_t i = 0; i < count; ++i) {
      const Result<Attr> found = volume_->Lookup(dir->ino, names[i]);
      if (goes(i)) {
        ASSERT_THAT(found, HasErrc(Errc::kNotFound)) << names[i];
      } else {
        ASSERT_OK(found) << names[i];
        ++left;
      }
    }
    EXPECT_EQ(volume_->GetAttr(file->ino)->attr.links, left + 1);
    // What moved can be removed, too.
    for (size_t i = 0; i < count; ++i) {
      if (!goes(i)) {
        ASSERT_OK(volume_->Unlink(dir->ino, names[i])) << i;
      }
    }
    ASSERT_OK(volume_->Rmdir(root_, "dir"));
    ASSERT_OK(volume_->Sync());
    ASSERT_OK(volume_->Detach());
    EXPECT_EQ(FsckText(*medium_), "");
  }
}

// A directory that was written anew in its place, shorter, grows again after
// others took what it gave up.
TEST_P(VolumeFullTest, D1_ADirectoryThatShrankGrowsElsewhere) {
  Make(16384);
  NewInode directory;
  directory.type = udf::FileType::kDirectory;
  const Result<Attr> dir = volume_->Create(root_, "dir", directory);
  ASSERT_OK(dir);
  const auto name = [](int i) { return "name" + std::to_string(i); };
  constexpr int kNames = 1000;
  const Result<Attr> file = Create(root_, "file");
  ASSERT_OK(file);
  for (int i = 0; i < kNames; ++i) {
    ASSERT_OK(volume_->Link(file->ino, dir->ino, name(i)));
    if (i % 100 == 0) {
      ASSERT_OK(volume_->Sync());
    }
  }
  ASSERT_OK(volume_->Sync());
  const InodeNumber filler = Fill();
  ASSERT_OK(volume_->Sync());
  for (int i = 0; i < kNames; ++i) {
    if (i % 5 != 0) {
      ASSERT_OK(volume_->Unlink(dir->ino, name(i)));
    }
  }
  ASSERT_OK(volume_->Sync());
  ASSERT_OK(volume_->Sync());
  const uint64_t size = volume_->GetAttr(filler)->attr.size;
  uint64_t more = 0;
  while (Write(filler, size + more, kSectorSize).ok()) more += kSectorSize;
  ASSERT_OK(volume_->Sync());
  int made = 0;
  while (
      volume_->Link(file->ino, dir->ino, "again" + std::to_string(made)).ok()) {
    ++made;
    if (made == 3 * kNames) break;
  }
  ASSERT_OK(volume_->Sync());
  Reload();
  for (int i = 0; i < made; ++i) {
    ASSERT_OK(volume_->Lookup(dir->ino, "again" + std::to_string(i))) << i;
  }
}

TEST_P(VolumeFullTest, HolesAreMadeAllOverAFullVolume) {
  Make(16384);
  const InodeNumber filler = Fill();
  ASSERT_OK(volume_->Sync());
  const uint64_t sectors = volume_->GetAttr(filler)->attr.size / kSectorSize;
  for (uint64_t s = 0; s + 1 < sectors; s += 2) {
    ASSERT_OK(volume_->Fallocate(filler, 3, s * kSectorSize, kSectorSize)) << s;
  }
  ASSERT_OK(volume_->Sync());
  Reload();
  EXPECT_LT(volume_->GetAttr(filler)->allocated,
            sectors * kSectorSize * 6 / 10);
}

TEST_P(VolumeFullTest, AVolumeThatIsNotLoadedTakesNoChanges) {
  Make(16384);
  const Result<Attr> file = Create(root_, "file");
  ASSERT_OK(file);
  ASSERT_OK(volume_->Detach());
  EXPECT_THAT(volume_->Unlink(root_, "file"), HasErrc(Errc::kNotReady));
  EXPECT_THAT(Create(root_, "other"), HasErrc(Errc::kNotReady));
  EXPECT_THAT(Write(file->ino, 0, 1), HasErrc(Errc::kNotReady));
  EXPECT_OK(volume_->Sync());
}

TEST_P(VolumeFullTest, AFailedCommitIsToldToEveryoneWhoAsks) {
  class NoFlush : public BorrowedMedium {
   public:
    using BorrowedMedium::BorrowedMedium;
    Status Flush() override {
      if (fails) return Status(Errc::kDeviceError, "flush: a test");
      return BorrowedMedium::Flush();
    }
    bool fails = false;
  };
  Make(16384);
  ASSERT_OK(volume_->Detach());
  NoFlush medium(medium_.get());
  ASSERT_OK(volume_->Attach(&medium));
  const Result<Attr> file = Create(root_, "lost");
  ASSERT_OK(file);
  medium.fails = true;
  for (int i = 0; i < 3; ++i) {
    EXPECT_THAT(volume_->Sync(), HasErrc(Errc::kDeviceError)) << i;
    EXPECT_THAT(volume_->Fsync(file->ino), HasErrc(Errc::kDeviceError)) << i;
  }
  EXPECT_THAT(volume_->CheckNothingToLose(), HasErrc(Errc::kBusy));
}

// statfs says what can be written, neither more nor less.
TEST_P(VolumeFullTest, WhatIsFreeCanBeWritten) {
  Make(32768);
  for (int round = 0; round < 4; ++round) {
    const uint64_t free = volume_->Space().free_blocks;
    ASSERT_GT(free, 1000u) << round;
    const std::string name = "part" + std::to_string(round);
    ASSERT_OK_AND_ASSIGN(const Attr file, Create(root_, name));
    // All of it in the last round, in pieces that leave no gaps.
    const uint64_t wanted = round == 3 ? free : free / 2;
    uint64_t written = 0;
    for (uint64_t step = 256; step > 0;) {
      const uint64_t n = std::min(step, wanted + 64 - written);
      if (n == 0) break;
      const Result<size_t> done =
          Write(file.ino, written * kSectorSize, n * kSectorSize);
      if (done.ok()) {
        written += n;
        continue;
      }
      ASSERT_THAT(done, HasErrc(Errc::kNoSpace));
      step /= 2;
    }
    // A few blocks go to descriptors and to the directory.
    EXPECT_GE(written + 16, wanted) << round;
    EXPECT_LE(written, wanted + 64) << round;
    ASSERT_OK(volume_->Sync());
    if (round < 3) continue;
    EXPECT_LE(written, free + 16);
    EXPECT_LE(volume_->Space().free_blocks, 16u);
  }
  Reload();
  EXPECT_LE(volume_->Space().free_blocks, 16u);
}

TEST_P(VolumeFullTest, NothingIsReservedBehindTheEndOfAFile) {
  Make(32768);
  ASSERT_OK_AND_ASSIGN(const Attr file, Create(root_, "file"));
  ASSERT_OK(Write(file.ino, 0, 100'000));
  const uint64_t free = volume_->Space().free_blocks;
  // Refused, not promised: not even if there is room.
  EXPECT_THAT(
      volume_->Fallocate(file.ino, FALLOC_FL_KEEP_SIZE, 50'000, 100'000),
      HasErrc(Errc::kNotSupported));
  EXPECT_THAT(
      volume_->Fallocate(file.ino, FALLOC_FL_KEEP_SIZE | FALLOC_FL_ZERO_RANGE,
                         0, 200'000),
      HasErrc(Errc::kNotSupported));
  EXPECT_EQ(volume_->Space().free_blocks, free);
  // Up to the end of the last sector it is kept.
  EXPECT_OK(volume_->Fallocate(file.ino, FALLOC_FL_KEEP_SIZE, 0, 100'352));
  ASSERT_OK_AND_ASSIGN(const Attr attr, volume_->GetAttr(file.ino));
  EXPECT_EQ(attr.attr.size, 100'000u);
}

}  // namespace
}  // namespace vellum
