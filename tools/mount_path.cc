// SPDX-License-Identifier: Apache-2.0
#include "tools/mount_path.h"

#include <filesystem>
#include <system_error>

namespace vellum {
namespace {

namespace stdfs = std::filesystem;

// Without a trailing slash, "." and "..".
stdfs::path Clean(const stdfs::path& path) {
  stdfs::path clean = path.lexically_normal();
  if (!clean.has_filename() && clean.has_relative_path()) {
    clean = clean.parent_path();
  }
  return clean;
}

std::optional<std::string> Below(const stdfs::path& mount,
                                 const stdfs::path& path) {
  if (path == mount) return std::string();
  const stdfs::path below = path.lexically_relative(mount);
  if (below.empty() || *below.begin() == "..") return std::nullopt;
  return below.string();
}

}  // namespace

std::optional<std::string> PathBelowMount(const std::string& mount,
                                          const std::string& path) {
  if (path.empty()) return std::nullopt;
  std::error_code gone;
  const stdfs::path place = Clean(stdfs::absolute(mount, gone));
  if (gone) return std::nullopt;
  const stdfs::path typed = Clean(stdfs::absolute(path, gone));
  if (gone) return std::nullopt;
  if (auto below = Below(place, typed)) return below;
  const stdfs::path real = stdfs::weakly_canonical(place, gone);
  if (gone) return std::nullopt;
  const stdfs::path parent = stdfs::weakly_canonical(typed.parent_path(), gone);
  if (gone) return std::nullopt;
  return Below(real, parent / typed.filename());
}

std::string VolumePathOf(const std::string& mount, const std::string& path) {
  const std::optional<std::string> below = PathBelowMount(mount, path);
  return below && !below->empty() ? *below : path;
}

}  // namespace vellum
