// SPDX-License-Identifier: Apache-2.0
#include "fs/commands.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <chrono>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <thread>
#include <utility>

#include "copy/job.h"
#include "copy/operations.h"
#include "fs/errno_map.h"
#include "fs/service.h"
#include "fs/tables.h"
#include "index/volumes.h"

namespace vellum {
namespace {

using CommandFunction = Result<Json> (*)(Service&, const CommandLine&,
                                         std::stop_token);

Error Invalid(std::string message) {
  return Error{Errc::kInvalidArgument, std::move(message)};
}

Result<std::shared_ptr<Volume>> FindVolume(const Service& service,
                                           const std::string& id) {
  std::shared_ptr<Volume> volume = service.volumes().Find(id);
  if (!volume) {
    return Error{Errc::kNotFound, fmt::format("no volume {} is known", id)};
  }
  return volume;
}

Result<Json> Format(Service& service, const CommandLine& line,
                    std::stop_token stop) {
  FormatRequest request;
  OptionReader options(line);
  options.Args(1, 1,
               "format ELEMENT|TAG name=VOL [role=primary|backup] "
               "[threshold=P] [clear=yes] [uid=N] [gid=N]");
  const std::optional<std::string> name = options.Text("name");
  request.role = options.Choice("role", {"primary", "backup"}, 0) == 0
                     ? udf::Role::kPrimary
                     : udf::Role::kBackup;
  request.threshold =
      static_cast<uint32_t>(options.Number("threshold", 0, 1, 100));
  request.clear = options.Flag("clear", false);
  request.root_uid =
      static_cast<uint32_t>(options.Number("uid", 0, 0, UINT32_MAX - 1));
  request.root_gid =
      static_cast<uint32_t>(options.Number("gid", 0, 0, UINT32_MAX - 1));
  RETURN_IF_ERROR(options.Finish());
  if (!name) return Invalid("format: name=VOL is missing");
  request.medium = line.args[0];
  request.volume_id = *name;
  ASSIGN_OR_RETURN(const VolumeRecord record,
                   vellum::Format(service.archive(), request, stop));
  return VolumeInfo(service, record);
}

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
    return Invalid(
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

Result<Json> Cancel(Service& service, const CommandLine& line,
                    std::stop_token) {
  OptionReader options(line);
  options.Args(1, 1, "cancel JOB");
  RETURN_IF_ERROR(options.Finish());
  const std::optional<uint64_t> id = ParseNumber(line.args[0]);
  if (!id) {
    return Invalid(
        fmt::format("cancel: \"{}\" is not a job number", line.args[0]));
  }
  RETURN_IF_ERROR(service.jobs().Cancel(*id));
  return Json{{"job", *id}};
}

// An element address, or the element in which a medium of that name is.
Result<ElementAddress> ResolveElement(const Service& service,
                                      const std::string& name) {
  const std::optional<uint64_t> number = ParseNumber(name);
  if (number && *number <= UINT16_MAX) {
    return ElementAddress{static_cast<uint16_t>(*number)};
  }
  ASSIGN_OR_RETURN(const MediumId medium,
                   ResolveMedium(service.archive(), name));
  ASSIGN_OR_RETURN(const MediumPlace place,
                   service.library().FindMedium(medium));
  return place.element;
}

Result<Json> Move(Service& service, const CommandLine& line,
                  std::stop_token stop) {
  OptionReader options(line);
  options.Args(2, 2, "move FROM TO");
  RETURN_IF_ERROR(options.Finish());
  ASSIGN_OR_RETURN(const ElementAddress from,
                   ResolveElement(service, line.args[0]));
  const std::optional<uint64_t> number = ParseNumber(line.args[1]);
  if (!number || *number > UINT16_MAX) {
    return Invalid(
        fmt::format("move: \"{}\" is not an element address", line.args[1]));
  }
  const ElementAddress to{static_cast<uint16_t>(*number)};
  // A volume that is loaded but not in use must not keep its medium from
  // moving: it is detached for the time of the move.
  Volumes::Exclusion exclusion;
  const Result<MediumPlace> place = service.library().MediumAt(from);
  if (place.ok()) {
    const std::shared_ptr<Volume> volume =
        service.volumes().FindByMedium(place->id);
    if (volume && service.volumes().loaded(*volume)) {
      ASSIGN_OR_RETURN(exclusion, service.volumes().Exclude(volume, stop));
    }
  }
  RETURN_IF_ERROR(service.library().Move(from, to));
  return Json{{"from", from.value}, {"to", to.value}};
}

Result<Json> SyncVolumes(Service& service, const CommandLine& line,
                         std::stop_token stop) {
  OptionReader options(line);
  options.Args(0, 1, "sync [VOL]");
  RETURN_IF_ERROR(options.Finish());
  if (line.args.empty()) {
    RETURN_IF_ERROR(service.volumes().SyncAll());
    return Json::object();
  }
  ASSIGN_OR_RETURN(const std::shared_ptr<Volume> volume,
                   FindVolume(service, line.args[0]));
  // A volume that is not loaded was committed when it was detached.
  if (service.volumes().loaded(*volume)) {
    ASSIGN_OR_RETURN(VolumeUse use, service.volumes().Use(volume, stop));
    RETURN_IF_ERROR(use->Sync());
  }
  return Json{{"volume", volume->id()},
              {"generation", GenerationJson(volume->generation())}};
}

Result<Json> FsckVolume(Service& service, const CommandLine& line,
                        std::stop_token stop) {
  udf::FsckOptions request;
  OptionReader options(line);
  options.Args(1, 1, "fsck VOL [data=yes]");
  request.check_data = options.Flag("data", false);
  RETURN_IF_ERROR(options.Finish());
  ASSIGN_OR_RETURN(const udf::FsckReport report,
                   Fsck(service.archive(), line.args[0], request, stop));
  return FsckJson(report);
}

Result<Json> Info(Service& service, const CommandLine& line, std::stop_token) {
  OptionReader options(line);
  options.Args(1, 1, "info VOL");
  RETURN_IF_ERROR(options.Finish());
  ASSIGN_OR_RETURN(const std::shared_ptr<Volume> volume,
                   FindVolume(service, line.args[0]));
  return VolumeInfo(service, volume->record());
}

Result<Json> Threshold(Service& service, const CommandLine& line,
                       std::stop_token stop) {
  OptionReader options(line);
  options.Args(2, 2, "threshold VOL PERCENT");
  RETURN_IF_ERROR(options.Finish());
  const std::optional<uint64_t> percent = ParseNumber(line.args[1]);
  if (!percent || *percent < 1 || *percent > 100) {
    return Invalid(fmt::format(
        "threshold: \"{}\" is not a number from 1 to 100", line.args[1]));
  }
  ASSIGN_OR_RETURN(const std::shared_ptr<Volume> volume,
                   FindVolume(service, line.args[0]));
  if (volume->record().role == udf::Role::kBackup) {
    return Error{Errc::kNotPermitted,
                 fmt::format("{} is a BACKUP: its threshold is always 99",
                             volume->id())};
  }
  ASSIGN_OR_RETURN(VolumeUse use, service.volumes().Use(volume, stop));
  RETURN_IF_ERROR(use->SetThreshold(static_cast<uint32_t>(*percent)));
  return Json{{"volume", volume->id()}, {"threshold", *percent}};
}

Json InventoryJson(const std::vector<InventoryRow>& rows) {
  Json media = Json::array();
  for (const InventoryRow& row : rows) {
    Json element;  // null: not in the library
    if (row.element.value != 0) element = row.element.value;
    media.push_back(
        {{"medium", row.medium}, {"element", element}, {"found", row.found}});
  }
  return media;
}

Result<Json> TakeInventory(Service& service, const CommandLine& line,
                           std::stop_token stop) {
  OptionReader options(line);
  options.Args(0, 0, "inventory [all=yes]");
  const bool all = options.Flag("all", false);
  RETURN_IF_ERROR(options.Finish());
  ASSIGN_OR_RETURN(const std::vector<InventoryRow> rows,
                   Inventory(service.archive(), all, stop));
  return InventoryJson(rows);
}

Result<Json> TakeReindex(Service& service, const CommandLine& line,
                         std::stop_token stop) {
  OptionReader options(line);
  options.Args(0, 0, "reindex [mode=sync|update|reset]");
  const auto mode = static_cast<ReindexMode>(
      options.Choice("mode", {"sync", "update", "reset"}, 1));
  RETURN_IF_ERROR(options.Finish());
  ASSIGN_OR_RETURN(const std::vector<InventoryRow> rows,
                   Reindex(service.archive(), mode, stop));
  return InventoryJson(rows);
}

Result<Json> Mount(Service& service, const CommandLine& line,
                   std::stop_token stop) {
  OptionReader options(line);
  options.Args(1, 1, "mount VOL dir=DIR");
  const std::optional<std::string> dir = options.Text("dir");
  RETURN_IF_ERROR(options.Finish());
  if (!dir || dir->front() != '/') {
    return Invalid("mount: dir=DIR is missing or not an absolute path");
  }
  ASSIGN_OR_RETURN(const std::shared_ptr<Volume> volume,
                   FindVolume(service, line.args[0]));
  const ServiceHooks hooks = service.hooks();
  if (!hooks.mount) {
    return Error{Errc::kNotSupported, "mount: there is no mount to add to"};
  }
  return hooks.mount(volume, *dir, stop);
}

Result<Json> Unmount(Service& service, const CommandLine& line,
                     std::stop_token) {
  OptionReader options(line);
  options.Args(0, 0, "unmount dir=DIR");
  const std::optional<std::string> dir = options.Text("dir");
  RETURN_IF_ERROR(options.Finish());
  if (!dir) return Invalid("unmount: dir=DIR is missing");
  const ServiceHooks hooks = service.hooks();
  if (!hooks.unmount) {
    return Error{Errc::kNotSupported, "unmount: there are no mounts"};
  }
  RETURN_IF_ERROR(hooks.unmount(*dir));
  return Json{{"dir", *dir}};
}

// The kernel tells of the last close(2) of a file only after it returned: what
// is seen open may be closed already.
Status AwaitClosed(const ServiceHooks& hooks, const std::stop_token& stop) {
  if (!hooks.in_use) return Status::Ok();
  constexpr std::chrono::seconds kPatience{2};
  const auto deadline = std::chrono::steady_clock::now() + kPatience;
  for (;;) {
    const std::string mount = hooks.in_use();
    if (mount.empty()) return Status::Ok();
    if (stop.stop_requested()) {
      return Status(Errc::kInterrupted, "shutdown: given up");
    }
    if (std::chrono::steady_clock::now() >= deadline) {
      return Status(Errc::kBusy,
                    fmt::format("{}: files are open on it: close them, or end "
                                "the daemon all the same (--force, force=yes)",
                                mount));
    }
    std::this_thread::sleep_for(std::chrono::milliseconds(5));
  }
}

Result<Json> Shutdown(Service& service, const CommandLine& line,
                      std::stop_token stop) {
  OptionReader options(line);
  options.Args(0, 0, "shutdown [force=yes]");
  const bool force = options.Flag("force", false);
  RETURN_IF_ERROR(options.Finish());
  const ServiceHooks hooks = service.hooks();
  if (!hooks.shutdown) {
    return Error{Errc::kNotSupported, "shutdown: there is no daemon to end"};
  }
  if (!force) RETURN_IF_ERROR(AwaitClosed(hooks, stop));
  hooks.shutdown();
  return Json::object();
}

struct NamedCommand {
  std::string_view verb;
  CommandFunction run;
};

constexpr std::array<NamedCommand, 15> kCommands = {{
    {"cancel", Cancel},
    {"compare", Compare},
    {"convert", Convert},
    {"copy", Copy},
    {"format", Format},
    {"fsck", FsckVolume},
    {"info", Info},
    {"inventory", TakeInventory},
    {"mount", Mount},
    {"move", Move},
    {"reindex", TakeReindex},
    {"shutdown", Shutdown},
    {"sync", SyncVolumes},
    {"threshold", Threshold},
    {"unmount", Unmount},
}};

}  // namespace

Result<Json> RunCommand(Service& service, const CommandLine& line,
                        std::stop_token stop) {
  std::string known;
  for (const NamedCommand& command : kCommands) {
    if (command.verb == line.verb) return command.run(service, line, stop);
    known += known.empty() ? "" : ", ";
    known += command.verb;
  }
  return Invalid(
      fmt::format("unknown command \"{}\": known are {}", line.verb, known));
}

std::string AnswerText(const Result<Json>& result) {
  Json answer;
  if (result.ok()) {
    answer = {{"ok", true}, {"result", *result}};
  } else {
    const Error& error = result.error();
    answer = {{"ok", false},
              {"error",
               {{"code", ErrcName(error.code)},
                {"errno", ErrnoName(ErrnoOf(error.code))},
                {"message", error.message}}}};
  }
  return answer.dump(-1, ' ', false, Json::error_handler_t::replace) + "\n";
}

}  // namespace vellum
