// SPDX-License-Identifier: Apache-2.0
#include "copy/file_selection.h"

#include <fmt/format.h>

#include <array>
#include <charconv>
#include <cstdio>
#include <ctime>

namespace vellum {
namespace {

Error NoTime(const std::string& text) {
  return Error{Errc::kInvalidArgument,
               fmt::format("\"{}\" is not a time: expected YYYY-MM-DD, "
                           "YYYY-MM-DDTHH:MM[:SS] (UTC), or @SECONDS",
                           text)};
}

// Reads `digits` digits and moves on.
bool TakeNumber(std::string_view* text, size_t digits, int* value) {
  if (text->size() < digits) return false;
  const char* const end = text->data() + digits;
  const auto result = std::from_chars(text->data(), end, *value);
  if (result.ec != std::errc() || result.ptr != end || *value < 0) return false;
  text->remove_prefix(digits);
  return true;
}

bool TakeChar(std::string_view* text, std::string_view any) {
  if (text->empty() || any.find(text->front()) == std::string_view::npos) {
    return false;
  }
  text->remove_prefix(1);
  return true;
}

}  // namespace

const char* FileSelectName(FileSelect select) {
  constexpr std::array kNames = {"changed", "new", "all"};
  return kNames[static_cast<size_t>(select)];
}

std::vector<std::string> PathNames(const std::string& path) {
  std::vector<std::string> names;
  size_t at = 0;
  while (at < path.size()) {
    size_t end = path.find('/', at);
    if (end == std::string::npos) end = path.size();
    if (end > at) names.push_back(path.substr(at, end - at));
    at = end + 1;
  }
  return names;
}

std::string JoinPath(const std::string& directory, std::string_view name) {
  std::string path = directory;
  if (path.empty() || path.back() != '/') path += '/';
  return path.append(name);
}

Result<std::string> VolumePath(std::string_view text) {
  if (text.empty()) return Error{Errc::kInvalidArgument, "an empty path"};
  std::string path = "/";
  for (const std::string& name : PathNames(std::string(text))) {
    if (name == ".") continue;
    if (name == "..") {
      return Error{Errc::kInvalidArgument,
                   fmt::format("{}: a path in a volume has no \"..\"", text)};
    }
    path = JoinPath(path, name);
  }
  return path;
}

Result<TimeSpec> ParseSince(const std::string& text) {
  std::string_view rest = text;
  TimeSpec time;
  if (TakeChar(&rest, "@")) {
    const char* const end = rest.data() + rest.size();
    const auto result = std::from_chars(rest.data(), end, time.sec);
    if (rest.empty() || result.ec != std::errc() || result.ptr != end) {
      return NoTime(text);
    }
    return time;
  }
  std::tm utc = {};
  int month = 0;
  if (!TakeNumber(&rest, 4, &utc.tm_year) || !TakeChar(&rest, "-") ||
      !TakeNumber(&rest, 2, &month) || !TakeChar(&rest, "-") ||
      !TakeNumber(&rest, 2, &utc.tm_mday)) {
    return NoTime(text);
  }
  if (TakeChar(&rest, "T ")) {
    if (!TakeNumber(&rest, 2, &utc.tm_hour) || !TakeChar(&rest, ":") ||
        !TakeNumber(&rest, 2, &utc.tm_min)) {
      return NoTime(text);
    }
    if (TakeChar(&rest, ":") && !TakeNumber(&rest, 2, &utc.tm_sec)) {
      return NoTime(text);
    }
    TakeChar(&rest, "Z");
  }
  utc.tm_year -= 1900;
  utc.tm_mon = month - 1;
  const std::tm asked = utc;
  time.sec = timegm(&utc);
  // What does not exist, like February 30, was made another time.
  if (!rest.empty() || utc.tm_mon != asked.tm_mon ||
      utc.tm_mday != asked.tm_mday || utc.tm_hour != asked.tm_hour ||
      utc.tm_min != asked.tm_min || utc.tm_sec != asked.tm_sec) {
    return NoTime(text);
  }
  return time;
}

}  // namespace vellum
