// SPDX-License-Identifier: Apache-2.0
// Commands about one volume.
#include <fmt/format.h>

#include <array>
#include <optional>
#include <utility>

#include "copy/old_generations.h"
#include "copy/operations.h"
#include "copy/own_generations.h"
#include "fs/command_group.h"
#include "fs/service.h"
#include "fs/tables.h"

namespace vellum {
namespace {

Result<Json> SyncVolumes(Service& service, const CommandLine& line,
                         std::stop_token) {
  OptionReader options(line);
  options.Args(0, 1, "sync [VOL]");
  RETURN_IF_ERROR(options.Finish());
  if (line.args.empty()) {
    RETURN_IF_ERROR(service.volumes().SyncAll());
    return Json::object();
  }
  ASSIGN_OR_RETURN(const std::shared_ptr<Volume> volume,
                   FindVolume(service, line.args[0]));
  SayStep(line, "commits " + volume->id());
  RETURN_IF_ERROR(service.volumes().SyncVolume(*volume));
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
                   Fsck(ArchiveOf(service, line), line.args[0], request, stop));
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
    return InvalidCommand(fmt::format(
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

// Shows, sets or ends how many complete backups of one volume are kept (A8).
// What is more than that is released at once.
Result<Json> Generations(Service& service, const CommandLine& line,
                         std::stop_token stop) {
  OptionReader options(line);
  options.Args(1, 2, "generations VOL [N|default]");
  RETURN_IF_ERROR(options.Finish());
  ASSIGN_OR_RETURN(const std::shared_ptr<Volume> volume,
                   FindVolume(service, line.args[0]));
  const VolumeRecord record = volume->record();
  if (record.role == udf::Role::kBackup) {
    return Error{
        Errc::kInvalidArgument,
        fmt::format("{} is a BACKUP: a PRIMARY has generations", record.id)};
  }
  ASSIGN_OR_RETURN(const std::optional<uint32_t> before,
                   OwnGenerations(service.catalog(), record));
  if (line.args.size() == 2) {
    std::optional<uint32_t> wanted;
    if (line.args[1] != "default") {
      const std::optional<uint64_t> number = ParseNumber(line.args[1]);
      if (!number || *number < 1 || *number > kMaxGenerations) {
        return InvalidCommand(fmt::format(
            "generations: \"{}\" is neither a number from 1 to {} nor "
            "\"default\"",
            line.args[1], kMaxGenerations));
      }
      wanted = static_cast<uint32_t>(*number);
    }
    RETURN_IF_ERROR(
        SetOwnGenerations(service.archive().catalog, record, wanted));
  }
  ASSIGN_OR_RETURN(const std::optional<uint32_t> own,
                   OwnGenerations(service.catalog(), record));
  Json answer = {{"volume", record.id},
                 {"generations", own ? Json(*own) : Json()}};
  if (line.args.size() < 2) return answer;
  const uint32_t kept = own.value_or(service.current_config().generations);
  ReleasedGenerations old;
  // As after a copy: where nobody has asked for one only, more of them are
  // somebody's wish.
  if (kept > 1 || own || before) {
    Result<ReleasedGenerations> released =
        ReleaseGenerations(service.archive(), service.jobs(),
                           service.pool_range(), record, kept, stop);
    if (!released.ok()) {
      // A command that failed has changed nothing that later copies go by.
      const Status undone =
          SetOwnGenerations(service.archive().catalog, record, before);
      if (undone.ok()) return released.error();
      return Error{
          released.error().code,
          fmt::format("{}; the number is set all the same: {}",
                      released.error().message, undone.error().message)};
    }
    old = std::move(*released);
  }
  Json released = Json::array();
  for (const VolumeRecord& backup : old.released) {
    released.push_back({{"volume", backup.id}, {"medium", backup.medium}});
  }
  answer["released"] = std::move(released);
  answer["in_use"] = old.in_use;
  return answer;
}

Result<Json> ReleaseVolume(Service& service, const CommandLine& line,
                           std::stop_token stop) {
  OptionReader options(line);
  options.Args(1, 1, "release VOL");
  RETURN_IF_ERROR(options.Finish());
  ASSIGN_OR_RETURN(const std::shared_ptr<Volume> volume,
                   FindVolume(service, line.args[0]));
  const Json answer = {{"volume", volume->id()},
                       {"medium", volume->record().medium}};
  RETURN_IF_ERROR(Release(ArchiveOf(service, line), volume->id(), stop));
  return answer;
}

constexpr std::array<NamedCommand, 6> kVolumeCommands = {{
    {"fsck", FsckVolume},
    {"generations", Generations},
    {"info", Info},
    {"release", ReleaseVolume},
    {"sync", SyncVolumes},
    {"threshold", Threshold},
}};

}  // namespace

std::span<const NamedCommand> VolumeCommands() { return kVolumeCommands; }

}  // namespace vellum
