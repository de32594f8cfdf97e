// SPDX-License-Identifier: Apache-2.0
// Jobs: the queue of background work. Every transition is stored in the catalog
// (synced) before the job goes on; after a restart a job resumes from a
// complete spool image or starts again, and every medium goes home.
//
// Thread-safety: every method may be called concurrently. Threads: a small pool
// runs the jobs; at most `running` at once, and never two on one volume.
#pragma once

#include <atomic>
#include <cstdint>
#include <functional>
#include <memory>
#include <stop_token>
#include <string>
#include <vector>

#include "copy/job.h"
#include "copy/region_pump.h"
#include "index/catalog.h"
#include "index/volumes.h"
#include "media/error.h"
#include "media/hook_commands.h"
#include "media/library.h"

namespace vellum {

// A number that may be set anew while others read it.
class LiveNumber {
 public:
  LiveNumber(uint32_t value) : value_(value) {}  // NOLINT: implicit
  LiveNumber(const LiveNumber& other) : value_(other.value_.load()) {}
  LiveNumber& operator=(const LiveNumber& other) {
    value_ = other.value_.load();
    return *this;
  }
  operator uint32_t() const { return value_; }  // NOLINT: implicit

 private:
  std::atomic<uint32_t> value_;
};

struct JobsOptions {
  std::string spool_directory;
  uint64_t spool_limit = 0;    // bytes; 0: what the disk has free
  uint32_t running = 2;        // jobs at once
  uint32_t ended_kept = 1000;  // records of ended jobs; at least 1
  // Of files that are copied one by one: what is written between two commits.
  uint64_t file_batch_bytes = 64ull << 20;
  // Of copies of volumes: regions (64 KiB) that are moved at once; at least 1.
  uint64_t chunk_regions = kChunkMaxRegions;
  LiveNumber generations = 1;    // complete backups of a volume that are kept
  LiveNumber tracked_pairs = 0;  // at most; 0: no limit
  HookCommands hooks;            // programs of the operator's
  std::string library;           // directory, told to the hooks
  ElementAddress pool_first;     // copy pool: storage elements in this range;
  ElementAddress pool_last;      // 0..0 = all
  // Called when a job ends or changes its state (control tree, tests); no lock
  // is held. An error from it in state kX makes the job act as if the daemon
  // died there: tests.
  std::function<Status(const JobRecord&)> on_transition;
};

class Jobs {
 public:
  // Reads the stored jobs; those that had not ended are taken up again.
  // Leftover spool files of ended jobs are removed.
  static Result<std::unique_ptr<Jobs>> Open(Catalog* catalog, Library* library,
                                            Volumes* volumes,
                                            const JobsOptions& options);
  ~Jobs();  // Shutdown

  // Checks what can be checked without moving a medium, then queues. A copy
  // whose target somebody has (a volume mounted at a place of its own, another
  // command) stays in the queue, and is passed by others, until it is free;
  // JobRecord::message says for whom it waits. Errors at
  // once, nothing moved, no job: kNotFound (source, target), kInvalidArgument
  // (source is a BACKUP; target is the source itself), kExists (target belongs
  // to another primary: names both; target is a PRIMARY), kNoSpace (staging
  // space: needed and free; pool exhausted; target smaller than the source),
  // kOffline (streaming with fewer than two drives online), kNoMedium (not in
  // the library, or its element says that it cannot be used). No number is used
  // up by what is refused. With kFiles the target may be "VOLUME[:PATH]" of a
  // PRIMARY: kInvalidArgument (onto itself, a path on a backup), kNotFound (a
  // path that is not on the source), kReadOnly.
  // A volume that its medium did not hold is looked for there first (here,
  // in the other ways to submit): that waits for a drive; kInterrupted when
  // `stop` is requested.
  Result<JobId> Submit(const CopyRequest& request, std::stop_token stop = {});
  // Queues a restore of the whole primary from a backup of it (empty: the
  // newest complete one in the library): what is on the primary is lost (A6).
  // kNotFound, kInvalidArgument (no primary; a backup of another volume, or one
  // that is not complete), kNoMedium, kBusy (files are open, or somebody has
  // one of the two), kNoSpace (staging space).
  Result<JobId> SubmitRestore(const std::string& primary,
                              const std::string& backup,
                              std::stop_token stop = {});
  // Queues a restore of files: from a backup (empty: the one of the primary
  // that was copied last) to the primary, which stays in use. Errors of Submit
  // with kFiles, and kExists: files would be replaced, and files.replace is
  // off. `verify`: what was written is read back.
  Result<JobId> SubmitFileRestore(const std::string& primary,
                                  const std::string& backup,
                                  FileSelection files, bool verify = true,
                                  std::stop_token stop = {});
  // Compares two volumes, or a backup with its primary, sector by sector: what
  // the generation of `b` uses. Differences fail the job with kCorruption and
  // name the first sectors. Regions of the primary that changed since the
  // backup's generation are counted, not compared. They are noted as damage of
  // a backup only where they can be nothing else: of a primary and its own
  // backup, of the same generation or with the changes since known.
  Result<JobId> SubmitCompare(const std::string& a, const std::string& b,
                              std::stop_token stop = {});

  // From now on, for jobs that run as well as for later ones (a hook that runs
  // goes on as it was).
  void SetPolicy(uint32_t generations, uint32_t tracked_pairs,
                 const HookCommands& hooks);

  Result<JobRecord> Get(JobId id) const;
  // Ascending ids. Of the ended ones the newest `ended_kept`: the others are
  // forgotten, but for their rows in the history.
  std::vector<JobRecord> List() const;
  // The job ends as kCancelled soon; kNotFound; kBusy when it has ended.
  Status Cancel(JobId id);
  // Waits for the end, and until that is stored. Where it cannot be stored the
  // answer is the end all the same, and its message says so: this process goes
  // by it, the next start finds the job as it was stored before, and takes it
  // up again.
  Result<JobRecord> Wait(JobId id, std::stop_token stop = {}) const;
  // Stops the threads; running jobs keep their state for the next start.
  void Shutdown();

 private:
  struct Impl;
  explicit Jobs(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

}  // namespace vellum
