// SPDX-License-Identifier: Apache-2.0
#include "tools/image_info.h"

#include <fmt/format.h>

#include <memory>
#include <utility>

#include "fs/image_tree.h"
#include "fs/medium_info.h"
#include "fs/tables.h"
#include "media/virtual_library.h"

namespace vellum {
namespace {

// A generation as messages name it, text without its quotes.
std::string ValueText(const Json& value) {
  if (value.is_string()) return value.get<std::string>();
  if (value.is_object() && value.contains("lineage") &&
      value["lineage"].is_string() && value.contains("number")) {
    return value["lineage"].get<std::string>() + "/" + value["number"].dump();
  }
  return value.dump();
}

// "2026-01-31T12:00:00Z copy job=3 method=full …" of one entry that a copy left
// on its medium.
std::string LogLine(const Json& line) {
  const Json time = line.value("time", Json());
  const Json entry = line.value("entry", Json());
  std::string text = time.is_string() ? time.get<std::string>() + " " : "";
  if (!entry.is_object()) return text + ValueText(entry);
  const auto event = entry.find("event");
  text += event == entry.end() ? "entry" : ValueText(*event);
  for (const auto& [key, value] : entry.items()) {
    if (key == "event" || value.is_array()) continue;
    text += " " + key + "=" + ValueText(value);
  }
  return text;
}

}  // namespace

std::string MediumInfoText(const Json& info) {
  std::string text;
  for (const auto& [key, value] : info.items()) {
    if (key == "log" || key == "directories") continue;
    text += fmt::format("{:<18}{}\n", key, ValueText(value));
  }
  for (const Json& row : info.value("directories", Json::array())) {
    text += fmt::format("{:<18}{}\n", "directory", ValueText(row));
  }
  for (const Json& line : info.value("log", Json::array())) {
    text += fmt::format("{:<18}{}\n", "log", LogLine(line));
  }
  return text;
}

namespace {

// Most messages begin with the name of the medium, which is its path.
Status NamePath(const Status& status, const std::string& path) {
  if (status.error().message.starts_with(path + ":")) return status;
  return status.WithContext(path);
}

}  // namespace

Result<Json> ImageInfo(const std::string& path) {
  ASSIGN_OR_RETURN(const std::unique_ptr<Medium> medium,
                   OpenImageFile(path, /*read_only=*/true));
  Result<Json> info = DescribeMedium(*medium);
  if (!info.ok()) return NamePath(info.status(), path);
  return info;
}

Result<Json> FsckImage(const std::string& path,
                       const udf::FsckOptions& options) {
  ASSIGN_OR_RETURN(const UniqueFd lock, LockImage(path));
  ASSIGN_OR_RETURN(const std::unique_ptr<Medium> medium,
                   OpenImageFile(path, /*read_only=*/true));
  const Result<udf::FsckReport> report = udf::CheckVolume(*medium, options);
  if (!report.ok()) return NamePath(report.status(), path);
  return FsckJson(*report);
}

}  // namespace vellum
