// SPDX-License-Identifier: Apache-2.0
// What an operator types about shelves, pools, tracking and restores.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "fs/json.h"
#include "tests/tools/cli_fixture.h"

namespace vellum {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

TEST_F(CliTest, X4_FindPrintsPageByPage) {
  const std::string page =
      R"({"path":"PHOTOS/a","volume":"PHOTOS","medium":"V00001",
          "state":"exported","element":null,"location":"cupboard 3"})";
  const std::string last =
      R"({"path":"DOCS/b","volume":"DOCS","medium":"V00002",
          "state":"resident","element":1025,"location":null})";
  const auto answers = [&] {
    answers_ = {
        R"({"ok":true,"result":{"found":[)" + page +
            R"(],"next":"PHOTOS/80"}})",
        R"({"ok":true,"result":{"found":[],"next":"X/1"}})",
        R"({"ok":true,"result":{"found":[)" + last + R"(],"next":null}})"};
  };
  answers();
  EXPECT_EQ(Run({"find", "a=b", "-i", "--role", "primary"}), kExitOk);
  EXPECT_THAT(sent_,
              ElementsAre("find \"a=b\" role=primary case=no",
                          "find \"a=b\" role=primary case=no after=PHOTOS/80",
                          "find \"a=b\" role=primary case=no after=X/1"));
  EXPECT_EQ(out_.str(),
            "PHOTOS       V00001     exported       -  PHOTOS/a  (shelf: "
            "cupboard 3)\n"
            "DOCS         V00002     resident    1025  DOCS/b\n");
  answers();
  EXPECT_EQ(Run({"find", "x", "--json"}), kExitOk);
  EXPECT_EQ(Json::parse(out_.str()).size(), 2u) << out_.str();
  answers();
  EXPECT_EQ(Run({"find", "x", "--paths"}), kExitOk);
  EXPECT_EQ(out_.str(), "PHOTOS/a\nDOCS/b\n");
  answers_ = {R"({"ok":true,"result":{"found":[],"next":null}})"};
  EXPECT_EQ(Run({"find", "x", "--json"}), kExitOk);
  EXPECT_EQ(out_.str(), "[]\n");
}

TEST_F(CliTest, X4_WhichTakesPathsInTheMountAndVolumePaths) {
  Answer("[]");
  EXPECT_EQ(Run({"which", dir_.path() + "/PHOTOS/x/../a b"}), kExitOk);
  EXPECT_EQ(sent_.back(), "which \"PHOTOS/a b\"");
  EXPECT_EQ(Run({"which", "PHOTOS/a"}), kExitOk);
  EXPECT_EQ(sent_.back(), "which PHOTOS/a");
  EXPECT_EQ(Run({"which", "/elsewhere"}), kExitOk);
  EXPECT_EQ(sent_.back(), "which /elsewhere");
}

TEST_F(CliTest, A8_WhatIsGivenUpIsSaid) {
  Answer(R"({"volume":"PHOTOS","generations":1,
             "released":[{"volume":"PHOTOS-B1","medium":"V00002"}],
             "in_use":["PHOTOS-B2 on medium V00003: job 4 has it"]})");
  EXPECT_EQ(Run({"generations", "PHOTOS", "1"}), kExitOk);
  EXPECT_EQ(sent_.back(), "generations PHOTOS 1");
  EXPECT_EQ(out_.str(),
            "1\nPHOTOS-B1 is given up: medium V00002 is free\n"
            "not given up yet: PHOTOS-B2 on medium V00003: job 4 has it\n");
}

TEST_F(CliTest, I13_ExportAndImportSayWhatToDo) {
  Answer(
      R"({"volume":"VOL","medium":"V00001","location":"B 3","element":768})");
  EXPECT_EQ(Run({"export", "VOL", "--location", "B 3"}), kExitOk);
  EXPECT_EQ(sent_.back(), "export VOL location=\"B 3\"");
  EXPECT_THAT(out_.str(), HasSubstr("take medium V00001 out of element 768"));
  Answer(R"([{"medium":"V00001","from":768,"element":1024,"found":"VOL"}])");
  EXPECT_EQ(Run({"import"}), kExitOk);
  EXPECT_EQ(sent_.back(), "import");
  EXPECT_EQ(out_.str(), "1024       V00001       VOL\n");
  EXPECT_EQ(Run({"import", "VOL"}), kExitOk);
  EXPECT_EQ(sent_.back(), "import VOL");
}

TEST_F(CliTest, O6_SetCopyRangeTakesBothSpellings) {
  Answer(R"({"copy_start":1024,"copy_end":1030,"media":5})");
  EXPECT_EQ(Run({"setcopyrange", "--copy-start", "1024", "--copy-end", "1030"}),
            kExitOk);
  EXPECT_EQ(sent_.back(), "setcopyrange copy-start=1024 copy-end=1030");
  EXPECT_THAT(out_.str(), HasSubstr("5 media"));
  EXPECT_EQ(Run({"setcopyrange", "--copy_start=1", "--copy_end=2"}), kExitOk);
  EXPECT_EQ(sent_.back(), "setcopyrange copy-start=1 copy-end=2");
  EXPECT_EQ(Run({"setcopyrange", "--copy-start", "1"}), kExitUsage);
}

TEST_F(CliTest, O16_PoolFreeSaysWhatItHeld) {
  WriteFileOrDie(Control("pool"), "Slot\n");
  EXPECT_EQ(Run({"pool"}), kExitOk);
  EXPECT_EQ(out_.str(), "Slot\n");
  Answer(R"({"slot":1025,"medium":"V00002","volume":"V00002",
             "owner":"PHOTOS","last":true})");
  EXPECT_EQ(Run({"pool", "free", "1025"}), kExitOk);
  EXPECT_EQ(sent_.back(), "pool free 1025");
  EXPECT_THAT(out_.str(), HasSubstr("the LAST COMPLETE backup of PHOTOS"));
  // By the name of the medium, which may be one side of it.
  EXPECT_EQ(Run({"pool", "free", "V00002"}), kExitOk);
  EXPECT_EQ(sent_.back(), "pool free V00002");
  EXPECT_THAT(out_.str(), HasSubstr("slot 1025: medium V00002 is unused"));
  EXPECT_EQ(Run({"pool", "free"}), kExitUsage);
  EXPECT_EQ(Run({"pool", "empty", "1"}), kExitUsage);
}

TEST_F(CliTest, A5_DevicesMarkTrackedOnesWhenAsked) {
  WriteFileOrDie(Control("devices.json"),
                 R"json([{"server":"h","device":"V00002","volume":"V00002",
                      "size":1,"mode":"Backup (used)","tracked":true},
                     {"server":"h","device":"V00003","volume":"V00003",
                      "size":1,"mode":"Backup (used)","tracked":false}])json");
  EXPECT_EQ(Run({"devices"}), kExitOk);
  EXPECT_EQ(out_.str().find("used-T"), std::string::npos);
  EXPECT_EQ(Run({"devices", "-u"}), kExitOk);
  EXPECT_THAT(out_.str(), HasSubstr("Backup (used-T)"));
  EXPECT_THAT(out_.str(), HasSubstr("Backup (used)\n"));
}

TEST_F(CliTest, A1_BackupSendsWhatIsAsked) {
  Answer(R"({"job":4})");
  EXPECT_EQ(Run({"backup", "-T", "PHOTOS"}), kExitOk);
  EXPECT_EQ(sent_.back(), "backup PHOTOS track=yes");
  EXPECT_EQ(out_.str(), "job 4\n");
  EXPECT_EQ(Run({"backup", "PHOTOS", "-m", "TAPE", "--no-verify"}), kExitOk);
  EXPECT_EQ(sent_.back(), "backup PHOTOS media=tape verify=no");
  EXPECT_EQ(Run({"backup", "PHOTOS", "-m", "CLOUD"}), kExitUsage);
}

TEST_F(CliTest, A7_WhatToWriteIsDiskTapeOrBoth) {
  Answer(R"({"job":4})");
  for (const char* media : {"DISK", "TAPE", "BOTH", "disk"}) {
    EXPECT_EQ(Run({"backup", "PHOTOS", "-m", media}), kExitOk) << media;
  }
  EXPECT_EQ(sent_.back(), "backup PHOTOS media=disk");
  EXPECT_EQ(Run({"backup", "-T", "PHOTOS", "-m", "BOTH"}), kExitOk);
  const size_t sent = sent_.size();
  EXPECT_EQ(Run({"backup", "-T", "PHOTOS", "-m", "TAPE"}), kExitUsage);
  EXPECT_THAT(err_.str(), HasSubstr("a tape is always written whole"));
  EXPECT_EQ(sent_.size(), sent);
}

TEST_F(CliTest, A3_TrackCancelIsNotCancel) {
  WriteFileOrDie(Control("tracking"), "Server\n");
  EXPECT_EQ(Run({"track"}), kExitOk);
  EXPECT_EQ(out_.str(), "Server\n");
  Answer(R"({"transaction_disk":"A","backup_disk":"B","tracked":false})");
  EXPECT_EQ(Run({"track", "cancel", "A", "--target", "B"}), kExitOk);
  EXPECT_EQ(sent_.back(), "track cancel A target=B");
  EXPECT_THAT(out_.str(), HasSubstr("not tracked any more"));
  EXPECT_EQ(Run({"track", "cancel", "A"}), kExitUsage);
  EXPECT_EQ(Run({"track", "stop", "A", "--target", "B"}), kExitUsage);
}

TEST_F(CliTest, A4_HistoryOfOneVolumeAndItsDeletion) {
  WriteFileOrDie(Control("history.json"),
                 R"([{"id":1,"source":"A","target":"B"},
                     {"id":2,"source":"C","target":"D"}])");
  EXPECT_EQ(Run({"history", "A", "--json"}), kExitOk);
  EXPECT_EQ(Json::parse(out_.str()).size(), 1u);
  Answer(R"({"job":1,"medium":"V00002","freed":false,
             "kept":"A to B is tracked"})");
  EXPECT_EQ(Run({"history", "--delete", "1"}), kExitOk);
  EXPECT_EQ(sent_.back(), "history delete 1");
  EXPECT_THAT(out_.str(), HasSubstr("V00002 is kept: A to B is tracked"));
}

TEST_F(CliTest, A6_RestoreAsksOrIsTold) {
  Answer(R"({"job":7,"from":"V00002"})");
  EXPECT_EQ(Run({"restore", "PHOTOS"}), kExitUsage);
  EXPECT_THAT(err_.str(), HasSubstr("--yes"));
  EXPECT_THAT(sent_, ElementsAre("info PHOTOS"));
  EXPECT_EQ(Run({"restore", "PHOTOS", "--yes", "--from", "V00002"}), kExitOk);
  EXPECT_EQ(sent_.back(), "restore PHOTOS from=V00002 confirm=yes");
  EXPECT_EQ(out_.str(), "job 7: restores PHOTOS from V00002\n");
  std::istringstream no("yes\n"), yes("PHOTOS\n");
  environment_.in = &no;
  EXPECT_EQ(Run({"restore", "PHOTOS"}), kExitFailed);
  EXPECT_EQ(sent_.back(), "info PHOTOS");
  environment_.in = &yes;
  EXPECT_EQ(Run({"restore", "PHOTOS"}), kExitOk);
  EXPECT_THAT(err_.str(), HasSubstr("Everything on PHOTOS is replaced"));
  EXPECT_EQ(sent_.back(), "restore PHOTOS confirm=yes");
  // Nobody is asked about what is not there.
  AnswerError("NOT_FOUND", "no volume NONE is known");
  EXPECT_EQ(Run({"restore", "NONE"}), kExitFailed);
  EXPECT_EQ(err_.str(), "vellum: no volume NONE is known\n");
}

TEST_F(CliTest, A4_TheHistoryOfAnUnknownVolumeIsAnError) {
  WriteFileOrDie(Control("history.json"),
                 R"([{"id":1,"source":"GONE","target":"V00002"}])");
  AnswerError("NOT_FOUND", "no volume is known");
  EXPECT_EQ(Run({"history", "GONE", "--json"}), kExitOk);
  EXPECT_EQ(Json::parse(out_.str()).size(), 1u);
  EXPECT_EQ(Run({"history", "NONE", "--json"}), kExitFailed);
  EXPECT_EQ(Json::parse(out_.str())["ok"], false);
  EXPECT_EQ(Run({"history", "NONE"}), kExitFailed);
}

TEST_F(CliTest, NumbersThatCannotBeAreUsage) {
  for (const std::vector<std::string>& words :
       std::vector<std::vector<std::string>>{
           {"threshold", "V", "0"},
           {"threshold", "V", "101"},
           {"generations", "V", "0"},
           {"generations", "V", "1001"},
           {"generations", "V", "many"},
           {"door", "put", "TAG", "--element", "x"},
           {"door", "put", "--new", "--capacity", "0"},
           {"drive", "offline", "one"},
           {"load", "TAG", "--drive", "70000"},
           {"move", "1024", "-"},
           {"inventory", "--scan", "--range", "1030-1024"},
           {"inventory", "--scan", "--range", "V00001"},
           {"inventory", "--scan", "--copy-start", "1024", "--copy-end",
            "1025"},
           {"inventory", "--scan", "--range", "1024-70000"},
           {"setcopyrange", "--copy-start", "a", "--copy-end", "1030"},
           {"inventory", "--copy-start", "1", "--copy-end", "b"}}) {
    EXPECT_EQ(Run(words), kExitUsage) << words[0];
    EXPECT_THAT(err_.str(), HasSubstr("vellum: ")) << words[0];
  }
  EXPECT_TRUE(sent_.empty());
  EXPECT_EQ(Run({"drive", "offline", "0x100"}), kExitOk);
}

TEST_F(CliTest, A9_TheExitCodeOfAHookIsPassedOn) {
  Answer(R"({"job":1})");
  Jobs(R"([{"id":1,"kind":"copy","state":"failed","error":"ABORTED",
            "hook":"before_copy","hook_exit":37,"message":"hook"}])");
  EXPECT_EQ(Run({"copy", "PHOTOS", "--wait"}), 37);
}

TEST_F(CliTest, O17_PromoteSaysWhereTheOriginalIs) {
  Answer(
      R"({"volume":"PHOTOS","retired":"PHOTOS-OLD1","problem":"no medium"})");
  EXPECT_EQ(Run({"promote", "V00002"}), kExitOk);
  EXPECT_EQ(sent_.back(), "promote V00002");
  EXPECT_THAT(out_.str(), HasSubstr("PHOTOS-OLD1"));
  EXPECT_THAT(err_.str(), HasSubstr("no medium"));
}

TEST_F(CliTest, I6_BackupInfoOfAMediumOrAnImage) {
  Answer(R"({"volume":"V00002","owner":"PHOTOS",
             "log":[{"time":"2026-01-31T12:00:00Z","entry":{"event":"copy",
             "job":3,"method":"full","ended":"2026-01-31T12:00:00Z",
             "generation":{"lineage":"00000000000000ab","number":2}}}]})");
  EXPECT_EQ(Run({"backup-info", "V00002"}), kExitOk);
  EXPECT_EQ(sent_.back(), "backup-info V00002");
  EXPECT_THAT(out_.str(), HasSubstr("owner             PHOTOS\n"));
  EXPECT_THAT(out_.str(),
              HasSubstr("2026-01-31T12:00:00Z copy job=3 method=full "
                        "ended=2026-01-31T12:00:00Z "
                        "generation=00000000000000ab/2\n"));
  daemon_ = false;
  EXPECT_EQ(Run({"backup-info", "--image", dir_.Sub("none")}), kExitFailed);
  EXPECT_THAT(err_.str(), HasSubstr("none"));
  EXPECT_EQ(Run({"backup-info"}), kExitUsage);
}

}  // namespace
}  // namespace vellum
