// SPDX-License-Identifier: Apache-2.0
// How commands are told to RunCommand. Private to fs/commands*.cc: each of them
// holds a group of commands, one function each.
#pragma once

#include <memory>
#include <span>
#include <stop_token>
#include <string>
#include <string_view>

#include "copy/operations.h"
#include "fs/command_line.h"
#include "fs/json.h"
#include "index/volumes.h"
#include "media/error.h"

namespace vellum {

class Service;

using CommandFunction = Result<Json> (*)(Service&, const CommandLine&,
                                         std::stop_token);
struct NamedCommand {
  std::string_view verb;
  CommandFunction run;
};

std::span<const NamedCommand> CatalogCommands();
std::span<const NamedCommand> CopyCommands();
std::span<const NamedCommand> DeviceCommands();
std::span<const NamedCommand> MediaCommands();
std::span<const NamedCommand> MountCommands();
std::span<const NamedCommand> OperatorCommands();
std::span<const NamedCommand> StageCommands();
std::span<const NamedCommand> VolumeCommands();

Error InvalidCommand(std::string message);
// What the operations of this command work on and report to.
Archive ArchiveOf(const Service& service, const CommandLine& line);
// What the command does now, for who watches it.
void SayStep(const CommandLine& line, const std::string& step);
// kNotFound names the volume.
Result<std::shared_ptr<Volume>> FindVolume(const Service& service,
                                           const std::string& id);

}  // namespace vellum
