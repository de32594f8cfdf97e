// SPDX-License-Identifier: Apache-2.0
// The tables about jobs.
#include <fmt/format.h>

#include <algorithm>

#include "copy/file_results.h"
#include "copy/history.h"
#include "fs/service.h"
#include "fs/tables.h"

namespace vellum {
namespace {

const char* PolicyName(CopyPolicy policy) {
  switch (policy) {
    case CopyPolicy::kOptional:
      return "optional";
    case CopyPolicy::kMinicopy:
      return "minicopy";
    case CopyPolicy::kFull:
      return "full";
  }
  return "unknown";
}

bool Names(const JobRecord& job, const std::optional<std::string>& volume) {
  return !volume || job.request.source == *volume ||
         job.target_volume == *volume || job.request.target == *volume;
}

Json Percent(const JobRecord& job) {
  if (job.state == JobState::kDone) return 100;
  if (job.regions_total == 0) return nullptr;
  return std::min<uint64_t>(100, job.regions_done * 100 / job.regions_total);
}

}  // namespace

Json JobJson(const JobRecord& job) {
  const bool failed =
      job.state == JobState::kFailed || job.state == JobState::kCancelled;
  Json row;
  row["id"] = job.id;
  row["kind"] = JobKindName(job.kind);
  row["source"] = job.request.source;
  row["target"] =
      job.target_volume.empty() ? job.request.target : job.target_volume;
  row["medium"] = job.target_medium;
  const bool compares = job.kind == JobKind::kCompare;
  const bool copies = job.kind == JobKind::kCopy;
  row["mode"] = copies ? Json(CopyModeName(job.request.mode)) : Json();
  row["policy"] = copies ? Json(PolicyName(job.request.policy)) : Json();
  row["method"] = job.method;
  row["state"] = JobStateName(job.state);
  row["cancel_requested"] = job.cancel_requested;
  row["percent"] = Percent(job);
  row["regions_total"] = job.regions_total;
  row["regions_done"] = job.regions_done;
  row["bytes_copied"] = job.bytes_copied;
  row["bytes_verified"] = job.bytes_verified;
  row["regions_compared"] = compares ? Json(job.regions_compared) : Json();
  row["regions_changed"] = compares ? Json(job.regions_changed) : Json();
  row["generation"] = GenerationJson(job.generation);
  row["created"] = TimeJson(job.created);
  row["started"] = TimeJson(job.started);
  row["state_since"] = TimeJson(job.state_since);
  row["ended"] = TimeJson(job.ended);
  row["error"] = failed ? ErrcName(job.error) : "";
  row["message"] = job.message;
  row["hook"] = job.hook.empty() ? Json() : Json(job.hook);
  row["hook_exit"] = job.hook.empty() ? Json() : Json(job.hook_exit);
  return row;
}

Json JobProgress(const JobRecord& job, TimeSpec now) {
  Json progress;
  progress["state"] = JobStateName(job.state);
  progress["percent"] = Percent(job);
  progress["regions_done"] = job.regions_done;
  progress["regions_total"] = job.regions_total;
  progress["bytes_copied"] = job.bytes_copied;
  progress["bytes_verified"] = job.bytes_verified;
  // Rate and remaining time are those of the present state.
  progress["bytes_per_second"] = nullptr;
  progress["remaining_seconds"] = nullptr;
  const double elapsed = static_cast<double>(now.sec - job.state_since.sec) +
                         (static_cast<double>(now.nsec) -
                          static_cast<double>(job.state_since.nsec)) *
                             1e-9;
  if (!JobEnded(job.state) && job.regions_done > 0 && elapsed > 0) {
    const double rate = static_cast<double>(job.regions_done) / elapsed;
    progress["bytes_per_second"] = static_cast<uint64_t>(rate * kRegionSize);
    if (job.regions_total >= job.regions_done) {
      progress["remaining_seconds"] = static_cast<uint64_t>(
          static_cast<double>(job.regions_total - job.regions_done) / rate);
    }
  }
  return progress;
}

Result<Table> FilesTable(const Service& service, JobId job) {
  Table table;
  table.columns = {{"path", "Path"},           {"type", "Type"},
                   {"result", "Result"},       {"copied", "Copied"},
                   {"unchanged", "Unchanged"}, {"failed", "Failed"},
                   {"bytes", "Bytes"},         {"message", "Message"}};
  RETURN_IF_ERROR(ForEachFileResult(
      service.catalog(), job, [&table](const FileResult& result) {
        const bool dir = result.directory;
        const bool failed = result.result == "failed";
        table.rows.push_back(
            {{"path", result.path},
             {"type", dir ? "directory" : "file"},
             {"result", result.result},
             {"copied", dir ? Json(result.copied) : Json()},
             {"unchanged", dir ? Json(result.unchanged) : Json()},
             {"not_selected", dir ? Json(result.not_selected) : Json()},
             {"failed", dir ? Json(result.failed) : Json()},
             {"bytes", dir ? Json() : Json(result.bytes)},
             {"error", failed ? ErrcName(result.error) : ""},
             {"message", result.message}});
        return true;
      }));
  return table;
}

Table JobsTable(const Service& service,
                const std::optional<std::string>& volume) {
  Table table;
  table.columns = {{"id", "Job"},          {"kind", "Kind"},
                   {"source", "Source"},   {"target", "Target"},
                   {"mode", "Mode"},       {"method", "Method"},
                   {"state", "State"},     {"percent", "Percent"},
                   {"started", "Started"}, {"message", "Message"}};
  for (const JobRecord& job : service.jobs().List()) {
    if (Names(job, volume)) table.rows.push_back(JobJson(job));
  }
  return table;
}

Result<Table> HistoryTable(const Service& service, const std::string& volume) {
  Table table;
  table.columns = {
      {"id", "Job"},         {"source", "Source"}, {"target", "Target"},
      {"medium", "Medium"},  {"mode", "Mode"},     {"method", "Method"},
      {"result", "Result"},  {"ended", "Ended"},   {"bytes_copied", "Bytes"},
      {"message", "Message"}};
  ASSIGN_OR_RETURN(const std::vector<HistoryRow> rows,
                   ReadHistory(service.catalog(), volume));
  for (const HistoryRow& row : rows) {
    table.rows.push_back({{"id", row.job},
                          {"source", row.source},
                          {"target", row.target},
                          {"medium", row.target_medium},
                          {"mode", row.mode},
                          {"method", row.method},
                          {"generation", GenerationJson(row.generation)},
                          {"started", TimeJson(row.started)},
                          {"ended", TimeJson(row.ended)},
                          {"result", row.result},
                          {"bytes_copied", row.bytes_copied},
                          {"message", row.message}});
  }
  return table;
}

}  // namespace vellum
