// SPDX-License-Identifier: Apache-2.0
// vellum init: makes a virtual library.
#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <cstdint>
#include <filesystem>
#include <memory>

#include "media/virtual_library.h"
#include "tools/cli.h"
#include "tools/human.h"

namespace vellum {

namespace {

struct InitArguments {
  std::string directory;
  VirtualLibraryOptions geometry;
  std::string capacity = "25G";
  std::string atomic_unit = "2Ki";
};

int Init(const Cli& cli, InitArguments& arguments) {
  const Result<uint64_t> capacity = ParseSize(arguments.capacity);
  if (!capacity.ok()) return cli.Fail(capacity.error(), kExitUsage);
  arguments.geometry.capacity = *capacity;
  const Result<uint64_t> unit = ParseSize(arguments.atomic_unit);
  if (!unit.ok()) return cli.Fail(unit.error(), kExitUsage);
  // What does not fit is out of bounds anyway.
  arguments.geometry.atomic_unit =
      static_cast<uint32_t>(std::min<uint64_t>(*unit, UINT32_MAX));
  const std::string directory =
      std::filesystem::absolute(arguments.directory).lexically_normal();
  const Status status = InitVirtualLibrary(directory, arguments.geometry);
  if (!status.ok()) return cli.Fail(status.error());
  const VirtualLibraryOptions& g = arguments.geometry;
  return cli.Done(
      {{"directory", directory},
       {"slots", g.slots},
       {"drives", g.drives},
       {"import_export", g.import_export},
       {"media", g.media},
       {"capacity", g.capacity},
       {"atomic_unit", g.atomic_unit}},
      [&] {
        cli.out() << fmt::format(
            "{}: {} slots, {} drives, {} import/export slots, {} media of {}\n",
            directory, g.slots, g.drives, g.import_export, g.media,
            FormatBytes(g.capacity));
      });
}

}  // namespace

void AddInit(CLI::App& app, Cli& cli) {
  auto arguments = std::make_shared<InitArguments>();
  CLI::App* sub = app.add_subcommand("init", "Make a virtual library");
  sub->add_option("DIR", arguments->directory, "New or empty directory")
      ->required();
  sub->add_option("--slots", arguments->geometry.slots, "Storage elements")
      ->capture_default_str();
  sub->add_option("--drives", arguments->geometry.drives,
                  "Data transfer elements")
      ->capture_default_str();
  sub->add_option("--import-export", arguments->geometry.import_export,
                  "Import/export elements")
      ->capture_default_str();
  sub->add_option("--media", arguments->geometry.media,
                  "Media, with volume tags V00001, V00002, ...")
      ->capture_default_str();
  sub->add_option("--capacity", arguments->capacity, "Of each medium")
      ->capture_default_str()
      ->type_name("SIZE");
  sub->add_option("--atomic-unit", arguments->atomic_unit,
                  "What a drive may destroy when power goes while it writes: "
                  "2Ki, 32Ki (DVD-RAM), 64Ki (BD-RE)")
      ->capture_default_str()
      ->type_name("SIZE");
  sub->callback([&cli, arguments] {
    cli.action = [&cli, arguments] { return Init(cli, *arguments); };
  });
}

}  // namespace vellum
