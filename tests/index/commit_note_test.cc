// SPDX-License-Identifier: Apache-2.0
#include "index/commit_note.h"

#include <gtest/gtest.h>

#include <random>

#include "index/catalog.h"
#include "tests/index/volume_fixture.h"

namespace vellum {
namespace {

CommitNote MakeNote() {
  CommitNote note;
  note.catalog = "0123456789abcdef";
  note.volume = 7;
  note.generation = {0x123456789abcdef, 12};
  note.base = 9;
  note.batch = std::string("\x01\0batch", 7);
  return note;
}

TEST(CommitNoteTest, ReadsWhatWasWritten) {
  const CommitNote note = MakeNote();
  const Result<CommitNote> read = DecodeCommitNote(Encode(note));
  ASSERT_OK(read);
  EXPECT_EQ(read->catalog, note.catalog);
  EXPECT_EQ(read->volume, note.volume);
  EXPECT_EQ(read->generation, note.generation);
  EXPECT_EQ(read->base, note.base);
  EXPECT_EQ(read->batch, note.batch);
}

TEST(CommitNoteTest, AnyBytesAreAnErrorAtMost) {
  const std::string whole = Encode(MakeNote());
  const size_t head = whole.size() - MakeNote().batch.size();
  for (size_t size = 0; size < head; ++size) {
    EXPECT_THAT(DecodeCommitNote(whole.substr(0, size)),
                HasErrc(Errc::kCorruption));
  }
  std::string later = whole;
  later[0] = 2;
  EXPECT_THAT(DecodeCommitNote(later), HasErrc(Errc::kIncompatible));
}

TEST(CommitNoteTest, LeadsOnlyFromWhereItBegins) {
  const CommitNote note = MakeNote();
  VolumeRecord record;
  record.index = note.volume;
  record.tree = TreeState::kValid;
  record.generation.lineage = note.generation.lineage;
  for (uint64_t number = 0; number < 20; ++number) {
    record.generation.number = number;
    EXPECT_EQ(note.LeadsFrom(record, note.catalog),
              number >= note.base && number < note.generation.number)
        << number;
  }
  record.generation.number = 10;
  EXPECT_TRUE(note.LeadsFrom(record, note.catalog));
  EXPECT_FALSE(note.LeadsFrom(record, "another"));
  VolumeRecord other = record;
  other.index = 8;
  EXPECT_FALSE(note.LeadsFrom(other, note.catalog));
  other = record;
  other.tree = TreeState::kScanning;
  EXPECT_FALSE(note.LeadsFrom(other, note.catalog));
  other = record;
  ++other.generation.lineage;
  EXPECT_FALSE(note.LeadsFrom(other, note.catalog));
}

// What one catalog has, as bytes.
std::string Dump(const Catalog& catalog) {
  std::string out;
  EXPECT_OK(
      catalog.ForEachRow("t", [&](std::string_view k, std::string_view v) {
        out.append(k).append("=").append(v).append(";");
        return true;
      }));
  EXPECT_OK(catalog.ForEachDirent(1, 5, 0, [&](DirentRecord&& entry) {
    out += Encode(entry);
    return true;
  }));
  return out;
}

CatalogBatch RandomBatch(std::mt19937_64* rng) {
  CatalogBatch batch;
  for (uint64_t i = (*rng)() % 12; i > 0; --i) {
    const std::string key = std::to_string((*rng)() % 9);
    DirentRecord entry;
    entry.cookie = 1 + (*rng)() % 9;
    entry.name = std::to_string((*rng)() % 1000);
    entry.ino = 3;
    switch ((*rng)() % 4) {
      case 0:
        batch.PutRow("t", key, std::to_string((*rng)() % 1000));
        break;
      case 1:
        batch.DeleteRow("t", key);
        break;
      case 2:
        batch.PutDirent(1, 5, entry);
        break;
      default:
        batch.DeleteDirent(1, 5, entry.cookie);
    }
  }
  return batch;
}

// From any state between its first batch and its last one a merged batch leads
// to the same end, and it does not grow with the number of batches.
TEST(CommitNoteTest, MergedBatchesLeadToTheSameEnd) {
  std::mt19937_64 rng(1);
  for (int round = 0; round < 30; ++round) {
    std::vector<CatalogBatch> batches;
    CatalogBatch merged;
    for (int i = 0; i < 30; ++i) {
      batches.push_back(RandomBatch(&rng));
      merged.Merge(batches.back());
    }
    EXPECT_LT(merged.bytes(), 600u);
    const std::unique_ptr<Catalog> whole = MemoryCatalog();
    for (const CatalogBatch& batch : batches) {
      ASSERT_OK(whole->Write(batch, Sync::kNo));
    }
    const std::unique_ptr<Catalog> part = MemoryCatalog();
    const size_t done = rng() % (batches.size() + 1);
    for (size_t i = 0; i < done; ++i) {
      ASSERT_OK(part->Write(batches[i], Sync::kNo));
    }
    const Result<CatalogBatch> stored = CatalogBatch::Parse(merged.Serialize());
    ASSERT_OK(stored);
    ASSERT_OK(part->Write(*stored, Sync::kNo));
    EXPECT_EQ(Dump(*part), Dump(*whole)) << round << ", " << done;
  }
}

TEST(CommitNoteTest, ABatchOfOneVolumeChangesNothingElse) {
  VolumeRecord record;
  record.index = 7;
  record.id = "V";
  InodeRecord inode;
  inode.attr.type = udf::FileType::kRegular;
  DirentRecord entry;
  entry.cookie = 5;
  entry.name = "n";
  const auto own = [&] {
    CatalogBatch batch;
    batch.PutVolume(record);
    batch.PutInode(7, 3, inode);
    batch.DeleteInode(7, 4);
    batch.PutDirent(7, 3, entry);
    batch.DeleteDirent(7, 3, 6);
    batch.PutChangeChunk(7, 1, "");
    return batch;
  };
  const Result<VolumeRecord> found = own().RecordOf(7);
  ASSERT_OK(found);
  EXPECT_EQ(*found, record);
  EXPECT_THAT(own().RecordOf(8), HasErrc(Errc::kCorruption));
  EXPECT_THAT(CatalogBatch().RecordOf(7), HasErrc(Errc::kCorruption));
  CatalogBatch others[7];
  others[0].PutInode(8, 3, inode);
  others[1].DeleteDirent(8, 3, 5);
  others[2].PutChangeChunk(8, 1, "");
  others[3].PutRow("job", "1", "x");
  others[4].DeleteVolume(7);
  others[5].DeletePending(7);
  others[6].DeleteRow("catalog", "identity");
  for (const CatalogBatch& other : others) {
    CatalogBatch batch = own();
    batch.Merge(other);
    EXPECT_THAT(batch.RecordOf(7), HasErrc(Errc::kCorruption));
  }
}

TEST(CommitNoteTest, ACatalogKeepsItsIdentity) {
  const std::unique_ptr<Catalog> one = MemoryCatalog();
  const std::unique_ptr<Catalog> other = MemoryCatalog();
  const Result<std::string> identity = one->Identity();
  ASSERT_OK(identity);
  EXPECT_EQ(identity->size(), 32u);
  EXPECT_EQ(*one->Identity(), *identity);
  EXPECT_NE(*other->Identity(), *identity);
}

}  // namespace
}  // namespace vellum
