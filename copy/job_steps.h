// SPDX-License-Identifier: Apache-2.0
// JobSteps: what every kind of job does the same way: enter states, remember
// which media it loaded, send them home.
//
// Thread-safety: the job's own thread.
#pragma once

#include <map>
#include <memory>
#include <string>
#include <utility>

#include "copy/copy_hooks.h"
#include "copy/job_control.h"
#include "copy/job_store.h"
#include "copy/jobs.h"
#include "copy/operations.h"
#include "copy/pool.h"
#include "copy/spool.h"
#include "copy/spool_image.h"
#include "media/error.h"
#include "media/library.h"

namespace vellum {

// What jobs work with; all outlive them.
struct JobContext {
  Archive archive;
  Spool* spool = nullptr;
  JobStore* store = nullptr;
  TargetClaims* claims = nullptr;
  const JobsOptions* options = nullptr;
};

// "waits for V00005: held by mount at /srv", of the kBusy error.
std::string WaitingText(const std::string& volume_id, const Error& busy);

class JobSteps {
 public:
  JobSteps(const JobContext& context, JobControl* job)
      : context_(context), job_(job) {}

  // Enters the state, stores it, tells the owner. kAborted when the job was
  // cancelled, or is to act as if the daemon died here: dead().
  Status Enter(JobState state);
  // Tells the owner that the job went on within its state.
  Status Tell();
  Status Save() { return context_.store->Save(*job_); }
  bool dead() const { return dead_; }

  const JobContext& context() const { return context_; }
  const Archive& archive() const { return context_.archive; }
  JobControl& job() const { return *job_; }
  std::stop_token stop() const { return job_->stop_token(); }
  CopyHooks hooks() const;
  std::string owner() const;  // "job 7"
  void Log(const std::string& line) const { job_->Log(line); }

  // The job can do nothing while somebody has `volume`, as the kBusy error
  // says: it gives way to other jobs and is run again when the volume is free.
  // The error to return at once. REQUIRES: the job has no lease, use or
  // exclusion.
  Error Defer(const std::shared_ptr<Volume>& volume, const Error& busy);
  // What the job was deferred for; null: it was not. Forgets it.
  std::shared_ptr<Volume> TakeDeferred() { return std::move(deferred_for_); }

  // The image in the spool that a restart has found; nullptr: there is none.
  // The log says so of one that cannot be opened.
  std::unique_ptr<SpoolImage> FindImage() const;
  // Whether the image that a restart has found is whole; says so in the log.
  // kAborted when the job is cancelled meanwhile.
  Result<bool> CanGoOnFrom(const SpoolImage& image) const;

  // To be called before the job first asks for the medium.
  void Touch(const MediumId& medium);
  // Unloads the medium if this job loaded it and nobody uses it. REQUIRES: the
  // job has no lease, use or exclusion of it any more.
  void SendHome(const MediumId& medium);
  void SendAllHome();

 private:
  const JobContext context_;
  JobControl* const job_;
  bool dead_ = false;
  std::shared_ptr<Volume> deferred_for_;
  std::map<MediumId, bool> touched_;  // -> it was in a drive before
};

}  // namespace vellum
