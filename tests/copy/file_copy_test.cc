// SPDX-License-Identifier: Apache-2.0
// Copies by file to a primary (I9, I10), and what is refused.
#include <gmock/gmock.h>

#include <atomic>
#include <thread>

#include "copy/shelf.h"
#include "tests/copy/files_fixture.h"

namespace vellum {
namespace {

TEST(FileSelectionTest, I9_TimesAndPathsAreReadExactly) {
  ASSERT_OK_AND_ASSIGN(TimeSpec time, ParseSince("2001-09-09T01:46:40Z"));
  EXPECT_EQ(time, (TimeSpec{1'000'000'000, 0}));
  ASSERT_OK_AND_ASSIGN(time, ParseSince("2001-09-09 01:46"));
  EXPECT_EQ(time, (TimeSpec{999'999'960, 0}));
  ASSERT_OK_AND_ASSIGN(time, ParseSince("1970-01-02"));
  EXPECT_EQ(time, (TimeSpec{86'400, 0}));
  ASSERT_OK_AND_ASSIGN(time, ParseSince("@-5"));
  EXPECT_EQ(time, (TimeSpec{-5, 0}));
  for (const char* bad :
       {"", "yesterday", "2001-9-9", "2001-02-30", "2001-09-09T25:00",
        "2001-09-09T01:46:40Zx", "@", "@1x", "2001-09-09T"}) {
    EXPECT_THAT(ParseSince(bad), HasErrc(Errc::kInvalidArgument)) << bad;
  }
  EXPECT_EQ(*VolumePath("photos//2024/./x/"), "/photos/2024/x");
  EXPECT_EQ(*VolumePath("/"), "/");
  EXPECT_THAT(VolumePath("/a/../b"), HasErrc(Errc::kInvalidArgument));
  EXPECT_THAT(VolumePath(""), HasErrc(Errc::kInvalidArgument));
}

// With one drive and with two.
class FileCopyTest : public FilesTest, public testing::WithParamInterface<int> {
 protected:
  void Begin() {
    Start(static_cast<uint16_t>(GetParam()), 4);
    MakePrimary(1, "PRIM");
    FillTree("PRIM");
    MakePrimary(2, "ALL");
  }
};
INSTANTIATE_TEST_SUITE_P(Drives, FileCopyTest, testing::Values(1, 2));

TEST_P(FileCopyTest, I10_SeveralVolumesGoIntoOneBelowOtherPaths) {
  Begin();
  MakePrimary(3, "MORE");
  ASSERT_OK(Put("MORE", "/top", "of another volume"));
  ASSERT_OK(Put("ALL", "/kept", "was there"));
  const JobRecord job = Copy(AllFiles("PRIM", "ALL:/prim"));
  EXPECT_EQ(job.method, "files");
  EXPECT_EQ(job.target_volume, "ALL");
  EXPECT_GT(job.bytes_verified, 300'000u);
  Copy(AllFiles("MORE", "ALL:more/deep/"));
  SendAllHome();
  ExpectClean(2);
  Listing source = ListMedium(1, false);
  source.erase("/");
  Listing copy = ListMedium(2, false, "/prim");
  // Names of one file are so on the target, too.
  for (auto& [path, text] : copy) {
    if (const size_t at = text.find(" as /prim"); at != std::string::npos) {
      text.erase(at + 4, 5);
    }
  }
  EXPECT_EQ(copy, source);
  EXPECT_EQ(ListMedium(2, false).count("/more/deep/top"), 1u);
  // They are ordinary files: nobody says that they are old.
  EXPECT_NE(ListMedium(2, true, "/prim").at("/top"),
            ListMedium(1, true).at("/top"));
  EXPECT_EQ(ReadFile("ALL", "kept"), "was there");
  ASSERT_OK(Put("ALL", "/prim/top", "can be changed"));
  ExpectSpoolEmpty();
  ASSERT_OK_AND_ASSIGN(const auto rows, ReadHistory(*catalog_, "ALL"));
  ASSERT_EQ(rows.size(), 2u);
  EXPECT_EQ(rows[0].mode, "files");
  EXPECT_EQ(rows[0].method, "files");
}

TEST_P(FileCopyTest, I9_OneFileOneDirectoryWithOrWithoutWhatIsBelow) {
  Begin();
  Copy(Files("PRIM", {"/photos/2024/small"}, "ALL"));
  SendAllHome();
  Listing all = ListMedium(2, false);
  EXPECT_EQ(all.size(), 4u);  // with /, /photos and /photos/2024
  EXPECT_EQ(all.at("/photos/2024/small"),
            ListMedium(1, false).at("/photos/2024/small"));
  JobRecord job = Copy(Files("PRIM", {"/photos"}, "ALL"));
  EXPECT_TRUE(Says(job, "1 directory left out: not recursive (-r)"))
      << Story(job);
  SendAllHome();
  all = ListMedium(2, false);
  EXPECT_EQ(all.count("/photos/large"), 1u);
  EXPECT_EQ(all.count("/photos/2024/empty"), 0u);
  CopyRequest request = Files("PRIM", {"/photos", "other/fifo"}, "ALL");
  request.files.recursive = true;
  job = Copy(request);
  EXPECT_FALSE(Says(job, "left out")) << Story(job);
  SendAllHome();
  all = ListMedium(2, false);
  EXPECT_EQ(all.count("/photos/2024/empty"), 1u);
  EXPECT_EQ(all.count("/other/fifo"), 1u);
  EXPECT_EQ(all.count("/other/device"), 0u);
  EXPECT_EQ(all.count("/top"), 0u);
  ExpectClean(2);
  const auto results = Results(job.id);
  EXPECT_EQ(results.at("/other/fifo").result, "copied");
  EXPECT_EQ(results.at("/photos").unchanged, 1u);
  EXPECT_EQ(results.at("/photos/2024").copied, 3u);
  EXPECT_EQ(results.at("/photos/2024/same").result, "linked");
}

TEST_P(FileCopyTest, I9_SelectAndSinceAreAnded) {
  Begin();
  ASSERT_OK(Put("PRIM", "/photos/later", "new"));
  Copy(AllFiles("PRIM", "ALL"));
  // Nothing changed: nothing is copied.
  JobRecord job = Copy(AllFiles("PRIM", "ALL"));
  EXPECT_EQ(job.bytes_copied, 0u);
  EXPECT_TRUE(Says(job, "0 files of PRIM copied")) << Story(job);
  // Data, an attribute alone, and a new file.
  ASSERT_OK(Put("PRIM", "/top", "at the TOP"));
  AttrChange mode;
  mode.mode = 0600;
  ASSERT_OK(Change("PRIM", "/photos/later", mode));
  ASSERT_OK(Put("PRIM", "/photos/another", "new"));
  CopyRequest request = AllFiles("PRIM", "ALL");
  request.files.select = FileSelect::kNew;
  job = Copy(request);
  auto results = Results(job.id);
  EXPECT_EQ(results.count("/top"), 0u);
  EXPECT_EQ(results.count("/photos/later"), 0u);
  EXPECT_EQ(results.at("/photos/another").result, "copied");
  job = Copy(AllFiles("PRIM", "ALL"));
  results = Results(job.id);
  EXPECT_EQ(results.at("/top").result, "copied");
  EXPECT_EQ(results.at("/photos/later").result, "copied");
  EXPECT_EQ(results.count("/photos/another"), 0u);
  EXPECT_EQ(results.count("/photos/large"), 0u);
  EXPECT_EQ(ReadFile("ALL", "top"), "at the TOP");
  request.files.select = FileSelect::kAll;
  job = Copy(request);
  EXPECT_EQ(Results(job.id).at("/photos/large").result, "copied");
  // The time is the file's last change, whatever program set its mtime back.
  request.files.since = TimeSpec{Now().sec + 1000, 0};
  job = Copy(request);
  EXPECT_TRUE(Says(job, "0 files of PRIM copied")) << Story(job);
  const auto volume = volumes_->Find("PRIM");
  ASSERT_OK_AND_ASSIGN(const Attr top, volume->Lookup(volume->root(), "top"));
  request.files.since = top.attr.ctime;  // inclusive
  job = Copy(request);
  results = Results(job.id);
  EXPECT_EQ(results.at("/top").result, "copied");
  EXPECT_EQ(results.count("/photos/large"), 0u);
  EXPECT_EQ(results.at("/photos").not_selected, 1u);
  request.files.select = FileSelect::kNew;
  job = Copy(request);
  EXPECT_EQ(Results(job.id).count("/top"), 0u);
}

TEST_P(FileCopyTest, I9_TheCopyIsOneGenerationWhileApplicationsWrite) {
  Begin();
  Fill("PRIM", 1);
  ASSERT_OK(Put("PRIM", "/a", "000000"));
  ASSERT_OK(Put("PRIM", "/z", "000000"));
  // In one step: a file that is cut first is empty in some generations.
  const auto overwrite = [this](const std::string& path, int n) {
    const std::string text = fmt::format("{:06}", n);
    return At(
        "PRIM", path, [&](Volume& v, InodeNumber dir, const std::string& name) {
          const Result<Attr> attr = v.Lookup(dir, name);
          if (!attr.ok()) return attr.status();
          return v.Write(attr->ino, 0, std::as_bytes(std::span(text))).status();
        });
  };
  std::atomic<bool> stop = false;
  std::thread writer([&] {
    for (int n = 1; !stop; ++n) {
      EXPECT_OK(overwrite("/z", n));
      EXPECT_OK(overwrite("/a", n));
    }
  });
  for (int i = 0; i < 3; ++i) {
    Copy(AllFiles("PRIM", "ALL"));
    // Of any two copies taken at different times z would be far ahead, or
    // behind.
    const int a = std::stoi(ReadFile("ALL", "a"));
    const int z = std::stoi(ReadFile("ALL", "z"));
    EXPECT_TRUE(z == a || z == a + 1) << a << " and " << z;
  }
  stop = true;
  writer.join();
}

TEST_P(FileCopyTest, I10_ADeadDaemonLeavesWholeFilesAndTheJobGoesOn) {
  Begin();
  Fill("PRIM", 1);
  Close();
  bool die = true;
  job_options_.on_transition = [&die](const JobRecord& job) {
    if (die && job.state == JobState::kCommitting) {
      return Status(Errc::kAborted, "died");
    }
    return Status::Ok();
  };
  Open();
  ASSERT_OK_AND_ASSIGN(const JobId id, jobs_->Submit(AllFiles("PRIM", "ALL")));
  EXPECT_THAT(jobs_->Wait(id), HasErrc(Errc::kAborted));
  Close();
  die = false;
  Open();
  ASSERT_OK_AND_ASSIGN(const JobRecord job, jobs_->Wait(id));
  ASSERT_EQ(job.state, JobState::kDone) << Story(job);
  EXPECT_EQ(ReadFile("ALL", "file11"), Bytes0(111, 1000 + 11 * 45'000));
  SendAllHome();
  ExpectClean(2);
  for (const auto& [path, text] : ListMedium(2, false)) {
    EXPECT_EQ(path.find(".vellum"), std::string::npos) << path;
  }
  ExpectSpoolEmpty();
}

// A job that failed on a frozen volume could not clean up behind itself.
TEST_P(FileCopyTest, I10_WhatAnEarlierJobLeftIsRemoved) {
  Begin();
  ASSERT_OK(Put("ALL", "/.vellum-copy~777/0", "half a file"));
  ASSERT_OK(Put("ALL", "/.vellum-copy~mine/0", "of a user"));
  Copy(AllFiles("PRIM", "ALL"));
  SendAllHome();
  ExpectClean(2);
  const Listing all = ListMedium(2, false);
  EXPECT_EQ(all.count("/.vellum-copy~777"), 0u);
  EXPECT_EQ(all.count("/.vellum-copy~mine/0"), 1u);
}

TEST_P(FileCopyTest, I10_WhatAnEarlierJobLeftIsRemovedAlsoWithNothingToCopy) {
  Begin();
  Copy(AllFiles("PRIM", "ALL"));
  SendAllHome();
  const Listing before = ListMedium(2, false);
  ASSERT_OK(Put("ALL", "/.vellum-copy~777/0", "half a file"));
  const JobRecord job = Copy(AllFiles("PRIM", "ALL"));
  EXPECT_TRUE(Says(job, "0 files of PRIM copied")) << Story(job);
  SendAllHome();
  ExpectClean(2);
  const Listing after = ListMedium(2, false);
  EXPECT_EQ(after.count("/.vellum-copy~777"), 0u);
  EXPECT_EQ(after.count("/photos/large"), before.count("/photos/large"));
  EXPECT_EQ(after.size(), before.size());
}

// That it is called as those of the copies is no reason to touch it.
TEST_P(FileCopyTest, I10_ADirectoryOfAUserIsNotTakenForALeftOver) {
  Begin();
  ASSERT_OK(Put("ALL", "/.vellum-copy~777/0", "of a user"));
  ASSERT_OK(Put("ALL", "/.vellum-copy~777/mine/1", "of a user, too"));
  ASSERT_OK(Put("ALL", "/.vellum-copy~778/0", "of a user"));
  ASSERT_OK(Put("ALL", "/.vellum-copy~778/notes", "of a user, too"));
  for (int i = 0; i < 2; ++i) {  // the second one has nothing to do
    Copy(AllFiles("PRIM", "ALL"));
    SendAllHome();
    ExpectClean(2);
    const Listing all = ListMedium(2, false);
    EXPECT_EQ(all.count("/top"), 1u);
    for (const char* path : {"777/0", "777/mine/1", "778/0", "778/notes"}) {
      EXPECT_EQ(all.count(std::string("/.vellum-copy~") + path), 1u) << path;
    }
  }
}

class FileCopyErrorTest : public FilesTest {};

TEST_F(FileCopyErrorTest, I9_WhatCannotBeCopiedIsRefusedAndNothingMoves) {
  Start(2, 5);
  MakePrimary(1, "PRIM");
  MakePrimary(2, "OTHER");
  ASSERT_OK(Put("PRIM", "/dir/file", "content"));
  Copy(Request("PRIM"));  // V00003
  SendAllHome();
  const size_t moves = fake_->moves();
  const auto submit = [this](const CopyRequest& request) {
    return jobs_->Submit(request);
  };
  EXPECT_THAT(submit(Files("NONE", {"/"})), HasErrc(Errc::kNotFound));
  const auto unknown = submit(Files("PRIM", {"/dir/none"}, "OTHER"));
  EXPECT_THAT(unknown, HasErrc(Errc::kNotFound));
  EXPECT_THAT(unknown, MessageHas("/dir/none is not on volume PRIM"));
  EXPECT_THAT(submit(Files("PRIM", {"/dir/file/x"}, "OTHER")),
              HasErrc(Errc::kNotFound));
  EXPECT_THAT(submit(Files("PRIM", {})), HasErrc(Errc::kInvalidArgument));
  EXPECT_THAT(submit(Files("PRIM", {"/a/../b"})),
              HasErrc(Errc::kInvalidArgument));
  EXPECT_THAT(submit(Files("V00003", {"/"})),
              MessageHas("is a BACKUP of PRIM"));
  EXPECT_THAT(submit(Files("OTHER", {"/"}, "V00003")),
              MessageHas("a backup of PRIM: it cannot take a copy of OTHER"));
  EXPECT_THAT(submit(Files("OTHER", {"/"}, "V00003")), HasErrc(Errc::kExists));
  EXPECT_THAT(submit(Files("PRIM", {"/"}, "V00003:/below")),
              MessageHas("the paths there that they have on their primary"));
  EXPECT_THAT(submit(Files("PRIM", {"/"}, "NOWHERE:/x")),
              HasErrc(Errc::kNotFound));
  const auto itself = submit(Files("PRIM", {"/dir"}, "PRIM"));
  EXPECT_THAT(itself, HasErrc(Errc::kInvalidArgument));
  EXPECT_THAT(itself, MessageHas("themselves"));
  EXPECT_THAT(submit(Files("PRIM", {"/dir"}, "PRIM:/dir/below")),
              MessageHas("cannot be copied into itself"));
  CopyRequest whole = Files("PRIM", {"/"});
  whole.whole = true;
  EXPECT_THAT(submit(whole), HasErrc(Errc::kInvalidArgument));
  ASSERT_OK(Export(archive(), "OTHER", "bank"));
  EXPECT_THAT(submit(Files("PRIM", {"/"}, "OTHER")), MessageHas("bank"));
  EXPECT_LE(fake_->moves(), moves + 1);
}

TEST_F(FileCopyErrorTest, I10_AVolumeTakesCopiesOfItsOwnFilesBelowAnotherPath) {
  Start(1, 2);
  MakePrimary(1, "PRIM");
  ASSERT_OK(Put("PRIM", "/dir/file", Bytes0(3, 100'000)));
  CopyRequest request = Files("PRIM", {"/dir"}, "PRIM:/saved");
  const JobRecord job = Copy(request);
  EXPECT_EQ(job.target_volume, "PRIM");
  SendAllHome();
  ExpectClean(1);
  const Listing all = ListMedium(1, false);
  EXPECT_EQ(all.at("/saved/dir/file"), all.at("/dir/file"));
}

TEST_F(FileCopyErrorTest, I5_WithoutSpaceNothingIsLostAndNothingIsChanged) {
  Start(2, 3);
  MakePrimary(1, "PRIM");
  MakePrimary(2, "SMALL");
  ASSERT_OK(Put("PRIM", "/large", Bytes0(7, 3'000'000)));
  ASSERT_OK(Put("SMALL", "/large", "the old one"));
  {
    ASSERT_OK_AND_ASSIGN(VolumeUse use, volumes_->Use(volumes_->Find("SMALL")));
    ASSERT_OK(use->SetThreshold(10));
  }
  const auto job = Run(AllFiles("PRIM", "SMALL"));
  ASSERT_OK(job);
  EXPECT_EQ(job->state, JobState::kFailed);
  EXPECT_EQ(job->error, Errc::kNoSpace) << Story(*job);
  EXPECT_TRUE(Says(*job, "nothing was changed")) << Story(*job);
  EXPECT_EQ(ReadFile("SMALL", "large"), "the old one");
  SendAllHome();
  ExpectClean(2);
}

TEST_F(FileCopyErrorTest, I9_AFileThatIsADirectoryThereFailsAlone) {
  Start(2, 3);
  MakePrimary(1, "PRIM");
  MakePrimary(2, "ALL");
  ASSERT_OK(Put("PRIM", "/a", "file"));
  ASSERT_OK(Put("PRIM", "/b/c", "in a directory"));
  ASSERT_OK(Put("PRIM", "/good", "copied all the same"));
  ASSERT_OK(Put("ALL", "/a/x", "in a directory"));
  ASSERT_OK(Put("ALL", "/b", "file"));
  const auto job = Run(AllFiles("PRIM", "ALL"));
  ASSERT_OK(job);
  EXPECT_EQ(job->state, JobState::kFailed);
  EXPECT_TRUE(Says(*job, "/a is a directory on the target")) << Story(*job);
  EXPECT_TRUE(Says(*job, "/b is no directory on the target")) << Story(*job);
  EXPECT_EQ(ReadFile("ALL", "good"), "copied all the same");
  EXPECT_EQ(ReadFile("ALL", "b"), "file");
  const auto results = Results(job->id);
  EXPECT_EQ(results.at("/a").result, "failed");
  EXPECT_EQ(results.at("/b").result, "failed");
  EXPECT_EQ(results.at("/good").result, "copied");
  EXPECT_EQ(results.at("/").failed, 1u);
}

}  // namespace
}  // namespace vellum
