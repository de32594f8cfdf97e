// SPDX-License-Identifier: Apache-2.0
#include "tests/vm/guest_base.h"

#include <fcntl.h>
#include <sys/mount.h>
#include <sys/reboot.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <cstring>
#include <ctime>
#include <fstream>

namespace vellum {
namespace {

void LoadModules() {
  std::ifstream list("/modules/list");
  for (std::string name; std::getline(list, name);) {
    const int fd = open(("/modules/" + name).c_str(), O_RDONLY | O_CLOEXEC);
    if (fd < 0 || syscall(SYS_finit_module, fd, "", 0) != 0) {
      if (errno != EEXIST) {
        SayOnConsole("module " + name + ": " + std::strerror(errno));
      }
    }
    if (fd >= 0) close(fd);
  }
}

}  // namespace

void SayOnConsole(const std::string& text) {
  timespec up{};
  clock_gettime(CLOCK_BOOTTIME, &up);
  std::printf("guest: %s (%lld s after the boot)\n", text.c_str(),
              static_cast<long long>(up.tv_sec));
  std::fflush(stdout);
}

void BeginGuest() {
  SayOnConsole("begins");
  for (const char* folder : {"/proc", "/sys", "/dev"}) mkdir(folder, 0755);
  mount("proc", "/proc", "proc", 0, "");
  mount("sysfs", "/sys", "sysfs", 0, "");
  mount("devtmpfs", "/dev", "devtmpfs", 0, "");
  LoadModules();
}

void EndGuest() {
  SayOnConsole("ends");
  sync();
  reboot(RB_AUTOBOOT);
}

}  // namespace vellum
