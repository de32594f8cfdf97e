// SPDX-License-Identifier: Apache-2.0
// What becomes of the backup that was there.
#include "copy/job_store.h"
#include "tests/copy/jobs_fixture.h"

namespace vellum {
namespace {

TEST_F(JobsTest, X2_LastCompleteBackupIsReplacedInOneCommit) {
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

// Most of the primary is other data, in the same blocks: the record of an
// atomic commit that replaces it all is larger than what is free.
class NoRoomTest : public JobsTest {
 protected:
  void WriteMost(uint64_t seed) {
    const VolumeUse use = *volumes_->Use(volumes_->Find("PRIM"));
    if (use->Lookup(use->root(), "most").ok()) {
      ASSERT_OK(Remove("PRIM", "most"));
      ASSERT_OK(use->Sync());
    }
    ASSERT_OK(Write("PRIM", "most", Bytes0(seed, 13'000'000)));
    ASSERT_OK(use->Sync());
  }
};

TEST_F(NoRoomTest, WithoutRoomForACommitAnotherPoolMediumIsTaken) {
  Start(1, 4);
  MakePrimary(1, "PRIM");
  WriteMost(12);
  const JobRecord first = Copy(Request("PRIM"));
  SendAllHome();
  WriteMost(112);
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

TEST_F(NoRoomTest, OverwriteLastGoesOnAndSaysSo) {
  Start(1, 2);
  MakePrimary(1, "PRIM");
  WriteMost(13);
  Copy(Request("PRIM"));
  SendAllHome();
  WriteMost(113);
  CopyRequest request = Request("PRIM");
  ASSERT_OK_AND_ASSIGN(const JobRecord refused, Run(request));
  EXPECT_EQ(refused.error, Errc::kNoSpace);
  request.overwrite_last = true;
  const JobRecord job = Copy(request);
  EXPECT_TRUE(Says(job, "last complete backup")) << Story(job);
  SendAllHome();
  ExpectBackup(2, "PRIM", job);
}

TEST_F(JobsTest, OverwritingABackupIsSaidDurablyBefore) {
  Start(2, 3);
  MakePrimary(1, "PRIM");
  Fill("PRIM", 14);
  for (const int medium : {2, 3}) {
    CopyRequest request = Request("PRIM", CopyMode::kStreaming);
    request.target = Tag(medium);
    Copy(request);
    SendAllHome();
  }
  // What a daemon that died at the first write onto the backup finds after its
  // restart.
  std::string story;
  Content(2).BeforeWrite([&](uint64_t) {
    if (!story.empty()) return;
    JobStore store(catalog_.get());
    const Result<std::vector<JobRecord>> jobs = store.Load(100);
    if (jobs.ok() && !jobs->empty()) story = Story(jobs->back());
  });
  Fill("PRIM", 15);
  CopyRequest request = Request("PRIM", CopyMode::kStreaming);
  request.target = Tag(2);
  Copy(request);
  Content(2).BeforeWrite({});
  EXPECT_NE(story.find("without an atomic commit"), std::string::npos) << story;
}

TEST_F(JobsTest, O10_VerifyMismatchFailsTheJobAndLeavesNoBackup) {
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

TEST_F(JobsTest, O10_VerifyMismatchOfAnIncrementalCopyLeavesTheOldBackup) {
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

}  // namespace
}  // namespace vellum
