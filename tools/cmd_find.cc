// SPDX-License-Identifier: Apache-2.0
// Commands about where things are, on whatever shelf: which, find, export,
// import.
#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <memory>

#include "tools/cli.h"
#include "tools/command_progress.h"
#include "tools/mount_path.h"
#include "tools/partial_result.h"

namespace vellum {

namespace {

std::string CellText(const Json& row, const char* key) {
  const Json value = row.value(key, Json());
  if (value.is_null()) return "-";
  return value.is_string() ? value.get<std::string>() : value.dump();
}

// "PHOTOS  V00001  exported  -  PHOTOS/a.jpg  (shelf: cupboard 3)"
std::string NameLine(const Json& row) {
  std::string line =
      fmt::format("{:<12} {:<10} {:<9} {:>6}  {}", CellText(row, "volume"),
                  CellText(row, "medium"), CellText(row, "state"),
                  CellText(row, "element"), CellText(row, "path"));
  if (!row.value("location", Json()).is_null()) {
    line += fmt::format("  (shelf: {})", CellText(row, "location"));
  }
  return line;
}

int Which(const Cli& cli, const std::string& path) {
  return cli.WithDaemon([&](const Client& client) {
    const Result<Json> rows =
        client.Send({"which", Argument(VolumePathOf(client.mount(), path))});
    if (!rows.ok()) return cli.Fail(rows.error());
    if (cli.json) {
      cli.out() << rows->dump() << '\n';
      return static_cast<int>(kExitOk);
    }
    for (const Json& row : *rows) {
      cli.out() << NameLine(row)
                << (row.value("current", true) ? "" : "  (other version)")
                << '\n';
    }
    return static_cast<int>(kExitOk);
  });
}

struct FindArguments {
  std::string pattern;
  std::string volume;
  std::string role;
  bool ignore_case = false;
  bool paths = false;
};

int Find(const Cli& cli, const FindArguments& arguments) {
  std::vector<std::string> words = {"find", Argument(arguments.pattern)};
  if (!arguments.volume.empty()) {
    words.push_back(Option("volume", arguments.volume));
  }
  if (!arguments.role.empty()) words.push_back(Option("role", arguments.role));
  if (arguments.ignore_case) words.push_back("case=no");
  return cli.WithDaemon([&](const Client& client) {
    // Each answer is printed before the next one is asked for.
    const char* separator = "[";
    std::string after;
    do {
      std::vector<std::string> page = words;
      if (!after.empty()) page.push_back(Option("after", after));
      const Result<Json> result = client.Send(page);
      if (!result.ok()) return cli.Fail(result.error());
      for (const Json& row : result->value("found", Json::array())) {
        if (cli.json) {
          cli.out() << separator << row.dump();
          separator = ",\n";
        } else {
          cli.out() << (arguments.paths ? CellText(row, "path") : NameLine(row))
                    << '\n';
        }
      }
      cli.out().flush();
      const Json next = result->value("next", Json());
      after = next.is_string() ? next.get<std::string>() : "";
    } while (!after.empty());
    if (cli.json) cli.out() << (*separator == '[' ? "[]" : "]") << '\n';
    return static_cast<int>(kExitOk);
  });
}

int Export(const Cli& cli, const std::string& volume,
           const std::string& location) {
  return cli.WithDaemon([&](const Client& client) {
    std::vector<std::string> words = {"export", Argument(volume)};
    if (!location.empty()) words.push_back(Option("location", location));
    const Result<Json> result = SendAndShow(cli, client, words);
    if (!result.ok()) return cli.Fail(result.error());
    return cli.Done(*result, [&] {
      const Json element = result->value("element", Json());
      cli.out() << fmt::format(
          "{} is exported (shelf: {}){}\n", volume,
          CellText(*result, "location"),
          element.is_null()
              ? ""
              : fmt::format(": take medium {} out of element {}",
                            CellText(*result, "medium"), element.dump()));
    });
  });
}

int Import(const Cli& cli, const std::string& what) {
  return cli.WithDaemon([&](const Client& client) {
    std::vector<std::string> words = {"import"};
    if (!what.empty()) words.push_back(Argument(what));
    const Result<Json> result = SendAndShow(cli, client, words);
    if (!result.ok()) return cli.Fail(result.error());
    const auto print = [&] {
      for (const Json& row : *result) {
        cli.out() << fmt::format("{:<10} {:<12} {}\n", CellText(row, "element"),
                                 CellText(row, "medium"),
                                 CellText(row, "found"));
      }
    };
    std::string left;
    for (const Json& row : *result) {
      if (row.value("imported", true)) continue;
      left += (left.empty() ? "" : ", ") + row.value("medium", "");
    }
    if (left.empty()) return cli.Done(*result, print);
    if (!cli.json) print();
    return FailPartly(cli, Error{Errc::kDeviceError, "not imported: " + left},
                      kExitFailed, *result);
  });
}

void AddFind(CLI::App& app, Cli& cli) {
  auto arguments = std::make_shared<FindArguments>();
  CLI::App* sub = app.add_subcommand(
      "find",
      "Search the names on all volumes, loaded, exported or removed; no medium "
      "moves");
  sub->add_option("PATTERN", arguments->pattern,
                  "Part of a name, or a glob (*?[) of a whole name; with a "
                  "slash, of VOL/PATH")
      ->required();
  sub->add_option("--volume", arguments->volume, "Only on this volume")
      ->type_name("VOL");
  sub->add_option("--role", arguments->role, "Only on primaries or backups")
      ->check(CLI::IsMember({"primary", "backup"}));
  sub->add_flag("-i,--ignore-case", arguments->ignore_case,
                "Letters match in both cases");
  sub->add_flag("--paths", arguments->paths, "Print VOL/PATH only");
  sub->callback([&cli, arguments] {
    cli.action = [&cli, arguments] { return Find(cli, *arguments); };
  });
}

}  // namespace

void AddFindCommands(CLI::App& app, Cli& cli) {
  AddFind(app, cli);
  auto path = std::make_shared<std::string>();
  CLI::App* which = app.add_subcommand(
      "which", "Which volumes, media and shelves hold a file; no medium moves");
  which->add_option("PATH", *path, "A path in the mount, or VOL/PATH")
      ->required();
  which->callback([&cli, path] {
    cli.action = [&cli, path] { return Which(cli, *path); };
  });

  auto volume = std::make_shared<std::string>();
  auto location = std::make_shared<std::string>();
  CLI::App* out = app.add_subcommand(
      "export",
      "Put a volume's medium into the import/export element for the "
      "shelf; the volume stays listed and searchable");
  out->add_option("VOL", *volume, "Volume id")->required();
  out->add_option("--location", *location, "The shelf it goes to")
      ->type_name("TEXT");
  out->callback([&cli, volume, location] {
    cli.action = [&cli, volume, location] {
      return Export(cli, *volume, *location);
    };
  });

  auto what = std::make_shared<std::string>();
  CLI::App* in = app.add_subcommand(
      "import", "Take media from the import/export elements into slots");
  in->add_option("WHAT", *what,
                 "Element address, volume tag or volume id; all when not "
                 "given");
  in->callback([&cli, what] {
    cli.action = [&cli, what] { return Import(cli, *what); };
  });
}

}  // namespace vellum
