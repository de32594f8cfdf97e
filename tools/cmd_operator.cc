// SPDX-License-Identifier: Apache-2.0
// What the operator of a manual library says: confirm, refuse. (What is asked
// of him is a table: `vellum requests`.)
#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "tools/cli.h"

namespace vellum {

namespace {

int SendAndSay(const Cli& cli, const std::vector<std::string>& words,
               const std::string& done) {
  return cli.WithDaemon([&](const Client& client) {
    const Result<Json> result = client.Send(words);
    if (!result.ok()) return cli.Fail(result.error());
    return cli.Done(*result, [&] { cli.out() << done << '\n'; });
  });
}

struct ConfirmArguments {
  std::optional<uint64_t> request;
  std::optional<uint16_t> dock;
  std::string tag;
  bool is_new = false;
  bool relabelled = false;
};

int ConfirmMedium(const Cli& cli, const ConfirmArguments& said) {
  if (said.request.has_value() == said.dock.has_value()) {
    return cli.Fail(Error{Errc::kInvalidArgument,
                          "confirm: say REQUEST, or --dock and --tag"},
                    kExitUsage);
  }
  std::vector<std::string> words = {"confirm"};
  if (said.relabelled) words.push_back("relabelled=yes");
  if (said.request) {
    words.insert(words.begin() + 1, std::to_string(*said.request));
    return SendAndSay(cli, words,
                      fmt::format("request {}: confirmed", *said.request));
  }
  words.push_back(Option("dock", std::to_string(*said.dock)));
  words.push_back(Option("tag", said.tag));
  if (said.is_new) words.push_back("new=yes");
  return SendAndSay(cli, words,
                    fmt::format("{} is in dock {}", said.tag, *said.dock));
}

void AddConfirm(CLI::App& app, Cli& cli) {
  auto said = std::make_shared<ConfirmArguments>();
  CLI::App* sub = app.add_subcommand(
      "confirm", "Say which medium is in a dock, where its label does not");
  CLI::Option* request = sub->add_option(
      "REQUEST", said->request, "The medium that this request asks for");
  CLI::Option* dock =
      sub->add_option("--dock", said->dock, "Element address of the dock");
  CLI::Option* tag =
      sub->add_option("--tag", said->tag, "Volume tag of the medium in it");
  dock->needs(tag)->excludes(request);
  tag->needs(dock);
  sub->add_flag("--new", said->is_new,
                "The library gets it as a new medium of that tag")
      ->needs(dock);
  sub->add_flag("--relabelled", said->relabelled,
                "It was erased or written elsewhere");
  sub->callback([&cli, said] {
    cli.action = [&cli, said] { return ConfirmMedium(cli, *said); };
  });
}

void AddRefuse(CLI::App& app, Cli& cli) {
  auto request = std::make_shared<uint64_t>(0);
  auto reason = std::make_shared<std::string>();
  CLI::App* sub = app.add_subcommand(
      "refuse", "Say that a medium cannot be brought: who waits gets an error");
  sub->add_option("REQUEST", *request, "Number of the request")->required();
  sub->add_option("--reason", *reason, "Why")->type_name("TEXT");
  sub->callback([&cli, request, reason] {
    cli.action = [&cli, request, reason] {
      std::vector<std::string> words = {"refuse", std::to_string(*request)};
      if (!reason->empty()) words.push_back(Option("reason", *reason));
      return SendAndSay(cli, words,
                        fmt::format("request {}: refused", *request));
    };
  });
}

}  // namespace

void AddOperatorCommands(CLI::App& app, Cli& cli) {
  AddConfirm(app, cli);
  AddRefuse(app, cli);
}

}  // namespace vellum
