// SPDX-License-Identifier: Apache-2.0
// Which medium a copy goes to, and which it may not.
#include "tests/copy/jobs_fixture.h"

namespace vellum {
namespace {

TEST_F(JobsTest, O8_ThePoolBindsOneMediumToOneVolume) {
  Start(1, 4);
  MakePrimary(1, "ONE");
  MakePrimary(2, "TWO");
  EXPECT_EQ(Copy(Request("ONE")).target_medium, Tag(3));
  EXPECT_EQ(Copy(Request("TWO")).target_medium, Tag(4));
  EXPECT_EQ(Copy(Request("ONE")).target_medium, Tag(3));
  EXPECT_EQ(Copy(Request("TWO")).target_medium, Tag(4));
}

TEST_F(JobsTest, O8_ExhaustedPoolIsAnErrorAndMovesNothing) {
  Start(1, 3);
  MakePrimary(1, "ONE");
  MakePrimary(2, "TWO");
  Copy(Request("ONE"));
  const size_t moves = fake_->moves();
  const auto refused = jobs_->Submit(Request("TWO"));
  EXPECT_THAT(refused, HasErrc(Errc::kNoSpace));
  EXPECT_THAT(refused, MessageHas("pool"));
  EXPECT_EQ(fake_->moves(), moves);
}

TEST_F(JobsTest, PoolRangeIsKept) {
  job_options_.pool_first = {1026};
  job_options_.pool_last = {1026};
  Start(1, 4);
  MakePrimary(1, "ONE");
  MakePrimary(2, "TWO");
  EXPECT_EQ(Copy(Request("ONE")).target_medium, Tag(3));
  EXPECT_THAT(jobs_->Submit(Request("TWO")), HasErrc(Errc::kNoSpace));
}

TEST_F(JobsTest, I3_NamedTargetsThatMayNotBeOverwritten) {
  Start(1, 5);
  MakePrimary(1, "ONE");
  MakePrimary(2, "TWO");
  Copy(Request("ONE"));
  const size_t moves = fake_->moves();
  CopyRequest request = Request("TWO");
  request.target = Tag(3);
  auto refused = jobs_->Submit(request);
  EXPECT_THAT(refused, HasErrc(Errc::kExists));
  EXPECT_THAT(refused, MessageHas("ONE"));
  EXPECT_THAT(refused, MessageHas("TWO"));
  request.target = "1024";  // ONE's own
  refused = jobs_->Submit(request);
  EXPECT_THAT(refused, HasErrc(Errc::kExists));
  EXPECT_THAT(refused, MessageHas("PRIMARY"));
  request.target = "TWO";
  EXPECT_THAT(jobs_->Submit(request), HasErrc(Errc::kInvalidArgument));
  request.target = "NOSUCH";
  EXPECT_THAT(jobs_->Submit(request), HasErrc(Errc::kNotFound));
  request.target = "1030";  // an empty slot
  EXPECT_THAT(jobs_->Submit(request), HasErrc(Errc::kNoMedium));
  EXPECT_THAT(jobs_->Submit(Request("V00003")),
              HasErrc(Errc::kInvalidArgument));  // a BACKUP as source
  EXPECT_THAT(jobs_->Submit(Request("NOSUCH")), HasErrc(Errc::kNotFound));
  EXPECT_EQ(fake_->moves(), moves);
  // By element address, and by the name of the backup.
  request.target = "1028";
  EXPECT_EQ(Copy(request).target_medium, Tag(5));
  request.target = "V00005";
  EXPECT_EQ(Copy(request).target_medium, Tag(5));
}

TEST_F(JobsTest, O5_CopyToTheImportSlotStaysThere) {
  Start(1, 3);
  MakePrimary(1, "PRIM");
  ASSERT_OK(library_->Move({1026}, {768}));
  CopyRequest request = Request("PRIM");
  request.target = "768";
  const JobRecord job = Copy(request);
  EXPECT_TRUE(Says(job, "label")) << Story(job);
  EXPECT_EQ(fake_->WhereIs(Tag(3)).value, 768);
  ExpectBackup(3, "PRIM", job);
  // It is about to leave: the pool does not count on it.
  EXPECT_EQ(Copy(Request("PRIM")).target_medium, Tag(2));
}

TEST_F(JobsTest, I3_OwnerOnTheMediumCountsWhenTheCatalogDoesNotKnow) {
  Start(1, 3);
  MakePrimary(1, "ONE");
  MakePrimary(2, "TWO");
  Copy(Request("ONE"));
  // The catalog forgets the backup.
  ASSERT_OK(volumes_->Forget(volumes_->Find("V00003")));
  CopyRequest request = Request("TWO");
  request.target = Tag(3);
  ASSERT_OK_AND_ASSIGN(const JobRecord job, Run(request));
  EXPECT_EQ(job.state, JobState::kFailed);
  EXPECT_EQ(job.error, Errc::kExists);
  EXPECT_TRUE(Says(job, "ONE")) << Story(job);
  ASSERT_OK_AND_ASSIGN(const udf::ControlSlot slot,
                       udf::ReadControlSlot(Content(3)));
  EXPECT_EQ(slot.owner_id, "ONE");
  EXPECT_EQ(slot.state, udf::SlotState::kComplete);
  ExpectAllHome();
}

// A copy by file that is broken off while it formats leaves what the next copy
// may write over. That the medium was in other hands since, nobody is told.
TEST_F(JobsTest, O8_WhatOthersWroteWhereACopyHadBegunIsKept) {
  Start(1, 4);
  MakePrimary(1, "PRIM");
  MediumNote begun;
  begun.found = "unfinished";
  ASSERT_OK(WriteMediumNote(catalog_.get(), Tag(2), begun));
  ASSERT_OK(WriteMediumNote(catalog_.get(), Tag(3), begun));
  const Bytes foreign(64 * kSectorSize, std::byte{0x42});
  ASSERT_OK(Content(2).Write(16, foreign));
  udf::FormatOptions format;
  format.volume_id = "BEGUN";
  ASSERT_OK(udf::FormatVolume(Content(3), format));
  const Bytes zeros(kSectorSize);
  for (const uint64_t slot : {udf::kSlotASector, udf::kSlotBSector}) {
    ASSERT_OK(Content(3).Write(slot, zeros));
  }
  const JobRecord job = Copy(Request("PRIM"));
  EXPECT_EQ(job.target_medium, Tag(3)) << Story(job);
  EXPECT_TRUE(Says(job, "V00002"));
  udf::Sector sector;
  ASSERT_OK(Content(2).Read(16, sector));
  EXPECT_EQ(sector[0], std::byte{0x42});
  // It is not tried again.
  ASSERT_OK_AND_ASSIGN(const MediumNote note,
                       ReadMediumNote(*catalog_, Tag(2)));
  EXPECT_EQ(note.found, "foreign");
  ExpectAllHome();
}

TEST_F(JobsTest, O8_PoolPassesOverMediaThatHoldSomething) {
  Start(1, 5);
  MakePrimary(1, "PRIM");
  const Bytes foreign(64 * kSectorSize, std::byte{0x42});
  ASSERT_OK(Content(2).Write(16, foreign));
  udf::FormatOptions format;
  format.volume_id = "LOST";
  ASSERT_OK(udf::FormatVolume(Content(3), format));
  const JobRecord job = Copy(Request("PRIM"));
  EXPECT_EQ(job.target_medium, Tag(4)) << Story(job);
  EXPECT_TRUE(Says(job, "V00002"));
  // What was found is known now.
  ASSERT_NE(volumes_->Find("LOST"), nullptr);
  ASSERT_OK_AND_ASSIGN(const MediumNote note,
                       ReadMediumNote(*catalog_, Tag(2)));
  EXPECT_EQ(note.found, "foreign");
  udf::Sector sector;
  ASSERT_OK(Content(2).Read(16, sector));
  EXPECT_EQ(sector[0], std::byte{0x42});
  ExpectAllHome();
  // Named, it is an error, and nothing is staged or moved for it.
  CopyRequest request = Request("PRIM");
  request.target = Tag(2);
  const size_t moves = fake_->moves();
  const Result<JobId> refused = jobs_->Submit(request);
  EXPECT_THAT(refused, HasErrc(Errc::kExists));
  EXPECT_THAT(refused, MessageHas("clear (--clear, clear=yes)"));
  EXPECT_EQ(fake_->moves(), moves);
  // Also when nobody knows it yet: then the job finds out.
  ASSERT_OK(WriteMediumNote(catalog_.get(), Tag(2), MediumNote()));
  ASSERT_OK_AND_ASSIGN(const JobRecord failed, Run(request));
  EXPECT_EQ(failed.error, Errc::kExists);
  EXPECT_TRUE(Says(failed, "clear (--clear, clear=yes)"));
  // Cleared, it is a target like any other.
  FormatRequest clear;
  clear.medium = Tag(2);
  clear.volume_id = "EMPTY";
  clear.role = udf::Role::kBackup;
  clear.clear = true;
  ASSERT_OK(Format(archive(), clear));
  EXPECT_EQ(Copy(request).target_medium, Tag(2));
}

TEST_F(JobsTest, O16_SwappedMediumIsNoticedByItsVolumeTag) {
  Start(1, 5);
  MakePrimary(1, "PRIM");
  MakePrimary(4, "OTHER");
  Copy(Request("PRIM"));
  SendAllHome();
  // Somebody takes the backup out and puts another medium into its slot; the
  // daemon is not told.
  const Bytes foreign(64 * kSectorSize, std::byte{0x42});
  ASSERT_OK(Content(5).Write(16, foreign));
  fake_->Place(Tag(2), {});
  fake_->Place(Tag(5), {1025});
  const size_t moves = fake_->moves();
  CopyRequest request = Request("PRIM");
  request.target = Tag(2);
  ASSERT_OK_AND_ASSIGN(const JobRecord named, Run(request));
  EXPECT_EQ(named.state, JobState::kFailed);
  EXPECT_EQ(named.error, Errc::kNoMedium) << Story(named);
  EXPECT_NE(named.message.find("V00002"), std::string::npos) << Story(named);
  EXPECT_EQ(fake_->moves(), moves);
  ExpectSpoolEmpty();
  // Not named: it is said, and another medium of the pool is taken.
  const JobRecord job = Copy(Request("PRIM"));
  EXPECT_TRUE(Says(job,
                   "backup V00002 of PRIM is on medium V00002, which is not in "
                   "the library any more"))
      << Story(job);
  EXPECT_EQ(job.target_medium, Tag(3));
  udf::Sector sector;
  ASSERT_OK(Content(5).Read(16, sector));
  EXPECT_EQ(sector[0], std::byte{0x42});
  // The source.
  SendAllHome();
  ASSERT_NE(volumes_->Find("OTHER"), nullptr);
  request = Request("OTHER");
  request.target = Tag(5);
  // As if nobody had looked at it: what is known foreign is refused at once.
  ASSERT_OK(WriteMediumNote(catalog_.get(), Tag(5), MediumNote()));
  fake_->Place(Tag(4), {});
  ASSERT_OK_AND_ASSIGN(const JobRecord gone, Run(request));
  EXPECT_EQ(gone.error, Errc::kNoMedium);
  EXPECT_NE(gone.message.find("V00004"), std::string::npos) << Story(gone);
  ExpectSpoolEmpty();
}

TEST_F(JobsTest, FormattedBackupsAreTakenAndKeepTheirName) {
  Start(1, 3);
  MakePrimary(1, "PRIM");
  FormatRequest request;
  request.medium = Tag(2);
  request.volume_id = "VAULT";
  request.role = udf::Role::kBackup;
  ASSERT_OK(Format(archive(), request));
  const JobRecord job = Copy(Request("PRIM"));
  EXPECT_EQ(job.target_volume, "VAULT");
  ExpectBackup(2, "PRIM", job);
}

TEST_F(JobsTest, BackupsAreNamedAfterTheirOwnerWhenTheTagIsTaken) {
  Start(1, 3);
  MakePrimary(1, "V00002");
  const JobRecord job = Copy(Request("V00002"));
  EXPECT_EQ(job.target_volume, "V00002-B1");
  ExpectBackup(2, "V00002", job);
}

TEST_F(JobsTest, TargetKnownToBeTooSmallMovesNothing) {
  Start(1, 2);
  MakePrimary(1, "PRIM");
  MediumNote note;
  note.found = "blank";
  note.sectors = 8000;
  ASSERT_OK(WriteMediumNote(catalog_.get(), Tag(2), note));
  const size_t moves = fake_->moves();
  EXPECT_THAT(jobs_->Submit(Request("PRIM")), HasErrc(Errc::kNoSpace));
  CopyRequest request = Request("PRIM");
  request.target = Tag(2);
  const auto refused = jobs_->Submit(request);
  EXPECT_THAT(refused, HasErrc(Errc::kNoSpace));
  EXPECT_THAT(refused, MessageHas("8000"));
  EXPECT_EQ(fake_->moves(), moves);
}

TEST_F(JobsTest, O2_TooLittleStagingSpaceMovesNothing) {
  job_options_.spool_limit = 2 << 20;
  Start(1, 3);
  MakePrimary(1, "PRIM");
  Fill("PRIM", 5);
  SendAllHome();
  const size_t moves = fake_->moves();
  const auto refused = jobs_->Submit(Request("PRIM"));
  EXPECT_THAT(refused, HasErrc(Errc::kNoSpace));
  EXPECT_THAT(refused, MessageHas("needed"));
  EXPECT_THAT(refused, MessageHas("free 2097152"));
  EXPECT_EQ(fake_->moves(), moves);
  EXPECT_TRUE(jobs_->List().empty());
  ExpectSpoolEmpty();
}

}  // namespace
}  // namespace vellum
