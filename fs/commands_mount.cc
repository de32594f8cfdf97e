// SPDX-License-Identifier: Apache-2.0
// Commands about mounts and the daemon itself.
#include <fmt/format.h>

#include <array>
#include <chrono>
#include <optional>
#include <thread>

#include "fs/command_group.h"
#include "fs/service.h"

namespace vellum {
namespace {

Result<Json> Mount(Service& service, const CommandLine& line,
                   std::stop_token stop) {
  OptionReader options(line);
  options.Args(1, 1, "mount VOL dir=DIR [only-me=yes]");
  const std::optional<std::string> dir = options.Text("dir");
  const bool only_me = options.Flag("only-me", false);
  RETURN_IF_ERROR(options.Finish());
  if (!dir || dir->front() != '/') {
    return InvalidCommand("mount: dir=DIR is missing or not an absolute path");
  }
  ASSIGN_OR_RETURN(const std::shared_ptr<Volume> volume,
                   FindVolume(service, line.args[0]));
  const ServiceHooks hooks = service.hooks();
  if (!hooks.mount) {
    return Error{Errc::kNotSupported, "mount: there is no mount to add to"};
  }
  return hooks.mount(volume, *dir, only_me, stop);
}

Result<Json> Unmount(Service& service, const CommandLine& line,
                     std::stop_token) {
  OptionReader options(line);
  options.Args(0, 0, "unmount dir=DIR");
  const std::optional<std::string> dir = options.Text("dir");
  RETURN_IF_ERROR(options.Finish());
  if (!dir) return InvalidCommand("unmount: dir=DIR is missing");
  const ServiceHooks hooks = service.hooks();
  if (!hooks.unmount) {
    return Error{Errc::kNotSupported, "unmount: there are no mounts"};
  }
  RETURN_IF_ERROR(hooks.unmount(*dir));
  return Json{{"dir", *dir}};
}

// The kernel tells of the last close(2) of a file only after it returned: what
// is seen open may be closed already.
Status AwaitClosed(const ServiceHooks& hooks, const std::stop_token& stop) {
  if (!hooks.in_use) return Status::Ok();
  constexpr std::chrono::seconds kPatience{2};
  const auto deadline = std::chrono::steady_clock::now() + kPatience;
  for (;;) {
    const std::string mount = hooks.in_use();
    if (mount.empty()) return Status::Ok();
    if (stop.stop_requested()) {
      return Status(Errc::kInterrupted, "shutdown: given up");
    }
    if (std::chrono::steady_clock::now() >= deadline) {
      return Status(Errc::kBusy,
                    fmt::format("{}: files are open on it: close them, or end "
                                "the daemon all the same (--force, force=yes)",
                                mount));
    }
    std::this_thread::sleep_for(std::chrono::milliseconds(5));
  }
}

Status CheckNobodyStands(const ServiceHooks& hooks) {
  const std::string who = hooks.standing ? hooks.standing() : "";
  if (who.empty()) return Status::Ok();
  return Status(Errc::kBusy, who +
                                 ": leave it, or end the daemon all the same "
                                 "(--force, force=yes)");
}

Result<Json> Shutdown(Service& service, const CommandLine& line,
                      std::stop_token stop) {
  OptionReader options(line);
  options.Args(0, 0, "shutdown [force=yes]");
  const bool force = options.Flag("force", false);
  RETURN_IF_ERROR(options.Finish());
  const ServiceHooks hooks = service.hooks();
  if (!hooks.shutdown) {
    return Error{Errc::kNotSupported, "shutdown: there is no daemon to end"};
  }
  if (!force) {
    RETURN_IF_ERROR(AwaitClosed(hooks, stop));
    RETURN_IF_ERROR(CheckNobodyStands(hooks));
  }
  hooks.shutdown();
  return Json::object();
}

constexpr std::array<NamedCommand, 3> kMountCommands = {{
    {"mount", Mount},
    {"shutdown", Shutdown},
    {"unmount", Unmount},
}};

}  // namespace

std::span<const NamedCommand> MountCommands() { return kMountCommands; }

}  // namespace vellum
