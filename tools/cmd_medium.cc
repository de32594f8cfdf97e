// SPDX-License-Identifier: Apache-2.0
#include "tools/cmd_medium.h"

#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <cstdint>
#include <filesystem>
#include <memory>
#include <optional>
#include <string>

#include "media/virtual_medium.h"
#include "tools/cli.h"
#include "tools/human.h"

namespace vellum {

namespace {

struct MediumArguments {
  std::string directory;
  NewVirtualMedium medium;
  std::string capacity;
  std::optional<uint16_t> element;
};

int Add(const Cli& cli, MediumArguments& arguments) {
  if (!arguments.capacity.empty()) {
    const Result<uint64_t> capacity = ParseSize(arguments.capacity);
    if (!capacity.ok()) return cli.Fail(capacity.error(), kExitUsage);
    arguments.medium.capacity = *capacity;
  }
  if (arguments.element) {
    arguments.medium.element = ElementAddress{*arguments.element};
  }
  const std::string directory =
      std::filesystem::absolute(arguments.directory).lexically_normal();
  const auto added = AddVirtualMedium(directory, arguments.medium);
  if (!added.ok()) return cli.Fail(added.error());
  const auto& [tag, element] = *added;
  return cli.Done(
      {{"directory", directory},
       {"volume_tag", tag},
       {"element", element.value},
       {"class", arguments.medium.write_once ? "write-once" : "rewritable"}},
      [&, tag = tag, element = element] {
        cli.out() << fmt::format("{}: in slot {}\n", tag, element.value);
      });
}

}  // namespace

void AddMedium(CLI::App& app, Cli& cli) {
  auto arguments = std::make_shared<MediumArguments>();
  CLI::App* medium = app.add_subcommand(
      "medium", "Media of a virtual library that no daemon serves");
  medium->require_subcommand(1);
  CLI::App* sub = medium->add_subcommand("add", "Put a new medium into a slot");
  sub->add_option("DIR", arguments->directory, "The library")->required();
  sub->add_option("--tag", arguments->medium.tag,
                  "Volume tag; without it the next of V00001, V00002, ...");
  sub->add_option("--slot", arguments->element,
                  "Where it is put; without it the first empty slot")
      ->type_name("ELEMENT");
  sub->add_option("--capacity", arguments->capacity,
                  "Without it that of the library")
      ->type_name("SIZE");
  sub->add_flag("--write-once", arguments->medium.write_once,
                "It takes one copy, once, and is closed then");
  sub->add_flag("--two-sided", arguments->medium.two_sided,
                "Two media, TAGA and TAGB: the robot turns it over");
  sub->add_flag("--write-protected", arguments->medium.write_protected,
                "It takes nothing");
  sub->callback([&cli, arguments] {
    cli.action = [&cli, arguments] { return Add(cli, *arguments); };
  });
}

}  // namespace vellum
