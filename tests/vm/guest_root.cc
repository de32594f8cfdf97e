// SPDX-License-Identifier: Apache-2.0
// The first process of a guest whose root is the host's (guest.py): the host's
// files over 9p, read-only, below a tmpfs that takes every change and is gone
// with the machine. Then `bash command` runs there; its output, its exit status
// and the kernel's log are left in the folder that guest and host share
// (/run/exchange in the guest).
#include <fcntl.h>
#include <sys/klog.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <string>
#include <vector>

#include "tests/vm/guest_base.h"

namespace {

using vellum::SayOnConsole;

constexpr int kReadWholeLog = 3;  // SYSLOG_ACTION_READ_ALL
const std::string kTop = "/top";  // the root to be
const std::string kExchange = "/run/exchange";

bool Mount(const char* source, const std::string& target, const char* type,
           unsigned long flags, const char* data) {
  mkdir(target.c_str(), 0755);
  if (mount(source, target.c_str(), type, flags, data) == 0) return true;
  SayOnConsole("mount " + target + ": " + std::strerror(errno));
  return false;
}

bool MountAll() {
  const std::string run = kTop + "/run";
  return Mount("host", "/lower", "9p", MS_RDONLY,
               "trans=virtio,version=9p2000.L,msize=512000,cache=loose") &&
         Mount("tmpfs", "/changes", "tmpfs", 0, "mode=755") &&
         mkdir("/changes/upper", 0755) == 0 &&
         mkdir("/changes/work", 0755) == 0 &&
         Mount("overlay", kTop, "overlay", 0,
               "lowerdir=/lower,upperdir=/changes/upper,"
               "workdir=/changes/work") &&
         Mount("proc", kTop + "/proc", "proc", 0, "") &&
         Mount("sysfs", kTop + "/sys", "sysfs", 0, "") &&
         Mount("devtmpfs", kTop + "/dev", "devtmpfs", 0, "") &&
         Mount("tmpfs", kTop + "/dev/shm", "tmpfs", 0, "") &&
         Mount("tmpfs", run, "tmpfs", 0, "mode=755") &&
         Mount("exchange", kTop + kExchange, "9p", 0,
               "trans=virtio,version=9p2000.L,msize=512000,cache=none");
}

// In the child: never returns.
[[noreturn]] void RunCommand() {
  const int out = open((kExchange + "/output").c_str(),
                       O_WRONLY | O_CREAT | O_APPEND, 0644);
  const int in = open("/dev/null", O_RDONLY);
  if (out < 0 || in < 0) _exit(126);
  dup2(in, 0);
  dup2(out, 1);
  dup2(out, 2);
  const std::string command = kExchange + "/command";
  execl("/bin/bash", "bash", command.c_str(), nullptr);
  _exit(127);
}

// Exit status of the command, as a shell tells it. Reaps everything that is
// left to the first process meanwhile.
int WaitFor(pid_t command) {
  while (true) {
    int status = 0;
    const pid_t ended = wait(&status);
    if (ended < 0 && errno == EINTR) continue;
    if (ended < 0) return 126;
    if (ended != command) continue;
    return WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status);
  }
}

void WriteKernelLog() {
  std::vector<char> log(1 << 20);
  const int got =
      klogctl(kReadWholeLog, log.data(), static_cast<int>(log.size()));
  std::ofstream(kExchange + "/kernel.log").write(log.data(), std::max(got, 0));
}

void Work() {
  if (!MountAll()) return;
  symlink("/proc/self/fd", (kTop + "/dev/fd").c_str());
  if (chroot(kTop.c_str()) != 0 || chdir("/") != 0) {
    SayOnConsole(std::string("chroot: ") + std::strerror(errno));
    return;
  }
  const pid_t child = fork();
  if (child == 0) RunCommand();
  const int status = child < 0 ? 126 : WaitFor(child);
  WriteKernelLog();
  std::ofstream(kExchange + "/status") << status << std::endl;
}

}  // namespace

int main() {
  vellum::BeginGuest();
  setenv("PATH", "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
         1);
  setenv("HOME", "/run", 1);
  setenv("LC_ALL", "C.UTF-8", 1);
  Work();
  vellum::EndGuest();
}
