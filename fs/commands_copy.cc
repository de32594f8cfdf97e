// SPDX-License-Identifier: Apache-2.0
// Commands about copies: they queue a job or act on one.
#include <fmt/format.h>

#include <array>
#include <optional>

#include "copy/job.h"
#include "copy/operations.h"
#include "fs/command_group.h"
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

Result<Json> Copy(Service& service, const CommandLine& line, std::stop_token) {
  CopyRequest request;
  OptionReader options(line);
  options.Args(1, 1,
               "copy VOL [mode=image|streaming|incremental] "
               "[policy=optional|minicopy|full] [to=ELEMENT|TAG|BACKUP] "
               "[verify=no] [whole=yes] [wipe=no] [overwrite-last=yes] "
               "[if-mounted=fail]");
  request.mode = static_cast<CopyMode>(
      options.Choice("mode", {"image", "streaming", "incremental"}, 0));
  request.policy = static_cast<CopyPolicy>(
      options.Choice("policy", {"optional", "minicopy", "full"}, 0));
  request.target = options.Text("to").value_or("");
  request.verify = options.Flag("verify", true);
  request.whole = options.Flag("whole", false);
  request.wipe = options.Flag("wipe", true);
  request.overwrite_last = options.Flag("overwrite-last", false);
  request.wait_mounted = options.Choice("if-mounted", {"wait", "fail"}, 0) == 0;
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
  ASSIGN_OR_RETURN(const JobId job, service.jobs().Submit(request));
  return Json{{"job", job}};
}

Result<Json> Compare(Service& service, const CommandLine& line,
                     std::stop_token) {
  OptionReader options(line);
  options.Args(2, 2, "compare A B");
  RETURN_IF_ERROR(options.Finish());
  ASSIGN_OR_RETURN(const JobId job,
                   service.jobs().SubmitCompare(line.args[0], line.args[1]));
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
  options.Args(1, 1, "convert BACKUP [name=NEW]");
  const std::string name = options.Text("name").value_or("");
  RETURN_IF_ERROR(options.Finish());
  ASSIGN_OR_RETURN(
      const VolumeRecord record,
      vellum::Convert(service.archive(), line.args[0], name, stop));
  return VolumeInfo(service, record);
}

constexpr std::array<NamedCommand, 4> kCopyCommands = {{
    {"cancel", Cancel},
    {"compare", Compare},
    {"convert", Convert},
    {"copy", Copy},
}};

}  // namespace

std::span<const NamedCommand> CopyCommands() { return kCopyCommands; }

}  // namespace vellum
