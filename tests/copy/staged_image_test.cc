// SPDX-License-Identifier: Apache-2.0
// What becomes of the image that a job has staged in the spool.
#include <fmt/format.h>
#include <gtest/gtest.h>

#include <functional>
#include <memory>
#include <string>

#include "tests/copy/fault_scenarios.h"
#include "tests/support/status_matchers.h"

namespace vellum {
namespace {

constexpr const char* kGoesOn = "goes on from the complete image in the spool";

// Cuts the power at each write and flush of the media. Where `given_up` says
// that the target is not what it was, the next session must still have the
// image: all that was not synced is gone. Answers how often.
int CutWhereTheTargetIsGivenUp(const std::string& scenario_name,
                               const std::function<bool(FaultLab&)>& given_up) {
  FaultScenario scenario = ScenarioCalled(scenario_name);
  Result<std::unique_ptr<FaultLab>> made = MakeLab(&scenario);
  EXPECT_OK(made);
  if (!made.ok()) return 0;
  FaultLab& lab = **made;
  int cuts = 0;
  for (uint64_t n = 1; !testing::Test::HasFailure(); ++n) {
    SCOPED_TRACE(fmt::format("{}, I/O {} of the media", scenario_name, n));
    lab.GoToStart();
    EXPECT_OK(lab.Open());
    lab.media().At(n, std::nullopt, FaultMedia::Act::kCut);
    const Status status = scenario.run(lab);
    if (lab.power()) {
      EXPECT_OK(status);
      lab.Close();
      break;
    }
    lab.Die(LabDeath::kKept, 2 * n + 1);
    const bool needed = given_up(lab);
    EXPECT_OK(lab.Open());
    EXPECT_OK(lab.FinishAll());
    if (needed) {
      ++cuts;
      EXPECT_NE(lab.log().find(kGoesOn), std::string::npos) << lab.log();
    }
    lab.Close();
  }
  return cuts;
}

TEST(StagedImageTest, X2_IsOnTheDiskBeforeADiscIsWritten) {
  EXPECT_GT(CutWhereTheTargetIsGivenUp("staged write-once copy",
                                       [](FaultLab& lab) {
                                         return lab.written("V00002") !=
                                                WrittenState::kBlank;
                                       }),
            0);
}

TEST(StagedImageTest, X2_IsOnTheDiskBeforeAPrimaryIsOverwritten) {
  EXPECT_GT(
      CutWhereTheTargetIsGivenUp(
          "staged restore",
          [](FaultLab& lab) {
            const auto medium = lab.content("V00001").Clone();
            const Result<udf::ControlSlot> slot = udf::ReadControlSlot(*medium);
            return slot.ok() && slot->state == udf::SlotState::kIncomplete;
          }),
      0);
}

// A job that has failed and whose end nobody knows is taken up again.
TEST(StagedImageTest, X2_IsKeptUntilTheEndOfItsJobIsStored) {
  FaultScenario scenario = ScenarioCalled("staged restore");
  ASSERT_OK_AND_ASSIGN(const std::unique_ptr<FaultLab> made,
                       MakeLab(&scenario));
  FaultLab& lab = *made;
  int taken_up = 0;
  for (uint64_t n = 1; !HasFailure(); ++n) {
    SCOPED_TRACE(fmt::format("write or sync {} of the catalog", n));
    lab.GoToStart();
    bool armed = false;
    lab.OnTransition([&](const JobRecord& job) {
      if (job.state == JobState::kWriting && !armed) {
        armed = true;
        lab.media().At(1, FaultPlan::Op::kWrite, FaultMedia::Act::kFail);
        lab.catalog_disk().CutPowerAt(n);
      }
      return Status::Ok();
    });
    ASSERT_OK(lab.Open());
    EXPECT_FALSE(scenario.run(lab).ok());
    const bool power = lab.power();
    lab.Die(LabDeath::kKept, n);
    lab.OnTransition(nullptr);
    ASSERT_OK(lab.Open());
    bool ended = true;
    for (const JobRecord& job : lab.jobs().List()) {
      ended = ended && JobEnded(job.state);
    }
    EXPECT_OK(lab.FinishAll());
    if (!ended) {
      ++taken_up;
      EXPECT_NE(lab.log().find(kGoesOn), std::string::npos) << lab.log();
    }
    EXPECT_EQ(lab.FindLeaks(), "");
    lab.Close();
    if (power) break;
  }
  EXPECT_GT(taken_up, 1);
}

// What it takes is the room that the disk wants for.
TEST(StagedImageTest, O2_IsNotKeptWhereTheDiskIsFull) {
  FaultScenario scenario = ScenarioCalled("image copy");
  ASSERT_OK_AND_ASSIGN(const std::unique_ptr<FaultLab> lab, MakeLab(&scenario));
  lab->GoToStart();
  lab->OnTransition([&lab](const JobRecord& job) {
    if (job.state == JobState::kWriting) lab->catalog_disk().SetFreeSpace(0);
    return Status::Ok();
  });
  ASSERT_OK(lab->Open());
  const Status full = scenario.run(*lab);
  EXPECT_THAT(full, HasErrc(Errc::kNoSpace));
  lab->catalog_disk().SetFreeSpace(UINT64_MAX);
  EXPECT_EQ(lab->FindLeaks(), "");
  lab->Close();
  lab->OnTransition(nullptr);
  // Its end could not be stored: it is taken up, and stages it once more.
  ASSERT_OK(lab->Open());
  EXPECT_OK(lab->FinishAll());
  EXPECT_EQ(lab->log().find(kGoesOn), std::string::npos) << lab->log();
  EXPECT_EQ(lab->FindLeaks(), "");
  lab->Close();
}

}  // namespace
}  // namespace vellum
