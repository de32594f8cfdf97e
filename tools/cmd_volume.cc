// SPDX-License-Identifier: Apache-2.0
// Commands about one volume: info, threshold, sync.
#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <memory>

#include "copy/own_generations.h"
#include "fs/image_tree.h"
#include "tools/cli.h"
#include "tools/command_progress.h"
#include "tools/image_info.h"
#include "tools/validators.h"

namespace vellum {

namespace {

struct InfoArguments {
  std::string volume;
  std::string image;
};

int ShowImage(const Cli& cli, const std::string& image) {
  const Result<UniqueFd> lock = LockImage(image);
  if (!lock.ok() && lock.error().code == Errc::kBusy) {
    *cli.env.err << "vellum: warning: " << lock.error().message << '\n';
  }
  const Result<Json> info = ImageInfo(image);
  if (!info.ok()) return cli.Fail(info.error());
  if (cli.json) {
    cli.out() << info->dump() << '\n';
    return kExitOk;
  }
  cli.out() << MediumInfoText(*info);
  return kExitOk;
}

int Info(const Cli& cli, const InfoArguments& arguments) {
  if (!arguments.image.empty()) return ShowImage(cli, arguments.image);
  return cli.WithDaemon([&](const Client& client) {
    // The command knows which volumes there are; its message names a bad one.
    const Result<Json> known =
        client.Send({"info", Argument(arguments.volume)});
    if (!known.ok()) return cli.Fail(known.error());
    const Result<std::string> text = client.ReadControl(fmt::format(
        "volumes/{}/{}", arguments.volume, cli.json ? "info.json" : "info"));
    if (!text.ok()) return cli.Fail(text.error());
    cli.out() << *text;
    return static_cast<int>(kExitOk);
  });
}

void AddInfo(CLI::App& app, Cli& cli) {
  auto arguments = std::make_shared<InfoArguments>();
  CLI::App* sub = app.add_subcommand("info", "What a volume is");
  CLI::Option_group* what = sub->add_option_group("what");
  what->add_option("VOL", arguments->volume, "Volume id");
  what->add_option("--image", arguments->image,
                   "Image file; needs no library and no daemon")
      ->type_name("FILE");
  what->require_option(1);
  sub->callback([&cli, arguments] {
    cli.action = [&cli, arguments] { return Info(cli, *arguments); };
  });
}

void AddThreshold(CLI::App& app, Cli& cli) {
  auto volume = std::make_shared<std::string>();
  auto percent = std::make_shared<std::string>();
  CLI::App* sub = app.add_subcommand(
      "threshold", "Set how much of a primary volume may be used");
  sub->add_option("VOL", *volume, "Volume id")->required();
  sub->add_option("P", *percent, "Per cent, 1-100")
      ->required()
      ->check(NumberFrom(1, 100));
  sub->callback([&cli, volume, percent] {
    cli.action = [&cli, volume, percent] {
      return cli.WithDaemon([&](const Client& client) {
        const Result<Json> result =
            client.Send({"threshold", Argument(*volume), Argument(*percent)});
        if (!result.ok()) return cli.Fail(result.error());
        return cli.Done(*result, [] {});
      });
    };
  });
}

void AddGenerations(CLI::App& app, Cli& cli) {
  auto volume = std::make_shared<std::string>();
  auto number = std::make_shared<std::string>();
  CLI::App* sub = app.add_subcommand(
      "generations",
      "Show or set how many backups of a primary are kept; older ones are "
      "given up");
  sub->add_option("VOL", *volume, "Volume id of the primary")->required();
  sub->add_option("N", *number,
                  "How many, 1-1000; \"default\": as many as library.toml says")
      ->check(CLI::Validator(
          [](std::string& text) {
            return text == "default"
                       ? std::string()
                       : NumberFrom(1, kMaxGenerations,
                                    "\"default\" or a number")(text);
          },
          ""));
  sub->callback([&cli, volume, number] {
    cli.action = [&cli, volume, number] {
      return cli.WithDaemon([&](const Client& client) {
        std::vector<std::string> words = {"generations", Argument(*volume)};
        if (!number->empty()) words.push_back(Argument(*number));
        const Result<Json> result = client.Send(words);
        if (!result.ok()) return cli.Fail(result.error());
        return cli.Done(*result, [&] {
          const Json own = result->value("generations", Json());
          cli.out() << (own.is_null() ? "default" : own.dump()) << '\n';
          for (const Json& old : result->value("released", Json::array())) {
            cli.out() << fmt::format("{} is given up: medium {} is free\n",
                                     old.value("volume", ""),
                                     old.value("medium", ""));
          }
          for (const Json& text : result->value("in_use", Json::array())) {
            cli.out() << fmt::format("not given up yet: {}\n",
                                     text.get<std::string>());
          }
        });
      });
    };
  });
}

void AddSync(CLI::App& app, Cli& cli) {
  auto volume = std::make_shared<std::string>();
  CLI::App* sub =
      app.add_subcommand("sync", "Make everything that was written durable");
  sub->add_option("VOL", *volume, "Volume id; every volume when not given");
  sub->callback([&cli, volume] {
    cli.action = [&cli, volume] {
      return cli.WithDaemon([&](const Client& client) {
        std::vector<std::string> words = {"sync"};
        if (!volume->empty()) words.push_back(Argument(*volume));
        const Result<Json> result = SendAndShow(cli, client, words);
        if (!result.ok()) return cli.Fail(result.error());
        return cli.Done(*result, [] {});
      });
    };
  });
}

}  // namespace

void AddVolumeCommands(CLI::App& app, Cli& cli) {
  AddInfo(app, cli);
  AddThreshold(app, cli);
  AddGenerations(app, cli);
  AddSync(app, cli);
}

}  // namespace vellum
