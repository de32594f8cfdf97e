// SPDX-License-Identifier: Apache-2.0
// History: what every copy came to, in the catalog's table "history". Rows
// outlive the job's own record.
//
// Thread-safety: functions; the catalog's rules.
#pragma once

#include <stop_token>
#include <string>
#include <vector>

#include "copy/job.h"
#include "copy/jobs.h"
#include "copy/operations.h"
#include "index/catalog.h"
#include "media/error.h"
#include "media/types.h"

namespace vellum {

struct HistoryRow {
  JobId job = 0;
  std::string source;  // volume id
  std::string target;  // volume id of the backup; empty: none chosen
  std::string target_medium;
  std::string mode;    // as requested
  std::string method;  // "full" | "incremental" | ""
  Generation generation;
  TimeSpec started, ended;
  std::string result;  // "done" | "failed" | "cancelled"
  std::string message;
  uint64_t bytes_copied = 0;
};

// Takes the row out of the history (A4). When it is the last good copy to its
// medium, the pair is not tracked and no job has the medium, the pool may
// overwrite it; a tracked medium is kept. kNotFound (no such row), kBusy (the
// job has not ended: it goes on).
struct DeletedHistory {
  HistoryRow row;
  bool freed = false;  // row.target_medium is free
  std::string kept;    // why it is not; empty: freed, or nothing to free
};
Result<DeletedHistory> DeleteHistory(const Archive& archive, const Jobs& jobs,
                                     JobId job, std::stop_token stop = {});

// Adds the row of an ended copy to `batch`.
void PutHistory(const JobRecord& job, CatalogBatch* batch);
// All rows, oldest first; `volume` not empty: those with it as source or
// target. Rows that cannot be decoded are an error (kCorruption).
Result<std::vector<HistoryRow>> ReadHistory(const Catalog& catalog,
                                            const std::string& volume = {});

}  // namespace vellum
