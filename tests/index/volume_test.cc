// SPDX-License-Identifier: Apache-2.0
// Volume on a medium in memory: random operations against a model, over commits
// and loads; then one test for each rule that a user relies on.
#include "index/volume.h"

#include <fmt/format.h>
#include <gmock/gmock.h>
#include <linux/falloc.h>

#include <algorithm>
#include <array>

#include "index/snapshot.h"
#include "media/borrowed_medium.h"
#include "media/udf/codec.h"
#include "media/udf/reader.h"
#include "tests/index/volume_fixture.h"
#include "tests/index/volume_model.h"

namespace vellum {
namespace {

// A seed, and sectors of the medium's atomic unit.
using FuzzCase = std::tuple<uint64_t, uint32_t>;

class VolumeFuzzTest : public VolumeTest,
                       public testing::WithParamInterface<FuzzCase> {};

TEST_P(VolumeFuzzTest, MatchesTheModelOverCommitsAndLoads) {
  const auto [seed, atomic_sectors] = GetParam();
  Make(16384, {}, atomic_sectors);
  VolumeFuzzer fuzzer(volume_.get(), seed, {});
  std::mt19937_64 rng(seed + 77);
  for (int round = 0; round < 12; ++round) {
    for (int i = 0; i < 60; ++i) {
      fuzzer.Step();
      if (HasFatalFailure()) FAIL() << fuzzer.last();
      if (rng() % 25 == 0) {
        ASSERT_OK(volume_->Sync());
      }
    }
    ExpectVolumeIs(volume_.get(), fuzzer.model());
    if (HasFatalFailure()) FAIL() << "after " << fuzzer.last();
    if (round % 3 == 2) {
      ASSERT_OK(volume_->Detach());
      ASSERT_EQ(FsckText(*medium_), "");
      ASSERT_EQ(CompareMedium(medium_.get(), fuzzer.model()), "");
      if (round == 8) {
        // The catalog is lost: the medium tells everything.
        catalog_ = MemoryCatalog();
        const Result<udf::ControlSlot> slot = udf::ReadControlSlot(*medium_);
        ASSERT_OK(slot);
        volume_ = std::make_unique<Volume>(
            catalog_.get(), RecordFor(*medium_, *slot, 7), VolumeOptions());
        fuzzer.SetVolume(volume_.get());
      }
      ASSERT_OK(volume_->Attach(medium_.get()));
      ExpectVolumeIs(volume_.get(), fuzzer.model());
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Seeds, VolumeFuzzTest,
                         testing::Combine(testing::Range<uint64_t>(1, 21),
                                          testing::Values(1, 16, 32)));

// Zeros nobody wrote would be read, or an end would be lost, with the next
// commit for ever.
TEST_F(VolumeTest, AnInlineFileOfAnotherSizeThanTheCatalogSaysIsCorruption) {
  const std::string text = "ten bytes.";
  for (const uint64_t size : {1500, 5, 1 << 20}) {
    SCOPED_TRACE(size);
    Make(8192);
    const InodeNumber ino = MakeFile("file", text).ino;
    ASSERT_OK(volume_->Detach());
    Result<InodeRecord> inode = catalog_->GetInode(1, ino);
    ASSERT_OK(inode);
    ASSERT_TRUE(inode->inline_data);
    inode->attr.size = size;
    CatalogBatch batch;
    batch.PutInode(1, ino, *inode);
    ASSERT_OK(catalog_->Write(batch, Sync::kNo));
    ASSERT_OK(volume_->Attach(medium_.get()));
    Bytes out(4);
    EXPECT_THAT(volume_->Read(ino, 0, out), HasErrc(Errc::kCorruption));
    EXPECT_THAT(volume_->Write(ino, 2, AsBytes("x")),
                HasErrc(Errc::kCorruption));
    AttrChange change;
    change.size = 3;
    EXPECT_THAT(volume_->SetAttr(ino, change), HasErrc(Errc::kCorruption));
    // The commit takes the content from the entry as well.
    change = {};
    change.mode = 0600;
    ASSERT_OK(volume_->SetAttr(ino, change));
    EXPECT_THAT(volume_->Sync(), HasErrc(Errc::kCorruption));
    // And what is there stays.
    volume_.reset();
    const auto reader = udf::Reader::Open(medium_.get());
    ASSERT_OK(reader);
    const Result<udf::FileEntry> entry = (*reader)->ReadEntry(ino);
    ASSERT_OK(entry);
    const ConstByteSpan want = AsBytes(text);
    EXPECT_EQ(entry->inline_data, Bytes(want.begin(), want.end()));
  }
}

TEST_F(VolumeTest, SyncMakesAGenerationAndDetachClosesTheVolume) {
  Make(8192);
  const Generation before = volume_->generation();
  const Attr file = MakeFile("a", "hello");
  EXPECT_TRUE(volume_->dirty());
  ASSERT_OK(volume_->Sync());
  EXPECT_FALSE(volume_->dirty());
  EXPECT_EQ(volume_->generation().number, before.number + 1);
  ASSERT_OK(volume_->Sync());  // nothing changed: no generation
  EXPECT_EQ(volume_->generation().number, before.number + 1);
  ASSERT_OK(volume_->Detach());
  const Result<udf::ControlSlot> slot = udf::ReadControlSlot(*medium_);
  ASSERT_OK(slot);
  EXPECT_EQ(slot->state, udf::SlotState::kClean);
  EXPECT_EQ(slot->generation, volume_->generation());
  EXPECT_EQ(FsckText(*medium_), "");
  // Metadata is still answered; data is not.
  EXPECT_EQ(volume_->Lookup(volume_->root(), "a")->attr.size, 5u);
  Bytes buffer(5);
  EXPECT_THAT(volume_->Read(file.ino, 0, buffer), HasErrc(Errc::kNotReady));
}

TEST_F(VolumeTest, ALoadWithoutChangesWritesNothing) {
  Make(8192);
  MakeFile("a", "hello");
  ASSERT_OK(volume_->Detach());
  const Generation generation = volume_->generation();
  const Result<udf::ControlSlot> before = udf::ReadControlSlot(*medium_);
  ASSERT_OK(volume_->Attach(medium_.get()));
  ASSERT_OK(volume_->Detach());
  const Result<udf::ControlSlot> after = udf::ReadControlSlot(*medium_);
  EXPECT_EQ(volume_->generation(), generation);
  EXPECT_EQ(before->epoch, after->epoch);
}

TEST_F(VolumeTest, AnUnlinkedOpenFileKeepsItsContentOverCommitsAndLoads) {
  Make(8192);
  const std::string content(300'000, 'x');
  const Attr file = MakeFile("a", content);
  ASSERT_OK(volume_->Open(file.ino));
  ASSERT_OK(volume_->Sync());
  const uint64_t used = volume_->record().used_blocks;
  ASSERT_OK(volume_->Unlink(volume_->root(), "a"));
  for (int i = 0; i < 4; ++i) {
    MakeFile("b" + std::to_string(i), std::string(400'000, 'y'));
    ASSERT_OK(volume_->Sync());
  }
  EXPECT_TRUE(ReadAll(file.ino) == content);
  EXPECT_EQ(volume_->GetAttr(file.ino)->attr.links, 0u);
  ASSERT_OK(volume_->Detach());
  EXPECT_EQ(FsckText(*medium_), "");
  ASSERT_OK(volume_->Attach(medium_.get()));
  MakeFile("c", std::string(2'000'000, 'z'));
  ASSERT_OK(volume_->Sync());
  EXPECT_TRUE(ReadAll(file.ino) == content);
  volume_->Close(file.ino);
  EXPECT_THAT(volume_->GetAttr(file.ino), HasErrc(Errc::kStale));
  for (int i = 0; i < 4; ++i) {
    ASSERT_OK(volume_->Unlink(volume_->root(), "b" + std::to_string(i)));
  }
  ASSERT_OK(volume_->Unlink(volume_->root(), "c"));
  for (int i = 0; i < 3; ++i) {
    MakeFile("d" + std::to_string(i), "");
    ASSERT_OK(volume_->Sync());
  }
  EXPECT_LT(volume_->record().used_blocks, used);
}

TEST_F(VolumeTest, NoSpaceComesFromWriteAndDeletedSpaceComesBack) {
  Make(8192);
  std::vector<std::string> names;
  Status last;
  for (int i = 0; i < 1000 && last.ok(); ++i) {
    const std::string name = "f" + std::to_string(i);
    const Result<Attr> attr = volume_->Create(volume_->root(), name, {});
    if (!attr.ok()) {
      last = attr.status();
      break;
    }
    names.push_back(name);
    last = volume_->Write(attr->ino, 0, AsBytes(std::string(200'000, 'x')))
               .status();
  }
  ASSERT_THAT(last, HasErrc(Errc::kNoSpace));
  ASSERT_OK(volume_->Sync());
  // A full volume lets names go, and gives the space at once to a new file.
  for (const std::string& name : names) {
    ASSERT_OK(volume_->Unlink(volume_->root(), name));
  }
  const Result<Attr> again = volume_->Create(volume_->root(), "again", {});
  ASSERT_OK(again);
  ASSERT_OK(
      volume_->Write(again->ino, 0, AsBytes(std::string(6'000'000, 'y'))));
  ASSERT_OK(volume_->Detach());
  EXPECT_EQ(FsckText(*medium_), "");
}

TEST_F(VolumeTest, I5_TheThresholdStopsWritesAndMayBeChanged) {
  Make(8192);
  ASSERT_OK(volume_->SetThreshold(50));
  const Attr file = MakeFile("a", "");
  const std::string half(6'500'000, 'x');
  ASSERT_OK(volume_->Write(file.ino, 0, AsBytes(half)));
  EXPECT_THAT(volume_->Write(file.ino, half.size(), AsBytes(half)),
              HasErrc(Errc::kNoSpace));
  ASSERT_OK(volume_->SetThreshold(100));
  ASSERT_OK(volume_->Write(file.ino, half.size(),
                           AsBytes(std::string(4'000'000, 'y'))));
  EXPECT_THAT(volume_->SetThreshold(0), HasErrc(Errc::kInvalidArgument));
  EXPECT_THAT(volume_->SetThreshold(101), HasErrc(Errc::kInvalidArgument));
  ASSERT_OK(volume_->Detach());
  EXPECT_EQ(udf::ReadControlSlot(*medium_)->threshold, 100u);
}

TEST_F(VolumeTest, ASnapshotIsOneGenerationWhileTheVolumeChanges) {
  Make(16384);
  VolumeFuzzer fuzzer(volume_.get(), 99, {});
  for (int i = 0; i < 150; ++i) fuzzer.Step();
  Result<std::unique_ptr<VolumeSnapshot>> snapshot = volume_->TakeSnapshot();
  ASSERT_OK(snapshot);
  const Model then = fuzzer.model();
  for (int round = 0; round < 8; ++round) {
    for (int i = 0; i < 40; ++i) {
      fuzzer.Step();
      if (HasFatalFailure()) FAIL() << fuzzer.last();
    }
    ASSERT_OK(volume_->Sync());
  }
  // What the snapshot shows, as a medium of its own.
  MemoryMedium image(16384);
  Bytes sector(kSectorSize);
  for (uint64_t s = 0; s < 16384; ++s) {
    if (!(*snapshot)->UsesSector(s)) continue;
    ASSERT_OK((*snapshot)->Read(s, sector));
    ASSERT_OK(image.Write(s, sector));
  }
  ASSERT_OK((*snapshot)->CheckWhole());
  EXPECT_EQ(CompareMedium(&image, then), "");
  ExpectVolumeIs(volume_.get(), fuzzer.model());
  snapshot->reset();
  for (int i = 0; i < 100; ++i) fuzzer.Step();
  ASSERT_OK(volume_->Detach());
  EXPECT_EQ(FsckText(*medium_), "");
  EXPECT_EQ(CompareMedium(medium_.get(), fuzzer.model()), "");
}

TEST_F(VolumeTest, V1_ChangedRegionsLeadFromOneSnapshotToTheNext) {
  Make(16384);
  VolumeFuzzer fuzzer(volume_.get(), 5, {});
  MemoryMedium copy(16384);
  Generation held;
  for (int round = 0; round < 10; ++round) {
    for (int i = 0; i < 50; ++i) {
      fuzzer.Step();
      if (HasFatalFailure()) FAIL() << fuzzer.last();
    }
    Result<std::unique_ptr<VolumeSnapshot>> snapshot = volume_->TakeSnapshot();
    ASSERT_OK(snapshot);
    RegionSet regions = (*snapshot)->UsedRegions();
    if (round > 0) {
      Result<RegionSet> changed = (*snapshot)->ChangedSince(held);
      ASSERT_OK(changed);
      regions = std::move(*changed);
    }
    Bytes region(kRegionSize);
    for (const RegionSet::Run& run : regions.Runs()) {
      for (uint64_t r = run.first; r < run.first + run.count; ++r) {
        ASSERT_OK((*snapshot)->Read(r * kRegionSectors, region));
        ASSERT_OK(copy.Write(r * kRegionSectors, region));
      }
    }
    held = (*snapshot)->generation();
    Bytes a(kSectorSize), b(kSectorSize);
    for (uint64_t s = 0; s < 16384; ++s) {
      if (!(*snapshot)->UsesSector(s)) continue;
      ASSERT_OK((*snapshot)->Read(s, a));
      ASSERT_OK(copy.Read(s, b));
      ASSERT_TRUE(a == b) << "sector " << s << " in round " << round;
    }
    EXPECT_EQ(CompareMedium(&copy, fuzzer.model()), "");
  }
}

class FlushCounter : public BorrowedMedium {
 public:
  using BorrowedMedium::BorrowedMedium;
  Status Flush() override {
    ++flushes;
    return BorrowedMedium::Flush();
  }
  int flushes = 0;
};

// The first commit of a load, large ones and those behind them flush what the
// record relies on; then each small change costs one flush.
TEST_F(VolumeTest, AnFsyncOfASmallChangeFlushesOnce) {
  Make(8192);
  ASSERT_OK(volume_->Detach());
  FlushCounter counter(medium_.get());
  ASSERT_OK(volume_->Attach(&counter));
  const Attr file = MakeFile("log", "");
  ASSERT_OK(volume_->Sync());
  const auto cost = [&](const std::string& text) {
    counter.flushes = 0;
    EXPECT_OK(volume_->Append(file.ino, AsBytes(text)));
    EXPECT_OK(volume_->Fsync(file.ino));
    return counter.flushes;
  };
  const std::string block(4096, 'b');
  for (int i = 0; i < 100; ++i) EXPECT_EQ(cost(block), 1) << i;
  EXPECT_EQ(cost(std::string(1 << 20, 'l')), 2);
  EXPECT_EQ(cost(block), 1);
  EXPECT_EQ(ReadAll(file.ino).size(), 101 * block.size() + (1 << 20));
  ASSERT_OK(volume_->Detach());
  EXPECT_EQ(FsckText(*medium_), "");
}

TEST_F(VolumeTest, AFailedCommitFreezesTheVolumeUntilItIsLoadedAnew) {
  VolumeOptions options;
  bool fail = false;
  options.on_commit_step = [&fail](CommitStep step) {
    if (fail && step == CommitStep::kRecordFlushed) {
      return Status(Errc::kDeviceError, "commit failed");
    }
    return Status::Ok();
  };
  Make(8192, options);
  const Attr kept = MakeFile("kept", "kept");
  ASSERT_OK(volume_->Sync());
  fail = true;
  MakeFile("b", "b");
  EXPECT_THAT(volume_->Sync(), HasErrc(Errc::kDeviceError));
  EXPECT_THAT(volume_->Create(volume_->root(), "c", {}),
              HasErrc(Errc::kReadOnly));
  EXPECT_EQ(ReadAll(kept.ino), "kept");
  EXPECT_THAT(volume_->Detach(), HasErrc(Errc::kDeviceError));
  fail = false;
  ASSERT_OK(volume_->Attach(medium_.get()));
  // The record had reached the medium: its generation counts.
  EXPECT_OK(volume_->Lookup(volume_->root(), "b"));
  ASSERT_OK(volume_->Create(volume_->root(), "c", {}));
  ASSERT_OK(volume_->Detach());
  EXPECT_EQ(FsckText(*medium_), "");
}

TEST_F(VolumeTest, WriteProtectedMediaAreReplayedInMemory) {
  Make(8192);
  MakeFile("a", "hello");
  ASSERT_OK(volume_->Sync());
  const std::unique_ptr<MemoryMedium> copy = medium_->Clone();
  copy->SetWriteProtected(true);
  Volume reader(catalog_.get(), volume_->record(), {});
  ASSERT_OK(reader.Attach(copy.get()));
  const Result<Attr> attr = reader.Lookup(reader.root(), "a");
  ASSERT_OK(attr);
  Bytes out(5);
  ASSERT_OK(reader.Read(attr->ino, 0, out));
  EXPECT_THAT(reader.Create(reader.root(), "b", {}),
              HasErrc(Errc::kWriteProtected));
  ASSERT_OK(reader.Detach());
}

TEST_F(VolumeTest, MediaWithUnitsBeyondARegionAreReadNotWritten) {
  Make(8192);
  MakeFile("a", "hello");
  ASSERT_OK(volume_->Detach());
  MemoryMediumOptions options;
  options.sectors = 8192;
  options.atomic_sectors = 64;
  MemoryMedium units(options);
  Bytes content(8192 * kSectorSize);
  ASSERT_OK(medium_->Read(0, content));
  ASSERT_OK(units.Write(0, content));
  ASSERT_OK(volume_->Attach(&units));
  EXPECT_EQ(ReadAll(volume_->Lookup(volume_->root(), "a")->ino), "hello");
  EXPECT_THAT(volume_->Create(volume_->root(), "b", {}),
              HasErrc(Errc::kWriteProtected));
  ASSERT_OK(volume_->Detach());
}

TEST_F(VolumeTest, AnotherVolumeOnTheMediumIsNoticed) {
  Make(8192);
  ASSERT_OK(volume_->Detach());
  udf::FormatOptions format;
  format.volume_id = "OTHER";
  format.clear = true;
  ASSERT_OK(udf::FormatVolume(*medium_, format));
  const Status status = volume_->Attach(medium_.get());
  ASSERT_THAT(status, HasErrc(Errc::kNoMedium));
  EXPECT_NE(status.error().message.find("OTHER"), std::string::npos);
}

TEST_F(VolumeTest, ManyExtentsGoThroughDescriptorBlocks) {
  Make(65536);
  const Attr file = MakeFile("a", "");
  // Every other sector written: 3,000 extents.
  const std::string sector(kSectorSize, 'x');
  for (uint64_t i = 0; i < 3000; ++i) {
    ASSERT_OK(volume_->Write(file.ino, i * 2 * kSectorSize, AsBytes(sector)));
  }
  ASSERT_OK(volume_->Sync());
  for (uint64_t i = 0; i < 3000; i += 7) {
    ASSERT_OK(volume_->Write(file.ino, i * 2 * kSectorSize + 5, AsBytes("yy")));
  }
  const std::string before = ReadAll(file.ino);
  ASSERT_OK(volume_->Detach());
  EXPECT_EQ(FsckText(*medium_), "");
  ASSERT_OK(volume_->Attach(medium_.get()));
  EXPECT_TRUE(ReadAll(file.ino) == before);
  AttrChange change;
  change.size = 100;
  ASSERT_OK(volume_->SetAttr(file.ino, change));
  ASSERT_OK(volume_->Detach());
  EXPECT_EQ(FsckText(*medium_), "");
}

TEST_F(VolumeTest, ABitmapThatRottedStopsChangesAtTheNextLoad) {
  Make(8192);
  const Attr file = MakeFile("a", std::string(100'000, 'a'));
  ASSERT_OK(volume_->Detach());
  // The newest record does not have the bitmap, so no replay puts it right.
  ASSERT_OK(volume_->Attach(medium_.get()));
  AttrChange change;
  change.mode = 0600;
  ASSERT_OK(volume_->SetAttr(file.ino, change));
  ASSERT_OK(volume_->Detach());
  // Blocks that are in use are called free.
  const udf::Geometry geometry = volume_->record().geometry;
  const uint64_t at = geometry.Sector(udf::kBitmapBlock) * kSectorSize + 24;
  std::array<std::byte, 1> bits;
  medium_->Peek(at, bits);
  ASSERT_EQ(bits[0], std::byte{0});
  bits[0] = std::byte{0x10};
  medium_->Poke(at, bits);
  ASSERT_OK(volume_->Attach(medium_.get()));
  EXPECT_EQ(ReadAll(file.ino), std::string(100'000, 'a'));
  const Status refused = volume_->Create(volume_->root(), "b", {}).status();
  EXPECT_THAT(refused, HasErrc(Errc::kReadOnly));
  EXPECT_NE(refused.error().message.find("fsck"), std::string::npos);
  ASSERT_OK(volume_->Detach());
  EXPECT_NE(FsckText(*medium_), "");
  // Put right, it takes changes again.
  bits[0] = std::byte{0};
  medium_->Poke(at, bits);
  ASSERT_OK(volume_->Attach(medium_.get()));
  EXPECT_OK(volume_->Create(volume_->root(), "b", {}));
  ASSERT_OK(volume_->Detach());
}

TEST_F(VolumeTest, ACommitThatMeetsDamageCallsItSo) {
  Make(8192);
  const Attr file = MakeFile("a", "a");
  ASSERT_OK(volume_->Detach());
  // The newest record does not have the directory, so no replay puts it right.
  ASSERT_OK(volume_->Attach(medium_.get()));
  AttrChange change;
  change.mode = 0600;
  ASSERT_OK(volume_->SetAttr(file.ino, change));
  ASSERT_OK(volume_->Detach());
  uint32_t block = 0;
  {
    const auto reader = udf::Reader::Open(medium_.get());
    ASSERT_OK(reader);
    const auto root = (*reader)->ReadEntry((*reader)->root_block());
    ASSERT_OK(root);
    block = root->extents.at(0).block;
  }
  const uint64_t at = volume_->record().geometry.Sector(block) * kSectorSize;
  medium_->Poke(at + 4, AsBytes("x"));  // the checksum of its first entry
  ASSERT_OK(volume_->Attach(medium_.get()));
  // The catalog knows the directory; that it is damaged only the commit sees.
  ASSERT_OK(volume_->Create(volume_->root(), "b", {}));
  const std::string where = "block " + std::to_string(block);
  for (int i = 0; i < 2; ++i) {
    const Status status = volume_->Sync();
    EXPECT_THAT(status, HasErrc(Errc::kCorruption));
    EXPECT_NE(status.error().message.find(where), std::string::npos);
  }
  EXPECT_THAT(volume_->Detach(), HasErrc(Errc::kCorruption));
}

TEST_F(VolumeTest, AFullVolumeKeepsWhatPreallocationPromised) {
  for (const uint32_t atomic_sectors : {1u, 32u}) {
    Make(16384, {}, atomic_sectors);
    const Attr file = MakeFile("promised", "");
    const uint64_t size = 300 * kSectorSize;
    ASSERT_OK(volume_->Fallocate(file.ino, 0, 0, size));
    const Attr filler = MakeFile("filler", "");
    uint64_t filled = 0;
    const std::string block(256 * 1024, 'f');
    for (size_t step = block.size(); step >= kSectorSize;) {
      const auto n =
          volume_->Write(filler.ino, filled, AsBytes(block.substr(0, step)));
      if (n.ok()) {
        filled += *n;
      } else {
        ASSERT_THAT(n, HasErrc(Errc::kNoSpace));
        step /= 2;
      }
    }
    ASSERT_OK(volume_->Sync());
    Generation before;
    uint64_t sector = 0;
    {
      auto snapshot = volume_->TakeSnapshot();
      ASSERT_OK(snapshot);
      before = (*snapshot)->generation();
    }
    {
      const auto reader = udf::Reader::Open(medium_.get());
      ASSERT_OK(reader);
      const auto entry = (*reader)->ReadEntry(static_cast<uint32_t>(file.ino));
      ASSERT_OK(entry);
      ASSERT_TRUE(entry->extents.at(0).unwritten);
      sector = volume_->record().geometry.Sector(entry->extents[0].block);
    }
    udf::Sector old;
    ASSERT_OK(medium_->Read(sector, old));
    const std::string content(size, 'p');
    ASSERT_OK(volume_->Write(file.ino, 0, AsBytes(content)));
    EXPECT_EQ(ReadAll(file.ino), content);
    ASSERT_OK(volume_->Sync());
    {
      auto snapshot = volume_->TakeSnapshot();
      ASSERT_OK(snapshot);
      const auto changed = (*snapshot)->ChangedSince(before);
      ASSERT_OK(changed);
      EXPECT_TRUE(changed->Contains(RegionOf(sector)));
    }
    ASSERT_OK(volume_->Detach());
    EXPECT_EQ(FsckText(*medium_), "");
    ASSERT_OK(volume_->Attach(medium_.get()));
    EXPECT_EQ(ReadAll(file.ino), content);
    ASSERT_OK(volume_->Detach());
  }
}

TEST_F(VolumeTest, SeekFindsDataAndHoles) {
  Make(8192);
  const Attr file = MakeFile("a", "");
  ASSERT_OK(volume_->Write(file.ino, 100 * kSectorSize,
                           AsBytes(std::string(kSectorSize, 'x'))));
  EXPECT_EQ(*volume_->Seek(file.ino, 0, true), 100u * kSectorSize);
  EXPECT_EQ(*volume_->Seek(file.ino, 0, false), 0u);
  EXPECT_EQ(*volume_->Seek(file.ino, 100 * kSectorSize, false),
            101u * kSectorSize);
  EXPECT_THAT(volume_->Seek(file.ino, 101 * kSectorSize, true),
              HasErrc(Errc::kOutOfRange));
}

}  // namespace
}  // namespace vellum
