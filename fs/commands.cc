// SPDX-License-Identifier: Apache-2.0
#include "fs/commands.h"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "copy/work_meter.h"
#include "fs/command_group.h"
#include "fs/errno_map.h"
#include "fs/service.h"

namespace vellum {
namespace {

std::vector<NamedCommand> AllCommands() {
  std::vector<NamedCommand> all;
  for (const auto group : {CatalogCommands(), CopyCommands(), DeviceCommands(),
                           MediaCommands(), MountCommands(), OperatorCommands(),
                           StageCommands(), VolumeCommands()}) {
    all.insert(all.end(), group.begin(), group.end());
  }
  std::sort(all.begin(), all.end(),
            [](const NamedCommand& a, const NamedCommand& b) {
              return a.verb < b.verb;
            });
  return all;
}

}  // namespace

Error InvalidCommand(std::string message) {
  return Error{Errc::kInvalidArgument, std::move(message)};
}

Archive ArchiveOf(const Service& service, const CommandLine& line) {
  Archive archive = service.archive();
  archive.meter = line.meter;
  return archive;
}

void SayStep(const CommandLine& line, const std::string& step) {
  if (line.meter != nullptr) line.meter->Say(step);
}

Result<std::shared_ptr<Volume>> FindVolume(const Service& service,
                                           const std::string& id) {
  std::shared_ptr<Volume> volume = service.volumes().Find(id);
  if (!volume) {
    return Error{Errc::kNotFound, fmt::format("no volume {} is known", id)};
  }
  return volume;
}

Result<Json> RunCommand(Service& service, const CommandLine& line,
                        std::stop_token stop) {
  std::string known;
  for (const NamedCommand& command : AllCommands()) {
    if (command.verb == line.verb) return command.run(service, line, stop);
    known += known.empty() ? "" : ", ";
    known += command.verb;
  }
  return InvalidCommand(
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
                {"errno", ErrnoName(CommandErrnoOf(error.code))},
                {"message", error.message}}}};
  }
  return answer.dump(-1, ' ', false, Json::error_handler_t::replace) + "\n";
}

}  // namespace vellum
