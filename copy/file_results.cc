// SPDX-License-Identifier: Apache-2.0
#include "copy/file_results.h"

#include <fmt/format.h>

#include <nlohmann/json.hpp>
#include <vector>

#include "copy/job_store.h"

namespace vellum {
namespace {

constexpr size_t kDeletedAtOnce = 10'000;

// A table for each job: its rows are found without those of others.
std::string TableOf(JobId job) { return "files-" + JobKey(job); }

// Paths are bytes; JSON texts are not. The key has the path as it is.
Result<FileResult> ParseResult(JobId job, std::string_view key,
                               std::string_view value) {
  try {
    const nlohmann::json j = nlohmann::json::parse(value);
    FileResult result;
    result.path = std::string(key);
    result.directory = j.at("directory");
    result.result = j.at("result");
    result.error = static_cast<Errc>(j.at("error").get<int>());
    result.message = j.at("message");
    result.bytes = j.at("bytes");
    result.copied = j.at("copied");
    result.unchanged = j.at("unchanged");
    result.not_selected = j.at("not_selected");
    result.failed = j.at("failed");
    return result;
  } catch (const std::exception& e) {
    return Error{Errc::kCorruption,
                 fmt::format("result {} of job {}: {}", key, job, e.what())};
  }
}

}  // namespace

void PutFileResult(JobId job, const FileResult& result, CatalogBatch* batch) {
  const nlohmann::json json = {{"directory", result.directory},
                               {"result", result.result},
                               {"error", static_cast<int>(result.error)},
                               {"message", result.message},
                               {"bytes", result.bytes},
                               {"copied", result.copied},
                               {"unchanged", result.unchanged},
                               {"not_selected", result.not_selected},
                               {"failed", result.failed}};
  batch->PutRow(
      TableOf(job), result.path,
      json.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace));
}

Status ForEachFileResult(const Catalog& catalog, JobId job,
                         const std::function<bool(const FileResult&)>& visit) {
  Status parsed;
  RETURN_IF_ERROR(catalog.ForEachRow(
      TableOf(job), [&](std::string_view key, std::string_view value) {
        const Result<FileResult> result = ParseResult(job, key, value);
        if (!result.ok()) {
          parsed = result.status();
          return false;
        }
        return visit(*result);
      }));
  return parsed;
}

Result<FileResult> GetFileResult(const Catalog& catalog, JobId job,
                                 const std::string& path) {
  ASSIGN_OR_RETURN(const std::string row, catalog.GetRow(TableOf(job), path));
  return ParseResult(job, path, row);
}

Status DeleteFileResults(Catalog* catalog, JobId job) {
  for (;;) {
    std::vector<std::string> keys;
    RETURN_IF_ERROR(catalog->ForEachRow(
        TableOf(job), [&keys](std::string_view key, std::string_view) {
          keys.emplace_back(key);
          return keys.size() < kDeletedAtOnce;
        }));
    if (keys.empty()) return Status::Ok();
    CatalogBatch batch;
    for (const std::string& key : keys) batch.DeleteRow(TableOf(job), key);
    RETURN_IF_ERROR(catalog->Write(batch, Sync::kNo));
  }
}

}  // namespace vellum
