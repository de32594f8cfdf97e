// SPDX-License-Identifier: Apache-2.0
// Which media are the copy pool, and what is noticed when they are swapped.
#include "copy/pool_book.h"

#include <gmock/gmock.h>

#include "copy/history.h"
#include "copy/medium_notes.h"
#include "copy/shelf.h"
#include "tests/copy/jobs_fixture.h"

namespace vellum {
namespace {

using testing::ElementsAre;

class PoolBookTest : public JobsTest {
 protected:
  // "1025 V00002 used", …
  std::vector<std::string> Rows() {
    const Result<std::vector<PoolRow>> rows = ListPool(archive(), {});
    EXPECT_OK(rows);
    std::vector<std::string> texts;
    if (!rows.ok()) return texts;
    for (const PoolRow& row : *rows) {
      texts.push_back(ToString(row.slot) + " " + row.medium + " " + row.state +
                      (row.found.empty() ? "" : " " + row.found));
    }
    return texts;
  }
};

TEST_F(PoolBookTest, O6_SetCopyRangeTakesTheFullSlotsAndLoadsNothing) {
  Start(1, 4);
  MakePrimary(1, "PRIM");
  SendAllHome();
  const size_t moves = fake_->moves();
  const size_t volumes = volumes_->List().size();
  // Slots 1028 to 1031 are empty.
  ASSERT_OK_AND_ASSIGN(const PoolBook pool,
                       SetPoolRange(archive(), {1026}, {1029}));
  EXPECT_EQ(pool.media.size(), 2u);
  EXPECT_THAT(Rows(), ElementsAre("1026 V00003 unused", "1027 V00004 unused"));
  EXPECT_EQ(fake_->moves(), moves);
  EXPECT_EQ(volumes_->List().size(), volumes);
  // Nobody looked at what is on them: an inventory still has to.
  ASSERT_OK_AND_ASSIGN(const MediumNote note,
                       ReadMediumNote(*catalog_, Tag(3)));
  EXPECT_TRUE(note.found.empty());
  // A medium that comes into the range later is none of the pool.
  ASSERT_OK(library_->Move({1025}, {1028}));
  EXPECT_EQ(Rows().size(), 2u);
  Reopen();
  EXPECT_THAT(Rows(), ElementsAre("1026 V00003 unused", "1027 V00004 unused"));
  EXPECT_EQ(Copy(Request("PRIM")).target_medium, Tag(3));
}

TEST_F(PoolBookTest, O6_NoCopyIsMadeOnACleaningMedium) {
  Start(1, 3);
  fake_->Relabel(Tag(2), "CLN002");
  ASSERT_OK(library_->RefreshElements());
  MakePrimary(1, "PRIM");
  ASSERT_OK(SetPoolRange(archive(), {1025}, {1026}));
  EXPECT_THAT(Rows(),
              ElementsAre("1025 CLN002 unsuitable", "1026 V00003 unused"));
  EXPECT_EQ(Copy(Request("PRIM")).target_medium, Tag(3));
}

TEST_F(PoolBookTest, O18_BothSidesOfAMediumAreInThePool) {
  FakeLibraryOptions options;
  options.drives = 1;
  options.media = 2;
  options.sectors = 8192;
  options.two_sided = true;
  fake_ = std::make_unique<FakeLibrary>(options);
  job_options_.spool_directory = dir_.Sub("spool");
  Open();
  MakePrimary("V00001A", "PRIM");
  Fill("PRIM", 17);
  ASSERT_OK(SetPoolRange(archive(), {1025}, {1025}));
  EXPECT_THAT(Rows(),
              ElementsAre("1025 V00002A unused", "1025 V00002B unused"));
  for (const char* side : {"V00002A", "V00002B"}) {
    CopyRequest copy = Request("PRIM");
    copy.target = side;
    Copy(copy);
  }
  EXPECT_THAT(Rows(), ElementsAre("1025 V00002A used", "1025 V00002B used"));
  // The slot stands for side A; side B is called by its name.
  ASSERT_OK_AND_ASSIGN(const FreedMedium a,
                       FreePoolSlot(archive(), *jobs_, {}, {1025}));
  EXPECT_EQ(a.medium, "V00002A");
  EXPECT_FALSE(a.last);
  EXPECT_THAT(Rows(), ElementsAre("1025 V00002A unused", "1025 V00002B used"));
  ASSERT_OK_AND_ASSIGN(const FreedMedium b,
                       FreePoolMedium(archive(), *jobs_, {}, "V00002B"));
  EXPECT_EQ(b.medium, "V00002B");
  EXPECT_EQ(b.slot.value, 1025);
  EXPECT_TRUE(b.last);
  EXPECT_THAT(Rows(),
              ElementsAre("1025 V00002A unused", "1025 V00002B unused"));
  EXPECT_THAT(FreePoolMedium(archive(), *jobs_, {}, "V00009"),
              HasErrc(Errc::kNotFound));
}

TEST_F(PoolBookTest, O6_RangesOutsideTheLibraryNameTheValidOne) {
  Start(1, 2);
  const std::vector<std::pair<uint16_t, uint16_t>> ranges = {
      {1023, 1025}, {1024, 1032}, {1026, 1025}, {768, 768}, {4846, 4896}};
  for (const auto& [first, last] : ranges) {
    const auto refused = SetPoolRange(archive(), {first}, {last});
    EXPECT_THAT(refused, HasErrc(Errc::kInvalidArgument)) << first;
    EXPECT_THAT(refused, MessageHas("1024 to 1031")) << first;
  }
  ASSERT_OK_AND_ASSIGN(const PoolBook pool, ReadPool(*catalog_, {}));
  EXPECT_FALSE(pool.set);
}

TEST_F(PoolBookTest, O6_EntriesThatHoldCopiesAreNeverReset) {
  Start(1, 5);
  MakePrimary(1, "PRIM");
  ASSERT_OK(SetPoolRange(archive(), {1025}, {1026}));
  EXPECT_EQ(Copy(Request("PRIM")).target_medium, Tag(2));
  // Over the same range, and over one that it is not in.
  ASSERT_OK(SetPoolRange(archive(), {1025}, {1026}));
  EXPECT_THAT(Rows(), ElementsAre("1025 V00002 used", "1026 V00003 unused"));
  ASSERT_OK(SetPoolRange(archive(), {1027}, {1028}));
  EXPECT_THAT(Rows(), ElementsAre("1025 V00002 used", "1027 V00004 unused",
                                  "1028 V00005 unused"));
  Reopen();
  EXPECT_EQ(Copy(Request("PRIM")).target_medium, Tag(2));
}

TEST_F(PoolBookTest, O8_OneMediumForOneVolumeOfTheRange) {
  Start(1, 5);
  MakePrimary(1, "ONE");
  MakePrimary(2, "TWO");
  MakePrimary(3, "THREE");
  ASSERT_OK(SetPoolRange(archive(), {1027}, {1028}));
  EXPECT_EQ(Copy(Request("ONE")).target_medium, Tag(4));
  EXPECT_EQ(Copy(Request("TWO")).target_medium, Tag(5));
  EXPECT_EQ(Copy(Request("ONE")).target_medium, Tag(4));
  const size_t moves = fake_->moves();
  const auto exhausted = jobs_->Submit(Request("THREE"));
  EXPECT_THAT(exhausted, HasErrc(Errc::kNoSpace));
  EXPECT_THAT(exhausted, MessageHas("of 2 media 2 are in use"));
  EXPECT_EQ(fake_->moves(), moves);
}

TEST_F(PoolBookTest, O16_ASwappedMediumIsReportedAndNotUsedUntilItIsFreed) {
  Start(1, 4);
  MakePrimary(1, "PRIM");
  ASSERT_OK(SetPoolRange(archive(), {1025}, {1025}));
  Copy(Request("PRIM"));
  SendAllHome();
  fake_->Place(Tag(2), {});
  fake_->Place(Tag(4), {1025});
  ASSERT_OK(library_->RefreshElements());
  EXPECT_THAT(Rows(), ElementsAre("1025 V00002 swapped V00004"));
  EXPECT_THAT(jobs_->Submit(Request("PRIM")), HasErrc(Errc::kNoSpace));

  ASSERT_OK_AND_ASSIGN(const FreedMedium freed,
                       FreePoolSlot(archive(), *jobs_, {}, {1025}));
  EXPECT_EQ(freed.medium, Tag(4));
  EXPECT_THAT(Rows(), ElementsAre("1025 V00004 unused"));
  ASSERT_NE(volumes_->Find("V00002"), nullptr) << "the old backup is known";
  EXPECT_EQ(Copy(Request("PRIM")).target_medium, Tag(4));
  Reopen();
  EXPECT_THAT(Rows(), ElementsAre("1025 V00004 used"));
}

TEST_F(PoolBookTest, O16_AFreedBackupIsUnusedAndMayBeOverwritten) {
  Start(1, 4);
  MakePrimary(1, "ONE");
  MakePrimary(2, "TWO");
  ASSERT_OK(SetPoolRange(archive(), {1026}, {1026}));
  Copy(Request("ONE"));
  ASSERT_THAT(jobs_->Submit(Request("TWO")), HasErrc(Errc::kNoSpace));
  const size_t loads = fake_->loads();
  ASSERT_OK_AND_ASSIGN(const FreedMedium freed,
                       FreePoolSlot(archive(), *jobs_, {}, {1026}));
  EXPECT_EQ(freed.volume, "V00003");
  EXPECT_EQ(freed.owner, "ONE");
  EXPECT_TRUE(freed.last);
  EXPECT_EQ(fake_->loads(), loads);
  EXPECT_THAT(Rows(), ElementsAre("1026 V00003 unused"));
  // An inventory finds the old backup again; it stays free.
  ASSERT_OK(Inventory(archive(), true));
  EXPECT_THAT(Rows(), ElementsAre("1026 V00003 unused"));
  EXPECT_EQ(Copy(Request("TWO")).target_medium, Tag(3));
  EXPECT_THAT(Rows(), ElementsAre("1026 V00003 used"));
}

TEST_F(PoolBookTest, O16_WhatMayNotBeFreed) {
  Start(1, 4);
  MakePrimary(1, "PRIM");
  const auto free = [this](uint16_t slot) {
    return FreePoolSlot(archive(), *jobs_, {}, {slot});
  };
  EXPECT_THAT(free(1024), HasErrc(Errc::kExists));
  EXPECT_THAT(free(1024), MessageHas("PRIMARY PRIM"));
  EXPECT_THAT(free(1030), HasErrc(Errc::kNoMedium));
  EXPECT_THAT(free(256), HasErrc(Errc::kNotFound));
  EXPECT_THAT(free(256), MessageHas("1024 to 1031"));
  ASSERT_OK(SetPoolRange(archive(), {1026}, {1027}));
  EXPECT_THAT(free(1025), HasErrc(Errc::kInvalidArgument));
  EXPECT_THAT(free(1025), MessageHas("1026 to 1027"));
  // The target of a job that waits.
  Copy(Request("PRIM"));
  ASSERT_OK_AND_ASSIGN(
      Volumes::Reservation mount,
      volumes_->Reserve(volumes_->Find("V00003"), "mount at /srv/a"));
  EXPECT_THAT(free(1026), HasErrc(Errc::kBusy));
  ASSERT_OK_AND_ASSIGN(const JobId job, jobs_->Submit(Request("PRIM")));
  AwaitWaiting(job);
  EXPECT_THAT(free(1026), MessageHas("job "));
  ASSERT_OK(jobs_->Cancel(job));
  ASSERT_OK(jobs_->Wait(job));
}

TEST_F(PoolBookTest, O16_WhatIsInAnImportExportElementIsNotFreed) {
  Start(1, 3);
  MakePrimary(1, "PRIM");
  ASSERT_OK(SetPoolRange(archive(), {1025}, {1025}));
  Copy(Request("PRIM"));
  SendAllHome();
  ASSERT_OK(library_->Move({1025}, {768}));
  const auto refused = FreePoolMedium(archive(), *jobs_, {}, Tag(2));
  EXPECT_THAT(refused, HasErrc(Errc::kInvalidArgument));
  EXPECT_THAT(refused, MessageHas("in the import/export element 768"));
  ASSERT_OK_AND_ASSIGN(const MediumNote note,
                       ReadMediumNote(*catalog_, Tag(2)));
  EXPECT_EQ(note.freed, "");
  EXPECT_NE(volumes_->Find("V00002"), nullptr);
}

TEST_F(PoolBookTest, O16_AnotherLabelIsNoticedWhenTheMediumIsLoaded) {
  Start(1, 4);
  MakePrimary(1, "PRIM");
  MakePrimary(3, "OTHER");
  Copy(Request("PRIM"));
  SendAllHome();
  // A cartridge with the same bar code, and another volume on it.
  MemoryMedium& backup = Content(2);
  MemoryMedium& other = Content(3);
  Bytes all(backup.Info().sectors * kSectorSize);
  ASSERT_OK(other.Read(0, all));
  ASSERT_OK(backup.Write(0, all));
  ASSERT_OK_AND_ASSIGN(const JobRecord job, Run(Request("PRIM")));
  EXPECT_EQ(job.state, JobState::kFailed);
  EXPECT_TRUE(Says(job, "medium V00002 no longer holds the backup of PRIM"))
      << Story(job);
  EXPECT_TRUE(Says(job, "the PRIMARY OTHER")) << Story(job);
}

TEST_F(PoolBookTest, O16_ABlankMediumInPlaceOfABackupIsTold) {
  Start(1, 3);
  MakePrimary(1, "PRIM");
  Copy(Request("PRIM"));
  SendAllHome();
  // A new cartridge with the old bar code.
  MemoryMedium& backup = Content(2);
  ASSERT_OK(backup.Discard(0, backup.Info().sectors));
  // It breaks off behind the look at the medium: the state is told.
  std::string seen;
  job_options_.on_transition = [this, &seen](const JobRecord& job) {
    if (job.state == JobState::kVerifying) {
      seen = ReadMediumNote(*catalog_, Tag(2))->replaced;
    }
    return Status::Ok();
  };
  Reopen();
  const JobRecord job = Copy(Request("PRIM"));
  EXPECT_EQ(job.target_medium, Tag(2));
  const std::string told =
      "medium V00002 is blank, but should hold V00002, a backup of PRIM";
  EXPECT_NE(seen.find(told), std::string::npos) << seen;
  // It is a backup again, and the history says what happened to the old one.
  ASSERT_OK_AND_ASSIGN(const MediumNote note,
                       ReadMediumNote(*catalog_, Tag(2)));
  EXPECT_EQ(note.replaced, "");
  EXPECT_NE(note.was_replaced.find(told), std::string::npos);
  ASSERT_OK_AND_ASSIGN(const std::vector<HistoryRow> history,
                       ReadHistory(*catalog_, "PRIM"));
  EXPECT_NE(history.back().message.find(told), std::string::npos)
      << history.back().message;
  // Somebody has looked: nothing is left to tell.
  SendAllHome();
  ASSERT_OK(Inventory(archive(), /*all=*/true));
  EXPECT_EQ(ReadMediumNote(*catalog_, Tag(2))->was_replaced, "");
}

TEST_F(PoolBookTest, O15_ACopyToTheImportSlotEndsThereAndIsRemovedOnceGone) {
  Start(1, 3);
  MakePrimary(1, "PRIM");
  ASSERT_OK(library_->Move({1026}, {768}));
  CopyRequest request = Request("PRIM");
  request.target = "768";
  const JobRecord job = Copy(request);
  EXPECT_EQ(fake_->WhereIs(Tag(3)).value, 768);
  EXPECT_NE(job.message.find("take it out and label it V00003 by hand"),
            std::string::npos)
      << job.message;
  fake_->Place(Tag(3), {});
  ASSERT_OK(library_->RefreshElements());
  const auto backup = volumes_->Find("V00003");
  ASSERT_NE(backup, nullptr);
  EXPECT_EQ(
      MediumState(library_->FindMedium(Tag(3)), backup->record().location),
      "removed");
}

}  // namespace
}  // namespace vellum
