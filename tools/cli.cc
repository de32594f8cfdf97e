// SPDX-License-Identifier: Apache-2.0
#include "tools/cli.h"

#include <CLI/CLI.hpp>
#include <algorithm>
#include <array>
#include <exception>
#include <string_view>

#include "fs/errno_map.h"
#include "tools/cmd_devices.h"
#include "tools/cmd_medium.h"

namespace vellum {

namespace {

// What a usage error says: what the parser did not understand, or that a word
// is no command, which the parser calls a missing one.
std::string UsageMessage(const CLI::App& app, const CLI::ParseError& error) {
  if (app.get_subcommands().empty()) {
    for (const std::string& word : app.remaining()) {
      if (word[0] != '-') return "unknown command " + word;
    }
  }
  // The parser names them from the back.
  if (dynamic_cast<const CLI::ExtrasError*>(&error) != nullptr) {
    std::string words;
    for (const std::string& word : app.remaining(/*recurse=*/true)) {
      words += " " + word;
    }
    if (!words.empty()) return "not understood:" + words;
  }
  return error.what();
}

// Names of other archive systems' programs that `vellum` answers to when it is
// called by them (a link); each is an alias of the subcommand, too.
constexpr std::array<std::string_view, 10> kProgramNames = {
    "acmbackup", "acmdevdisp",    "acmhistdisp", "acmrestore", "acmtrkstat",
    "copymedia", "listcopymedia", "listmedia",   "mcstat",     "mm"};

void AddGlobalOptions(CLI::App& app, Cli& cli) {
  app.require_subcommand(1);
  app.fallthrough();  // global options may follow the subcommand
  app.set_version_flag("--version", "vellum " VELLUM_VERSION);
  app.add_option("--mount", cli.address.mount,
                 "Mount point of the library (default: VELLUM_MOUNT)")
      ->type_name("MOUNT");
  app.add_option("--library", cli.address.library,
                 "Directory of the library (default: VELLUM_LIBRARY)")
      ->type_name("DIR");
  app.add_flag("--json", cli.json, "Print JSON (docs/control.md)");
  app.footer(
      "Exit codes: 0 done, 1 failed, 2 usage, 3 no daemon, 4 differences or "
      "damage, 5 job failed or cancelled; other: of the hook (library.toml) "
      "that failed.");
}

}  // namespace

int Cli::WithDaemon(const std::function<int(const Client&)>& use) const {
  const Result<Client> client = env.connect(address);
  if (!client.ok()) {
    const Errc code = client.error().code;
    return Fail(client.error(), code == Errc::kOffline           ? kExitNoDaemon
                                : code == Errc::kInvalidArgument ? kExitUsage
                                                                 : kExitFailed);
  }
  return use(*client);
}

int Cli::Fail(const Error& error, int code) const {
  if (json) {
    const Json answer = {{"ok", false},
                         {"error",
                          {{"code", ErrcName(error.code)},
                           {"errno", ErrnoName(ErrnoOf(error.code))},
                           {"message", error.message}}}};
    out() << answer.dump() << '\n';
  }
  *env.err << "vellum: " << error.message << '\n';
  return code;
}

int Cli::Done(const Json& result, const std::function<void()>& text) const {
  if (json) {
    const Json answer = {{"ok", true}, {"result", result}};
    out() << answer.dump() << '\n';
  } else {
    text();
  }
  return kExitOk;
}

int RunVellum(const std::string& name,
              const std::vector<std::string>& arguments,
              const Environment& environment) {
  Cli cli(environment);
  cli.address.mount_default = environment.mount_default;
  cli.address.library_default = environment.library_default;
  CLI::App app("Vellum: an archive library as directories", "vellum");
  AddGlobalOptions(app, cli);
  AddInit(app, cli);
  AddMount(app, cli);
  AddUnmount(app, cli);
  AddMediaCommands(app, cli);
  AddTableCommands(app, cli);
  AddCopyCommands(app, cli);
  AddBackupCommands(app, cli);
  AddPoolCommands(app, cli);
  AddJobCommands(app, cli);
  AddVolumeCommands(app, cli);
  AddFindCommands(app, cli);
  AddMedium(app, cli);
  AddOperatorCommands(app, cli);
  AddDeviceCommands(app, cli);
  AddStage(app, cli);
  AddFsck(app, cli);
  AddDumpCatalog(app, cli);
  AddDoctor(app, cli);

  // The parser takes its words from the back.
  std::vector<std::string> words(arguments.rbegin(), arguments.rend());
  // The parser may give up before it has seen the flag.
  const bool json =
      std::find(words.begin(), words.end(), "--json") != words.end();
  if (std::find(kProgramNames.begin(), kProgramNames.end(), name) !=
      kProgramNames.end()) {
    words.push_back(name);
  }
  try {
    app.parse(std::move(words));
    return cli.action();
  } catch (const CLI::Success& success) {  // --help, --version
    app.exit(success, *environment.out, *environment.err);
    return kExitOk;
  } catch (const CLI::ParseError& error) {
    cli.json = json;
    cli.Fail(Error{Errc::kInvalidArgument, UsageMessage(app, error)});
    const auto subcommands = app.get_subcommands();
    *environment.err << "Try `vellum "
                     << (subcommands.empty()
                             ? ""
                             : subcommands.front()->get_name() + " ")
                     << "--help`.\n";
    return kExitUsage;
  } catch (const std::exception& error) {
    return cli.Fail(Error{Errc::kInternal, error.what()});
  }
}

}  // namespace vellum
