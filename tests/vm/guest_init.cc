// SPDX-License-Identifier: Apache-2.0
// The first and only process of the guest: loads the kernel's modules, mounts
// each disk whose serial is "udf-NAME" with the kernel's own UDF driver and
// writes what it sees to the disk whose serial is "out", as text:
//
//   volume NAME
//   mount OK, or the errno of mount(2)
//   manifest lines (tests/readers/manifest.h)
//   end NAME       (of a volume crashed*, contents are held against the names)
//   ...
//   log LINE       each line of the kernel's log that is about UDF or disks
//   done
//
// Then the machine ends.
#include <dirent.h>
#include <sys/klog.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <cstring>
#include <fstream>
#include <sstream>
#include <string>
#include <utility>
#include <vector>

#include "tests/readers/manifest.h"
#include "tests/vm/guest_base.h"

namespace {

using vellum::SayOnConsole;

constexpr int kReadWholeLog = 3;  // SYSLOG_ACTION_READ_ALL

// (serial, device file) of all virtio disks, in the order of their serials.
std::vector<std::pair<std::string, std::string>> Disks() {
  std::vector<std::pair<std::string, std::string>> disks;
  DIR* const directory = opendir("/sys/block");
  if (directory == nullptr) return disks;
  while (const dirent* entry = readdir(directory)) {
    const std::string name = entry->d_name;
    if (name.compare(0, 2, "vd") != 0) continue;
    std::ifstream file("/sys/block/" + name + "/serial");
    std::string serial;
    file >> serial;
    disks.emplace_back(serial, "/dev/" + name);
  }
  closedir(directory);
  std::sort(disks.begin(), disks.end());
  return disks;
}

void ReadVolume(const std::string& name, const std::string& device,
                std::FILE* out) {
  std::fprintf(out, "volume %s\n", name.c_str());
  if (mount(device.c_str(), "/volume", "udf", MS_RDONLY, "") != 0) {
    std::fprintf(out, "mount %s\nend %s\n", std::strerror(errno), name.c_str());
    return;
  }
  std::fprintf(out, "mount OK\n");
  vellum::ManifestOptions options;
  options.stamps = name.compare(0, 7, "crashed") == 0;
  vellum::WriteManifest("/volume", options, out);
  if (umount("/volume") != 0)
    SayOnConsole("umount: " + std::string(strerror(errno)));
  std::fprintf(out, "end %s\n", name.c_str());
}

void WriteKernelLog(std::FILE* out) {
  std::vector<char> log(1 << 20);
  const int got =
      klogctl(kReadWholeLog, log.data(), static_cast<int>(log.size()));
  std::istringstream lines(
      std::string(log.data(), static_cast<size_t>(std::max(got, 0))));
  for (std::string line; std::getline(lines, line);) {
    if (line.find("UDF") != std::string::npos ||
        line.find("I/O error") != std::string::npos) {
      std::fprintf(out, "log %s\n", line.c_str());
    }
  }
}

bool Work() {
  mkdir("/volume", 0755);
  const auto disks = Disks();
  std::FILE* out = nullptr;
  for (const auto& [serial, device] : disks) {
    if (serial == "out") out = std::fopen(device.c_str(), "r+");
  }
  if (out == nullptr) {
    SayOnConsole("there is no disk to write to");
    return false;
  }
  static std::vector<char> buffer(1 << 20);
  std::setvbuf(out, buffer.data(), _IOFBF, buffer.size());
  for (const auto& [serial, device] : disks) {
    if (serial.compare(0, 4, "udf-") != 0) continue;
    SayOnConsole("reading " + serial);
    ReadVolume(serial.substr(4), device, out);
  }
  WriteKernelLog(out);
  std::fprintf(out, "done\n");
  const bool written = std::fflush(out) == 0 && fsync(fileno(out)) == 0;
  std::fclose(out);
  if (!written) SayOnConsole("the results could not be written");
  return written;
}

}  // namespace

int main() {
  vellum::BeginGuest();
  Work();
  vellum::EndGuest();
}
