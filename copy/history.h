// SPDX-License-Identifier: Apache-2.0
// History: what every copy came to, in the catalog's table "history". Rows
// outlive the job's own record.
//
// Thread-safety: functions; the catalog's rules.
#pragma once

#include <string>
#include <vector>

#include "copy/job.h"
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

// Adds the row of an ended copy to `batch`.
void PutHistory(const JobRecord& job, CatalogBatch* batch);
// All rows, oldest first; `volume` not empty: those with it as source or
// target. Rows that cannot be decoded are an error (kCorruption).
Result<std::vector<HistoryRow>> ReadHistory(const Catalog& catalog,
                                            const std::string& volume = {});

}  // namespace vellum
