// SPDX-License-Identifier: Apache-2.0
#include "copy/job_store.h"

#include <fmt/format.h>
#include <spdlog/spdlog.h>

#include <algorithm>
#include <utility>

#include "copy/file_results.h"
#include "copy/history.h"

namespace vellum {
namespace {

constexpr std::string_view kJobTable = "job";
constexpr std::string_view kIdTable = "job_id";  // one row: the last id given
constexpr std::string_view kIdKey = "last";

JobId ParseId(const std::string& text) {
  JobId id = 0;
  for (const char c : text) {
    if (c < '0' || c > '9') return 0;
    id = id * 10 + static_cast<JobId>(c - '0');
  }
  return id;
}

}  // namespace

std::string JobKey(JobId id) { return fmt::format("{:020}", id); }

Result<std::vector<JobRecord>> JobStore::Load(size_t ended_kept) {
  std::vector<JobRecord> jobs;
  JobId last = 0;
  RETURN_IF_ERROR(catalog_->ForEachRow(
      kJobTable, [&](std::string_view key, std::string_view value) {
        Result<JobRecord> job = DecodeJob(value);
        last = std::max(last, ParseId(std::string(key)));
        if (job.ok()) {
          jobs.push_back(std::move(*job));
        } else {
          // A job that cannot be read cannot be run; its id stays taken.
          spdlog::error("job {}: {}", key, job.error().ToString());
        }
        return true;
      }));
  const Result<std::string> row = catalog_->GetRow(kIdTable, kIdKey);
  if (row.ok()) {
    last = std::max(last, ParseId(*row));
  } else if (row.error().code != Errc::kNotFound) {
    return row.status();
  }
  const size_t ended = static_cast<size_t>(
      std::count_if(jobs.begin(), jobs.end(),
                    [](const JobRecord& job) { return JobEnded(job.state); }));
  if (ended > ended_kept) {
    size_t drop = ended - ended_kept;
    CatalogBatch batch;
    std::vector<JobId> dropped;
    std::erase_if(jobs, [&](const JobRecord& job) {
      if (drop == 0 || !JobEnded(job.state)) return false;
      --drop;
      batch.DeleteRow(kJobTable, JobKey(job.id));
      dropped.push_back(job.id);
      return true;
    });
    for (const JobId id : dropped) {
      RETURN_IF_ERROR(DeleteFileResults(catalog_, id));
    }
    RETURN_IF_ERROR(catalog_->Write(batch, Sync::kNo));
  }
  MutexLock lock(&mu_);
  last_id_ = last;
  return jobs;
}

JobId JobStore::NextId() const {
  MutexLock lock(&mu_);
  return last_id_ + 1;
}

Status JobStore::TakeId(JobId id) {
  MutexLock lock(&mu_);
  CatalogBatch batch;
  batch.PutRow(kIdTable, kIdKey, JobKey(id));
  RETURN_IF_ERROR(catalog_->Write(batch, Sync::kNo));
  last_id_ = id;
  return Status::Ok();
}

Status JobStore::Remove(JobId id) {
  MutexLock lock(&mu_);
  RETURN_IF_ERROR(DeleteFileResults(catalog_, id));
  CatalogBatch batch;
  batch.DeleteRow(kJobTable, JobKey(id));
  return catalog_->Write(batch, Sync::kNo);
}

Status JobStore::Save(const JobControl& job) {
  MutexLock lock(&mu_);
  const JobRecord record = job.Record();
  CatalogBatch batch;
  batch.PutRow(kJobTable, JobKey(record.id), EncodeJob(record));
  if (record.kind != JobKind::kCompare && JobEnded(record.state)) {
    PutHistory(record, &batch);
  }
  return catalog_->Write(batch, Sync::kYes);
}

}  // namespace vellum
