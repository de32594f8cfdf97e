// SPDX-License-Identifier: Apache-2.0
// What an operator types about drives, door, health, faults and bulk recall.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <string>

#include "fs/json.h"
#include "media/file_util.h"
#include "tests/tools/cli_fixture.h"

namespace vellum {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

TEST_F(CliTest, H3_WhatIsDoneByHand) {
  Answer(R"({"medium":"V00001","drive":256,"element":1024})");
  EXPECT_EQ(Run({"load", "V00001"}), kExitOk);
  EXPECT_EQ(out_.str(), "V00001: in drive 256\n");
  EXPECT_EQ(Run({"load", "V 1", "--drive", "257"}), kExitOk);
  EXPECT_EQ(Run({"unload", "256"}), kExitOk);
  EXPECT_EQ(out_.str(), "V00001: in element 1024\n");
  EXPECT_EQ(Run({"drive", "offline", "256"}), kExitOk);
  EXPECT_EQ(Run({"library", "online"}), kExitOk);
  EXPECT_EQ(Run({"door", "put", "V00009"}), kExitOk);
  EXPECT_EQ(Run({"door", "put", "--new", "--capacity", "64Mi", "--write-once",
                 "--element", "769"}),
            kExitOk);
  EXPECT_EQ(Run({"door", "take", "PHOTOS"}), kExitOk);
  EXPECT_THAT(
      sent_,
      ElementsAre("load V00001", "load \"V 1\" drive=257", "unload 256",
                  "drive offline 256", "library online", "door put V00009",
                  "door put element=769 new=yes capacity=67108864 "
                  "write-once=yes",
                  "door take PHOTOS"));
  sent_.clear();
  EXPECT_EQ(Run({"door", "lock"}), kExitOk);
  EXPECT_EQ(out_.str(), "the door is locked\n");
  EXPECT_EQ(Run({"door", "unlock"}), kExitOk);
  EXPECT_EQ(out_.str(), "the door is not locked\n");
  EXPECT_THAT(sent_, ElementsAre("door lock", "door unlock"));
  EXPECT_EQ(Run({"drive", "away", "256"}), kExitUsage);
  EXPECT_EQ(Run({"door", "put", "V1", "--capacity", "1G"}), kExitUsage);
  WriteFileOrDie(Control("door"), "Element Medium\n");
  EXPECT_EQ(Run({"door"}), kExitOk);
  EXPECT_EQ(out_.str(), "Element Medium\n");
}

TEST_F(CliTest, H4_HealthIsShownSetAndCleared) {
  Answer(R"({"object":"V00001","flag":"clean-now","cleared":2})");
  EXPECT_EQ(Run({"health", "set", "V00001", "clean-now", "--note", "dust"}),
            kExitOk);
  EXPECT_EQ(out_.str(), "V00001: clean-now\n");
  EXPECT_EQ(Run({"health", "clear", "256"}), kExitOk);
  EXPECT_EQ(out_.str(), "V00001: 2 cleared\n");
  EXPECT_EQ(Run({"health", "clear", "256", "20"}), kExitOk);
  EXPECT_THAT(sent_, ElementsAre("health set V00001 clean-now note=dust",
                                 "health clear 256", "health clear 256 20"));
  EXPECT_EQ(Run({"health", "set", "V00001"}), kExitUsage);
  WriteFileOrDie(Control("health.json"), "[]\n");
  EXPECT_EQ(Run({"health", "--json"}), kExitOk);
  EXPECT_EQ(out_.str(), "[]\n");
}

TEST_F(CliTest, H5_MediaHaveAUsage) {
  WriteFileOrDie(Control("usage"), "Medium Loads\n");
  WriteFileOrDie(Control("media"), "Medium State\n");
  EXPECT_EQ(Run({"media", "--usage"}), kExitOk);
  EXPECT_EQ(out_.str(), "Medium Loads\n");
  EXPECT_EQ(Run({"media"}), kExitOk);
  EXPECT_EQ(out_.str(), "Medium State\n");
}

TEST_F(CliTest, H6_FaultsAreSaidByTheirNames) {
  EXPECT_EQ(Run({"fault", "medium-error", "V00001", "--first", "70", "--access",
                 "both"}),
            kExitOk);
  EXPECT_EQ(Run({"fault", "short-transfer", "V00001", "--times", "3",
                 "--access", "write"}),
            kExitOk);
  EXPECT_EQ(Run({"fault", "swap", "V00001", "V00002"}), kExitOk);
  EXPECT_EQ(Run({"fault", "stuck-transport"}), kExitOk);
  EXPECT_EQ(Run({"fault", "clear"}), kExitOk);
  Answer(R"({"sectors":7})");
  EXPECT_EQ(Run({"fault", "power-cut", "--tear", "--seed", "3"}), kExitOk);
  EXPECT_EQ(out_.str(), "power-cut: 7 sectors taken back\n");
  EXPECT_THAT(sent_,
              ElementsAre("fault medium-error V00001 first=70 access=both",
                          "fault short-transfer V00001 times=3 access=write",
                          "fault swap V00001 V00002", "fault stuck-transport",
                          "fault clear", "fault power-cut seed=3 tear=yes"));
  EXPECT_EQ(Run({"fault"}), kExitUsage);
  EXPECT_EQ(Run({"fault", "fire"}), kExitUsage);
}

TEST_F(CliTest, X5_StageSendsAListAndFollowsIt) {
  // What the daemon is told to read, as it was then.
  std::string list;
  environment_.connect = [this, &list](const DaemonAddress&) -> Result<Client> {
    return Client(dir_.path(), [&](const std::string& command) {
      sent_.push_back(command);
      const size_t at = command.find("list=");
      if (at != std::string::npos) {
        list = *ReadWholeFile(command.substr(at + 5));
      }
      if (answers_.empty()) return Result<std::string>(answer_);
      std::string answer = std::move(answers_.front());
      answers_.pop_front();
      return Result<std::string>(std::move(answer));
    });
  };
  WriteFileOrDie(dir_.Sub("files"),
                 "PHOTOS/a b\n\n" + dir_.path() + "/DOCS/x/../y\n");
  Answer(R"({"stage":4,"id":4,"files":3,"bytes":1000,"volumes":2})");
  EXPECT_EQ(Run({"stage", "PHOTOS/c", "-f", dir_.Sub("files")}), kExitOk);
  EXPECT_EQ(list, "PHOTOS/c\nPHOTOS/a b\nDOCS/y\n");
  EXPECT_THAT(out_.str(), HasSubstr("stage 4: 0 of 3 files"));
  // The list is gone again.
  EXPECT_FALSE(
      std::filesystem::exists(sent_.back().substr(sent_.back().find('=') + 1)));
  // With --wait the files that failed are named.
  WriteFileOrDie(Control("stages.json"),
                 R"([{"id":4,"state":"done","files":3,"files_done":2,
                      "files_failed":1,"bytes":1000,"bytes_done":900}])");
  answers_ = {answer_,
              R"({"ok":true,"result":{"files":[
          {"path":"PHOTOS/c","result":"done","message":null},
          {"path":"DOCS/y","result":"DEVICE_ERROR","message":"sector 7"}],
          "next":null}})"};
  EXPECT_EQ(Run({"stage", "PHOTOS/c", "--wait"}), kExitJobFailed);
  EXPECT_EQ(sent_.back(), "stage results=4 after=0");
  EXPECT_THAT(out_.str(), HasSubstr("2 of 3 files, 900 B of 1.0 kB"));
  EXPECT_THAT(out_.str(), HasSubstr("DEVICE_ERROR DOCS/y: sector 7\n"));
  EXPECT_EQ(out_.str().find("PHOTOS/c"), std::string::npos);
  EXPECT_THAT(err_.str(), HasSubstr("stage 4: 1 of 3 files could not be read"));
  EXPECT_EQ(Run({"stage", "PHOTOS/c", "--wait", "--json"}), kExitJobFailed);
  const Json failed = Json::parse(out_.str());
  EXPECT_EQ(failed["ok"], false) << failed;
  EXPECT_THAT(failed["error"]["message"].get<std::string>(),
              HasSubstr("1 of 3 files"));
  WriteFileOrDie(Control("stages.json"),
                 R"([{"id":4,"state":"done","files":3,"files_done":3,
                      "files_failed":0,"bytes":1000,"bytes_done":1000}])");
  EXPECT_EQ(Run({"stage", "PHOTOS/c", "--wait", "--json"}), kExitOk);
  EXPECT_EQ(Json::parse(out_.str())["ok"], true);
  EXPECT_EQ(Run({"stage", "--cancel", "4"}), kExitOk);
  EXPECT_EQ(sent_.back(), "stage cancel=4");
  EXPECT_EQ(Run({"stage"}), kExitUsage);
  EXPECT_EQ(Run({"stage", "-f", dir_.Sub("none")}), kExitFailed);
}

}  // namespace
}  // namespace vellum
