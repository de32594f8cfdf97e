// SPDX-License-Identifier: Apache-2.0
#include "copy/operations.h"

#include "tests/copy/jobs_fixture.h"

namespace vellum {
namespace {

TEST_F(JobsTest, ResolveFindsMediaByAllTheirNames) {
  Start(1, 2);
  MakePrimary(1, "PRIM");
  for (const char* name : {"V00001", "PRIM", "1024", "0x400", "0X400"}) {
    ASSERT_OK_AND_ASSIGN(const MediumId id, ResolveMedium(archive(), name));
    EXPECT_EQ(id, "V00001") << name;
  }
  EXPECT_THAT(ResolveMedium(archive(), "1030"), HasErrc(Errc::kNoMedium));
  for (const char* name : {"9999", "0x", "0x10400", "66560", "1024x", "-1"}) {
    EXPECT_THAT(ResolveMedium(archive(), name), HasErrc(Errc::kNotFound))
        << name;
  }
  const auto unknown = ResolveMedium(archive(), "NOSUCH");
  EXPECT_THAT(unknown, HasErrc(Errc::kNotFound));
  EXPECT_THAT(unknown, MessageHas("NOSUCH"));
}

TEST_F(JobsTest, ResolveFindsALoadedMediumByItsHome) {
  Start(1, 1);
  MakePrimary(1, "PRIM");
  ASSERT_OK(volumes_->Use(volumes_->Find("PRIM")));
  ASSERT_OK_AND_ASSIGN(const MediumPlace place, library_->FindMedium(Tag(1)));
  ASSERT_TRUE(place.loaded);
  for (const char* name : {"1024", "256"}) {
    ASSERT_OK_AND_ASSIGN(const MediumId id, ResolveMedium(archive(), name));
    EXPECT_EQ(id, "V00001") << name;
  }
}

TEST_F(JobsTest, FormatMakesAVolumeKnown) {
  Start(1, 3);
  FormatRequest request;
  request.medium = "1024";
  request.volume_id = "PRIM";
  request.threshold = 80;
  request.root_uid = 7;
  ASSERT_OK_AND_ASSIGN(const VolumeRecord record, Format(archive(), request));
  EXPECT_EQ(record.id, "PRIM");
  EXPECT_EQ(record.threshold, 80u);
  EXPECT_EQ(record.tree, TreeState::kValid);
  const auto volume = volumes_->Find("PRIM");
  ASSERT_NE(volume, nullptr);
  ASSERT_OK_AND_ASSIGN(const Attr root, volume->GetAttr(volume->root()));
  EXPECT_EQ(root.attr.uid, 7u);
}

TEST_F(JobsTest, I15_FormatRefusesWhatIsThere) {
  Start(1, 3);
  MakePrimary(1, "PRIM");
  FormatRequest request;
  request.medium = Tag(1);
  request.volume_id = "NEW";
  EXPECT_THAT(Format(archive(), request), HasErrc(Errc::kExists));
  EXPECT_THAT(Format(archive(), request),
              MessageHas("clear (--clear, clear=yes)"));
  request.medium = Tag(2);
  request.volume_id = "PRIM";
  EXPECT_THAT(Format(archive(), request), HasErrc(Errc::kExists));
  request.volume_id = "bad name";
  EXPECT_THAT(Format(archive(), request), HasErrc(Errc::kInvalidArgument));
  request.volume_id = "NEW";
  request.threshold = 101;
  EXPECT_THAT(Format(archive(), request), HasErrc(Errc::kInvalidArgument));
  request.role = udf::Role::kBackup;
  request.threshold = 80;
  EXPECT_THAT(Format(archive(), request), HasErrc(Errc::kInvalidArgument));
  // Data that nobody knows.
  const Bytes foreign(8 * kSectorSize, std::byte{1});
  ASSERT_OK(Content(3).Write(16, foreign));
  FormatRequest third;
  third.medium = Tag(3);
  third.volume_id = "NEW";
  EXPECT_THAT(Format(archive(), third), HasErrc(Errc::kExists));
  EXPECT_THAT(Format(archive(), third),
              MessageHas("clear (--clear, clear=yes)"));
  third.clear = true;
  EXPECT_OK(Format(archive(), third));
  // In use.
  ASSERT_OK_AND_ASSIGN(const VolumeUse use,
                       volumes_->Hold(volumes_->Find("NEW")));
  third.volume_id = "NEWER";
  EXPECT_THAT(Format(archive(), third), HasErrc(Errc::kBusy));
}

TEST_F(JobsTest, I15_FormatWithClearReplacesTheVolume) {
  Start(1, 2);
  MakePrimary(1, "PRIM");
  ASSERT_OK(Write("PRIM", "old", "x"));
  FormatRequest request;
  request.medium = Tag(1);
  request.volume_id = "PRIM";
  request.clear = true;
  ASSERT_OK(Format(archive(), request));
  EXPECT_TRUE(CatalogNames(*volumes_->Find("PRIM")).empty());
  ASSERT_OK(Write("PRIM", "new", "y"));
  EXPECT_EQ(CatalogNames(*volumes_->Find("PRIM")),
            std::set<std::string>{"new"});
}

// A daemon dies when the medium says primary and the catalog says backup.
TEST_F(JobsTest, I8_AConvertThatBrokeOffIsDoneWhenItIsRepeated) {
  Start(1, 4);
  MakePrimary(1, "PRIM");
  Fill("PRIM", 1);
  Copy(Request("PRIM"));
  SendAllHome();
  Close();
  PrimaryIdentity identity;
  identity.volume_id = "SECOND";
  ASSERT_OK(WritePrimarySlot(Content(2), identity));
  Open();
  EXPECT_EQ(volumes_->Find("SECOND"), nullptr);
  ASSERT_OK_AND_ASSIGN(const VolumeRecord record,
                       Convert(archive(), "V00002", "SECOND"));
  EXPECT_EQ(record.role, udf::Role::kPrimary);
  EXPECT_TRUE(record.owner_id.empty());
  EXPECT_EQ(volumes_->Find("V00002"), nullptr);
  EXPECT_EQ(ReadFile("SECOND", "file7"), Bytes0(107, 1000 + 7 * 45'000));
  ASSERT_OK(Write("SECOND", "more", "it is written"));
  EXPECT_EQ(ReadFile("SECOND", "more"), "it is written");
}

TEST_F(JobsTest, I15_ClearingLeavesNothingUnlessAskedTo) {
  Start(1, 2);
  MakePrimary(1, "PRIM");
  const std::string secret = Bytes0(77, 64 * 1024);
  const auto holds_secret = [&] {
    Bytes all(8192 * kSectorSize);
    Content(1).Peek(0, all);
    const auto text = std::as_bytes(std::span(secret)).first(kSectorSize);
    return std::search(all.begin(), all.end(), text.begin(), text.end()) !=
           all.end();
  };
  ASSERT_OK(Write("PRIM", "secret", secret));
  SendAllHome();
  ASSERT_TRUE(holds_secret());
  FormatRequest request;
  request.medium = Tag(1);
  request.volume_id = "PRIM";
  request.clear = true;
  request.wipe = false;
  ASSERT_OK(Format(archive(), request));
  EXPECT_TRUE(holds_secret());
  // A volume like any other.
  Fill("PRIM", 3);
  SendAllHome();
  ASSERT_OK_AND_ASSIGN(const udf::FsckReport report,
                       Fsck(archive(), "PRIM", {}));
  EXPECT_TRUE(report.clean());
  request.wipe = true;
  ASSERT_OK(Format(archive(), request));
  EXPECT_FALSE(holds_secret());
}

TEST_F(JobsTest, ADriveThatIsBackIsFoundByReindex) {
  Start(1, 2);
  MakePrimary(1, "PRIM");
  SendAllHome();
  fake_->Unplug({256}, true);
  EXPECT_FALSE(Write("PRIM", "new", "y").ok());
  ASSERT_FALSE(library_->Drives()[0].online);
  fake_->Unplug({256}, false);
  EXPECT_OK(Reindex(archive(), ReindexMode::kSync));
  EXPECT_TRUE(library_->Drives()[0].online);
}

TEST_F(JobsTest, I8_ConvertMakesABackupAPrimary) {
  Start(1, 4);
  MakePrimary(1, "PRIM");
  Fill("PRIM", 1);
  Copy(Request("PRIM"));
  // The primary's name is taken while it is there.
  const auto taken = Convert(archive(), "V00002", "");
  EXPECT_THAT(taken, HasErrc(Errc::kExists));
  EXPECT_THAT(taken, MessageHas("PRIM"));
  ASSERT_OK_AND_ASSIGN(const VolumeRecord record,
                       Convert(archive(), "V00002", "SECOND"));
  EXPECT_EQ(record.id, "SECOND");
  EXPECT_EQ(record.role, udf::Role::kPrimary);
  EXPECT_TRUE(record.owner_id.empty());
  EXPECT_EQ(record.tree, TreeState::kValid);
  EXPECT_NE(record.generation.lineage,
            volumes_->Find("PRIM")->record().generation.lineage);
  EXPECT_EQ(volumes_->Find("V00002"), nullptr);
  // Its files are usable at once, and it takes changes.
  EXPECT_EQ(CatalogNames(*volumes_->Find("SECOND")).size(), 12u);
  {
    ASSERT_OK_AND_ASSIGN(VolumeUse use,
                         volumes_->Use(volumes_->Find("SECOND")));
    ASSERT_OK_AND_ASSIGN(const Attr file, use->Lookup(use->root(), "file7"));
    std::string content(file.attr.size, '\0');
    ASSERT_OK(
        use->Read(file.ino, 0, std::as_writable_bytes(std::span(content))));
    EXPECT_EQ(content, Bytes0(107, content.size()));
  }
  ASSERT_OK(Write("SECOND", "more", "z"));
  SendAllHome();
  ASSERT_OK_AND_ASSIGN(const udf::FsckReport report,
                       udf::CheckVolume(Content(2), {}));
  EXPECT_TRUE(report.clean()) << report.errors[0].text;
  // It can be copied, and copies of PRIM go elsewhere.
  const JobRecord copy = Copy(Request("SECOND"));
  EXPECT_EQ(copy.target_medium, Tag(3));
  EXPECT_EQ(Copy(Request("PRIM")).target_medium, Tag(4));
  // After a restart it is the same.
  Reopen();
  EXPECT_EQ(CatalogNames(*volumes_->Find("SECOND")).size(), 13u);
}

// The power failed behind the write that converts, before the catalog knew.
TEST_F(JobsTest, I8_AConvertThatBrokeOffIsEndedByTheNext) {
  Start(1, 3);
  MakePrimary(1, "PRIM");
  Fill("PRIM", 1);
  Copy(Request("PRIM"));
  SendAllHome();
  PrimaryIdentity identity;
  identity.volume_id = "SECOND";
  ASSERT_OK(WritePrimarySlot(Content(2), identity));
  const auto other = Convert(archive(), "V00002", "THIRD");
  EXPECT_THAT(other, HasErrc(Errc::kInvalidArgument));
  EXPECT_THAT(other, MessageHas("the PRIMARY SECOND"));
  // That made it known already.
  ASSERT_NE(volumes_->Find("SECOND"), nullptr);
  EXPECT_EQ(volumes_->Find("SECOND")->record().role, udf::Role::kPrimary);

  Copy(Request("PRIM"));
  SendAllHome();
  identity.volume_id = "AGAIN";
  ASSERT_OK(WritePrimarySlot(Content(3), identity));
  bool on_medium = false;
  ASSERT_OK_AND_ASSIGN(const VolumeRecord record,
                       Convert(archive(), "V00003", "AGAIN", {}, &on_medium));
  EXPECT_TRUE(on_medium);
  EXPECT_EQ(record.id, "AGAIN");
  EXPECT_EQ(record.role, udf::Role::kPrimary);
  EXPECT_EQ(record.tree, TreeState::kValid);
  ASSERT_OK(Write("AGAIN", "more", "z"));
  EXPECT_EQ(CatalogNames(*volumes_->Find("AGAIN")).size(), 13u);
}

TEST_F(JobsTest, ATagIsNoLongerTheNameOfAVolumeThatIsNowhere) {
  Start(1, 3);
  MakePrimary(1, "PRIM");
  const JobRecord copy = Copy(Request("PRIM"));
  ASSERT_EQ(copy.target_volume, "V00002");
  SendAllHome();
  {
    const auto volume = volumes_->Find("V00002");
    ASSERT_OK_AND_ASSIGN(const auto exclusion, volumes_->Exclude(volume));
    ASSERT_OK(volumes_->Displace(volume));
  }
  ASSERT_OK_AND_ASSIGN(const MediumId medium,
                       ResolveMedium(archive(), "V00002"));
  EXPECT_EQ(medium, "V00002");
}

TEST_F(JobsTest, ReleaseHandsAVolumeOver) {
  Start(1, 3);
  MakePrimary(1, "PRIM");
  Fill("PRIM", 1);
  EXPECT_THAT(Release(archive(), "NOSUCH"), HasErrc(Errc::kNotFound));
  {
    ASSERT_OK_AND_ASSIGN(VolumeUse use,
                         volumes_->Hold(volumes_->Find("PRIM"), {}, "a copy"));
    EXPECT_THAT(Release(archive(), "PRIM"), HasErrc(Errc::kBusy));
  }
  ASSERT_OK(Release(archive(), "PRIM"));
  EXPECT_EQ(volumes_->Find("PRIM"), nullptr);
  ASSERT_OK_AND_ASSIGN(const auto rows, Inventory(archive(), true));
  EXPECT_EQ(rows.at(0).found, "foreign");
  EXPECT_EQ(volumes_->Find("PRIM"), nullptr);
}

TEST_F(JobsTest, I8_ConvertTakesTheOwnersNameWhenThatIsGone) {
  Start(1, 3);
  MakePrimary(1, "PRIM");
  Fill("PRIM", 1);
  Copy(Request("PRIM"));
  SendAllHome();
  ASSERT_OK(volumes_->Forget(volumes_->Find("PRIM")));
  ASSERT_OK_AND_ASSIGN(const VolumeRecord record,
                       Convert(archive(), "V00002", ""));
  EXPECT_EQ(record.id, "PRIM");
  EXPECT_EQ(record.medium, Tag(2));
}

TEST_F(JobsTest, I8_ConvertRefusesWhatIsNoCompleteBackup) {
  Start(1, 3);
  MakePrimary(1, "PRIM");
  EXPECT_THAT(Convert(archive(), "PRIM", "X"), HasErrc(Errc::kInvalidArgument));
  EXPECT_THAT(Convert(archive(), "NOSUCH", "X"), HasErrc(Errc::kNotFound));
  FormatRequest request;
  request.medium = Tag(2);
  request.volume_id = "EMPTY";
  request.role = udf::Role::kBackup;
  ASSERT_OK(Format(archive(), request));
  EXPECT_THAT(Convert(archive(), "EMPTY", "X"),
              HasErrc(Errc::kInvalidArgument));
  Copy(Request("PRIM"));
  ASSERT_OK_AND_ASSIGN(const VolumeUse use,
                       volumes_->Hold(volumes_->Find("EMPTY")));
  EXPECT_THAT(Convert(archive(), "EMPTY", "X"), HasErrc(Errc::kBusy));
}

TEST_F(JobsTest, FsckReadsTheMedium) {
  Start(1, 2);
  MakePrimary(1, "PRIM");
  Fill("PRIM", 1);
  udf::FsckOptions options;
  options.check_data = true;
  ASSERT_OK_AND_ASSIGN(udf::FsckReport report,
                       Fsck(archive(), "PRIM", options));
  EXPECT_TRUE(report.clean());
  EXPECT_EQ(report.files, 12u);
  EXPECT_THAT(Fsck(archive(), "NOSUCH", options), HasErrc(Errc::kNotFound));
  SendAllHome();
  // A file's entry: no record of the journal restores it.
  const udf::Geometry g = *udf::ComputeGeometry(8192);
  ASSERT_OK_AND_ASSIGN(const auto reader, udf::Reader::Open(&Content(1)));
  ASSERT_OK_AND_ASSIGN(const udf::FileEntry root,
                       reader->ReadEntry(reader->root_block()));
  ASSERT_OK_AND_ASSIGN(const std::vector<udf::DirEntry> entries,
                       reader->ReadDirectory(root));
  const uint64_t entry = g.Sector(entries.front().fid.icb_block);
  udf::Sector sector;
  ASSERT_OK(Content(1).Read(entry, sector));
  const std::string uuid = volumes_->Find("PRIM")->record().medium_uuid;
  for (const bool damaged : {true, false}) {
    const std::byte byte = damaged ? std::byte{0xEE} : sector[100];
    Content(1).Poke(entry * kSectorSize + 100, {&byte, 1});
    ASSERT_OK_AND_ASSIGN(report, Fsck(archive(), "PRIM", options));
    EXPECT_EQ(report.clean(), !damaged);
    ASSERT_OK_AND_ASSIGN(const std::string told, ReadDamage(*catalog_, uuid));
    EXPECT_EQ(told.find("fsck found ") != std::string::npos, damaged) << told;
  }
}

TEST_F(JobsTest, FsckOfAMissingMediumNamesTheVolumeToo) {
  Start(1, 2);
  MakePrimary(1, "PRIM");
  fake_->Place(Tag(1), ElementAddress{0});
  Reopen();
  const auto report = Fsck(archive(), "PRIM", {});
  EXPECT_THAT(report, HasErrc(Errc::kNoMedium));
  EXPECT_THAT(report, MessageHas("volume PRIM"));
  EXPECT_THAT(report, MessageHas("medium V00001"));
}

TEST_F(JobsTest, O7_InventoryReadsWhatIsNotKnown) {
  Start(1, 4);
  MakePrimary(1, "PRIM");
  udf::FormatOptions format;
  format.volume_id = "LOST";
  ASSERT_OK(udf::FormatVolume(Content(2), format));
  const Bytes foreign(64 * kSectorSize, std::byte{0x42});
  ASSERT_OK(Content(3).Write(16, foreign));
  ASSERT_OK_AND_ASSIGN(std::vector<InventoryRow> rows,
                       Inventory(archive(), false));
  ASSERT_EQ(rows.size(), 3u);
  EXPECT_EQ(rows[0].medium, Tag(2));
  EXPECT_EQ(rows[0].found, "LOST");
  EXPECT_EQ(rows[1].found, "foreign");
  EXPECT_EQ(rows[2].found, "blank");
  EXPECT_EQ(rows[2].element.value, 1027);
  ASSERT_NE(volumes_->Find("LOST"), nullptr);
  // Everything is known now: nothing is loaded.
  const size_t loads = fake_->loads();
  ASSERT_OK_AND_ASSIGN(rows, Inventory(archive(), false));
  EXPECT_TRUE(rows.empty());
  EXPECT_EQ(fake_->loads(), loads);
  ASSERT_OK_AND_ASSIGN(rows, Inventory(archive(), true));
  EXPECT_EQ(rows.size(), 4u);
  std::stop_source stop;
  stop.request_stop();
  EXPECT_THAT(Inventory(archive(), true, stop.get_token()),
              HasErrc(Errc::kInterrupted));
}

TEST_F(JobsTest, O7_NoInventoryLoadsACleaningMedium) {
  Start(1, 2);
  fake_->Relabel(Tag(1), "CLN001");
  ASSERT_OK_AND_ASSIGN(std::vector<InventoryRow> rows,
                       Inventory(archive(), /*all=*/false));
  ASSERT_EQ(rows.size(), 1u);
  EXPECT_EQ(rows[0].medium, Tag(2));
  ASSERT_OK_AND_ASSIGN(rows, Inventory(archive(), /*all=*/true));
  ASSERT_EQ(rows.size(), 2u);
  EXPECT_EQ(rows[0].medium, "CLN001");
  EXPECT_EQ(rows[0].found, "cleaning medium");
  ASSERT_OK_AND_ASSIGN(rows, Reindex(archive(), ReindexMode::kSync));
  ASSERT_EQ(rows.size(), 2u);
  EXPECT_EQ(rows[0].found, "cleaning medium");
  EXPECT_EQ(fake_->loads(), 2u) << "V00002 alone, once each";
}

TEST_F(JobsTest, X8_ReindexTakesTheCatalogBackToWhatIsThere) {
  Start(1, 3);
  MakePrimary(1, "PRIM");
  const std::shared_ptr<Volume> volume = volumes_->Find("PRIM");
  const InodeNumber root = volume->record().geometry.root_block;
  DirentRecord wrong;
  wrong.name = "never written";
  wrong.cookie = MakeCookie(NameHash(wrong.name), 0);
  wrong.ino = root;
  wrong.type = udf::FileType::kDirectory;
  CatalogBatch batch;
  batch.PutDirent(volume->index(), root, wrong);
  ASSERT_OK(catalog_->Write(batch, Sync::kYes));
  const auto shown = [&] {
    return catalog_->FindDirent(volume->index(), root, wrong.name).ok();
  };

  // Element status and known media say nothing against it.
  const size_t loads = fake_->loads();
  ASSERT_OK_AND_ASSIGN(std::vector<InventoryRow> rows,
                       Reindex(archive(), ReindexMode::kSync));
  ASSERT_EQ(rows.size(), 3u);
  EXPECT_EQ(rows[0].found, "PRIM");
  EXPECT_EQ(rows[1].found, "not known");
  EXPECT_EQ(fake_->loads(), loads);
  ASSERT_OK_AND_ASSIGN(rows, Reindex(archive(), ReindexMode::kUpdate));
  EXPECT_EQ(rows.size(), 2u);
  ASSERT_OK_AND_ASSIGN(rows, Inventory(archive(), true));
  EXPECT_TRUE(shown());

  ASSERT_OK_AND_ASSIGN(rows, Reindex(archive(), ReindexMode::kReset));
  EXPECT_EQ(rows.size(), 3u);
  EXPECT_EQ(rows[0].found, "PRIM");
  EXPECT_FALSE(shown());
  EXPECT_EQ(volumes_->Find("PRIM"), volume);

  std::stop_source stop;
  stop.request_stop();
  EXPECT_THAT(Reindex(archive(), ReindexMode::kReset, stop.get_token()),
              HasErrc(Errc::kInterrupted));
}

}  // namespace
}  // namespace vellum
