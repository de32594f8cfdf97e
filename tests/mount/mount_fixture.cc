// SPDX-License-Identifier: Apache-2.0
#include "tests/mount/mount_fixture.h"

#include <fcntl.h>
#include <signal.h>
#include <spdlog/spdlog.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <chrono>
#include <thread>

#include "media/library_directory.h"
#include "media/virtual_library.h"

namespace vellum {
namespace {

std::string ReadAll(int fd) {
  std::string text;
  char buffer[4096];
  ssize_t n = 0;
  while ((n = read(fd, buffer, sizeof(buffer))) > 0) {
    text.append(buffer, static_cast<size_t>(n));
  }
  return text;
}

}  // namespace

bool Eventually(const std::function<bool()>& condition) {
  const auto deadline =
      std::chrono::steady_clock::now() + std::chrono::seconds(30);
  while (!condition()) {
    if (std::chrono::steady_clock::now() > deadline) return false;
    std::this_thread::sleep_for(std::chrono::milliseconds(2));
  }
  return true;
}

int InChild(const std::function<int()>& body) {
  const pid_t pid = fork();
  if (pid < 0) return -1;
  if (pid == 0) _exit(body());
  int status = 0;
  while (waitpid(pid, &status, 0) < 0 && errno == EINTR) {
  }
  return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

int ErrnoAfter(long result) { return result < 0 ? errno : 0; }

void MountFixture::SetUp() {
  VirtualLibraryOptions options;
  options.slots = 6;
  options.media = geometry().media;
  options.drives = geometry().drives;
  options.capacity = geometry().capacity;
  ASSERT_OK(InitVirtualLibrary(library(), options));
  ASSERT_EQ(mkdir(mount().c_str(), 0755), 0);
  // Other users reach the mount through the test's directory.
  ASSERT_EQ(chmod(dir_.path().c_str(), 0755), 0);
  ASSERT_OK(Start());
}

void MountFixture::TearDown() {
  if (running_) Stop();
  // Nothing stays mounted, whatever a test did.
  while (umount2(mount().c_str(), MNT_DETACH) == 0) {
  }
}

Status MountFixture::Start() {
  MountOptions options;
  options.library = library();
  options.mount_point = mount();
  const Status status = MountLibrary(options);
  running_ = status.ok();
  return status;
}

void MountFixture::Stop() {
  EXPECT_EQ(Tell("shutdown force=yes").err, 0);
  EXPECT_TRUE(Eventually([this] { return LibraryLock::Take(library()).ok(); }))
      << "the daemon does not end";
  running_ = false;
}

void MountFixture::Kill() {
  EXPECT_EQ(kill(DaemonPid(), SIGKILL), 0);
  EXPECT_TRUE(Eventually([this] { return LibraryLock::Take(library()).ok(); }));
  umount2(mount().c_str(), MNT_DETACH);
  running_ = false;
}

Answer MountFixture::TellFile(const std::string& control_file,
                              const std::string& text) const {
  Answer answer;
  const int fd = open(Control(control_file).c_str(), O_RDWR | O_CLOEXEC);
  if (fd < 0) {
    answer.err = errno;
    return answer;
  }
  answer.err = ErrnoAfter(write(fd, text.data(), text.size()));
  const std::string reply = ReadAll(fd);
  close(fd);
  EXPECT_TRUE(Json::accept(reply)) << text << ": " << reply;
  if (Json::accept(reply)) answer.json = Json::parse(reply);
  return answer;
}

Json MountFixture::Run(const std::string& command) const {
  const Answer answer = Tell(command);
  EXPECT_EQ(answer.err, 0) << command << ": " << answer.json.dump();
  EXPECT_EQ(answer.json["ok"], true) << command;
  return answer.json.contains("result") ? answer.json["result"] : Json();
}

Json MountFixture::WaitJob(uint64_t id) const {
  const std::string status = "jobs/" + std::to_string(id) + "/status";
  EXPECT_TRUE(Eventually([&] {
    const std::string text = ReadControl(status);
    return text.rfind("done", 0) == 0 || text.rfind("failed", 0) == 0 ||
           text.rfind("cancelled", 0) == 0;
  })) << ReadControl(status);
  for (const Json& row : ReadControlJson("jobs.json")) {
    if (row["id"] == id) return row;
  }
  return Json();
}

std::string MountFixture::Backup(const std::string& volume,
                                 const std::string& medium) const {
  const Json job = WaitJob(Run("copy " + volume + " to=" + medium)["job"]);
  EXPECT_EQ(job["state"], "done") << job.dump(1);
  return job["target"].get<std::string>();
}

std::string MountFixture::ReadControl(const std::string& path) const {
  const int fd = open(Control(path).c_str(), O_RDONLY | O_CLOEXEC);
  EXPECT_GE(fd, 0) << path << ": " << errno;
  if (fd < 0) return "";
  const std::string text = ReadAll(fd);
  close(fd);
  return text;
}

pid_t MountFixture::DaemonPid() const {
  return ReadControlJson("status.json")["pid"].get<pid_t>();
}

std::string MountFixture::NewDirectory(const std::string& name) const {
  const std::string path = dir_.Sub(name);
  EXPECT_EQ(mkdir(path.c_str(), 0755), 0) << path;
  return path;
}

}  // namespace vellum
