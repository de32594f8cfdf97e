// SPDX-License-Identifier: Apache-2.0
#include "tools/file_words.h"

#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <optional>

#include "tools/client.h"
#include "tools/mount_path.h"

namespace vellum {
namespace {

// MOUNT/VOL/dir/file -> /dir/file; a path of another kind is one in the volume.
Result<std::string> PathInVolume(const std::string& path,
                                 const std::string& mount,
                                 const std::string& volume) {
  const std::optional<std::string> below = PathBelowMount(mount, path);
  if (!below) return path;
  const size_t slash = below->find('/');
  if (below->substr(0, slash) != volume) {
    return Error{Errc::kInvalidArgument,
                 fmt::format("{} is not on volume {}", path, volume)};
  }
  return slash == std::string::npos ? "/" : below->substr(slash);
}

}  // namespace

void AddFileOptions(CLI::App* command, FileArguments* files) {
  command
      ->add_option("--files", files->paths,
                   "Only these files and directories, as paths from the root "
                   "of the volume, or below the mount point")
      ->type_name("PATH")
      ->expected(1, -1);
  command->add_flag("-r,--recursive", files->recursive,
                    "With --files: directories with all below them");
  command
      ->add_option("--select", files->select,
                   "With --files: changed (what is missing or differs; the "
                   "default), new (what is missing), all")
      ->check(CLI::IsMember({"changed", "new", "all"}));
  command
      ->add_option("--since", files->since,
                   "With --files: only what was made or changed since then "
                   "(UTC: 2026-01-31, 2026-01-31T12:00, @SECONDS)")
      ->type_name("TIME");
}

Status AddFileWords(const FileArguments& files, const std::string& mount,
                    const std::string& volume,
                    std::vector<std::string>* words) {
  if (!files.given()) {
    if (!files.recursive && files.select.empty() && files.since.empty()) {
      return Status::Ok();
    }
    return Status(Errc::kInvalidArgument,
                  "--recursive, --select and --since are about files: --files "
                  "PATH says which (--files / all of them)");
  }
  for (const std::string& path : files.paths) {
    ASSIGN_OR_RETURN(const std::string in_volume,
                     PathInVolume(path, mount, volume));
    words->push_back(Argument(in_volume));
  }
  words->push_back("mode=files");
  if (files.recursive) words->push_back("recursive=yes");
  if (!files.select.empty()) words->push_back(Option("select", files.select));
  if (!files.since.empty()) words->push_back(Option("since", files.since));
  return Status::Ok();
}

std::string FileTarget(const std::string& mount, const std::string& target) {
  const bool path = target.starts_with('/') || target.starts_with("./") ||
                    target.starts_with("../") || target == "." ||
                    target == "..";
  if (!path) return target;
  const std::optional<std::string> below = PathBelowMount(mount, target);
  if (!below || below->empty()) return target;
  const size_t slash = below->find('/');
  const std::string volume = below->substr(0, slash);
  return slash == std::string::npos ? volume
                                    : volume + ":" + below->substr(slash);
}

}  // namespace vellum
