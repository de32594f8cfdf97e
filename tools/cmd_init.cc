// SPDX-License-Identifier: Apache-2.0
// vellum init: makes a library: virtual, of SCSI devices, or manual.
#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <charconv>
#include <cstdint>
#include <filesystem>
#include <memory>
#include <string>
#include <system_error>
#include <utility>
#include <vector>

#include "media/manual/manual_library.h"
#include "media/scsi/scsi_library.h"
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
  std::string changer;  // empty: a virtual library
  std::vector<std::string> drives;
  bool manual = false;
  std::vector<std::string> docks;
};

// "256=/dev/sg4"
Result<ScsiDriveOption> ParseDrive(const std::string& text) {
  const size_t equals = text.find('=');
  ScsiDriveOption drive;
  uint16_t& element = drive.element.value;
  const char* end = text.data() + std::min(equals, text.size());
  const auto [parsed, error] = std::from_chars(text.data(), end, element);
  if (equals == std::string::npos || error != std::errc() || parsed != end) {
    return Error{Errc::kInvalidArgument,
                 fmt::format("--drive {}: not ELEMENT=DEVICE", text)};
  }
  drive.device = text.substr(equals + 1);
  return drive;
}

int InitScsi(const Cli& cli, const InitArguments& arguments,
             const std::string& directory) {
  ScsiLibraryOptions options;
  options.changer = arguments.changer;
  for (const std::string& text : arguments.drives) {
    Result<ScsiDriveOption> drive = ParseDrive(text);
    if (!drive.ok()) return cli.Fail(drive.error(), kExitUsage);
    options.drives.push_back(std::move(*drive));
  }
  const Status checked = CheckScsiOptions(options);
  if (!checked.ok()) return cli.Fail(checked.error(), kExitUsage);
  const Status status = InitScsiLibrary(directory, options);
  if (!status.ok()) return cli.Fail(status.error());
  Json drives = Json::array();
  for (const ScsiDriveOption& drive : options.drives) {
    drives.push_back(
        {{"element", drive.element.value}, {"device", drive.device}});
  }
  return cli.Done({{"directory", directory},
                   {"changer", options.changer},
                   {"drives", drives}},
                  [&] {
                    cli.out() << fmt::format("{}: the library of changer {}\n",
                                             directory, options.changer);
                  });
}

// The size that --atomic-unit says; what does not fit is out of bounds anyway.
Result<uint32_t> ParseUnit(const InitArguments& arguments) {
  ASSIGN_OR_RETURN(const uint64_t unit, ParseSize(arguments.atomic_unit));
  return static_cast<uint32_t>(std::min<uint64_t>(unit, UINT32_MAX));
}

int InitManual(const Cli& cli, const InitArguments& arguments,
               const std::string& directory) {
  ManualLibraryOptions options;
  for (const std::string& dock : arguments.docks) {
    options.docks.push_back(
        std::filesystem::absolute(dock).lexically_normal().string());
  }
  options.slots = arguments.geometry.slots;
  options.media = arguments.geometry.media;
  const Result<uint32_t> unit = ParseUnit(arguments);
  if (!unit.ok()) return cli.Fail(unit.error(), kExitUsage);
  options.atomic_unit = *unit;
  const Status status = InitManualLibrary(directory, options);
  if (!status.ok()) return cli.Fail(status.error());
  return cli.Done({{"directory", directory},
                   {"docks", options.docks},
                   {"slots", options.slots},
                   {"media", options.media},
                   {"atomic_unit", options.atomic_unit}},
                  [&] {
                    cli.out() << fmt::format(
                        "{}: {} docks, {} shelf places, {} media\n", directory,
                        options.docks.size(), options.slots, options.media);
                  });
}

int Init(const Cli& cli, InitArguments& arguments) {
  if (arguments.directory.empty()) {
    return cli.Fail(
        Error{Errc::kInvalidArgument, "init: the directory has no name"},
        kExitUsage);
  }
  const std::string directory =
      std::filesystem::absolute(arguments.directory).lexically_normal();
  if (!arguments.changer.empty()) return InitScsi(cli, arguments, directory);
  if (arguments.manual) return InitManual(cli, arguments, directory);
  const Result<uint64_t> capacity = ParseSize(arguments.capacity);
  if (!capacity.ok()) return cli.Fail(capacity.error(), kExitUsage);
  arguments.geometry.capacity = *capacity;
  const Result<uint32_t> unit = ParseUnit(arguments);
  if (!unit.ok()) return cli.Fail(unit.error(), kExitUsage);
  arguments.geometry.atomic_unit = *unit;
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
  CLI::App* sub = app.add_subcommand(
      "init",
      "Make a library: a virtual one, one of SCSI devices, or a manual "
      "one");
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
  CLI::Option* changer =
      sub->add_option("--changer", arguments->changer,
                      "The generic SCSI device of a media changer: its "
                      "library, no virtual one");
  changer->type_name("/dev/sgN");
  sub->add_option("--drive", arguments->drives,
                  "The device of a drive that is not found by itself")
      ->type_name("ELEMENT=/dev/sgM")
      ->needs(changer);
  for (const char* option : {"--slots", "--drives", "--import-export",
                             "--media", "--capacity", "--atomic-unit"}) {
    changer->excludes(sub->get_option(option));
  }
  CLI::Option* manual =
      sub->add_flag("--manual", arguments->manual,
                    "No changer: an operator carries the media (see --dock)");
  CLI::Option* dock = sub->add_option(
      "--dock", arguments->docks,
      "Where media are put in: a block device, or a directory in which one "
      "appears; once for each dock");
  dock->type_name("PATH")->needs(manual);
  manual->needs(dock)->excludes(changer);
  for (const char* option : {"--drives", "--import-export", "--capacity"}) {
    manual->excludes(sub->get_option(option));
  }
  sub->callback([&cli, arguments] {
    cli.action = [&cli, arguments] { return Init(cli, *arguments); };
  });
}

}  // namespace vellum
