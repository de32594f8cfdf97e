// SPDX-License-Identifier: Apache-2.0
// vellum fsck: checks a volume of the library, or one in an image file.
#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <memory>

#include "tools/cli.h"
#include "tools/command_progress.h"
#include "tools/image_info.h"

namespace vellum {

namespace {

struct FsckArguments {
  std::string volume;
  std::string image;
  bool data = false;
};

int Report(const Cli& cli, const std::string& name, const Json& report) {
  const bool clean = report.value("clean", false);
  const int code = cli.Done(report, [&] {
    for (const Json& finding : report.value("errors", Json::array())) {
      const auto sector = finding.value("sector", uint64_t{0});
      const std::string text = finding.value("text", "");
      cli.out() << (sector == 0 ? fmt::format("{}: {}\n", name, text)
                                : fmt::format("{}: sector {}: {}\n", name,
                                              sector, text));
    }
    cli.out() << fmt::format(
        "{}: {}, {} files, {} directories, {} others, {} blocks used, {} "
        "free{}\n",
        name,
        clean ? std::string("clean")
              : fmt::format("{} errors",
                            report.value("error_count", uint64_t{0})),
        report.value("files", uint64_t{0}),
        report.value("directories", uint64_t{0}),
        report.value("other", uint64_t{0}),
        report.value("used_blocks", uint64_t{0}),
        report.value("free_blocks", uint64_t{0}),
        report.value("replay_pending", false)
            ? "; the newest commit waits for its replay"
            : "");
  });
  return clean ? code : kExitDifferences;
}

int Fsck(const Cli& cli, const FsckArguments& arguments) {
  if (!arguments.image.empty()) {
    udf::FsckOptions options;
    options.check_data = arguments.data;
    const Result<Json> report = FsckImage(arguments.image, options);
    if (!report.ok()) return cli.Fail(report.error());
    return Report(cli, arguments.image, *report);
  }
  return cli.WithDaemon([&](const Client& client) {
    std::vector<std::string> words = {"fsck", Argument(arguments.volume)};
    if (arguments.data) words.push_back("data=yes");
    const Result<Json> report = SendAndShow(cli, client, words);
    if (!report.ok()) return cli.Fail(report.error());
    return Report(cli, arguments.volume, *report);
  });
}

}  // namespace

void AddFsck(CLI::App& app, Cli& cli) {
  auto arguments = std::make_shared<FsckArguments>();
  CLI::App* sub = app.add_subcommand(
      "fsck", "Check a volume; exit code 4 when something is wrong with it");
  CLI::Option_group* what = sub->add_option_group("what");
  what->add_option("VOL", arguments->volume, "Volume id");
  what->add_option("--image", arguments->image,
                   "Image file; needs no library and no daemon")
      ->type_name("FILE");
  what->require_option(1);
  sub->add_flag("--data", arguments->data, "Also read the data of every file");
  sub->callback([&cli, arguments] {
    cli.action = [&cli, arguments] { return Fsck(cli, *arguments); };
  });
}

}  // namespace vellum
