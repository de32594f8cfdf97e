// SPDX-License-Identifier: Apache-2.0
// Service: one library, opened and running, as the mount and the control tree
// use it. No libfuse here: unit tests run it without a mount.
//
// Thread-safety: every method may be called concurrently, but for Open, the
// Stop methods and SetHooks, which belong to the thread that owns the service.
#pragma once

#include <atomic>
#include <functional>
#include <memory>
#include <stop_token>
#include <string>
#include <vector>

#include "copy/jobs.h"
#include "copy/operations.h"
#include "copy/pool_book.h"
#include "copy/stages.h"
#include "fs/json.h"
#include "fs/running_commands.h"
#include "index/catalog.h"
#include "index/volumes.h"
#include "media/auxiliary_book.h"
#include "media/changer_controls.h"
#include "media/error.h"
#include "media/library.h"
#include "media/library_config.h"
#include "media/library_directory.h"
#include "media/manual/manual_state.h"
#include "media/mutex.h"
#include "media/virtual_controls.h"

namespace vellum {

struct ServiceOptions {
  LibraryConfig config;
  std::string mount_point;  // as the status table shows it
  uint64_t catalog_cache_bytes = 64ull << 20;
};

// What the session adds. Empty functions: not served here (unit tests).
struct ServiceHooks {
  // A read-only mount of one volume at `dir`, and its end. `only_me`: other
  // users are kept out of it.
  std::function<Result<Json>(const std::shared_ptr<Volume>& volume,
                             const std::string& dir, bool only_me,
                             std::stop_token stop)>
      mount;
  std::function<Status(const std::string& dir)> unmount;
  std::function<Json()> mounts;  // array of {"volume", "dir"}
  // A mount of the daemon on which files are open, or "".
  std::function<std::string()> in_use;
  // A process whose working directory is on a mount of the daemon, as a
  // sentence, or "": none that the daemon may see.
  std::function<std::string()> standing;
  // The daemon shall end. Returns at once.
  std::function<void()> shutdown;
  // Volumes may have come, gone or changed without the kernel's doing. Returns
  // at once.
  std::function<void()> changed;
};

class Service {
 public:
  // Opens catalog, devices, volumes and jobs in that order and starts their
  // threads. REQUIRES: the process does not fork any more.
  static Result<std::unique_ptr<Service>> Open(const ServiceOptions& options,
                                               LibraryLock lock);
  ~Service();  // both Stops, then the library: idle media go home

  void SetHooks(ServiceHooks hooks);

  // Runs one command of docs/control.md and waits for its end; kInterrupted
  // when `stop` is requested first. Never throws.
  Result<Json> Execute(const std::string& command, std::stop_token stop = {});

  // As at the start.
  const LibraryConfig& config() const { return options_.config; }
  // With what Reload has changed.
  LibraryConfig current_config() const;
  const std::string& mount_point() const { return options_.mount_point; }
  TimeSpec started() const { return started_; }
  Catalog& catalog() const { return *catalog_; }
  Library& library() const { return *library_; }
  Volumes& volumes() const { return *volumes_; }
  Jobs& jobs() const { return *jobs_; }
  Stages& stages() const { return *stages_; }
  // Of a manual library; else null.
  ManualState* manual() const { return manual_.get(); }
  // Of a changer that can be told more than moves; else null.
  ChangerControls* changer_controls() const { return changer_controls_.get(); }
  // Of a virtual library; else null.
  VirtualControls* virtual_controls() const { return virtual_controls_.get(); }
  // How media were used, and the health flags.
  AuxiliaryBook& auxiliary() const { return *auxiliary_; }
  Archive archive() const;
  // Of the copy pool, as long as no command has set one.
  PoolRange pool_range() const;
  ServiceHooks hooks() const;
  // Commands of Execute that have not ended.
  const RunningCommands& running() const { return running_; }

  // Reads library.toml anew and does what it says from now on, as far as that
  // is possible while the library is served: [hooks], policy.generations,
  // policy.tracked_pairs. Answers the keys that changed. An error of the file
  // names its line; kBusy names keys that want a restart. On error nothing has
  // changed.
  Result<std::vector<std::string>> Reload();

  // Ends the jobs' threads; unfinished jobs go on at the next start.
  void StopWork();
  // Answers parked operations with kAborted, commits and detaches all volumes.
  void StopVolumes();

 private:
  Service(const ServiceOptions& options, LibraryLock lock);

  const ServiceOptions options_;
  const TimeSpec started_;
  // Destroyed in reverse: the lock goes last.
  LibraryLock lock_;
  mutable Mutex mu_;  // a leaf
  ServiceHooks hooks_ GUARDED_BY(mu_);
  RunningCommands running_;
  LibraryConfig current_ GUARDED_BY(mu_);  // with what Reload has changed
  std::unique_ptr<Catalog> catalog_;
  std::shared_ptr<ManualState> manual_;
  std::shared_ptr<ChangerControls> changer_controls_;
  std::shared_ptr<VirtualControls> virtual_controls_;
  std::unique_ptr<AuxiliaryBook> auxiliary_;
  std::unique_ptr<Library> library_;
  std::unique_ptr<Volumes> volumes_;
  std::unique_ptr<Jobs> jobs_;
  std::unique_ptr<Stages> stages_;
};

}  // namespace vellum
