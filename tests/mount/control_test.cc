// SPDX-License-Identifier: Apache-2.0
// The .vellum tree through system calls.
#include <dirent.h>
#include <fcntl.h>
#include <gmock/gmock.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstdlib>
#include <set>
#include <string>

#include "tests/mount/mount_fixture.h"

namespace vellum {
namespace {

using testing::HasSubstr;

std::set<std::string> NamesIn(const std::string& path) {
  std::set<std::string> names;
  DIR* dir = opendir(path.c_str());
  if (dir == nullptr) return names;
  while (const dirent* entry = readdir(dir)) names.insert(entry->d_name);
  closedir(dir);
  return names;
}

class ControlTest : public MountFixture {};

TEST_F(ControlTest, TheTreeIsListedAndClosedToOthers) {
  Run("format V00001 name=VOL");
  EXPECT_EQ(NamesIn(mount()),
            (std::set<std::string>{".", "..", ".vellum", "VOL"}));
  const std::set<std::string> names = NamesIn(Control(""));
  for (const char* name :
       {"command", "jobs", "volumes", "status", "status.json", "media",
        "media.json", "tracking", "jobs.json", "jobs.txt", "alerts"}) {
    EXPECT_EQ(names.count(name), 1u) << name;
  }
  EXPECT_EQ(NamesIn(Control("volumes/VOL")),
            (std::set<std::string>{".", "..", "copy", "history", "info",
                                   "info.json", "role", "threshold", "track"}));
  struct stat st {};
  ASSERT_EQ(stat(Control("").c_str(), &st), 0);
  EXPECT_EQ(st.st_mode, static_cast<mode_t>(S_IFDIR | 0700));
  ASSERT_EQ(stat(Control("command").c_str(), &st), 0);
  EXPECT_EQ(st.st_mode, static_cast<mode_t>(S_IFREG | 0600));
  EXPECT_EQ(st.st_uid, getuid());
  EXPECT_EQ(InChild([&] {
              if (setuid(1234) != 0) return 255;
              return ErrnoAfter(open(Control("status").c_str(), O_RDONLY));
            }),
            EACCES);
}

TEST_F(ControlTest, D2_AWriteAnswersOnTheSameFile) {
  const Answer good = Tell("format V00001 name=VOL");
  EXPECT_EQ(good.err, 0);
  EXPECT_EQ(good.json["result"]["volume"], "VOL");
  const Answer bad = Tell("format V00001 name=OTHER");
  EXPECT_EQ(bad.err, EEXIST);
  EXPECT_EQ(bad.json["ok"], false);
  EXPECT_EQ(bad.json["error"]["code"], "EXISTS");
  EXPECT_EQ(bad.json["error"]["errno"], "EEXIST");
  EXPECT_THAT(bad.json["error"]["message"].get<std::string>(),
              HasSubstr("VOL"));
  EXPECT_EQ(Tell("nonsense").err, EINVAL);
  EXPECT_EQ(Tell("info NOPE").err, ENOENT);
  EXPECT_EQ(Tell("info VOL extra=1").err, EINVAL);
}

TEST_F(ControlTest, OffsetsOfAnswers) {
  Run("format V00001 name=VOL");
  const int fd = open(Control("command").c_str(), O_RDWR | O_CLOEXEC);
  ASSERT_GE(fd, 0);
  ASSERT_EQ(pwrite(fd, "info VOL", 8, 0), 8);
  char from_start[16] = {}, behind[16] = {}, next[16] = {};
  ASSERT_EQ(pread(fd, from_start, 10, 0), 10);
  ASSERT_EQ(pread(fd, next, 4, 10), 4);
  EXPECT_STREQ(from_start, "{\"ok\":true");
  EXPECT_STREQ(next, ",\"re");
  ASSERT_EQ(pwrite(fd, "info VOL", 8, 0), 8);
  ASSERT_EQ(pread(fd, behind, 10, 8), 10);
  EXPECT_STREQ(behind, "{\"ok\":true");
  close(fd);
}

TEST_F(ControlTest, D2_ShellsCanUseIt) {
  const std::string script =
      "exec 3<>'" + Control("command") + "'; " +
      "echo 'format V00001 name=VOL' >&3 && cat <&3 > '" + dir_.Sub("out") +
      "'; echo 90 > '" + Control("volumes/VOL/threshold") + "'";
  ASSERT_EQ(std::system(("bash -c \"" + script + "\"").c_str()), 0);
  EXPECT_THAT(ReadFileOrDie(dir_.Sub("out")), HasSubstr("\"volume\":\"VOL\""));
  EXPECT_EQ(ReadControl("volumes/VOL/threshold"), "90\n");
  EXPECT_NE(
      std::system(("echo nonsense > '" + Control("command") + "' 2> /dev/null")
                      .c_str()),
      0);
}

TEST_F(ControlTest, D2_PerVolumeAndPerJobFiles) {
  Run("format V00001 name=VOL");
  EXPECT_EQ(ReadControl("volumes/VOL/role"), "primary\n");
  EXPECT_THAT(ReadControl("volumes/VOL/info"), HasSubstr("VOL"));
  EXPECT_EQ(ReadControlJson("volumes/VOL/info.json")["volume"], "VOL");
  EXPECT_EQ(TellFile("volumes/VOL/threshold", "50").err, 0);
  EXPECT_EQ(TellFile("volumes/VOL/threshold", "500").err, EINVAL);
  const Answer copy = TellFile("volumes/VOL/copy", "to=V00002 mode=image");
  ASSERT_EQ(copy.err, 0) << copy.json.dump();
  const uint64_t id = copy.json["result"]["job"];
  EXPECT_EQ(WaitJob(id)["state"], "done");
  EXPECT_EQ(TellFile("jobs/" + std::to_string(id) + "/cancel", "1").err, EBUSY);
  EXPECT_THAT(ReadControl("jobs.txt"), HasSubstr("done"));
  // What is only read is not written, not even by root.
  EXPECT_EQ(ErrnoAfter(open(Control("status").c_str(), O_WRONLY)), EACCES);
  EXPECT_EQ(ErrnoAfter(mkdir(Control("x").c_str(), 0700)), EPERM);
  EXPECT_EQ(ErrnoAfter(unlink(Control("status").c_str())), EPERM);
  EXPECT_EQ(ErrnoAfter(chmod(Control("command").c_str(), 0666)), EPERM);
  EXPECT_EQ(ErrnoAfter(open(Control("jobs/999").c_str(), O_RDONLY)), ENOENT);
}

TEST_F(ControlTest, ACommandThatIsTooLongIsAnswered) {
  const Answer answer = Tell("which " + std::string(65536, 'a'));
  EXPECT_EQ(answer.err, E2BIG);
  EXPECT_EQ(answer.json["error"]["errno"], "E2BIG");
  EXPECT_EQ(answer.json["error"]["code"], "TOO_LARGE");
}

TEST_F(ControlTest, TheRootIsNobodysToChange) {
  Run("format V00001 name=VOL");
  EXPECT_EQ(ErrnoAfter(mkdir(At("DIR").c_str(), 0755)), EPERM);
  EXPECT_EQ(ErrnoAfter(open(At("file").c_str(), O_CREAT | O_WRONLY, 0644)),
            EPERM);
  EXPECT_EQ(ErrnoAfter(rmdir(At("VOL").c_str())), EPERM);
  EXPECT_EQ(ErrnoAfter(rename(At("VOL").c_str(), At("NEW").c_str())), EPERM);
  EXPECT_EQ(ErrnoAfter(symlink("VOL", At("LINK").c_str())), EPERM);
}

TEST_F(ControlTest, VolumesComeAndGoUnderOpenEyes) {
  EXPECT_EQ(ErrnoAfter(access(At("VOL").c_str(), F_OK)), ENOENT);
  Run("format V00001 name=VOL");
  WriteFileOrDie(At("VOL/old"), "x");
  Run("format V00001 name=VOL clear=yes");
  EXPECT_TRUE(Eventually([this] {
    return access(At("VOL/old").c_str(), F_OK) != 0;
  })) << "the kernel still shows the volume that is gone";
  Run("format V00001 name=OTHER clear=yes");
  EXPECT_TRUE(
      Eventually([this] { return access(At("VOL").c_str(), F_OK) != 0; }));
  EXPECT_EQ(NamesIn(At("OTHER")), (std::set<std::string>{".", ".."}));
}

}  // namespace
}  // namespace vellum
