// SPDX-License-Identifier: Apache-2.0
// vellum doctor: tries the devices of a library that no daemon serves.
#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <memory>
#include <utility>
#include <variant>

#include "media/library_config.h"
#include "media/library_devices.h"
#include "media/library_directory.h"
#include "media/scsi/scsi_library.h"
#include "tools/cli.h"
#include "tools/doctor.h"
#include "tools/human.h"

namespace vellum {

namespace {

struct DoctorArguments {
  std::string directory;
  std::string size = "32Mi";
  DoctorOptions options;
};

Result<LibraryDevices> OpenAndExamine(const LibraryConfig& config,
                                      Doctor& doctor) {
  const auto* scsi = std::get_if<ScsiLibraryOptions>(&config.devices);
  if (scsi == nullptr) return OpenLibraryDevices(config);
  ASSIGN_OR_RETURN(ScsiParts parts, FindScsiParts(*scsi, HostScsiSystem()));
  doctor.ExamineParts(parts);
  return JoinScsiDevices(std::move(parts.changer), std::move(parts.drives));
}

// Before anything is moved.
Status CheckWriteTest(Changer& changer, const VolumeTag& tag) {
  ASSIGN_OR_RETURN(const auto statuses, changer.ReadElementStatus());
  for (const ElementStatus& status : statuses) {
    if (status.full && status.volume_tag == tag) return Status::Ok();
  }
  return Status(Errc::kNotFound,
                "write test: no medium of the library is " + tag);
}

int RunDoctor(const Cli& cli, DoctorArguments& arguments) {
  const Result<uint64_t> size = ParseSize(arguments.size);
  if (!size.ok()) return cli.Fail(size.error(), kExitUsage);
  arguments.options.test_bytes = *size;
  Result<LibraryConfig> config = ReadLibraryConfig(arguments.directory);
  if (!config.ok()) return cli.Fail(config.error());
  const bool manual =
      std::holds_alternative<ManualLibraryOptions>(config->devices);
  const Result<LibraryLock> lock = LibraryLock::Take(config->directory);
  if (!lock.ok()) return cli.Fail(lock.error());

  Doctor doctor(arguments.options, [&cli](const DoctorLine& line) {
    if (cli.json) return;
    cli.out() << fmt::format("{:8} {}: {}\n", FindingName(line.finding),
                             line.subject, line.text)
              << std::flush;
  });
  Result<LibraryDevices> devices = OpenAndExamine(*config, doctor);
  if (!devices.ok()) return cli.Fail(devices.error());
  const VolumeTag& tag = arguments.options.write_test;
  if (!tag.empty() && !manual) {
    const Status there = CheckWriteTest(*devices->changer, tag);
    if (!there.ok()) return cli.Fail(there.error());
  }
  if (manual) {
    doctor.ExamineDocks(*devices);
  } else {
    doctor.ExamineDevices(*devices);
  }

  Json steps = Json::array();
  for (const DoctorLine& line : doctor.lines()) {
    Json step = {{"finding", FindingName(line.finding)},
                 {"subject", line.subject},
                 {"text", line.text}};
    step.update(line.values);
    steps.push_back(std::move(step));
  }
  const int code =
      cli.Done({{"kind", LibraryKindName(*config)},
                {"problems", doctor.problems()},
                {"steps", std::move(steps)}},
               [&] {
                 cli.out() << fmt::format(
                     "{}: {}\n", config->directory,
                     doctor.problems() == 0
                         ? std::string("no problems")
                         : fmt::format("{} problems", doctor.problems()));
               });
  return doctor.problems() == 0 ? code : kExitDifferences;
}

}  // namespace

void AddDoctor(CLI::App& app, Cli& cli) {
  auto arguments = std::make_shared<DoctorArguments>();
  CLI::App* sub = app.add_subcommand(
      "doctor",
      "Try the devices of a library that no daemon serves; exit code 4 when "
      "something is wrong with them");
  sub->add_option("DIR", arguments->directory, "Directory of the library")
      ->required();
  CLI::Option* test =
      sub->add_option("--write-test", arguments->options.write_test,
                      "Also write a pattern on this medium, in every drive: "
                      "DESTROYS what it holds");
  test->type_name("MEDIUM");
  sub->add_flag("--clear", arguments->options.clear,
                "The medium of the write test may hold data")
      ->needs(test);
  sub->add_option("--size", arguments->size, "How much is read and written")
      ->capture_default_str()
      ->type_name("SIZE");
  sub->callback([&cli, arguments] {
    cli.action = [&cli, arguments] { return RunDoctor(cli, *arguments); };
  });
}

}  // namespace vellum
