// SPDX-License-Identifier: Apache-2.0
// The set of volumes: Put, Forget, Identify.
#include <string>

#include "index/volumes.h"
#include "media/udf/control.h"
#include "tests/index/volumes_fixture.h"
#include "tests/support/logged_lines.h"
#include "tests/support/memory_medium.h"

namespace vellum {
namespace {

using testing::ElementsAre;

using VolumesSetTest = VolumesTest;

Result<udf::ControlSlot> Format(Medium& medium, const std::string& id,
                                udf::Role role = udf::Role::kPrimary) {
  udf::FormatOptions options;
  options.volume_id = id;
  options.role = role;
  options.clear = true;
  return udf::FormatVolume(medium, options);
}

std::vector<std::string> Ids(const Volumes& volumes) {
  std::vector<std::string> ids;
  for (const auto& volume : volumes.List()) ids.push_back(volume->id());
  return ids;
}

TEST_F(VolumesSetTest, ListsAndFinds) {
  Start(1, 2);
  const auto beta = MakeVolume("V00001", "BETA");
  const auto alpha = MakeVolume("V00002", "ALPHA");
  EXPECT_THAT(Ids(*volumes_), ElementsAre("ALPHA", "BETA"));
  EXPECT_EQ(volumes_->Find("ALPHA"), alpha);
  EXPECT_EQ(volumes_->Find("GAMMA"), nullptr);
  EXPECT_EQ(volumes_->FindByIndex(beta->index()), beta);
  EXPECT_EQ(volumes_->FindByIndex(99), nullptr);
  EXPECT_EQ(volumes_->FindByMedium("V00001"), beta);
  EXPECT_EQ(volumes_->FindByMedium("V00003"), nullptr);
}

TEST_F(VolumesSetTest, OpenKnowsTheCatalogsVolumes) {
  Start(1, 2);
  MakeVolume("V00001", "ALPHA");
  const auto gone = MakeVolume("V00002", "GONE");
  ASSERT_OK(volumes_->Forget(gone));
  Stop();
  OpenAll();
  EXPECT_THAT(Ids(*volumes_), ElementsAre("ALPHA"));
  ASSERT_NE(volumes_->FindByMedium("V00001"), nullptr);
  EXPECT_OK(volumes_->Use(volumes_->Find("ALPHA")));
}

TEST_F(VolumesSetTest, PutTakesAnIndexAndStoresTheRecord) {
  Start(1, 1);
  const uint64_t count = volumes_->change_count();
  VolumeRecord record;
  record.id = "ALPHA";
  record.medium = "V00009";
  record.medium_uuid = udf::NewUuid();
  ASSERT_OK_AND_ASSIGN(const auto volume, volumes_->Put(record));
  EXPECT_GT(volumes_->change_count(), count);
  EXPECT_NE(volume->index(), 0u);
  ASSERT_OK_AND_ASSIGN(const VolumeRecord stored,
                       catalog_->GetVolume(volume->index()));
  EXPECT_EQ(stored.id, "ALPHA");

  record.medium = "V00010";
  const auto twin = volumes_->Put(record);
  EXPECT_THAT(twin, HasErrc(Errc::kExists));
  EXPECT_THAT(twin, MessageHas("V00009"));
  record.id = "no/slash";
  EXPECT_THAT(volumes_->Put(record), HasErrc(Errc::kInvalidArgument));
}

TEST_F(VolumesSetTest, PutReplacesARecordAndItsName) {
  Start(1, 1);
  const auto volume = MakeVolume("V00001", "ALPHA");
  const uint64_t count = volumes_->change_count();
  VolumeRecord record = volume->record();
  record.id = "BETA";
  record.medium = "V00042";
  ASSERT_OK_AND_ASSIGN(const auto same, volumes_->Put(record));
  EXPECT_EQ(same, volume);
  EXPECT_EQ(volume->id(), "BETA");
  EXPECT_GT(volumes_->change_count(), count);
  EXPECT_EQ(volumes_->Find("ALPHA"), nullptr);
  EXPECT_EQ(volumes_->Find("BETA"), volume);
  EXPECT_EQ(volumes_->FindByMedium("V00001"), nullptr);
  EXPECT_EQ(volumes_->FindByMedium("V00042"), volume);
  ASSERT_OK_AND_ASSIGN(const VolumeRecord stored,
                       catalog_->GetVolume(volume->index()));
  EXPECT_EQ(stored.id, "BETA");
}

TEST_F(VolumesSetTest, ALoadedVolumeIsNeitherReplacedNorForgotten) {
  Start(1, 1);
  const auto volume = MakeVolume("V00001", "ALPHA");
  ASSERT_OK(volumes_->Use(volume));
  EXPECT_THAT(volumes_->Put(volume->record()), HasErrc(Errc::kBusy));
  EXPECT_THAT(volumes_->Forget(volume), HasErrc(Errc::kBusy));
  ASSERT_OK_AND_ASSIGN(const auto exclusion, volumes_->Exclude(volume));
  EXPECT_OK(volumes_->Put(volume->record()));
  EXPECT_OK(volumes_->Forget(volume));
}

TEST_F(VolumesSetTest, ForgetRemovesTheVolumeAndFailsWhoWaits) {
  Start(1, 2);
  const auto volume = MakeVolume("V00001", "ALPHA");
  const uint64_t count = volumes_->change_count();
  Outcomes outcomes;
  ASSERT_OK_AND_ASSIGN(Volumes::Exclusion exclusion, volumes_->Exclude(volume));
  volumes_->With(volume, outcomes.Note(1));
  ASSERT_OK(volumes_->Forget(volume));
  EXPECT_THAT(outcomes.End(1), HasErrc(Errc::kNotFound));
  EXPECT_GT(volumes_->change_count(), count);
  EXPECT_EQ(volumes_->Find("ALPHA"), nullptr);
  EXPECT_EQ(volumes_->FindByMedium("V00001"), nullptr);
  EXPECT_THAT(volumes_->Use(volume), HasErrc(Errc::kNotFound));
  ASSERT_OK_AND_ASSIGN(const VolumeRecord stored,
                       catalog_->GetVolume(volume->index()));
  EXPECT_TRUE(stored.forgotten);
  EXPECT_THAT(catalog_->GetInode(volume->index(), volume->root()),
              HasErrc(Errc::kNotFound));
  exclusion.Release();
  // The id is free again, under a new index.
  VolumeRecord record;
  record.id = "ALPHA";
  ASSERT_OK_AND_ASSIGN(const auto next, volumes_->Put(record));
  EXPECT_NE(next->index(), volume->index());
}

// As a library would do that does not share the catalog.
void RenameElsewhere(Medium& medium, const std::string& id) {
  ASSERT_OK_AND_ASSIGN(udf::ControlSlot slot, udf::ReadControlSlot(medium));
  slot.volume_id = id;
  ASSERT_OK(udf::WriteControlSlot(medium, &slot));
}

TEST_F(VolumesSetTest, X8_WhatComesBackRenamedIsTakenByItsNewName) {
  Start(1, 1);
  const auto volume = MakeVolume("V00001", "ALPHA");
  ASSERT_OK(volumes_->Use(volume));
  {
    ASSERT_OK_AND_ASSIGN(const auto exclusion, volumes_->Exclude(volume));
    ASSERT_OK(volumes_->Displace(volume));
    ASSERT_OK_AND_ASSIGN(const MediumLease lease, Lease("V00001"));
    RenameElsewhere(lease.medium(), "BETA");
  }
  ASSERT_OK(volumes_->Use(volume));
  EXPECT_EQ(volume->record().medium, "V00001");
  EXPECT_EQ(volume->id(), "BETA");
  EXPECT_EQ(volumes_->Find("BETA"), volume);
  EXPECT_EQ(volumes_->Find("ALPHA"), nullptr);
}

TEST_F(VolumesSetTest, X8_ANameThatAnotherOneHasIsNotTakenAndThatIsTold) {
  const LoggedLines log;
  Start(1, 2);
  const auto alpha = MakeVolume("V00001", "ALPHA");
  const auto beta = MakeVolume("V00002", "BETA");
  {
    ASSERT_OK_AND_ASSIGN(const MediumLease lease, Lease("V00001"));
    RenameElsewhere(lease.medium(), "BETA");
  }
  ASSERT_OK(volumes_->Use(alpha));
  EXPECT_EQ(volumes_->Find("ALPHA"), alpha);
  EXPECT_EQ(volumes_->Find("BETA"), beta);
  EXPECT_EQ(
      log.Count("medium V00001: the catalog knows it as ALPHA, it carries "
                "the name BETA, which medium V00002 has"),
      1)
      << log.Text();
  Stop();
}

TEST_F(VolumesSetTest, IdentifyLeavesBlankAndForeignMediaAlone) {
  Start(1, 1);
  MemoryMedium medium(8192);
  ASSERT_OK_AND_ASSIGN(const auto blank, volumes_->Identify("M1", medium));
  EXPECT_EQ(blank, nullptr);
  const Bytes junk(kSectorSize, std::byte{0x5a});
  ASSERT_OK(medium.Write(16, junk));
  ASSERT_OK(medium.Write(300, junk));
  ASSERT_OK_AND_ASSIGN(const auto foreign, volumes_->Identify("M1", medium));
  EXPECT_EQ(foreign, nullptr);
  EXPECT_TRUE(volumes_->List().empty());
}

TEST_F(VolumesSetTest, IdentifyReadsThePrimarysTree) {
  Start(1, 1);
  const auto volume = MakeVolume("V00001", "ALPHA");
  ASSERT_OK_AND_ASSIGN(VolumeUse use, volumes_->Use(volume));
  ASSERT_OK(use->Create(use->root(), "file", NewInode()));
  use.Release();
  Stop();
  // Another catalog that knows nothing: the medium tells.
  Catalog::Options in_memory;
  in_memory.in_memory = true;
  ASSERT_OK_AND_ASSIGN(catalog_, Catalog::Open("catalog", in_memory));
  OpenAll();
  ASSERT_OK_AND_ASSIGN(MediumLease lease, Lease("V00001"));
  ASSERT_OK_AND_ASSIGN(const auto found,
                       volumes_->Identify("V00001", lease.medium()));
  ASSERT_NE(found, nullptr);
  EXPECT_EQ(volumes_->Find("ALPHA"), found);
  EXPECT_FALSE(found->attached());
  const VolumeRecord record = found->record();
  EXPECT_EQ(record.medium, "V00001");
  EXPECT_EQ(record.role, udf::Role::kPrimary);
  EXPECT_EQ(record.tree, TreeState::kValid);
  EXPECT_EQ(record.geometry, volume->record().geometry);
  EXPECT_OK(found->Lookup(found->root(), "file"));
  // Once more changes nothing.
  ASSERT_OK_AND_ASSIGN(const auto again,
                       volumes_->Identify("V00001", lease.medium()));
  EXPECT_EQ(again, found);
  EXPECT_EQ(Ids(*volumes_), std::vector<std::string>{"ALPHA"});
}

TEST_F(VolumesSetTest, IdentifyKnowsBackups) {
  Start(1, 1);
  MemoryMedium medium(8192);
  ASSERT_OK_AND_ASSIGN(udf::ControlSlot slot,
                       Format(medium, "ALPHA-B1", udf::Role::kBackup));
  slot.owner_id = "ALPHA";
  slot.owner_uuid = udf::NewUuid();
  ASSERT_OK(udf::WriteControlSlot(medium, &slot));
  ASSERT_OK_AND_ASSIGN(const auto volume, volumes_->Identify("M1", medium));
  ASSERT_NE(volume, nullptr);
  const VolumeRecord record = volume->record();
  EXPECT_EQ(record.id, "ALPHA-B1");
  EXPECT_EQ(record.role, udf::Role::kBackup);
  EXPECT_EQ(record.owner_id, "ALPHA");
  EXPECT_EQ(record.owner_uuid, slot.owner_uuid);
  EXPECT_EQ(record.tree, TreeState::kValid);
  EXPECT_OK(volume->GetAttr(volume->root()));
  EXPECT_THAT(volume->CheckWritable(), HasErrc(Errc::kReadOnly));
}

TEST_F(VolumesSetTest, IdentifyDoesNotReadAnIncompleteBackup) {
  Start(1, 1);
  MemoryMedium medium(8192);
  ASSERT_OK_AND_ASSIGN(udf::ControlSlot slot,
                       Format(medium, "ALPHA-B1", udf::Role::kBackup));
  slot.state = udf::SlotState::kIncomplete;
  slot.owner_id = "ALPHA";
  ASSERT_OK(udf::WriteControlSlot(medium, &slot));
  ASSERT_OK_AND_ASSIGN(const udf::VolumeDescription description,
                       udf::ReadDescription(medium));
  for (const SectorRange& range : udf::DescriptorRanges(description.geometry)) {
    ASSERT_OK(medium.Discard(range.first, range.count));
  }
  ASSERT_OK_AND_ASSIGN(const auto volume, volumes_->Identify("M1", medium));
  ASSERT_NE(volume, nullptr);
  EXPECT_EQ(volume->record().state, udf::SlotState::kIncomplete);
  EXPECT_EQ(volume->record().tree, TreeState::kNone);
  EXPECT_EQ(volume->record().owner_id, "ALPHA");
}

TEST_F(VolumesSetTest, IdentifyRefusesASecondVolumeOfThatId) {
  Start(1, 2);
  const auto volume = MakeVolume("V00001", "ALPHA");
  MemoryMedium other(8192);
  ASSERT_OK(Format(other, "ALPHA"));
  const auto second = volumes_->Identify("M2", other);
  EXPECT_THAT(second, HasErrc(Errc::kExists));
  EXPECT_THAT(second, MessageHas("V00001"));
  EXPECT_THAT(second, MessageHas("M2"));
  EXPECT_EQ(volume->record().medium, "V00001");

  // Nor the same volume on two media that are both there.
  ASSERT_OK_AND_ASSIGN(MediumLease lease, Lease("V00001"));
  const uint64_t sectors = lease.medium().Info().sectors;
  MemoryMedium duplicate(sectors);
  Bytes data(kRegionSize);
  for (uint64_t lba = 0; lba < sectors; lba += kRegionSectors) {
    ASSERT_OK(lease.medium().Read(lba, data));
    ASSERT_OK(duplicate.Write(lba, data));
  }
  const auto twin = volumes_->Identify("M3", duplicate);
  EXPECT_THAT(twin, HasErrc(Errc::kExists));
  EXPECT_THAT(twin, MessageHas("V00001"));
  EXPECT_THAT(twin, MessageHas("M3"));
}

TEST_F(VolumesSetTest, IdentifyFollowsAMediumThatWasMoved) {
  Start(1, 1);
  MemoryMedium medium(8192);
  ASSERT_OK(Format(medium, "ALPHA"));
  ASSERT_OK_AND_ASSIGN(const auto volume, volumes_->Identify("OLD", medium));
  const uint64_t count = volumes_->change_count();
  ASSERT_OK_AND_ASSIGN(const auto moved, volumes_->Identify("NEW", medium));
  EXPECT_EQ(moved, volume);
  EXPECT_EQ(volume->record().medium, "NEW");
  EXPECT_EQ(volumes_->FindByMedium("NEW"), volume);
  EXPECT_EQ(volumes_->FindByMedium("OLD"), nullptr);
  EXPECT_GT(volumes_->change_count(), count);
}

TEST_F(VolumesSetTest, IdentifyReadsAVolumeAnewThatWasMadeAnew) {
  Start(1, 1);
  MemoryMedium medium(8192);
  ASSERT_OK(Format(medium, "ALPHA"));
  ASSERT_OK_AND_ASSIGN(const auto volume, volumes_->Identify("M1", medium));
  ASSERT_OK(volume->Attach(&medium));
  ASSERT_OK(volume->Create(volume->root(), "file", NewInode()));
  ASSERT_OK(volume->Detach());
  ASSERT_OK_AND_ASSIGN(const udf::ControlSlot slot, Format(medium, "ALPHA"));
  ASSERT_OK_AND_ASSIGN(const auto again, volumes_->Identify("M1", medium));
  EXPECT_EQ(again, volume);
  EXPECT_EQ(volume->record().medium_uuid, slot.medium_uuid);
  EXPECT_EQ(volume->record().tree, TreeState::kValid);
  EXPECT_THAT(volume->Lookup(volume->root(), "file"), HasErrc(Errc::kNotFound));
}

TEST_F(VolumesSetTest, IdentifyDetachesALoadedVolumeFirst) {
  Start(1, 1);
  const auto volume = MakeVolume("V00001", "ALPHA");
  ASSERT_OK_AND_ASSIGN(VolumeUse use, volumes_->Use(volume));
  ASSERT_OK(use->Create(use->root(), "file", NewInode()));
  use.Release();
  ASSERT_OK_AND_ASSIGN(MediumLease lease, Lease("V00001", LeaseMode::kShared));
  ASSERT_OK_AND_ASSIGN(const auto same,
                       volumes_->Identify("V00001", lease.medium()));
  EXPECT_EQ(same, volume);
  EXPECT_OK(volume->Lookup(volume->root(), "file"));
}

}  // namespace
}  // namespace vellum
