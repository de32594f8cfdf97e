// SPDX-License-Identifier: Apache-2.0
#include "fs/fuse_loop.h"

#ifndef FUSE_USE_VERSION
#define FUSE_USE_VERSION 312
#endif
#include <fcntl.h>
#include <fmt/format.h>
#include <fuse3/fuse_lowlevel.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <spawn.h>
#include <spdlog/spdlog.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <climits>
#include <cstdarg>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <sstream>
#include <system_error>
#include <utility>

#include "fs/fuse_channel.h"

namespace vellum {
namespace {

// Wakes the thread in which libfuse waits for its workers, nothing else.
constexpr int kKickSignal = SIGUSR2;

void InstallKickHandler() {
  struct sigaction action {};
  action.sa_handler = [](int) {};
  sigaction(kKickSignal, &action, nullptr);  // no SA_RESTART: waits end
}

void LogFromFuse(fuse_log_level level, const char* format, va_list args) {
  char text[512];
  std::vsnprintf(text, sizeof(text), format, args);
  std::string line = text;
  while (!line.empty() && line.back() == '\n') line.pop_back();
  if (level <= FUSE_LOG_ERR) {
    spdlog::error("{}", line);
  } else if (level <= FUSE_LOG_WARNING) {
    spdlog::warn("{}", line);
  } else {
    spdlog::debug("{}", line);
  }
}

// /proc/self/mountinfo writes blanks as \040 and so on.
std::string Unescape(const std::string& text) {
  std::string out;
  for (size_t i = 0; i < text.size(); ++i) {
    if (text[i] == '\\' && i + 3 < text.size()) {
      out += static_cast<char>(
          std::strtol(text.substr(i + 1, 3).c_str(), nullptr, 8));
      i += 3;
    } else {
      out += text[i];
    }
  }
  return out;
}

struct MountLine {
  std::string device;  // "major:minor"
  std::string type;
  std::string source;
};

// What is mounted at exactly this path, the topmost; type empty when nothing.
MountLine FindMount(const std::string& path) {
  MountLine found;
  std::ifstream in("/proc/self/mountinfo");
  std::string line;
  while (std::getline(in, line)) {
    std::istringstream words(line);
    std::string id, parent, device, root, point, word;
    words >> id >> parent >> device >> root >> point;
    if (Unescape(point) != path) continue;
    while (words >> word && word != "-") {
    }
    MountLine mount;
    mount.device = device;
    words >> mount.type >> mount.source;
    mount.source = Unescape(mount.source);
    found = std::move(mount);
  }
  return found;
}

Status UnmountByHelper(const std::string& mount_point, bool even_if_busy) {
  const char* argv[] = {"fusermount3", even_if_busy ? "-uz" : "-u", "-q",
                        "--",          mount_point.c_str(),         nullptr};
  // Signals that the daemon blocks are not blocked in the helper.
  posix_spawnattr_t attributes;
  posix_spawnattr_init(&attributes);
  sigset_t none;
  sigemptyset(&none);
  posix_spawnattr_setsigmask(&attributes, &none);
  posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETSIGMASK);
  pid_t pid = 0;
  const int err = posix_spawnp(&pid, argv[0], nullptr, &attributes,
                               const_cast<char* const*>(argv), environ);
  posix_spawnattr_destroy(&attributes);
  if (err != 0) return ErrnoError("fusermount3", err);
  int status = 0;
  while (waitpid(pid, &status, 0) < 0 && errno == EINTR) {
  }
  if (status == 0) return Status::Ok();
  return Status(Errc::kBusy, "fusermount3 -u " + mount_point + " failed");
}

// The library that the absolute path is or is inside of; "": none. A daemon may
// be serving it: its files must not be hidden.
std::string LibraryAround(const std::string& path) {
  for (std::filesystem::path dir = path; dir != dir.root_path();
       dir = dir.parent_path()) {
    std::error_code unreadable;  // what we may not see we cannot hide
    if (std::filesystem::exists(dir / "library.toml", unreadable) &&
        std::filesystem::is_directory(dir / "state", unreadable)) {
      return dir;
    }
  }
  return "";
}

}  // namespace

Result<std::string> CheckMountPoint(const std::string& path) {
  struct statx st {};
  // What the kernel keeps says nothing of a daemon that is gone.
  if (statx(AT_FDCWD, path.c_str(), AT_STATX_FORCE_SYNC, STATX_TYPE, &st) !=
      0) {
    if (errno == ENOTCONN) {
      return Error{Errc::kBusy,
                   fmt::format("{}: a mount is left there whose daemon is "
                               "gone; `vellum unmount {}` or `fusermount3 "
                               "-u {}` removes it",
                               path, path, path)};
    }
    return ErrnoError("mount point " + path, errno);
  }
  if (!S_ISDIR(st.stx_mode)) {
    return Error{Errc::kNotDirectory,
                 fmt::format("mount point {} is not a directory", path)};
  }
  const std::unique_ptr<char, decltype(&std::free)> real(
      realpath(path.c_str(), nullptr), &std::free);
  if (!real) return ErrnoError("mount point " + path, errno);
  const MountLine mount = FindMount(real.get());
  if (mount.type.rfind("fuse", 0) == 0) {
    return Error{Errc::kBusy,
                 fmt::format("{}: {} ({}) is mounted there already", path,
                             mount.source, mount.type)};
  }
  if (const std::string library = LibraryAround(real.get()); !library.empty()) {
    return Error{Errc::kInvalidArgument,
                 fmt::format("mount point {} is inside the library {}",
                             real.get(), library)};
  }
  return std::string(real.get());
}

bool IsInside(const std::string& path, const std::string& directory) {
  return path == directory || path.rfind(directory + "/", 0) == 0;
}

Result<std::unique_ptr<FuseLoop>> FuseLoop::Mount(
    const fuse_lowlevel_ops& operations, void* userdata,
    const FuseMountOptions& options) {
  fuse_set_log_func(LogFromFuse);
  InstallKickHandler();

  char* mount_options = nullptr;
  const auto add = [&](const std::string& option) {
    return fuse_opt_add_opt_escaped(&mount_options, option.c_str()) == 0;
  };
  bool added = add("fsname=" + options.fsname) && add("subtype=vellum") &&
               add("default_permissions");
  if (options.allow_other) added = added && add("allow_other");
  if (options.read_only) added = added && add("ro");
  fuse_args args = FUSE_ARGS_INIT(0, nullptr);
  added = added && fuse_opt_add_arg(&args, "vellum") == 0 &&
          fuse_opt_add_arg(&args, "-o") == 0 &&
          fuse_opt_add_arg(&args, mount_options) == 0;
  std::free(mount_options);
  fuse_session* session =
      added ? fuse_session_new(&args, &operations, sizeof(operations), userdata)
            : nullptr;
  fuse_opt_free_args(&args);
  if (session == nullptr) {
    return Error{Errc::kDeviceError, "FUSE refuses to make a session"};
  }
  if (fuse_session_mount(session, options.mount_point.c_str()) != 0) {
    fuse_session_destroy(session);
    return Error{
        Errc::kDeviceError,
        fmt::format("FUSE refuses to mount at {}: is /dev/fuse there{}",
                    options.mount_point,
                    options.allow_other
                        ? ", and is allow_other permitted "
                          "(user_allow_other in /etc/fuse.conf; "
                          "--only-me does without)?"
                        : "?")};
  }
  std::unique_ptr<FuseLoop> loop(new FuseLoop(session, options));
  RETURN_IF_ERROR(TakeOverSetIdBits(session));
  return loop;
}

FuseLoop::~FuseLoop() {
  Unmount(true).IgnoreError("nothing is left to do about it");
  Stop();
  fuse_session_destroy(session_);
}

void FuseLoop::Start(std::function<void()> on_end) {
  thread_ = std::thread([this, on_end = std::move(on_end)] {
    sigset_t kick;
    sigemptyset(&kick);
    sigaddset(&kick, kKickSignal);
    pthread_sigmask(SIG_UNBLOCK, &kick, nullptr);
    fuse_loop_config* config = fuse_loop_cfg_create();
    fuse_loop_cfg_set_clone_fd(config, 0);
    fuse_loop_cfg_set_max_threads(config, options_.max_threads);
    fuse_loop_cfg_set_idle_threads(config, options_.max_threads);
    const int result = fuse_session_loop_mt(session_, config);
    fuse_loop_cfg_destroy(config);
    if (result < 0) {
      spdlog::error("{}: reading requests: {}", options_.mount_point,
                    std::strerror(-result));
    }
    {
      MutexLock lock(&mu_);
      ended_ = true;
    }
    changed_.NotifyAll();
    if (on_end) on_end();
  });
}

bool FuseLoop::StillMounted() const {
  pollfd device{};
  device.fd = fuse_session_fd(session_);
  return poll(&device, 1, 0) != 1 || (device.revents & POLLERR) == 0;
}

Status FuseLoop::Unmount(bool even_if_busy) {
  if (!StillMounted()) return Status::Ok();
  const char* point = options_.mount_point.c_str();
  if (umount2(point, UMOUNT_NOFOLLOW) == 0) return Status::Ok();
  if (errno == EBUSY && !even_if_busy) {
    return Status(Errc::kBusy,
                  fmt::format("{}: it is in use: files are open on it, or it "
                              "is somebody's working directory",
                              point));
  }
  if (errno == EBUSY && umount2(point, UMOUNT_NOFOLLOW | MNT_DETACH) == 0) {
    return Status::Ok();
  }
  if (errno == EINVAL) return Status::Ok();  // not mounted any more
  if (errno == EPERM)
    return UnmountByHelper(options_.mount_point, even_if_busy);
  return ErrnoError(fmt::format("unmount {}", point), errno);
}

void FuseLoop::Stop() {
  if (!thread_.joinable()) return;
  fuse_session_exit(session_);
  {
    MutexLock lock(&mu_);
    while (!ended_) {
      // The signal may come just before the thread begins to wait: again.
      pthread_kill(thread_.native_handle(), kKickSignal);
      changed_.WaitFor(&mu_, std::chrono::milliseconds(10));
    }
  }
  thread_.join();
}

void FuseLoop::InvalidateEntry(uint64_t parent_node, const std::string& name) {
  // -ENOENT: the kernel does not know it.
  fuse_lowlevel_notify_inval_entry(session_, parent_node, name.c_str(),
                                   name.size());
}

void FuseLoop::InvalidateInode(uint64_t node) {
  fuse_lowlevel_notify_inval_inode(session_, node, 0, 0);
}

void FuseLoop::ForgetAttributes(uint64_t node) {
  fuse_lowlevel_notify_inval_inode(session_, node, -1, 0);
}

void FuseLoop::RaiseReadahead() const {
  const MountLine mount = FindMount(options_.mount_point);
  if (mount.device.empty()) return;
  const std::string path = "/sys/class/bdi/" + mount.device + "/read_ahead_kb";
  std::ofstream out(path);
  out << "1024" << std::flush;
  if (!out) spdlog::debug("{}: not set", path);
}

}  // namespace vellum
