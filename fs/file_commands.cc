// SPDX-License-Identifier: Apache-2.0
#include "fs/file_commands.h"

#include <fmt/format.h>

#include <optional>
#include <utility>
#include <vector>

#include "copy/file_plan.h"
#include "copy/file_selection.h"
#include "copy/job.h"
#include "copy/newest_backup.h"
#include "fs/command_group.h"
#include "fs/service.h"

namespace vellum {
namespace {

constexpr size_t kMostPaths = 10'000;
constexpr size_t kMostWords = 100'000;

// What both commands say about the files.
Result<FileSelection> ReadSelection(const CommandLine& line,
                                    OptionReader* options) {
  FileSelection files;
  files.paths.assign(line.args.begin() + (line.args.empty() ? 0 : 1),
                     line.args.end());
  if (const auto path = options->Text("path")) files.paths.push_back(*path);
  files.recursive = options->Flag("recursive", false);
  files.select = static_cast<FileSelect>(
      options->Choice("select", {"changed", "new", "all"}, 0));
  if (const auto since = options->Text("since")) {
    ASSIGN_OR_RETURN(files.since, ParseSince(*since));
  }
  return files;
}

// A tree to look into without a medium.
Result<std::unique_ptr<FileTree>> KnownTree(const Volume& volume) {
  if (volume.record().tree != TreeState::kValid) {
    return Error{Errc::kInvalidArgument,
                 fmt::format("the catalog has no tree of {}: `vellum "
                             "inventory` reads it",
                             volume.id())};
  }
  return TreeOfVolume(volume);
}

}  // namespace

bool IsAboutFiles(const CommandLine& line) {
  const auto mode = line.options.find("mode");
  return mode != line.options.end() && mode->second == "files";
}

Result<Json> CopyFiles(Service& service, const CommandLine& line,
                       std::stop_token stop) {
  CopyRequest request;
  OptionReader options(line);
  options.Args(1, kMostWords,
               "copy VOL PATH... mode=files [recursive=yes] "
               "[select=changed|new|all] [since=TIME] "
               "[to=ELEMENT|TAG|BACKUP|VOLUME[:PATH]] [verify=no] "
               "[if-mounted=fail]");
  options.Choice("mode", {"files"}, 0);
  request.mode = CopyMode::kFiles;
  ASSIGN_OR_RETURN(request.files, ReadSelection(line, &options));
  request.target = options.Text("to").value_or("");
  request.verify = options.Flag("verify", true);
  request.wait_mounted = options.Choice("if-mounted", {"wait", "fail"}, 0) == 0;
  RETURN_IF_ERROR(options.Finish());
  request.source = line.args[0];
  ASSIGN_OR_RETURN(const JobId job,
                   service.jobs().Submit(request, std::move(stop)));
  return Json{{"job", job}};
}

Result<Json> RestoreFiles(Service& service, const CommandLine& line,
                          std::stop_token stop) {
  OptionReader options(line);
  options.Args(1, kMostWords,
               "restore VOL PATH... mode=files [from=BACKUP] "
               "[to=[VOLUME:]PATH] [recursive=yes] [select=changed|new|all] "
               "[since=TIME] [verify=no] [confirm=yes]");
  options.Choice("mode", {"files"}, 0);
  ASSIGN_OR_RETURN(FileSelection files, ReadSelection(line, &options));
  std::string from = options.Text("from").value_or("");
  const std::string to = options.Text("to").value_or("");
  const bool verify = options.Flag("verify", true);
  files.replace = options.Flag("confirm", false);
  RETURN_IF_ERROR(options.Finish());
  std::string target = line.args[0];
  if (!to.empty()) {
    const size_t colon = to.find(':');
    if (to.front() == '/') {
      files.below = to;
    } else {
      target = to.substr(0, colon);
      if (colon != std::string::npos) files.below = "/" + to.substr(colon + 1);
    }
  }
  // None is named: that of the volume that the files are of, not the target's.
  std::string backup = from;
  if (backup.empty() && target != line.args[0]) {
    ASSIGN_OR_RETURN(const std::shared_ptr<Volume> owner,
                     FindVolume(service, line.args[0]));
    RETURN_IF_ERROR(LookForBackups(service.archive(), owner->id(), stop));
    ASSIGN_OR_RETURN(const VolumeRecord newest,
                     NewestForFiles(service.archive(), owner->record()));
    backup = newest.id;
  }
  ASSIGN_OR_RETURN(const JobId job, service.jobs().SubmitFileRestore(
                                        target, backup, std::move(files),
                                        verify, std::move(stop)));
  const Result<JobRecord> record = service.jobs().Get(job);
  return Json{{"job", job},
              {"from", record.ok() ? Json(record->request.target) : Json()}};
}

Result<Json> ReportDeleted(Service& service, const std::string& backup) {
  ASSIGN_OR_RETURN(const std::shared_ptr<Volume> copy,
                   FindVolume(service, backup));
  const VolumeRecord record = copy->record();
  if (record.role != udf::Role::kBackup) {
    return Error{Errc::kInvalidArgument, backup + " is a PRIMARY"};
  }
  std::shared_ptr<Volume> primary;
  for (const std::shared_ptr<Volume>& volume : service.volumes().List()) {
    const VolumeRecord other = volume->record();
    if (other.role == udf::Role::kPrimary &&
        other.medium_uuid == record.owner_uuid) {
      primary = volume;
    }
  }
  if (primary == nullptr) {
    return Error{Errc::kNotFound,
                 fmt::format("the primary of {}, {}, is not known: nothing can "
                             "be compared",
                             backup,
                             record.owner_id.empty() ? "of no name yet"
                                                     : record.owner_id)};
  }
  ASSIGN_OR_RETURN(const auto there, KnownTree(*primary));
  ASSIGN_OR_RETURN(const auto here, KnownTree(*copy));
  uint64_t count = 0;
  ASSIGN_OR_RETURN(const std::vector<std::string> paths,
                   FindDeleted(*there, *here, kMostPaths, &count));
  return Json{{"backup", backup},
              {"primary", primary->id()},
              {"deleted", count},
              {"paths", paths}};
}

}  // namespace vellum
