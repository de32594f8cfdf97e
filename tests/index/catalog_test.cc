// SPDX-License-Identifier: Apache-2.0
#include "index/catalog.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include <algorithm>
#include <map>
#include <memory>
#include <random>
#include <string>
#include <tuple>
#include <utility>
#include <vector>

#include "tests/support/status_matchers.h"
#include "tests/support/temp_dir.h"

namespace vellum {
namespace {

using testing::ElementsAre;
using testing::IsEmpty;

std::unique_ptr<Catalog> OpenOrDie(const std::string& path,
                                   bool in_memory = false) {
  Catalog::Options options;
  options.cache_bytes = 8 << 20;
  options.in_memory = in_memory;
  auto catalog = Catalog::Open(path, options);
  EXPECT_OK(catalog);
  return catalog.ok() ? std::move(*catalog) : nullptr;
}

InodeRecord InodeOfSize(uint64_t size) {
  InodeRecord record;
  record.attr.size = size;
  return record;
}

DirentRecord Dirent(const std::string& name, InodeNumber ino,
                    uint32_t ordinal = 0) {
  DirentRecord record;
  record.cookie = MakeCookie(NameHash(name), ordinal);
  record.name = name;
  record.ino = ino;
  return record;
}

std::vector<std::string> NamesAfter(const Catalog& catalog, VolumeIndex volume,
                                    InodeNumber dir, uint64_t after,
                                    const CatalogSnapshot* snapshot = nullptr) {
  std::vector<std::string> names;
  EXPECT_OK(catalog.ForEachDirent(
      volume, dir, after,
      [&](DirentRecord&& record) {
        names.push_back(std::move(record.name));
        return true;
      },
      snapshot));
  return names;
}

// On disk, with a handle that can be reopened: what was in memory is then in
// table files.
class CatalogTest : public testing::Test {
 protected:
  void SetUp() override { Reopen(); }
  void Reopen() {
    catalog_.reset();
    catalog_ = OpenOrDie(dir_.Sub("catalog"));
    ASSERT_NE(catalog_, nullptr);
  }
  void Write(const CatalogBatch& batch) {
    ASSERT_OK(catalog_->Write(batch, Sync::kNo));
  }

  TempDir dir_;
  std::unique_ptr<Catalog> catalog_;
};

TEST_F(CatalogTest, D5_VolumesRoundTripAndPersist) {
  VolumeRecord first;
  first.index = 1;
  first.id = "PHOTOS";
  first.generation = {0x1234, 17};
  VolumeRecord second = first;
  second.index = 300;
  second.id = "MUSIC";
  CatalogBatch batch;
  batch.PutVolume(second);
  batch.PutVolume(first);
  ASSERT_OK(catalog_->Write(batch, Sync::kYes));
  Reopen();
  ASSERT_OK_AND_ASSIGN(const auto volumes, catalog_->Volumes());
  EXPECT_THAT(volumes, ElementsAre(first, second));
  ASSERT_OK_AND_ASSIGN(const auto got, catalog_->GetVolume(300));
  EXPECT_EQ(got, second);
  CatalogBatch remove;
  remove.DeleteVolume(300);
  Write(remove);
  EXPECT_THAT(catalog_->GetVolume(300), HasErrc(Errc::kNotFound));
  EXPECT_THAT(catalog_->GetVolume(300), MessageHas("volume index 300"));
}

TEST_F(CatalogTest, VolumeIndexesAreNeverReused) {
  EXPECT_EQ(*catalog_->NewVolumeIndex(), 1u);
  EXPECT_EQ(*catalog_->NewVolumeIndex(), 2u);
  Reopen();
  EXPECT_EQ(*catalog_->NewVolumeIndex(), 3u);
}

TEST_F(CatalogTest, InodesRoundTrip) {
  CatalogBatch batch;
  batch.PutInode(1, 40, InodeOfSize(4));
  batch.PutInode(1, 50, InodeOfSize(5));
  batch.PutInode(2, 40, InodeOfSize(6));
  Write(batch);
  EXPECT_EQ(catalog_->GetInode(1, 40)->attr.size, 4u);
  EXPECT_EQ(catalog_->GetInode(2, 40)->attr.size, 6u);
  EXPECT_THAT(catalog_->GetInode(2, 50), HasErrc(Errc::kNotFound));
  std::vector<InodeNumber> seen;
  ASSERT_OK(catalog_->ForEachInode(1, [&](InodeNumber ino, InodeRecord&&) {
    seen.push_back(ino);
    return true;
  }));
  EXPECT_THAT(seen, ElementsAre(40, 50));
  CatalogBatch remove;
  remove.DeleteInode(1, 40);
  Write(remove);
  EXPECT_THAT(catalog_->GetInode(1, 40), HasErrc(Errc::kNotFound));
  EXPECT_OK(catalog_->GetInode(2, 40));
}

TEST_F(CatalogTest, DirentsComeInCookieOrderFromAnyCookie) {
  CatalogBatch batch;
  std::map<uint64_t, std::string> expected;
  for (int i = 0; i < 100; ++i) {
    const DirentRecord record = Dirent("file" + std::to_string(i), i);
    expected[record.cookie] = record.name;
    batch.PutDirent(1, 9, record);
  }
  batch.PutDirent(1, 8, Dirent("before", 1));
  batch.PutDirent(1, 10, Dirent("behind", 1));
  Write(batch);
  for (int pass = 0; pass < 2; ++pass) {
    std::vector<std::string> names;
    for (const auto& [cookie, name] : expected) names.push_back(name);
    EXPECT_EQ(NamesAfter(*catalog_, 1, 9, 0), names);
    for (const auto& [cookie, name] : expected) {
      names.erase(names.begin());
      EXPECT_EQ(NamesAfter(*catalog_, 1, 9, cookie), names);
    }
    EXPECT_THAT(NamesAfter(*catalog_, 1, 9, UINT64_MAX), IsEmpty());
    EXPECT_THAT(NamesAfter(*catalog_, 1, 9, UINT64_MAX >> 1), IsEmpty());
    Reopen();
  }
}

TEST_F(CatalogTest, VisitorsStopWhenTheyAnswerFalse) {
  CatalogBatch batch;
  batch.PutDirent(1, 9, Dirent("a", 1));
  batch.PutDirent(1, 9, Dirent("b", 2));
  batch.PutInode(1, 1, InodeRecord());
  batch.PutInode(1, 2, InodeRecord());
  batch.PutRow("t", "a", "");
  batch.PutRow("t", "b", "");
  batch.PutChangeChunk(1, 0, "");
  batch.PutChangeChunk(1, 1, "");
  Write(batch);
  int visits = 0;
  const auto once = [&](auto&&...) {
    ++visits;
    return false;
  };
  ASSERT_OK(catalog_->ForEachDirent(1, 9, 0, once));
  ASSERT_OK(catalog_->ForEachInode(1, once));
  ASSERT_OK(catalog_->ForEachRow("t", once));
  ASSERT_OK(catalog_->ForEachChangeChunk(1, once));
  EXPECT_EQ(visits, 4);
}

TEST_F(CatalogTest, CollidingNamesAreToldApart) {
  // Three names under one hash, as if NameHash collided.
  const std::string wanted = "wanted";
  const uint64_t hash = NameHash(wanted);
  DirentRecord first = Dirent("other", 1);
  first.cookie = MakeCookie(hash, 0);
  const DirentRecord second = Dirent(wanted, 2, 1);
  DirentRecord last = Dirent("last", 3);
  last.cookie = MakeCookie(hash, 127);
  DirentRecord neighbour = Dirent("neighbour", 4);
  neighbour.cookie = MakeCookie(hash + 1, 0);
  CatalogBatch batch;
  for (const auto& record : {first, second, last, neighbour}) {
    batch.PutDirent(1, 9, record);
  }
  batch.PutDirent(1, 10, first);
  batch.PutDirent(2, 9, first);
  Write(batch);
  for (int pass = 0; pass < 2; ++pass) {
    ASSERT_OK_AND_ASSIGN(const auto found, catalog_->FindDirents(1, 9, hash));
    EXPECT_THAT(found, ElementsAre(first, second, last));
    ASSERT_OK_AND_ASSIGN(const auto by_name,
                         catalog_->FindDirent(1, 9, wanted));
    EXPECT_EQ(by_name, second);
    EXPECT_THAT(catalog_->FindDirent(1, 10, wanted), HasErrc(Errc::kNotFound));
    Reopen();
  }
  // The name with ordinal 0 goes; the one with ordinal 1 must still be found.
  CatalogBatch remove;
  remove.DeleteDirent(1, 9, first.cookie);
  Write(remove);
  for (int pass = 0; pass < 2; ++pass) {
    ASSERT_OK_AND_ASSIGN(const auto by_name,
                         catalog_->FindDirent(1, 9, wanted));
    EXPECT_EQ(by_name, second);
    Reopen();
  }
}

TEST_F(CatalogTest, SnapshotsStayAsTheyWere) {
  CatalogBatch batch;
  batch.PutInode(1, 40, InodeOfSize(1));
  batch.PutDirent(1, 9, Dirent("old", 40));
  batch.PutChangeChunk(1, 0, "old");
  Write(batch);
  const auto snapshot = catalog_->Snapshot();
  ASSERT_OK(catalog_->ClearTree(1));
  CatalogBatch change;
  change.PutInode(1, 41, InodeOfSize(2));
  change.PutDirent(1, 9, Dirent("new", 41));
  change.PutChangeChunk(1, 0, "new");
  Write(change);
  const CatalogSnapshot* const old = snapshot.get();
  EXPECT_EQ(catalog_->GetInode(1, 40, old)->attr.size, 1u);
  EXPECT_THAT(catalog_->GetInode(1, 41, old), HasErrc(Errc::kNotFound));
  EXPECT_THAT(catalog_->GetInode(1, 40), HasErrc(Errc::kNotFound));
  EXPECT_OK(catalog_->FindDirent(1, 9, "old", old));
  EXPECT_THAT(catalog_->FindDirent(1, 9, "old"), HasErrc(Errc::kNotFound));
  EXPECT_THAT(catalog_->FindDirent(1, 9, "new", old), HasErrc(Errc::kNotFound));
  EXPECT_THAT(NamesAfter(*catalog_, 1, 9, 0, old), ElementsAre("old"));
  EXPECT_THAT(NamesAfter(*catalog_, 1, 9, 0), ElementsAre("new"));
  EXPECT_EQ(*catalog_->GetChangeChunk(1, 0, old), "old");
  EXPECT_EQ(*catalog_->GetChangeChunk(1, 0), "new");
}

TEST_F(CatalogTest, CopyTreeTakesTheSnapshotsTree) {
  // Enough for several of its batches.
  constexpr uint32_t kFiles = 20'000;
  CatalogBatch batch;
  for (uint32_t i = 1; i <= kFiles; ++i) {
    batch.PutInode(1, i, InodeOfSize(i));
    batch.PutDirent(1, 9, Dirent("file" + std::to_string(i), i));
  }
  batch.PutInode(2, 500'000, InodeOfSize(1));  // of the old tree of 2
  batch.PutDirent(2, 9, Dirent("stale", 500'000));
  batch.PutInode(3, 7, InodeOfSize(7));  // a bystander
  Write(batch);
  const auto snapshot = catalog_->Snapshot();
  CatalogBatch later;
  later.DeleteInode(1, 1);
  later.PutInode(1, 2, InodeOfSize(0));
  Write(later);
  ASSERT_OK(catalog_->CopyTree(1, *snapshot, 2));
  uint32_t next = 1;
  ASSERT_OK(catalog_->ForEachInode(2, [&](InodeNumber ino, InodeRecord&& r) {
    EXPECT_EQ(ino, next);
    EXPECT_EQ(r.attr.size, next);
    ++next;
    return true;
  }));
  EXPECT_EQ(next, kFiles + 1);
  EXPECT_EQ(NamesAfter(*catalog_, 2, 9, 0),
            NamesAfter(*catalog_, 1, 9, 0, snapshot.get()));
  EXPECT_OK(catalog_->GetInode(3, 7));
  EXPECT_THAT(catalog_->CopyTree(1, *snapshot, 1),
              HasErrc(Errc::kInvalidArgument));
}

TEST_F(CatalogTest, PendingBatchSurvivesAndApplies) {
  CatalogBatch batch;
  batch.PutInode(1, 40, InodeOfSize(4));
  batch.PutRow("job", "1", "done");
  EXPECT_FALSE(catalog_->GetPending(1)->has_value());
  EXPECT_THAT(catalog_->ApplyPending(1), HasErrc(Errc::kNotFound));
  ASSERT_OK(catalog_->PutPending(
      1, {Generation{0xABCD, 18}, 0x1234, batch.Serialize()}));
  Reopen();
  EXPECT_THAT(catalog_->GetInode(1, 40), HasErrc(Errc::kNotFound));
  ASSERT_OK_AND_ASSIGN(const auto pending, catalog_->GetPending(1));
  ASSERT_TRUE(pending.has_value());
  EXPECT_EQ(pending->generation, (Generation{0xABCD, 18}));
  EXPECT_EQ(pending->record_crc, 0x1234u);
  EXPECT_EQ(pending->batch, batch.Serialize());
  EXPECT_FALSE(catalog_->GetPending(2)->has_value());
  ASSERT_OK(catalog_->ApplyPending(1));
  EXPECT_FALSE(catalog_->GetPending(1)->has_value());
  Reopen();
  EXPECT_FALSE(catalog_->GetPending(1)->has_value());
  EXPECT_EQ(catalog_->GetInode(1, 40)->attr.size, 4u);
  EXPECT_EQ(*catalog_->GetRow("job", "1"), "done");
}

TEST_F(CatalogTest, ApplyPendingTakesTheGivenBatch) {
  CatalogBatch stored;
  stored.PutInode(1, 40, InodeOfSize(4));
  ASSERT_OK(catalog_->PutPending(1, {Generation{1, 2}, 3, stored.Serialize()}));
  CatalogBatch given;
  given.PutInode(1, 41, InodeOfSize(5));
  ASSERT_OK(catalog_->ApplyPending(1, &given));
  EXPECT_FALSE(catalog_->GetPending(1)->has_value());
  EXPECT_OK(catalog_->GetInode(1, 41));
  EXPECT_THAT(catalog_->GetInode(1, 40), HasErrc(Errc::kNotFound));
}

TEST_F(CatalogTest, PendingBatchCanBeDiscarded) {
  CatalogBatch batch;
  batch.PutInode(1, 40, InodeOfSize(4));
  ASSERT_OK(catalog_->PutPending(1, {Generation{1, 2}, 3, batch.Serialize()}));
  CatalogBatch discard;
  discard.DeletePending(1);
  ASSERT_OK(catalog_->Write(discard, Sync::kYes));
  Reopen();
  EXPECT_FALSE(catalog_->GetPending(1)->has_value());
  EXPECT_THAT(catalog_->GetInode(1, 40), HasErrc(Errc::kNotFound));
}

TEST_F(CatalogTest, PendingBatchMayBeLarge) {
  std::string content(24 << 20, 'x');
  CatalogBatch batch;
  batch.PutRow("big", "1", content);
  ASSERT_OK(catalog_->PutPending(1, {Generation{1, 2}, 3, batch.Serialize()}));
  Reopen();
  ASSERT_OK(catalog_->ApplyPending(1));
  EXPECT_EQ(*catalog_->GetRow("big", "1"), content);
}

TEST_F(CatalogTest, MalformedPendingBatchIsCorruption) {
  ASSERT_OK(catalog_->PutPending(1, {Generation{1, 2}, 3, "\x01\xFF\xFF"}));
  EXPECT_THAT(catalog_->ApplyPending(1), HasErrc(Errc::kCorruption));
  EXPECT_THAT(catalog_->ApplyPending(1),
              MessageHas("pending batch of volume index 1"));
}

TEST_F(CatalogTest, BatchesSerialize) {
  CatalogBatch batch;
  EXPECT_EQ(batch.bytes(), 0u);
  batch.PutInode(1, 40, InodeOfSize(4));
  batch.DeleteInode(1, 41);
  batch.PutDirent(1, 9, Dirent("name", 40));
  batch.DeleteInode(2, 1);
  EXPECT_GT(batch.bytes(), 0u);
  CatalogBatch before;
  before.PutInode(1, 41, InodeOfSize(1));
  before.PutInode(2, 1, InodeOfSize(1));
  Write(before);
  ASSERT_OK_AND_ASSIGN(const auto parsed,
                       CatalogBatch::Parse(batch.Serialize()));
  EXPECT_EQ(parsed.bytes(), batch.bytes());
  Write(parsed);
  EXPECT_OK(catalog_->GetInode(1, 40));
  EXPECT_OK(catalog_->FindDirent(1, 9, "name"));
  EXPECT_THAT(catalog_->GetInode(1, 41), HasErrc(Errc::kNotFound));
  EXPECT_THAT(catalog_->GetInode(2, 1), HasErrc(Errc::kNotFound));
  EXPECT_THAT(CatalogBatch::Parse(""), HasErrc(Errc::kCorruption));
  EXPECT_THAT(CatalogBatch::Parse("\x07"), HasErrc(Errc::kCorruption));
}

TEST_F(CatalogTest, RowsOfTablesAreSeparateAndSorted) {
  CatalogBatch batch;
  batch.PutRow("job", "b", "2");
  batch.PutRow("job", "a", "1");
  batch.PutRow("job", std::string("a\0x", 3), "3");
  batch.PutRow("jobs", "a", "other table");
  Write(batch);
  std::vector<std::pair<std::string, std::string>> rows;
  ASSERT_OK(catalog_->ForEachRow(
      "job", [&](std::string_view key, std::string_view value) {
        rows.emplace_back(key, value);
        return true;
      }));
  EXPECT_THAT(rows, ElementsAre(std::pair("a", "1"),
                                std::pair(std::string("a\0x", 3), "3"),
                                std::pair("b", "2")));
  CatalogBatch remove;
  remove.DeleteRow("job", "a");
  Write(remove);
  EXPECT_THAT(catalog_->GetRow("job", "a"), HasErrc(Errc::kNotFound));
  EXPECT_EQ(*catalog_->GetRow("jobs", "a"), "other table");
}

TEST_F(CatalogTest, DeletingAChangeMapLeavesOthers) {
  CatalogBatch batch;
  batch.PutChangeChunk(1, 0, "one");
  batch.PutChangeChunk(2, 7, "two");
  Write(batch);
  ASSERT_OK(catalog_->ClearChangeMap(1));
  EXPECT_EQ(*catalog_->GetChangeChunk(1, 0), "");
  std::map<uint32_t, std::string> chunks;
  ASSERT_OK(catalog_->ForEachChangeChunk(
      2, [&](uint32_t chunk, std::string_view value) {
        chunks[chunk] = value;
        return true;
      }));
  EXPECT_THAT(chunks, ElementsAre(std::pair(7u, "two")));
}

TEST_F(CatalogTest, SecondOpenIsBusy) {
  EXPECT_THAT(Catalog::Open(dir_.Sub("catalog"), {}), HasErrc(Errc::kBusy));
}

TEST_F(CatalogTest, InMemoryTouchesNoDisk) {
  const std::string path = dir_.Sub("nowhere");
  {
    const auto memory = OpenOrDie(path, /*in_memory=*/true);
    ASSERT_NE(memory, nullptr);
    CatalogBatch batch;
    batch.PutInode(1, 40, InodeOfSize(4));
    ASSERT_OK(memory->Write(batch, Sync::kYes));
    ASSERT_OK(memory->SyncLog());
    EXPECT_OK(memory->GetInode(1, 40));
    EXPECT_EQ(*memory->NewVolumeIndex(), 1u);
  }
  EXPECT_NE(access(path.c_str(), F_OK), 0);
}

// Random changes of two volumes against maps, with reopens in between, so that
// deleted trees, Bloom filters and table files meet in many ways.
TEST_F(CatalogTest, AgreesWithAModel) {
  using Id = std::pair<VolumeIndex, InodeNumber>;
  std::map<Id, uint64_t> inodes;
  std::map<std::pair<Id, std::string>, InodeNumber> names;
  std::mt19937 random(7);
  const auto below = [&](uint32_t n) { return random() % n; };
  for (int step = 0; step < 3000; ++step) {
    CatalogBatch batch;
    for (uint32_t i = below(4); i < 4; ++i) {
      const VolumeIndex volume = 1 + below(2);
      const InodeNumber dir = 1 + below(5);
      const std::string name = "n" + std::to_string(below(40));
      const InodeNumber ino = below(100);
      switch (below(20)) {
        case 0:
          if (below(8) != 0) break;
          Write(batch);
          batch = CatalogBatch();
          ASSERT_OK(catalog_->ClearTree(volume));
          std::erase_if(inodes, [&](const auto& entry) {
            return entry.first.first == volume;
          });
          std::erase_if(names, [&](const auto& entry) {
            return entry.first.first.first == volume;
          });
          break;
        case 1:
        case 2:
        case 3:
          batch.DeleteInode(volume, ino);
          inodes.erase({volume, ino});
          break;
        case 4:
        case 5:
        case 6:
          batch.DeleteDirent(volume, dir, Dirent(name, 0).cookie);
          names.erase({{volume, dir}, name});
          break;
        default:
          batch.PutInode(volume, ino, InodeOfSize(step));
          inodes[{volume, ino}] = step;
          batch.PutDirent(volume, dir, Dirent(name, ino));
          names[{{volume, dir}, name}] = ino;
      }
    }
    Write(batch);
    if (step % 250 == 249) Reopen();
    const Id dir = {1 + below(2), 1 + below(5)};
    const std::string name = "n" + std::to_string(below(40));
    const auto expected = names.find({dir, name});
    const auto found = catalog_->FindDirent(dir.first, dir.second, name);
    if (expected == names.end()) {
      ASSERT_THAT(found, HasErrc(Errc::kNotFound));
    } else {
      ASSERT_OK(found);
      ASSERT_EQ(found->ino, expected->second);
    }
    if (step % 50 != 0) continue;
    std::map<Id, uint64_t> seen;
    for (const VolumeIndex volume : {1, 2}) {
      ASSERT_OK(
          catalog_->ForEachInode(volume, [&](InodeNumber ino, InodeRecord&& r) {
            seen[{volume, ino}] = r.attr.size;
            return true;
          }));
      for (InodeNumber d = 1; d <= 5; ++d) {
        std::vector<std::string> expected_names;
        for (const auto& [id, ino] : names) {
          if (id.first == Id{volume, d}) expected_names.push_back(id.second);
        }
        EXPECT_THAT(NamesAfter(*catalog_, volume, d, 0),
                    testing::UnorderedElementsAreArray(expected_names));
      }
    }
    ASSERT_EQ(seen, inodes);
  }
}

TEST_F(CatalogTest, LargeDirectoriesAreReadInPieces) {
  constexpr uint32_t kNames = 50'000;
  constexpr size_t kPiece = 500;
  for (uint32_t first = 0; first < kNames; first += 5000) {
    CatalogBatch batch;
    for (uint32_t i = first; i < first + 5000; ++i) {
      batch.PutDirent(1, 9, Dirent("file" + std::to_string(i), i));
    }
    Write(batch);
  }
  Reopen();
  std::vector<bool> seen(kNames);
  uint64_t after = 0;
  size_t visits = 0;
  for (size_t piece = kPiece; piece == kPiece;) {
    piece = 0;
    ASSERT_OK(catalog_->ForEachDirent(1, 9, after, [&](DirentRecord&& record) {
      EXPECT_GT(record.cookie, after);
      EXPECT_FALSE(seen[record.ino]);
      seen[record.ino] = true;
      after = record.cookie;
      ++visits;
      return ++piece < kPiece;
    }));
  }
  // Each name once and no name decoded twice: linear, whatever the pieces.
  EXPECT_EQ(visits, kNames);
  EXPECT_THAT(seen, testing::Each(true));
}

}  // namespace
}  // namespace vellum
