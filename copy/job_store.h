// SPDX-License-Identifier: Apache-2.0
// JobStore: the jobs as the catalog keeps them (table "job").
//
// Thread-safety: every method may be called concurrently.
#pragma once

#include <string>
#include <vector>

#include "copy/job.h"
#include "copy/job_control.h"
#include "index/catalog.h"
#include "media/error.h"
#include "media/mutex.h"

namespace vellum {

// Sorts like the number.
std::string JobKey(JobId id);

class JobStore {
 public:
  explicit JobStore(Catalog* catalog) : catalog_(catalog) {}

  // All jobs, ascending. Of those that ended long ago only the newest are kept;
  // the others leave the table (their history stays).
  Result<std::vector<JobRecord>> Load();
  // The next id, never given before.
  Result<JobId> NewId();
  // Stores the job as it is now, durably; an ended copy gets its row of the
  // history in the same batch.
  Status Save(const JobControl& job);

 private:
  Catalog* const catalog_;
  // Orders "read the record, store it", so that the newest one stays. Held
  // over writes to the catalog. Before JobControl's mutex.
  Mutex mu_;
  JobId last_id_ GUARDED_BY(mu_) = 0;
};

}  // namespace vellum
