// SPDX-License-Identifier: Apache-2.0
// As job_fault_test.cc, but an operation of a medium, a drive or the changer
// does not come back (label fault): who does not need that device is answered
// meanwhile, and when it comes back, nothing was lost.
#include <fmt/format.h>
#include <gtest/gtest.h>

#include <span>
#include <stop_token>
#include <string>
#include <vector>

#include "copy/history.h"
#include "copy/pool_book.h"
#include "copy/tracking.h"
#include "tests/copy/fault_sweep.h"

namespace vellum {
namespace {

Status AskJobs(FaultLab& lab) {
  for (const JobRecord& job : lab.jobs().List()) {
    RETURN_IF_ERROR(lab.jobs().Get(job.id).status());
  }
  return Status::Ok();
}

Status AskDevices(FaultLab& lab) {
  Library& library = *lab.archive().library;
  library.Drives();
  library.Queue();
  library.ElementStatuses();
  for (const MediumPlace& place : library.Media()) {
    RETURN_IF_ERROR(library.FindMedium(place.id).status());
  }
  return Status::Ok();
}

Status AskTables(FaultLab& lab) {
  const Archive archive = lab.archive();
  RETURN_IF_ERROR(ListPool(archive, {}).status());
  RETURN_IF_ERROR(ReadHistory(*archive.catalog).status());
  return TrackedPairs(archive).status();
}

// Names and attributes of all volumes, wherever their media are.
Status AskVolumes(FaultLab& lab) {
  for (const auto& volume : lab.volumes().List()) {
    lab.volumes().loaded(*volume);
    volume->record();
    volume->Space();
    if (volume->id() != "PRIM") continue;
    volume->GetAttr(volume->root())
        .status()
        .IgnoreError("its tree may be being replaced");
    volume->ReadDir(volume->root(), 0, [](const DirItem&) { return true; })
        .IgnoreError("its tree may be being replaced");
  }
  return Status::Ok();
}

// What is refused, and who does not want to wait any more.
Status AskForNothing(FaultLab& lab) {
  CopyRequest request;
  request.source = "NONE";
  const Result<JobId> refused = lab.jobs().Submit(request);
  if (!refused.status().Is(Errc::kNotFound)) {
    return Status(Errc::kInternal, "a copy of NONE was not refused");
  }
  const auto volume = lab.volumes().Find("PRIM");
  if (volume == nullptr) return Status::Ok();  // under promotion
  std::stop_source stop;
  stop.request_stop();
  lab.volumes()
      .Use(volume, stop.get_token())
      .status()
      .IgnoreError("only that it comes back");
  return Status::Ok();
}

// Data in another drive.
Status UseOther(FaultLab& lab) {
  const std::string content = ContentOfOther();
  ASSIGN_OR_RETURN(const VolumeUse use,
                   lab.volumes().Use(lab.volumes().Find(kOther)));
  ASSIGN_OR_RETURN(const Attr file, use->Lookup(use->root(), "file"));
  std::string read(content.size(), '\0');
  RETURN_IF_ERROR(
      use->Read(file.ino, 0, std::as_writable_bytes(std::span(read))).status());
  if (read != content) return Status(Errc::kCorruption, "OTHER's file differs");
  RETURN_IF_ERROR(lab.Put(kOther, "/file", content));
  return lab.volumes().SyncVolume(*use);
}

// Another job is queued, and cancelled there.
Status CancelAnother(FaultLab& lab) {
  ASSIGN_OR_RETURN(const JobId id, lab.jobs().SubmitCompare("PRIM", kOther));
  RETURN_IF_ERROR(lab.jobs().Cancel(id));
  ASSIGN_OR_RETURN(const JobRecord job, lab.jobs().Wait(id));
  if (job.state == JobState::kCancelled) return Status::Ok();
  return Status(Errc::kInternal, "it ended as " + job.message);
}

// Of the copies that know that they may have two drives, and one that takes
// one. A write-once medium cannot be another primary.
bool LeavesADrive(const FaultScenario& scenario) {
  return (scenario.lab.drives == 2 && !scenario.lab.write_once) ||
         scenario.name == "image copy";
}

std::vector<Question> AllQuestions(bool other) {
  std::vector<Question> all = {{"the jobs", AskJobs},
                               {"media and drives", AskDevices},
                               {"the tables", AskTables},
                               {"the volumes", AskVolumes},
                               {"nothing", AskForNothing}};
  if (other) {
    all.push_back({"another drive", UseOther});
    all.push_back({"another job", CancelAnother});
  }
  return all;
}

class HeldDeviceTest : public testing::TestWithParam<FaultScenario> {};

TEST_P(HeldDeviceTest, KeepsNobodyWaitingWhoDoesNotNeedIt) {
  using Device = FaultDevices::Device;
  const bool other = LeavesADrive(GetParam());
  const std::vector<Question> questions = AllQuestions(other);
  FaultSweep sweep(other ? WithOther(GetParam()) : GetParam());
  const uint64_t medium = sweep.HoldEverywhere(MediumHangs(), questions);
  const uint64_t changer =
      sweep.HoldEverywhere(DeviceHangs(Device::kChanger), questions);
  const uint64_t drive =
      sweep.HoldEverywhere(DeviceHangs(Device::kDrive), questions);
  fmt::print(
      "held operations: {}: {} medium, {} changer, {} drive; {} questions "
      "answered at each, {} jobs cancelled, {} violations\n",
      GetParam().name, medium, changer, drive, questions.size(),
      sweep.cancelled(), sweep.violations().size());
  EXPECT_EQ(medium > 0, GetParam().sites.medium);
  EXPECT_EQ(changer > 0, GetParam().sites.changer);
  EXPECT_EQ(drive > 0, GetParam().sites.drive);
  EXPECT_EQ(sweep.violations().size(), 0u) << sweep.violations()[0];
}

INSTANTIATE_TEST_SUITE_P(All, HeldDeviceTest,
                         testing::ValuesIn(FaultScenarios()), ScenarioTestName);

// The negative control: the data of the medium that hangs.
TEST(HeldSweepTest, WhoWaitsForTheDeviceIsNoticed) {
  FaultSweep sweep(ScenarioCalled("streaming copy"), /*quiet=*/true);
  sweep.HoldEverywhere(
      MediumHangs(),
      {{"the primary", [](FaultLab& lab) -> Status {
          const auto volume = lab.volumes().Find("PRIM");
          ASSIGN_OR_RETURN(const VolumeUse use, lab.volumes().Use(volume));
          ASSIGN_OR_RETURN(const Attr file, use->Lookup(use->root(), "a"));
          Bytes data(90'000);
          return use->Read(file.ino, 0, data).status();
        }}});
  ASSERT_FALSE(sweep.violations().empty());
  EXPECT_NE(sweep.violations()[0].find("the primary: waits"),
            std::string::npos);
}

}  // namespace
}  // namespace vellum
