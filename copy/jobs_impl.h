// SPDX-License-Identifier: Apache-2.0
// The state behind Jobs. Private to copy/jobs*.cc:
//   jobs.cc         open, look-ups, cancel, wait
//   jobs_submit.cc  what is checked before a job is queued
//   jobs_restore.cc the same of a restore
//   jobs_files.cc   the same of copies and restores by file
//   jobs_hooks.cc   the operator's programs before and after a job
//   jobs_run.cc     the queue, the workers, the ends of jobs
#pragma once

#include <chrono>
#include <deque>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <thread>
#include <vector>

#include "copy/copy_runner.h"
#include "copy/file_plan.h"
#include "copy/hook_program.h"
#include "copy/job_control.h"
#include "copy/job_steps.h"
#include "copy/job_store.h"
#include "copy/jobs.h"
#include "copy/pool.h"
#include "copy/spool.h"
#include "media/mutex.h"

namespace vellum {

// A job between its start and its end; it outlives being put back into the
// queue, with all that it has read.
struct JobRun {
  JobRun(const JobContext& context, JobControl* job) : steps(context, job) {}
  JobSteps steps;
  std::unique_ptr<CopyRunner> copy;
  bool began = false;  // the hook before it was run, or there is none
};

// Why a job is back in the queue.
struct Deferral {
  std::unique_ptr<JobRun> run;
  std::shared_ptr<Volume> volume;  // that somebody has
  std::chrono::steady_clock::time_point not_before;
};

struct Jobs::Impl {
  using JobPtr = std::shared_ptr<JobControl>;
  using Clock = std::chrono::steady_clock;

  Impl(Catalog* catalog, Library* library, Volumes* volumes,
       const JobsOptions& o)
      : archive{catalog, library, volumes},
        options(o),
        store(catalog),
        spool(o.spool_directory, o.spool_limit),
        hooks_(o.hooks) {}

  Status TakeUp();
  void StartThreads();
  // Before a job is refused for what the element status says of a medium, the
  // status is read anew: the medium may be well again. Fails with kInterrupted
  // only: otherwise what is known counts.
  Status LookAtProblems(std::stop_token stop);
  // The same for a volume that its medium did not hold: waits for a drive, and
  // looks.
  Status LookForVolume(const std::string& id, std::stop_token stop);
  // Checks the copy and gives it its number.
  Result<JobRecord> Admit(const CopyRequest& request);
  Result<JobId> Queue(JobRecord record);
  Status CheckSource(const std::string& id, VolumeRecord* source) const;
  Status CheckCopy(const CopyRequest& request, JobId id, MediumId* target);
  // The backup to restore from, and the room to stage it (jobs_restore.cc).
  Result<JobRecord> AdmitRestore(const std::string& primary,
                                 const std::string& backup);
  // Copies and restores by file (jobs_files.cc).
  Result<JobRecord> AdmitFiles(CopyRequest request);
  Result<JobRecord> AdmitFileRestore(const std::string& primary,
                                     const std::string& backup,
                                     FileSelection files, bool verify);
  // Where a copy of files goes. The volume is null for a backup, whose medium
  // is claimed for the job.
  Status CheckFileTarget(CopyRequest* request, const VolumeRecord& source,
                         JobId id, JobRecord* record);
  Status CheckPrimaryTarget(const CopyRequest& request,
                            const VolumeRecord& source,
                            const std::shared_ptr<Volume>& target) const;
  // What is to be read if it has to go through the spool.
  Status ReserveForFiles(const CopyRequest& request, const Volume& source,
                         const Volume* target, FilePurpose purpose, JobId id);
  // The media that the job works on.
  std::set<MediumId> MediaOf(const JobControl& job) const;

  void WorkerMain();
  // `run`: what the job had done when it was deferred.
  JobPtr TakeRunnable(std::set<MediumId>* media, std::unique_ptr<JobRun>* run);
  // When the job may be looked at again; now or earlier: it may run.
  Clock::time_point WaitsUntilLocked(const JobPtr& job) REQUIRES(mu_);
  void RunJob(const JobPtr& job, std::unique_ptr<JobRun> run);
  Status RunSteps(JobRun* run);
  // The operator's programs (jobs_hooks.cc). A hook that fails makes the job
  // fail.
  Status RunHookBefore(JobRun* run);
  void RunHookAfter(JobRun* run, JobState* state, Errc* error,
                    std::string* message);
  std::string BackupOf(const JobRecord& job) const;
  HookProgram HookOf(const JobRecord& job, bool before) const;
  // Ends a job that was run, after the hook behind it.
  void Conclude(const JobPtr& job, JobRun* run, JobState state, Errc error,
                std::string message);
  // Back to its place in the queue. False: it was cancelled.
  bool Requeue(const JobPtr& job, Deferral* deferral);
  // Forgets the oldest ended jobs.
  void PruneEnded();
  // What is said of a job that was cancelled in this state.
  static std::string CancelledIn(JobState state);
  Status StoreEnd(const JobControl& job);
  void EndJob(const JobPtr& job, JobState state, Errc error,
              const std::string& message);
  JobContext Context() { return {archive, &spool, &store, &claims, &options}; }
  JobPtr Find(JobId id) const;

  const Archive archive;
  JobsOptions options;  // its hooks are only those of the start
  JobStore store;
  Spool spool;
  TargetClaims claims;

  mutable Mutex hooks_mu_;  // a leaf
  HookCommands hooks_ GUARDED_BY(hooks_mu_);

  // One submission is checked after the other, so that the number of a refused
  // one goes to the next. Before all others; held while staging space is
  // reserved.
  Mutex admit_mu_;
  // Before the mutexes of JobControl and Volumes. Not held while anything runs.
  mutable Mutex mu_;
  mutable CondVar changed_;
  std::map<JobId, JobPtr> jobs_ GUARDED_BY(mu_);
  std::deque<JobPtr> queue_ GUARDED_BY(mu_);            // by id
  std::map<JobId, Deferral> deferred_ GUARDED_BY(mu_);  // of jobs in queue_
  std::set<JobId> ended_ GUARDED_BY(mu_);
  std::set<MediumId> busy_ GUARDED_BY(mu_);  // media of running jobs
  std::set<JobId> dead_ GUARDED_BY(mu_);     // as if the daemon had died
  bool stopping_ GUARDED_BY(mu_) = false;

  std::stop_source halt_;  // the daemon stops: hooks are given up
  std::vector<std::thread> workers_;
};

}  // namespace vellum
