// SPDX-License-Identifier: Apache-2.0
// Copies by file to a backup (I4, I5, I7, I9, I11), and what they do to copies
// of other kinds.
#include <gmock/gmock.h>

#include <atomic>

#include "copy/file_plan.h"
#include "tests/copy/files_fixture.h"

namespace vellum {
namespace {

using testing::HasSubstr;

class FileBackupTest : public FilesTest,
                       public testing::WithParamInterface<int> {
 protected:
  void Begin(uint16_t media = 4) {
    job_options_.file_batch_bytes = 100'000;  // several batches
    Start(static_cast<uint16_t>(GetParam()), media);
    MakePrimary(1, "PRIM");
    FillTree("PRIM");
  }
};
INSTANTIATE_TEST_SUITE_P(Drives, FileBackupTest, testing::Values(1, 2));

TEST_P(FileBackupTest, I4_AllOfTheVolumeIsAsOnThePrimaryWithAllItsTimes) {
  Begin();
  const JobRecord job = Copy(AllFiles("PRIM"));
  EXPECT_EQ(job.target_volume, "V00002");
  EXPECT_EQ(job.method, "files");
  SendAllHome();
  ExpectClean(2);
  EXPECT_EQ(ListMedium(2, true), ListMedium(1, true));
  const udf::ControlSlot slot = Slot(2);
  EXPECT_EQ(slot.role, udf::Role::kBackup);
  EXPECT_EQ(slot.state, udf::SlotState::kFiles);
  EXPECT_EQ(slot.owner_id, "PRIM");
  EXPECT_EQ(slot.threshold, 99u);
  const VolumeRecord record = volumes_->Find("V00002")->record();
  EXPECT_EQ(record.state, udf::SlotState::kFiles);
  EXPECT_EQ(record.generation, slot.generation);
  EXPECT_EQ(record.tree, TreeState::kValid);
  EXPECT_NE(record.copied, TimeSpec());
  // The catalog shows what the medium holds, and nobody else changes it.
  const auto backup = volumes_->Find("V00002");
  EXPECT_EQ(CatalogNames(*backup), MediumNames(Content(2)));
  EXPECT_THAT(Put("V00002", "/top", "x"), HasErrc(Errc::kReadOnly));
  ExpectSpoolEmpty();
  // The same again, from what the medium says of itself.
  Close();
  std::filesystem::remove_all(dir_.Sub("catalog"));
  Open();
  ASSERT_OK(Inventory(archive(), true));
  EXPECT_EQ(volumes_->Find("V00002")->record().state, udf::SlotState::kFiles);
  EXPECT_EQ(CatalogNames(*volumes_->Find("V00002")), MediumNames(Content(2)));
  const JobRecord again = Copy(AllFiles("PRIM"));
  EXPECT_EQ(again.target_volume, "V00002");
  EXPECT_EQ(again.bytes_copied, 0u) << Story(again);
}

TEST_P(FileBackupTest, I11_WhatIsDeletedOnThePrimaryStaysAndIsListed) {
  Begin();
  Copy(AllFiles("PRIM"));
  ASSERT_OK(Unlink("PRIM", "/photos/2024/small"));
  ASSERT_OK(Unlink("PRIM", "/top"));
  ASSERT_OK(Put("PRIM", "/photos/new", Bytes0(8, 70'000)));
  ASSERT_OK(Put("PRIM", "/photos/2024/empty", "not empty any more"));
  const JobRecord job = Copy(AllFiles("PRIM"));
  EXPECT_EQ(job.target_volume, "V00002");
  SendAllHome();
  ExpectClean(2);
  Listing primary = ListMedium(1, true);
  Listing backup = ListMedium(2, true);
  EXPECT_EQ(backup.count("/top"), 1u);
  EXPECT_EQ(backup.count("/photos/2024/small"), 1u);
  backup.erase("/top");
  backup.erase("/photos/2024/small");
  EXPECT_EQ(backup, primary);
  const auto results = Results(job.id);
  EXPECT_EQ(results.at("/photos/new").result, "copied");
  EXPECT_EQ(results.at("/photos/2024/empty").result, "copied");
  EXPECT_EQ(results.count("/photos/large"), 0u);
  EXPECT_EQ(results.at("/photos").copied, 1u);
  uint64_t count = 0;
  const auto p = TreeOfVolume(*volumes_->Find("PRIM"));
  const auto b = TreeOfVolume(*volumes_->Find("V00002"));
  ASSERT_OK_AND_ASSIGN(const auto deleted, FindDeleted(*p, *b, 100, &count));
  EXPECT_THAT(deleted, testing::ElementsAre("/photos/2024/small", "/top"));
  EXPECT_EQ(count, 2u);
}

TEST_P(FileBackupTest, I9_APartOfTheVolumeIsUpdatedInAnImage) {
  Begin();
  Copy(Request("PRIM"));  // an image on V00002
  ASSERT_OK(Put("PRIM", "/photos/large", Bytes0(2, 310'000)));
  ASSERT_OK(Put("PRIM", "/top", "changed, but not copied"));
  JobRecord job = Copy(Files("PRIM", {"/photos"}, "V00002"));
  EXPECT_EQ(job.target_medium, Tag(2));
  EXPECT_EQ(Slot(2).state, udf::SlotState::kFiles);
  EXPECT_EQ(job.bytes_copied, 310'000u);
  SendAllHome();
  ExpectClean(2);
  const Listing primary = ListMedium(1, true);
  const Listing backup = ListMedium(2, true);
  EXPECT_EQ(backup.at("/photos/2024"), primary.at("/photos/2024"));
  EXPECT_EQ(backup.at("/photos"), primary.at("/photos"));
  EXPECT_NE(backup.at("/top"), primary.at("/top"));
  EXPECT_EQ(ReadFromMedium(2, "top"), "at the top");
  // No incremental copy takes it for a generation of the primary, and none
  // takes it unasked.
  ASSERT_OK_AND_ASSIGN(const auto pairs, TrackedPairs(archive()));
  EXPECT_TRUE(pairs.empty());
  CopyRequest incremental = Request("PRIM", CopyMode::kIncremental);
  job = Copy(incremental);
  EXPECT_EQ(job.target_medium, Tag(3));
  EXPECT_EQ(job.method, "full");
  incremental.target = "V00002";
  incremental.policy = CopyPolicy::kMinicopy;
  const auto refused = Run(incremental);
  ASSERT_OK(refused);
  EXPECT_EQ(refused->error, Errc::kOutOfRange) << Story(*refused);
  EXPECT_EQ(Slot(2).state, udf::SlotState::kFiles);
  incremental.policy = CopyPolicy::kOptional;
  job = Copy(incremental);
  EXPECT_EQ(job.method, "full");
  SendAllHome();
  ExpectClean(2);
  EXPECT_EQ(Slot(2).state, udf::SlotState::kComplete);
  EXPECT_EQ(Slot(2).generation, job.generation);
  EXPECT_EQ(Difference(1, 2), "");
}

TEST_P(FileBackupTest, I11_AnImageReplacesTheOnlyBackupInOneStep) {
  Begin(2);
  CopyRequest image = Request("PRIM");
  Copy(image);
  // Nothing to copy: it stays what it is.
  Copy(Files("PRIM", {"/photos"}, "V00002"));
  ASSERT_EQ(Slot(2).state, udf::SlotState::kComplete);
  ASSERT_OK(Put("PRIM", "/photos/new", "new"));
  Copy(Files("PRIM", {"/photos"}, "V00002"));
  ASSERT_OK(Put("PRIM", "/photos/other", "other"));
  EXPECT_EQ(Copy(Files("PRIM", {"/photos"})).target_medium, Tag(2));
  ASSERT_EQ(Slot(2).state, udf::SlotState::kFiles);
  // Not without being asked: it holds what is deleted on the primary.
  EXPECT_THAT(jobs_->Submit(image), HasErrc(Errc::kNoSpace));
  image.target = "V00002";
  const JobRecord job = Copy(image);
  EXPECT_TRUE(Says(job, "was made file by file")) << Story(job);
  SendAllHome();
  ExpectClean(2);
  EXPECT_EQ(Slot(2).state, udf::SlotState::kComplete);
  EXPECT_EQ(Slot(2).generation, job.generation);
  EXPECT_EQ(Difference(1, 2), "");
  // And file by file again.
  ASSERT_OK(Put("PRIM", "/photos/newer", "newer"));
  Copy(AllFiles("PRIM", "V00002"));
  SendAllHome();
  ExpectClean(2);
  EXPECT_EQ(ListMedium(2, true), ListMedium(1, true));
}

// The image has what a copy left on its primary.
TEST_P(FileBackupTest, I11_AnImageWithNothingToDoStaysAnImage) {
  Begin();
  ASSERT_OK(Put("PRIM", "/.vellum-copy~777/0", "half a file"));
  Copy(Request("PRIM"));
  const udf::ControlSlot before = Slot(2);
  const JobRecord job = Copy(AllFiles("PRIM", "V00002"));
  EXPECT_TRUE(Says(job, "0 files of PRIM copied")) << Story(job);
  EXPECT_EQ(Slot(2).state, udf::SlotState::kComplete);
  EXPECT_EQ(Slot(2).generation, before.generation);
  EXPECT_EQ(ListMedium(2, false).count("/.vellum-copy~777/0"), 1u);
  CopyRequest incremental = Request("PRIM", CopyMode::kIncremental);
  incremental.target = "V00002";
  incremental.policy = CopyPolicy::kMinicopy;
  EXPECT_EQ(Copy(incremental).method, "incremental");
}

TEST_P(FileBackupTest, I9_ARerunCopiesOnlyWhatIsMissing) {
  Begin();
  Fill("PRIM", 1);
  Close();
  // Cancelled when something is on the medium.
  bool armed = true;
  job_options_.on_transition = [&](const JobRecord& job) {
    if (armed && job.bytes_verified > 0) {
      armed = false;
      EXPECT_OK(jobs_->Cancel(job.id));
    }
    return Status::Ok();
  };
  Open();
  const auto job = Run(AllFiles("PRIM"));
  ASSERT_OK(job);
  ASSERT_EQ(job->state, JobState::kCancelled) << Story(*job);
  const std::vector<std::string> log = ControlLog(2);
  ASSERT_FALSE(log.empty());
  EXPECT_THAT(log.back(), HasSubstr("\"state\":\"cancelled\""));
  EXPECT_THAT(log.back(), HasSubstr("\"success\":false"));
  SendAllHome();
  ExpectClean(2);
  const Listing before = ListMedium(2, false);
  const JobRecord again = Copy(AllFiles("PRIM"));
  for (const auto& [path, result] : Results(again.id)) {
    if (result.directory) continue;
    EXPECT_EQ(before.count(path), 0u) << path << " was copied twice";
  }
  SendAllHome();
  EXPECT_EQ(ListMedium(2, true), ListMedium(1, true));
}

TEST_P(FileBackupTest, I11_ADaemonThatDiesLeavesEachFileOldOrNew) {
  Begin();
  Copy(AllFiles("PRIM"));
  const Listing old = ListMedium(2, false);
  ASSERT_OK(Put("PRIM", "/photos/large", Bytes0(9, 400'000)));
  ASSERT_OK(Put("PRIM", "/photos/2024/small", Bytes0(10, 90'000)));
  SendAllHome();
  Close();
  // When the first files are on the medium, but the copy is not done.
  std::atomic<bool> die = true;
  job_options_.on_transition = [&die](const JobRecord& job) {
    if (die && job.bytes_verified > 0) return Status(Errc::kAborted, "died");
    return Status::Ok();
  };
  Open();
  ASSERT_OK_AND_ASSIGN(const JobId id, jobs_->Submit(AllFiles("PRIM")));
  EXPECT_THAT(jobs_->Wait(id), HasErrc(Errc::kAborted));
  Close();
  // It is a whole volume, and its log says that the copy was broken off.
  EXPECT_EQ(Slot(2).state, udf::SlotState::kFiles);
  ExpectClean(2);
  const std::vector<std::string> log = ControlLog(2);
  bool started = false;
  for (const std::string& line : log) {
    if (line.find("\"job\":" + std::to_string(id)) == std::string::npos) {
      continue;
    }
    if (line.find("\"started\"") != std::string::npos) started = true;
    EXPECT_EQ(line.find("\"state\":\"done\""), std::string::npos) << line;
  }
  EXPECT_TRUE(started);
  die = false;
  Open();
  ASSERT_OK_AND_ASSIGN(const JobRecord job, jobs_->Wait(id));
  ASSERT_EQ(job.state, JobState::kDone) << Story(job);
  SendAllHome();
  ExpectClean(2);
  EXPECT_EQ(ListMedium(2, true), ListMedium(1, true));
  EXPECT_NE(ListMedium(2, false), old);
  EXPECT_EQ(CatalogNames(*volumes_->Find("V00002")), MediumNames(Content(2)));
}

TEST_P(FileBackupTest, I6_TheMediumSaysWhatBecameOfEachDirectory) {
  Begin();
  const JobRecord job = Copy(Files("PRIM", {"/photos", "/other"}));
  const std::vector<std::string> log = ControlLog(2);
  ASSERT_GE(log.size(), 3u);
  EXPECT_THAT(log.front(), HasSubstr("\"state\":\"started\""));
  EXPECT_THAT(log.front(), HasSubstr("\"source\":\"PRIM\""));
  EXPECT_THAT(log.front(), HasSubstr("[\"/photos\",\"/other\"]"));
  std::string directories;
  for (const std::string& line : log) {
    if (line.find("\"event\":\"directories\"") != std::string::npos) {
      directories += line;
    }
  }
  EXPECT_THAT(directories, HasSubstr("\"copied\":1"));
  EXPECT_THAT(directories, HasSubstr("\"path\":\"/photos\""));
  EXPECT_THAT(directories, HasSubstr("\"path\":\"/other\""));
  EXPECT_THAT(log.back(), HasSubstr("\"state\":\"done\""));
  EXPECT_THAT(log.back(), HasSubstr("\"success\":true"));
  EXPECT_THAT(log.back(), HasSubstr("\"method\":\"files\""));
  EXPECT_THAT(log.back(), HasSubstr("\"job\":" + std::to_string(job.id)));
}

TEST_P(FileBackupTest, I7_ControlInformationWithoutRoomLeavesTheBackupAlone) {
  Begin();
  Copy(Request("PRIM"));
  SendAllHome();
  const udf::ControlSlot before = Slot(2);
  // More directories than the log can tell of.
  for (int i = 0; i < 400; ++i) {
    ASSERT_OK(
        Put("PRIM", fmt::format("/{:0>200}/file", i), "in one of its own"));
  }
  ASSERT_OK(Put("PRIM", "/top", "changed"));
  const auto job = Run(AllFiles("PRIM", "V00002"));
  ASSERT_OK(job);
  EXPECT_EQ(job->error, Errc::kNoSpace) << Story(*job);
  EXPECT_TRUE(Says(*job, "nothing was changed")) << Story(*job);
  SendAllHome();
  EXPECT_EQ(Slot(2).state, udf::SlotState::kComplete);
  EXPECT_EQ(Slot(2).generation, before.generation);
  EXPECT_EQ(ReadFromMedium(2, "top"), "at the top");
}

TEST_P(FileBackupTest, I8_ABackupMadeByFilesIsConverted) {
  Begin();
  Copy(AllFiles("PRIM"));
  ASSERT_OK(Unlink("PRIM", "/top"));
  ASSERT_OK_AND_ASSIGN(const VolumeRecord record,
                       Convert(archive(), "V00002", "AGAIN"));
  EXPECT_EQ(record.role, udf::Role::kPrimary);
  EXPECT_EQ(ReadFile("AGAIN", "top"), "at the top");
  ASSERT_OK(Put("AGAIN", "/top", "writable"));
  SendAllHome();
  ExpectClean(2);
}

class FileBackupErrorTest : public FilesTest {};

TEST_F(FileBackupErrorTest, I5_FileCopiesStopAt99PerCentAndLoseNothing) {
  Start(2, 3);
  MakePrimary(1, "PRIM");
  ASSERT_OK(Put("PRIM", "/large", Bytes0(1, 4'000'000)));
  Copy(AllFiles("PRIM"));
  // More than the backup holds beside what was deleted.
  ASSERT_OK(Unlink("PRIM", "/large"));
  ASSERT_OK(Put("PRIM", "/larger", Bytes0(2, 11'000'000)));
  const auto job = Run(AllFiles("PRIM"));
  ASSERT_OK(job);
  EXPECT_EQ(job->error, Errc::kNoSpace) << Story(*job);
  EXPECT_TRUE(Says(*job, "99 %")) << Story(*job);
  SendAllHome();
  ExpectClean(2);
  EXPECT_EQ(ReadFromMedium(2, "large"), Bytes0(1, 4'000'000));
  EXPECT_EQ(MediumNames(Content(2)), std::set<std::string>{"large"});
}

TEST_F(FileBackupErrorTest, A8_AFileMadeBackupCountsAsNoCompleteOne) {
  job_options_.generations = 2;
  Start(2, 5);
  MakePrimary(1, "PRIM");
  ASSERT_OK(Put("PRIM", "/a", "a"));
  Copy(Request("PRIM"));
  Copy(AllFiles("PRIM"));
  EXPECT_EQ(Slot(3).state, udf::SlotState::kFiles);
  ASSERT_OK(Put("PRIM", "/a", "b"));
  Copy(Request("PRIM"));
  EXPECT_EQ(Slot(2).state, udf::SlotState::kComplete);
  EXPECT_EQ(Slot(3).state, udf::SlotState::kFiles);
  EXPECT_EQ(Slot(4).state, udf::SlotState::kComplete);
  // A whole restore takes none that may hold a part only.
  EXPECT_THAT(jobs_->SubmitRestore("PRIM", "V00003"),
              MessageHas("made file by file"));
  // Its history is not that of one copy.
  ASSERT_OK_AND_ASSIGN(const auto rows, ReadHistory(*catalog_, "V00003"));
  ASSERT_EQ(rows.size(), 1u);
  ASSERT_OK_AND_ASSIGN(const DeletedHistory deleted,
                       DeleteHistory(archive(), *jobs_, rows[0].job));
  EXPECT_FALSE(deleted.freed);
  EXPECT_NE(volumes_->Find("V00003"), nullptr);
}

// --- Restores (I12)

class FileRestoreTest : public FilesTest,
                        public testing::WithParamInterface<int> {};
INSTANTIATE_TEST_SUITE_P(Drives, FileRestoreTest, testing::Values(1, 2));

TEST_P(FileRestoreTest, I12_WholeByDirectoryAndByFile) {
  Start(static_cast<uint16_t>(GetParam()), 4);
  MakePrimary(1, "PRIM");
  FillTree("PRIM");
  Copy(Request("PRIM"));   // image on V00002
  Copy(AllFiles("PRIM"));  // files on V00003
  SendAllHome();
  const Listing before = ListMedium(1, true);
  ASSERT_OK(Unlink("PRIM", "/top"));
  ASSERT_OK(Unlink("PRIM", "/photos/2024/symlink"));
  ASSERT_OK(Unlink("PRIM", "/other/fifo"));
  FileSelection files;
  files.paths = {"/top"};
  files.replace = false;
  JobRecord job = RestoreFiles("PRIM", "V00002", files);
  ASSERT_EQ(job.state, JobState::kDone) << Story(job);
  EXPECT_EQ(ReadFile("PRIM", "top"), "at the top");
  // What is there is replaced only when somebody has said so.
  ASSERT_OK(Put("PRIM", "/photos/2024/small", "spoiled"));
  files.paths = {"/photos"};
  files.recursive = true;
  const auto refused = jobs_->SubmitFileRestore("PRIM", "", files);
  EXPECT_THAT(refused, HasErrc(Errc::kExists));
  EXPECT_THAT(refused, MessageHas("1 files of PRIM would be replaced: "
                                  "/photos/2024/small"));
  files.replace = true;
  job = RestoreFiles("PRIM", "", files);
  ASSERT_EQ(job.state, JobState::kDone) << Story(job);
  EXPECT_EQ(job.request.target, "V00003") << "the newest";
  ASSERT_OK(Put("PRIM", "/later", "stays"));
  files.paths = {"/"};
  job = RestoreFiles("PRIM", "V00003", files);
  ASSERT_EQ(job.state, JobState::kDone) << Story(job);
  SendAllHome();
  ExpectClean(1);
  Listing after = ListMedium(1, true);
  EXPECT_EQ(after.erase("/later"), 1u);
  EXPECT_EQ(after, before);
  // They are ordinary files of a primary that goes on.
  ASSERT_OK(Put("PRIM", "/top", "changed"));
  EXPECT_EQ(volumes_->Find("PRIM")->record().role, udf::Role::kPrimary);
  ASSERT_OK_AND_ASSIGN(const auto rows, ReadHistory(*catalog_, "PRIM"));
  EXPECT_EQ(rows.back().mode, "restore");
  EXPECT_EQ(rows.back().method, "files");
  EXPECT_EQ(rows.back().target, "PRIM");
}

TEST_P(FileRestoreTest, I12_ToAnotherPrimaryBelowAPath) {
  Start(static_cast<uint16_t>(GetParam()), 4);
  MakePrimary(1, "PRIM");
  ASSERT_OK(Put("PRIM", "/dir/file", Bytes0(5, 50'000)));
  Copy(AllFiles("PRIM"));
  MakePrimary(3, "OTHER");
  FileSelection files;
  files.paths = {"/dir/file"};
  files.below = "saved";
  const JobRecord job = RestoreFiles("OTHER", "V00002", files);
  ASSERT_EQ(job.state, JobState::kDone) << Story(job);
  SendAllHome();
  EXPECT_EQ(ListMedium(3, true).at("/saved/dir/file"),
            ListMedium(1, true).at("/dir/file"));
  EXPECT_THAT(jobs_->SubmitFileRestore("OTHER", "", files),
              HasErrc(Errc::kNotFound));
  EXPECT_THAT(jobs_->SubmitFileRestore("OTHER", "PRIM", files),
              HasErrc(Errc::kInvalidArgument));
  EXPECT_THAT(jobs_->SubmitFileRestore("V00002", "V00002", files),
              HasErrc(Errc::kInvalidArgument));
  files.paths = {"/none"};
  EXPECT_THAT(jobs_->SubmitFileRestore("OTHER", "V00002", files),
              MessageHas("/none is not on volume V00002"));
}

}  // namespace
}  // namespace vellum
