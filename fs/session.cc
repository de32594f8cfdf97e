// SPDX-License-Identifier: Apache-2.0
#include "fs/session.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <spdlog/sinks/rotating_file_sink.h>
#include <spdlog/spdlog.h>
#include <unistd.h>

#include <chrono>
#include <memory>
#include <string>
#include <string_view>
#include <thread>
#include <utility>
#include <vector>

#include "fs/background.h"
#include "fs/command_runner.h"
#include "fs/control_tree.h"
#include "fs/fuse_fs.h"
#include "fs/fuse_loop.h"
#include "fs/fuse_ops.h"
#include "fs/invalidator.h"
#include "fs/memory_keeper.h"
#include "fs/mount_users.h"
#include "fs/service.h"
#include "fs/serving.h"
#include "fs/tree.h"
#include "fs/volume_mounts.h"
#include "media/file_util.h"

namespace vellum {
namespace {

// A daemon without a terminal says what it has to say here.
void LogToFile(const std::string& library) {
  try {
    spdlog::set_default_logger(spdlog::rotating_logger_mt(
        "vellum", library + "/state/daemon.log", 1 << 20, 1));
    spdlog::flush_on(spdlog::level::info);
  } catch (const spdlog::spdlog_ex& e) {
    spdlog::warn("no log file: {}", e.what());
  }
}

// DIR/state/mount holds the mount point while the library is served: how
// commands find the daemon.
class MountFile {
 public:
  static Result<std::unique_ptr<MountFile>> Write(const std::string& library,
                                                  const std::string& point) {
    const std::string path = library + "/state/mount";
    RETURN_IF_ERROR(ReplaceFile(path, point + "\n"));
    return std::unique_ptr<MountFile>(new MountFile(path));
  }
  ~MountFile() { unlink(path_.c_str()); }

 private:
  explicit MountFile(std::string path) : path_(std::move(path)) {}
  const std::string path_;
};

// DIR/state/outcome: how the last service ended, for `vellum unmount`. Made at
// the start with its full size, so that a full disk does not keep the end from
// being written.
class OutcomeFile {
 public:
  static Result<std::unique_ptr<OutcomeFile>> Write(
      const std::string& library) {
    const std::string path = library + "/state/outcome";
    RETURN_IF_ERROR(ReplaceFile(path, std::string(kSize, ' ')));
    return std::unique_ptr<OutcomeFile>(new OutcomeFile(path));
  }
  void Set(std::string text) const {
    constexpr std::string_view kMore = " (more: daemon.log)";
    if (text.size() > kSize) {
      text.resize(kSize - kMore.size());
      text += kMore;
    }
    text.resize(kSize, ' ');
    const UniqueFd fd(open(path_.c_str(), O_WRONLY | O_CLOEXEC));
    if (!fd.valid() || pwrite(fd.get(), text.data(), kSize, 0) !=
                           static_cast<ssize_t>(kSize)) {
      spdlog::error("{}: could not be written", path_);
    }
  }

 private:
  static constexpr size_t kSize = 4096;
  explicit OutcomeFile(std::string path) : path_(std::move(path)) {}
  const std::string path_;
};

// Everything of one served library, in the order in which it is made; the
// reverse is the order of the end.
class LibrarySession {
 public:
  LibrarySession(const MountOptions& options, LibraryConfig config)
      : options_(options), config_(std::move(config)) {}

  Status Open(LibraryLock lock);
  // Serves until the end. kAborted: changes were lost, of which volumes.
  Status Run(const std::function<void()>& ready);

 private:
  void SetHooks();
  Status End(Serving::Reason reason);

  const MountOptions options_;
  const LibraryConfig config_;
  std::unique_ptr<Serving> serving_;
  FuseFs fs_;
  std::unique_ptr<Service> service_;
  std::unique_ptr<Tree> tree_;
  std::unique_ptr<ControlTree> control_;
  std::unique_ptr<CommandRunner> runner_;
  std::unique_ptr<VolumeMounts> mounts_;
  std::unique_ptr<FuseLoop> loop_;
  std::unique_ptr<Invalidator> invalidator_;
  std::unique_ptr<MemoryKeeper> memory_keeper_;
  std::unique_ptr<OutcomeFile> outcome_;
  std::unique_ptr<MountFile> mount_file_;
};

Status LibrarySession::Open(LibraryLock lock) {
  ASSIGN_OR_RETURN(serving_, Serving::Start());
  FuseMountOptions mount;
  mount.mount_point = options_.mount_point;
  mount.fsname = config_.directory;
  mount.allow_other = options_.allow_other;
  mount.max_threads = options_.max_threads;
  // The cheap thing that may fail comes before the robot moves.
  ASSIGN_OR_RETURN(loop_, FuseLoop::Mount(FuseOperations(), &fs_, mount));

  ServiceOptions service;
  service.config = config_;
  service.mount_point = options_.mount_point;
  service.catalog_cache_bytes = options_.catalog_cache_bytes;
  ASSIGN_OR_RETURN(service_, Service::Open(service, std::move(lock)));
  tree_ = std::make_unique<Tree>(&service_->catalog(), &service_->library(),
                                 &service_->volumes());
  control_ = std::make_unique<ControlTree>(service_.get());
  runner_ = std::make_unique<CommandRunner>();
  VolumeMounts::Options mounts;
  mounts.library = config_.directory;
  mounts.mount_point = options_.mount_point;
  mounts.allow_other = options_.allow_other;
  mounts_ =
      std::make_unique<VolumeMounts>(tree_.get(), &service_->volumes(), mounts);
  invalidator_ = std::make_unique<Invalidator>(tree_.get(), loop_.get());
  memory_keeper_ = std::make_unique<MemoryKeeper>();
  SetHooks();

  fs_.tree = tree_.get();
  fs_.volumes = &service_->volumes();
  fs_.service = service_.get();
  fs_.control = control_.get();
  fs_.runner = runner_.get();
  fs_.on_init = [this] { serving_->NoteReady(); };
  fs_.forget_attributes = [this](uint64_t ino) {
    loop_->ForgetAttributes(ino);
  };
  ASSIGN_OR_RETURN(outcome_, OutcomeFile::Write(config_.directory));
  ASSIGN_OR_RETURN(mount_file_,
                   MountFile::Write(config_.directory, options_.mount_point));
  return Status::Ok();
}

void LibrarySession::SetHooks() {
  ServiceHooks hooks;
  hooks.mount = [this](const std::shared_ptr<Volume>& volume,
                       const std::string& dir, bool only_me,
                       std::stop_token stop) {
    return mounts_->Mount(volume, dir, only_me, stop);
  };
  hooks.unmount = [this](const std::string& dir) {
    return mounts_->Unmount(dir);
  };
  hooks.mounts = [this] { return mounts_->List(); };
  hooks.in_use = [this] {
    return fs_.open_files > 0 ? options_.mount_point : mounts_->InUse();
  };
  hooks.standing = [this] {
    std::vector<std::string> points = {options_.mount_point};
    for (const Json& mount : mounts_->List()) {
      points.push_back(mount["dir"].get<std::string>());
    }
    return ProcessStandingOn(points);
  };
  hooks.shutdown = [this] { serving_->NoteShutdown(); };
  hooks.changed = [this] { invalidator_->Poke(); };
  service_->SetHooks(std::move(hooks));
}

Status LibrarySession::Run(const std::function<void()>& ready) {
  loop_->Start([this] { serving_->NoteEnded(); });
  const Serving::Reason reason = serving_->Wait([&] {
    loop_->RaiseReadahead();
    spdlog::info("{} is served at {}", config_.directory, options_.mount_point);
    ready();
    if (options_.on_ready) options_.on_ready();
  });
  if (options_.on_stopping) options_.on_stopping();
  return End(reason);
}

Status LibrarySession::End(Serving::Reason reason) {
  if (reason == Serving::Reason::kShutdown) {
    // Whoever wrote the command may read its answer and close the file first,
    // but not keep us from ending.
    const auto deadline =
        std::chrono::steady_clock::now() + std::chrono::seconds(2);
    while (fs_.control_handles > 0 &&
           std::chrono::steady_clock::now() < deadline) {
      std::this_thread::sleep_for(std::chrono::milliseconds(5));
    }
  }
  spdlog::info("{}: ending", config_.directory);
  runner_->Shutdown();
  service_->StopWork();
  mounts_->Shutdown();
  // While requests are still answered: what is mapped gets written out.
  const Status unmounted = loop_->Unmount(true);
  if (!unmounted.ok()) spdlog::error("{}", unmounted.ToString());
  service_->StopVolumes();  // answers what waited for a medium
  // No hook runs any more; the kernel needs to be told nothing.
  service_->SetHooks({});
  invalidator_.reset();
  loop_->Stop();
  std::string lost;
  for (const std::string& line : service_->volumes().lost()) {
    lost += lost.empty() ? line : "; " + line;
  }
  if (lost.empty()) return Status::Ok();
  outcome_->Set(lost);
  return Status(Errc::kAborted, lost);
}

Status ServeLibrary(const MountOptions& options, const LibraryConfig& config,
                    const std::function<void()>& ready) {
  ASSIGN_OR_RETURN(LibraryLock lock, LibraryLock::Take(config.directory));
  if (!options.foreground) LogToFile(config.directory);
  LibrarySession session(options, config);
  RETURN_IF_ERROR(session.Open(std::move(lock)));
  return session.Run(ready);
}

}  // namespace

Status MountLibrary(const MountOptions& given) {
  MountOptions options = given;
  ASSIGN_OR_RETURN(const LibraryConfig config,
                   ReadLibraryConfig(options.library));
  ASSIGN_OR_RETURN(options.mount_point, CheckMountPoint(options.mount_point));
  if (IsInside(options.mount_point, config.directory) ||
      IsInside(config.directory, options.mount_point)) {
    return Status(Errc::kInvalidArgument,
                  fmt::format("mount point {} and library {} must not be "
                              "inside one another",
                              options.mount_point, config.directory));
  }
  if (options.foreground) return ServeLibrary(options, config, [] {});
  return RunInBackground([&](const std::function<void()>& ready) {
    return ServeLibrary(options, config, ready);
  });
}

}  // namespace vellum
