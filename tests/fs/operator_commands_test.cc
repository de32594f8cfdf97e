// SPDX-License-Identifier: Apache-2.0
// The operator's commands and tables about pools, tracking and restores.
#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <string>

#include "tests/fs/service_fixture.h"

namespace vellum {
namespace {

using testing::HasSubstr;

class OperatorCommandsTest : public ServiceFixture {
 protected:
  JobRecord Done(const std::string& command) {
    const Result<JobRecord> job =
        service_->jobs().Wait(Run(command).value("job", JobId{0}));
    EXPECT_OK(job);
    if (!job.ok()) return {};
    EXPECT_EQ(job->state, JobState::kDone) << job->message;
    return *job;
  }
  // As by hand, while no daemon runs.
  void Swap(const std::string& out, const std::string& in) {
    tree_.reset();
    control_.reset();
    service_.reset();
    const std::string path = directory() + "/state/elements.json";
    Json state = Json::parse(ReadFileOrDie(path));
    Json kept = Json::array();
    Json slot;
    for (Json& element : state["elements"]) {
      if (element["volume_tag"] == out) slot = element;
    }
    for (Json& element : state["elements"]) {
      if (element["volume_tag"] == out) continue;
      if (element["volume_tag"] == in) {
        Json moved = slot;
        moved["volume_tag"] = in;
        element = moved;
      }
      kept.push_back(element);
    }
    state["elements"] = kept;
    WriteFileOrDie(path, state.dump());
    Start();
  }
};

TEST_F(OperatorCommandsTest, O6_SetCopyRangeIsShownAndSurvivesARestart) {
  EXPECT_THAT(service_->Execute("setcopyrange copy-start=4846 copy-end=4896"),
              MessageHas("1024 to 1029"));
  EXPECT_THAT(service_->Execute("setcopyrange copy-start=1025"),
              MessageHas("copy-end"));
  const Json set = Run("setcopyrange copy-start=1026 copy-end=1029");
  EXPECT_EQ(set["media"], 2);
  tree_.reset();
  control_.reset();
  service_.reset();
  Start();
  const Json pool = CatJson("pool.json");
  ASSERT_EQ(pool.size(), 2u) << pool.dump(1);
  EXPECT_EQ(pool[0]["slot"], 1026);
  EXPECT_EQ(pool[0]["label"], "--UNUSED--");
  EXPECT_EQ(pool[0]["state"], "unused");
  EXPECT_THAT(*Cat("pool"), HasSubstr("V00004"));
  ASSERT_EQ(CatJson("copies.json").size(), 2u);
}

TEST_F(OperatorCommandsTest, O6_PrimariesInTheRangeAreNotUnused) {
  Run("format V00001 name=VOL-A");
  const Json primary = RowOf(CatJson("pool.json"), "medium", "V00001");
  EXPECT_EQ(primary["state"], "unsuitable");
  EXPECT_TRUE(primary["label"].is_null());
  EXPECT_EQ(RowOf(CatJson("pool.json"), "medium", "V00002")["label"],
            "--UNUSED--");
}

TEST_F(OperatorCommandsTest, O16_ASwappedMediumIsAnAlertUntilItIsFreed) {
  Run("format V00001 name=VOL-A");
  Run("setcopyrange copy-start=1025 copy-end=1025");
  Done("copy VOL-A");
  Swap("V00002", "V00004");
  const Json alert = RowOf(CatJson("alerts.json"), "object", "slot 1025");
  EXPECT_THAT(alert.value("message", ""),
              HasSubstr("held V00002, a backup of VOL-A, of the copy pool and "
                        "holds V00004 now"));
  EXPECT_EQ(RowOf(CatJson("pool.json"), "medium", "V00002")["found"], "V00004");
  EXPECT_THAT(
      RowOf(CatJson("copies.json"), "medium", "V00002").value("error", ""),
      HasSubstr("SWAPPED: slot 1025 holds V00004"));
  const Json freed = Run("pool free 1025");
  EXPECT_EQ(freed["medium"], "V00004");
  for (const Json& row : CatJson("alerts.json")) {
    EXPECT_NE(row["object"], "slot 1025");
  }
  const Json pool = CatJson("pool.json");
  ASSERT_EQ(pool.size(), 1u);
  EXPECT_EQ(pool[0]["medium"], "V00004");
  EXPECT_EQ(pool[0]["state"], "unused");
}

TEST_F(OperatorCommandsTest, A5_DevicesTellFreeUsedAndTracked) {
  Run("format V00001 name=VOL-A");
  Done("backup VOL-A track=yes");
  Done("copy VOL-A to=V00003 track=no");
  const Json rows = CatJson("devices.json");
  EXPECT_EQ(RowOf(rows, "device", "V00001")["mode"], "Transaction");
  const Json tracked = RowOf(rows, "device", "V00002");
  EXPECT_EQ(tracked["mode"], "Backup (used)");
  EXPECT_EQ(tracked["tracked"], true);
  const Json used = RowOf(rows, "device", "V00003");
  EXPECT_EQ(used["mode"], "Backup (used)");
  EXPECT_EQ(used["tracked"], false);
  EXPECT_EQ(RowOf(rows, "device", "V00004")["mode"], "Backup (free)");
}

TEST_F(OperatorCommandsTest, A2_OnlyTrackedPairsAreListed) {
  Run("format V00001 name=VOL-A");
  Done("backup VOL-A track=yes");
  Json rows = CatJson("tracking.json");
  ASSERT_EQ(rows.size(), 1u);
  EXPECT_EQ(rows[0]["status"], "tracking");
  EXPECT_EQ(rows[0]["execute"], "----");
  EXPECT_GT(rows[0]["full_bytes"], 0);
  EXPECT_EQ(Run("track cancel VOL-A target=V00002")["tracked"], false);
  EXPECT_TRUE(CatJson("tracking.json").empty());
  EXPECT_THAT(service_->Execute("track delete VOL-A target=V00002"),
              HasErrc(Errc::kNotFound));
  EXPECT_EQ(Run("track start VOL-A target=V00002")["tracked"], true);
  EXPECT_EQ(CatJson("tracking.json").size(), 1u);
  EXPECT_THAT(service_->Execute("track stop VOL-A target=V00002"),
              MessageHas("track start|cancel|delete VOL target=COPY"));
}

TEST_F(OperatorCommandsTest, A7_TapeIsRefusedWithItsReason) {
  Run("format V00001 name=VOL-A");
  EXPECT_THAT(service_->Execute("backup VOL-A track=yes media=tape"),
              MessageHas("a tape is always written whole"));
  EXPECT_THAT(service_->Execute("backup VOL-A media=both"),
              HasErrc(Errc::kNotSupported));
  EXPECT_TRUE(service_->jobs().List().empty());
}

TEST_F(OperatorCommandsTest, A4_HistoryIsDeletedByItsNumber) {
  Run("format V00001 name=VOL-A");
  const JobRecord job = Done("backup VOL-A");
  const Json deleted = Run(fmt::format("history delete {}", job.id));
  EXPECT_EQ(deleted["freed"], true);
  EXPECT_EQ(deleted["medium"], "V00002");
  EXPECT_TRUE(CatJson("history.json").empty());
  EXPECT_EQ(RowOf(CatJson("copies.json"), "medium", "V00002")["label"],
            "--UNUSED--");
  EXPECT_THAT(service_->Execute("history delete x"),
              HasErrc(Errc::kInvalidArgument));
}

TEST_F(OperatorCommandsTest, A6_RestoreWantsToBeConfirmed) {
  Run("format V00001 name=VOL-A");
  Done("copy VOL-A");
  EXPECT_THAT(service_->Execute("restore VOL-A"), MessageHas("confirm=yes"));
  const JobRecord job = Done("restore VOL-A confirm=yes");
  EXPECT_EQ(job.request.target, "V00002");
  const Json row = CatJson("jobs.json")[1];
  EXPECT_EQ(row["kind"], "restore");
  EXPECT_TRUE(row["hook_exit"].is_null());
  EXPECT_THAT(row.value("message", ""),
              HasSubstr("VOL-A is restored from V00002"));
}

TEST_F(OperatorCommandsTest, O17_PromoteNamesTheRetiredOriginal) {
  Run("format V00001 name=VOL-A");
  Done("copy VOL-A");
  const Json promoted = Run("promote V00002");
  EXPECT_EQ(promoted["volume"], "VOL-A");
  EXPECT_EQ(promoted["medium"], "V00002");
  EXPECT_EQ(promoted["retired"], "VOL-A-OLD1");
  EXPECT_TRUE(promoted["problem"].is_null());
  EXPECT_EQ(Run("info VOL-A-OLD1")["medium"], "V00001");
}

TEST_F(OperatorCommandsTest, I6_BackupInfoReadsTheMediumWithoutACatalog) {
  Run("format V00001 name=VOL-A");
  const JobRecord first = Done("backup VOL-A track=yes");
  const JobRecord second = Done("backup VOL-A track=yes");
  tree_.reset();
  control_.reset();
  service_.reset();
  std::filesystem::remove_all(directory() + "/catalog");
  Start();
  ASSERT_TRUE(service_->volumes().List().empty());
  const Json info = Run("backup-info V00002");
  EXPECT_EQ(info["owner"], "VOL-A");
  EXPECT_EQ(info["role"], "backup");
  EXPECT_EQ(info["medium"], "V00002");
  EXPECT_EQ(info["generation"]["number"], second.generation.number);
  ASSERT_EQ(info["log"].size(), 2u) << info.dump(1);
  EXPECT_EQ(info["log"][0]["entry"]["job"], first.id);
  EXPECT_EQ(info["log"][0]["entry"]["success"], true);
  EXPECT_EQ(info["log"][1]["entry"]["method"], "incremental");
  // Times and generations as everywhere in the control tree: a lineage is more
  // than a JSON number can hold for many readers.
  for (const Json& line : info["log"]) {
    EXPECT_FALSE(line["entry"].contains("lineage"));
    for (const char* key : {"started", "ended"}) {
      ASSERT_TRUE(line["entry"][key].is_string()) << line.dump();
      EXPECT_EQ(line["entry"][key].get<std::string>().size(), 20u);
    }
    EXPECT_EQ(line["entry"]["ended"], line["time"]);
  }
  EXPECT_EQ(info["log"][1]["entry"]["generation"], info["generation"]);
  EXPECT_THAT(service_->Execute("backup-info 1027"),
              MessageHas("V00004"));  // blank
}

}  // namespace
}  // namespace vellum
