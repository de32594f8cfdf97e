// SPDX-License-Identifier: Apache-2.0
// Copies whose target somebody has.
#include <algorithm>
#include <atomic>
#include <chrono>
#include <stop_token>
#include <tuple>

#include "copy/job_store.h"
#include "tests/copy/jobs_fixture.h"

namespace vellum {
namespace {

constexpr char kWaiting[] = "waits for V00002: held by mount at /srv/a";

class JobsWaitTest : public JobsTest {
 protected:
  // A primary PRIM and its backup V00002, mounted at /srv/a.
  void StartMounted(uint16_t drives) {
    Start(drives, 5);
    MakePrimary(1, "PRIM");
    Fill("PRIM", 18);
    Copy(Request("PRIM"));
    SendAllHome();
    Mount();
  }
  void Mount(const std::string& dir = "/srv/a") {
    ASSERT_OK_AND_ASSIGN(
        mount_, volumes_->Reserve(volumes_->Find("V00002"), "mount at " + dir));
  }
  CopyRequest To(int medium, CopyMode mode = CopyMode::kImage) {
    CopyRequest request = Request("PRIM", mode);
    request.target = Tag(medium);
    return request;
  }
  static size_t CountLines(const JobRecord& job, const std::string& text) {
    return static_cast<size_t>(std::count_if(
        job.log.begin(), job.log.end(), [&text](const std::string& line) {
          return line.find(text) != std::string::npos;
        }));
  }

  Volumes::Reservation mount_;
};

class EachModeWaitTest
    : public JobsWaitTest,
      public testing::WithParamInterface<std::tuple<CopyMode, uint16_t>> {
 protected:
  CopyMode mode() const { return std::get<0>(GetParam()); }
  uint16_t drives() const { return std::get<1>(GetParam()); }
};

TEST_P(EachModeWaitTest, SaysForWhomAndKeepsNoOtherCopyWaiting) {
  std::vector<std::string> said;  // with the states of the copy that waited
  job_options_.running = 1;
  job_options_.on_transition = [&said](const JobRecord& job) {
    if (job.id == 2 && job.state != JobState::kQueued &&
        job.state < JobState::kReturning) {
      said.push_back(job.message);
    }
    return Status::Ok();
  };
  StartMounted(drives());
  const size_t moves = fake_->moves();
  ASSERT_OK_AND_ASSIGN(const JobId id, jobs_->Submit(To(2, mode())));
  const JobRecord waiting = AwaitWaiting(id);
  EXPECT_EQ(waiting.state, JobState::kQueued);
  EXPECT_EQ(waiting.message, kWaiting);
  EXPECT_EQ(jobs_->List().back().message, kWaiting);
  EXPECT_EQ(fake_->moves(), moves);
  // Behind it in the queue, with one worker and the same source.
  const JobRecord other = Copy(To(3, mode()));
  EXPECT_EQ(other.target_medium, Tag(3));
  ASSERT_OK_AND_ASSIGN(const JobRecord still, jobs_->Get(id));
  EXPECT_EQ(still.state, JobState::kQueued);
  EXPECT_EQ(still.message, kWaiting);
  mount_.Release();
  ASSERT_OK_AND_ASSIGN(const JobRecord job, jobs_->Wait(id));
  EXPECT_EQ(job.state, JobState::kDone) << Story(job);
  EXPECT_EQ(CountLines(job, "waits for"), 1u) << Story(job);
  EXPECT_FALSE(said.empty());
  for (const std::string& message : said) EXPECT_EQ(message, "");
  SendAllHome();
  ExpectBackup(2, "PRIM", job);
  ExpectSpoolEmpty();
}

TEST_P(EachModeWaitTest, CanBeCancelled) {
  StartMounted(drives());
  ASSERT_OK_AND_ASSIGN(const JobId id, jobs_->Submit(To(2, mode())));
  EXPECT_EQ(AwaitWaiting(id).message, kWaiting);
  ASSERT_OK(jobs_->Cancel(id));
  // A worker may be looking just then whether the target is free.
  ASSERT_OK_AND_ASSIGN(const JobRecord job, jobs_->Wait(id));
  EXPECT_EQ(job.state, JobState::kCancelled);
  EXPECT_EQ(job.message, "cancelled before it began");
  ExpectSpoolEmpty();
  ExpectAllHome();
}

TEST_P(EachModeWaitTest, OutlivesTheDaemon) {
  StartMounted(drives());
  ASSERT_OK_AND_ASSIGN(const JobId id, jobs_->Submit(To(2, mode())));
  EXPECT_EQ(AwaitWaiting(id).message, kWaiting);
  jobs_->Shutdown();
  EXPECT_THAT(jobs_->Wait(id), HasErrc(Errc::kAborted));
  mount_.Release();
  Reopen();
  ASSERT_OK_AND_ASSIGN(const JobRecord job, jobs_->Wait(id));
  EXPECT_EQ(job.state, JobState::kDone) << Story(job);
  ExpectBackup(2, "PRIM", job);
}

TEST_P(EachModeWaitTest, FailsAtOnceWhenItIsNotToWait) {
  StartMounted(drives());
  const size_t moves = fake_->moves();
  CopyRequest request = To(2, mode());
  request.wait_mounted = false;
  ASSERT_OK_AND_ASSIGN(const JobRecord job, Run(request));
  EXPECT_EQ(job.state, JobState::kFailed);
  EXPECT_EQ(job.error, Errc::kBusy);
  EXPECT_NE(job.message.find("mount at /srv/a"), std::string::npos);
  EXPECT_EQ(fake_->moves(), moves);
}

INSTANTIATE_TEST_SUITE_P(
    Modes, EachModeWaitTest,
    testing::Values(std::tuple(CopyMode::kImage, uint16_t{1}),
                    std::tuple(CopyMode::kStreaming, uint16_t{2}),
                    std::tuple(CopyMode::kIncremental, uint16_t{1}),
                    std::tuple(CopyMode::kIncremental, uint16_t{2})),
    [](const auto& test) {
      return CopyModeName(std::get<0>(test.param)) +
             std::to_string(std::get<1>(test.param));
    });

TEST_F(JobsWaitTest, TheNextHolderIsNamed) {
  StartMounted(1);
  ASSERT_OK_AND_ASSIGN(const JobId id, jobs_->Submit(To(2)));
  EXPECT_EQ(AwaitWaiting(id).message, kWaiting);
  Volumes::Reservation first = std::move(mount_);
  Mount("/srv/b");
  first.Release();
  Await(id, [](const JobRecord& job) {
    return job.message == "waits for V00002: held by mount at /srv/b";
  });
  mount_.Release();
  ASSERT_OK_AND_ASSIGN(const JobRecord job, jobs_->Wait(id));
  EXPECT_EQ(job.state, JobState::kDone) << Story(job);
}

// A command that has the target for itself, as fsck and format do.
TEST_F(JobsWaitTest, AnotherCommandIsWaitedFor) {
  StartMounted(1);
  mount_.Release();
  ASSERT_OK_AND_ASSIGN(Volumes::Exclusion command,
                       volumes_->Exclude(volumes_->Find("V00002")));
  ASSERT_OK_AND_ASSIGN(const JobId id, jobs_->Submit(To(2)));
  EXPECT_EQ(AwaitWaiting(id).message,
            "waits for V00002: reserved by another command");
  command.Release();
  ASSERT_OK_AND_ASSIGN(const JobRecord job, jobs_->Wait(id));
  EXPECT_EQ(job.state, JobState::kDone) << Story(job);
}

// The target is mounted while the copy reads its source.
class MountedMeanwhileTest : public JobsWaitTest {
 protected:
  void StartAndWait() {
    job_options_.running = 1;
    job_options_.on_transition = [this](const JobRecord& job) {
      if (job.id == 2 && job.state == JobState::kStagingIn) {
        if (++staged_ == 1) Mount();
      }
      return Status::Ok();
    };
    StartMounted(1);
    mount_.Release();
    ASSERT_OK_AND_ASSIGN(id_, jobs_->Submit(To(2)));
    const JobRecord waiting = AwaitWaiting(id_);
    EXPECT_EQ(waiting.message, kWaiting);
    EXPECT_EQ(waiting.state, JobState::kLoadTarget);
  }
  std::atomic<int> staged_{0};
  JobId id_ = 0;
};

TEST_F(MountedMeanwhileTest, OthersRunAndItGoesOnWithWhatItHasRead) {
  StartAndWait();
  ASSERT_OK(Write("PRIM", "later", "x"));
  Copy(To(3));
  mount_.Release();
  ASSERT_OK_AND_ASSIGN(const JobRecord job, jobs_->Wait(id_));
  EXPECT_EQ(job.state, JobState::kDone) << Story(job);
  EXPECT_EQ(staged_, 1);
  SendAllHome();
  ExpectBackup(2, "PRIM", job);
  EXPECT_EQ(MediumNames(Content(2)).count("later"), 0u);
  ExpectSpoolEmpty();
  ExpectAllHome();
}

TEST_F(MountedMeanwhileTest, CancelGivesTheSpoolBack) {
  StartAndWait();
  ASSERT_OK(jobs_->Cancel(id_));
  ASSERT_OK_AND_ASSIGN(const JobRecord job, jobs_->Wait(id_));
  EXPECT_EQ(job.state, JobState::kCancelled);
  EXPECT_EQ(job.message, "cancelled while load-target");
  ExpectSpoolEmpty();
  ExpectAllHome();
}

TEST_F(MountedMeanwhileTest, AfterARestartItGoesOnFromTheSpool) {
  StartAndWait();
  jobs_->Shutdown();
  mount_.Release();
  Reopen();
  ASSERT_OK_AND_ASSIGN(const JobRecord job, jobs_->Wait(id_));
  EXPECT_EQ(job.state, JobState::kDone) << Story(job);
  EXPECT_EQ(staged_, 1);
  ExpectBackup(2, "PRIM", job);
}

// Who waited finds the job in the history.
TEST_F(JobsTest, AJobIsWaitedForUntilItsEndIsStored) {
  // Seen in the job's own thread: nobody is answered before the catalog has
  // the end.
  const auto answer = [this](JobId id) {
    std::stop_source stop;
    stop.request_stop();
    return jobs_->Wait(id, stop.get_token());
  };
  int ends = 0;
  job_options_.on_transition = [&](const JobRecord& job) {
    if (!JobEnded(job.state)) return Status::Ok();
    ++ends;
    EXPECT_THAT(answer(job.id), HasErrc(Errc::kInterrupted));
    const Result<std::string> row = catalog_->GetRow("job", JobKey(job.id));
    EXPECT_OK(row);
    if (!row.ok()) return Status::Ok();
    const Result<JobRecord> stored = DecodeJob(*row);
    EXPECT_OK(stored);
    if (stored.ok()) {
      EXPECT_EQ(stored->state, job.state);
    }
    return Status::Ok();
  };
  Start(1, 2);
  MakePrimary(1, "PRIM");
  ASSERT_OK_AND_ASSIGN(const JobRecord job, Run(Request("PRIM")));
  EXPECT_EQ(job.state, JobState::kDone) << Story(job);
  EXPECT_EQ(ends, 1);
  EXPECT_OK(answer(job.id));
}

}  // namespace
}  // namespace vellum
