// SPDX-License-Identifier: Apache-2.0
// Copies as a user sees them.
#include "copy/jobs.h"

#include <atomic>
#include <thread>

#include "tests/copy/jobs_fixture.h"

namespace vellum {
namespace {

using States = std::vector<JobState>;

TEST_F(JobsTest, ImageCopyNeedsOneDriveAndIsIdentical) {
  States states;
  job_options_.on_transition = [&states](const JobRecord& job) {
    states.push_back(job.state);
    return Status::Ok();
  };
  Start(1, 4);
  MakePrimary(1, "PRIM");
  Fill("PRIM", 1);
  SendAllHome();
  const JobRecord job = Copy(Request("PRIM"));
  EXPECT_EQ(states, (States{JobState::kQueued, JobState::kStagingIn,
                            JobState::kLoadTarget, JobState::kWriting,
                            JobState::kVerifying, JobState::kCommitting,
                            JobState::kReturning, JobState::kDone}));
  ExpectBackup(2, "PRIM", job);
  EXPECT_EQ(Difference(1, 2), "");
  EXPECT_EQ(job.method, "full");
  EXPECT_EQ(job.target_volume, "V00002");  // its volume tag
  EXPECT_GT(job.bytes_copied, 3u << 20);
  EXPECT_GE(job.bytes_verified, job.bytes_copied);
  EXPECT_EQ(job.regions_done, job.regions_total);
  ExpectAllHome();
  ExpectSpoolEmpty();
  ASSERT_OK_AND_ASSIGN(const auto history, ReadHistory(*catalog_, "PRIM"));
  ASSERT_EQ(history.size(), 1u);
  EXPECT_EQ(history[0].job, job.id);
  EXPECT_EQ(history[0].result, "done");
  EXPECT_EQ(history[0].target, "V00002");
  EXPECT_EQ(history[0].generation, job.generation);
}

TEST_F(JobsTest, StreamingCopyUsesTwoDrivesAndNoSpool) {
  job_options_.on_transition = [this](const JobRecord& job) {
    if (job.state == JobState::kVerifying) {
      // Both drives are the job's, and the spool is not used.
      for (const DriveState& drive : library_->Drives()) {
        EXPECT_FALSE(drive.owners.empty()) << drive.activity;
      }
      ExpectSpoolEmpty();
    }
    return Status::Ok();
  };
  Start(2, 4);
  MakePrimary(1, "PRIM");
  Fill("PRIM", 2);
  SendAllHome();
  const JobRecord job = Copy(Request("PRIM", CopyMode::kStreaming));
  ExpectBackup(2, "PRIM", job);
  EXPECT_EQ(Difference(1, 2), "");
  ExpectAllHome();
}

TEST_F(JobsTest, StreamingWithOneDriveIsRefusedAndMovesNothing) {
  Start(1, 3);
  MakePrimary(1, "PRIM");
  const size_t moves = fake_->moves();
  EXPECT_THAT(jobs_->Submit(Request("PRIM", CopyMode::kStreaming)),
              HasErrc(Errc::kOffline));
  EXPECT_EQ(fake_->moves(), moves);
  EXPECT_TRUE(jobs_->List().empty());
}

class IncrementalTest : public JobsTest,
                        public testing::WithParamInterface<uint16_t> {};

TEST_P(IncrementalTest, CopiesOnlyWhatChanged) {
  Start(GetParam(), 4);
  MakePrimary(1, "PRIM");
  Fill("PRIM", 3);
  const JobRecord full = Copy(Request("PRIM", CopyMode::kIncremental));
  EXPECT_EQ(full.method, "full");
  EXPECT_TRUE(Says(full, "no complete backup"));
  for (uint64_t round = 0; round < 3; ++round) {
    ASSERT_OK(Write("PRIM", "file3", Bytes0(round + 900, 50'000)));
    ASSERT_OK(Write("PRIM", "new" + std::to_string(round), "short"));
    if (round == 1) {
      ASSERT_OK(Remove("PRIM", "file11"));
    }
    CopyRequest request = Request("PRIM", CopyMode::kIncremental);
    request.policy = CopyPolicy::kMinicopy;
    const JobRecord job = Copy(request);
    EXPECT_EQ(job.method, "incremental");
    EXPECT_LT(job.bytes_copied, full.bytes_copied / 4) << Story(job);
    SendAllHome();
    ExpectBackup(2, "PRIM", job);
    EXPECT_EQ(ReadFromMedium(2, "file3"), Bytes0(round + 900, 50'000));
  }
  EXPECT_EQ(Difference(1, 2), "");
  ExpectSpoolEmpty();
}

INSTANTIATE_TEST_SUITE_P(Drives, IncrementalTest,
                         testing::Values(uint16_t{1}, uint16_t{2}));

TEST_F(JobsTest, MinicopyFailsWhereOnlyAFullCopyIsPossible) {
  Start(2, 4);
  MakePrimary(1, "PRIM");
  CopyRequest request = Request("PRIM", CopyMode::kIncremental);
  request.policy = CopyPolicy::kMinicopy;
  ASSERT_OK_AND_ASSIGN(const JobRecord job, Run(request));
  EXPECT_EQ(job.state, JobState::kFailed);
  EXPECT_EQ(job.error, Errc::kOutOfRange);
  EXPECT_NE(job.message.find("minicopy"), std::string::npos);
  ASSERT_OK_AND_ASSIGN(const udf::MediumContent content,
                       udf::ProbeMedium(Content(2)));
  EXPECT_EQ(content, udf::MediumContent::kBlank);
}

TEST_F(JobsTest, PolicyFullCopiesEverythingAndSaysSo) {
  Start(2, 4);
  MakePrimary(1, "PRIM");
  Fill("PRIM", 4);
  Copy(Request("PRIM", CopyMode::kIncremental));
  CopyRequest request = Request("PRIM", CopyMode::kIncremental);
  request.policy = CopyPolicy::kFull;
  const JobRecord job = Copy(request);
  EXPECT_EQ(job.method, "full");
  EXPECT_GT(job.regions_total, 0u);
  ExpectBackup(2, "PRIM", job);
}

TEST_F(JobsTest, ThePoolBindsOneMediumToOneVolume) {
  Start(1, 4);
  MakePrimary(1, "ONE");
  MakePrimary(2, "TWO");
  EXPECT_EQ(Copy(Request("ONE")).target_medium, Tag(3));
  EXPECT_EQ(Copy(Request("TWO")).target_medium, Tag(4));
  EXPECT_EQ(Copy(Request("ONE")).target_medium, Tag(3));
  EXPECT_EQ(Copy(Request("TWO")).target_medium, Tag(4));
}

TEST_F(JobsTest, ExhaustedPoolIsAnErrorAndMovesNothing) {
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

TEST_F(JobsTest, NamedTargetsThatMayNotBeOverwritten) {
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

TEST_F(JobsTest, CopyToTheImportSlotStaysThere) {
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

TEST_F(JobsTest, OwnerOnTheMediumCountsWhenTheCatalogDoesNotKnow) {
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

TEST_F(JobsTest, PoolPassesOverMediaThatHoldSomething) {
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
  // Named, it is an error.
  CopyRequest request = Request("PRIM");
  request.target = Tag(2);
  ASSERT_OK_AND_ASSIGN(const JobRecord failed, Run(request));
  EXPECT_EQ(failed.error, Errc::kExists);
  EXPECT_TRUE(Says(failed, "clear=yes"));
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

TEST_F(JobsTest, TooLittleStagingSpaceMovesNothing) {
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

TEST_F(JobsTest, VerifyMismatchFailsTheJobAndLeavesNoBackup) {
  job_options_.on_transition = [this](const JobRecord& job) {
    if (job.state == JobState::kVerifying) {
      const std::byte bad{0x66};
      const udf::Geometry g = *udf::ComputeGeometry(8192);
      Content(2).Poke(g.Sector(udf::kBitmapBlock) * kSectorSize + 50,
                      {&bad, 1});
    }
    return Status::Ok();
  };
  Start(1, 3);
  MakePrimary(1, "PRIM");
  Fill("PRIM", 6);
  ASSERT_OK_AND_ASSIGN(const JobRecord job, Run(Request("PRIM")));
  EXPECT_EQ(job.state, JobState::kFailed);
  EXPECT_EQ(job.error, Errc::kCorruption);
  EXPECT_TRUE(Says(job, "region")) << Story(job);
  EXPECT_TRUE(Says(job, "sector"));
  ASSERT_OK_AND_ASSIGN(const udf::ControlSlot slot,
                       udf::ReadControlSlot(Content(2)));
  EXPECT_EQ(slot.state, udf::SlotState::kIncomplete);
  EXPECT_EQ(volumes_->FindByMedium(Tag(2))->record().state,
            udf::SlotState::kIncomplete);
  ExpectSpoolEmpty();
  // The next copy takes the same medium and makes it good.
  job_options_.on_transition = nullptr;
  Reopen();
  const JobRecord again = Copy(Request("PRIM"));
  ExpectBackup(2, "PRIM", again);
}

TEST_F(JobsTest, VerifyMismatchOfAnIncrementalCopyLeavesTheOldBackup) {
  bool armed = false;
  job_options_.on_transition = [this, &armed](const JobRecord& job) {
    if (armed && job.state == JobState::kVerifying) {
      // Something that only the new generation uses.
      const udf::Geometry g = *udf::ComputeGeometry(8192);
      const SectorMap now(g, *udf::ReadBitmap(Content(1), g));
      const SectorMap old(g, *udf::ReadBitmap(Content(2), g));
      for (uint64_t s = g.partition_first; s < g.sectors; ++s) {
        if (!now.Uses(s) || old.Uses(s)) continue;
        const Bytes bad(kSectorSize, std::byte{0x66});
        Content(2).Poke(s * kSectorSize, bad);
        break;
      }
    }
    return Status::Ok();
  };
  Start(2, 3);
  MakePrimary(1, "PRIM");
  Fill("PRIM", 7);
  const JobRecord first = Copy(Request("PRIM"));
  ASSERT_OK(Write("PRIM", "extra", Bytes0(1, 200'000)));
  armed = true;
  ASSERT_OK_AND_ASSIGN(const JobRecord job,
                       Run(Request("PRIM", CopyMode::kIncremental)));
  EXPECT_EQ(job.state, JobState::kFailed);
  EXPECT_EQ(job.error, Errc::kCorruption) << Story(job);
  ExpectBackup(2, "PRIM", first);
}

TEST_F(JobsTest, WritersRunDuringEveryKindOfCopy) {
  Start(2, 4);
  MakePrimary(1, "PRIM");
  Fill("PRIM", 8);
  std::atomic<bool> stop{false};
  std::atomic<int> rounds{0};
  std::thread writer([&] {
    for (uint64_t i = 0; !stop; ++i) {
      // Always the same content in both: a copy must not see one without the
      // other half of a generation.
      const std::string content = Bytes0(i, 30'000 + i % 7 * 1000);
      EXPECT_OK(Write("PRIM", "pair" + std::to_string(i % 5), content));
      if (i % 3 == 0) {
        EXPECT_OK(Remove("PRIM", "pair" + std::to_string(i % 5)));
      }
      ++rounds;
    }
  });
  for (const CopyMode mode : {CopyMode::kStreaming, CopyMode::kIncremental,
                              CopyMode::kImage, CopyMode::kIncremental}) {
    const JobRecord job = Copy(Request("PRIM", mode));
    ExpectBackup(2, "PRIM", job);
    ASSERT_OK_AND_ASSIGN(const JobId compare,
                         jobs_->SubmitCompare("PRIM", "V00002"));
    ASSERT_OK_AND_ASSIGN(const JobRecord compared, jobs_->Wait(compare));
    EXPECT_EQ(compared.state, JobState::kDone) << Story(compared);
  }
  stop = true;
  writer.join();
  EXPECT_GT(rounds, 0);
}

TEST_F(JobsTest, JobsOfOneVolumeRunOneAfterTheOther) {
  std::atomic<int> running{0};
  std::atomic<int> most{0};
  job_options_.running = 3;
  job_options_.on_transition = [&](const JobRecord& job) {
    if (job.state == JobState::kStagingIn)
      most = std::max(most.load(), ++running);
    if (job.state == JobState::kDone) --running;
    return Status::Ok();
  };
  Start(2, 4);
  MakePrimary(1, "PRIM");
  Fill("PRIM", 9);
  std::vector<JobId> ids;
  for (int i = 0; i < 3; ++i) {
    ASSERT_OK_AND_ASSIGN(const JobId id, jobs_->Submit(Request("PRIM")));
    ids.push_back(id);
  }
  for (const JobId id : ids) {
    ASSERT_OK_AND_ASSIGN(const JobRecord job, jobs_->Wait(id));
    EXPECT_EQ(job.state, JobState::kDone) << Story(job);
    EXPECT_EQ(job.target_medium, Tag(2));
  }
  EXPECT_EQ(most, 1);
  EXPECT_EQ(jobs_->List().size(), 3u);
}

TEST_F(JobsTest, CopyOntoAMountedBackupWaitsOrIsBusy) {
  std::atomic<bool> loading{false};
  job_options_.on_transition = [&loading](const JobRecord& job) {
    if (job.state == JobState::kLoadTarget) loading = true;
    return Status::Ok();
  };
  Start(2, 3);
  MakePrimary(1, "PRIM");
  Copy(Request("PRIM"));
  {
    ASSERT_OK_AND_ASSIGN(VolumeUse mounted,
                         volumes_->Hold(volumes_->Find("V00002")));
    CopyRequest request = Request("PRIM");
    request.wait_mounted = false;
    ASSERT_OK_AND_ASSIGN(const JobRecord busy, Run(request));
    EXPECT_EQ(busy.state, JobState::kFailed);
    EXPECT_EQ(busy.error, Errc::kBusy);
    loading = false;
    ASSERT_OK_AND_ASSIGN(const JobId id, jobs_->Submit(Request("PRIM")));
    while (!loading) std::this_thread::yield();
    ASSERT_OK_AND_ASSIGN(const JobRecord waiting, jobs_->Get(id));
    EXPECT_EQ(waiting.state, JobState::kLoadTarget);
    mounted.Release();
    ASSERT_OK_AND_ASSIGN(const JobRecord job, jobs_->Wait(id));
    EXPECT_EQ(job.state, JobState::kDone) << Story(job);
  }
}

TEST_F(JobsTest, LastCompleteBackupIsReplacedInOneCommit) {
  udf::SlotState seen = udf::SlotState::kClean;
  bool armed = false;
  job_options_.on_transition = [&](const JobRecord& job) {
    if (armed && job.state == JobState::kCommitting) {
      seen = udf::ReadControlSlot(Content(2))->state;
    }
    return Status::Ok();
  };
  Start(1, 3);
  MakePrimary(1, "PRIM");
  Fill("PRIM", 10);
  Copy(Request("PRIM"));
  Fill("PRIM", 11);
  armed = true;
  const JobRecord job = Copy(Request("PRIM"));
  EXPECT_EQ(seen, udf::SlotState::kComplete);
  EXPECT_EQ(job.method, "full");
  SendAllHome();
  ExpectBackup(2, "PRIM", job);
  EXPECT_EQ(Difference(1, 2), "");
}

// Fills the control log of the backup: then no copy onto it can be noted, and
// so none can be committed.
void FillControlLog(MemoryMedium& medium) {
  const udf::Geometry g = *udf::ComputeGeometry(8192);
  uint64_t end = 0;
  for (const size_t size : {3000, 400, 2}) {
    udf::LogEntry entry;
    entry.text = std::string(size, 'x');
    while (udf::AppendControlLog(medium, g, &end, {entry}).ok()) {
    }
  }
}

TEST_F(JobsTest, WithoutRoomForACommitAnotherPoolMediumIsTaken) {
  Start(1, 4);
  MakePrimary(1, "PRIM");
  Fill("PRIM", 12);
  const JobRecord first = Copy(Request("PRIM"));
  SendAllHome();
  FillControlLog(Content(2));
  ASSERT_OK(Write("PRIM", "more", "more"));
  // Named: an error that says so, and the old backup stays.
  CopyRequest request = Request("PRIM");
  request.target = Tag(2);
  ASSERT_OK_AND_ASSIGN(const JobRecord refused, Run(request));
  EXPECT_EQ(refused.error, Errc::kNoSpace);
  EXPECT_TRUE(Says(refused, "overwrite-last")) << Story(refused);
  ExpectBackup(2, "PRIM", first);
  // Not named: another medium, and the old one becomes free.
  const JobRecord moved = Copy(Request("PRIM"));
  EXPECT_EQ(moved.target_medium, Tag(3)) << Story(moved);
  SendAllHome();
  ExpectBackup(3, "PRIM", moved);
  EXPECT_EQ(volumes_->FindByMedium(Tag(2)), nullptr);
  MakePrimary(4, "OTHER");
  const JobRecord other = Copy(Request("OTHER"));
  EXPECT_EQ(other.target_medium, Tag(2)) << Story(other);
  SendAllHome();
  ExpectBackup(2, "OTHER", other);
}

TEST_F(JobsTest, OverwriteLastGoesOnAndSaysSo) {
  Start(1, 2);
  MakePrimary(1, "PRIM");
  Fill("PRIM", 13);
  Copy(Request("PRIM"));
  SendAllHome();
  FillControlLog(Content(2));
  CopyRequest request = Request("PRIM");
  ASSERT_OK_AND_ASSIGN(const JobRecord refused, Run(request));
  EXPECT_EQ(refused.error, Errc::kNoSpace);
  request.overwrite_last = true;
  const JobRecord job = Copy(request);
  EXPECT_TRUE(Says(job, "last complete backup")) << Story(job);
  SendAllHome();
  ExpectBackup(2, "PRIM", job);
}

TEST_F(JobsTest, LostCatalogMakesTheNextIncrementalAFullOne) {
  Start(2, 3);
  MakePrimary(1, "PRIM");
  Fill("PRIM", 14);
  Copy(Request("PRIM"));
  Close();
  std::filesystem::remove_all(dir_.Sub("catalog"));
  Open();
  ASSERT_OK(Inventory(archive(), true));
  ASSERT_OK(Write("PRIM", "after", "x"));
  const JobRecord job = Copy(Request("PRIM", CopyMode::kIncremental));
  EXPECT_EQ(job.method, "full") << Story(job);
  EXPECT_EQ(job.target_medium, Tag(2));
  SendAllHome();
  ExpectBackup(2, "PRIM", job);
  EXPECT_EQ(Difference(1, 2), "");
  // And the one after that is incremental again.
  ASSERT_OK(Write("PRIM", "after", "y"));
  EXPECT_EQ(Copy(Request("PRIM", CopyMode::kIncremental)).method,
            "incremental");
}

TEST_F(JobsTest, WholeCopiesEverySector) {
  Start(1, 2);
  MakePrimary(1, "PRIM");
  Fill("PRIM", 15);
  Fill("PRIM", 16);  // leaves old content in free blocks
  SendAllHome();
  CopyRequest request = Request("PRIM");
  request.whole = true;
  const JobRecord job = Copy(request);
  ExpectBackup(2, "PRIM", job);
  const udf::Geometry g = *udf::ComputeGeometry(8192);
  udf::Sector a, b;
  for (uint64_t s = g.partition_first; s < g.sectors; ++s) {
    ASSERT_OK(Content(1).Read(s, a));
    ASSERT_OK(Content(2).Read(s, b));
    ASSERT_TRUE(a == b) << s;
  }
}

TEST_F(JobsTest, CompareFindsTheSectorThatDiffers) {
  Start(1, 3);
  MakePrimary(1, "PRIM");
  Fill("PRIM", 17);
  Copy(Request("PRIM"));
  SendAllHome();
  ASSERT_OK_AND_ASSIGN(JobId id, jobs_->SubmitCompare("PRIM", "V00002"));
  ASSERT_OK_AND_ASSIGN(JobRecord job, jobs_->Wait(id));
  EXPECT_EQ(job.state, JobState::kDone) << Story(job);
  // A flipped bit in the data of a file.
  const udf::Geometry g = *udf::ComputeGeometry(8192);
  const SectorMap map(g, *udf::ReadBitmap(Content(2), g));
  uint64_t bad = g.partition_first + g.partition_blocks - 1;
  while (!map.Uses(bad)) --bad;
  udf::Sector sector;
  ASSERT_OK(Content(2).Read(bad, sector));
  sector[7] ^= std::byte{1};
  ASSERT_OK(Content(2).Write(bad, sector));
  ASSERT_OK_AND_ASSIGN(id, jobs_->SubmitCompare("PRIM", "V00002"));
  ASSERT_OK_AND_ASSIGN(job, jobs_->Wait(id));
  EXPECT_EQ(job.state, JobState::kFailed);
  EXPECT_EQ(job.error, Errc::kCorruption);
  EXPECT_TRUE(Says(job, "sectors: " + std::to_string(bad))) << Story(job);
  EXPECT_THAT(jobs_->SubmitCompare("PRIM", "PRIM"),
              HasErrc(Errc::kInvalidArgument));
  EXPECT_THAT(jobs_->SubmitCompare("PRIM", "NOSUCH"), HasErrc(Errc::kNotFound));
}

TEST_F(JobsTest, UnknownJobs) {
  Start(1, 1);
  EXPECT_THAT(jobs_->Get(7), HasErrc(Errc::kNotFound));
  EXPECT_THAT(jobs_->Cancel(7), HasErrc(Errc::kNotFound));
  EXPECT_THAT(jobs_->Wait(7), HasErrc(Errc::kNotFound));
}

}  // namespace
}  // namespace vellum
