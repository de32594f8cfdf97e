// SPDX-License-Identifier: Apache-2.0
// What a BACKUP refuses (I1, I2), and what it shows (I4).
#include <dirent.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <set>
#include <string>
#include <vector>

#include "tests/mount/mount_fixture.h"

namespace vellum {
namespace {

struct Call {
  const char* name;
  std::function<long(const std::string& root)> run;
};

// Every way to change something, on a tree with "file", "dir" and "dir/inner"
// that anybody may write to.
std::vector<Call> Changes() {
  return {
      {"creat",
       [](const std::string& r) {
         return open((r + "/new").c_str(), O_CREAT | O_WRONLY, 0644);
       }},
      {"open for writing",
       [](const std::string& r) {
         return open((r + "/file").c_str(), O_WRONLY);
       }},
      {"open for both",
       [](const std::string& r) {
         return open((r + "/file").c_str(), O_RDWR);
       }},
      {"open truncating",
       [](const std::string& r) {
         return open((r + "/file").c_str(), O_WRONLY | O_TRUNC);
       }},
      {"truncate",
       [](const std::string& r) { return truncate((r + "/file").c_str(), 1); }},
      {"unlink",
       [](const std::string& r) { return unlink((r + "/file").c_str()); }},
      {"rename",
       [](const std::string& r) {
         return std::rename((r + "/file").c_str(), (r + "/other").c_str());
       }},
      {"rmdir",
       [](const std::string& r) { return rmdir((r + "/dir/inner").c_str()); }},
      {"mkdir",
       [](const std::string& r) { return mkdir((r + "/sub").c_str(), 0755); }},
      {"link",
       [](const std::string& r) {
         return link((r + "/file").c_str(), (r + "/hard").c_str());
       }},
      {"symlink",
       [](const std::string& r) {
         return symlink("x", (r + "/soft").c_str());
       }},
      {"mknod",
       [](const std::string& r) {
         return mkfifo((r + "/fifo").c_str(), 0644);
       }},
      {"chmod",
       [](const std::string& r) { return chmod((r + "/file").c_str(), 0600); }},
      {"utimens",
       [](const std::string& r) {
         return utimensat(AT_FDCWD, (r + "/file").c_str(), nullptr, 0);
       }},
      {"setxattr",
       [](const std::string& r) {
         return setxattr((r + "/file").c_str(), "user.a", "b", 1, 0);
       }},
      {"removexattr",
       [](const std::string& r) {
         return removexattr((r + "/file").c_str(), "user.kept");
       }},
  };
}

class RolesTest : public MountFixture {
 protected:
  void SetUp() override {
    MountFixture::SetUp();
    if (HasFatalFailure()) return;
    Run("format V00001 name=VOL");
    primary_ = At("VOL");
    WriteFileOrDie(primary_ + "/file", "content");
    ASSERT_EQ(mkdir((primary_ + "/dir").c_str(), 0755), 0);
    ASSERT_EQ(mkdir((primary_ + "/dir/inner").c_str(), 0755), 0);
    ASSERT_EQ(symlink("file", (primary_ + "/link").c_str()), 0);
    ASSERT_EQ(setxattr((primary_ + "/file").c_str(), "user.kept", "1", 1, 0),
              0);
    for (const char* path : {"", "/dir", "/dir/inner"}) {
      ASSERT_EQ(chmod((primary_ + path).c_str(), 0777), 0);
    }
    ASSERT_EQ(chmod((primary_ + "/file").c_str(), 0666), 0);
    const timespec times[2] = {{1000000000, 123456789},
                               {1000000001, 987654321}};
    ASSERT_EQ(utimensat(AT_FDCWD, (primary_ + "/file").c_str(), times, 0), 0);
    backup_ = At(Backup("VOL", "V00002"));
  }
  std::string primary_;
  std::string backup_;
};

TEST_F(RolesTest, I1_EveryChangeOfABackupIsRefusedToRoot) {
  for (const Call& call : Changes()) {
    EXPECT_EQ(ErrnoAfter(call.run(backup_)), EROFS) << call.name;
  }
  EXPECT_EQ(ErrnoAfter(chown((backup_ + "/file").c_str(), 1, 1)), EROFS);
  EXPECT_EQ(ErrnoAfter(chmod(backup_.c_str(), 0700)), EROFS);
}

TEST_F(RolesTest, I1_EveryChangeOfABackupIsRefusedToWhomTheModeAdmits) {
  for (const Call& call : Changes()) {
    // A mode that is not the caller's own: the kernel refuses before us.
    const std::string name = call.name;
    const int expected = name == "chmod" ? EPERM : EROFS;
    EXPECT_EQ(InChild([&] {
                if (setgid(1234) != 0 || setuid(1234) != 0) return 255;
                return ErrnoAfter(call.run(backup_));
              }),
              expected)
        << call.name;
  }
}

TEST_F(RolesTest, TheSameChangesWorkOnAPrimary) {
  for (const Call& call : Changes()) {
    const std::string name = call.name;
    if (name == "rename" || name == "unlink") continue;  // takes "file" away
    EXPECT_EQ(ErrnoAfter(call.run(primary_)), 0) << call.name;
  }
}

TEST_F(RolesTest, I2_FilesOfABackupAreShownButNotOpened) {
  EXPECT_EQ(ErrnoAfter(open((backup_ + "/file").c_str(), O_RDONLY)), EACCES);
  EXPECT_EQ(InChild([&] {
              if (setuid(1234) != 0) return 255;
              return ErrnoAfter(open((backup_ + "/file").c_str(), O_RDONLY));
            }),
            EACCES);
  std::set<std::string> names;
  DIR* dir = opendir(backup_.c_str());
  ASSERT_NE(dir, nullptr);
  while (const dirent* entry = readdir(dir)) names.insert(entry->d_name);
  closedir(dir);
  EXPECT_EQ(names, (std::set<std::string>{".", "..", "file", "dir", "link"}));
  char target[16] = {};
  EXPECT_EQ(readlink((backup_ + "/link").c_str(), target, sizeof(target)), 4);
  EXPECT_STREQ(target, "file");
  char value[8] = {};
  EXPECT_EQ(getxattr((backup_ + "/file").c_str(), "user.kept", value, 8), 1);
}

TEST_F(RolesTest, I4_AttributesOfABackupAreThoseOfItsPrimary) {
  for (const char* path : {"/file", "/dir", "/dir/inner", "/link"}) {
    struct stat a {
    }, b{};
    ASSERT_EQ(lstat((primary_ + path).c_str(), &a), 0);
    ASSERT_EQ(lstat((backup_ + path).c_str(), &b), 0);
    EXPECT_EQ(a.st_mode, b.st_mode) << path;
    EXPECT_EQ(a.st_uid, b.st_uid) << path;
    EXPECT_EQ(a.st_nlink, b.st_nlink) << path;
    EXPECT_EQ(a.st_size, b.st_size) << path;
    EXPECT_EQ(a.st_mtim.tv_sec, b.st_mtim.tv_sec) << path;
    EXPECT_EQ(a.st_mtim.tv_nsec, b.st_mtim.tv_nsec) << path;
    EXPECT_EQ(a.st_ctim.tv_sec, b.st_ctim.tv_sec) << path;
    EXPECT_EQ(a.st_ctim.tv_nsec, b.st_ctim.tv_nsec) << path;
    EXPECT_NE(a.st_ino, b.st_ino) << path;
  }
  struct stat st {};
  ASSERT_EQ(stat((backup_ + "/file").c_str(), &st), 0);
  EXPECT_EQ(st.st_mtim.tv_nsec, 987654321);
}

TEST_F(RolesTest, VolumeAttributesSayTheRole) {
  const auto get = [](const std::string& path, const char* name) {
    char value[256] = {};
    const ssize_t n = getxattr(path.c_str(), name, value, sizeof(value) - 1);
    return n < 0 ? "errno " + std::to_string(errno) : std::string(value);
  };
  EXPECT_EQ(get(primary_, "user.vellum.role"), "primary");
  EXPECT_EQ(get(backup_, "user.vellum.role"), "backup");
  EXPECT_EQ(get(backup_, "user.vellum.owner"), "VOL");
  EXPECT_EQ(get(backup_ + "/file", "user.vellum.state"), "backup");
  EXPECT_EQ(get(primary_ + "/file", "user.vellum.state"), "verified");
  EXPECT_EQ(
      ErrnoAfter(setxattr(primary_.c_str(), "user.vellum.role", "x", 1, 0)),
      EPERM);
  EXPECT_EQ(listxattr(primary_.c_str(), nullptr, 0), 0) << "listed";
}

TEST_F(RolesTest, AnUpdatedBackupShowsTheNewGeneration) {
  struct stat st {};
  ASSERT_EQ(stat((backup_ + "/file").c_str(), &st), 0);
  EXPECT_EQ(st.st_size, 7);
  WriteFileOrDie(primary_ + "/file", "longer content");
  WriteFileOrDie(primary_ + "/second", "x");
  const Json job = WaitJob(Run("copy VOL mode=incremental to=V00002")["job"]);
  ASSERT_EQ(job["state"], "done") << job.dump(1);
  EXPECT_TRUE(Eventually([&] {
    return stat((backup_ + "/file").c_str(), &st) == 0 && st.st_size == 14 &&
           access((backup_ + "/second").c_str(), F_OK) == 0;
  }));
}

TEST_F(RolesTest, I8_AConvertedBackupIsUsable) {
  const std::string id = backup_.substr(backup_.rfind('/') + 1);
  Run("convert " + id + " name=SECOND");
  EXPECT_TRUE(Eventually([&] { return access(backup_.c_str(), F_OK) != 0; }));
  EXPECT_EQ(ReadFileOrDie(At("SECOND/file")), "content");
  WriteFileOrDie(At("SECOND/new"), "x");
  EXPECT_EQ(ReadControl("volumes/SECOND/role"), "primary\n");
}

// Drives that write slowly: a copy can be stopped in the middle.
class SlowRolesTest : public MountFixture {
 protected:
  void SetUp() override {
    MountFixture::SetUp();
    if (HasFatalFailure()) return;
    Stop();
    const std::string path = library() + "/library.toml";
    std::string text = ReadFileOrDie(path);
    const std::string profile = "\nprofile = \"\"\n";
    ASSERT_NE(text.find(profile), std::string::npos) << text;
    text.replace(text.find(profile), profile.size(),
                 "\nprofile = \"custom\"\nwrite_rate = 2000000\n");
    WriteFileOrDie(path, text);
    ASSERT_OK(Start());
  }
};

TEST_F(SlowRolesTest, I1_ABackupWhoseCopyWasCancelledIsAnEmptyDirectory) {
  Run("format V00001 name=PRIM");
  WriteFileOrDie(At("PRIM/file"), std::string(6 << 20, 'p'));
  Run("sync");
  const uint64_t job = Run("copy PRIM to=V00002 mode=streaming")["job"];
  const std::string name = "jobs/" + std::to_string(job);
  ASSERT_TRUE(Eventually([&] {
    for (const Json& row : ReadControlJson("media.json")) {
      if (row["volume"] == "V00002" && row["volume_state"] == "incomplete") {
        return true;
      }
    }
    return false;
  })) << ReadControl(name + "/status");
  Run("cancel " + std::to_string(job));
  EXPECT_EQ(WaitJob(job)["state"], "cancelled");
  const auto expect = [this] {
    EXPECT_EQ(ReadControlJson("volumes/V00002/info.json")["state"],
              "incomplete");
    struct stat st {};
    ASSERT_EQ(stat(At("V00002").c_str(), &st), 0) << errno;
    EXPECT_TRUE(S_ISDIR(st.st_mode));
    EXPECT_EQ(st.st_mode & 077, 0u);
    DIR* const dir = opendir(At("V00002").c_str());
    ASSERT_NE(dir, nullptr) << errno;
    std::vector<std::string> names;
    while (const dirent* entry = readdir(dir)) {
      names.emplace_back(entry->d_name);
    }
    closedir(dir);
    std::sort(names.begin(), names.end());
    EXPECT_EQ(names, (std::vector<std::string>{".", ".."}));
    EXPECT_EQ(ErrnoAfter(stat(At("V00002/file").c_str(), &st)), ENOENT);
    EXPECT_EQ(ErrnoAfter(mkdir(At("V00002/new").c_str(), 0700)), EROFS);
    bool told = false;
    for (const Json& row : ReadControlJson("alerts.json")) {
      told = told || (row["object"] == "volume V00002" &&
                      row["message"] == "the backup is incomplete");
    }
    EXPECT_TRUE(told);
  };
  expect();
  // A new daemon, too.
  Stop();
  ASSERT_OK(Start());
  expect();
}

}  // namespace
}  // namespace vellum
