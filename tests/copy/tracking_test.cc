// SPDX-License-Identifier: Apache-2.0
// Tracked pairs, history, generations and what limits them.
#include "copy/tracking.h"

#include <gmock/gmock.h>

#include "copy/own_generations.h"
#include "copy/pool_book.h"
#include "tests/copy/jobs_fixture.h"

namespace vellum {
namespace {

using testing::ElementsAre;
using testing::UnorderedElementsAre;

class TrackingTest : public JobsTest {
 protected:
  CopyRequest Backup(const std::string& volume) {
    CopyRequest request = Request(volume, CopyMode::kIncremental);
    request.track = TrackWish::kYes;
    return request;
  }
  // "PRIM V00002", …
  std::vector<std::string> Pairs() {
    const Result<std::vector<TrackedPair>> pairs = TrackedPairs(archive());
    EXPECT_OK(pairs);
    std::vector<std::string> texts;
    if (!pairs.ok()) return texts;
    for (const TrackedPair& pair : *pairs) {
      texts.push_back(pair.primary.id + " " + pair.backup.id);
    }
    return texts;
  }
  std::vector<std::string> Backups(const std::string& owner) {
    std::vector<std::string> media;
    for (const auto& volume : volumes_->List()) {
      const VolumeRecord record = volume->record();
      if (record.owner_id == owner) media.push_back(record.medium);
    }
    return media;
  }
};

TEST_F(TrackingTest, A1_TheFirstBackupIsFullLaterOnesAreTheDifference) {
  Start(2, 3);
  MakePrimary(1, "PRIM");
  Fill("PRIM", 1);
  EXPECT_EQ(Copy(Backup("PRIM")).method, "full");
  EXPECT_THAT(Pairs(), ElementsAre("PRIM V00002"));
  ASSERT_OK(Write("PRIM", "more", "content"));
  const JobRecord second = Copy(Backup("PRIM"));
  EXPECT_EQ(second.method, "incremental");
  EXPECT_EQ(second.target_medium, Tag(2));
  ExpectBackup(2, "PRIM", second);
}

TEST_F(TrackingTest, A3_AfterACancelTheNextBackupIsFullAndTracksAgain) {
  Start(2, 3);
  MakePrimary(1, "PRIM");
  Copy(Backup("PRIM"));
  ASSERT_OK(StopTracking(archive(), "PRIM", "V00002"));
  EXPECT_THAT(Pairs(), ElementsAre());
  EXPECT_THAT(StopTracking(archive(), "PRIM", "V00002"),
              HasErrc(Errc::kNotFound));
  Reopen();
  EXPECT_THAT(Pairs(), ElementsAre()) << "it is remembered";
  CopyRequest strict = Backup("PRIM");
  strict.policy = CopyPolicy::kMinicopy;
  ASSERT_OK_AND_ASSIGN(const JobRecord refused, Run(strict));
  EXPECT_EQ(refused.state, JobState::kFailed);
  EXPECT_TRUE(Says(refused, "the tracking of PRIM to V00002 was ended"));
  const JobRecord full = Copy(Backup("PRIM"));
  EXPECT_EQ(full.method, "full");
  EXPECT_THAT(Pairs(), ElementsAre("PRIM V00002"));
  EXPECT_EQ(Copy(Backup("PRIM")).method, "incremental");
  // A plain copy does not take up again what was ended.
  ASSERT_OK(StopTracking(archive(), "PRIM", Tag(2)));
  Copy(Request("PRIM"));
  EXPECT_THAT(Pairs(), ElementsAre());
}

TEST_F(TrackingTest, A3_ACancelDuringACopyLetsItEndAndHolds) {
  Start(2, 3);
  MakePrimary(1, "PRIM");
  Fill("PRIM", 1);
  Copy(Backup("PRIM"));
  Close();
  bool told = false;
  job_options_.on_transition = [this, &told](const JobRecord& job) {
    if (job.state == JobState::kStreaming && !told) {
      told = true;
      EXPECT_OK(StopTracking(archive(), "PRIM", "V00002"));
    }
    return Status::Ok();
  };
  Open();
  ASSERT_OK(Write("PRIM", "more", "content"));
  EXPECT_EQ(Copy(Backup("PRIM")).state, JobState::kDone);
  ASSERT_TRUE(told);
  EXPECT_THAT(Pairs(), ElementsAre());
  EXPECT_EQ(Copy(Backup("PRIM")).method, "full");
}

TEST_F(TrackingTest, V7_TrackingIsStartedWhereTheMapReachesBack) {
  Start(2, 4);
  MakePrimary(1, "PRIM");
  MakePrimary(4, "OTHER");
  CopyRequest plain = Request("PRIM");
  plain.track = TrackWish::kNo;
  Copy(plain);
  EXPECT_THAT(Pairs(), ElementsAre());
  ASSERT_OK(Write("PRIM", "more", "content"));
  ASSERT_OK(StartTracking(archive(), 0, "PRIM", "1025"));
  EXPECT_THAT(Pairs(), ElementsAre("PRIM V00002"));
  EXPECT_EQ(Copy(Backup("PRIM")).method, "incremental");
  EXPECT_THAT(StartTracking(archive(), 0, "PRIM", "V00002"),
              HasErrc(Errc::kExists));
  const auto other = StartTracking(archive(), 0, "OTHER", "V00002");
  EXPECT_THAT(other, HasErrc(Errc::kInvalidArgument));
  EXPECT_THAT(other, MessageHas("V00002 is no backup of OTHER, but of PRIM"));
  EXPECT_THAT(StartTracking(archive(), 0, "V00002", "V00002"),
              MessageHas("V00002 is a BACKUP"));
  EXPECT_THAT(StartTracking(archive(), 0, "NONE", "V00002"),
              HasErrc(Errc::kNotFound));
  EXPECT_THAT(StartTracking(archive(), 0, "PRIM", "OTHER"),
              HasErrc(Errc::kInvalidArgument));
  // The map is lost with the catalog.
  Close();
  std::filesystem::remove_all(dir_.Sub("catalog"));
  Open();
  ASSERT_OK(Inventory(archive(), true));
  const auto lost = StartTracking(archive(), 0, "PRIM", "V00002");
  EXPECT_THAT(lost, HasErrc(Errc::kOutOfRange));
  EXPECT_THAT(lost, MessageHas("backup -T PRIM"));
}

TEST_F(TrackingTest, V8_TheLimitOfTrackedPairsIsSaid) {
  job_options_.tracked_pairs = 1;
  Start(2, 5);
  MakePrimary(1, "ONE");
  MakePrimary(2, "TWO");
  Copy(Backup("ONE"));
  const auto refused = jobs_->Submit(Backup("TWO"));
  EXPECT_THAT(refused, HasErrc(Errc::kNoSpace));
  EXPECT_THAT(refused, MessageHas("limit of 1 tracked pairs"));
  EXPECT_THAT(refused, MessageHas("ONE to V00003"));
  // A plain copy is made, and says that it is not tracked.
  const JobRecord plain = Copy(Request("TWO"));
  EXPECT_TRUE(Says(plain, "its changes are not tracked")) << Story(plain);
  EXPECT_THAT(Pairs(), ElementsAre("ONE V00003"));
  EXPECT_THAT(StartTracking(archive(), 1, "TWO", "V00004"),
              HasErrc(Errc::kNoSpace));
  // The pair that is tracked goes on.
  EXPECT_EQ(Copy(Backup("ONE")).method, "incremental");
  ASSERT_OK(StopTracking(archive(), "ONE", "V00003"));
  ASSERT_OK(StartTracking(archive(), 1, "TWO", "V00004"));
  EXPECT_THAT(Pairs(), ElementsAre("TWO V00004"));
}

TEST_F(TrackingTest, V8_CopiesBeyondTheLimitAreQueued) {
  job_options_.running = 1;
  Start(2, 6);
  MakePrimary(1, "ONE");
  MakePrimary(2, "TWO");
  Fill("ONE", 1);
  Fill("TWO", 2);
  SendAllHome();
  fake_->HoldMoves(true);
  ASSERT_OK_AND_ASSIGN(const JobId first, jobs_->Submit(Request("ONE")));
  ASSERT_OK_AND_ASSIGN(const JobId second, jobs_->Submit(Request("TWO")));
  Await(first,
        [](const JobRecord& job) { return job.state != JobState::kQueued; });
  fake_->AwaitHeldMove();
  EXPECT_EQ(jobs_->Get(second)->state, JobState::kQueued);
  fake_->HoldMoves(false);
  EXPECT_EQ(jobs_->Wait(first)->state, JobState::kDone);
  const Result<JobRecord> after = jobs_->Wait(second);
  EXPECT_EQ(after->state, JobState::kDone);
  EXPECT_GE(after->started, jobs_->Get(first)->ended);
}

TEST_F(TrackingTest, A4_DeletingTheHistoryOfAPlainCopyFreesItsMedium) {
  Start(2, 4);
  MakePrimary(1, "PRIM");
  CopyRequest plain = Request("PRIM");
  plain.track = TrackWish::kNo;
  const JobRecord old = Copy(plain);
  const JobRecord job = Copy(plain);
  // An older row says nothing of what is on the medium now.
  ASSERT_OK_AND_ASSIGN(DeletedHistory deleted,
                       DeleteHistory(archive(), *jobs_, old.id));
  EXPECT_FALSE(deleted.freed);
  ASSERT_OK_AND_ASSIGN(deleted, DeleteHistory(archive(), *jobs_, job.id));
  EXPECT_TRUE(deleted.freed);
  EXPECT_EQ(volumes_->Find("V00002"), nullptr);
  ASSERT_OK_AND_ASSIGN(const auto rows, ReadHistory(*catalog_));
  EXPECT_TRUE(rows.empty());
  EXPECT_THAT(DeleteHistory(archive(), *jobs_, job.id),
              HasErrc(Errc::kNotFound));
  MakePrimary(4, "OTHER");
  EXPECT_EQ(Copy(Request("OTHER")).target_medium, Tag(2));
}

TEST_F(TrackingTest, A4_ATrackedMediumIsKeptAndARunningCopyGoesOn) {
  Start(2, 4);
  MakePrimary(1, "PRIM");
  Fill("PRIM", 1);
  const JobRecord job = Copy(Backup("PRIM"));
  ASSERT_OK_AND_ASSIGN(const DeletedHistory deleted,
                       DeleteHistory(archive(), *jobs_, job.id));
  EXPECT_FALSE(deleted.freed);
  EXPECT_EQ(deleted.kept, "PRIM to V00002 is tracked");
  EXPECT_THAT(Pairs(), ElementsAre("PRIM V00002"));
  SendAllHome();
  fake_->HoldMoves(true);
  ASSERT_OK_AND_ASSIGN(const JobId running, jobs_->Submit(Backup("PRIM")));
  fake_->AwaitHeldMove();
  EXPECT_THAT(DeleteHistory(archive(), *jobs_, running), HasErrc(Errc::kBusy));
  fake_->HoldMoves(false);
  EXPECT_EQ(jobs_->Wait(running)->state, JobState::kDone);
}

TEST_F(TrackingTest, A8_TheOldGenerationIsKeptUntilTheNewOneIsVerified) {
  job_options_.generations = 2;
  // With the new copy verified and not yet complete, both old ones are there.
  std::vector<std::string> seen;
  job_options_.on_transition = [this, &seen](const JobRecord& job) {
    if (job.state == JobState::kCommitting) {
      seen.clear();
      for (const auto& volume : volumes_->List()) {
        const VolumeRecord record = volume->record();
        if (record.role == udf::Role::kBackup &&
            record.state == udf::SlotState::kComplete) {
          seen.push_back(record.medium);
        }
      }
    }
    return Status::Ok();
  };
  Start(2, 4);
  MakePrimary(1, "PRIM");
  EXPECT_EQ(Copy(Request("PRIM")).target_medium, Tag(2));
  EXPECT_EQ(Copy(Request("PRIM")).target_medium, Tag(3));
  EXPECT_THAT(Backups("PRIM"), UnorderedElementsAre(Tag(2), Tag(3)));
  EXPECT_EQ(Copy(Request("PRIM")).target_medium, Tag(4));
  EXPECT_THAT(seen, UnorderedElementsAre(Tag(2), Tag(3)));
  // The oldest is released.
  EXPECT_THAT(Backups("PRIM"), UnorderedElementsAre(Tag(3), Tag(4)));
  EXPECT_EQ(Copy(Request("PRIM")).target_medium, Tag(2));
  EXPECT_THAT(Backups("PRIM"), UnorderedElementsAre(Tag(2), Tag(4)));
  // An incremental copy replaces the oldest in one commit.
  const JobRecord job = Copy(Backup("PRIM"));
  EXPECT_EQ(job.target_medium, Tag(4));
  EXPECT_EQ(job.method, "incremental");
  EXPECT_THAT(Backups("PRIM"), UnorderedElementsAre(Tag(2), Tag(4)));
}

TEST_F(TrackingTest, A8_AVolumeMayKeepAnotherNumberThanTheLibrary) {
  job_options_.generations = 1;
  Start(2, 4);
  MakePrimary(1, "PRIM");
  const auto primary = [this] { return volumes_->Find("PRIM")->record(); };
  ASSERT_OK(SetOwnGenerations(catalog_.get(), primary(), 2));
  EXPECT_EQ(Copy(Request("PRIM")).target_medium, Tag(2));
  EXPECT_EQ(Copy(Request("PRIM")).target_medium, Tag(3));
  EXPECT_THAT(Backups("PRIM"), UnorderedElementsAre(Tag(2), Tag(3)));
  EXPECT_EQ(Copy(Request("PRIM")).target_medium, Tag(4));
  EXPECT_THAT(Backups("PRIM"), UnorderedElementsAre(Tag(3), Tag(4)));
  // Over a restart, too; others keep what the library says.
  Reopen();
  EXPECT_EQ(*KeptGenerations(*catalog_, primary(), 1), 2u);
  EXPECT_EQ(*KeptGenerations(*catalog_, volumes_->Find("V00003")->record(), 1),
            1u);
  EXPECT_EQ(Copy(Request("PRIM")).target_medium, Tag(2));
  // The library's number again: one backup, written over each time.
  ASSERT_OK(SetOwnGenerations(catalog_.get(), primary(), std::nullopt));
  EXPECT_EQ(Copy(Request("PRIM")).target_medium, Tag(4));
  EXPECT_EQ(*OwnGenerations(*catalog_, primary()), std::nullopt);
}

TEST_F(TrackingTest, A8_AFailedCopyReleasesNothing) {
  job_options_.generations = 2;
  Start(2, 4);
  MakePrimary(1, "PRIM");
  Copy(Request("PRIM"));
  Copy(Request("PRIM"));
  fake_->FailNextOpen(Tag(4), Errc::kDeviceError);
  ASSERT_OK_AND_ASSIGN(const JobRecord failed, Run(Request("PRIM")));
  EXPECT_EQ(failed.state, JobState::kFailed) << Story(failed);
  EXPECT_THAT(Backups("PRIM"), UnorderedElementsAre(Tag(2), Tag(3)));
}

TEST_F(TrackingTest, A8_WithoutASecondMediumTheOnlyBackupIsNotOverwritten) {
  job_options_.generations = 2;
  Start(2, 2);
  MakePrimary(1, "PRIM");
  EXPECT_EQ(Copy(Request("PRIM")).target_medium, Tag(2));
  EXPECT_THAT(jobs_->Submit(Request("PRIM")), HasErrc(Errc::kNoSpace));
}

TEST_F(TrackingTest, V5_AMinicopyGoesWhereOneIsPossible) {
  Start(2, 5);
  MakePrimary(1, "PRIM");
  Fill("PRIM", 17);
  for (const int target : {2, 3, 4}) {
    CopyRequest copy = Request("PRIM");
    copy.target = Tag(target);
    Copy(copy);
    ASSERT_OK(Write("PRIM", "new", Bytes0(target, 300'000)));
  }
  CopyRequest small = Request("PRIM", CopyMode::kIncremental);
  small.policy = CopyPolicy::kMinicopy;
  // The newest takes the least.
  EXPECT_EQ(Copy(small).target_medium, Tag(4));
  // One that is not tracked, or is damaged, cannot take it.
  ASSERT_OK(StopTracking(archive(), "PRIM", "V00004").status());
  ASSERT_OK(Write("PRIM", "new", "x"));
  EXPECT_EQ(Copy(small).target_medium, Tag(3));
  ASSERT_OK(NoteDamage(catalog_.get(),
                       volumes_->Find("V00003")->record().medium_uuid,
                       DamageFinder::kCompare, "bad"));
  ASSERT_OK(Write("PRIM", "new", "y"));
  const JobRecord job = Copy(small);
  EXPECT_EQ(job.target_medium, Tag(2));
  EXPECT_EQ(job.method, "incremental");
}

TEST_F(TrackingTest, V5_AMinicopyOfSeveralGenerationsReplacesTheOldest) {
  job_options_.generations = 2;
  Start(2, 6);
  MakePrimary(1, "PRIM");
  Fill("PRIM", 17);
  Copy(Request("PRIM"));
  ASSERT_OK(Write("PRIM", "new", "x"));
  // Fewer than are kept: an unused medium would come first, but cannot take it.
  CopyRequest small = Request("PRIM", CopyMode::kIncremental);
  small.policy = CopyPolicy::kMinicopy;
  EXPECT_EQ(Copy(small).target_medium, Tag(2));
  Copy(Request("PRIM"));
  ASSERT_OK(Write("PRIM", "new", "y"));
  EXPECT_EQ(Copy(small).target_medium, Tag(2));
  EXPECT_EQ(Copy(small).target_medium, Tag(3));
}

}  // namespace
}  // namespace vellum
