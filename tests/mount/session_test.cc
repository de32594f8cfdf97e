// SPDX-License-Identifier: Apache-2.0
// Start and end of the daemon, and what survives it.
#include "fs/session.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstdio>
#include <filesystem>
#include <fstream>
#include <string>

#include "media/library_directory.h"
#include "media/virtual_library.h"
#include "tests/mount/mount_fixture.h"

namespace vellum {
namespace {

class SessionTest : public MountFixture {
 protected:
  Status MountAt(const std::string& point) const {
    MountOptions options;
    options.library = library();
    options.mount_point = point;
    return MountLibrary(options);
  }
  bool Ended() const {
    return Eventually([this] { return LibraryLock::Take(library()).ok(); });
  }
};

TEST_F(SessionTest, ShowsWhatIsServedAndWhere) {
  EXPECT_EQ(ReadFileOrDie(library() + "/state/mount"), mount() + "\n");
  std::ifstream mounts("/proc/self/mounts");
  std::string line;
  bool found = false;
  while (std::getline(mounts, line)) {
    found = found ||
            line.rfind(library() + " " + mount() + " fuse.vellum ", 0) == 0;
  }
  EXPECT_TRUE(found);
  Stop();
  EXPECT_NE(access((library() + "/state/mount").c_str(), F_OK), 0);
  struct stat st {};
  ASSERT_EQ(stat(mount().c_str(), &st), 0);
  EXPECT_EQ(rmdir(mount().c_str()), 0) << "something is still mounted";
  ASSERT_EQ(mkdir(mount().c_str(), 0755), 0);
}

TEST_F(SessionTest, StartUpErrorsReachTheCaller) {
  // Served already: names the process.
  EXPECT_THAT(MountAt(NewDirectory("second")),
              MessageHas(std::to_string(DaemonPid())));
  EXPECT_THAT(MountAt(mount()), HasErrc(Errc::kBusy));
  EXPECT_THAT(MountAt(dir_.Sub("missing")), HasErrc(Errc::kNotFound));
  WriteFileOrDie(dir_.Sub("file"), "x");
  EXPECT_THAT(MountAt(dir_.Sub("file")), HasErrc(Errc::kNotDirectory));
  Stop();
  ASSERT_EQ(mkdir((library() + "/inside").c_str(), 0755), 0);
  EXPECT_THAT(MountAt(library() + "/inside"), HasErrc(Errc::kInvalidArgument));
  MountOptions nothing;
  nothing.library = dir_.path();
  nothing.mount_point = mount();
  EXPECT_THAT(MountLibrary(nothing), HasErrc(Errc::kNotFound));
  // Found out only by the daemon, behind the fork and behind the mount.
  ASSERT_EQ(std::rename((library() + "/catalog").c_str(),
                        dir_.Sub("catalog").c_str()),
            0);
  WriteFileOrDie(library() + "/catalog", "not a directory");
  const Status broken = MountAt(mount());
  EXPECT_FALSE(broken.ok());
  EXPECT_FALSE(broken.error().message.empty());
  EXPECT_EQ(rmdir(mount().c_str()), 0) << "the mount was left behind";
  ASSERT_EQ(mkdir(mount().c_str(), 0755), 0);
}

TEST_F(SessionTest, NoLibraryIsAMountPointOfAnother) {
  // This one is being served.
  VirtualLibraryOptions geometry;
  geometry.media = 1;
  geometry.capacity = 16 << 20;
  ASSERT_OK(InitVirtualLibrary(dir_.Sub("library2"), geometry));
  MountOptions options;
  options.library = dir_.Sub("library2");
  for (const std::string& point : {library(), library() + "/media"}) {
    options.mount_point = point;
    const Status refused = MountLibrary(options);
    EXPECT_THAT(refused, HasErrc(Errc::kInvalidArgument)) << point;
    EXPECT_THAT(refused, MessageHas("inside the library " + library()));
  }
  // Below a library, not in it.
  options.mount_point = NewDirectory("point");
  EXPECT_OK(MountLibrary(options));
  EXPECT_EQ(umount2(options.mount_point.c_str(), 0), 0);
}

// All threads of it.
bool Stopped(pid_t process) {
  const std::string tasks = "/proc/" + std::to_string(process) + "/task";
  for (const auto& task : std::filesystem::directory_iterator(tasks)) {
    std::ifstream in(task.path() / "stat");
    std::string text;
    std::getline(in, text);
    if (text.find(") T ") == std::string::npos) return false;
  }
  return true;
}

// Every path leads through the root.
TEST_F(SessionTest, ThePathToAKnownFileAsksTheDaemonNothing) {
  Run("format V00001 name=VOL");
  WriteFileOrDie(At("VOL/file"), "data");
  const std::string path = At("VOL/file");
  // While the daemon stands still; it may have to go on first.
  const auto known = [&] {
    struct stat file {};
    EXPECT_EQ(stat(path.c_str(), &file), 0);
    const pid_t daemon = DaemonPid();
    EXPECT_EQ(stat(path.c_str(), &file), 0);
    EXPECT_EQ(kill(daemon, SIGSTOP), 0);
    EXPECT_TRUE(Eventually([&] { return Stopped(daemon); }));
    const pid_t child = fork();
    if (child == 0) _exit(stat(path.c_str(), &file) == 0 ? 0 : 1);
    int status = -1;
    for (int i = 0; i < 500 && waitpid(child, &status, WNOHANG) == 0; ++i) {
      usleep(1000);
    }
    EXPECT_EQ(kill(daemon, SIGCONT), 0);
    const bool answered = status == 0;
    if (!answered) waitpid(child, &status, 0);
    return answered;
  };
  // The kernel keeps them for a second, which a busy machine may lose.
  EXPECT_TRUE(Eventually(known));
}

TEST_F(SessionTest, TheDaemonGivesFreedMemoryBack) {
  const std::string tasks = "/proc/" + std::to_string(DaemonPid()) + "/task";
  bool found = false;
  for (const auto& task : std::filesystem::directory_iterator(tasks)) {
    std::ifstream in(task.path() / "comm");
    std::string name;
    std::getline(in, name);
    found = found || name == "memory-keeper";
  }
  EXPECT_TRUE(found);
}

TEST_F(SessionTest, TermSignalEndsItCleanly) {
  Run("format V00001 name=VOL");
  WriteFileOrDie(At("VOL/file"), "not synced");
  ASSERT_EQ(kill(DaemonPid(), SIGTERM), 0);
  ASSERT_TRUE(Ended());
  running_ = false;
  ASSERT_OK(Start());
  EXPECT_EQ(ReadFileOrDie(At("VOL/file")), "not synced");
}

TEST_F(SessionTest, UnmountEndsIt) {
  Run("format V00001 name=VOL");
  WriteFileOrDie(At("VOL/file"), "not synced");
  ASSERT_EQ(umount2(mount().c_str(), 0), 0);
  ASSERT_TRUE(Ended());
  running_ = false;
  ASSERT_OK(Start());
  EXPECT_EQ(ReadFileOrDie(At("VOL/file")), "not synced");
}

TEST_F(SessionTest, ShutdownIsRefusedWhileFilesAreOpen) {
  Run("format V00001 name=VOL");
  const int fd =
      open(At("VOL/file").c_str(), O_CREAT | O_RDWR | O_CLOEXEC, 0644);
  ASSERT_GE(fd, 0);
  const Answer refused = Tell("shutdown");
  EXPECT_EQ(refused.err, EBUSY);
  EXPECT_NE(refused.json["error"]["message"].get<std::string>().find(
                mount() + ": files are open on it"),
            std::string::npos)
      << refused.json;
  // Nothing was ended by that.
  EXPECT_EQ(write(fd, "data", 4), 4);
  close(fd);
  // The file of a volume's own mount counts, too.
  const std::string side = NewDirectory("side");
  Run("mount VOL dir=" + side);
  const int other = open((side + "/file").c_str(), O_RDONLY | O_CLOEXEC);
  ASSERT_GE(other, 0);
  const Answer again = Tell("shutdown");
  EXPECT_EQ(again.err, EBUSY);
  EXPECT_NE(again.json["error"]["message"].get<std::string>().find(side),
            std::string::npos)
      << again.json;
  close(other);
  EXPECT_EQ(Tell("shutdown").err, 0);
  ASSERT_TRUE(Ended());
  running_ = false;
}

TEST_F(SessionTest, EndsWithFilesOpen) {
  Run("format V00001 name=VOL");
  const int fd =
      open(At("VOL/file").c_str(), O_CREAT | O_RDWR | O_CLOEXEC, 0644);
  ASSERT_GE(fd, 0);
  ASSERT_EQ(write(fd, "data", 4), 4);
  Stop();
  char c = 0;
  EXPECT_LT(pread(fd, &c, 1, 100), 0);
  close(fd);
  ASSERT_OK(Start());
  EXPECT_EQ(ReadFileOrDie(At("VOL/file")), "data");
}

TEST_F(SessionTest, X1_SyncedFilesSurviveAKill) {
  Run("format V00001 name=VOL");
  const int fd =
      open(At("VOL/file").c_str(), O_CREAT | O_WRONLY | O_CLOEXEC, 0644);
  ASSERT_GE(fd, 0);
  ASSERT_EQ(write(fd, "synced", 6), 6);
  ASSERT_EQ(fsync(fd), 0);
  close(fd);
  Kill();
  ASSERT_OK(Start());
  EXPECT_EQ(ReadFileOrDie(At("VOL/file")), "synced");
  EXPECT_EQ(Run("fsck VOL data=yes")["clean"], true);
}

TEST_F(SessionTest, AMountWhoseDaemonIsGoneIsNamed) {
  ASSERT_EQ(kill(DaemonPid(), SIGKILL), 0);
  ASSERT_TRUE(Ended());
  running_ = false;
  EXPECT_THAT(MountAt(mount()), MessageHas("daemon is gone"));
}

TEST_F(SessionTest, ForegroundReturnsAtTheEnd) {
  Stop();
  const pid_t pid = fork();
  ASSERT_GE(pid, 0);
  if (pid == 0) {
    MountOptions options;
    options.library = library();
    options.mount_point = mount();
    options.foreground = true;
    bool ready = false, stopping = false;
    options.on_ready = [&] { ready = true; };
    options.on_stopping = [&] { stopping = true; };
    const Status status = MountLibrary(options);
    _exit(status.ok() && ready && stopping ? 0 : 1);
  }
  ASSERT_TRUE(Eventually(
      [this] { return access(Control("status").c_str(), R_OK) == 0; }));
  running_ = true;
  Stop();
  int status = -1;
  ASSERT_EQ(waitpid(pid, &status, 0), pid);
  EXPECT_TRUE(WIFEXITED(status));
  EXPECT_EQ(WEXITSTATUS(status), 0);
}

}  // namespace
}  // namespace vellum
