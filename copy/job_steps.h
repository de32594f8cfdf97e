// SPDX-License-Identifier: Apache-2.0
// JobSteps: what every kind of job does the same way: enter states, remember
// which media it loaded, send them home.
//
// Thread-safety: the job's own thread.
#pragma once

#include <map>
#include <string>

#include "copy/copy_hooks.h"
#include "copy/job_control.h"
#include "copy/job_store.h"
#include "copy/jobs.h"
#include "copy/operations.h"
#include "copy/pool.h"
#include "copy/spool.h"
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

class JobSteps {
 public:
  JobSteps(const JobContext& context, JobControl* job)
      : context_(context), job_(job) {}

  // Enters the state, stores it, tells the owner. kAborted when the job was
  // cancelled, or is to act as if the daemon died here: dead().
  Status Enter(JobState state);
  Status Save() { return context_.store->Save(*job_); }
  bool dead() const { return dead_; }

  const JobContext& context() const { return context_; }
  const Archive& archive() const { return context_.archive; }
  JobControl& job() const { return *job_; }
  std::stop_token stop() const { return job_->stop_token(); }
  CopyHooks hooks() const;
  std::string owner() const;  // "job 7"
  void Log(const std::string& line) const { job_->Log(line); }

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
  std::map<MediumId, bool> touched_;  // -> it was in a drive before
};

}  // namespace vellum
