// SPDX-License-Identifier: Apache-2.0
#include "copy/history.h"

#include <fmt/format.h>

#include <algorithm>
#include <nlohmann/json.hpp>
#include <utility>

#include "copy/job_store.h"
#include "copy/pool_book.h"
#include "copy/tracking.h"

namespace vellum {
namespace {

constexpr std::string_view kHistoryTable = "history";
constexpr char kRestoreMode[] = "restore";

Result<HistoryRow> Decode(std::string_view key, std::string_view value) {
  try {
    const nlohmann::json j = nlohmann::json::parse(value);
    HistoryRow row;
    row.job = j.at("job");
    row.source = j.at("source");
    row.target = j.at("target");
    row.target_medium = j.at("target_medium");
    row.mode = j.at("mode");
    row.method = j.at("method");
    row.generation.lineage = j.at("lineage");
    row.generation.number = j.at("number");
    row.started = {j.at("started").at(0), j.at("started").at(1)};
    row.ended = {j.at("ended").at(0), j.at("ended").at(1)};
    row.result = j.at("result");
    row.message = j.at("message");
    row.bytes_copied = j.at("bytes_copied");
    return row;
  } catch (const std::exception& e) {
    return Error{Errc::kCorruption,
                 fmt::format("history row {}: {}", key, e.what())};
  }
}

// Was the row's copy the last one to its medium, and is it there still?
Result<bool> MadeWhatIsThere(const Archive& archive, const HistoryRow& row) {
  if (row.result != JobStateName(JobState::kDone) || row.mode == kRestoreMode) {
    return false;
  }
  const auto volume = archive.volumes->FindByMedium(row.target_medium);
  if (volume == nullptr) return false;
  const VolumeRecord record = volume->record();
  if (record.role != udf::Role::kBackup || record.id != row.target) {
    return false;
  }
  ASSIGN_OR_RETURN(const std::vector<HistoryRow> rows,
                   ReadHistory(*archive.catalog, row.target));
  return std::none_of(rows.begin(), rows.end(), [&](const HistoryRow& other) {
    return other.job > row.job && other.target_medium == row.target_medium &&
           other.result == row.result;
  });
}

// Why the medium of a plain copy is not free all the same; empty: it is.
Result<std::string> WhyKept(const Archive& archive, const Jobs& jobs,
                            const HistoryRow& row) {
  const auto volume_there = archive.volumes->FindByMedium(row.target_medium);
  if (volume_there == nullptr) return std::string();
  const VolumeRecord backup = volume_there->record();
  if (backup.state == udf::SlotState::kFiles) {
    return fmt::format("{} holds the files of earlier copies, too", backup.id);
  }
  for (const auto& volume : archive.volumes->List()) {
    const VolumeRecord primary = volume->record();
    if (primary.medium_uuid != backup.owner_uuid) continue;
    ASSIGN_OR_RETURN(const bool tracked,
                     IsTracked(*archive.catalog, primary, backup));
    if (tracked) {
      return fmt::format("{} to {} is tracked", primary.id, backup.id);
    }
  }
  for (const JobRecord& job : jobs.List()) {
    if (!JobEnded(job.state) && (job.target_medium == row.target_medium ||
                                 job.request.target == backup.id)) {
      return fmt::format("job {} has it", job.id);
    }
  }
  return std::string();
}

}  // namespace

Result<DeletedHistory> DeleteHistory(const Archive& archive, const Jobs& jobs,
                                     JobId id, std::stop_token stop) {
  const Result<std::string> found =
      archive.catalog->GetRow(kHistoryTable, JobKey(id));
  if (!found.ok()) {
    if (found.error().code != Errc::kNotFound) return found.status();
    const Result<JobRecord> job = jobs.Get(id);
    if (job.ok() && !JobEnded(job->state)) {
      return Error{Errc::kBusy,
                   fmt::format("job {} is {}: it goes on, and has a history "
                               "when it has ended",
                               id, JobStateName(job->state))};
    }
    return Error{Errc::kNotFound, fmt::format("the history has no job {}", id)};
  }
  DeletedHistory deleted;
  ASSIGN_OR_RETURN(deleted.row, Decode(JobKey(id), *found));
  ASSIGN_OR_RETURN(const bool there, MadeWhatIsThere(archive, deleted.row));
  if (there) {
    ASSIGN_OR_RETURN(deleted.kept, WhyKept(archive, jobs, deleted.row));
  }
  // First what can fail for good reasons: the row stays then.
  if (there && deleted.kept.empty()) {
    RETURN_IF_ERROR(GiveUpBackup(archive, deleted.row.target_medium,
                                 deleted.row.target, stop));
    deleted.freed = true;
  }
  CatalogBatch batch;
  batch.DeleteRow(kHistoryTable, JobKey(id));
  RETURN_IF_ERROR(archive.catalog->Write(batch, Sync::kYes));
  return deleted;
}

void PutHistory(const JobRecord& job, CatalogBatch* batch) {
  const bool restore = job.kind == JobKind::kRestore;
  const nlohmann::json json = {
      {"job", job.id},
      // A restore reads the backup.
      {"source", restore ? job.request.target : job.request.source},
      {"target", job.target_volume},
      {"target_medium", job.target_medium},
      {"mode", restore ? kRestoreMode : CopyModeName(job.request.mode)},
      {"method", job.method},
      {"lineage", job.generation.lineage},
      {"number", job.generation.number},
      {"started", {job.started.sec, job.started.nsec}},
      {"ended", {job.ended.sec, job.ended.nsec}},
      {"result", JobStateName(job.state)},
      {"message", job.message},
      {"bytes_copied", job.bytes_copied}};
  batch->PutRow(
      kHistoryTable, JobKey(job.id),
      json.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace));
}

Result<std::vector<HistoryRow>> ReadHistory(const Catalog& catalog,
                                            const std::string& volume) {
  std::vector<HistoryRow> rows;
  Status decoded;
  RETURN_IF_ERROR(catalog.ForEachRow(
      kHistoryTable, [&](std::string_view key, std::string_view value) {
        Result<HistoryRow> row = Decode(key, value);
        if (!row.ok()) {
          decoded = row.status();
          return false;
        }
        if (volume.empty() || row->source == volume || row->target == volume) {
          rows.push_back(std::move(*row));
        }
        return true;
      }));
  RETURN_IF_ERROR(decoded);
  return rows;
}

}  // namespace vellum
