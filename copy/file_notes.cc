// SPDX-License-Identifier: Apache-2.0
#include "copy/file_notes.h"

#include <algorithm>
#include <nlohmann/json.hpp>
#include <utility>

namespace vellum {
namespace {

constexpr size_t kDirectoriesPerNote = 32;
constexpr size_t kPathsInNote = 20;
// What an entry of the log takes beside its text, and what rounding may add.
constexpr uint64_t kEntryBytes = 1024;
constexpr size_t kMessageBytes = 400;

udf::LogEntry EntryOf(const nlohmann::json& json) {
  udf::LogEntry entry;
  entry.time = Now();
  entry.text =
      json.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace);
  return entry;
}

nlohmann::json NoteTime(const TimeSpec& time) {
  return nlohmann::json::array({time.sec, time.nsec});
}

nlohmann::json Head(const JobRecord& job, const std::string& state) {
  return {{"event", "files"},
          {"method", "files"},
          {"state", state},
          {"job", job.id},
          {"source", job.request.source},
          {"lineage", job.generation.lineage},
          {"generation", job.generation.number},
          {"started", NoteTime(job.started)}};
}

nlohmann::json DirectoryRow(const FileResult& result) {
  return {{"path", result.path},
          {"result", result.result},
          {"copied", result.copied},
          {"unchanged", result.unchanged},
          {"not_selected", result.not_selected},
          {"failed", result.failed}};
}

}  // namespace

udf::LogEntry NoteOfStart(const JobRecord& job) {
  const FileSelection& files = job.request.files;
  nlohmann::json json = Head(job, "started");
  const size_t shown = std::min(files.paths.size(), kPathsInNote);
  json["paths"] = std::vector<std::string>(
      files.paths.begin(),
      files.paths.begin() + static_cast<std::ptrdiff_t>(shown));
  json["path_count"] = files.paths.size();
  json["recursive"] = files.recursive;
  json["select"] = FileSelectName(files.select);
  json["since"] = files.since ? NoteTime(*files.since) : nlohmann::json();
  return EntryOf(json);
}

std::vector<udf::LogEntry> NotesOfDirectories(
    JobId job, const std::vector<FileResult>& results) {
  std::vector<udf::LogEntry> entries;
  nlohmann::json rows = nlohmann::json::array();
  const auto add = [&] {
    if (rows.empty()) return;
    entries.push_back(EntryOf({{"event", "directories"},
                               {"job", job},
                               {"results", std::move(rows)}}));
    rows = nlohmann::json::array();
  };
  for (const FileResult& result : results) {
    // What was as it should be is in the sums of the last note.
    if (!result.directory || result.result == "unchanged") continue;
    rows.push_back(DirectoryRow(result));
    if (rows.size() == kDirectoriesPerNote) add();
  }
  add();
  return entries;
}

udf::LogEntry NoteOfEnd(const JobRecord& job, const FileCounts& counts,
                        const std::string& state, const std::string& message) {
  nlohmann::json json = Head(job, state);
  json["ended"] = NoteTime(Now());
  json["success"] = state == "done";
  json["copied"] = counts.copied;
  json["unchanged"] = counts.unchanged;
  json["not_selected"] = counts.not_selected;
  json["failed"] = counts.failed + counts.failed_directories;
  json["directories"] = counts.directories;
  json["bytes"] = job.bytes_copied;
  json["message"] = message.substr(0, kMessageBytes);
  return EntryOf(json);
}

uint64_t NoteBytes(const JobRecord& job, const FilePlan& plan,
                   const FileWriterOptions& options) {
  uint64_t bytes = NoteOfStart(job).text.size() + kEntryBytes + kMessageBytes;
  uint64_t told_directories = 0;
  FileResult result;
  result.directory = true;
  result.result = "unchanged";
  for (const PlannedDirectory& dir : plan.directories) {
    const bool told = !dir.files.empty() || !dir.problems.empty() ||
                      dir.existing == 0 ||
                      (dir.set_attributes && !dir.same_attributes);
    if (!told) continue;
    result.path = dir.path;
    result.copied = dir.files.size();
    result.unchanged = dir.unchanged;
    result.not_selected = dir.not_selected;
    ++told_directories;
    // Each may come twice.
    bytes +=
        2 * (DirectoryRow(result)
                 .dump(-1, ' ', false, nlohmann::json::error_handler_t::replace)
                 .size() +
             32);
  }
  const uint64_t entries = 2 * (told_directories / kDirectoriesPerNote + 2) +
                           plan.files / options.batch_files +
                           plan.bytes / options.batch_bytes;
  return bytes + entries * kEntryBytes;
}

}  // namespace vellum
