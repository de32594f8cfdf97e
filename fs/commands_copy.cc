// SPDX-License-Identifier: Apache-2.0
// Commands about copies: they queue a job or act on one.
#include <fmt/format.h>

#include <array>
#include <optional>

#include "copy/history.h"
#include "copy/job.h"
#include "copy/operations.h"
#include "copy/tracking.h"
#include "fs/command_group.h"
#include "fs/file_commands.h"
#include "fs/service.h"
#include "fs/tables.h"

namespace vellum {
namespace {

// Whatever is in a drive now, a drive is no place for a copy.
Status CheckTarget(const Service& service, const std::string& target) {
  const std::optional<uint64_t> number = ParseNumber(target);
  if (!number || *number > UINT16_MAX || service.volumes().Find(target) ||
      service.library().FindMedium(target).ok()) {
    return Status::Ok();
  }
  const ElementAddress element{static_cast<uint16_t>(*number)};
  for (const DriveState& drive : service.library().Drives()) {
    if (drive.address != element) continue;
    return Status(Errc::kInvalidArgument,
                  fmt::format("copy: element {} is a drive, which is no place "
                              "for a copy: give a slot, a volume tag or a "
                              "backup",
                              target));
  }
  return Status::Ok();
}

Result<Json> Copy(Service& service, const CommandLine& line,
                  std::stop_token stop) {
  if (IsAboutFiles(line)) return CopyFiles(service, line, stop);
  CopyRequest request;
  OptionReader options(line);
  options.Args(1, 1,
               "copy VOL [mode=image|streaming|incremental|files] "
               "[policy=optional|minicopy|full] [to=ELEMENT|TAG|BACKUP] "
               "[verify=no] [whole=yes] [wipe=no] [overwrite-last=yes] "
               "[if-mounted=fail] [track=yes|no]");
  request.mode = static_cast<CopyMode>(options.Choice(
      "mode", {"image", "streaming", "incremental", "files"}, 0));
  request.policy = static_cast<CopyPolicy>(
      options.Choice("policy", {"optional", "minicopy", "full"}, 0));
  request.target = options.Text("to").value_or("");
  request.verify = options.Flag("verify", true);
  request.whole = options.Flag("whole", false);
  request.wipe = options.Flag("wipe", true);
  request.overwrite_last = options.Flag("overwrite-last", false);
  request.wait_mounted = options.Choice("if-mounted", {"wait", "fail"}, 0) == 0;
  // An incremental copy asks for what it needs the next time.
  request.track = request.mode == CopyMode::kIncremental ? TrackWish::kYes
                                                         : TrackWish::kKeep;
  if (options.Text("track")) {
    request.track =
        options.Flag("track", true) ? TrackWish::kYes : TrackWish::kNo;
  }
  RETURN_IF_ERROR(options.Finish());
  // The other policies are refused with what cannot be fulfilled: no part of
  // the request tells whether this one was given.
  if (options.Text("policy") && request.mode != CopyMode::kIncremental) {
    return InvalidCommand(
        fmt::format("copy: a policy is for mode=incremental: mode={} always "
                    "makes a full copy",
                    CopyModeName(request.mode)));
  }
  RETURN_IF_ERROR(CheckTarget(service, request.target));
  request.source = line.args[0];
  ASSIGN_OR_RETURN(const JobId job, service.jobs().Submit(request, stop));
  return Json{{"job", job}};
}

Result<Json> Compare(Service& service, const CommandLine& line,
                     std::stop_token stop) {
  OptionReader options(line);
  options.Args(2, 2, "compare A B");
  RETURN_IF_ERROR(options.Finish());
  ASSIGN_OR_RETURN(const JobId job, service.jobs().SubmitCompare(
                                        line.args[0], line.args[1], stop));
  return Json{{"job", job}};
}

Result<Json> Cancel(Service& service, const CommandLine& line,
                    std::stop_token) {
  OptionReader options(line);
  options.Args(1, 1, "cancel JOB");
  RETURN_IF_ERROR(options.Finish());
  const std::optional<uint64_t> id = ParseNumber(line.args[0]);
  if (!id) {
    return InvalidCommand(
        fmt::format("cancel: \"{}\" is not a job number", line.args[0]));
  }
  RETURN_IF_ERROR(service.jobs().Cancel(*id));
  return Json{{"job", *id}};
}

Result<Json> Convert(Service& service, const CommandLine& line,
                     std::stop_token stop) {
  OptionReader options(line);
  options.Args(1, 1, "convert BACKUP [name=NEW] | convert BACKUP report=yes");
  const std::string name = options.Text("name").value_or("");
  const bool report = options.Flag("report", false);
  RETURN_IF_ERROR(options.Finish());
  if (report) return ReportDeleted(service, line.args[0]);
  ASSIGN_OR_RETURN(
      const VolumeRecord record,
      vellum::Convert(ArchiveOf(service, line), line.args[0], name, stop));
  return VolumeInfo(service, record);
}

// As `copy`, but with the words of a backup (A1): the first one with track=yes
// is a full copy, later ones write what changed.
Result<Json> Backup(Service& service, const CommandLine& line,
                    std::stop_token stop) {
  CopyRequest request;
  OptionReader options(line);
  options.Args(1, 1,
               "backup VOL [track=yes] [media=disk|tape|both] "
               "[to=ELEMENT|TAG|BACKUP] [verify=no]");
  const bool track = options.Flag("track", false);
  const size_t media = options.Choice("media", {"disk", "tape", "both"}, 0);
  request.target = options.Text("to").value_or("");
  request.verify = options.Flag("verify", true);
  RETURN_IF_ERROR(options.Finish());
  if (media != 0) {
    if (track && media == 1) {
      return InvalidCommand(
          "backup: a tape is always written whole: track=yes is for disk");
    }
    return Error{Errc::kNotSupported,
                 "backup: this library has no tape: media=disk is what it has"};
  }
  request.mode = track ? CopyMode::kIncremental : CopyMode::kImage;
  request.track = track ? TrackWish::kYes : TrackWish::kNo;
  RETURN_IF_ERROR(CheckTarget(service, request.target));
  request.source = line.args[0];
  ASSIGN_OR_RETURN(const JobId job, service.jobs().Submit(request, stop));
  return Json{{"job", job}};
}

Result<Json> Restore(Service& service, const CommandLine& line,
                     std::stop_token stop) {
  if (IsAboutFiles(line)) return RestoreFiles(service, line, stop);
  OptionReader options(line);
  options.Args(1, 1, "restore VOL [from=BACKUP] confirm=yes");
  const std::string from = options.Text("from").value_or("");
  const bool confirmed = options.Flag("confirm", false);
  RETURN_IF_ERROR(options.Finish());
  if (!confirmed) {
    return InvalidCommand(fmt::format(
        "restore: everything on {} is replaced: confirm=yes says that this is "
        "meant",
        line.args[0]));
  }
  ASSIGN_OR_RETURN(const JobId job,
                   service.jobs().SubmitRestore(line.args[0], from, stop));
  const Result<JobRecord> record = service.jobs().Get(job);
  return Json{{"job", job},
              {"from", record.ok() ? Json(record->request.target) : Json()}};
}

Result<Json> PromoteCopy(Service& service, const CommandLine& line,
                         std::stop_token stop) {
  OptionReader options(line);
  options.Args(1, 1, "promote COPY");
  RETURN_IF_ERROR(options.Finish());
  ASSIGN_OR_RETURN(const Promoted promoted,
                   Promote(ArchiveOf(service, line), line.args[0], stop));
  Json result = VolumeInfo(service, promoted.primary);
  result["retired"] =
      promoted.retired.empty() ? Json() : Json(promoted.retired);
  result["problem"] =
      promoted.problem.empty() ? Json() : Json(promoted.problem);
  return result;
}

Result<Json> History(Service& service, const CommandLine& line,
                     std::stop_token stop) {
  OptionReader options(line);
  options.Args(2, 2, "history delete JOB");
  RETURN_IF_ERROR(options.Finish());
  const std::optional<uint64_t> id = ParseNumber(line.args[1]);
  if (line.args[0] != "delete" || !id) {
    return InvalidCommand(
        "history: usage: history delete JOB, with the job's number");
  }
  ASSIGN_OR_RETURN(const DeletedHistory deleted,
                   DeleteHistory(service.archive(), service.jobs(), *id, stop));
  return Json{{"job", *id},
              {"medium", deleted.row.target_medium},
              {"freed", deleted.freed},
              {"kept", deleted.kept.empty() ? Json() : Json(deleted.kept)}};
}

Result<Json> Track(Service& service, const CommandLine& line, std::stop_token) {
  OptionReader options(line);
  const std::string usage = "track start|cancel|delete VOL target=COPY";
  options.Args(2, 2, usage);
  const std::string target = options.Text("target").value_or("");
  RETURN_IF_ERROR(options.Finish());
  const std::string& verb = line.args[0];
  const bool start = verb == "start";
  if (target.empty() || (!start && verb != "cancel" && verb != "delete")) {
    return InvalidCommand("track: usage: " + usage);
  }
  Result<TrackedPair> pair =
      start ? StartTracking(service.archive(),
                            service.current_config().tracked_pairs,
                            line.args[1], target)
            : StopTracking(service.archive(), line.args[1], target);
  if (!pair.ok()) return pair.status();
  return Json{{"transaction_disk", pair->primary.id},
              {"backup_disk", pair->backup.id},
              {"tracked", start}};
}

constexpr std::array<NamedCommand, 9> kCopyCommands = {{
    {"backup", Backup},
    {"cancel", Cancel},
    {"compare", Compare},
    {"convert", Convert},
    {"copy", Copy},
    {"history", History},
    {"promote", PromoteCopy},
    {"restore", Restore},
    {"track", Track},
}};

}  // namespace

std::span<const NamedCommand> CopyCommands() { return kCopyCommands; }

}  // namespace vellum
