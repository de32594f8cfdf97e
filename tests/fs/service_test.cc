// SPDX-License-Identifier: Apache-2.0
// Commands and tables, without a mount.
#include "fs/service.h"

#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/resource.h>

#include <algorithm>
#include <csignal>
#include <filesystem>
#include <fstream>
#include <regex>
#include <set>
#include <sstream>
#include <string>
#include <thread>

#include "fs/commands.h"
#include "fs/tables.h"
#include "tests/fs/service_fixture.h"

namespace vellum {
namespace {

using testing::HasSubstr;

class ServiceTest : public ServiceFixture {};

TEST_F(ServiceTest, CopyOntoAMountedBackupSaysForWhomItWaits) {
  Run("format V00001 name=VOL-A");
  ASSERT_OK(service_->jobs().Wait(Run("copy VOL-A to=V00002")["job"]));
  ASSERT_OK_AND_ASSIGN(
      Volumes::Reservation mount,
      service_->volumes().Reserve(service_->volumes().Find("V00002"),
                                  "mount at /srv/a"));
  const JobId id = Run("copy VOL-A to=V00002")["job"];
  const std::string dir = "jobs/" + std::to_string(id);
  const std::string waits = "waits for V00002: held by mount at /srv/a";
  while (*Cat(dir + "/status") == "queued\n") std::this_thread::yield();
  EXPECT_EQ(*Cat(dir + "/status"), "queued\n" + waits + "\n");
  EXPECT_EQ(RowOf(CatJson("jobs.json"), "state", "queued")["message"], waits);
  EXPECT_THAT(*Cat("jobs.txt"), HasSubstr(waits));
  EXPECT_THAT(*Cat("volumes/VOL-A/copy"), HasSubstr(waits));
  mount.Release();
  ASSERT_OK_AND_ASSIGN(const JobRecord done, service_->jobs().Wait(id));
  EXPECT_EQ(done.state, JobState::kDone) << done.message;
}

TEST_F(ServiceTest, UnknownCommandsAndOptionsAreNamed) {
  EXPECT_THAT(service_->Execute("fromat V00001"),
              MessageHas("unknown command \"fromat\""));
  EXPECT_THAT(service_->Execute("info VOL x=1"),
              MessageHas("unknown option \"x\""));
  EXPECT_THAT(service_->Execute("copy VOL mode=tape"),
              MessageHas("image, streaming, incremental"));
  EXPECT_THAT(service_->Execute("info NOPE"), HasErrc(Errc::kNotFound));
  EXPECT_THAT(service_->Execute("move 1 x"), HasErrc(Errc::kInvalidArgument));
  EXPECT_THAT(service_->Execute("mount VOL dir=relative"),
              HasErrc(Errc::kInvalidArgument));
  EXPECT_THAT(service_->Execute("shutdown"), HasErrc(Errc::kNotSupported));
}

TEST_F(ServiceTest, AnswersAreJson) {
  EXPECT_EQ(AnswerText(Json{{"job", 7}}),
            "{\"ok\":true,\"result\":{\"job\":7}}\n");
  EXPECT_EQ(AnswerText(Error{Errc::kNoSpace, "full"}),
            "{\"ok\":false,\"error\":{\"code\":\"NO_SPACE\",\"errno\":"
            "\"ENOSPC\",\"message\":\"full\"}}\n");
}

TEST_F(ServiceTest, FormatMakesAVolumeThatTheTablesShow) {
  const Json info = Run("format V00001 name=VOL-A threshold=80 uid=7 gid=8");
  EXPECT_EQ(info["volume"], "VOL-A");
  EXPECT_EQ(info["role"], "primary");
  EXPECT_EQ(info["threshold"], 80);
  EXPECT_EQ(info["medium"], "V00001");
  EXPECT_EQ(Run("info VOL-A")["capacity_bytes"], kCapacity);

  const Json row = RowOf(CatJson("media.json"), "medium", "V00001");
  EXPECT_EQ(row["volume"], "VOL-A");
  EXPECT_EQ(row["role"], "primary");
  EXPECT_GT(row["free_bytes"], 0);
  EXPECT_EQ(RowOf(CatJson("media.json"), "medium", "V00002")["volume"],
            nullptr);
  const ShownVolumePtr shown = tree_->FindByName("VOL-A");
  ASSERT_TRUE(shown);
  ASSERT_OK_AND_ASSIGN(const Attr root,
                       tree_->GetAttr(*shown, shown->volume->root()));
  EXPECT_EQ(root.attr.uid, 7u);
  EXPECT_EQ(root.attr.gid, 8u);
}

TEST_F(ServiceTest, FormatRefusesWhatWouldBeLost) {
  Run("format V00001 name=VOL-A");
  EXPECT_THAT(service_->Execute("format V00001 name=VOL-B"),
              HasErrc(Errc::kExists));
  EXPECT_THAT(service_->Execute("format V00002 name=VOL-A"),
              HasErrc(Errc::kExists));
  EXPECT_THAT(service_->Execute("format V00002 name=lower"),
              HasErrc(Errc::kInvalidArgument));
  EXPECT_THAT(service_->Execute("format NOTAG name=VOL-C"),
              HasErrc(Errc::kNotFound));
  Run("format V00001 name=VOL-B clear=yes");
  EXPECT_FALSE(tree_->FindByName("VOL-A"));
  EXPECT_TRUE(tree_->FindByName("VOL-B"));
}

TEST_F(ServiceTest, I5_ThresholdOfAPrimaryOnly) {
  Run("format V00001 name=VOL-A");
  Run("format V00002 name=BACK role=backup");
  EXPECT_EQ(Run("threshold VOL-A 50")["threshold"], 50);
  EXPECT_EQ(*Cat("volumes/VOL-A/threshold"), "50\n");
  EXPECT_THAT(service_->Execute("threshold VOL-A 0"),
              HasErrc(Errc::kInvalidArgument));
  EXPECT_THAT(service_->Execute("threshold VOL-A 101"),
              HasErrc(Errc::kInvalidArgument));
  EXPECT_THAT(service_->Execute("threshold BACK 50"),
              HasErrc(Errc::kNotPermitted));
  EXPECT_THAT(service_->Execute("format V00003 name=B3 role=backup "
                                "threshold=50"),
              HasErrc(Errc::kInvalidArgument));
}

TEST_F(ServiceTest, CopyMakesABackupAndTracksIt) {
  Run("format V00001 name=VOL-A");
  const Json job = Run("copy VOL-A to=V00002");
  const JobId id = job["job"];
  ASSERT_OK_AND_ASSIGN(const JobRecord done, service_->jobs().Wait(id));
  ASSERT_EQ(done.state, JobState::kDone) << done.message;

  const Json row = RowOf(CatJson("copies.json"), "medium", "V00002");
  EXPECT_EQ(row["label"], "VOL-A");
  EXPECT_EQ(row["backup_state"], "complete");
  EXPECT_EQ(RowOf(CatJson("copies.json"), "medium", "V00003")["label"],
            "--UNUSED--");
  const Json tracking = CatJson("tracking.json");
  ASSERT_EQ(tracking.size(), 1u) << tracking.dump(1);
  EXPECT_EQ(tracking[0]["transaction_disk"], "VOL-A");
  EXPECT_EQ(tracking[0]["status"], "tracking");
  EXPECT_EQ(tracking[0]["execute"], "----");

  const std::string dir = "jobs/" + std::to_string(id);
  EXPECT_THAT(*Cat(dir + "/status"), HasSubstr("done\n"));
  EXPECT_THAT(*Cat(dir + "/progress"), HasSubstr("percent"));
  EXPECT_FALSE(Cat(dir + "/log")->empty());
  EXPECT_EQ(*Cat(dir + "/cancel"), "0\n");
  EXPECT_THAT(service_->Execute("cancel " + std::to_string(id)),
              HasErrc(Errc::kBusy));
  EXPECT_EQ(CatJson("jobs.json")[0]["state"], "done");
  EXPECT_EQ(CatJson("history.json")[0]["result"], "done");
  EXPECT_THAT(*Cat("volumes/VOL-A/history"), HasSubstr("done"));

  const Json compare = Run("compare VOL-A " + done.target_volume);
  ASSERT_OK_AND_ASSIGN(const JobRecord same,
                       service_->jobs().Wait(compare["job"]));
  EXPECT_EQ(same.state, JobState::kDone) << same.message;
  const Json rows = CatJson("jobs.json");
  EXPECT_TRUE(rows[0]["regions_compared"].is_null());
  EXPECT_GT(rows[1]["regions_compared"], 0);
  EXPECT_EQ(rows[1]["regions_changed"], 0);
}

TEST_F(ServiceTest, O11_WhatIsNoGoodBackupIsMarked) {
  Run("format V00001 name=VOL-A");
  ASSERT_OK(service_->jobs().Wait(Run("copy VOL-A to=V00002")["job"]));
  EXPECT_TRUE(
      RowOf(CatJson("copies.json"), "medium", "V00002")["error"].is_null());
  // As after a copy that was broken off.
  VolumeRecord record = service_->volumes().Find("V00002")->record();
  record.state = udf::SlotState::kIncomplete;
  ASSERT_OK(service_->volumes().Put(record));
  EXPECT_EQ(RowOf(CatJson("copies.json"), "medium", "V00002")["error"],
            "INCOMPLETE");
  EXPECT_THAT(*Cat("copies"), HasSubstr("INCOMPLETE"));
  Run("format V00003 name=VAULT role=backup");
  EXPECT_EQ(RowOf(CatJson("copies.json"), "medium", "V00003")["error"],
            "FORMATTED");
}

TEST_F(ServiceTest, O11_ForeignMediaAreNoUnusedOnes) {
  Run("format V00001 name=VOL-A");
  std::fstream image(directory() + "/media/V00003.img",
                     std::ios::in | std::ios::out | std::ios::binary);
  image.seekp(16 * kSectorSize);
  image << "some other file system";
  image.close();
  ASSERT_TRUE(image.good());
  EXPECT_EQ(RowOf(CatJson("copies.json"), "medium", "V00003")["label"],
            "--UNUSED--");
  const Json found = Run("inventory all=yes");
  ASSERT_EQ(RowOf(found, "medium", "V00003")["found"], "foreign");
  EXPECT_EQ(RowOf(CatJson("copies.json"), "medium", "V00003")["label"],
            "FOREIGN");
  EXPECT_EQ(RowOf(CatJson("media.json"), "medium", "V00003")["volume_state"],
            "FOREIGN");
  EXPECT_TRUE(RowOf(CatJson("media.json"), "medium", "V00004")["volume_state"]
                  .is_null());
  EXPECT_EQ(RowOf(CatJson("copies.json"), "medium", "V00004")["label"],
            "--UNUSED--");
  EXPECT_THAT(service_->Execute("copy VOL-A to=V00003"),
              HasErrc(Errc::kExists));
}

TEST_F(ServiceTest, O11_TwoMediaWithOneVolumeAreAnAlert) {
  Run("format V00001 name=VOL-A");
  Run("sync");
  const std::string media = directory() + "/media/";
  std::filesystem::copy_file(media + "V00001.img", media + "V00003.img",
                             std::filesystem::copy_options::overwrite_existing);
  Run("inventory all=yes");
  const Json alert = RowOf(CatJson("alerts.json"), "object", "medium V00003");
  EXPECT_THAT(alert.value("message", ""),
              HasSubstr("media V00001 and V00003 both carry a volume VOL-A"));
  EXPECT_EQ(RowOf(CatJson("media.json"), "medium", "V00003")["volume_state"],
            "DUPLICATE");
  EXPECT_EQ(RowOf(CatJson("copies.json"), "medium", "V00003")["label"],
            "DUPLICATE");
  // Once it holds something else, nothing is said any more.
  Run("format V00003 name=VOL-B clear=yes");
  for (const Json& row : CatJson("alerts.json")) {
    EXPECT_NE(row["object"], "medium V00003");
  }
}

TEST_F(ServiceTest, JobsThatFailSayWhyInTheirLog) {
  Run("format V00001 name=VOL-A");
  Run("format V00002 name=VOL-B");
  const JobId id = Run("compare VOL-A VOL-B")["job"];
  ASSERT_OK_AND_ASSIGN(const JobRecord job, service_->jobs().Wait(id));
  ASSERT_EQ(job.state, JobState::kFailed);
  EXPECT_THAT(*Cat(fmt::format("jobs/{}/log", id)), HasSubstr(job.message));
  const Json row = CatJson("jobs.json").back();
  EXPECT_TRUE(row["mode"].is_null()) << row;
  EXPECT_TRUE(row["policy"].is_null()) << row;
}

TEST_F(ServiceTest, V3_ABackupThatDiffersIsAnAlertAndAnError) {
  Run("format V00001 name=VOL-A");
  const std::string text(100'000, 'n');
  {
    ASSERT_OK_AND_ASSIGN(
        const VolumeUse use,
        service_->volumes().Use(service_->volumes().Find("VOL-A")));
    ASSERT_OK_AND_ASSIGN(const Attr file,
                         use->Create(use->root(), "file", NewInode()));
    ASSERT_OK(use->Write(file.ino, 0,
                         std::as_bytes(std::span(text.data(), 100'000))));
  }
  ASSERT_OK(service_->jobs().Wait(Run("copy VOL-A to=V00002")["job"]));
  EXPECT_TRUE(
      RowOf(CatJson("copies.json"), "backup", "V00002")["error"].is_null());
  std::fstream image(directory() + "/media/V00002.img",
                     std::ios::in | std::ios::out | std::ios::binary);
  std::string content(kCapacity, '\0');
  image.read(content.data(), kCapacity);
  const size_t at = content.find(text);
  ASSERT_NE(at, std::string::npos);
  image.seekp(static_cast<std::streamoff>(at + 50'000));
  image << "BAD!";
  image.close();
  ASSERT_OK(service_->jobs().Wait(Run("compare VOL-A V00002")["job"]));
  const std::string told = "VOL-A and V00002 differ in 1 of";
  EXPECT_THAT(
      RowOf(CatJson("copies.json"), "backup", "V00002").value("error", ""),
      HasSubstr("DAMAGED: " + told));
  EXPECT_THAT(RowOf(CatJson("alerts.json"), "object", "volume V00002")
                  .value("message", ""),
              HasSubstr(told));
  ASSERT_OK(service_->jobs().Wait(Run("copy VOL-A to=V00002")["job"]));
  EXPECT_TRUE(
      RowOf(CatJson("copies.json"), "backup", "V00002")["error"].is_null());
}

TEST_F(ServiceTest, V5_APolicyIsForIncrementalCopies) {
  Run("format V00001 name=VOL-A");
  for (const char* policy : {"optional", "minicopy", "full"}) {
    const Result<Json> refused = service_->Execute(
        fmt::format("copy VOL-A mode=image policy={}", policy));
    EXPECT_THAT(refused, HasErrc(Errc::kInvalidArgument));
    EXPECT_THAT(refused, MessageHas("a policy is for mode=incremental"));
  }
  EXPECT_THAT(service_->Execute("copy VOL-A mode=incremental whole=yes"),
              HasErrc(Errc::kInvalidArgument));
}

TEST_F(ServiceTest, FsckInventoryMoveAndSync) {
  Run("format V00001 name=VOL-A");
  const Json report = Run("fsck VOL-A data=yes");
  EXPECT_EQ(report["clean"], true);
  EXPECT_EQ(report["volume"], "VOL-A");
  // V00004 is in slot 1027; 1029 is empty.
  Run("move 1027 1029");
  EXPECT_EQ(RowOf(CatJson("media.json"), "medium", "V00004")["element"], 1029);
  EXPECT_THAT(service_->Execute("move 1027 1028"), HasErrc(Errc::kNoMedium));
  EXPECT_THAT(service_->Execute("move V00004 1025"), HasErrc(Errc::kExists));
  const Json media = Run("inventory all=yes");
  EXPECT_EQ(RowOf(media, "medium", "V00001")["found"], "VOL-A");
  EXPECT_EQ(RowOf(media, "medium", "V00002")["found"], "blank");
  Run("sync");
  EXPECT_EQ(Run("sync VOL-A")["volume"], "VOL-A");
}

// No file grows, or is written to, beyond that many bytes while this lives.
class FileSizeLimit {
 public:
  explicit FileSizeLimit(rlim_t bytes) {
    signal(SIGXFSZ, SIG_IGN);  // EFBIG instead
    EXPECT_EQ(getrlimit(RLIMIT_FSIZE, &before_), 0);
    const rlimit limit{bytes, before_.rlim_max};
    EXPECT_EQ(setrlimit(RLIMIT_FSIZE, &limit), 0);
  }
  ~FileSizeLimit() {
    EXPECT_EQ(setrlimit(RLIMIT_FSIZE, &before_), 0);
    signal(SIGXFSZ, SIG_DFL);
  }
  FileSizeLimit(const FileSizeLimit&) = delete;
  FileSizeLimit& operator=(const FileSizeLimit&) = delete;

 private:
  rlimit before_{};
};

TEST_F(ServiceTest, AVolumeWhoseChangesCannotBeCommittedIsNotMoved) {
  Run("format V00001 name=VOL-A");
  EXPECT_EQ(Run("info VOL-A")["uncommitted_reason"], Json());
  const std::shared_ptr<Volume> volume = service_->volumes().Find("VOL-A");
  {
    ASSERT_OK_AND_ASSIGN(VolumeUse use, service_->volumes().Use(volume));
    ASSERT_OK(use->Create(use->root(), "file", NewInode()));
    // Below the control slots.
    const FileSizeLimit limit(400 << 10);
    ASSERT_THAT(use->Sync(), HasErrc(Errc::kDeviceError));
  }
  const Json info = Run("info VOL-A");
  EXPECT_EQ(info["uncommitted"], true);
  const std::string reason = info["uncommitted_reason"];
  EXPECT_NE(reason.find("volume VOL-A has changes since generation"),
            std::string::npos)
      << reason;
  EXPECT_THAT(service_->Execute("move VOL-A 1029"), HasErrc(Errc::kBusy));
  EXPECT_TRUE(service_->volumes().loaded(*volume));
  EXPECT_EQ(RowOf(CatJson("alerts.json"), "object", "volume VOL-A")["severity"],
            "error");
}

TEST_F(ServiceTest, X9_EveryTableIsThereTwice) {
  Run("format V00001 name=VOL-A");
  for (const std::string_view name : kTableNames) {
    const Result<std::string> text =
        Cat(name == "jobs" ? "jobs.txt" : std::string(name));
    ASSERT_OK(text) << name;
    EXPECT_EQ(text->back(), '\n') << name;
    const Json rows = CatJson(std::string(name) + ".json");
    EXPECT_EQ(rows.is_object(), name == "status") << name;
  }
  const Json status = CatJson("status.json");
  EXPECT_EQ(status["library"], directory());
  EXPECT_EQ(status["elements"]["data_transfer"]["count"], 2);
  EXPECT_EQ(status["volumes"], 1);
  EXPECT_EQ(CatJson("drives.json").size(), 2u);
  EXPECT_EQ(CatJson("elements.json").size(), 10u);  // 1 + 6 + 1 + 2
  EXPECT_EQ(CatJson("alerts.json").size(), 0u);
}

TEST_F(ServiceTest, X9_MetricsForPrometheus) {
  Run("format V00001 name=VOL-A");
  Run("format V00002 name=COPY role=backup");
  const Result<std::string> text = Cat("metrics");
  ASSERT_OK(text);
  // Every line is one of the format's, below the type of its metric.
  const std::regex sample(
      "(vellum_[a-z_]+)([{][a-z_]+=\"([^\"\\\\]|\\\\.)*\""
      "(,[a-z_]+=\"([^\"\\\\]|\\\\.)*\")*[}])? [0-9]+");
  std::istringstream lines(*text);
  std::string metric;
  std::set<std::string> seen;
  for (std::string line; std::getline(lines, line);) {
    std::smatch match;
    if (line.rfind("# TYPE ", 0) == 0) {
      metric = line.substr(7, line.find(' ', 7) - 7);
      EXPECT_TRUE(seen.insert(metric).second) << metric;
    } else if (line.rfind("# HELP ", 0) != 0) {
      ASSERT_TRUE(std::regex_match(line, match, sample)) << line;
      EXPECT_EQ(match[1], metric);
    }
  }
  EXPECT_GT(seen.size(), 15u);
  for (const char* line :
       {"vellum_volumes{role=\"primary\"} 1\n",
        "vellum_volumes{role=\"backup\"} 1\n",
        "vellum_media{state=\"resident\"} ",
        "vellum_drive_online{drive=\"256\"} 1\n", "vellum_active_jobs 0\n",
        "vellum_alerts{severity=\"error\"} 0\n",
        "vellum_volume_uncommitted{volume=\"VOL-A\"} 0\n"}) {
    EXPECT_NE(text->find(line), std::string::npos) << line << *text;
  }
  EXPECT_NE(text->find(fmt::format(
                "vellum_volume_free_bytes{{volume=\"VOL-A\"}} {}\n",
                CatJson("volumes/VOL-A/info.json")["free_bytes"].dump())),
            std::string::npos)
      << *text;
}

TEST_F(ServiceTest, ACatalogWithoutVolumesIsAnAlert) {
  const Json alerts = CatJson("alerts.json");
  ASSERT_EQ(alerts.size(), 1u);
  EXPECT_NE(alerts[0]["message"].get<std::string>().find("vellum inventory"),
            std::string::npos);
  Run("format V00001 name=VOL-A");
  EXPECT_EQ(CatJson("alerts.json").size(), 0u);
}

TEST_F(ServiceTest, O12_AMediumThatCannotBeReadIsShownSo) {
  Run("format V00001 name=VOL-A");
  Run("move VOL-A 1024");
  Run("fault medium-error V00001 first=0 count=8192");
  Run("fault medium-error V00003 first=0 count=8192");
  Json rows = Run("inventory all=yes");
  EXPECT_EQ(RowOf(rows, "medium", "V00001")["read"], false) << rows.dump(1);
  EXPECT_EQ(RowOf(rows, "medium", "V00002")["read"], true);
  EXPECT_EQ(RowOf(CatJson("media.json"), "medium", "V00001")["volume_state"],
            "UNREADABLE");
  EXPECT_EQ(RowOf(CatJson("media.json"), "medium", "V00001")["volume"],
            "VOL-A");
  EXPECT_NE(RowOf(CatJson("alerts.json"), "object", "medium V00001")["message"]
                .get<std::string>()
                .find("could not be read"),
            std::string::npos);
  Run("fault clear");
  Run("health clear V00001");
  // They are looked at again, although a volume is known to be on one.
  rows = Run("inventory");
  EXPECT_EQ(RowOf(rows, "medium", "V00001")["read"], true) << rows.dump(1);
  EXPECT_EQ(RowOf(CatJson("media.json"), "medium", "V00001")["volume_state"],
            "clean");
  for (const Json& row : CatJson("alerts.json")) {
    EXPECT_NE(row["object"], "medium V00001") << row.dump();
  }
}

TEST_F(ServiceTest, AFailedJobIsAnAlertUntilItIsRepeatedOrGivenUp) {
  Run("format V00001 name=VOL-A");
  Run("format V00002 name=VOL-B");
  const auto copy = [this](const std::string& command) {
    const uint64_t id = Run(command)["job"];
    return service_->jobs().Wait(id)->state;
  };
  const auto alerts = [this] {
    size_t count = 0;
    for (const Json& row : CatJson("alerts.json")) {
      if (row["object"].get<std::string>().rfind("job ", 0) == 0) ++count;
    }
    return count;
  };
  Run("fault medium-error V00003 first=0 count=8192 access=both");
  EXPECT_EQ(copy("copy VOL-A to=V00003"), JobState::kFailed);
  EXPECT_EQ(copy("copy VOL-B to=V00003"), JobState::kFailed);
  EXPECT_EQ(alerts(), 2u);
  Run("fault clear");
  // Another target is no answer to a copy that named one.
  EXPECT_EQ(copy("copy VOL-A to=V00004"), JobState::kDone);
  EXPECT_EQ(alerts(), 2u);
  EXPECT_EQ(copy("copy VOL-A to=V00003"), JobState::kDone);
  EXPECT_EQ(alerts(), 1u);
  Run("history delete 2");
  EXPECT_EQ(alerts(), 0u);
}

TEST_F(ServiceTest, ADriveIsNoPlaceForACopy) {
  Run("format V00001 name=VOL-A");
  const auto refused = service_->Execute("copy VOL-A to=256");
  EXPECT_THAT(refused, HasErrc(Errc::kInvalidArgument));
  EXPECT_THAT(refused, MessageHas("256 is a drive"));
}

TEST_F(ServiceTest, VolumesOutliveTheService) {
  Run("format V00001 name=VOL-A");
  tree_.reset();
  control_.reset();
  service_.reset();
  Start();
  EXPECT_TRUE(tree_->FindByName("VOL-A"));
  EXPECT_EQ(Run("info VOL-A")["medium_state"], "resident");
}

TEST_F(ServiceTest, OneServiceALibrary) {
  EXPECT_THAT(LibraryLock::Take(directory()), HasErrc(Errc::kBusy));
}

TEST_F(ServiceTest, ACommandIsInterrupted) {
  Run("format V00001 name=VOL-A");
  std::stop_source stop;
  stop.request_stop();
  EXPECT_THAT(service_->Execute("fsck VOL-A", stop.get_token()),
              HasErrc(Errc::kInterrupted));
}

TEST_F(ServiceTest, ControlFilesAreWhatTheyWrite) {
  Run("format V00001 name=VOL-A");
  ASSERT_OK_AND_ASSIGN(const NodeId volumes,
                       control_->Lookup(kControlRoot, "volumes"));
  ASSERT_OK_AND_ASSIGN(const NodeId dir, control_->Lookup(volumes, "VOL-A"));
  ASSERT_OK_AND_ASSIGN(const NodeId copy, control_->Lookup(dir, "copy"));
  ASSERT_OK_AND_ASSIGN(const NodeId role, control_->Lookup(dir, "role"));
  EXPECT_TRUE(ControlTree::Accepts(copy));
  EXPECT_FALSE(ControlTree::Accepts(role));
  EXPECT_EQ(*control_->CommandFor(copy, "mode=incremental\n"),
            "copy VOL-A mode=incremental\n");
  EXPECT_EQ(*control_->Read(role), "primary\n");
  EXPECT_EQ(control_->Parent(copy), dir);
  EXPECT_EQ(control_->Parent(dir), volumes);
  ASSERT_OK_AND_ASSIGN(const struct stat st, control_->Stat(copy));
  EXPECT_EQ(st.st_mode, static_cast<mode_t>(S_IFREG | 0600));
  EXPECT_THAT(control_->Lookup(volumes, "NOPE"), HasErrc(Errc::kNotFound));
  EXPECT_THAT(control_->Stat(dir | 15), HasErrc(Errc::kNotFound));
}

}  // namespace
}  // namespace vellum
