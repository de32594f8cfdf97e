// SPDX-License-Identifier: Apache-2.0
// Commands about the copy pool: setcopyrange, pool, devices.
#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <memory>
#include <optional>

#include "fs/text_table.h"
#include "tools/cli.h"
#include "tools/old_forms.h"
#include "tools/validators.h"

namespace vellum {

namespace {

struct RangeArguments {
  std::string start;
  std::string end;
};

int SetCopyRange(const Cli& cli, const RangeArguments& arguments) {
  return cli.WithDaemon([&](const Client& client) {
    const Result<Json> result =
        client.Send({"setcopyrange", Option("copy-start", arguments.start),
                     Option("copy-end", arguments.end)});
    if (!result.ok()) return cli.Fail(result.error());
    return cli.Done(*result, [&] {
      cli.out() << fmt::format("copy pool: slots {} to {}, {} media\n",
                               arguments.start, arguments.end,
                               result->value("media", 0));
    });
  });
}

struct PoolArguments {
  std::string action;
  std::string slot;
};

int FreeSlot(const Cli& cli, const Client& client, const std::string& slot) {
  const Result<Json> result = client.Send({"pool", "free", Argument(slot)});
  if (!result.ok()) return cli.Fail(result.error());
  return cli.Done(*result, [&] {
    const Json owner = result->value("owner", Json());
    cli.out() << fmt::format("slot {}: medium {} is unused",
                             result->value("slot", 0),
                             result->value("medium", ""));
    if (owner.is_string()) {
      cli.out() << fmt::format(
          ": it held {}, {} backup of {}", result->value("volume", ""),
          result->value("last", false) ? "the LAST COMPLETE" : "a",
          owner.get<std::string>());
    }
    cli.out() << '\n';
  });
}

int Pool(const Cli& cli, const PoolArguments& arguments) {
  if (arguments.action == "free" && arguments.slot.empty()) {
    return cli.Fail(
        Error{Errc::kInvalidArgument,
              "pool: free needs the address of a slot, or a medium"},
        kExitUsage);
  }
  return cli.WithDaemon([&](const Client& client) {
    if (!arguments.action.empty()) {
      return FreeSlot(cli, client, arguments.slot);
    }
    const Result<std::string> text =
        client.ReadControl(cli.json ? "pool.json" : "pool");
    if (!text.ok()) return cli.Fail(text.error());
    cli.out() << *text;
    return static_cast<int>(kExitOk);
  });
}

int Devices(const Cli& cli, bool used) {
  return cli.WithDaemon([&](const Client& client) {
    const Result<Json> rows = client.ReadJson("devices.json");
    if (!rows.ok()) return cli.Fail(rows.error());
    if (cli.json) {
      cli.out() << rows->dump() << '\n';
      return static_cast<int>(kExitOk);
    }
    Table table;
    table.columns = {{"server", "Server"},
                     {"device", "Device"},
                     {"volume", "Volume"},
                     {"size", "Size"},
                     {"mode", "Mode"}};
    for (Json row : *rows) {
      if (used && row.value("tracked", false)) row["mode"] = "Backup (used-T)";
      table.rows.push_back(std::move(row));
    }
    cli.out() << RenderText(table);
    return static_cast<int>(kExitOk);
  });
}

}  // namespace

void AddPoolCommands(CLI::App& app, Cli& cli) {
  auto range = std::make_shared<RangeArguments>();
  CLI::App* set = app.add_subcommand(
      "setcopyrange",
      "Make the media in a range of slots the copy pool; loads and moves "
      "nothing");
  set->add_option("--copy-start,--copy_start", range->start,
                  "Address of the first slot")
      ->required()
      ->check(ElementNumber());
  TakeOldDevice(set);
  set->add_option("--copy-end,--copy_end", range->end,
                  "Address of the last slot")
      ->required()
      ->check(ElementNumber());
  set->callback([&cli, range] {
    cli.action = [&cli, range] { return SetCopyRange(cli, *range); };
  });

  auto pool = std::make_shared<PoolArguments>();
  CLI::App* list = app.add_subcommand(
      "pool",
      "The copy pool; `pool free SLOT` or `pool free TAG` marks a medium "
      "unused");
  list->add_option("ACTION", pool->action, "free")
      ->check(CLI::IsMember({"free"}));
  list->add_option("SLOT", pool->slot,
                   "Element address of the slot (of a two-sided medium: side "
                   "A), or volume tag");
  list->callback(
      [&cli, pool] { cli.action = [&cli, pool] { return Pool(cli, *pool); }; });

  auto used = std::make_shared<bool>(false);
  CLI::App* devices = app.add_subcommand(
      "devices",
      "Media of primaries and copies: Transaction, Backup (free), "
      "Backup (used)");
  devices->alias("acmdevdisp");
  devices->add_flag("-u", *used, "Tell tracked ones apart: Backup (used-T)");
  devices->callback([&cli, used] {
    cli.action = [&cli, used] { return Devices(cli, *used); };
  });
}

}  // namespace vellum
