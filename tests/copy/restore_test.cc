// SPDX-License-Identifier: Apache-2.0
// A copy takes its original's place, or is written back over it.
#include <gmock/gmock.h>

#include "copy/restore_runner.h"
#include "copy/shelf.h"
#include "copy/tracking.h"
#include "tests/copy/jobs_fixture.h"

namespace vellum {
namespace {

class RestoreTest : public JobsTest {
 protected:
  JobRecord Restore(const std::string& volume, const std::string& from = "") {
    const Result<JobId> id = jobs_->SubmitRestore(volume, from);
    EXPECT_OK(id);
    if (!id.ok()) return {};
    const Result<JobRecord> job = jobs_->Wait(*id);
    EXPECT_OK(job);
    return job.ok() ? *job : JobRecord();
  }
};

class RestoreDrivesTest : public RestoreTest,
                          public testing::WithParamInterface<int> {};

TEST_P(RestoreDrivesTest, A6_TheWholeVolumeIsAsItWasAndStaysItself) {
  Start(static_cast<uint16_t>(GetParam()), 4);
  MakePrimary(1, "PRIM");
  Fill("PRIM", 1);
  const std::string uuid = volumes_->Find("PRIM")->record().medium_uuid;
  Copy(Request("PRIM"));
  CopyRequest second = Request("PRIM");
  second.target = Tag(3);
  ASSERT_OK(Write("PRIM", "second", "in the second backup"));
  Copy(second);
  ASSERT_OK(Write("PRIM", "file3", "spoiled"));
  ASSERT_OK(Remove("PRIM", "file4"));
  ASSERT_OK(Write("PRIM", "later", "lost"));

  JobRecord job = Restore("PRIM", "V00002");
  ASSERT_EQ(job.state, JobState::kDone) << Story(job);
  const auto volume = volumes_->Find("PRIM");
  ASSERT_NE(volume, nullptr);
  EXPECT_EQ(volume->record().role, udf::Role::kPrimary);
  EXPECT_EQ(volume->record().medium_uuid, uuid);
  EXPECT_EQ(ReadFile("PRIM", "file3"), Bytes0(103, 1000 + 3 * 45'000));
  EXPECT_EQ(ReadFile("PRIM", "file4"), Bytes0(104, 1000 + 4 * 45'000));
  EXPECT_FALSE(volume->Lookup(volume->root(), "later").ok());
  EXPECT_FALSE(volume->Lookup(volume->root(), "second").ok());
  // It is written again, its backups are still its own, and are not tracked.
  ASSERT_OK(Write("PRIM", "new", "content"));
  ASSERT_OK_AND_ASSIGN(const auto pairs, TrackedPairs(archive()));
  EXPECT_TRUE(pairs.empty());
  SendAllHome();
  ASSERT_OK_AND_ASSIGN(const udf::FsckReport report,
                       udf::CheckVolume(Content(1), {}));
  EXPECT_TRUE(report.clean()) << report.errors[0].text;
  // The newest is taken when none is named.
  job = Restore("PRIM");
  ASSERT_EQ(job.state, JobState::kDone) << Story(job);
  EXPECT_EQ(job.request.target, "V00003");
  EXPECT_EQ(ReadFile("PRIM", "second"), "in the second backup");
  EXPECT_EQ(Copy(Request("PRIM")).target_medium, Tag(2));
  ExpectSpoolEmpty();
  ASSERT_OK_AND_ASSIGN(const auto rows, ReadHistory(*catalog_, "PRIM"));
  ASSERT_EQ(rows.size(), 5u);
  EXPECT_EQ(rows[2].mode, "restore");
  EXPECT_EQ(rows[2].source, "V00002");
  EXPECT_EQ(rows[2].target, "PRIM");
}
INSTANTIATE_TEST_SUITE_P(Drives, RestoreDrivesTest, testing::Values(1, 2));

TEST_F(RestoreTest, A6_WhatCannotBeRestoredIsRefusedAndNothingMoves) {
  Start(2, 5);
  MakePrimary(1, "PRIM");
  MakePrimary(2, "OTHER");
  ASSERT_OK(Write("PRIM", "file", "content"));
  EXPECT_THAT(jobs_->SubmitRestore("PRIM", ""), HasErrc(Errc::kNotFound));
  Copy(Request("PRIM"));
  SendAllHome();
  const size_t moves = fake_->moves();
  EXPECT_THAT(jobs_->SubmitRestore("NONE", ""), HasErrc(Errc::kNotFound));
  EXPECT_THAT(jobs_->SubmitRestore("V00003", ""),
              HasErrc(Errc::kInvalidArgument));
  EXPECT_THAT(jobs_->SubmitRestore("PRIM", "OTHER"),
              MessageHas("OTHER is a PRIMARY"));
  EXPECT_THAT(jobs_->SubmitRestore("OTHER", "V00003"),
              MessageHas("V00003 is a backup of PRIM, not of OTHER"));
  // A file is open: the volume is loaded or not.
  const auto volume = volumes_->Find("PRIM");
  ASSERT_OK_AND_ASSIGN(const Attr attr, volume->Lookup(volume->root(), "file"));
  ASSERT_OK(volume->Open(attr.ino));
  const auto busy = jobs_->SubmitRestore("PRIM", "");
  EXPECT_THAT(busy, HasErrc(Errc::kBusy));
  EXPECT_THAT(busy, MessageHas("1 of its files is open"));
  volume->Close(attr.ino);
  ASSERT_OK(Export(archive(), "V00003", "bank"));
  EXPECT_THAT(jobs_->SubmitRestore("PRIM", ""), MessageHas("exported"));
  EXPECT_THAT(jobs_->SubmitRestore("PRIM", "V00003"), MessageHas("bank"));
  EXPECT_LE(fake_->moves(), moves + 1);
  EXPECT_EQ(ReadFile("PRIM", "file"), "content");
}

TEST_F(RestoreTest, A6_ARestoreThatBreaksOffIsNoVolumeAndIsRunAgain) {
  Start(2, 3);
  MakePrimary(1, "PRIM");
  Fill("PRIM", 1);
  Copy(Request("PRIM"));
  Close();
  // The daemon dies when everything is written and nothing is complete.
  bool die = true;
  job_options_.on_transition = [&die](const JobRecord& job) {
    if (die && job.state == JobState::kVerifying) {
      return Status(Errc::kAborted, "died");
    }
    return Status::Ok();
  };
  Open();
  ASSERT_OK_AND_ASSIGN(const JobId id, jobs_->SubmitRestore("PRIM", ""));
  Await(id,
        [](const JobRecord& job) { return job.state == JobState::kVerifying; });
  Close();
  ASSERT_OK_AND_ASSIGN(const udf::ControlSlot slot,
                       udf::ReadControlSlot(Content(1)));
  EXPECT_EQ(slot.state, udf::SlotState::kIncomplete);
  EXPECT_EQ(slot.volume_id, "PRIM");
  die = false;
  Open();
  ASSERT_OK_AND_ASSIGN(const JobRecord job, jobs_->Wait(id));
  ASSERT_EQ(job.state, JobState::kDone) << Story(job);
  EXPECT_EQ(volumes_->Find("PRIM")->record().role, udf::Role::kPrimary);
  EXPECT_EQ(ReadFile("PRIM", "file3"), Bytes0(103, 1000 + 3 * 45'000));
}

TEST_F(RestoreTest, O17_PromoteReplacesTheOriginalOnlyWhenItIsTold) {
  Start(1, 4);
  MakePrimary(1, "PRIM");
  ASSERT_OK(Write("PRIM", "file", "in the copy"));
  Copy(Request("PRIM"));
  ASSERT_OK(Write("PRIM", "file", "newer"));
  EXPECT_EQ(ReadFile("PRIM", "file"), "newer");
  ASSERT_OK_AND_ASSIGN(const Promoted promoted, Promote(archive(), "V00002"));
  EXPECT_EQ(promoted.primary.id, "PRIM");
  EXPECT_EQ(promoted.primary.medium, Tag(2));
  EXPECT_EQ(promoted.retired, "PRIM-OLD1");
  EXPECT_TRUE(promoted.problem.empty()) << promoted.problem;
  EXPECT_EQ(ReadFile("PRIM", "file"), "in the copy");
  EXPECT_EQ(ReadFile("PRIM-OLD1", "file"), "newer");
  ASSERT_OK(Write("PRIM", "more", "it is written"));
  // The media say the same.
  Close();
  std::filesystem::remove_all(dir_.Sub("catalog"));
  Open();
  ASSERT_OK(Inventory(archive(), true));
  EXPECT_EQ(ReadFile("PRIM", "more"), "it is written");
  EXPECT_EQ(ReadFile("PRIM-OLD1", "file"), "newer");
}

// The power failed when the copy had its new name on its medium, and the
// original its own in the catalog.
TEST_F(RestoreTest, O17_APromoteThatBrokeOffIsEndedByTheNext) {
  Start(1, 4);
  MakePrimary(1, "PRIM");
  ASSERT_OK(Write("PRIM", "file", "content"));
  Copy(Request("PRIM"));
  SendAllHome();
  PrimaryIdentity identity;
  identity.volume_id = "PRIM";
  ASSERT_OK(WritePrimarySlot(Content(2), identity));
  ASSERT_OK_AND_ASSIGN(const Promoted promoted, Promote(archive(), "V00002"));
  EXPECT_EQ(promoted.primary.id, "PRIM");
  EXPECT_EQ(promoted.primary.medium, Tag(2));
  EXPECT_EQ(promoted.primary.role, udf::Role::kPrimary);
  ASSERT_OK(Write("PRIM", "more", "it is written"));
  ASSERT_NE(volumes_->Find("PRIM-OLD1"), nullptr);
}

// It ended between the two names.
TEST_F(RestoreTest, O17_APromoteThatIsRepeatedKeepsTheNameThatItGave) {
  Start(1, 4);
  MakePrimary(1, "PRIM");
  Copy(Request("PRIM"));
  VolumeRecord original = volumes_->Find("PRIM")->record();
  original.id = "PRIM-OLD1";
  ASSERT_OK(volumes_->Put(original));
  ASSERT_OK_AND_ASSIGN(const Promoted promoted, Promote(archive(), "V00002"));
  EXPECT_EQ(promoted.primary.id, "PRIM");
  EXPECT_EQ(promoted.retired, "PRIM-OLD1");
  EXPECT_EQ(volumes_->Find("PRIM-OLD2"), nullptr);
}

TEST_F(RestoreTest, O17_AnOriginalThatCannotBeReadIsReplacedAllTheSame) {
  Start(1, 4);
  MakePrimary(1, "PRIM");
  ASSERT_OK(Write("PRIM", "file", "content"));
  Copy(Request("PRIM"));
  SendAllHome();
  fake_->Place(Tag(1), {});
  ASSERT_OK(library_->RefreshElements());
  ASSERT_OK_AND_ASSIGN(const Promoted promoted, Promote(archive(), "V00002"));
  EXPECT_NE(promoted.problem.find("V00001"), std::string::npos);
  EXPECT_EQ(ReadFile("PRIM", "file"), "content");
  ASSERT_NE(volumes_->Find("PRIM-OLD1"), nullptr) << "never forgotten";
}

TEST_F(RestoreTest, O17_WhatIsNoCompleteCopyIsNotPromoted) {
  Start(1, 4);
  MakePrimary(1, "PRIM");
  EXPECT_THAT(Promote(archive(), "NONE"), HasErrc(Errc::kNotFound));
  EXPECT_THAT(Promote(archive(), "PRIM"), HasErrc(Errc::kInvalidArgument));
  Copy(Request("PRIM"));
  const auto mounted = volumes_->Reserve(volumes_->Find("V00002"), "a mount");
  ASSERT_OK(mounted);
  EXPECT_THAT(Promote(archive(), "V00002"), HasErrc(Errc::kBusy));
  EXPECT_NE(volumes_->Find("PRIM"), nullptr) << "it keeps its name";
  EXPECT_EQ(volumes_->Find("PRIM-OLD1"), nullptr);
}

}  // namespace
}  // namespace vellum
