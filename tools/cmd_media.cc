// SPDX-License-Identifier: Apache-2.0
// Commands about media: format, move, inventory, reindex, convert, release.
#include <fmt/format.h>
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <memory>
#include <optional>

#include "tools/cli.h"
#include "tools/command_progress.h"
#include "tools/old_forms.h"
#include "tools/partial_result.h"
#include "tools/validators.h"

namespace vellum {

namespace {

struct FormatArguments {
  std::string medium;
  std::string name;
  std::string role = "primary";
  std::optional<unsigned> threshold;
  bool clear = false;
  bool no_wipe = false;
};

int FormatMedium(const Cli& cli, const FormatArguments& arguments) {
  std::vector<std::string> words = {"format", Argument(arguments.medium),
                                    Option("name", arguments.name),
                                    Option("role", arguments.role)};
  if (arguments.threshold) {
    words.push_back(Option("threshold", std::to_string(*arguments.threshold)));
  }
  if (arguments.clear) words.push_back("clear=yes");
  if (arguments.no_wipe) words.push_back("wipe=no");
  // The volume's root directory belongs to whoever formats it.
  words.push_back(Option("uid", std::to_string(::getuid())));
  words.push_back(Option("gid", std::to_string(::getgid())));
  return cli.WithDaemon([&](const Client& client) {
    const Result<Json> result = SendAndShow(cli, client, words);
    if (!result.ok()) return cli.Fail(result.error());
    return cli.Done(*result, [&] {
      cli.out() << fmt::format("{}: {} volume on {}\n", arguments.name,
                               arguments.role, arguments.medium);
    });
  });
}

void AddFormat(CLI::App& app, Cli& cli) {
  auto arguments = std::make_shared<FormatArguments>();
  CLI::App* sub = app.add_subcommand("format", "Make a volume on a medium");
  sub->add_option("MEDIUM", arguments->medium, "Element address or volume tag")
      ->required();
  sub->add_option("--name", arguments->name, "Volume id")
      ->required()
      ->type_name("VOL");
  sub->add_option("--role", arguments->role, "primary or backup")
      ->check(CLI::IsMember({"primary", "backup"}))
      ->capture_default_str();
  sub->add_option("--threshold", arguments->threshold,
                  "Per cent of the medium that may be used (primary: 1-100)")
      ->type_name("P");
  sub->add_flag("--clear", arguments->clear,
                "Also when the medium holds data, which is lost");
  sub->add_flag("--no-wipe", arguments->no_wipe,
                "With --clear: quicker; what was there stays in free blocks");
  sub->callback([&cli, arguments] {
    cli.action = [&cli, arguments] { return FormatMedium(cli, *arguments); };
  });
}

// The old form of `mm` has a third and fourth word, both 0 (no inversion), and
// the changer's device file; one daemon has one changer, so they say nothing.
struct MoveArguments {
  std::string from;
  std::string to;
  std::vector<std::string> old_form;
};

int MoveMedium(const Cli& cli, const MoveArguments& arguments) {
  const std::vector<std::string>& old = arguments.old_form;
  for (size_t i = 0; i < old.size() && i < 2; ++i) {
    if (old[i] != "0") {
      return cli.Fail(
          Error{Errc::kInvalidArgument,
                fmt::format("'{}': a medium is turned over when its other side "
                            "is needed, not by a move (write 0)",
                            old[i])},
          kExitUsage);
    }
  }
  return cli.WithDaemon([&](const Client& client) {
    const Result<Json> result =
        SendAndShow(cli, client,
                    {"move", Argument(arguments.from), Argument(arguments.to)});
    if (!result.ok()) return cli.Fail(result.error());
    return cli.Done(*result, [&] {
      cli.out() << fmt::format("moved {} to {}\n", arguments.from,
                               arguments.to);
    });
  });
}

void AddMove(CLI::App& app, Cli& cli) {
  auto arguments = std::make_shared<MoveArguments>();
  CLI::App* sub =
      app.add_subcommand("move", "Move a medium from one element to another");
  sub->alias("mm");
  sub->add_option("FROM", arguments->from,
                  "Element address, volume tag or volume")
      ->required();
  sub->add_option("TO", arguments->to, "Element address")
      ->required()
      ->check(ElementNumber());
  sub->add_option("OLD", arguments->old_form,
                  "0 0 DEVICE: accepted from scripts made for mm")
      ->expected(0, 3);
  sub->callback([&cli, arguments] {
    cli.action = [&cli, arguments] { return MoveMedium(cli, *arguments); };
  });
}

// Sends a command that answers a row for each medium, and prints them.
int ListMedia(const Cli& cli, const std::vector<std::string>& words) {
  return cli.WithDaemon([&](const Client& client) {
    const Result<Json> result = SendAndShow(cli, client, words);
    if (!result.ok()) return cli.Fail(result.error());
    std::string unread;
    for (const Json& row : *result) {
      if (row.value("read", true)) continue;
      if (!unread.empty()) unread += ", ";
      unread += row.value("medium", "");
    }
    const auto print = [&] {
      for (const Json& row : *result) {
        const Json element = row.value("element", Json());
        cli.out() << fmt::format(
            "{:<10} {:<12} {}\n", element.is_null() ? "-" : element.dump(),
            row.value("medium", ""), row.value("found", ""));
      }
    };
    if (unread.empty()) return cli.Done(*result, print);
    if (!cli.json) print();
    return FailPartly(cli, Error{Errc::kDeviceError, "not read: " + unread},
                      kExitFailed, *result);
  });
}

struct InventoryArguments {
  bool all = false;
  bool resume = false;
  bool scan = false;
  std::string range;
  std::string copy_start;
  std::string copy_end;
};

// With a range it reads every medium, as other systems' inventory does.
int Inventory(const Cli& cli, const InventoryArguments& arguments) {
  const bool range = !arguments.copy_start.empty();
  std::vector<std::string> words = {"inventory"};
  if (arguments.all || range) words.push_back("all=yes");
  if (arguments.resume) words.push_back("resume=yes");
  if (arguments.scan) words.push_back("scan=yes");
  if (!arguments.range.empty()) {
    words.push_back(Option("range", arguments.range));
  }
  if (range) {
    const int code = cli.WithDaemon([&](const Client& client) {
      const Result<Json> set = client.Send(
          {"setcopyrange", Option("copy-start", arguments.copy_start),
           Option("copy-end", arguments.copy_end)});
      return set.ok() ? static_cast<int>(kExitOk) : cli.Fail(set.error());
    });
    if (code != kExitOk) return code;
  }
  return ListMedia(cli, words);
}

void AddInventory(CLI::App& app, Cli& cli) {
  auto arguments = std::make_shared<InventoryArguments>();
  CLI::App* sub = app.add_subcommand(
      "inventory", "Load media of unknown content and read their labels");
  CLI::Option* all = sub->add_flag("--all", arguments->all, "Every medium");
  CLI::Option* resume =
      sub->add_flag("--resume", arguments->resume,
                    "Go on with the one of all media that was broken off");
  resume->excludes(all);
  CLI::Option* scan = sub->add_flag(
      "--scan", arguments->scan,
      "First have the changer look at its elements, which takes it a while");
  sub->add_option("--range", arguments->range, "Only at these, one or several")
      ->type_name("FIRST-LAST")
      ->check(ElementNumbers())
      ->needs(scan);
  CLI::Option* start =
      sub->add_option("--copy-start,--copy_start", arguments->copy_start,
                      "First set the copy pool's range, from this slot on (as "
                      "setcopyrange), then read every medium")
          ->type_name("SLOT")
          ->check(ElementNumber());
  CLI::Option* end = sub->add_option("--copy-end,--copy_end",
                                     arguments->copy_end, "To this slot")
                         ->type_name("SLOT")
                         ->check(ElementNumber());
  TakeOldDevice(sub);
  start->needs(end)->excludes(resume)->excludes(scan);
  end->needs(start);
  sub->callback([&cli, arguments] {
    cli.action = [&cli, arguments] { return Inventory(cli, *arguments); };
  });
}

void AddReindex(CLI::App& app, Cli& cli) {
  struct Flags {
    bool sync = false;
    bool update = false;
    bool reset = false;
  };
  auto flags = std::make_shared<Flags>();
  CLI::App* sub = app.add_subcommand(
      "reindex", "Take the catalog back to what the library and media say");
  CLI::Option_group* how = sub->add_option_group("how far");
  how->add_flag("--sync", flags->sync,
                "Compare with the element status; no medium moves");
  how->add_flag("--update", flags->update, "Read media of unknown content");
  how->add_flag("--reset", flags->reset,
                "Read every medium and every tree anew");
  how->require_option(1);
  sub->callback([&cli, flags] {
    const std::string mode = flags->sync     ? "sync"
                             : flags->update ? "update"
                                             : "reset";
    cli.action = [&cli, mode] {
      return ListMedia(cli, {"reindex", Option("mode", mode)});
    };
  });
}

int Convert(const Cli& cli, const std::string& backup,
            const std::string& name) {
  return cli.WithDaemon([&](const Client& client) {
    std::vector<std::string> words = {"convert", Argument(backup)};
    if (!name.empty()) words.push_back(Option("name", name));
    const Result<Json> result = SendAndShow(cli, client, words);
    if (!result.ok()) return cli.Fail(result.error());
    return cli.Done(*result, [&] {
      cli.out() << fmt::format("{} is now the primary volume {}\n", backup,
                               result->value("volume", name));
    });
  });
}

int ReportDeleted(const Cli& cli, const std::string& backup) {
  return cli.WithDaemon([&](const Client& client) {
    const Result<Json> result =
        client.Send({"convert", Argument(backup), "report=yes"});
    if (!result.ok()) return cli.Fail(result.error());
    return cli.Done(*result, [&] {
      const Json paths = result->value("paths", Json::array());
      for (const Json& path : paths) {
        cli.out() << path.get<std::string>() << '\n';
      }
      const auto count = result->value("deleted", uint64_t{0});
      if (count > paths.size()) {
        cli.out() << fmt::format("and {} more\n", count - paths.size());
      }
    });
  });
}

void AddConvert(CLI::App& app, Cli& cli) {
  auto report = std::make_shared<bool>(false);
  auto backup = std::make_shared<std::string>();
  auto name = std::make_shared<std::string>();
  CLI::App* sub = app.add_subcommand(
      "convert", "Make a backup a primary volume; there is no way back");
  sub->add_option("BACKUP", *backup, "Volume id of the backup")->required();
  CLI::Option* const new_name =
      sub->add_option("--name", *name,
                      "New volume id; the recorded primary's when not given")
          ->type_name("VOL");
  sub->add_flag("--report", *report,
                "Change nothing: list the files that the primary has no more")
      ->excludes(new_name);
  sub->callback([&cli, backup, name, report] {
    cli.action = [&cli, backup, name, report] {
      return *report ? ReportDeleted(cli, *backup)
                     : Convert(cli, *backup, *name);
    };
  });
}

int Release(const Cli& cli, const std::string& volume) {
  return cli.WithDaemon([&](const Client& client) {
    const Result<Json> result =
        SendAndShow(cli, client, {"release", Argument(volume)});
    if (!result.ok()) return cli.Fail(result.error());
    return cli.Done(*result, [&] {
      cli.out() << fmt::format(
          "{} is a writable UDF volume of any system now, on medium {}; it is "
          "no volume of this library any more\n",
          volume, result->value("medium", ""));
    });
  });
}

void AddRelease(CLI::App& app, Cli& cli) {
  auto volume = std::make_shared<std::string>();
  CLI::App* sub = app.add_subcommand(
      "release",
      "Hand a volume over to other systems, writable; there is no way back");
  sub->add_option("VOL", *volume, "Volume id")->required();
  sub->callback([&cli, volume] {
    cli.action = [&cli, volume] { return Release(cli, *volume); };
  });
}

}  // namespace

void AddMediaCommands(CLI::App& app, Cli& cli) {
  AddFormat(app, cli);
  AddMove(app, cli);
  AddInventory(app, cli);
  AddReindex(app, cli);
  AddConvert(app, cli);
  AddRelease(app, cli);
}

}  // namespace vellum
