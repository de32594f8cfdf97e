// SPDX-License-Identifier: Apache-2.0
// One wrong thing at a time, each with its own finding; everything around it
// (checksums, counts, bitmap) stays right.
#include "media/udf/fsck.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "media/udf/bytes.h"
#include "media/udf/codec.h"
#include "media/udf/format.h"
#include "media/udf/journal.h"
#include "media/udf/reader.h"
#include "media/udf/sector_io.h"
#include "media/udf/tag.h"
#include "tests/support/memory_medium.h"
#include "tests/support/status_matchers.h"
#include "tests/udf/volume_builder.h"

namespace vellum::udf {
namespace {

using testing::Contains;
using testing::ElementsAre;
using testing::Field;
using testing::HasSubstr;

std::vector<std::string> Texts(const FsckReport& report) {
  std::vector<std::string> texts;
  for (const FsckFinding& finding : report.errors) {
    texts.push_back(finding.text);
  }
  return texts;
}

class FsckTest : public testing::Test {
 protected:
  FsckTest() : medium_(8192), builder_(&medium_, "FSCK") {
    directory_ = builder_.AddDirectory(builder_.root(), "directory");
    file_ = builder_.AddFile(directory_, "file", Bytes(5000, std::byte{1}),
                             Shape::kOneExtent);
    linked_ = builder_.AddFile(directory_, "name 1", {}, Shape::kInline);
    builder_.AddLink(builder_.root(), "name 2", linked_);
    chain_ = builder_.AddFile(builder_.root(), "chain",
                              Bytes(300 * kSectorSize, std::byte{2}),
                              Shape::kScattered);
  }

  FsckReport Check(bool check_data = false) {
    FsckOptions options;
    options.check_data = check_data;
    Result<FsckReport> report = CheckVolume(medium_, options);
    EXPECT_OK(report);
    return report.ok() ? *report : FsckReport();
  }

  // Builds with these hooks and expects exactly one finding.
  void ExpectOnly(const VolumeBuilder::Hooks& hooks, const std::string& text) {
    builder_.Finish(hooks);
    EXPECT_THAT(Texts(Check()), ElementsAre(HasSubstr(text)));
  }

  void Damage(uint64_t sector, size_t offset) {
    std::byte b;
    medium_.Peek(sector * kSectorSize + offset, {&b, 1});
    b ^= std::byte{0x10};
    medium_.Poke(sector * kSectorSize + offset, {&b, 1});
  }

  // Changes the sector of a finished volume and expects exactly one finding.
  void ExpectOnlyAfterDamage(uint64_t sector, size_t offset,
                             const std::string& text) {
    builder_.Finish();
    Damage(sector, offset);
    EXPECT_THAT(Texts(Check()), ElementsAre(HasSubstr(text)));
  }

  uint64_t SectorOf(uint32_t block) const {
    return builder_.geometry().Sector(block);
  }

  MemoryMedium medium_;
  VolumeBuilder builder_;
  uint32_t directory_ = 0;
  uint32_t file_ = 0;
  uint32_t linked_ = 0;
  uint32_t chain_ = 0;
};

TEST_F(FsckTest, ACleanVolumeIsCounted) {
  builder_.AddSymlink(builder_.root(), "symlink", "directory");
  builder_.Finish();
  const FsckReport report = Check(true);
  EXPECT_THAT(Texts(report), ElementsAre());
  EXPECT_TRUE(report.clean());
  EXPECT_EQ(report.slot.volume_id, "FSCK");
  EXPECT_EQ(report.files, 3u);
  EXPECT_EQ(report.directories, 2u);
  EXPECT_EQ(report.other, 1u);
  EXPECT_EQ(report.extents, 300u + 1u + 2u);
  EXPECT_EQ(report.used_blocks + report.free_blocks,
            builder_.geometry().partition_blocks);
}

TEST_F(FsckTest, NoVolumeIsAnError) {
  MemoryMedium blank(8192);
  EXPECT_THAT(CheckVolume(blank, {}), HasErrc(Errc::kNotFound));
}

TEST_F(FsckTest, LinkCountOfAFile) {
  VolumeBuilder::Hooks hooks;
  hooks.entry = [this](uint32_t icb, FileEntry* entry) {
    if (icb == linked_) entry->attr.links = 3;
  };
  ExpectOnly(hooks, "has link count 3 and 2 names");
}

TEST_F(FsckTest, LinkCountOneOfAFileWithTwoNames) {
  VolumeBuilder::Hooks hooks;
  hooks.entry = [this](uint32_t icb, FileEntry* entry) {
    if (icb == linked_) entry->attr.links = 1;
  };
  ExpectOnly(hooks, "has link count 1 and 2 names");
}

TEST_F(FsckTest, LinkCountOfADirectory) {
  VolumeBuilder::Hooks hooks;
  hooks.entry = [this](uint32_t icb, FileEntry* entry) {
    if (icb == directory_) entry->attr.links = 3;
  };
  ExpectOnly(hooks, "has link count 3 and 0 subdirectories");
}

TEST_F(FsckTest, UniqueIdTwice) {
  VolumeBuilder::Hooks hooks;
  const uint64_t other = builder_.attr(file_).unique_id;
  hooks.entry = [this, other](uint32_t icb, FileEntry* entry) {
    if (icb == chain_) entry->attr.unique_id = other;
  };
  hooks.fid = [this, other](uint32_t, Fid* fid) {
    if (fid->icb_block == chain_) {
      fid->unique_id = static_cast<uint32_t>(other);
    }
  };
  ExpectOnly(hooks, "is not unique");
}

TEST_F(FsckTest, UniqueIdReserved) {
  VolumeBuilder::Hooks hooks;
  hooks.entry = [this](uint32_t icb, FileEntry* entry) {
    if (icb == chain_) entry->attr.unique_id = 15;
  };
  hooks.fid = [this](uint32_t, Fid* fid) {
    if (fid->icb_block == chain_) fid->unique_id = 15;
  };
  ExpectOnly(hooks, "unique id 15 is reserved");
}

TEST_F(FsckTest, UniqueIdOfANameThatIsNotTheFiles) {
  VolumeBuilder::Hooks hooks;
  hooks.fid = [this](uint32_t, Fid* fid) {
    if (fid->icb_block == chain_) fid->unique_id = 5000;
  };
  ExpectOnly(hooks, "name has unique id 5000");
}

TEST_F(FsckTest, NextUniqueIdBehindThoseInUse) {
  VolumeBuilder::Hooks hooks;
  hooks.lvid = [](Lvid* lvid) { lvid->next_unique_id = 17; };
  ExpectOnly(hooks, "next unique id is 17");
}

TEST_F(FsckTest, ParentThatIsAnother) {
  VolumeBuilder::Hooks hooks;
  hooks.fid = [this](uint32_t directory, Fid* fid) {
    if (directory == directory_ && fid->parent) fid->icb_block = file_;
  };
  ExpectOnly(hooks, "parent of the directory");
}

TEST_F(FsckTest, ParentWithAnotherUniqueId) {
  VolumeBuilder::Hooks hooks;
  hooks.fid = [](uint32_t, Fid* fid) {
    if (fid->parent) fid->unique_id = 0;
  };
  builder_.AddDirectory(directory_, "child");
  ExpectOnly(hooks, "parent of the directory");
}

TEST_F(FsckTest, NoParent) {
  VolumeBuilder::Hooks hooks;
  hooks.fid = [this](uint32_t directory, Fid* fid) {
    if (directory != directory_ || !fid->parent) return;
    fid->parent = false;
    fid->directory = false;
    fid->name = "xx";  // of the same length as nothing
    fid->icb_block = linked_;
    fid->unique_id = static_cast<uint32_t>(builder_.attr(linked_).unique_id);
  };
  builder_.Finish(hooks);
  EXPECT_THAT(Texts(Check()), Contains(HasSubstr("has no parent entry")));
}

TEST_F(FsckTest, DeletedEntry) {
  VolumeBuilder::Hooks hooks;
  hooks.fid = [this](uint32_t, Fid* fid) {
    if (fid->icb_block == chain_) fid->deleted = true;
  };
  builder_.Finish(hooks);
  EXPECT_THAT(Texts(Check()), Contains(HasSubstr("has a deleted entry")));
}

TEST_F(FsckTest, NameTwice) {
  VolumeBuilder::Hooks hooks;
  hooks.fid = [this](uint32_t, Fid* fid) {
    if (fid->icb_block == chain_) fid->name = "name 2";
  };
  ExpectOnly(hooks, "has the name 'name 2' twice");
}

TEST_F(FsckTest, NameWithoutAFile) {
  VolumeBuilder::Hooks hooks;
  hooks.fid = [this](uint32_t, Fid* fid) {
    if (fid->icb_block == chain_) fid->icb_block = 0xFFFFFF;
  };
  builder_.Finish(hooks);
  EXPECT_THAT(Texts(Check()), Contains(HasSubstr("outside the partition")));
}

TEST_F(FsckTest, DirectoryThatIsAFile) {
  VolumeBuilder::Hooks hooks;
  hooks.fid = [this](uint32_t, Fid* fid) {
    if (fid->icb_block == file_) fid->directory = true;
  };
  builder_.Finish(hooks);
  EXPECT_THAT(Texts(Check()), Contains(HasSubstr("disagree")));
}

TEST_F(FsckTest, DirectoryLoop) {
  VolumeBuilder::Hooks hooks;
  hooks.fid = [this](uint32_t directory, Fid* fid) {
    if (directory == directory_ && fid->icb_block == file_) {
      fid->icb_block = directory_;
      fid->directory = true;
      fid->unique_id =
          static_cast<uint32_t>(builder_.attr(directory_).unique_id);
    }
  };
  builder_.Finish(hooks);
  EXPECT_THAT(Texts(Check()), Contains(HasSubstr("has two parents")));
}

TEST_F(FsckTest, DirectoryTail) {
  VolumeBuilder::Hooks hooks;
  hooks.directory_content = [](Bytes* content) { content->resize(1000); };
  builder_.Finish(hooks);
  EXPECT_THAT(Texts(Check()), Contains(HasSubstr("descriptor 257")));
}

TEST_F(FsckTest, DirectoryInline) {
  builder_.Finish();
  // By hand: the encoder refuses it.
  ASSERT_OK_AND_ASSIGN(Sector s, ReadSector(medium_, SectorOf(directory_)));
  const size_t attributes = Load32(s, 208);
  Store16(s, 34, 3);
  Store64(s, 56, 0);
  Store64(s, 64, 0);
  Store64(s, 72, 0);
  Store32(s, 212, 0);
  SealTag(s, kTagExtendedFileEntry, directory_, 216 + attributes - 16);
  ASSERT_OK(WriteSector(medium_, SectorOf(directory_), s));
  EXPECT_THAT(Texts(Check()),
              Contains(HasSubstr("is not one recorded extent")));
}

TEST_F(FsckTest, BlockInUseButFree) {
  VolumeBuilder::Hooks hooks;
  hooks.bitmap = [this](std::vector<bool>* used) { (*used)[file_] = false; };
  hooks.lvid = [](Lvid* lvid) { ++lvid->free_blocks; };
  ExpectOnly(hooks, "+1 are in use, but free in the bitmap");
}

TEST_F(FsckTest, BlocksMarkedUsedByNobody) {
  VolumeBuilder::Hooks hooks;
  hooks.bitmap = [](std::vector<bool>* used) {
    std::fill_n(used->begin() + 5000, 7, true);
  };
  hooks.lvid = [](Lvid* lvid) { lvid->free_blocks -= 7; };
  ExpectOnly(hooks, "blocks 5000+7 are marked used, but nothing uses them");
}

TEST_F(FsckTest, BlockInUseTwice) {
  VolumeBuilder::Hooks hooks;
  hooks.entry = [this](uint32_t icb, FileEntry* entry) {
    // The file's blocks begin where the ICB of the directory stands.
    if (icb == file_) entry->extents[0].block = directory_;
  };
  builder_.Finish(hooks);
  EXPECT_THAT(Texts(Check()), Contains(HasSubstr("double allocation")));
}

TEST_F(FsckTest, CountsOfTheIntegrityDescriptor) {
  VolumeBuilder::Hooks hooks;
  hooks.lvid = [](Lvid* lvid) {
    ++lvid->files;
    ++lvid->directories;
    ++lvid->free_blocks;
    ++lvid->partition_blocks;
  };
  builder_.Finish(hooks);
  EXPECT_THAT(
      Texts(Check()),
      ElementsAre(HasSubstr("files"), HasSubstr("directories"),
                  HasSubstr("free blocks"), HasSubstr(" blocks, there are")));
}

TEST_F(FsckTest, TagOfAFileEntry) {
  builder_.Finish();
  Damage(SectorOf(file_), 4);
  const FsckReport report = Check();
  EXPECT_THAT(Texts(report), Contains(HasSubstr("checksum is wrong")));
  EXPECT_THAT(report.errors,
              Contains(Field(&FsckFinding::sector, SectorOf(file_))));
}

TEST_F(FsckTest, BodyOfAFileEntry) {
  builder_.Finish();
  Damage(SectorOf(file_), 100);
  EXPECT_THAT(Texts(Check()), Contains(HasSubstr("CRC is wrong")));
}

TEST_F(FsckTest, LocationOfAFileEntry) {
  builder_.Finish();
  ASSERT_OK_AND_ASSIGN(const Sector s, ReadSector(medium_, SectorOf(file_)));
  ASSERT_OK(WriteSector(medium_, SectorOf(linked_), s));
  EXPECT_THAT(Texts(Check()), Contains(HasSubstr("tag says location")));
}

TEST_F(FsckTest, AllocationExtentDescriptor) {
  uint32_t aed = 0;
  VolumeBuilder::Hooks hooks;
  hooks.entry = [&](uint32_t icb, FileEntry* entry) {
    if (icb == chain_) aed = entry->aed_blocks.at(0);
  };
  builder_.Finish(hooks);
  Damage(SectorOf(aed), 30);
  EXPECT_THAT(Texts(Check()), Contains(HasSubstr("descriptor 258")));
}

// Else each of many entries could have a long chain read again.
TEST_F(FsckTest, DescriptorsThatTwoFilesShareAreFollowedOnce) {
  const uint32_t other = builder_.AddFile(
      builder_.root(), "other", Bytes(300 * kSectorSize, std::byte{3}),
      Shape::kScattered);
  std::vector<uint32_t> shared;
  VolumeBuilder::Hooks hooks;
  hooks.entry = [&](uint32_t icb, FileEntry* entry) {
    if (icb == chain_) shared = entry->aed_blocks;
    if (icb == other) entry->aed_blocks = shared;
  };
  builder_.Finish(hooks);
  ASSERT_EQ(shared.size(), 1u);
  EXPECT_THAT(Texts(Check()),
              Contains(HasSubstr(
                  "goes on in block " + std::to_string(shared[0]) +
                  ", which belongs to another one (double allocation)")));
}

TEST_F(FsckTest, Recognition) {
  ExpectOnlyAfterDamage(17, 3, "volume recognition sequence");
}
TEST_F(FsckTest, BehindRecognition) {
  ExpectOnlyAfterDamage(19, 0, "behind the volume recognition");
}
TEST_F(FsckTest, MainSequence) {
  ExpectOnlyAfterDamage(kMainVdsSector + 4, 60, "descriptor 4 of the main");
}
TEST_F(FsckTest, ReserveSequence) {
  ExpectOnlyAfterDamage(8192 - 288 + 2, 60, "descriptor 2 of the reserve");
}
TEST_F(FsckTest, FirstAnchor) {
  ExpectOnlyAfterDamage(256, 20, "anchor at 256");
}
TEST_F(FsckTest, SecondAnchor) {
  ExpectOnlyAfterDamage(8192 - 257, 20, "anchor at 7935");
}
TEST_F(FsckTest, ThirdAnchor) {
  ExpectOnlyAfterDamage(8191, 20, "anchor at 8191");
}
TEST_F(FsckTest, IntegrityTerminator) {
  ExpectOnlyAfterDamage(65, 0, "terminator of the integrity sequence");
}
TEST_F(FsckTest, FileSet) {
  // Unused, so that the volume opens; sealed again.
  builder_.Finish();
  ASSERT_OK_AND_ASSIGN(Sector s, ReadSector(medium_, SectorOf(0)));
  s[470] = std::byte{1};
  SealTag(s, kTagFileSet, 0, kCrcLength512);
  ASSERT_OK(WriteSector(medium_, SectorOf(0), s));
  EXPECT_THAT(Texts(Check()), ElementsAre(HasSubstr("file set descriptor")));
}
TEST_F(FsckTest, FileSetTerminator) {
  ExpectOnlyAfterDamage(SectorOf(1), 0, "terminator of the file set");
}
TEST_F(FsckTest, BitmapTag) {
  builder_.Finish();
  Damage(SectorOf(kBitmapBlock), 16);
  EXPECT_THAT(Texts(Check()), Contains(HasSubstr("descriptor 264")));
}

TEST_F(FsckTest, IntegrityDescriptorOfAnotherSystem) {
  builder_.Finish();
  ASSERT_OK_AND_ASSIGN(Sector s, ReadSector(medium_, kLvidSector));
  Store8(s, 88 + 25, 5);
  SealTag(s, kTagIntegrity, kLvidSector, 118);
  ASSERT_OK(WriteSector(medium_, kLvidSector, s));
  EXPECT_THAT(Texts(Check()),
              ElementsAre(HasSubstr("another system wrote it"),
                          HasSubstr("written by another system")));
}

TEST_F(FsckTest, NoControlSlot) {
  builder_.Finish();
  ASSERT_OK(medium_.Write(kSlotASector, Bytes(kSectorSize * kSlotSectors)));
  ASSERT_OK(medium_.Write(kSlotBSector, Bytes(kSectorSize * kSlotSectors)));
  EXPECT_THAT(Texts(Check()), ElementsAre(HasSubstr("control slots")));
}

TEST_F(FsckTest, ControlSlotOfAnotherVolume) {
  VolumeBuilder::Hooks hooks;
  hooks.slot = [](ControlSlot* slot) { slot->format_uuid = NewUuid(); };
  ExpectOnly(hooks, "control slot is of format");
}

TEST_F(FsckTest, IncompleteBackup) {
  VolumeBuilder::Hooks hooks;
  hooks.slot = [](ControlSlot* slot) {
    slot->role = Role::kBackup;
    slot->state = SlotState::kIncomplete;
    slot->threshold = 99;
  };
  ExpectOnly(hooks, "the backup is incomplete");
}

TEST_F(FsckTest, DataThatCannotBeRead) {
  uint64_t sector = 0;
  VolumeBuilder::Hooks hooks;
  hooks.entry = [&](uint32_t icb, FileEntry* entry) {
    if (icb == file_) sector = SectorOf(entry->extents[0].block) + 1;
  };
  builder_.Finish(hooks);
  medium_.MakeUnreadable({sector, 1});
  EXPECT_THAT(Texts(Check()), ElementsAre());
  const FsckReport report = Check(true);
  EXPECT_EQ(report.error_count, 1u);
}

TEST_F(FsckTest, KeepsTheFirstThousandFindings) {
  const uint32_t many = builder_.AddDirectory(builder_.root(), "many");
  for (int i = 0; i < 1200; ++i) {
    builder_.AddLink(many, "link " + std::to_string(i), linked_);
  }
  VolumeBuilder::Hooks hooks;
  hooks.fid = [this](uint32_t, Fid* fid) {
    if (fid->icb_block == linked_) fid->icb_block = 0xFFFFFF;
  };
  builder_.Finish(hooks);
  const FsckReport report = Check();
  EXPECT_EQ(report.errors.size(), 1000u);
  EXPECT_GT(report.error_count, 1000u);
}

// A commit that stands in the ring only: everything it changes is checked as it
// will be.
TEST_F(FsckTest, APendingRecordIsReplayedInMemory) {
  builder_.Finish();
  ASSERT_OK_AND_ASSIGN(const ControlSlot slot, ReadControlSlot(medium_));
  ASSERT_OK_AND_ASSIGN(const auto reader, Reader::Open(&medium_));
  ASSERT_OK_AND_ASSIGN(FileEntry entry, reader->ReadEntry(linked_));
  ASSERT_OK_AND_ASSIGN(Lvid lvid, reader->ReadLvid());
  ASSERT_OK_AND_ASSIGN(const Sector lvid_now, ReadSector(medium_, kLvidSector));
  entry.attr.mode = 0400;
  lvid.time.sec += 10;
  Record record;
  record.header.format_uuid = slot.format_uuid;
  record.header.epoch = slot.epoch;
  record.header.generation = {slot.generation.lineage,
                              slot.generation.number + 1};
  record.header.lvid_before = Crc32c(lvid_now);
  const Sector lvid_next = EncodeLvid(lvid);
  record.header.lvid_after = Crc32c(lvid_next);
  record.images[kLvidSector] = std::make_shared<Sector>(lvid_next);
  ASSERT_OK_AND_ASSIGN(const EncodedEntry encoded,
                       EncodeFileEntry(entry, linked_));
  record.images[SectorOf(linked_)] = std::make_shared<Sector>(encoded.icb);
  ASSERT_OK_AND_ASSIGN(const ScanResult scan,
                       ScanRing(medium_, builder_.geometry(), slot));
  Journal journal(&medium_, builder_.geometry(), scan.next_sequence,
                  scan.next_sector);
  ASSERT_OK(journal.Write(&record, {}));

  FsckReport report = Check();
  EXPECT_THAT(Texts(report), ElementsAre());
  EXPECT_TRUE(report.replay_pending);
  // Half of it in place, torn as a crash tears: still right after the replay.
  Damage(SectorOf(linked_), 50);
  report = Check();
  EXPECT_THAT(Texts(report), ElementsAre());
  EXPECT_TRUE(report.replay_pending);
  // All of it in place.
  for (const auto& [sector, image] : record.images) {
    ASSERT_OK(WriteSector(medium_, sector, *image));
  }
  report = Check();
  EXPECT_THAT(Texts(report), ElementsAre());
  EXPECT_FALSE(report.replay_pending);
  // Another system wrote the LVID since: nothing is replayed over that.
  lvid.time.sec += 10;
  ASSERT_OK(WriteSector(medium_, kLvidSector, EncodeLvid(lvid)));
  report = Check();
  EXPECT_FALSE(report.replay_pending);
  EXPECT_THAT(Texts(report), ElementsAre(HasSubstr("another system wrote")));
}

}  // namespace
}  // namespace vellum::udf
