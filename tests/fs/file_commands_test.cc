// SPDX-License-Identifier: Apache-2.0
// The commands and tables about single files (I6, I9-I12).
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>

#include "tests/fs/service_fixture.h"

namespace vellum {
namespace {

using testing::HasSubstr;

class FileCommandsTest : public ServiceFixture {
 protected:
  void MakeTree() {
    Run("format V00001 name=PRIM");
    Make("PRIM", "dir", "", "");
    Make("PRIM", "top", "", "at the top");
    Make("PRIM", "file", "dir", "in the directory");
  }
  // A file in the root or in a directory of it; a directory without content.
  void Make(const std::string& volume, const std::string& name,
            const std::string& dir, const std::string& content) {
    const auto use = service_->volumes().Use(service_->volumes().Find(volume));
    ASSERT_OK(use);
    InodeNumber parent = (*use)->root();
    if (!dir.empty()) {
      const auto found = (*use)->Lookup(parent, dir);
      ASSERT_OK(found);
      parent = found->ino;
    }
    NewInode inode;
    if (content.empty()) inode.type = udf::FileType::kDirectory;
    const auto made = (*use)->Create(parent, name, inode);
    ASSERT_OK(made);
    if (content.empty()) return;
    ASSERT_OK((*use)->Write(
        made->ino, 0,
        std::as_bytes(std::span(content.data(), content.size()))));
  }
  void Remove(const std::string& volume, const std::string& name) {
    const auto use = service_->volumes().Use(service_->volumes().Find(volume));
    ASSERT_OK(use);
    ASSERT_OK((*use)->Unlink((*use)->root(), name));
  }
  JobRecord Done(const std::string& command) {
    const Result<JobRecord> job =
        service_->jobs().Wait(Run(command).value("job", JobId{0}));
    EXPECT_OK(job);
    if (!job.ok()) return {};
    EXPECT_EQ(job->state, JobState::kDone) << job->message;
    return *job;
  }
};

TEST_F(FileCommandsTest, I9_ACopyOfFilesTellsWhatBecameOfEach) {
  MakeTree();
  const JobRecord job = Done("copy PRIM /dir /top mode=files");
  const std::string id = std::to_string(job.id);
  const Json rows = CatJson("jobs/" + id + "/files.json");
  EXPECT_EQ(RowOf(rows, "path", "/top")["result"], "copied");
  EXPECT_EQ(RowOf(rows, "path", "/top")["bytes"], 10);
  const Json dir = RowOf(rows, "path", "/dir");
  EXPECT_EQ(dir["type"], "directory");
  EXPECT_EQ(dir["result"], "made");
  EXPECT_EQ(dir["copied"], 1);
  const auto text = Cat("jobs/" + id + "/files");
  ASSERT_OK(text);
  EXPECT_THAT(*text, HasSubstr("/dir/file"));
}

TEST_F(FileCommandsTest, I9_ConditionsAreOptionsAndMistakesAreNamed) {
  MakeTree();
  Done("copy PRIM path=/ mode=files recursive=yes");
  const JobRecord job =
      Done("copy PRIM / mode=files recursive=yes select=all since=2001-01-01");
  EXPECT_GT(job.bytes_copied, 0u);
  for (const auto& [command, error] :
       std::vector<std::pair<std::string, std::string>>{
           {"copy PRIM mode=files", "No path is given"},
           {"copy PRIM /none mode=files", "/none is not on volume PRIM"},
           {"copy PRIM / mode=files since=tomorrow", "is not a time"},
           {"copy PRIM / mode=files select=some", "changed, new, all"},
           {"copy PRIM / mode=files whole=yes", "unknown option \"whole\""},
           {"copy PRIM / mode=image", "usage"},
           {"copy PRIM / mode=files to=PRIM", "themselves"},
           {"restore PRIM /top mode=files to=OTHER", "no volume OTHER"}}) {
    EXPECT_THAT(service_->Execute(command), MessageHas(error)) << command;
  }
}

TEST_F(FileCommandsTest, I11_TheMethodIsShownAndWhatWasDeletedIsListed) {
  MakeTree();
  Done("copy PRIM");
  Done("copy PRIM / mode=files recursive=yes");
  const Json copies = CatJson("copies.json");
  EXPECT_EQ(RowOf(copies, "medium", "V00002")["method"], "image");
  const Json files = RowOf(copies, "medium", "V00003");
  EXPECT_EQ(files["method"], "files");
  EXPECT_EQ(files["backup_state"], "files");
  EXPECT_TRUE(files["error"].is_null());
  EXPECT_EQ(RowOf(Run("which PRIM/top"), "volume", "V00003")["current"], true);
  Remove("PRIM", "top");
  const Json report = Run("convert V00003 report=yes");
  EXPECT_EQ(report["deleted"], 1);
  EXPECT_EQ(report["paths"], Json::array({"/top"}));
  EXPECT_EQ(report["primary"], "PRIM");
  EXPECT_EQ(Run("info V00003")["role"], "backup") << "nothing was converted";
  EXPECT_THAT(service_->Execute("convert PRIM report=yes"),
              HasErrc(Errc::kInvalidArgument));
}

TEST_F(FileCommandsTest, I6_BackupInfoTellsOfEachDirectory) {
  MakeTree();
  const JobRecord job = Done("copy PRIM / mode=files recursive=yes");
  const Json info = Run("backup-info V00002");
  EXPECT_EQ(info["state"], "files");
  EXPECT_EQ(info["method"], "files");
  EXPECT_EQ(info["owner"], "PRIM");
  EXPECT_EQ(info["files_copy"]["state"], "done");
  EXPECT_EQ(info["files_copy"]["job"], job.id);
  const Json dir = RowOf(info["directories"], "path", "/dir");
  EXPECT_EQ(dir["copied"], 1);
  EXPECT_EQ(dir["job"], job.id);
  Done("copy PRIM to=V00003");
  EXPECT_EQ(Run("backup-info V00003")["method"], "image");
}

TEST_F(FileCommandsTest, I12_ARestoreOfFilesReadsBackUnlessToldNotTo) {
  MakeTree();
  Done("copy PRIM");
  const JobRecord read = Done("restore PRIM /top mode=files to=/a");
  EXPECT_EQ(read.bytes_verified, 10u);
  const JobRecord quick = Done("restore PRIM /top mode=files to=/b verify=no");
  EXPECT_EQ(quick.bytes_copied, 10u);
  EXPECT_EQ(quick.bytes_verified, 0u);
}

TEST_F(FileCommandsTest, I12_ARestoreOfFilesAsksBeforeItReplaces) {
  MakeTree();
  Done("copy PRIM / mode=files recursive=yes");
  Remove("PRIM", "top");
  Done("restore PRIM /top mode=files");
  Remove("PRIM", "top");
  Make("PRIM", "top", "", "something else");
  const auto refused = service_->Execute("restore PRIM /top mode=files");
  EXPECT_THAT(refused, HasErrc(Errc::kExists));
  EXPECT_THAT(refused, MessageHas("would be replaced: /top"));
  const JobRecord job =
      Done("restore PRIM /top mode=files confirm=yes from=V00002");
  EXPECT_EQ(job.request.target, "V00002");
  Done("restore PRIM /dir mode=files to=/saved");
  const auto volume = service_->volumes().Find("PRIM");
  EXPECT_OK(volume->Lookup(volume->root(), "saved"));
}

}  // namespace
}  // namespace vellum
