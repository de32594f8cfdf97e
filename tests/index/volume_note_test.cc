// SPDX-License-Identifier: Apache-2.0
// What the records of small commits hold (index/volume_small.cc): no blocks
// that their generation does not use, and a note of which a load takes what a
// commit changes, and nothing that the volume cannot have.
#include <gtest/gtest.h>

#include <functional>
#include <memory>
#include <optional>
#include <ostream>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "index/coding.h"
#include "index/commit_note.h"
#include "index/keys.h"
#include "media/udf/allocator.h"
#include "media/udf/journal.h"
#include "tests/index/volume_fixture.h"

namespace vellum {
namespace {

constexpr VolumeIndex kIndex = 1;

class VolumeNoteTest : public VolumeTest {
 protected:
  // "first" is in a generation whose commit took two flushes, as that of every
  // load; "second" in one whose record has a note.
  void SetUp() override {
    Make(sectors_);
    ASSERT_OK(volume_->Create(volume_->root(), "first", {}));
    ASSERT_OK(volume_->Sync());
    before_ = volume_->record();
    const Result<Attr> second = volume_->Create(volume_->root(), "second", {});
    ASSERT_OK(second);
    second_ = second->ino;
    ASSERT_OK(volume_->Sync());
    after_ = volume_->record();
    const udf::ScanResult scan = Scan();
    ASSERT_TRUE(scan.newest.has_value());
    ASSERT_NE(scan.newest->note, "") << "the commit was not small";
  }

  void Load(const VolumeRecord& record) {
    volume_ = std::make_unique<Volume>(catalog_.get(), record, VolumeOptions());
    ASSERT_OK(volume_->Attach(medium_.get()));
  }
  // Power goes, and with it what the catalog had not synced: it is left with
  // the generation of "first", and `known` as the volume's record.
  void LoseCatalog(const VolumeRecord& known) {
    const Result<DirentRecord> name =
        catalog_->FindDirent(kIndex, volume_->root(), "second");
    ASSERT_OK(name);
    CatalogBatch batch;
    batch.DeleteDirent(kIndex, volume_->root(), name->cookie);
    batch.DeleteInode(kIndex, second_);
    batch.PutVolume(known);
    volume_.reset();
    ASSERT_OK(catalog_->Write(batch, Sync::kNo));
  }
  udf::ScanResult Scan() {
    const Result<udf::ControlSlot> slot = udf::ReadControlSlot(*medium_);
    EXPECT_OK(slot);
    if (!slot.ok()) return {};
    Result<udf::ScanResult> scan =
        udf::ScanRing(*medium_, volume_->record().geometry, *slot);
    EXPECT_OK(scan);
    return scan.ok() ? std::move(*scan) : udf::ScanResult();
  }
  // The newest record is written once more, with another note.
  void Renote(const std::function<void(CommitNote*)>& change) {
    udf::ScanResult scan = Scan();
    ASSERT_TRUE(scan.newest.has_value());
    Result<CommitNote> note = DecodeCommitNote(scan.newest->note);
    ASSERT_OK(note);
    change(&*note);
    scan.newest->note = Encode(*note);
    udf::Journal journal(medium_.get(), before_.geometry, scan.next_sequence,
                         scan.next_sector);
    ASSERT_OK(journal.Write(&*scan.newest, {}));
  }
  uint64_t SectorOf(uint32_t block) const {
    return before_.geometry.Sector(block);
  }
  // Sectors of the partition of which the newest record has images although its
  // generation, which is in place, does not use them.
  std::vector<uint64_t> UnusedInRecord() {
    const udf::ScanResult scan = Scan();
    const Result<Bytes> bitmap =
        udf::ReadBitmap(*medium_, volume_->record().geometry);
    EXPECT_OK(bitmap);
    std::vector<uint64_t> unused;
    if (!scan.newest.has_value() || !bitmap.ok()) {
      ADD_FAILURE() << "no record";
      return unused;
    }
    EXPECT_EQ(scan.newest->header.generation, volume_->generation());
    EXPECT_NE(scan.newest->note, "") << "the commit was not small";
    for (const auto& [sector, image] : scan.newest->images) {
      if (!before_.geometry.InPartition(sector)) continue;
      const auto block =
          static_cast<uint32_t>(sector - before_.geometry.partition_first);
      if (udf::BitmapIsFree(*bitmap, block)) unused.push_back(sector);
    }
    return unused;
  }

  uint64_t sectors_ = 16384;
  VolumeRecord before_, after_;
  InodeNumber second_ = 0;
};

TEST_F(VolumeNoteTest, OfTheVolumesRecordANoteChangesWhatACommitChanges) {
  VolumeRecord known = before_;
  known.medium = "M7";
  known.location = "shelf 3";
  // What changed before is not known any more.
  known.change_floor = before_.generation.number;
  ASSERT_GT(known.change_floor, after_.change_floor);
  LoseCatalog(known);
  Load(known);
  EXPECT_EQ(volume_->generation(), after_.generation) << "read anew";
  EXPECT_OK(volume_->Lookup(volume_->root(), "second"));
  const Result<VolumeRecord> stored = catalog_->GetVolume(kIndex);
  ASSERT_OK(stored);
  for (const VolumeRecord& record : {volume_->record(), *stored}) {
    EXPECT_EQ(record.medium, "M7");
    EXPECT_EQ(record.location, "shelf 3");
    EXPECT_EQ(record.change_floor, known.change_floor);
    EXPECT_EQ(record.generation, after_.generation);
    EXPECT_EQ(record.record_crc, after_.record_crc);
    EXPECT_EQ(record.used_blocks, after_.used_blocks);
    EXPECT_EQ(record.files, after_.files);
    EXPECT_EQ(record.next_unique_id, after_.next_unique_id);
  }
}

// It may be older than what the catalog has learned since.
TEST_F(VolumeNoteTest, OfTheVolumesRecordAPendingBatchChangesNoMore) {
  VolumeOptions options;
  options.on_commit_step = [](CommitStep step) {
    return step == CommitStep::kRecordFlushed ? Status(Errc::kAborted, "died")
                                              : Status::Ok();
  };
  volume_ = std::make_unique<Volume>(catalog_.get(), after_, options);
  ASSERT_OK(volume_->Attach(medium_.get()));
  ASSERT_OK(volume_->Create(volume_->root(), "third", {}));
  ASSERT_THAT(volume_->Sync(), HasErrc(Errc::kAborted));
  const auto pending = catalog_->GetPending(kIndex);
  ASSERT_OK(pending);
  ASSERT_TRUE(pending->has_value());
  VolumeRecord known = volume_->record();
  known.id = "RENAMED";
  known.medium = "M7";
  known.owner_id = "somebody";
  volume_.reset();
  CatalogBatch batch;
  batch.PutVolume(known);
  ASSERT_OK(catalog_->Write(batch, Sync::kNo));
  Load(known);
  EXPECT_EQ(volume_->generation(), (*pending)->generation) << "read anew";
  EXPECT_OK(volume_->Lookup(volume_->root(), "third"));
  const Result<VolumeRecord> stored = catalog_->GetVolume(kIndex);
  ASSERT_OK(stored);
  for (const VolumeRecord& record : {volume_->record(), *stored}) {
    EXPECT_EQ(record.id, "RENAMED");
    EXPECT_EQ(record.medium, "M7");
    EXPECT_EQ(record.owner_id, "somebody");
    EXPECT_EQ(record.generation, (*pending)->generation);
    EXPECT_EQ(record.record_crc, (*pending)->record_crc);
    EXPECT_EQ(record.files, after_.files + 1);
  }
}

// A load of a later day may give these blocks to an open file without a name,
// without a commit, and find the record still.
TEST_F(VolumeNoteTest, ARecordHasNothingOfAFileThatIsGone) {
  EXPECT_TRUE(UnusedInRecord().empty());
  // In place with one generation, gone with the next.
  AttrChange change;
  change.mode = 0600;
  ASSERT_OK(volume_->SetAttr(second_, change));
  ASSERT_OK(volume_->Sync());
  ASSERT_EQ(Scan().newest->images.count(SectorOf(second_)), 1u);
  EXPECT_TRUE(UnusedInRecord().empty());
  ASSERT_OK(volume_->Unlink(volume_->root(), "second"));
  ASSERT_OK(volume_->Sync());
  EXPECT_EQ(Scan().newest->images.count(SectorOf(second_)), 0u);
  EXPECT_TRUE(UnusedInRecord().empty());
}

TEST_F(VolumeNoteTest, ARecordHasNothingOfAnOpenFileWithoutAName) {
  const Result<Attr> file = volume_->Create(volume_->root(), "open", {});
  ASSERT_OK(file);
  ASSERT_OK(volume_->Sync());
  ASSERT_OK(volume_->Open(file->ino));
  ASSERT_OK(volume_->Write(file->ino, 0, Bytes(3 * kSectorSize, std::byte{1})));
  const auto block = static_cast<uint32_t>(volume_->DataAddress(file->ino));
  ASSERT_NE(block, 0u);
  ASSERT_OK(volume_->Unlink(volume_->root(), "open"));
  ASSERT_OK(volume_->Sync());
  EXPECT_EQ(Scan().newest->images.count(SectorOf(block)), 0u);
  EXPECT_TRUE(UnusedInRecord().empty());
  volume_->Close(file->ino);
}

// --- Notes that nobody of this catalog wrote

struct WrongNote {
  const char* name;
  // Of the batch, which is otherwise right; `ino` is that of "second".
  std::function<void(const VolumeRecord& after, InodeNumber ino,
                     CatalogBatch* batch)>
      add;
  // Behind it.
  std::function<std::string(InodeNumber ino)> raw = nullptr;
};

void PrintTo(const WrongNote& note, std::ostream* out) { *out << note.name; }

std::string RawPut(Family family, std::string_view key,
                   std::string_view value) {
  std::string out;
  PutByte(&out, static_cast<uint8_t>(0x10 | static_cast<uint8_t>(family)));
  PutString(&out, key);
  PutString(&out, value);
  return out;
}

InodeRecord FileRecord() {
  InodeRecord inode;
  inode.attr.type = udf::FileType::kRegular;
  return inode;
}

// A block that is free.
constexpr InodeNumber kFolder = 5000;

InodeRecord FolderRecord(InodeNumber parent) {
  InodeRecord inode;
  inode.attr.type = udf::FileType::kDirectory;
  inode.attr.links = 2;
  inode.parent = parent;
  return inode;
}

DirentRecord NameOf(InodeNumber ino, const std::string& text = "wrong",
                    udf::FileType type = udf::FileType::kRegular) {
  DirentRecord name;
  name.type = type;
  name.name = text;
  name.cookie = MakeCookie(NameHash(name.name), 0);
  name.ino = ino;
  return name;
}

void PutFolder(InodeNumber ino, InodeNumber parent, CatalogBatch* batch) {
  batch->PutInode(kIndex, ino, FolderRecord(parent));
  batch->PutDirent(kIndex, parent,
                   NameOf(ino, "wrong", udf::FileType::kDirectory));
}

// More than the largest directory has.
class WideVolumeNoteTest : public VolumeNoteTest {
 protected:
  WideVolumeNoteTest() { sectors_ = 600'000; }
};

class WrongNoteTest : public WideVolumeNoteTest,
                      public testing::WithParamInterface<WrongNote> {
 protected:
  void Recover() {
    LoseCatalog(before_);
    Load(before_);
    EXPECT_OK(volume_->Lookup(volume_->root(), "first"));
    EXPECT_OK(volume_->Lookup(volume_->root(), "second"));
    EXPECT_THAT(volume_->Lookup(volume_->root(), "wrong"),
                HasErrc(Errc::kNotFound));
    EXPECT_EQ(volume_->record().geometry, before_.geometry);
    EXPECT_EQ(volume_->record().role, before_.role);
  }
};

TEST_P(WrongNoteTest, IsOfNoUse) {
  Renote([&](CommitNote* note) {
    Result<CatalogBatch> batch = CatalogBatch::Parse(note->batch);
    ASSERT_OK(batch);
    if (GetParam().add) GetParam().add(after_, second_, &*batch);
    note->batch = batch->Serialize();
    if (GetParam().raw) note->batch += GetParam().raw(second_);
  });
  ASSERT_FALSE(HasFailure());
  Recover();
  EXPECT_NE(volume_->generation().lineage, after_.generation.lineage)
      << "the note was applied";
}

TEST_F(VolumeNoteTest, ADirectoryIsNotGoneBeforeItsNames) {
  NewInode folder;
  folder.type = udf::FileType::kDirectory;
  const InodeNumber root = volume_->root();
  const Result<Attr> dir = volume_->Create(root, "dir", folder);
  ASSERT_OK(dir);
  ASSERT_OK(volume_->Create(dir->ino, "inside", {}));
  ASSERT_OK(volume_->Sync());
  before_ = volume_->record();
  ASSERT_OK(volume_->Create(root, "third", {}));
  ASSERT_OK(volume_->Sync());
  const Generation last = volume_->generation();
  const Result<DirentRecord> name = catalog_->FindDirent(kIndex, root, "dir");
  ASSERT_OK(name);
  Renote([&](CommitNote* note) {
    CatalogBatch batch;
    batch.PutVolume(volume_->record());
    batch.DeleteInode(kIndex, dir->ino);
    batch.DeleteDirent(kIndex, root, name->cookie);
    note->batch = batch.Serialize();
  });
  volume_.reset();
  CatalogBatch known;
  known.PutVolume(before_);
  ASSERT_OK(catalog_->Write(known, Sync::kNo));
  Load(before_);
  EXPECT_NE(volume_->generation().lineage, last.lineage) << "it was applied";
  EXPECT_OK(volume_->Lookup(dir->ino, "inside"));
  EXPECT_OK(volume_->Lookup(root, "second"));
}

// So it is what is wrong with them that makes the others be of no use.
TEST_F(VolumeNoteTest, ANoteThatIsWrittenAgainIsOfUse) {
  Renote([](CommitNote* note) {
    Result<CatalogBatch> batch = CatalogBatch::Parse(note->batch);
    ASSERT_OK(batch);
    note->batch = batch->Serialize();
  });
  LoseCatalog(before_);
  Load(before_);
  EXPECT_EQ(volume_->generation(), after_.generation);
  EXPECT_OK(volume_->Lookup(volume_->root(), "second"));
}

// Its content is read whole: what a catalog says of it is not believed either.
TEST_F(WideVolumeNoteTest, ADirectoryLargerThanAllIsNotRead) {
  Result<InodeRecord> root = catalog_->GetInode(kIndex, volume_->root());
  ASSERT_OK(root);
  root->attr.size = udf::kMaxDirectorySize + 1;
  root->extents.front().count = udf::kMaxDirectorySize / kSectorSize + 1;
  CatalogBatch batch;
  batch.PutInode(kIndex, volume_->root(), *root);
  volume_.reset();
  ASSERT_OK(catalog_->Write(batch, Sync::kNo));
  Load(after_);
  const Status made = volume_->Create(volume_->root(), "third", {}).status();
  const Status status = made.ok() ? volume_->Sync() : made;
  EXPECT_THAT(status, HasErrc(Errc::kCorruption));
  EXPECT_THAT(status.ToString(), testing::HasSubstr("at most"));
}

std::vector<WrongNote> WrongNotes() {
  return {
      {"Geometry",
       [](const VolumeRecord& after, InodeNumber, CatalogBatch* batch) {
         VolumeRecord record = after;
         record.geometry.partition_first += 32;
         batch->PutVolume(record);
       }},
      {"Role",
       [](const VolumeRecord& after, InodeNumber, CatalogBatch* batch) {
         VolumeRecord record = after;
         record.role = udf::Role::kBackup;
         batch->PutVolume(record);
       }},
      {"Name",
       [](const VolumeRecord& after, InodeNumber, CatalogBatch* batch) {
         VolumeRecord record = after;
         record.id = "OTHER";
         batch->PutVolume(record);
       }},
      {"InodeBeyondTheEnd",
       [](const VolumeRecord& after, InodeNumber, CatalogBatch* batch) {
         batch->PutInode(kIndex, after.geometry.partition_blocks, FileRecord());
       }},
      {"ParentBeyondTheEnd",
       [](const VolumeRecord& after, InodeNumber ino, CatalogBatch* batch) {
         InodeRecord inode = FileRecord();
         inode.parent = after.geometry.partition_blocks;
         batch->PutInode(kIndex, ino, inode);
       }},
      {"ExtentBeyondTheEnd",
       [](const VolumeRecord& after, InodeNumber ino, CatalogBatch* batch) {
         InodeRecord inode = FileRecord();
         inode.extents.push_back(
             {0, after.geometry.partition_blocks - 1, 2, false});
         batch->PutInode(kIndex, ino, inode);
       }},
      {"ExtentBeyondAllFiles",
       [](const VolumeRecord&, InodeNumber ino, CatalogBatch* batch) {
         InodeRecord inode = FileRecord();
         inode.extents = {{udf::kMaxFileSize / kSectorSize, 300, 2, false}};
         batch->PutInode(kIndex, ino, inode);
       }},
      {"DirectoryLargerThanItsBlocks",
       [](const VolumeRecord&, InodeNumber ino, CatalogBatch* batch) {
         InodeRecord inode = FileRecord();
         inode.attr.type = udf::FileType::kDirectory;
         inode.extents = {{0, 300, 1, false}};
         inode.attr.size = kSectorSize + 1;
         batch->PutInode(kIndex, ino, inode);
       }},
      {"DirectoryLargerThanAllDirectories",
       [](const VolumeRecord&, InodeNumber ino, CatalogBatch* batch) {
         InodeRecord inode = FileRecord();
         inode.attr.type = udf::FileType::kDirectory;
         inode.attr.size = udf::kMaxDirectorySize + 1;
         inode.extents = {
             {0, 300, udf::kMaxDirectorySize / kSectorSize + 1, false}};
         batch->PutInode(kIndex, ino, inode);
       }},
      {"InlineFileLargerThanItsEntry",
       [](const VolumeRecord&, InodeNumber ino, CatalogBatch* batch) {
         InodeRecord inode = FileRecord();
         inode.inline_data = true;
         inode.attr.size = kSectorSize;
         batch->PutInode(kIndex, ino, inode);
       }},
      {"FileLargerThanAllFiles",
       [](const VolumeRecord&, InodeNumber ino, CatalogBatch* batch) {
         InodeRecord inode = FileRecord();
         inode.attr.size = udf::kMaxFileSize + 1;
         batch->PutInode(kIndex, ino, inode);
       }},
      {"DescriptorsBeyondTheEnd",
       [](const VolumeRecord& after, InodeNumber ino, CatalogBatch* batch) {
         InodeRecord inode = FileRecord();
         inode.aed_blocks.push_back(after.geometry.partition_blocks);
         batch->PutInode(kIndex, ino, inode);
       }},
      {"NameOfAnInodeBeyondTheEnd",
       [](const VolumeRecord& after, InodeNumber, CatalogBatch* batch) {
         batch->PutDirent(kIndex, after.geometry.root_block,
                          NameOf(after.geometry.partition_blocks));
       }},
      {"NameWithASlash",
       [](const VolumeRecord& after, InodeNumber ino, CatalogBatch* batch) {
         batch->PutDirent(kIndex, after.geometry.root_block,
                          NameOf(ino, "../wrong"));
       }},
      {"NameOfTheParent",
       [](const VolumeRecord& after, InodeNumber ino, CatalogBatch* batch) {
         batch->PutDirent(kIndex, after.geometry.root_block, NameOf(ino, ".."));
       }},
      {"NameTooLong",
       [](const VolumeRecord& after, InodeNumber ino, CatalogBatch* batch) {
         batch->PutDirent(kIndex, after.geometry.root_block,
                          NameOf(ino, std::string(256, 'n')));
       }},
      {"NameUnderTheHashOfAnother",
       [](const VolumeRecord& after, InodeNumber ino, CatalogBatch* batch) {
         DirentRecord name = NameOf(ino);
         name.cookie = MakeCookie(NameHash("another"), 0);
         batch->PutDirent(kIndex, after.geometry.root_block, name);
       }},
      {"NameBeyondAllDirectories",
       [](const VolumeRecord& after, InodeNumber ino, CatalogBatch* batch) {
         DirentRecord name = NameOf(ino);
         name.fid_offset = udf::kMaxDirectorySize;
         batch->PutDirent(kIndex, after.geometry.root_block, name);
       }},
      {"NoRoot",
       [](const VolumeRecord& after, InodeNumber, CatalogBatch* batch) {
         batch->DeleteInode(kIndex, after.geometry.root_block);
       }},
      {"RootIsAFile",
       [](const VolumeRecord& after, InodeNumber, CatalogBatch* batch) {
         InodeRecord inode = FileRecord();
         inode.parent = after.geometry.root_block;
         batch->PutInode(kIndex, after.geometry.root_block, inode);
       }},
      {"RootInADirectory",
       [](const VolumeRecord& after, InodeNumber, CatalogBatch* batch) {
         PutFolder(kFolder, after.geometry.root_block, batch);
         batch->PutInode(kIndex, after.geometry.root_block,
                         FolderRecord(kFolder));
       }},
      {"NameOfTheRoot",
       [](const VolumeRecord& after, InodeNumber, CatalogBatch* batch) {
         batch->PutDirent(kIndex, after.geometry.root_block,
                          NameOf(after.geometry.root_block, "wrong",
                                 udf::FileType::kDirectory));
       }},
      {"DirectoriesInALoop",
       [](const VolumeRecord&, InodeNumber, CatalogBatch* batch) {
         for (const auto& [ino, parent] :
              {std::pair(kFolder, kFolder + 1), {kFolder + 1, kFolder}}) {
           batch->PutInode(kIndex, ino, FolderRecord(parent));
           batch->PutDirent(kIndex, parent,
                            NameOf(ino, "wrong", udf::FileType::kDirectory));
         }
       }},
      {"DirectoryBelowAFile",
       [](const VolumeRecord&, InodeNumber ino, CatalogBatch* batch) {
         PutFolder(kFolder, ino, batch);
       }},
      {"DirectoryBelowNothing",
       [](const VolumeRecord&, InodeNumber, CatalogBatch* batch) {
         batch->PutInode(kIndex, kFolder, FolderRecord(kFolder + 1));
       }},
      {"DirectoryNamedOutsideItsParent",
       [](const VolumeRecord& after, InodeNumber, CatalogBatch* batch) {
         PutFolder(kFolder, after.geometry.root_block, batch);
         batch->PutInode(kIndex, kFolder, FolderRecord(kFolder + 1));
       }},
      {"DirectoryWithTwoNames",
       [](const VolumeRecord& after, InodeNumber, CatalogBatch* batch) {
         PutFolder(kFolder, after.geometry.root_block, batch);
         batch->PutDirent(
             kIndex, after.geometry.root_block,
             NameOf(kFolder, "another", udf::FileType::kDirectory));
       }},
      {"NameOfNothing",
       [](const VolumeRecord& after, InodeNumber, CatalogBatch* batch) {
         batch->PutDirent(kIndex, after.geometry.root_block, NameOf(kFolder));
       }},
      {"NameOfAnotherType",
       [](const VolumeRecord& after, InodeNumber, CatalogBatch* batch) {
         batch->PutInode(kIndex, kFolder,
                         FolderRecord(after.geometry.root_block));
         batch->PutDirent(kIndex, after.geometry.root_block, NameOf(kFolder));
       }},
      {"FileWithoutAName",
       [](const VolumeRecord&, InodeNumber, CatalogBatch* batch) {
         batch->PutInode(kIndex, kFolder, FileRecord());
       }},
      {"NameWithoutALink",
       [](const VolumeRecord& after, InodeNumber ino, CatalogBatch* batch) {
         batch->PutDirent(kIndex, after.geometry.root_block, NameOf(ino));
       }},
      {"FileGoneBeforeItsName",
       [](const VolumeRecord&, InodeNumber ino, CatalogBatch* batch) {
         batch->DeleteInode(kIndex, ino);
       }},
      {"MalformedChangeMap",
       [](const VolumeRecord&, InodeNumber, CatalogBatch* batch) {
         batch->PutChangeChunk(kIndex, 0, std::string("\0\1", 2));
       }},
      {"MalformedInode", nullptr,
       [](InodeNumber ino) {
         return RawPut(Family::kInodes, InodeKey(kIndex, ino), "\x7f");
       }},
      {"MalformedName", nullptr,
       [](InodeNumber) {
         return RawPut(Family::kDirents,
                       DirentKey(kIndex, 1, MakeCookie(NameHash("wrong"), 0)),
                       "\x7f");
       }},
      {"KeyOfAnotherShape", nullptr,
       [](InodeNumber) {
         return RawPut(Family::kInodes, std::string(InodesPrefix(kIndex)) + "x",
                       "");
       }},
  };
}

INSTANTIATE_TEST_SUITE_P(Notes, WrongNoteTest, testing::ValuesIn(WrongNotes()),
                         [](const testing::TestParamInfo<WrongNote>& note) {
                           return std::string(note.param.name);
                         });

}  // namespace
}  // namespace vellum
