// SPDX-License-Identifier: Apache-2.0
// Copies as a user sees them.
#include "copy/jobs.h"

#include <fmt/format.h>

#include <atomic>
#include <thread>

#include "tests/copy/jobs_fixture.h"

namespace vellum {
namespace {

using States = std::vector<JobState>;

TEST_F(JobsTest, O1_ImageCopyNeedsOneDriveAndIsIdentical) {
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

TEST_F(JobsTest, O3_StreamingCopyUsesTwoDrivesAndNoSpool) {
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

TEST_F(JobsTest, O3_StreamingWithOneDriveIsRefusedAndMovesNothing) {
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

TEST_P(IncrementalTest, V3_CopiesOnlyWhatChanged) {
  Start(GetParam(), 4);
  MakePrimary(1, "PRIM");
  Fill("PRIM", 3);
  const JobRecord full = Copy(Request("PRIM", CopyMode::kIncremental));
  EXPECT_EQ(full.method, "full");
  EXPECT_NE(full.message.find("(medium V00002), full, because medium V00002 "
                              "holds no complete backup of PRIM"),
            std::string::npos)
      << full.message;
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
    EXPECT_EQ(job.message.find("because"), std::string::npos) << job.message;
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

TEST_F(JobsTest, V5_MinicopyFailsWhereOnlyAFullCopyIsPossible) {
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

TEST_F(JobsTest, V5_OptionsThatTheModeCannotFulfilAreRefused) {
  Start(2, 4);
  MakePrimary(1, "PRIM");
  for (const CopyMode mode : {CopyMode::kImage, CopyMode::kStreaming}) {
    for (const CopyPolicy policy : {CopyPolicy::kMinicopy, CopyPolicy::kFull}) {
      CopyRequest request = Request("PRIM", mode);
      request.policy = policy;
      const Result<JobId> refused = jobs_->Submit(request);
      EXPECT_THAT(refused, HasErrc(Errc::kInvalidArgument));
      EXPECT_THAT(refused, MessageHas("a policy is for mode=incremental"));
    }
  }
  CopyRequest whole = Request("PRIM", CopyMode::kIncremental);
  whole.whole = true;
  EXPECT_THAT(jobs_->Submit(whole), HasErrc(Errc::kInvalidArgument));
  EXPECT_TRUE(jobs_->List().empty());
}

TEST_F(JobsTest, V5_PolicyFullCopiesEverythingAndSaysSo) {
  Start(2, 4);
  MakePrimary(1, "PRIM");
  Fill("PRIM", 4);
  Copy(Request("PRIM", CopyMode::kIncremental));
  CopyRequest request = Request("PRIM", CopyMode::kIncremental);
  request.policy = CopyPolicy::kFull;
  const JobRecord job = Copy(request);
  EXPECT_EQ(job.method, "full");
  EXPECT_GT(job.regions_total, 0u);
  EXPECT_EQ(job.message.find("because"), std::string::npos) << job.message;
  ExpectBackup(2, "PRIM", job);
}

TEST_F(JobsTest, V4_WritersRunDuringEveryKindOfCopy) {
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

TEST_F(JobsTest, V6_LostCatalogMakesTheNextIncrementalAFullOne) {
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
  EXPECT_NE(job.message.find(", full, because generation "), std::string::npos)
      << Story(job);
  ASSERT_OK_AND_ASSIGN(const auto history, ReadHistory(*catalog_, "PRIM"));
  EXPECT_EQ(history.back().message, job.message);
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

TEST_F(JobsTest, V3_CompareFindsTheSectorThatDiffers) {
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

// With one drive (staged) and with two (streamed).
class DamagedBackupTest : public JobsTest,
                          public testing::WithParamInterface<uint16_t> {
 protected:
  JobRecord Compare() {
    const Result<JobId> id = jobs_->SubmitCompare("PRIM", "V00002");
    EXPECT_OK(id);
    const Result<JobRecord> job = jobs_->Wait(*id);
    EXPECT_OK(job);
    return *job;
  }
  std::string Damage() {
    const Result<std::string> text =
        ReadDamage(*catalog_, volumes_->Find("V00002")->record().medium_uuid);
    EXPECT_OK(text);
    return text.ok() ? *text : "";
  }
};

TEST_P(DamagedBackupTest, V3_NoIncrementalCopyIsBuiltUponIt) {
  Start(GetParam(), 3);
  MakePrimary(1, "PRIM");
  Fill("PRIM", 17);
  Copy(Request("PRIM"));
  SendAllHome();
  const udf::Geometry g = *udf::ComputeGeometry(8192);
  const SectorMap map(g, *udf::ReadBitmap(Content(2), g));
  uint64_t bad = g.partition_first + g.partition_blocks - 1;
  while (!map.Uses(bad)) --bad;
  udf::Sector sector;
  ASSERT_OK(Content(2).Read(bad, sector));
  sector[7] ^= std::byte{1};
  ASSERT_OK(Content(2).Write(bad, sector));
  EXPECT_EQ(Damage(), "");
  EXPECT_EQ(Compare().error, Errc::kCorruption);
  EXPECT_NE(Damage().find("PRIM and V00002 differ in 1 of"), std::string::npos)
      << Damage();
  Reopen();
  EXPECT_NE(Damage(), "");
  // One that may be nothing but incremental is refused.
  ASSERT_OK(Write("PRIM", "new", "x"));
  CopyRequest small = Request("PRIM", CopyMode::kIncremental);
  small.policy = CopyPolicy::kMinicopy;
  ASSERT_OK_AND_ASSIGN(const JobRecord refused, Run(small));
  EXPECT_EQ(refused.state, JobState::kFailed);
  EXPECT_TRUE(Says(refused, "the backup is damaged")) << Story(refused);
  // Else it becomes a full one, to the same medium, and all is well again.
  const JobRecord job = Copy(Request("PRIM", CopyMode::kIncremental));
  EXPECT_EQ(job.method, "full");
  EXPECT_EQ(job.target_medium, Tag(2));
  EXPECT_TRUE(Says(job, "because the backup is damaged")) << Story(job);
  EXPECT_EQ(Damage(), "");
  EXPECT_EQ(Compare().state, JobState::kDone);
  ASSERT_OK(Write("PRIM", "new", "y"));
  EXPECT_EQ(Copy(Request("PRIM", CopyMode::kIncremental)).method,
            "incremental");
}

// Nothing is wrong with any backup here.
class StrangersTest : public JobsTest {
 protected:
  JobRecord Compare(const std::string& a, const std::string& b) {
    const Result<JobId> id = jobs_->SubmitCompare(a, b);
    EXPECT_OK(id);
    const Result<JobRecord> job = jobs_->Wait(*id);
    EXPECT_OK(job);
    return *job;
  }
  // The two differ, which is no damage of any volume, and the story says why.
  void ExpectNoDamage(const JobRecord& job, const std::string& why) {
    EXPECT_EQ(job.error, Errc::kCorruption) << Story(job);
    EXPECT_TRUE(job.differs);
    EXPECT_TRUE(Says(job, "no sign of damage")) << Story(job);
    EXPECT_TRUE(Says(job, why)) << Story(job);
    for (const auto& volume : volumes_->List()) {
      EXPECT_EQ(Damage(volume->id()), "") << volume->id();
    }
  }
  std::string Damage(const std::string& id) {
    const Result<std::string> text =
        ReadDamage(*catalog_, volumes_->Find(id)->record().medium_uuid);
    EXPECT_OK(text);
    return text.ok() ? *text : "";
  }
};

TEST_F(StrangersTest, V3_ThatDifferAreNotDamaged) {
  Start(2, 6);
  MakePrimary(1, "PRIM");
  MakePrimary(5, "OTHER");
  Fill("PRIM", 17);
  Fill("OTHER", 18);
  for (const int target : {2, 3}) {
    CopyRequest copy = Request("PRIM");
    copy.target = Tag(target);
    Copy(copy);
    ASSERT_OK(Write("PRIM", "new", Bytes0(target, 300'000)));
  }
  SendAllHome();
  // A backup of another primary.
  ExpectNoDamage(Compare("OTHER", "V00002"), "neither of them is a backup");
  // Two generations of one primary.
  ExpectNoDamage(Compare("V00002", "V00003"), "neither of them is a backup");
  // The backup first: it knows of no changes since.
  ExpectNoDamage(Compare("V00002", "PRIM"), "different generations");
  EXPECT_EQ(Compare("PRIM", "V00002").state, JobState::kDone);
  // An equal pair of strangers says nothing of what was found before.
  CopyRequest twin = Request("PRIM");
  twin.target = Tag(2);
  Copy(twin);
  twin.target = Tag(3);
  Copy(twin);
  SendAllHome();
  const std::string uuid = volumes_->Find("V00002")->record().medium_uuid;
  ASSERT_OK(NoteDamage(catalog_.get(), uuid, DamageFinder::kCompare, "bad"));
  EXPECT_EQ(Compare("V00003", "V00002").state, JobState::kDone);
  EXPECT_EQ(Damage("V00002"), "bad");
  // Its primary does, in either order.
  EXPECT_EQ(Compare("V00002", "PRIM").state, JobState::kDone);
  EXPECT_EQ(Damage("V00002"), "");
}

TEST_F(StrangersTest, V3_TheBackupOfALostCatalogIsNotDamaged) {
  Start(2, 4);
  MakePrimary(1, "PRIM");
  Fill("PRIM", 17);
  Copy(Request("PRIM"));
  ASSERT_OK(Write("PRIM", "new", Bytes0(1, 300'000)));
  SendAllHome();
  Close();
  std::filesystem::remove_all(dir_.Sub("catalog"));
  Open();
  ASSERT_OK(Inventory(archive(), /*all=*/false));
  ASSERT_OK(Write("PRIM", "newer", Bytes0(2, 300'000)));
  ExpectNoDamage(Compare("PRIM", "V00002"), "what changed is not known");
}

TEST_F(StrangersTest, V3_TheOtherBackupOfARestoredPrimaryIsNotDamaged) {
  Start(2, 4);
  MakePrimary(1, "PRIM");
  Fill("PRIM", 17);
  for (const int target : {2, 3}) {
    CopyRequest copy = Request("PRIM");
    copy.target = Tag(target);
    Copy(copy);
    ASSERT_OK(Write("PRIM", "new", Bytes0(target, 300'000)));
  }
  SendAllHome();
  ASSERT_OK_AND_ASSIGN(const JobId restore,
                       jobs_->SubmitRestore("PRIM", "V00002"));
  ASSERT_OK_AND_ASSIGN(const JobRecord restored, jobs_->Wait(restore));
  ASSERT_EQ(restored.state, JobState::kDone) << Story(restored);
  ExpectNoDamage(Compare("PRIM", "V00003"), "is not of the lineage");
}

INSTANTIATE_TEST_SUITE_P(Drives, DamagedBackupTest, testing::Values(1, 2));

TEST_F(JobsTest, V3_CompareCountsWhatOnlyOneOfTheTwoUses) {
  Start(2, 3);
  MakePrimary(1, "PRIM");
  Fill("PRIM", 23);
  Copy(Request("PRIM"));
  ASSERT_OK_AND_ASSIGN(JobId id, jobs_->SubmitCompare("PRIM", "V00002"));
  ASSERT_OK_AND_ASSIGN(JobRecord job, jobs_->Wait(id));
  EXPECT_EQ(job.state, JobState::kDone) << Story(job);
  EXPECT_EQ(job.regions_changed, 0u);
  EXPECT_GT(job.regions_compared, 3'000'000 / kRegionSize);
  // A file that the backup knows nothing of: 4 MiB in regions of its own.
  ASSERT_OK(Write("PRIM", "new", Bytes0(5, 4 << 20)));
  SendAllHome();
  ASSERT_OK_AND_ASSIGN(id, jobs_->SubmitCompare("PRIM", "V00002"));
  ASSERT_OK_AND_ASSIGN(job, jobs_->Wait(id));
  EXPECT_EQ(job.state, JobState::kDone) << Story(job);
  EXPECT_GE(job.regions_changed, (4u << 20) / kRegionSize);
  EXPECT_TRUE(
      Says(job, fmt::format("{} regions of PRIM changed", job.regions_changed)))
      << Story(job);
  // And one that only the backup has now: the regions count as well.
  CopyRequest again = Request("PRIM");
  again.target = "V00002";
  Copy(again);
  ASSERT_OK(Remove("PRIM", "new"));
  SendAllHome();
  ASSERT_OK_AND_ASSIGN(id, jobs_->SubmitCompare("PRIM", "V00002"));
  ASSERT_OK_AND_ASSIGN(job, jobs_->Wait(id));
  EXPECT_EQ(job.state, JobState::kDone) << Story(job);
  EXPECT_GE(job.regions_changed, (4u << 20) / kRegionSize - 1);
  // The numbers outlive the daemon.
  Reopen();
  ASSERT_OK_AND_ASSIGN(const JobRecord stored, jobs_->Get(id));
  EXPECT_EQ(stored.regions_changed, job.regions_changed);
  EXPECT_EQ(stored.regions_compared, job.regions_compared);
}

TEST_F(JobsTest, RefusedSubmissionsTakeNoNumber) {
  job_options_.spool_limit = 9 << 20;
  Start(1, 3);
  MakePrimary(1, "PRIM");
  FormatRequest format;
  format.medium = Tag(2);
  format.volume_id = "VAULT";
  format.role = udf::Role::kBackup;
  ASSERT_OK(Format(archive(), format));
  // Nobody owns it yet.
  EXPECT_THAT(jobs_->Submit(Request("VAULT")),
              MessageHas("VAULT is a BACKUP: only a PRIMARY is copied"));
  CopyRequest whole = Request("PRIM");
  whole.whole = true;
  EXPECT_THAT(jobs_->Submit(whole), HasErrc(Errc::kNoSpace));
  EXPECT_EQ(Copy(Request("PRIM")).id, 1u);
  EXPECT_THAT(jobs_->Submit(Request("NOSUCH")), HasErrc(Errc::kNotFound));
  EXPECT_THAT(jobs_->SubmitCompare("PRIM", "NOSUCH"), HasErrc(Errc::kNotFound));
  Reopen();
  EXPECT_EQ(Copy(Request("PRIM")).id, 2u);
  ASSERT_OK_AND_ASSIGN(const JobId compare,
                       jobs_->SubmitCompare("PRIM", "VAULT"));
  EXPECT_EQ(compare, 3u);
  ASSERT_OK(jobs_->Wait(compare));
}

TEST_F(JobsTest, OnlyTheNewestEndedJobsAreKept) {
  job_options_.ended_kept = 2;
  Start(1, 4);
  MakePrimary(1, "PRIM");
  Copy(Request("PRIM"));
  ASSERT_OK_AND_ASSIGN(
      Volumes::Reservation mount,
      volumes_->Reserve(volumes_->Find("V00002"), "mount at /srv/a"));
  CopyRequest request = Request("PRIM");
  request.target = Tag(2);
  ASSERT_OK_AND_ASSIGN(const JobId waiting, jobs_->Submit(request));
  request.target = Tag(3);
  const auto ids = [this] {
    std::vector<JobId> all;
    for (const JobRecord& job : jobs_->List()) all.push_back(job.id);
    return all;
  };
  for (int i = 0; i < 3; ++i) Copy(request);
  // The record goes a moment after the end was told.
  Await(waiting, [&ids](const JobRecord&) { return ids().size() <= 3; });
  EXPECT_EQ(ids(), (std::vector<JobId>{waiting, 4, 5}));
  EXPECT_THAT(jobs_->Get(1), HasErrc(Errc::kNotFound));
  ASSERT_OK_AND_ASSIGN(auto history, ReadHistory(*catalog_));
  EXPECT_EQ(history.size(), 4u);
  ASSERT_OK(jobs_->Cancel(waiting));
  EXPECT_EQ(ids(), (std::vector<JobId>{4, 5}));
  mount.Release();
  job_options_.ended_kept = 1;
  Reopen();
  EXPECT_EQ(ids(), (std::vector<JobId>{5}));
  EXPECT_EQ(Copy(request).id, 6u);
  ASSERT_OK_AND_ASSIGN(history, ReadHistory(*catalog_));
  EXPECT_EQ(history.size(), 6u);
}

TEST_F(JobsTest, UnknownJobs) {
  Start(1, 1);
  EXPECT_THAT(jobs_->Get(7), HasErrc(Errc::kNotFound));
  EXPECT_THAT(jobs_->Cancel(7), HasErrc(Errc::kNotFound));
  EXPECT_THAT(jobs_->Wait(7), HasErrc(Errc::kNotFound));
}

}  // namespace
}  // namespace vellum
