// SPDX-License-Identifier: Apache-2.0
// Media that leave the library and come back.
#include "copy/shelf.h"

#include <gmock/gmock.h>

#include "tests/copy/jobs_fixture.h"

namespace vellum {
namespace {

class ShelfTest : public JobsTest {
 protected:
  // The volume is listed and its names are read, but its medium is not.
  void ExpectShownOnly(const std::string& id, const std::string& shelf) {
    const std::shared_ptr<Volume> volume = volumes_->Find(id);
    ASSERT_NE(volume, nullptr);
    EXPECT_OK(volume->Lookup(volume->root(), "file"));
    const Result<VolumeUse> use = volumes_->Use(volume);
    EXPECT_THAT(use, HasErrc(Errc::kNoMedium));
    EXPECT_THAT(use, MessageHas(shelf));
    EXPECT_THAT(jobs_->Submit(Request(id)), HasErrc(Errc::kNoMedium));
    EXPECT_THAT(jobs_->Submit(Request(id)), MessageHas(shelf));
    EXPECT_THAT(Fsck(archive(), id, {}), HasErrc(Errc::kNoMedium));
  }
};

TEST_F(ShelfTest, I13_ExportKeepsTheVolumeAndImportBringsItBack) {
  Start(1, 3);
  MakePrimary(1, "PRIM");
  ASSERT_OK(Write("PRIM", "file", "content"));
  ASSERT_OK_AND_ASSIGN(const Exported exported,
                       Export(archive(), "PRIM", "cupboard 3"));
  EXPECT_EQ(exported.element.value, 768);
  EXPECT_EQ(fake_->WhereIs(Tag(1)).value, 768);
  // In the door, out of it, and after a restart.
  ExpectShownOnly("PRIM", "cupboard 3");
  EXPECT_EQ(MediumState(library_->FindMedium(Tag(1)),
                        volumes_->Find("PRIM")->record().location),
            "exported");
  fake_->Place(Tag(1), {});
  Reopen();
  ExpectShownOnly("PRIM", "cupboard 3");
  const auto gone = Import(archive(), "PRIM");
  EXPECT_THAT(gone, HasErrc(Errc::kNoMedium));
  EXPECT_THAT(gone, MessageHas("cupboard 3"));
  // The shelf is tidied.
  ASSERT_OK(Export(archive(), "PRIM", "safe"));
  ExpectShownOnly("PRIM", "safe");

  fake_->Place(Tag(1), {768});
  const size_t loads = fake_->loads();
  ASSERT_OK_AND_ASSIGN(const std::vector<ImportRow> rows,
                       Import(archive(), ""));
  ASSERT_EQ(rows.size(), 1u);
  EXPECT_EQ(rows[0].found, "PRIM");
  EXPECT_EQ(fake_->WhereIs(Tag(1)), rows[0].to);
  EXPECT_EQ(rows[0].to.value, 1024);
  EXPECT_EQ(fake_->loads(), loads) << "known by its volume tag";
  EXPECT_TRUE(volumes_->Find("PRIM")->record().location.empty());
  EXPECT_EQ(ReadFile("PRIM", "file"), "content");
  EXPECT_THAT(Import(archive(), "PRIM"), HasErrc(Errc::kInvalidArgument));
}

TEST_F(ShelfTest, I13_AFullDoorIsNamedAndNothingMoves) {
  Start(1, 3);
  MakePrimary(1, "PRIM");
  ASSERT_OK(library_->Move({1026}, {768}));
  const size_t moves = fake_->moves();
  const auto full = Export(archive(), "PRIM", "");
  EXPECT_THAT(full, HasErrc(Errc::kNoSpace));
  EXPECT_THAT(full, MessageHas("768 holds V00003"));
  EXPECT_EQ(fake_->moves(), moves);
  EXPECT_TRUE(volumes_->Find("PRIM")->record().location.empty());
  EXPECT_THAT(Export(archive(), "NONE", ""), HasErrc(Errc::kNotFound));
  // In use.
  const auto use = volumes_->Hold(volumes_->Find("PRIM"), {}, "a copy");
  ASSERT_OK(use);
  EXPECT_THAT(Export(archive(), "PRIM", ""), HasErrc(Errc::kBusy));
}

// What is open for writing would have nowhere to go.
TEST_F(ShelfTest, I13_AVolumeWithOpenFilesStays) {
  Start(1, 3);
  MakePrimary(1, "PRIM");
  ASSERT_OK(Write("PRIM", "file", "content"));
  const std::shared_ptr<Volume> volume = volumes_->Find("PRIM");
  const Result<Attr> file = volume->Lookup(volume->root(), "file");
  ASSERT_OK(file);
  {
    ASSERT_OK_AND_ASSIGN(VolumeUse use, volumes_->Use(volume));
    ASSERT_OK(use->Open(file->ino));
  }
  const size_t moves = fake_->moves();
  const auto refused = Export(archive(), "PRIM", "");
  EXPECT_THAT(refused, HasErrc(Errc::kBusy));
  EXPECT_THAT(refused, MessageHas("1 of its files is open"));
  EXPECT_EQ(fake_->moves(), moves);
  EXPECT_TRUE(volume->record().location.empty());
  ASSERT_OK(Write("PRIM", "file", "more"));
  volume->Close(file->ino);
  EXPECT_OK(Export(archive(), "PRIM", ""));
}

TEST_F(ShelfTest, I13_MediaThatNobodyKnowsAreReadWhenTheyComeIn) {
  Start(1, 4);
  MakePrimary(1, "PRIM");
  ASSERT_OK(Write("PRIM", "file", "content"));
  ASSERT_OK(Export(archive(), "PRIM", ""));
  fake_->Place(Tag(1), {});
  // Another library's medium, and one with nothing on it.
  volumes_->Forget(volumes_->Find("PRIM")).IgnoreError("tested below");
  ASSERT_EQ(volumes_->Find("PRIM"), nullptr);
  fake_->Place(Tag(1), {768});
  ASSERT_OK_AND_ASSIGN(const std::vector<ImportRow> rows,
                       Import(archive(), "768"));
  ASSERT_EQ(rows.size(), 1u);
  EXPECT_EQ(rows[0].found, "PRIM");
  EXPECT_EQ(ReadFile("PRIM", "file"), "content");
  SendAllHome();
  fake_->Place(Tag(2), {768});
  ASSERT_OK_AND_ASSIGN(const std::vector<ImportRow> blank,
                       Import(archive(), ""));
  ASSERT_EQ(blank.size(), 1u);
  EXPECT_EQ(blank[0].found, "blank");
}

TEST_F(ShelfTest, I13_ACleaningMediumComesInUnread) {
  Start(1, 2);
  fake_->Relabel(Tag(2), "CLN002");
  fake_->Place("CLN002", {768});
  ASSERT_OK_AND_ASSIGN(const std::vector<ImportRow> rows,
                       Import(archive(), ""));
  ASSERT_EQ(rows.size(), 1u);
  EXPECT_EQ(rows[0].found, "cleaning medium");
  EXPECT_EQ(fake_->WhereIs("CLN002"), rows[0].to);
  EXPECT_EQ(rows[0].to.value, 1025);
  EXPECT_EQ(fake_->loads(), 0u);
}

TEST_F(ShelfTest, I13_MediaWithoutTagsAreKnownByTheirLabel) {
  Start(1, 3);
  Close();
  fake_->HideTags();
  Open();
  for (const char* element : {"1024", "1025"}) {
    FormatRequest request;
    request.medium = element;
    request.volume_id = std::string("VOL") + element;
    ASSERT_OK(Format(archive(), request));
  }
  ASSERT_OK(Write("VOL1024", "file", "content"));
  ASSERT_OK(Export(archive(), "VOL1024", "shelf"));
  fake_->Place(Tag(1), {});
  // Somebody puts the other one into the door.
  SendAllHome();
  fake_->Place(Tag(2), {768});
  ASSERT_OK_AND_ASSIGN(std::vector<ImportRow> rows, Import(archive(), ""));
  ASSERT_EQ(rows.size(), 1u);
  EXPECT_EQ(rows[0].found, "VOL1025");
  EXPECT_EQ(volumes_->Find("VOL1024")->record().location, "shelf");
  SendAllHome();
  fake_->Place(Tag(1), {768});
  ASSERT_OK_AND_ASSIGN(rows, Import(archive(), ""));
  ASSERT_EQ(rows.size(), 1u);
  EXPECT_EQ(rows[0].found, "VOL1024");
  EXPECT_EQ(ReadFile("VOL1024", "file"), "content");
}

TEST_F(ShelfTest, I13_ExportedBackupsAreNoTargets) {
  Start(1, 4);
  MakePrimary(1, "PRIM");
  EXPECT_EQ(Copy(Request("PRIM")).target_medium, Tag(2));
  ASSERT_OK(Export(archive(), "V00002", "bank"));
  EXPECT_EQ(Copy(Request("PRIM")).target_medium, Tag(3));
  CopyRequest request = Request("PRIM");
  request.target = "V00002";
  EXPECT_THAT(jobs_->Submit(request), HasErrc(Errc::kNoMedium));
  EXPECT_THAT(jobs_->Submit(request), MessageHas("bank"));
  // An inventory leaves it alone.
  ASSERT_OK_AND_ASSIGN(const std::vector<InventoryRow> rows,
                       Inventory(archive(), true));
  bool seen = false;
  for (const InventoryRow& row : rows) {
    if (row.medium == Tag(2)) seen = row.found == "V00002 (exported)";
  }
  EXPECT_TRUE(seen);
  EXPECT_EQ(volumes_->Find("V00002")->record().location, "bank");
}

}  // namespace
}  // namespace vellum
