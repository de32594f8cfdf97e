// SPDX-License-Identifier: Apache-2.0
#include "fs/mount_users.h"

#include <fmt/format.h>

#include <algorithm>
#include <cctype>
#include <filesystem>
#include <fstream>
#include <system_error>

#include "fs/fuse_loop.h"

namespace vellum {
namespace {

// What a link of /proc leads to; "" when we may not see it. The path is text
// of the kernel's: nobody is asked whether it is there.
std::string LinkTarget(const std::filesystem::path& link) {
  std::error_code unseen;
  return std::filesystem::read_symlink(link, unseen).string();
}

bool IsProcess(const std::filesystem::path& entry) {
  const std::string name = entry.filename();
  return std::all_of(name.begin(), name.end(),
                     [](unsigned char c) { return std::isdigit(c) != 0; });
}

std::string Describe(const std::filesystem::path& process,
                     const std::string& mount_point) {
  std::string name;
  std::ifstream comm(process / "comm");
  std::getline(comm, name);
  return fmt::format("{}: process {} ({}) has its working directory there",
                     mount_point, process.filename().string(), name);
}

}  // namespace

std::string ProcessStandingOn(const std::vector<std::string>& mount_points) {
  const std::string here = LinkTarget("/proc/self/ns/mnt");
  std::error_code error;
  std::filesystem::directory_iterator entries("/proc", error);
  for (; !error && entries != std::filesystem::directory_iterator();
       entries.increment(error)) {
    const std::filesystem::path& process = entries->path();
    if (!IsProcess(process)) continue;
    for (const char* link : {"cwd", "root"}) {
      const std::string place = LinkTarget(process / link);
      const auto mount =
          std::find_if(mount_points.begin(), mount_points.end(),
                       [&place](const std::string& point) {
                         return !place.empty() && IsInside(place, point);
                       });
      if (mount == mount_points.end()) continue;
      if (LinkTarget(process / "ns/mnt") != here) break;
      return Describe(process, *mount);
    }
  }
  return "";
}

}  // namespace vellum
