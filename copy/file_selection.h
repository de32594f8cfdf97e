// SPDX-License-Identifier: Apache-2.0
// Which files a copy by file takes: values only, and how people write them.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "media/error.h"
#include "media/types.h"

namespace vellum {

enum class FileSelect : uint8_t {
  kChanged,  // what the target lacks, or has in another version: data or
             // attributes
  kNew,      // what the target lacks
  kAll,      // everything; what is there is replaced
};
const char* FileSelectName(FileSelect select);  // "changed", …

// All conditions are ANDed.
struct FileSelection {
  // From the root of the volume, as VolumePath makes them. A directory stands
  // for the files in it, and with `recursive` for all below it.
  std::vector<std::string> paths;
  bool recursive = false;
  FileSelect select = FileSelect::kChanged;
  // Only what was made or changed (data or attributes) then or later.
  std::optional<TimeSpec> since;
  // The directory of a PRIMARY target below which the files get the paths that
  // they have on the source; empty: its root.
  std::string below;
  // What is there may be replaced. Off: only for a restore that nobody has
  // confirmed.
  bool replace = true;
};

// "photos//2024/" -> "/photos/2024". kInvalidArgument: empty, or ".." in it.
Result<std::string> VolumePath(std::string_view text);
std::vector<std::string> PathNames(const std::string& path);
std::string JoinPath(const std::string& directory, std::string_view name);

// "2026-01-31", "2026-01-31T12:00", "2026-01-31 12:00:30Z", "@1769860800":
// always UTC. kInvalidArgument says what is expected.
Result<TimeSpec> ParseSince(const std::string& text);

}  // namespace vellum
