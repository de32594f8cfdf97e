// SPDX-License-Identifier: Apache-2.0
// Copies and readers share the drives: nobody waits for ever, and nobody loses
// a drive in use.
#include <atomic>
#include <future>

#include "tests/copy/jobs_fixture.h"

namespace vellum {
namespace {

class JobsDrivesTest : public JobsTest {
 protected:
  // PRIM on V00001 and OTHER on the last medium, with a file "text".
  void StartWithReader(uint16_t drives) {
    Start(drives, 5);
    MakePrimary(1, "PRIM");
    Fill("PRIM", 30);
    MakePrimary(5, "OTHER");
    ASSERT_OK(Write("OTHER", "text", "to be read"));
    SendAllHome();
  }
  // In a thread of its own; asked for before this returns.
  std::future<std::string> ReadSoon(const std::string& volume) {
    const size_t before = volumes_->parked();
    auto result = std::async(std::launch::async, [this, volume] {
      return ReadFile(volume, "text");
    });
    while (volumes_->parked() == before &&
           result.wait_for(std::chrono::milliseconds(1)) !=
               std::future_status::ready) {
    }
    return result;
  }
  static bool Ready(const std::future<std::string>& result) {
    return result.wait_for(std::chrono::seconds(0)) ==
           std::future_status::ready;
  }
};

// One drive: who asks while the source is read into the spool gets the drive
// when that is done, before the target.
TEST_F(JobsDrivesTest, O1_ReaderIsServedBetweenTheHalvesOfAStagedCopy) {
  VolumeUse source;
  std::future<std::string> reader;
  bool early = true;
  bool served = false;
  job_options_.on_transition = [&](const JobRecord& job) {
    switch (job.state) {
      case JobState::kStagingIn: {
        // The source is in the drive, and stays there until it was staged.
        Result<VolumeUse> held = volumes_->Hold(volumes_->Find("PRIM"));
        EXPECT_OK(held);
        if (held.ok()) source = std::move(*held);
        reader = ReadSoon("OTHER");
        break;
      }
      case JobState::kLoadTarget:
        early = Ready(reader);
        source.Release();
        break;
      case JobState::kWriting:
        served = reader.wait_for(std::chrono::seconds(10)) ==
                 std::future_status::ready;
        break;
      default:
        break;
    }
    return Status::Ok();
  };
  StartWithReader(1);
  const JobRecord job = Copy(Request("PRIM"));
  EXPECT_FALSE(early);
  EXPECT_TRUE(served);
  EXPECT_EQ(reader.get(), "to be read");
  SendAllHome();
  ExpectBackup(2, "PRIM", job);
}

// The target of a copy is never taken away: who comes then is served after it.
TEST_F(JobsDrivesTest, ReaderWhoComesWhileTheTargetIsWrittenIsServedAfterIt) {
  std::future<std::string> reader;
  bool early = false;
  job_options_.on_transition = [&](const JobRecord& job) {
    if (job.state == JobState::kWriting) reader = ReadSoon("OTHER");
    if (job.state == JobState::kCommitting) early = Ready(reader);
    return Status::Ok();
  };
  StartWithReader(1);
  const JobRecord job = Copy(Request("PRIM"));
  EXPECT_FALSE(early);
  EXPECT_EQ(reader.get(), "to be read");
  SendAllHome();
  ExpectBackup(2, "PRIM", job);
}

// Readers of two volumes and a copy that needs the only drive twice.
TEST_F(JobsDrivesTest, CopyAndBusyReadersShareOneDrive) {
  std::atomic<int> steps{0};
  job_options_.on_transition = [&](const JobRecord&) {
    ++steps;
    return Status::Ok();
  };
  StartWithReader(1);
  ASSERT_OK(Write("PRIM", "text", "mine"));
  std::atomic<bool> ended{false};
  std::atomic<bool> stop{false};
  std::atomic<int> rounds{0};
  std::vector<std::thread> readers;
  for (const auto& [volume, text] :
       {std::pair("OTHER", "to be read"), std::pair("PRIM", "mine")}) {
    readers.emplace_back([&, volume = volume, text = text] {
      while (!stop) {
        const int before = steps;
        EXPECT_EQ(ReadFile(volume, "text"), text);
        ++rounds;
        // Somebody who reads without a pause keeps the drive for the 30 s that
        // a copy needs to come of age: each step of it is given a chance.
        while (steps == before && !ended) {
          std::this_thread::sleep_for(std::chrono::milliseconds(1));
        }
      }
    });
  }
  const JobRecord job = Copy(Request("PRIM"));
  const int during = rounds;
  ended = true;
  Await(job.id, [&](const JobRecord&) { return rounds > during + 4; });
  stop = true;
  for (std::thread& reader : readers) reader.join();
  EXPECT_GT(during, 0);
  SendAllHome();
  ExpectBackup(2, "PRIM", job);
}

TEST_F(JobsDrivesTest, O4_OtherDriveServesDuringAStagedCopy) {
  std::vector<std::string> read;
  job_options_.on_transition = [&](const JobRecord& job) {
    if (job.state == JobState::kWriting || job.state == JobState::kVerifying) {
      EXPECT_OK(Write("OTHER", "text", JobStateName(job.state)));
      read.push_back(ReadFile("OTHER", "text"));
    }
    return Status::Ok();
  };
  StartWithReader(2);
  const JobRecord job = Copy(Request("PRIM"));
  EXPECT_EQ(read, (std::vector<std::string>{"writing", "verifying"}));
  SendAllHome();
  ExpectBackup(2, "PRIM", job);
}

TEST_F(JobsDrivesTest, O4_ThirdDriveServesDuringAStreamingCopy) {
  std::string read;
  std::vector<std::string> owned;
  job_options_.on_transition = [&](const JobRecord& job) {
    if (job.state != JobState::kVerifying) return Status::Ok();
    // Both of the copy's drives are its own, and stay so.
    EXPECT_OK(Write("OTHER", "text", "while it is copied"));
    read = ReadFile("OTHER", "text");
    for (const DriveState& drive : library_->Drives()) {
      for (const std::string& owner : drive.owners) {
        if (owner == "job 1") owned.push_back(drive.medium);
      }
    }
    return Status::Ok();
  };
  StartWithReader(3);
  const JobRecord job = Copy(Request("PRIM", CopyMode::kStreaming));
  EXPECT_EQ(read, "while it is copied");
  EXPECT_EQ(std::set<std::string>(owned.begin(), owned.end()),
            (std::set<std::string>{Tag(1), Tag(2)}));
  SendAllHome();
  ExpectBackup(2, "PRIM", job);
  EXPECT_EQ(Difference(1, 2), "");
}

// Two jobs that need two drives each: with two or three drives only one of them
// can run, and neither may sit on one drive and wait for another.
class TwoStreamsTest : public JobsDrivesTest,
                       public testing::WithParamInterface<uint16_t> {};

TEST_P(TwoStreamsTest, DoNotDeadlock) {
  StartWithReader(GetParam());
  Fill("OTHER", 31);
  for (int round = 0; round < 3; ++round) {
    // Each source in a drive of its own, or none of them.
    if (round == 1) SendAllHome();
    if (round == 2) {
      ReadFile("PRIM", "file1");
      ReadFile("OTHER", "file1");
    }
    fake_->HoldMoves(true);
    CopyRequest one = Request("PRIM", CopyMode::kStreaming);
    one.target = Tag(2);
    CopyRequest two = Request("OTHER", CopyMode::kStreaming);
    two.target = Tag(3);
    ASSERT_OK_AND_ASSIGN(const JobId a, jobs_->Submit(one));
    ASSERT_OK_AND_ASSIGN(const JobId b, jobs_->Submit(two));
    fake_->AwaitHeldMove();
    fake_->HoldMoves(false);
    for (const JobId id : {a, b}) {
      const JobRecord job =
          Await(id, [](const JobRecord& j) { return JobEnded(j.state); });
      EXPECT_EQ(job.state, JobState::kDone) << Story(job);
    }
  }
  SendAllHome();
  ExpectAllHome();
}

// The same with jobs of every kind that needs two media at once.
TEST_P(TwoStreamsTest, RestoresComparesAndCopiesDoNotDeadlock) {
  StartWithReader(GetParam());
  Fill("OTHER", 31);
  const std::pair<const char*, int> targets[] = {{"PRIM", 2}, {"OTHER", 3}};
  for (const auto& [volume, medium] : targets) {
    CopyRequest request = Request(volume, CopyMode::kStreaming);
    request.target = Tag(medium);
    Copy(request);
  }
  for (int round = 0; round < 3; ++round) {
    if (round == 1) SendAllHome();
    if (round == 2) {
      ReadFile("PRIM", "file1");
      ReadFile("OTHER", "file1");
    }
    fake_->HoldMoves(true);
    CopyRequest copy = Request("OTHER", CopyMode::kStreaming);
    copy.target = Tag(3);
    ASSERT_OK_AND_ASSIGN(const JobId restored,
                         jobs_->SubmitRestore("PRIM", Tag(2)));
    ASSERT_OK_AND_ASSIGN(const JobId compared,
                         jobs_->SubmitCompare("OTHER", Tag(3)));
    ASSERT_OK_AND_ASSIGN(const JobId copied, jobs_->Submit(copy));
    fake_->AwaitHeldMove();
    fake_->HoldMoves(false);
    for (const JobId id : {restored, compared, copied}) {
      const JobRecord job =
          Await(id, [](const JobRecord& j) { return JobEnded(j.state); });
      EXPECT_EQ(job.state, JobState::kDone) << Story(job);
    }
  }
  EXPECT_EQ(ReadFile("PRIM", "file3").size(), 1000u + 3 * 45'000);
  SendAllHome();
  ExpectAllHome();
}

INSTANTIATE_TEST_SUITE_P(Drives, TwoStreamsTest,
                         testing::Values(uint16_t{2}, uint16_t{3}));

// Both drives are held by others: the copy waits for both, holding neither.
TEST_F(JobsDrivesTest, WaitingForDrivesIsCancelled) {
  StartWithReader(2);
  ASSERT_OK_AND_ASSIGN(VolumeUse one, volumes_->Hold(volumes_->Find("PRIM")));
  ASSERT_OK_AND_ASSIGN(VolumeUse two, volumes_->Hold(volumes_->Find("OTHER")));
  CopyRequest request = Request("PRIM", CopyMode::kStreaming);
  ASSERT_OK_AND_ASSIGN(const JobId id, jobs_->Submit(request));
  Await(id, [this](const JobRecord& job) {
    return job.state == JobState::kStreaming && library_->WaitingRequests() > 0;
  });
  request.target = Tag(3);
  ASSERT_OK_AND_ASSIGN(const JobId queued, jobs_->Submit(request));
  ASSERT_OK(jobs_->Cancel(queued));
  ASSERT_OK(jobs_->Cancel(id));
  for (const JobId each : {id, queued}) {
    ASSERT_OK_AND_ASSIGN(const JobRecord job, jobs_->Wait(each));
    EXPECT_EQ(job.state, JobState::kCancelled) << Story(job);
  }
  EXPECT_EQ(library_->WaitingRequests(), 0u);
  // The daemon's end does not wait for drives either.
  ASSERT_OK_AND_ASSIGN(const JobId left, jobs_->Submit(request));
  Await(left, [this](const JobRecord& job) {
    return job.state == JobState::kStreaming && library_->WaitingRequests() > 0;
  });
  jobs_->Shutdown();
  EXPECT_EQ(library_->WaitingRequests(), 0u);
}

// The robot hangs with everything waiting for it: jobs that run, jobs in the
// queue, readers.
TEST_F(JobsDrivesTest, EverythingThatWaitsForTheRobotIsCancelled) {
  StartWithReader(2);
  fake_->HoldMoves(true);
  std::vector<JobId> ids;
  for (const char* source : {"PRIM", "OTHER", "PRIM"}) {
    for (const CopyMode mode : {CopyMode::kImage, CopyMode::kStreaming}) {
      ASSERT_OK_AND_ASSIGN(const JobId id,
                           jobs_->Submit(Request(source, mode)));
      ids.push_back(id);
    }
  }
  fake_->AwaitHeldMove();
  std::stop_source stop;
  auto reader = std::async(std::launch::async, [this, &stop] {
    return volumes_->Use(volumes_->Find("OTHER"), stop.get_token()).status();
  });
  for (const JobId id : ids) EXPECT_OK(jobs_->Cancel(id));
  stop.request_stop();
  EXPECT_THAT(reader.get(), HasErrc(Errc::kInterrupted));
  for (const JobId id : ids) {
    ASSERT_OK_AND_ASSIGN(const JobRecord job, jobs_->Get(id));
    EXPECT_TRUE(job.cancel_requested);
  }
  fake_->HoldMoves(false);
  for (const JobId id : ids) {
    // Its image goes when its end is stored.
    ASSERT_OK_AND_ASSIGN(const JobRecord job, jobs_->Wait(id));
    EXPECT_EQ(job.state, JobState::kCancelled) << Story(job);
  }
  ExpectSpoolEmpty();
  // What jobs had asked for is home; the reader's medium may be in its drive.
  for (int n = 1; n <= 4; ++n) {
    EXPECT_EQ(fake_->WhereIs(Tag(n)).value, 1023 + n);
  }
}

}  // namespace
}  // namespace vellum
