// SPDX-License-Identifier: Apache-2.0
// vellum copy, vellum compare.
#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <memory>

#include "tools/cli.h"
#include "tools/file_words.h"
#include "tools/job_wait.h"
#include "tools/old_forms.h"

namespace vellum {

namespace {

struct CopyArguments {
  std::string volume;
  std::string mode;
  bool one_drive = false;
  bool two_drives = false;
  std::string slot;
  std::string target;
  std::string policy;
  bool no_verify = false;
  bool whole = false;
  bool no_wipe = false;
  bool overwrite_last = false;
  std::string if_mounted;
  bool wait = false;
  FileArguments files;
};

std::vector<std::string> CopyWords(const CopyArguments& arguments,
                                   const std::string& mount) {
  std::vector<std::string> words = {"copy", Argument(arguments.volume)};
  std::string mode = arguments.mode;
  if (arguments.one_drive) mode = "image";
  if (arguments.two_drives) mode = "streaming";
  std::string target =
      arguments.slot.empty() ? arguments.target : arguments.slot;
  if (arguments.files.given()) target = FileTarget(mount, target);
  if (!mode.empty()) words.push_back(Option("mode", mode));
  if (!arguments.policy.empty()) {
    words.push_back(Option("policy", arguments.policy));
  }
  if (!target.empty()) words.push_back(Option("to", target));
  if (arguments.no_verify) words.push_back("verify=no");
  if (arguments.whole) words.push_back("whole=yes");
  if (arguments.no_wipe) words.push_back("wipe=no");
  if (arguments.overwrite_last) words.push_back("overwrite-last=yes");
  if (!arguments.if_mounted.empty()) {
    words.push_back(Option("if-mounted", arguments.if_mounted));
  }
  return words;
}

int StartJobOn(const Cli& cli, const Client& client,
               const std::vector<std::string>& words, bool wait) {
  const Result<Json> result = client.Send(words);
  if (!result.ok()) return cli.Fail(result.error());
  const auto job = result->value("job", uint64_t{0});
  if (wait) return FinishJob(cli, client, job);
  return cli.Done(*result, [&] { cli.out() << fmt::format("job {}\n", job); });
}

// Starts a job; answers its number or, with `wait`, how it ended.
int StartJob(const Cli& cli, const std::vector<std::string>& words, bool wait) {
  return cli.WithDaemon([&](const Client& client) {
    return StartJobOn(cli, client, words, wait);
  });
}

int StartCopy(const Cli& cli, const CopyArguments& arguments) {
  if (arguments.files.given() &&
      (!arguments.mode.empty() || arguments.one_drive ||
       arguments.two_drives)) {
    return cli.Fail(
        Error{Errc::kInvalidArgument,
              "copy: --files copies file by file: it takes no --mode, -1 or "
              "-2, which are for whole volumes"},
        kExitUsage);
  }
  return cli.WithDaemon([&](const Client& client) {
    std::vector<std::string> words = CopyWords(arguments, client.mount());
    const Status added =
        AddFileWords(arguments.files, client.mount(), arguments.volume, &words);
    if (!added.ok()) return cli.Fail(added.error(), kExitUsage);
    return StartJobOn(cli, client, words, arguments.wait);
  });
}

void AddCopy(CLI::App& app, Cli& cli) {
  auto arguments = std::make_shared<CopyArguments>();
  CLI::App* sub =
      app.add_subcommand("copy",
                         "Copy a primary volume to a backup medium, or files "
                         "of it to a backup or to another primary");
  sub->alias("copymedia");
  TakeOldDevice(sub);
  CLI::Option_group* volume = sub->add_option_group("source");
  volume->add_option("VOL", arguments->volume, "Volume id of the primary");
  volume->add_option("-v,--volume", arguments->volume, "The same")
      ->type_name("VOL");
  volume->require_option(1);
  CLI::Option_group* mode = sub->add_option_group("mode");
  mode->add_flag("-1", arguments->one_drive,
                 "One drive: the image is staged on disk (mode image)");
  mode->add_flag("-2", arguments->two_drives,
                 "Two drives, nothing staged (mode streaming)");
  mode->add_option("--mode", arguments->mode,
                   "image, streaming, or incremental (changed regions only)")
      ->check(CLI::IsMember({"image", "streaming", "incremental"}));
  mode->require_option(0, 1);
  CLI::Option_group* target = sub->add_option_group("target");
  target->add_option("-s,--slot", arguments->slot,
                     "Element address of the medium to write");
  target->add_option("--to", arguments->target,
                     "Element address, volume tag or backup to write; the "
                     "volume's own backup or the copy pool when not given; "
                     "with --files also a primary, as VOLUME[:PATH]");
  target->require_option(0, 1);
  sub->add_option("--policy", arguments->policy,
                  "optional: full copy if need be; minicopy: incremental or "
                  "fail; full: everything")
      ->check(CLI::IsMember({"optional", "minicopy", "full"}));
  sub->add_flag("--no-verify", arguments->no_verify,
                "Do not read back what was written");
  sub->add_flag("--whole", arguments->whole,
                "Every sector, not only the used ones");
  sub->add_flag("--no-wipe", arguments->no_wipe,
                "Leave another owner's old data in unused sectors");
  sub->add_flag("--overwrite-last", arguments->overwrite_last,
                "Go on though the last complete backup is lost if this fails");
  sub->add_option("--if-mounted", arguments->if_mounted,
                  "Target is mounted read-only: wait, or fail")
      ->check(CLI::IsMember({"wait", "fail"}));
  sub->add_flag("--wait", arguments->wait, "Wait for the end of the job");
  AddFileOptions(sub, &arguments->files);
  sub->callback([&cli, arguments] {
    cli.action = [&cli, arguments] { return StartCopy(cli, *arguments); };
  });
}

void AddCompare(CLI::App& app, Cli& cli) {
  auto a = std::make_shared<std::string>();
  auto b = std::make_shared<std::string>();
  CLI::App* sub = app.add_subcommand(
      "compare",
      "Compare two volumes sector by sector; waits for the result. Regions of "
      "a primary that changed since the backup was made are counted, not "
      "compared: exit code 0 means that all others are equal");
  sub->add_option("A", *a, "Volume id")->required();
  sub->add_option("B", *b, "Volume id")->required();
  sub->callback([&cli, a, b] {
    cli.action = [&cli, a, b] {
      return StartJob(cli, {"compare", Argument(*a), Argument(*b)},
                      /*wait=*/true);
    };
  });
}

}  // namespace

void AddCopyCommands(CLI::App& app, Cli& cli) {
  AddCopy(app, cli);
  AddCompare(app, cli);
}

}  // namespace vellum
