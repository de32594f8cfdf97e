// SPDX-License-Identifier: Apache-2.0
// Cancelling a copy, and losing the daemon, in each of its states.
#include <fmt/format.h>

#include <algorithm>
#include <future>

#include "tests/copy/jobs_fixture.h"

namespace vellum {
namespace {

struct Case {
  CopyMode mode;
  uint16_t drives;
  JobState state;
  bool second;  // a complete backup is there already
};

std::string CaseName(const testing::TestParamInfo<Case>& info) {
  std::string name = CopyModeName(info.param.mode);
  name += std::to_string(info.param.drives);
  for (const char* c = JobStateName(info.param.state); *c != '\0'; ++c) {
    if (*c != '-') name += *c;
  }
  return name + (info.param.second ? "Second" : "First");
}

std::vector<Case> Cases() {
  std::vector<Case> cases;
  const std::vector<JobState> staged = {
      JobState::kStagingIn, JobState::kLoadTarget, JobState::kWriting,
      JobState::kVerifying, JobState::kCommitting, JobState::kReturning};
  const std::vector<JobState> streaming = {
      JobState::kStreaming, JobState::kVerifying, JobState::kCommitting,
      JobState::kReturning};
  for (const bool second : {false, true}) {
    for (const JobState state : staged) {
      cases.push_back({CopyMode::kImage, 1, state, second});
      cases.push_back({CopyMode::kIncremental, 1, state, second});
    }
    for (const JobState state : streaming) {
      cases.push_back({CopyMode::kStreaming, 2, state, second});
      cases.push_back({CopyMode::kIncremental, 2, state, second});
    }
  }
  return cases;
}

class EachStateTest : public JobsTest,
                      public testing::WithParamInterface<Case> {
 protected:
  void StartCase() {
    Start(GetParam().drives, 3);
    MakePrimary(1, "PRIM");
    Fill("PRIM", 1);
    if (GetParam().second) {
      first_ = Copy(Request("PRIM"));
      ASSERT_OK(Write("PRIM", "changed", Bytes0(5, 70'000)));
    }
    SendAllHome();
  }
  JobRecord first_;
};

TEST_P(EachStateTest, O9_DaemonDiesAndTheJobGoesOn) {
  bool armed = false;
  job_options_.on_transition = [&armed](const JobRecord& job) {
    if (armed && job.state == GetParam().state) {
      armed = false;
      return Status(Errc::kAborted, "the daemon dies here");
    }
    return Status::Ok();
  };
  StartCase();
  armed = true;
  ASSERT_OK_AND_ASSIGN(const JobId id,
                       jobs_->Submit(Request("PRIM", GetParam().mode)));
  EXPECT_THAT(jobs_->Wait(id), HasErrc(Errc::kAborted));
  EXPECT_FALSE(armed);
  ASSERT_OK_AND_ASSIGN(const JobRecord stopped, jobs_->Get(id));
  EXPECT_EQ(stopped.state, GetParam().state);
  if (GetParam().second && GetParam().state != JobState::kReturning) {
    // The backup that was there is there still.
    ExpectBackup(2, "PRIM", [&] {
      JobRecord as_before = first_;
      return as_before;
    }());
  }
  Reopen();
  ASSERT_OK_AND_ASSIGN(const JobRecord job, jobs_->Wait(id));
  EXPECT_EQ(job.state, JobState::kDone) << Story(job);
  if (GetParam().mode == CopyMode::kImage &&
      GetParam().state != JobState::kStagingIn &&
      GetParam().state != JobState::kReturning) {
    EXPECT_TRUE(Says(job, "complete image in the spool")) << Story(job);
    EXPECT_EQ(job.generation, stopped.generation);
  }
  ExpectAllHome();
  ExpectSpoolEmpty();
  ExpectBackup(2, "PRIM", job);
  EXPECT_EQ(Difference(1, 2), "");
  ASSERT_OK_AND_ASSIGN(const auto history, ReadHistory(*catalog_));
  EXPECT_EQ(history.size(), GetParam().second ? 2u : 1u);
}

TEST_P(EachStateTest, O9_CancelEndsTheJobUnlessItCommits) {
  bool armed = false;
  Status cancelled;
  job_options_.on_transition = [this, &armed,
                                &cancelled](const JobRecord& job) {
    if (armed && job.state == GetParam().state) {
      armed = false;
      cancelled = jobs_->Cancel(job.id);
    }
    return Status::Ok();
  };
  StartCase();
  armed = true;
  ASSERT_OK_AND_ASSIGN(const JobId id,
                       jobs_->Submit(Request("PRIM", GetParam().mode)));
  ASSERT_OK_AND_ASSIGN(const JobRecord job, jobs_->Wait(id));
  EXPECT_FALSE(armed);
  ExpectAllHome();
  ExpectSpoolEmpty();
  if (GetParam().state >= JobState::kCommitting) {
    EXPECT_THAT(cancelled, HasErrc(Errc::kBusy));
    EXPECT_EQ(job.state, JobState::kDone) << Story(job);
    ExpectBackup(2, "PRIM", job);
    return;
  }
  EXPECT_OK(cancelled);
  EXPECT_EQ(job.state, JobState::kCancelled) << Story(job);
  EXPECT_TRUE(job.cancel_requested);
  EXPECT_THAT(jobs_->Cancel(id), HasErrc(Errc::kBusy));
  if (GetParam().second) ExpectBackup(2, "PRIM", first_);
  ASSERT_OK_AND_ASSIGN(const auto history, ReadHistory(*catalog_));
  EXPECT_EQ(history.back().result, "cancelled");
}

INSTANTIATE_TEST_SUITE_P(States, EachStateTest, testing::ValuesIn(Cases()),
                         CaseName);

// The image in the spool is not synced, its meta file is.
TEST_F(JobsTest, WhatAPowerCutHasTakenOfTheSpoolIsStagedAgain) {
  bool armed = false;
  job_options_.on_transition = [&armed](const JobRecord& job) {
    if (armed && job.state == JobState::kVerifying) {
      armed = false;
      return Status(Errc::kAborted, "the power goes here");
    }
    return Status::Ok();
  };
  Start(1, 3);
  MakePrimary(1, "PRIM");
  Fill("PRIM", 1);
  SendAllHome();
  armed = true;
  ASSERT_OK_AND_ASSIGN(const JobId id,
                       jobs_->Submit(Request("PRIM", CopyMode::kImage)));
  EXPECT_THAT(jobs_->Wait(id), HasErrc(Errc::kAborted));
  Close();
  const std::string path = fmt::format("{}/job-{}.img", dir_.Sub("spool"), id);
  std::string image = ReadFileOrDie(path);
  std::fill(image.begin() + 100'000, image.begin() + 200'000, 'x');
  WriteFileOrDie(path, image);
  Open();
  ASSERT_OK_AND_ASSIGN(const JobRecord job, jobs_->Wait(id));
  EXPECT_EQ(job.state, JobState::kDone) << Story(job);
  EXPECT_TRUE(Says(job, "staged again")) << Story(job);
  EXPECT_FALSE(Says(job, "complete image in the spool")) << Story(job);
  ExpectAllHome();
  ExpectSpoolEmpty();
  ExpectBackup(2, "PRIM", job);
  EXPECT_EQ(Difference(1, 2), "");
}

TEST_F(JobsTest, ShutdownKeepsTheJobForTheNextStart) {
  job_options_.on_transition = [this](const JobRecord& job) {
    if (job.state == JobState::kStagingIn) fake_->HoldMoves(true);
    return Status::Ok();
  };
  Start(1, 3);
  MakePrimary(1, "PRIM");
  Fill("PRIM", 2);
  SendAllHome();
  ASSERT_OK_AND_ASSIGN(const JobId id, jobs_->Submit(Request("PRIM")));
  fake_->AwaitHeldMove();
  fake_->HoldMoves(false);
  jobs_->Shutdown();
  ASSERT_OK_AND_ASSIGN(const JobRecord stopped, jobs_->Get(id));
  EXPECT_FALSE(JobEnded(stopped.state));
  job_options_.on_transition = nullptr;
  Reopen();
  ASSERT_OK_AND_ASSIGN(const JobRecord job, jobs_->Wait(id));
  EXPECT_EQ(job.state, JobState::kDone) << Story(job);
  ExpectBackup(2, "PRIM", job);
  ExpectAllHome();
}

TEST_F(JobsTest, O8_AJobThatIsTakenUpKeepsItsMediumWhileItWaits) {
  job_options_.running = 1;
  job_options_.on_transition = [](const JobRecord& job) {
    return job.state == JobState::kStagingIn
               ? Status(Errc::kAborted, "the daemon dies")
               : Status::Ok();
  };
  Start(1, 6);
  for (const int n : {1, 2, 3}) MakePrimary(n, "PRIM" + std::to_string(n));
  ASSERT_OK_AND_ASSIGN(const JobId first, jobs_->Submit(Request("PRIM1")));
  ASSERT_OK_AND_ASSIGN(const JobId second, jobs_->Submit(Request("PRIM2")));
  for (const JobId id : {first, second}) {
    EXPECT_THAT(jobs_->Wait(id), HasErrc(Errc::kAborted));
  }
  std::promise<void> go_on;
  const std::shared_future<void> may_go_on = go_on.get_future().share();
  job_options_.on_transition = [&](const JobRecord& job) {
    if (job.id == first && job.state == JobState::kStagingIn) may_go_on.wait();
    return Status::Ok();
  };
  Reopen();
  // The second one has not run yet, and nobody else gets what it was promised.
  const Result<JobId> third = jobs_->Submit(Request("PRIM3"));
  go_on.set_value();
  ASSERT_OK(third);
  int medium = 4;
  for (const JobId id : {first, second, *third}) {
    ASSERT_OK_AND_ASSIGN(const JobRecord job, jobs_->Wait(id));
    EXPECT_EQ(job.state, JobState::kDone) << Story(job);
    EXPECT_EQ(job.target_medium, Tag(medium++));
  }
  Close();  // the options refer to what is here
}

TEST_F(JobsTest, WaitingForALoadIsCancelled) {
  Start(1, 3);
  MakePrimary(1, "PRIM");
  SendAllHome();
  fake_->HoldMoves(true);
  ASSERT_OK_AND_ASSIGN(const JobId id, jobs_->Submit(Request("PRIM")));
  ASSERT_OK_AND_ASSIGN(const JobId next, jobs_->Submit(Request("PRIM")));
  fake_->AwaitHeldMove();
  EXPECT_OK(jobs_->Cancel(next));  // still queued
  ASSERT_OK_AND_ASSIGN(JobRecord job, jobs_->Wait(next));
  EXPECT_EQ(job.state, JobState::kCancelled);
  EXPECT_OK(jobs_->Cancel(id));
  fake_->HoldMoves(false);
  ASSERT_OK_AND_ASSIGN(job, jobs_->Wait(id));
  EXPECT_EQ(job.state, JobState::kCancelled);
  ExpectSpoolEmpty();
  ExpectAllHome();
}

TEST_F(JobsTest, LeftoverSpoolFilesAreRemoved) {
  Start(1, 1);
  Close();
  WriteFileOrDie(dir_.Sub("spool") + "/job-77.img", "x");
  WriteFileOrDie(dir_.Sub("spool") + "/job-77.meta", "x");
  WriteFileOrDie(dir_.Sub("spool") + "/other", "x");
  Open();
  EXPECT_FALSE(std::filesystem::exists(dir_.Sub("spool") + "/job-77.img"));
  EXPECT_FALSE(std::filesystem::exists(dir_.Sub("spool") + "/job-77.meta"));
  EXPECT_TRUE(std::filesystem::exists(dir_.Sub("spool") + "/other"));
}

TEST_F(JobsTest, JobNumbersAreNotGivenTwice) {
  Start(1, 2);
  MakePrimary(1, "PRIM");
  const JobRecord first = Copy(Request("PRIM"));
  Reopen();
  const JobRecord second = Copy(Request("PRIM"));
  EXPECT_GT(second.id, first.id);
  ASSERT_OK_AND_ASSIGN(const JobRecord kept, jobs_->Get(first.id));
  EXPECT_EQ(kept.state, JobState::kDone);
  EXPECT_EQ(kept.message, first.message);
}

}  // namespace
}  // namespace vellum
