// SPDX-License-Identifier: Apache-2.0
// What an operator types about single files.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>

#include "tests/tools/cli_fixture.h"

namespace vellum {
namespace {

using testing::HasSubstr;

TEST_F(CliTest, I9_CopyOfFilesSaysWhichAndUnderWhatConditions) {
  Answer(R"({"job":7})");
  EXPECT_EQ(Run({"copy", "PHOTOS", "--files", "/a b", "c=d", "-r", "--select",
                 "new", "--since", "2026-01-31", "--no-verify"}),
            kExitOk);
  EXPECT_EQ(sent_.back(),
            "copy PHOTOS verify=no \"/a b\" \"c=d\" mode=files recursive=yes "
            "select=new since=2026-01-31");
  EXPECT_EQ(out_.str(), "job 7\n");
  EXPECT_EQ(Run({"copy", "PHOTOS", "--files", "/", "--to", "ALL:/x"}), kExitOk);
  EXPECT_EQ(sent_.back(), "copy PHOTOS to=ALL:/x / mode=files");
  // A path as the mount shows it.
  EXPECT_EQ(Run({"copy", "PHOTOS", "--files", dir_.path() + "/PHOTOS/dir/f",
                 dir_.path() + "/PHOTOS"}),
            kExitOk);
  EXPECT_EQ(sent_.back(), "copy PHOTOS /dir/f / mode=files");
}

// The working directory, for as long as it lives.
class WorkingDirectory {
 public:
  explicit WorkingDirectory(const std::string& path)
      : before_(std::filesystem::current_path()) {
    std::filesystem::create_directories(path);
    std::filesystem::current_path(path);
  }
  ~WorkingDirectory() { std::filesystem::current_path(before_); }

 private:
  const std::filesystem::path before_;
};

TEST_F(CliTest, I9_PathsMayBeRelativeToTheWorkingDirectory) {
  Answer(R"({"job":7})");
  {
    const WorkingDirectory here(dir_.path() + "/PHOTOS/2024");
    EXPECT_EQ(Run({"copy", "PHOTOS", "--files", "a", "./b/../c", "..", "/d"}),
              kExitOk);
    EXPECT_EQ(sent_.back(), "copy PHOTOS /2024/a /2024/c / /d mode=files");
    EXPECT_EQ(Run({"copy", "PHOTOS", "--files", "a", "--to", "../../ALL/x"}),
              kExitOk);
    EXPECT_EQ(sent_.back(), "copy PHOTOS to=ALL:/x /2024/a mode=files");
    // A volume, not a directory here.
    EXPECT_EQ(Run({"copy", "PHOTOS", "--files", "a", "--to", "ALL"}), kExitOk);
    EXPECT_EQ(sent_.back(), "copy PHOTOS to=ALL /2024/a mode=files");
    EXPECT_EQ(Run({"copy", "OTHER", "--files", "a"}), kExitUsage);
    EXPECT_THAT(err_.str(), HasSubstr("a is not on volume OTHER"));
    EXPECT_EQ(
        Run({"restore", "PHOTOS", "--files", "a", "--to", "./old", "--yes"}),
        kExitOk);
    EXPECT_EQ(sent_.back(),
              "restore PHOTOS /2024/a mode=files to=PHOTOS:/2024/old "
              "confirm=yes");
    Answer("[]");
    EXPECT_EQ(Run({"which", "a"}), kExitOk);
    EXPECT_EQ(sent_.back(), "which PHOTOS/2024/a");
  }
  // By way of a symlink to the mount point.
  const TempDir elsewhere;
  const std::string way = elsewhere.Sub("way");
  std::filesystem::create_directory_symlink(dir_.path(), way);
  EXPECT_EQ(Run({"which", way + "/PHOTOS/a"}), kExitOk);
  EXPECT_EQ(sent_.back(), "which PHOTOS/a");
}

TEST_F(CliTest, X5_PathsToStageMayBeRelativeToTheWorkingDirectory) {
  std::string list;
  environment_.connect = [&](const DaemonAddress&) -> Result<Client> {
    return Client(dir_.path(), [&](const std::string& command) {
      const size_t at = command.find("list=");
      list = at == std::string::npos ? command
                                     : ReadFileOrDie(command.substr(at + 5));
      return Result<std::string>(R"({"ok":true,"result":{"stage":1}})");
    });
  };
  const WorkingDirectory here(dir_.path() + "/PHOTOS");
  WriteFileOrDie(dir_.Sub("names"), "c\n/DOCS/d\n");
  EXPECT_EQ(Run({"stage", "a", "../DOCS/b", dir_.path() + "/DOCS/x", "-f",
                 "../names"}),
            kExitOk);
  EXPECT_EQ(list, "PHOTOS/a\nDOCS/b\nDOCS/x\nPHOTOS/c\n/DOCS/d\n");
}

TEST_F(CliTest, I9_WhatDoesNotGoWithFilesIsUsage) {
  const size_t sent = sent_.size();
  EXPECT_EQ(Run({"copy", "PHOTOS", "--files", "/a", "--mode", "image"}),
            kExitUsage);
  EXPECT_THAT(err_.str(), HasSubstr("--files copies file by file"));
  EXPECT_EQ(Run({"copy", "PHOTOS", "--files", "/a", "-2"}), kExitUsage);
  EXPECT_EQ(Run({"copy", "PHOTOS", "-r"}), kExitUsage);
  EXPECT_THAT(err_.str(), HasSubstr("--files PATH says which"));
  EXPECT_EQ(Run({"copy", "PHOTOS", "--since", "2026-01-31"}), kExitUsage);
  EXPECT_EQ(Run({"copy", "PHOTOS", "--files", dir_.path() + "/OTHER/dir"}),
            kExitUsage);
  EXPECT_THAT(err_.str(), HasSubstr("is not on volume PHOTOS"));
  EXPECT_EQ(Run({"restore", "PHOTOS", "--to", "/x", "--yes"}), kExitUsage);
  EXPECT_EQ(Run({"jobs", "--files"}), kExitUsage);
  EXPECT_EQ(sent_.size(), sent);
}

TEST_F(CliTest, I12_RestoreOfFilesAsksOnlyWhenSomethingIsReplaced) {
  const std::string ok = R"({"ok":true,"result":{"job":7,"from":"V00002"}})";
  const std::string exists =
      R"({"ok":false,"error":{"code":"EXISTS",)"
      R"("message":"1 files of PHOTOS would be replaced: /a"}})";
  answers_ = {ok};
  EXPECT_EQ(Run({"restore", "PHOTOS", "--files", "/a", "--to", "/old"}),
            kExitOk);
  EXPECT_EQ(sent_.back(), "restore PHOTOS /a mode=files to=/old");
  answers_ = {ok};
  EXPECT_EQ(Run({"restore", "PHOTOS", "--files", "/a", "--no-verify"}),
            kExitOk);
  EXPECT_EQ(sent_.back(), "restore PHOTOS /a mode=files verify=no");
  EXPECT_EQ(out_.str(), "job 7: restores PHOTOS from V00002\n");
  EXPECT_EQ(Run({"restore", "PHOTOS", "--no-verify", "--yes"}), kExitUsage);
  EXPECT_THAT(err_.str(), HasSubstr("always read back"));
  answers_ = {exists};
  EXPECT_EQ(Run({"restore", "PHOTOS", "--files", "/a"}), kExitUsage);
  EXPECT_THAT(err_.str(), HasSubstr("would be replaced: /a"));
  EXPECT_THAT(err_.str(), HasSubstr("--yes"));
  std::istringstream no("no\n"), yes("PHOTOS\n");
  environment_.in = &no;
  answers_ = {exists};
  EXPECT_EQ(Run({"restore", "PHOTOS", "--files", "/a"}), kExitFailed);
  environment_.in = &yes;
  answers_ = {exists, ok};
  EXPECT_EQ(Run({"restore", "PHOTOS", "--files", "/a", "--from", "V00002"}),
            kExitOk);
  EXPECT_EQ(sent_.back(),
            "restore PHOTOS /a mode=files from=V00002 confirm=yes");
  answers_ = {ok};
  EXPECT_EQ(Run({"restore", "PHOTOS", "--files", "/a", "--yes"}), kExitOk);
  EXPECT_EQ(sent_.back(), "restore PHOTOS /a mode=files confirm=yes");
}

TEST_F(CliTest, I11_ConvertReportListsWhatWasDeleted) {
  Answer(R"({"backup":"B1","primary":"PHOTOS","deleted":3,
             "paths":["/a","/b c"]})");
  EXPECT_EQ(Run({"convert", "B1", "--report"}), kExitOk);
  EXPECT_EQ(sent_.back(), "convert B1 report=yes");
  EXPECT_EQ(out_.str(), "/a\n/b c\nand 1 more\n");
}

TEST_F(CliTest, I9_JobsShowsTheResultsOfFiles) {
  std::filesystem::create_directories(Control("jobs/3"));
  WriteFileOrDie(Control("jobs/3/files"), "Path Type\n/a file\n");
  WriteFileOrDie(Control("jobs/3/files.json"), "[{\"path\":\"/a\"}]\n");
  EXPECT_EQ(Run({"jobs", "3", "--files"}), kExitOk);
  EXPECT_EQ(out_.str(), "Path Type\n/a file\n");
  EXPECT_EQ(Run({"jobs", "3", "--files", "--json"}), kExitOk);
  EXPECT_EQ(out_.str(), "[{\"path\":\"/a\"}]\n");
  EXPECT_EQ(Run({"jobs", "4", "--files"}), kExitFailed);
}

}  // namespace
}  // namespace vellum
