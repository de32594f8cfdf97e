// SPDX-License-Identifier: Apache-2.0
// The tables that operators of other archive systems know, column by column.
#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>

#include <algorithm>
#include <sstream>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "tests/fs/service_fixture.h"

namespace vellum {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using Words = std::vector<std::string>;

// Words are separated by two blanks at least: a cell may hold one.
std::vector<Words> Cells(const std::string& text) {
  std::vector<Words> lines;
  std::istringstream stream(text);
  for (std::string line; std::getline(stream, line);) {
    Words& words = lines.emplace_back();
    for (size_t at = line.find_first_not_of(' '); at < line.size();) {
      const size_t end = std::min(line.find("  ", at), line.size());
      words.push_back(line.substr(at, end - at));
      at = line.find_first_not_of(' ', end);
    }
  }
  return lines;
}

class TableColumnsTest : public ServiceFixture {
 protected:
  // The line of a text table that begins with this cell.
  Words LineOf(const std::string& table, const std::string& first) {
    const Result<std::string> text = Cat(table);
    EXPECT_OK(text);
    for (Words& words : Cells(text.ok() ? *text : "")) {
      if (!words.empty() && words[0] == first) return std::move(words);
    }
    ADD_FAILURE() << table << " has no line " << first << ":\n"
                  << (text.ok() ? *text : "");
    return Words(9);
  }
  JobRecord Done(const std::string& command) {
    const Result<JobRecord> job =
        service_->jobs().Wait(Run(command).value("job", JobId{0}));
    EXPECT_OK(job);
    if (!job.ok()) return {};
    EXPECT_EQ(job->state, JobState::kDone) << job->message;
    return *job;
  }
  void WriteFile(const std::string& volume, size_t bytes) {
    ASSERT_OK_AND_ASSIGN(
        const VolumeUse use,
        service_->volumes().Use(service_->volumes().Find(volume)));
    ASSERT_OK_AND_ASSIGN(
        const Attr file,
        use->Create(use->root(), fmt::format("file{}", bytes), NewInode()));
    const std::string text(bytes, 'n');
    ASSERT_OK(
        use->Write(file.ino, 0, std::as_bytes(std::span(text.data(), bytes))));
  }
  void Stop() {
    tree_.reset();
    control_.reset();
    service_.reset();
  }
  // Starts anew, with a program that runs at the end of each copy.
  void EndHooksWith(const std::string& program) {
    Stop();
    const std::string path = directory() + "/library.toml";
    std::string config = ReadFileOrDie(path);
    const std::string none = "after_copy = \"\"";
    const size_t at = config.find(none);
    ASSERT_NE(at, std::string::npos) << config;
    config.replace(at, none.size(), "after_copy = \"" + program + "\"");
    WriteFileOrDie(path, config);
    Start();
  }
  // As by hand, while no daemon runs.
  void TakeAway(const std::string& tag) {
    Stop();
    const std::string path = directory() + "/state/elements.json";
    Json state = Json::parse(ReadFileOrDie(path));
    Json kept = Json::array();
    for (Json& element : state["elements"]) {
      if (element["volume_tag"] != tag) kept.push_back(element);
    }
    state["elements"] = kept;
    WriteFileOrDie(path, state.dump());
    Start();
  }
};

TEST_F(TableColumnsTest, O11_CopyMediaAreListedInEightColumns) {
  Run("format V00001 name=VOL-A");
  Run("setcopyrange copy-start=1025 copy-end=1026");
  Done("copy VOL-A");
  const std::string text = *Cat("copies");
  EXPECT_THAT(Cells(text)[0],
              ElementsAre("Label", "Slot", "Side", "LastAccess", "Status",
                          "Error", "Magazine", "LibNum"));
  EXPECT_EQ(Cells(text).size(), 3u) << text;

  Words copy = LineOf("copies", "VOL-A");
  ASSERT_EQ(copy.size(), 8u) << text;
  EXPECT_EQ(copy[1], "1025");
  EXPECT_THAT(copy[3],
              testing::MatchesRegex("2[0-9]*-[0-9-]*T[0-9]*:[0-9]*:[0-9]*Z"));
  EXPECT_EQ(copy[4], "resident");
  EXPECT_EQ(copy[5], "-");
  EXPECT_EQ(copy[7], "0");
  Words unused = LineOf("copies", "--UNUSED--");
  EXPECT_EQ(unused[1], "1026");
  EXPECT_EQ(unused[3], "-");
  EXPECT_EQ(unused[4], "resident");
  {
    LeaseRequest request;
    request.medium = "V00002";
    request.mode = LeaseMode::kShared;
    request.owner = "test";
    std::vector<LeaseRequest> requests;
    requests.push_back(std::move(request));
    ASSERT_OK_AND_ASSIGN(
        const std::vector<MediumLease> leases,
        service_->library().AcquireAndWait(std::move(requests)));
    copy = LineOf("copies", "VOL-A");
    EXPECT_EQ(copy[4], "loaded");
    EXPECT_EQ(copy[1], "1025");  // where it belongs
  }
  TakeAway("V00002");
  EXPECT_EQ(LineOf("copies", "VOL-A")[4], "removed");
}

TEST_F(TableColumnsTest, O12_MediaAreListedWithTheirFreeSpace) {
  Run("format V00001 name=VOL-A");
  const std::string text = *Cat("media");
  EXPECT_THAT(Cells(text)[0],
              ElementsAre("Medium", "Element", "State", "Volume", "Role",
                          "VolumeState", "Free_Space", "Class", "Home"));
  EXPECT_EQ(Cells(text).size(), 5u) << text;  // every medium
  const Words blank = LineOf("media", "V00004");
  EXPECT_EQ(blank[1], "1027");
  EXPECT_EQ(blank[2], "resident");
  EXPECT_EQ(blank[3], "-");
  EXPECT_EQ(blank[6], "-");
  const uint64_t before = std::stoull(LineOf("media", "V00001")[6]);
  EXPECT_GT(before, kCapacity / 2);
  WriteFile("VOL-A", 4 << 20);
  Run("sync");
  const Words used = LineOf("media", "V00001");
  EXPECT_EQ(used[3], "VOL-A");
  EXPECT_EQ(used[4], "primary");
  EXPECT_EQ(used[2], "loaded");
  EXPECT_EQ(used[8], "1024");
  EXPECT_LE(std::stoull(used[6]) + (4 << 20), before);
  TakeAway("V00001");
  EXPECT_EQ(LineOf("media", "V00001")[2], "removed");
}

TEST_F(TableColumnsTest, O13_TheStatusNamesChangerAndElements) {
  const Json status = CatJson("status.json");
  const Json changer = status["changer"];
  for (const char* key : {"vendor", "product", "revision"}) {
    EXPECT_FALSE(changer.value(key, "").empty()) << key << changer;
  }
  const Json elements = status["elements"];
  const auto range = [](int first, int count) {
    return Json({{"first", first}, {"count", count}});
  };
  EXPECT_EQ(elements["transport"]["count"], 1);
  EXPECT_EQ(elements["storage"], range(1024, 6));
  EXPECT_EQ(elements["data_transfer"], range(256, 2));
  EXPECT_EQ(elements["import_export"], range(768, 1));
}

TEST_F(TableColumnsTest, A2_TrackedPairsAreListedInSixColumns) {
  Run("format V00001 name=VOL-A");
  WriteFile("VOL-A", 3 << 20);
  Done("backup VOL-A track=yes");
  const Result<std::string> text = Cat("tracking");
  ASSERT_OK(text);
  EXPECT_THAT(Cells(*text)[0],
              ElementsAre("Server", "Transaction-Disk", "Backup-Disk", "Status",
                          "Execute", "Update"));
  ASSERT_EQ(Cells(*text).size(), 2u);
  Words row = Cells(*text)[1];
  ASSERT_EQ(row.size(), 6u);
  EXPECT_EQ(row[1], "VOL-A");
  EXPECT_EQ(row[2], "V00002");
  EXPECT_EQ(row[3], "tracking");
  EXPECT_EQ(row[4], "----");
  const int before = std::stoi(row[5]);
  EXPECT_EQ(row[5].back(), '%');
  WriteFile("VOL-A", 2 << 20);
  Run("sync");
  row = Cells(*Cat("tracking"))[1];
  EXPECT_GT(std::stoi(row[5]), before);
  EXPECT_LE(std::stoi(row[5]), 100);

  // A copy at work, which does not end before it is let.
  const std::string gate = dir_.Sub("gate");
  const std::string hook = dir_.Sub("hook");
  ASSERT_EQ(mkfifo(gate.c_str(), 0600), 0);
  WriteFileOrDie(hook, "#!/bin/sh\nread line <" + gate + "\n");
  ASSERT_EQ(chmod(hook.c_str(), 0700), 0);
  EndHooksWith(hook);
  const JobId id = Run("backup VOL-A track=yes")["job"];
  do {
    row = Cells(*Cat("tracking"))[1];
  } while (row[3] != "executing");
  EXPECT_EQ(row[5], "----");
  while (row[4] == "----") row = Cells(*Cat("tracking"))[1];
  EXPECT_EQ(row[4].back(), '%');
  WriteFileOrDie(gate, "go\n");
  ASSERT_OK(service_->jobs().Wait(id));
  EXPECT_EQ(Cells(*Cat("tracking"))[1][3], "tracking");
}

TEST_F(TableColumnsTest, O21_RunningCommandsSayHowFarTheyAre) {
  // V00003 is in use: an inventory has to wait for it.
  LeaseRequest request;
  request.medium = "V00003";
  request.owner = "test";
  std::vector<LeaseRequest> requests;
  requests.push_back(std::move(request));
  ASSERT_OK_AND_ASSIGN(std::vector<MediumLease> leases,
                       service_->library().AcquireAndWait(std::move(requests)));
  EXPECT_EQ(CatJson("running.json"), Json::array());
  std::jthread inventory([this] { Run("inventory all=yes\n"); });
  Json row = Json::object();
  do {
    const Json rows = CatJson("running.json");
    if (!rows.empty()) row = rows[0];
  } while (row.value("step", Json()) != "loads V00003 from 1026");
  EXPECT_EQ(row["command"], "inventory all=yes");
  EXPECT_EQ(row["unit"], "media");
  EXPECT_EQ(row["done"], 2);
  EXPECT_EQ(row["total"], 4);
  EXPECT_EQ(row["percent"], 50);
  EXPECT_GT(row["per_second"], 0);
  EXPECT_TRUE(row["remaining_seconds"].is_number());
  EXPECT_THAT(*Cat("running"), HasSubstr("loads V00003 from 1026"));
  leases.clear();
  inventory.join();
  EXPECT_EQ(CatJson("running.json"), Json::array());
}

}  // namespace
}  // namespace vellum
