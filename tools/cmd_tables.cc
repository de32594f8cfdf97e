// SPDX-License-Identifier: Apache-2.0
// Subcommands that print a table of the control tree as the daemon writes it,
// and `changer`, which says what the library consists of.
#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <array>
#include <memory>
#include <string>

#include "tools/cli.h"
#include "tools/old_forms.h"

namespace vellum {

namespace {

struct Table {
  const char* command;
  const char* alias;  // name of another system's program, or ""
  const char* file;   // below MOUNT/.vellum; FILE.json is its twin
  const char* about;
};

constexpr std::array<Table, 10> kTables = {{
    {"status", "", "status", "The library at a glance"},
    {"elements", "", "elements", "Every element and what is in it"},
    {"drives", "", "drives", "The drives and what they do"},
    {"media", "listmedia", "media", "Every medium, its state and free space"},
    {"copies", "listcopymedia", "copies", "The copy media and what they hold"},
    {"alerts", "", "alerts", "What needs the operator"},
    {"requests", "", "requests",
     "Media that the operator of a manual library is asked to move"},
    {"queue", "", "queue", "Who waits for a drive, and how long still"},
    {"stages", "", "stages", "Bulk recalls and how far they are"},
    {"faults", "", "faults", "Faults that a virtual library was told to have"},
}};

// `media --usage`
constexpr Table kUsage = {"media", "", "usage", ""};

int PrintTable(const Cli& cli, const Table& table) {
  return cli.WithDaemon([&](const Client& client) {
    const std::string name = table.file;
    const Result<std::string> text =
        client.ReadControl(cli.json ? name + ".json" : name);
    if (!text.ok()) return cli.Fail(text.error());
    cli.out() << *text;
    return static_cast<int>(kExitOk);
  });
}

std::string RangeText(const Json& range) {
  const int first = range.value("first", 0);
  const int count = range.value("count", 0);
  if (count == 0) return "none";
  if (count == 1) return fmt::format("{}", first);
  return fmt::format("{}-{} ({})", first, first + count - 1, count);
}

int Changer(const Cli& cli) {
  return cli.WithDaemon([&](const Client& client) {
    const Result<Json> status = client.ReadJson("status.json");
    if (!status.ok()) return cli.Fail(status.error());
    const Json changer = status->value("changer", Json::object());
    const Json elements = status->value("elements", Json::object());
    if (cli.json) {
      cli.out() << Json({{"changer", changer}, {"elements", elements}}).dump()
                << '\n';
      return static_cast<int>(kExitOk);
    }
    for (const char* key :
         {"vendor", "product", "revision", "serial", "device"}) {
      cli.out() << fmt::format("{:<16}{}\n", key, changer.value(key, ""));
    }
    constexpr std::array<std::array<const char*, 2>, 4> kRanges = {{
        {"transport", "transport"},
        {"storage", "storage"},
        {"import_export", "import/export"},
        {"data_transfer", "data transfer"},
    }};
    for (const auto& [key, title] : kRanges) {
      cli.out() << fmt::format("{:<16}{}\n", title,
                               RangeText(elements.value(key, Json::object())));
    }
    return static_cast<int>(kExitOk);
  });
}

}  // namespace

void AddTableCommands(CLI::App& app, Cli& cli) {
  for (const Table& table : kTables) {
    CLI::App* sub = app.add_subcommand(table.command, table.about);
    if (table.alias[0] != '\0') {
      sub->alias(table.alias);
      TakeOldDevice(sub);
    }
    const auto usage = std::make_shared<bool>(false);
    if (table.file == std::string("media")) {
      sub->add_flag("--usage", *usage,
                    "Loads, bytes, errors, first and last use of each");
    }
    sub->callback([&cli, &table, usage] {
      cli.action = [&cli, &table, usage] {
        return PrintTable(cli, *usage ? kUsage : table);
      };
    });
  }
  CLI::App* sub = app.add_subcommand(
      "changer", "Vendor, product, revision and element ranges");
  sub->alias("mcstat");
  TakeOldDevice(sub);
  sub->callback([&cli] { cli.action = [&cli] { return Changer(cli); }; });
}

}  // namespace vellum
