// SPDX-License-Identifier: Apache-2.0
// Each subcommand sends the command that it should and answers the exit code
// that the manual says.
#include "tools/cli.h"

#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <filesystem>
#include <sstream>
#include <thread>

#include "media/library_directory.h"
#include "tests/support/status_matchers.h"
#include "tests/support/temp_dir.h"
#include "tests/tools/cli_fixture.h"
#include "tools/command_progress.h"

namespace vellum {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

TEST_F(CliTest, NoSubcommandIsUsage) {
  EXPECT_EQ(Run({}), kExitUsage);
  EXPECT_THAT(err_.str(), HasSubstr("vellum: "));
  EXPECT_EQ(Run({"nonsense"}), kExitUsage);
  EXPECT_THAT(err_.str(), HasSubstr("unknown command nonsense\n"));
  EXPECT_EQ(Run({"--mount", "m", "foo", "bar", "--json"}), kExitUsage);
  EXPECT_THAT(err_.str(), HasSubstr("unknown command foo\n"));
  EXPECT_EQ(Run({"cancel"}), kExitUsage);
  EXPECT_EQ(Run({"cancel", "x"}), kExitUsage);
  EXPECT_THAT(sent_, IsEmpty());
}

TEST_F(CliTest, HelpAndVersionGoToStdout) {
  EXPECT_EQ(Run({"--help"}), kExitOk);
  EXPECT_THAT(out_.str(), HasSubstr("Exit codes"));
  EXPECT_THAT(out_.str(), HasSubstr("other: of the hook"));
  EXPECT_EQ(Run({"copy", "--help"}), kExitOk);
  EXPECT_THAT(out_.str(), HasSubstr("--no-verify"));
  EXPECT_EQ(Run({"--version"}), kExitOk);
  EXPECT_THAT(out_.str(), HasSubstr("vellum "));
  EXPECT_EQ(err_.str(), "");
}

TEST_F(CliTest, NoDaemonIsItsOwnExitCode) {
  daemon_ = false;
  for (const auto& words :
       std::vector<std::vector<std::string>>{{"status"},
                                             {"sync"},
                                             {"jobs"},
                                             {"cancel", "1"},
                                             {"copy", "V"},
                                             {"fsck", "V"},
                                             {"info", "V"},
                                             {"changer"}}) {
    EXPECT_EQ(Run(words), kExitNoDaemon) << words[0];
    EXPECT_EQ(err_.str(), "vellum: no library is mounted\n");
  }
}

TEST_F(CliTest, CommandsAreSentAsTheGrammarSays) {
  const std::vector<std::pair<std::vector<std::string>, std::string>> cases = {
      {{"move", "1024", "768"}, "move 1024 768"},
      {{"mm", "1024", "768", "0", "0", "/dev/sg3"}, "move 1024 768"},
      {{"convert", "B1"}, "convert B1"},
      {{"convert", "B1", "--name", "NEW"}, "convert B1 name=NEW"},
      {{"cancel", "4"}, "cancel 4"},
      {{"sync"}, "sync"},
      {{"sync", "V"}, "sync V"},
      {{"threshold", "V", "80"}, "threshold V 80"},
      {{"generations", "V"}, "generations V"},
      {{"generations", "V", "default"}, "generations V default"},
      {{"copy", "V"}, "copy V"},
      {{"copy", "-v", "V"}, "copy V"},
      {{"copy", "-1", "V"}, "copy V mode=image"},
      {{"copy", "V", "-2", "-s", "768"}, "copy V mode=streaming to=768"},
      {{"copy", "V", "--mode", "incremental", "--policy", "minicopy", "--to",
        "B1"},
       "copy V mode=incremental policy=minicopy to=B1"},
      {{"copy", "V", "--no-verify", "--whole", "--no-wipe", "--overwrite-last",
        "--if-mounted", "fail"},
       "copy V verify=no whole=yes wipe=no overwrite-last=yes "
       "if-mounted=fail"},
  };
  for (const auto& [words, command] : cases) {
    sent_.clear();
    Answer("{\"job\":1}");
    EXPECT_EQ(Run(words), kExitOk) << command << ": " << err_.str();
    EXPECT_THAT(sent_, ElementsAre(command));
  }
}

TEST_F(CliTest, FormatNamesTheOwnerOfTheRoot) {
  EXPECT_EQ(Run({"format", "1024", "--name", "V", "--role", "backup",
                 "--threshold", "80", "--clear"}),
            kExitOk);
  ASSERT_EQ(sent_.size(), 1u);
  EXPECT_THAT(sent_[0], HasSubstr("format 1024 name=V role=backup "
                                  "threshold=80 clear=yes uid="));
  EXPECT_THAT(sent_[0], HasSubstr(" gid="));
}

TEST_F(CliTest, ContradictionsAreUsageErrors) {
  for (auto words : std::vector<std::vector<std::string>>{
           {"copy", "V", "-1", "-2"},
           {"copy", "V", "-2", "--mode", "image"},
           {"copy", "V", "-s", "1", "--to", "2"},
           {"copy"},
           {"copy", "V", "--mode", "fast"},
           {"format", "1024"},
           {"format", "1024", "--name", "V", "--role", "other"},
           {"fsck"},
           {"fsck", "V", "--image", "f"},
           {"move", "1024"},
           {"mm", "1024", "768", "1"},
           {"jobs", "--log"},
           {"jobs", "3", "--log", "--wait"},
           {"mount"},
           {"mount", "DIR"},
           {"mount", "a", "b", "c"},
           {"mount", "--image", "f", "a", "b"},
           {"mount", "--volume", "V", "a", "-f"},
           {"init", "d", "--capacity", "many"},
           {"init", "d", "--changer", "sg3"},
           {"init", "d", "--changer", "/dev/sg3", "--slots", "3"},
           {"init", "d", "--drive", "256=/dev/sg4"},
           {"init", "d", "--changer", "/dev/sg3", "--drive", "/dev/sg4"},
           {"init", "d", "--changer", "/dev/sg3", "--drive", "x=/dev/sg4"},
           {"init", "d", "--changer", "/dev/sg3", "--drive", "70000=/dev/s"},
           {"init", "d", "--changer", "/dev/sg3", "--drive", "256="}}) {
    EXPECT_EQ(Run(words), kExitUsage) << testing::PrintToString(words);
    EXPECT_THAT(err_.str(), HasSubstr("vellum: "));
    EXPECT_EQ(out_.str(), "");

    words.push_back("--json");
    EXPECT_EQ(Run(words), kExitUsage) << testing::PrintToString(words);
    const Json answer = Json::parse(out_.str());
    EXPECT_EQ(answer["ok"], false);
    EXPECT_EQ(answer["error"]["errno"], "EINVAL");
  }
  EXPECT_THAT(sent_, IsEmpty());
}

TEST_F(CliTest, AMountOfAVolumeMayBeClosedToOthers) {
  EXPECT_EQ(Run({"mount", "--volume", "V", "/a", "--only-me"}), kExitOk);
  EXPECT_EQ(Run({"mount", "--volume", "V", "/a"}), kExitOk);
  EXPECT_THAT(sent_,
              ElementsAre("mount V dir=/a only-me=yes", "mount V dir=/a"));
}

TEST_F(CliTest, MountNamesWhatItMisses) {
  EXPECT_EQ(Run({"mount"}), kExitUsage);
  EXPECT_THAT(err_.str(), HasSubstr("DIR MOUNT"));
  EXPECT_EQ(Run({"mount", "--help"}), kExitOk);
  EXPECT_THAT(out_.str(), HasSubstr("MOUNT"));
}

TEST_F(CliTest, ErrorOfTheDaemonIsPrinted) {
  AnswerError("EXISTS", "volume V is in this library already");
  EXPECT_EQ(Run({"format", "1024", "--name", "V"}), kExitFailed);
  EXPECT_EQ(err_.str(), "vellum: volume V is in this library already\n");
  EXPECT_EQ(out_.str(), "");
  EXPECT_EQ(Run({"--json", "format", "1024", "--name", "V"}), kExitFailed);
  const Json answer = Json::parse(out_.str());
  EXPECT_EQ(answer["ok"], false);
  EXPECT_EQ(answer["error"]["code"], "EXISTS");
}

TEST_F(CliTest, JsonAnswerCarriesTheResult) {
  Answer("{\"job\":12}");
  EXPECT_EQ(Run({"copy", "V", "--json"}), kExitOk);
  EXPECT_EQ(Json::parse(out_.str()),
            Json::parse("{\"ok\":true,\"result\":{\"job\":12}}"));
  EXPECT_EQ(Run({"copy", "V"}), kExitOk);
  EXPECT_EQ(out_.str(), "job 12\n");
}

TEST_F(CliTest, TablesComeFromTheControlTree) {
  WriteFileOrDie(Control("media"), "Tag\nV00001\n");
  WriteFileOrDie(Control("media.json"), "[{\"tag\":\"V00001\"}]\n");
  WriteFileOrDie(Control("copies"), "Label\n");
  WriteFileOrDie(Control("tracking"), "Server\n");
  EXPECT_EQ(Run({"media"}), kExitOk);
  EXPECT_EQ(out_.str(), "Tag\nV00001\n");
  EXPECT_EQ(Run({"media", "--json"}), kExitOk);
  EXPECT_EQ(out_.str(), "[{\"tag\":\"V00001\"}]\n");
  EXPECT_EQ(Run({"track"}), kExitOk);
  EXPECT_EQ(out_.str(), "Server\n");
  EXPECT_EQ(Run({"copies"}), kExitOk);
  EXPECT_EQ(out_.str(), "Label\n");
}

TEST_F(CliTest, O14_MmIsMoveInItsOldForm) {
  for (const auto& words : std::vector<std::vector<std::string>>{
           {"1024", "768"}, {"1024", "768", "0", "0", "/dev/sg1"}}) {
    sent_.clear();
    EXPECT_EQ(Run(words, "mm"), kExitOk) << err_.str();
    EXPECT_THAT(sent_, ElementsAre("move 1024 768"));
    EXPECT_EQ(out_.str(), "moved 1024 to 768\n");
  }
  AnswerError("NO_MEDIUM", "element 1030 is empty");
  EXPECT_EQ(Run({"1030", "768", "0", "0", "/dev/sg1"}, "mm"), kExitFailed);
  EXPECT_EQ(err_.str(), "vellum: element 1030 is empty\n");
}

TEST_F(CliTest, ADeviceOfOldScriptsIsTaken) {
  WriteFileOrDie(Control("status.json"), "{}");
  WriteFileOrDie(Control("media"), "media\n");
  EXPECT_EQ(Run({"-l", "/dev/sg1"}, "mcstat"), kExitOk) << err_.str();
  EXPECT_EQ(Run({"-l", "/dev/sg1"}, "listmedia"), kExitOk) << err_.str();
  Answer("{\"job\":1}");
  EXPECT_EQ(Run({"-l", "/dev/sg1", "-v", "V", "-2"}, "copymedia"), kExitOk)
      << err_.str();
  EXPECT_EQ(
      Run({"setcopyrange", "-l", "/dev/sg1", "--copy_start=1", "--copy_end=2"}),
      kExitOk)
      << err_.str();
  Answer("[]");
  EXPECT_EQ(Run({"inventory", "-l", "/dev/sg1"}), kExitOk) << err_.str();
  EXPECT_THAT(sent_,
              ElementsAre("copy V mode=streaming",
                          "setcopyrange copy-start=1 copy-end=2", "inventory"));
  EXPECT_EQ(Run({"status", "-l", "/dev/sg1"}), kExitUsage);
  EXPECT_THAT(err_.str(), HasSubstr("not understood: -l /dev/sg1\n"));
}

TEST_F(CliTest, OldNamesStandForTheirSubcommand) {
  WriteFileOrDie(Control("media"), "media\n");
  WriteFileOrDie(Control("copies"), "copies\n");
  WriteFileOrDie(Control("tracking"), "tracking\n");
  WriteFileOrDie(Control("status.json"), "{}");
  EXPECT_EQ(Run({}, "listmedia"), kExitOk);
  EXPECT_EQ(out_.str(), "media\n");
  EXPECT_EQ(Run({"listmedia"}), kExitOk);
  EXPECT_EQ(Run({}, "listcopymedia"), kExitOk);
  EXPECT_EQ(out_.str(), "copies\n");
  EXPECT_EQ(Run({}, "acmtrkstat"), kExitOk);
  EXPECT_EQ(out_.str(), "tracking\n");
  EXPECT_EQ(Run({}, "mcstat"), kExitOk);
  EXPECT_THAT(out_.str(), HasSubstr("vendor "));
  WriteFileOrDie(Control("devices.json"), "[]");
  EXPECT_EQ(Run({"-u"}, "acmdevdisp"), kExitOk);
  EXPECT_THAT(out_.str(), HasSubstr("Mode"));
  EXPECT_EQ(Run({"1024", "768", "0", "0", "/dev/sg3"}, "mm"), kExitOk);
  Answer("{\"job\":1}");
  EXPECT_EQ(Run({"-T", "V"}, "acmbackup"), kExitOk);
  EXPECT_EQ(Run({"V", "--yes"}, "acmrestore"), kExitOk);
  EXPECT_THAT(sent_, ElementsAre("move 1024 768", "backup V track=yes",
                                 "restore V confirm=yes"));
  WriteFileOrDie(Control("history"), "history\n");
  EXPECT_EQ(Run({}, "acmhistdisp"), kExitOk);
  EXPECT_EQ(out_.str(), "history\n");
}

TEST_F(CliTest, O13_ChangerShowsIdentityAndRanges) {
  WriteFileOrDie(
      Control("status.json"),
      R"({"changer":{"vendor":"VELLUM","product":"Virtual","revision":"0.1"},)"
      R"("elements":{"transport":{"first":1,"count":1},)"
      R"("storage":{"first":1024,"count":12},)"
      R"("import_export":{"first":768,"count":0},)"
      R"("data_transfer":{"first":256,"count":2}}})");
  EXPECT_EQ(Run({"changer"}), kExitOk);
  EXPECT_THAT(out_.str(), HasSubstr("vendor          VELLUM\n"));
  EXPECT_THAT(out_.str(), HasSubstr("storage         1024-1035 (12)\n"));
  EXPECT_THAT(out_.str(), HasSubstr("import/export   none\n"));
  EXPECT_THAT(out_.str(), HasSubstr("transport       1\n"));
}

TEST_F(CliTest, O21_WaitFollowsTheJobToItsEnd) {
  Answer("{\"job\":3}");
  Jobs(R"([{"id":2,"kind":"copy","state":"failed"},)"
       R"({"id":3,"kind":"copy","state":"done","message":"all equal"}])");
  EXPECT_EQ(Run({"copy", "V", "--wait"}), kExitOk);
  EXPECT_EQ(out_.str(), "job 3: done: all equal\n");
  EXPECT_EQ(Run({"jobs", "3", "--wait"}), kExitOk);
}

// The first look at the jobs finds one that waits, the second its end.
TEST_F(CliTest, WaitSaysWhatTheJobWaitsFor) {
  Answer("{\"job\":3}");
  Jobs(R"([{"id":3,"kind":"copy","state":"done","message":"it is done"}])");
  const std::string jobs = Control("jobs.json");
  const std::string later = Control("later.json");
  std::filesystem::rename(jobs, later);
  ASSERT_EQ(mkfifo(jobs.c_str(), 0600), 0);
  std::thread daemon([&jobs, &later] {
    const int fd = open(jobs.c_str(), O_WRONLY);  // waits for the reader
    ASSERT_GE(fd, 0);
    std::filesystem::rename(later, jobs);
    const std::string rows =
        R"([{"id":3,"kind":"copy","state":"queued",)"
        R"("message":"waits for V00002: held by mount at /srv/a"}])";
    EXPECT_EQ(write(fd, rows.data(), rows.size()),
              static_cast<ssize_t>(rows.size()));
    close(fd);
  });
  EXPECT_EQ(Run({"copy", "V", "--wait"}), kExitOk);
  daemon.join();
  EXPECT_THAT(
      err_.str(),
      HasSubstr("job 3: queued: waits for V00002: held by mount at /srv/a\n"));
  EXPECT_THAT(err_.str(), HasSubstr("job 3: done\n"));
  EXPECT_EQ(out_.str(), "job 3: done: it is done\n");
}

// The daemon does not answer before somebody asks how far it is.
TEST_F(CliTest, O21_ATerminalShowsHowFarACommandIs) {
  environment_.terminal = true;
  const std::string running = Control("running.json");
  ASSERT_EQ(mkfifo(running.c_str(), 0600), 0);
  std::string result = "[]";
  environment_.connect = [&](const DaemonAddress&) -> Result<Client> {
    return Client(dir_.path(), [&](const std::string& command) {
      const int fd = open(running.c_str(), O_WRONLY);  // waits for the reader
      EXPECT_GE(fd, 0);
      std::filesystem::remove(running);
      const std::string rows =
          R"([{"command":"sync"},{"command":")" + command +
          R"(","step":"loads V00003 from 1026","unit":"media","done":3,)"
          R"("total":8,"percent":37,"remaining_seconds":12}])";
      EXPECT_EQ(write(fd, rows.data(), rows.size()),
                static_cast<ssize_t>(rows.size()));
      close(fd);
      return Result<std::string>("{\"ok\":true,\"result\":" + result + "}\n");
    });
  };
  EXPECT_EQ(Run({"inventory", "--all"}), kExitOk);
  EXPECT_THAT(err_.str(),
              HasSubstr("\rinventory all=yes: 3 of 8 media (37 %), loads "
                        "V00003 from 1026, 12 s left"));
  // It is gone in the end.
  EXPECT_EQ(err_.str().back(), '\r');
  EXPECT_EQ(out_.str(), "");
  // So do all that may wait for a robot.
  result = "{}";
  for (const std::vector<std::string>& command :
       std::vector<std::vector<std::string>>{{"load", "V00001"},
                                             {"unload", "V00001"},
                                             {"move", "1024", "1025"},
                                             {"export", "PHOTOS"},
                                             {"sync", "PHOTOS"},
                                             {"backup-info", "PHOTOS"},
                                             {"drive", "offline", "256"}}) {
    ASSERT_EQ(mkfifo(running.c_str(), 0600), 0);
    EXPECT_EQ(Run(command), kExitOk) << command[0];
    EXPECT_THAT(err_.str(), HasSubstr("\r" + command[0])) << command[0];
  }
}

TEST(DescribeRunningTest, O21_SaysWhatIsKnown) {
  EXPECT_EQ(DescribeRunning({{"command", "fsck V"}, {"step", "loads V00001"}}),
            "fsck V: loads V00001");
  EXPECT_EQ(DescribeRunning({{"command", "fsck V"},
                             {"step", "works on V00001"},
                             {"unit", "bytes"},
                             {"done", 1'500'000},
                             {"total", 6'000'000},
                             {"percent", 25},
                             {"per_second", 500000.5},
                             {"remaining_seconds", 9}}),
            "fsck V: 1.5 MB of 6.0 MB (25 %), 500.0 kB/s, works on V00001, 9 s "
            "left");
  EXPECT_EQ(DescribeRunning({{"command", "format V"},
                             {"unit", "bytes"},
                             {"done", 2'000'000},
                             {"total", nullptr}}),
            "format V: 2.0 MB");
}

TEST_F(CliTest, O7_AnInventoryMaySetThePoolOrGoOn) {
  Answer("[]");
  EXPECT_EQ(Run({"inventory", "--copy-start", "1026", "--copy_end", "1030"}),
            kExitOk);
  EXPECT_THAT(sent_, ElementsAre("setcopyrange copy-start=1026 copy-end=1030",
                                 "inventory all=yes"));
  EXPECT_EQ(Run({"inventory", "--resume"}), kExitOk);
  EXPECT_EQ(sent_.back(), "inventory resume=yes");
  EXPECT_EQ(Run({"inventory"}), kExitOk);
  EXPECT_EQ(sent_.back(), "inventory");
  EXPECT_EQ(Run({"inventory", "--scan"}), kExitOk);
  EXPECT_EQ(sent_.back(), "inventory scan=yes");
  EXPECT_EQ(Run({"inventory", "--all", "--scan", "--range", "1024-1030"}),
            kExitOk);
  EXPECT_EQ(sent_.back(), "inventory all=yes scan=yes range=1024-1030");
  sent_.clear();
  EXPECT_EQ(Run({"inventory", "--range", "1024"}), kExitUsage);
  EXPECT_EQ(Run({"inventory", "--copy-start", "1026"}), kExitUsage);
  EXPECT_EQ(Run({"inventory", "--all", "--resume"}), kExitUsage);
  AnswerError("INVALID_ARGUMENT", "the library has slots 1024 to 1029");
  EXPECT_EQ(Run({"inventory", "--copy-start", "1", "--copy-end", "2"}),
            kExitFailed);
  EXPECT_THAT(sent_, ElementsAre("setcopyrange copy-start=1 copy-end=2"));
}

TEST_F(CliTest, LogIsTextOrJson) {
  std::filesystem::create_directories(Control("jobs/3"));
  WriteFileOrDie(Control("jobs/3/log"), "10:00 queued\n10:01 done\n");
  EXPECT_EQ(Run({"jobs", "3", "--log"}), kExitOk);
  EXPECT_EQ(out_.str(), "10:00 queued\n10:01 done\n");
  EXPECT_EQ(Run({"jobs", "3", "--log", "--json"}), kExitOk);
  EXPECT_EQ(Json::parse(out_.str())["result"]["log"][1], "10:01 done");
  EXPECT_EQ(Run({"jobs", "4", "--log"}), kExitFailed);
}

TEST_F(CliTest, FailedAndCancelledJobsHaveTheirExitCode) {
  Answer("{\"job\":3}");
  Jobs(R"([{"id":3,"kind":"copy","state":"failed","error":"NO_SPACE",)"
       R"("message":"medium V00002 is full"}])");
  EXPECT_EQ(Run({"copy", "V", "--wait"}), kExitJobFailed);
  EXPECT_THAT(err_.str(),
              HasSubstr("vellum: job 3: failed: medium V00002 is full\n"));
  Jobs(R"([{"id":3,"kind":"copy","state":"cancelled"}])");
  EXPECT_EQ(Run({"copy", "V", "--wait"}), kExitJobFailed);
  EXPECT_EQ(Run({"jobs", "9", "--wait"}), kExitFailed);
}

TEST_F(CliTest, CompareTellsDifferencesFromFailure) {
  Answer("{\"job\":3}");
  Jobs(R"([{"id":3,"kind":"compare","state":"failed","error":"CORRUPTION",)"
       R"("message":"2 sectors differ"}])");
  EXPECT_EQ(Run({"compare", "A", "B"}), kExitDifferences);
  EXPECT_THAT(sent_, ElementsAre("compare A B"));
  Jobs(
      R"([{"id":3,"kind":"compare","state":"failed","error":"DEVICE_ERROR"}])");
  EXPECT_EQ(Run({"compare", "A", "B"}), kExitJobFailed);
  Jobs(R"([{"id":3,"kind":"compare","state":"done"}])");
  EXPECT_EQ(Run({"compare", "A", "B"}), kExitOk);
}

TEST_F(CliTest, FsckDamageHasItsExitCode) {
  Answer(R"({"clean":true,"files":3,"directories":1,"errors":[]})");
  EXPECT_EQ(Run({"fsck", "V", "--data"}), kExitOk);
  EXPECT_THAT(sent_, ElementsAre("fsck V data=yes"));
  EXPECT_THAT(out_.str(), HasSubstr("V: clean, 3 files"));
  Answer(R"({"clean":false,"error_count":1,)"
         R"("errors":[{"sector":500,"text":"bad CRC"}]})");
  EXPECT_EQ(Run({"fsck", "V"}), kExitDifferences);
  EXPECT_THAT(out_.str(), HasSubstr("V: sector 500: bad CRC\n"));
  EXPECT_EQ(Run({"fsck", "V", "--json"}), kExitDifferences);
  EXPECT_EQ(Json::parse(out_.str())["result"]["error_count"], 1);
}

TEST_F(CliTest, InfoReadsTheVolumesFile) {
  std::filesystem::create_directories(Control("volumes/V"));
  WriteFileOrDie(Control("volumes/V/info"), "volume V\n");
  EXPECT_EQ(Run({"info", "V"}), kExitOk);
  EXPECT_EQ(out_.str(), "volume V\n");
  AnswerError("NOT_FOUND", "no volume W");
  EXPECT_EQ(Run({"info", "W"}), kExitFailed);
  EXPECT_EQ(err_.str(), "vellum: no volume W\n");
}

TEST_F(CliTest, O7_InventoryPrintsWhatWasFound) {
  Answer(R"([{"element":1024,"medium":"V00001","found":"ORIG"}])");
  EXPECT_EQ(Run({"inventory", "--all"}), kExitOk);
  EXPECT_THAT(sent_, ElementsAre("inventory all=yes"));
  EXPECT_EQ(out_.str(), "1024       V00001       ORIG\n");
}

TEST_F(CliTest, O7_AnInventoryThatCouldNotReadAMediumFails) {
  Answer(R"([{"element":1024,"medium":"V00001","found":"ORIG","read":true},
             {"element":1025,"medium":"V00002","found":"no","read":false},
             {"element":1026,"medium":"V00003","found":"no","read":false}])");
  EXPECT_EQ(Run({"inventory"}), kExitFailed);
  EXPECT_THAT(out_.str(), HasSubstr("1024       V00001       ORIG\n"));
  EXPECT_EQ(err_.str(), "vellum: not read: V00002, V00003\n");
  EXPECT_EQ(Run({"inventory", "--json"}), kExitFailed);
  const Json answer = Json::parse(out_.str());
  EXPECT_EQ(answer["ok"], false);
  EXPECT_EQ(answer["error"]["message"], "not read: V00002, V00003");
  EXPECT_EQ(answer["result"].size(), 3u);
}

TEST_F(CliTest, I14_ReindexSaysHowFar) {
  Answer(R"([{"element":1024,"medium":"V00001","found":"ORIG"},
             {"element":null,"medium":"V00009","found":"GONE"}])");
  EXPECT_EQ(Run({"reindex", "--sync"}), kExitOk);
  EXPECT_THAT(sent_, ElementsAre("reindex mode=sync"));
  EXPECT_EQ(out_.str(),
            "1024       V00001       ORIG\n"
            "-          V00009       GONE\n");
  EXPECT_EQ(Run({"reindex", "--reset"}), kExitOk);
  EXPECT_EQ(sent_.back(), "reindex mode=reset");
  EXPECT_EQ(Run({"reindex"}), kExitUsage);
  EXPECT_EQ(Run({"reindex", "--sync", "--reset"}), kExitUsage);
}

TEST_F(CliTest, NoCatalogIsDumpedWhileADaemonHasIt) {
  const std::string library = dir_.Sub("served");
  std::filesystem::create_directories(library + "/state");
  std::filesystem::create_directories(library + "/catalog");
  ASSERT_OK_AND_ASSIGN(const LibraryLock lock, LibraryLock::Take(library));
  EXPECT_EQ(Run({"dump-catalog", library}), kExitFailed);
  EXPECT_THAT(err_.str(),
              HasSubstr("library " + library + " is served by process"));
}

TEST_F(CliTest, ACapacityIsRefusedAsItWasGiven) {
  const std::string library = dir_.Sub("small");
  ASSERT_EQ(Run({"init", library, "--slots", "2", "--media", "1", "--capacity",
                 "8Mi"}),
            kExitOk)
      << err_.str();
  EXPECT_EQ(Run({"medium", "add", library, "--capacity", "1"}), kExitFailed);
  EXPECT_THAT(err_.str(), HasSubstr("capacity: 1 bytes is not between"));
}

TEST_F(CliTest, UnmountOfWhatIsNoMountPoint) {
  EXPECT_EQ(Run({"unmount", dir_.path()}), kExitFailed);
  EXPECT_EQ(err_.str(),
            "vellum: " + dir_.path() + ": no mount point of Vellum\n");
}

}  // namespace
}  // namespace vellum
