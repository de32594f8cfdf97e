// SPDX-License-Identifier: Apache-2.0
// vellum unmount: ends a mount of any kind, and waits for its end.
#include <fcntl.h>
#include <fmt/format.h>
#include <spawn.h>
#include <sys/file.h>
#include <sys/mount.h>
#include <sys/wait.h>
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <cerrno>
#include <chrono>
#include <filesystem>
#include <memory>
#include <optional>
#include <thread>

#include "media/file_util.h"
#include "tools/cli.h"

namespace vellum {

namespace {

constexpr std::chrono::milliseconds kPoll{20};

Result<std::vector<VellumMount>> Mounts(const DaemonAddress& address) {
  ASSIGN_OR_RETURN(const std::string text, ReadWholeFile(address.mounts_file));
  return VellumMounts(text);
}

Result<std::optional<VellumMount>> FindTarget(const DaemonAddress& address,
                                              const std::string& directory) {
  ASSIGN_OR_RETURN(const std::vector<VellumMount> mounts, Mounts(address));
  std::optional<VellumMount> found;
  // The last line is the uppermost mount.
  for (const VellumMount& mount : mounts) {
    if (mount.target == directory) found = mount;
  }
  return found;
}

// What the daemon could not keep, as it said at its end (fs/session.cc).
Status ReadOutcome(const std::string& library) {
  const Result<std::string> text = ReadWholeFile(library + "/state/outcome");
  if (!text.ok()) {
    // Not ours to read: the mount is gone, more cannot be known.
    const Errc code = text.error().code;
    if (code == Errc::kAccessDenied || code == Errc::kNotFound) {
      return Status::Ok();
    }
    return text.status();
  }
  const size_t end = text->find_last_not_of(" \n");
  if (end == std::string::npos) return Status::Ok();
  return Status(Errc::kAborted, text->substr(0, end + 1));
}

// The daemon goes on after its mount is gone: it commits volumes and sends
// media home. It holds state/lock until that is done. Fails when it lost
// changes.
Status WaitForDaemon(const std::string& library) {
  const std::string path = library + "/state/lock";
  const UniqueFd fd(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
  if (!fd.valid()) {
    // Not ours to read: the mount is gone, more cannot be known.
    if (errno == EACCES || errno == ENOENT) return Status::Ok();
    return ErrnoError(path, errno);
  }
  while (::flock(fd.get(), LOCK_SH | LOCK_NB) != 0) {
    if (errno != EWOULDBLOCK && errno != EINTR) {
      return ErrnoError("flock " + path, errno);
    }
    std::this_thread::sleep_for(kPoll);
  }
  // While no other daemon can begin and blank it.
  return ReadOutcome(library);
}

Status WaitUntilUnmounted(const DaemonAddress& address,
                          const VellumMount& mount) {
  while (true) {
    ASSIGN_OR_RETURN(const std::vector<VellumMount> mounts, Mounts(address));
    bool there = false;
    for (const VellumMount& other : mounts) {
      there = there || other.target == mount.target;
    }
    if (!there) return Status::Ok();
    std::this_thread::sleep_for(kPoll);
  }
}

// What works when no daemon answers: the kernel ends the mount.
Status UnmountByKernel(const std::string& directory) {
  if (::geteuid() == 0) {
    if (::umount2(directory.c_str(), UMOUNT_NOFOLLOW) == 0) {
      return Status::Ok();
    }
    return ErrnoError("unmount " + directory, errno);
  }
  std::string program = "fusermount3";
  std::string flag = "-u";
  std::string target = directory;
  char* const arguments[] = {program.data(), flag.data(), target.data(),
                             nullptr};
  pid_t child = 0;
  const int err = ::posix_spawnp(&child, program.c_str(), nullptr, nullptr,
                                 arguments, environ);
  if (err != 0) return ErrnoError("run fusermount3", err);
  int status = 0;
  while (::waitpid(child, &status, 0) < 0) {
    if (errno != EINTR) return ErrnoError("wait for fusermount3", errno);
  }
  if (WIFEXITED(status) && WEXITSTATUS(status) == 0) return Status::Ok();
  return Status(Errc::kBusy,
                fmt::format("fusermount3 could not unmount {}", directory));
}

Status UnmountLibrary(const Cli& cli, const VellumMount& mount, bool force) {
  const Client client(mount.target);
  const Result<Json> answer =
      client.Send(force ? std::vector<std::string>{"shutdown", "force=yes"}
                        : std::vector<std::string>{"shutdown"});
  if (!answer.ok()) {
    if (answer.error().code != Errc::kOffline &&
        answer.error().code != Errc::kAccessDenied) {
      return answer.error();
    }
    RETURN_IF_ERROR(UnmountByKernel(mount.target));
  }
  RETURN_IF_ERROR(WaitUntilUnmounted(cli.address, mount));
  return WaitForDaemon(mount.source);
}

// A volume that a library's daemon shows at a place of its own. kNotFound: no
// daemon says that it does.
Status UnmountVolume(const Cli& cli, const VellumMount& shown) {
  const std::string& directory = shown.target;
  ASSIGN_OR_RETURN(const std::vector<VellumMount> mounts, Mounts(cli.address));
  Status status(Errc::kNotFound, directory + ": no daemon shows a volume here");
  for (const VellumMount& mount : mounts) {
    // Its source is LIBRARY:VOLUME; other daemons have nothing to say.
    if (shown.source.rfind(mount.source + ":", 0) != 0) continue;
    const Client client(mount.target);
    const Result<Json> answer =
        client.Send({"unmount", Option("dir", directory)});
    if (answer.ok()) return Status::Ok();
    const Errc code = answer.error().code;
    if (code != Errc::kOffline && code != Errc::kNotFound) {
      status = answer.error();
    }
  }
  return status;
}

Status Unmount(const Cli& cli, const std::string& directory, bool force) {
  ASSIGN_OR_RETURN(const std::optional<VellumMount> mount,
                   FindTarget(cli.address, directory));
  if (!mount) {
    return Status(Errc::kInvalidArgument,
                  directory + ": no mount point of Vellum");
  }
  if (::access((directory + "/.vellum").c_str(), F_OK) == 0) {
    return UnmountLibrary(cli, *mount, force);
  }
  const Status status = UnmountVolume(cli, *mount);
  if (!status.Is(Errc::kNotFound)) return status;
  // An image file's mount, or the mount of a daemon that has died.
  RETURN_IF_ERROR(UnmountByKernel(directory));
  return WaitUntilUnmounted(cli.address, *mount);
}

// The path as the table of mounts has it. The last component is not looked at:
// it does not answer when the daemon has died.
std::string MountPath(const std::string& directory) {
  std::filesystem::path path =
      std::filesystem::absolute(directory).lexically_normal();
  if (!path.has_filename()) path = path.parent_path();
  std::error_code ignored;
  const std::filesystem::path parent =
      std::filesystem::canonical(path.parent_path(), ignored);
  return ignored ? path : parent / path.filename();
}

}  // namespace

void AddUnmount(CLI::App& app, Cli& cli) {
  auto directory = std::make_shared<std::string>();
  auto force = std::make_shared<bool>(false);
  CLI::App* sub = app.add_subcommand(
      "unmount", "End a mount; returns when all is written and closed");
  sub->add_option("DIR", *directory, "Mount point")->required();
  sub->add_flag("--force", *force,
                "End a library's daemon though its mounts are in use");
  sub->callback([&cli, directory, force] {
    cli.action = [&cli, directory, force] {
      const std::string path = MountPath(*directory);
      const Status status = Unmount(cli, path, *force);
      if (!status.ok()) return cli.Fail(status.error());
      return cli.Done({{"unmounted", path}}, [] {});
    };
  });
}

}  // namespace vellum
