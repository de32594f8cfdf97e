// SPDX-License-Identifier: Apache-2.0
// Subcommands about the machine, and bulk recall.
#pragma once

namespace CLI {
class App;
}  // namespace CLI

namespace vellum {

struct Cli;

void AddDeviceCommands(CLI::App& app, Cli& cli);  // door, drive, health, …
void AddStage(CLI::App& app, Cli& cli);           // stage

}  // namespace vellum
