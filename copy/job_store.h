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

  // All jobs, ascending; of the ended ones only the newest `ended_kept`, the
  // others leave the table (their history stays).
  Result<std::vector<JobRecord>> Load(size_t ended_kept);
  // The next id, never taken before.
  JobId NextId() const;
  // A job has the id that NextId answered.
  Status TakeId(JobId id);
  // The job leaves the table.
  Status Remove(JobId id);
  // Stores the job as it is now, durably; an ended copy gets its row of the
  // history in the same batch.
  Status Save(const JobControl& job);

 private:
  Catalog* const catalog_;
  // Orders "read the record, store it", so that the newest one stays. Held
  // over writes to the catalog. Before JobControl's mutex.
  mutable Mutex mu_;
  JobId last_id_ GUARDED_BY(mu_) = 0;
};

}  // namespace vellum
