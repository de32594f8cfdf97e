// SPDX-License-Identifier: Apache-2.0
#include "copy/history.h"

#include <fmt/format.h>

#include <nlohmann/json.hpp>
#include <utility>

#include "copy/job_store.h"

namespace vellum {
namespace {

constexpr std::string_view kHistoryTable = "history";

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

}  // namespace

void PutHistory(const JobRecord& job, CatalogBatch* batch) {
  const nlohmann::json json = {{"job", job.id},
                               {"source", job.request.source},
                               {"target", job.target_volume},
                               {"target_medium", job.target_medium},
                               {"mode", CopyModeName(job.request.mode)},
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
