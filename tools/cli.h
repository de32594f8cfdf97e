// SPDX-License-Identifier: Apache-2.0
// What every subcommand gets, and the exit codes of the program.
#pragma once

#include <functional>
#include <istream>
#include <ostream>
#include <string>

#include "media/error.h"
#include "tools/client.h"

namespace CLI {
class App;
}  // namespace CLI

namespace vellum {

enum ExitCode : int {
  kExitOk = 0,
  kExitFailed = 1,    // the operation failed; the message is on stderr
  kExitUsage = 2,     // the command line is wrong
  kExitNoDaemon = 3,  // no daemon serves the library
  // compare found differences, fsck found damage, doctor found a problem
  kExitDifferences = 4,
  kExitJobFailed = 5,  // the job that was waited for failed or was cancelled
};

// Injected, so that tests run commands in their own process.
struct Environment {
  std::ostream* out = nullptr;
  std::ostream* err = nullptr;
  bool terminal = false;        // err is one: progress may overwrite its line
  std::istream* in = nullptr;   // a terminal to ask at; null: there is none
  std::string mount_default;    // VELLUM_MOUNT
  std::string library_default;  // VELLUM_LIBRARY
  // The daemon of an address; tests put a fake one here.
  std::function<Result<Client>(const DaemonAddress&)> connect;
};

// The state of one run: global options, and what the chosen subcommand does.
// The subcommands register themselves with Add…(app, cli) and set `action` when
// the parser picks them. Thread-safety: one thread.
struct Cli {
  explicit Cli(const Environment& environment) : env(environment) {}

  Environment env;
  DaemonAddress address;
  bool json = false;
  std::function<int()> action;

  std::ostream& out() const { return *env.out; }

  // Runs `use` with the daemon of the address. No daemon: kExitNoDaemon.
  int WithDaemon(const std::function<int(const Client&)>& use) const;
  // Prints `vellum: message` to stderr and, with --json, the error as the
  // daemon would answer it. Answers `code`.
  int Fail(const Error& error, int code = kExitFailed) const;
  // With --json the answer {"ok":true,"result":…}, else what `text` prints.
  int Done(const Json& result, const std::function<void()>& text) const;
};

// Groups of subcommands, one file each.
void AddInit(CLI::App& app, Cli& cli);           // init
void AddMount(CLI::App& app, Cli& cli);          // mount
void AddUnmount(CLI::App& app, Cli& cli);        // unmount
void AddTableCommands(CLI::App& app, Cli& cli);  // status, media, copies, …
void AddMediaCommands(CLI::App& app, Cli& cli);  // format, move, inventory, …
void AddCopyCommands(CLI::App& app, Cli& cli);   // copy, compare
void AddBackupCommands(CLI::App& app, Cli& cli);  // backup, restore, track, …
void AddPoolCommands(CLI::App& app, Cli& cli);    // setcopyrange, pool, devices
void AddJobCommands(CLI::App& app, Cli& cli);     // jobs, cancel
void AddVolumeCommands(CLI::App& app, Cli& cli);  // info, threshold, sync
void AddFindCommands(CLI::App& app, Cli& cli);    // which, find, export, …
void AddFsck(CLI::App& app, Cli& cli);            // fsck
void AddDumpCatalog(CLI::App& app, Cli& cli);     // dump-catalog
void AddDoctor(CLI::App& app, Cli& cli);          // doctor
void AddOperatorCommands(CLI::App& app, Cli& cli);  // confirm, refuse

// The whole program: parses `arguments` (without the program's name), runs the
// subcommand and answers the exit code. `name` is what the program was called
// as: "listmedia" and the like stand for their subcommand.
int RunVellum(const std::string& name,
              const std::vector<std::string>& arguments,
              const Environment& environment);

}  // namespace vellum
