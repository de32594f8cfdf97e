// SPDX-License-Identifier: Apache-2.0
// vellum mount: a library, a volume of it, or an image file.
#include <fmt/format.h>
#include <spdlog/logger.h>
#include <spdlog/sinks/stdout_sinks.h>
#include <spdlog/spdlog.h>

#include <CLI/CLI.hpp>
#include <filesystem>
#include <memory>
#include <string>
#include <vector>

#include "fs/session.h"
#include "tools/cli.h"
#include "tools/notify.h"

namespace vellum {

namespace {

struct MountArguments {
  std::string directory;    // the library's, or where to show something
  std::string mount_point;  // of a library
  std::string volume;
  std::string image;
  bool foreground = false;
  bool only_me = false;
};

// The daemon changes its working directory: it gets absolute paths.
std::string Absolute(const std::string& path) {
  return std::filesystem::absolute(path).lexically_normal();
}

int MountOneLibrary(const Cli& cli, const MountArguments& arguments) {
  MountOptions options;
  options.library = Absolute(arguments.directory);
  options.mount_point = Absolute(arguments.mount_point);
  options.foreground = arguments.foreground;
  options.allow_other = !arguments.only_me;
  options.on_ready = [&options] {
    NotifyReady(
        fmt::format("serves {} at {}", options.library, options.mount_point));
  };
  options.on_stopping = NotifyStopping;
  const Status status = MountLibrary(options);
  if (!status.ok()) return cli.Fail(status.error());
  return cli.Done(
      {{"library", options.library}, {"mount", options.mount_point}}, [] {});
}

int MountOneImage(const Cli& cli, const MountArguments& arguments) {
  ImageMountOptions options;
  options.image = Absolute(arguments.image);
  options.mount_point = Absolute(arguments.directory);
  options.foreground = arguments.foreground;
  options.allow_other = !arguments.only_me;
  options.on_ready = [&options] {
    NotifyReady(
        fmt::format("shows {} at {}", options.image, options.mount_point));
  };
  options.on_stopping = NotifyStopping;
  const Status status = MountImage(options);
  if (!status.ok()) return cli.Fail(status.error());
  return cli.Done({{"image", options.image}, {"mount", options.mount_point}},
                  [] {});
}

int MountOneVolume(const Cli& cli, const MountArguments& arguments) {
  return cli.WithDaemon([&](const Client& client) {
    std::vector<std::string> words = {
        "mount", Argument(arguments.volume),
        Option("dir", Absolute(arguments.directory))};
    if (arguments.only_me) words.push_back("only-me=yes");
    const Result<Json> result = client.Send(words);
    if (!result.ok()) return cli.Fail(result.error());
    return cli.Done(*result, [] {});
  });
}

// In the background the daemon logs to a file of the library.
void LogToStderr() {
  spdlog::set_default_logger(std::make_shared<spdlog::logger>(
      "stderr", std::make_shared<spdlog::sinks::stderr_sink_mt>()));
}

int Mount(const Cli& cli, const MountArguments& arguments) {
  const bool alone = !arguments.volume.empty() || !arguments.image.empty();
  if (arguments.directory.empty() || arguments.mount_point.empty() != alone) {
    return cli.Fail(
        Error{Errc::kInvalidArgument,
              alone ? "mount --volume and --image take one directory, DIR"
                    : "mount takes DIR MOUNT: the library's directory and a "
                      "mount point"},
        kExitUsage);
  }
  if (arguments.foreground && !arguments.volume.empty()) {
    return cli.Fail(
        Error{Errc::kInvalidArgument,
              "mount --volume takes no -f: the library's daemon, which runs "
              "already, shows the volume"},
        kExitUsage);
  }
  if (arguments.foreground) LogToStderr();
  if (!arguments.volume.empty()) return MountOneVolume(cli, arguments);
  if (!arguments.image.empty()) return MountOneImage(cli, arguments);
  return MountOneLibrary(cli, arguments);
}

}  // namespace

void AddMount(CLI::App& app, Cli& cli) {
  auto arguments = std::make_shared<MountArguments>();
  CLI::App* mount = app.add_subcommand(
      "mount",
      "Serve a library (DIR MOUNT), or show a backup (--volume BACKUP DIR) or "
      "an image file (--image FILE DIR) read-only");
  mount
      ->add_option("DIR", arguments->directory,
                   "Directory of the library; with --volume or --image where "
                   "to show it")
      ->type_name("");
  mount
      ->add_option("MOUNT", arguments->mount_point,
                   "Mount point of the library")
      ->type_name("");
  CLI::Option* volume = mount->add_option(
      "--volume", arguments->volume, "Volume that the library's daemon shows");
  volume->type_name("VOL");
  mount
      ->add_option("--image", arguments->image,
                   "Image file; needs no library and no daemon")
      ->type_name("FILE")
      ->excludes(volume);
  mount->add_flag("-f,--foreground", arguments->foreground,
                  "Stay in the foreground; not with --volume");
  mount->add_flag("--only-me", arguments->only_me,
                  "Keep other users (root too) out of the mount");
  mount->callback([&cli, arguments] {
    cli.action = [&cli, arguments] { return Mount(cli, *arguments); };
  });
}

}  // namespace vellum
