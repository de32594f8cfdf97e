// SPDX-License-Identifier: Apache-2.0
// Programs of the operator's before and after copies and restores.
#include <gmock/gmock.h>
#include <sys/stat.h>

#include <algorithm>
#include <csignal>

#include "copy/hook_program.h"
#include "tests/copy/jobs_fixture.h"

namespace vellum {
namespace {

using testing::HasSubstr;

class HooksTest : public JobsTest {
 protected:
  std::string Script(const std::string& name, const std::string& text) {
    const std::string path = dir_.Sub(name);
    WriteFileOrDie(path, "#!/bin/sh\n" + text + "\n");
    EXPECT_EQ(chmod(path.c_str(), 0755), 0);
    return path;
  }
  std::string Told() {
    const std::string path = dir_.Sub("told");
    return std::filesystem::exists(path) ? ReadFileOrDie(path) : "";
  }
};

TEST_F(HooksTest, A9_HooksRunAroundACopyAndAreToldAboutIt) {
  const std::string line =
      "echo $VELLUM_HOOK $VELLUM_LIBRARY $VELLUM_JOB $VELLUM_VOLUME "
      "$VELLUM_MODE $VELLUM_MEDIUM $VELLUM_BACKUP $VELLUM_RESULT "
      "$VELLUM_METHOD >> " +
      dir_.Sub("told");
  job_options_.hooks.before_copy = Script("before", line);
  job_options_.hooks.after_copy = Script("after", line);
  job_options_.library = "/lib";
  Start(1, 3);
  MakePrimary(1, "PRIM");
  const JobRecord job = Copy(Request("PRIM"));
  EXPECT_EQ(Told(),
            "before_copy /lib 1 PRIM image V00002\n"
            "after_copy /lib 1 PRIM image V00002 V00002 done full\n");
  EXPECT_TRUE(job.hook.empty());
  EXPECT_TRUE(Says(job, "hook before_copy"));
  // From the second copy on the backup has a name beforehand, too.
  Copy(Request("PRIM"));
  EXPECT_THAT(Told(),
              HasSubstr("before_copy /lib 2 PRIM image V00002 V00002\n"));
  // A comparison is no copy.
  ASSERT_OK_AND_ASSIGN(const JobId compare,
                       jobs_->SubmitCompare("PRIM", "V00002"));
  ASSERT_OK(jobs_->Wait(compare));
  const std::string told = Told();
  EXPECT_EQ(std::count(told.begin(), told.end(), '\n'), 4);
}

TEST_F(HooksTest, A9_AFailureBeforeStopsTheJobAndItsCodeIsPassedOn) {
  job_options_.hooks.before_copy = Script("before", "echo not now; exit 7");
  job_options_.hooks.after_copy =
      Script("after", "echo x >> " + dir_.Sub("told"));
  Start(1, 3);
  MakePrimary(1, "PRIM");
  SendAllHome();
  const size_t moves = fake_->moves();
  ASSERT_OK_AND_ASSIGN(const JobRecord job, Run(Request("PRIM")));
  EXPECT_EQ(job.state, JobState::kFailed);
  EXPECT_EQ(job.hook, "before_copy");
  EXPECT_EQ(job.hook_exit, 7);
  EXPECT_THAT(job.message, HasSubstr("ended with exit code 7: not now"));
  EXPECT_EQ(fake_->moves(), moves);
  EXPECT_EQ(Told(), "") << "what did not begin does not end";
  Reopen();
  EXPECT_EQ(jobs_->Get(job.id)->hook_exit, 7) << "it is stored";
}

TEST_F(HooksTest, A9_AFailureAfterIsToldThoughTheBackupIsComplete) {
  job_options_.hooks.after_copy = Script("after", "exit 9");
  Start(1, 3);
  MakePrimary(1, "PRIM");
  ASSERT_OK_AND_ASSIGN(const JobRecord job, Run(Request("PRIM")));
  EXPECT_EQ(job.state, JobState::kFailed);
  EXPECT_EQ(job.hook, "after_copy");
  EXPECT_EQ(job.hook_exit, 9);
  EXPECT_THAT(job.message, HasSubstr("is on V00002"));
  ExpectBackup(2, "PRIM", job);
}

TEST_F(HooksTest, A9_TheHookAfterRunsForAFailedJobToo) {
  job_options_.hooks.after_copy = Script(
      "after", "echo $VELLUM_RESULT $VELLUM_MESSAGE > " + dir_.Sub("told"));
  Start(1, 3);
  MakePrimary(1, "PRIM");
  SendAllHome();
  fake_->FailNextOpen(Tag(2), Errc::kDeviceError);
  ASSERT_OK_AND_ASSIGN(const JobRecord job, Run(Request("PRIM")));
  EXPECT_EQ(job.state, JobState::kFailed);
  EXPECT_EQ(job.hook_exit, 0);
  EXPECT_THAT(Told(), HasSubstr("failed "));
}

TEST_F(HooksTest, A9_TimeOutSignalAndMissingProgramHaveTheirCodes) {
  HookProgram hook;
  hook.name = "before_copy";
  hook.timeout = std::chrono::seconds(3);
  // A child of its own does not outlive it.
  hook.path =
      Script("slow", "sleep 60 & echo $! > " + dir_.Sub("told") + "; wait");
  HookOutcome outcome = RunHookProgram(hook);
  EXPECT_EQ(outcome.exit_code, 124);
  EXPECT_THAT(outcome.status, MessageHas("was killed after"));
  const pid_t child = std::stoi(Told());
  const auto deadline =
      std::chrono::steady_clock::now() + std::chrono::seconds(10);
  const auto gone = [child] {
    if (kill(child, 0) != 0) return true;
    // Nobody reaps it here: a zombie is gone, too.
    const std::string stat =
        ReadFileOrDie("/proc/" + std::to_string(child) + "/stat");
    return stat.find(") Z") != std::string::npos;
  };
  while (!gone() && std::chrono::steady_clock::now() < deadline) {
    std::this_thread::yield();
  }
  EXPECT_TRUE(gone());

  hook.timeout = std::chrono::seconds(30);
  hook.path = Script("killed", "kill -TERM $$");
  outcome = RunHookProgram(hook);
  EXPECT_EQ(outcome.exit_code, 128 + SIGTERM);
  hook.path = dir_.Sub("none");
  outcome = RunHookProgram(hook);
  EXPECT_EQ(outcome.exit_code, 126);
  EXPECT_THAT(outcome.status, MessageHas("cannot be run"));
  hook.path = Script("much",
                     "i=0; while [ $i -lt 3000 ]; do echo 0123456789; "
                     "i=$((i+1)); done; echo last; exit 3");
  outcome = RunHookProgram(hook);
  EXPECT_EQ(outcome.exit_code, 3);
  EXPECT_LE(outcome.output.size(), 4096u);
  EXPECT_THAT(outcome.status, MessageHas("exit code 3: last"));
  std::stop_source stop;
  stop.request_stop();
  hook.path = Script("stopped", "sleep 60");
  EXPECT_THAT(RunHookProgram(hook, stop.get_token()).status,
              HasErrc(Errc::kInterrupted));
}

}  // namespace
}  // namespace vellum
