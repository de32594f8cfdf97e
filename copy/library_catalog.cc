// SPDX-License-Identifier: Apache-2.0
#include "copy/library_catalog.h"

#include <fmt/format.h>
#include <spdlog/spdlog.h>

#include <cstdint>
#include <string_view>
#include <utility>
#include <vector>

#include "copy/freed_media.h"
#include "copy/inventory_progress.h"
#include "copy/job_control.h"
#include "copy/job_store.h"
#include "copy/verified.h"
#include "index/catalog_salvage.h"

namespace vellum {
namespace {

constexpr std::string_view kSalvageTable = "salvage";  // one row: the text
constexpr std::string_view kSalvageKey = "text";

std::string SalvageText(const Error& reason, const CatalogSalvage& salvage) {
  std::string text = fmt::format(
      "the catalog could not be read and was made anew; the damaged one is "
      "kept as {}. Taken over: {} volumes and {} other records, perhaps not "
      "the "
      "newest{}{}. Jobs that had not ended are failed. The trees are read from "
      "the media as they are loaded, and the next copies are full ones: "
      "`vellum "
      "reindex --reset` reads all media now. What was wrong: {}",
      salvage.kept, salvage.volumes, salvage.rows,
      salvage.unread.empty() ? "" : "; not read: ", salvage.unread,
      reason.message);
  return text;
}

// Every job that has not ended has failed.
Status FailOpenJobs(Catalog* catalog) {
  JobStore store(catalog);
  ASSIGN_OR_RETURN(const std::vector<JobRecord> jobs, store.Load(SIZE_MAX));
  for (const JobRecord& record : jobs) {
    if (JobEnded(record.state)) continue;
    JobControl job(record);
    job.Update([](JobRecord* failed) {
      failed->state = JobState::kFailed;
      failed->error = Errc::kAborted;
      failed->message =
          "the catalog was damaged while the job waited or ran, what it had "
          "done is not known: give the command again";
      failed->ended = failed->state_since = Now();
    });
    RETURN_IF_ERROR(store.Save(job));
  }
  return Status::Ok();
}

// Rows may be older than what was written last, and deleted ones back.
Status Disarm(Catalog* catalog) {
  RETURN_IF_ERROR(FailOpenJobs(catalog));
  RETURN_IF_ERROR(ForgetVerified(catalog));
  RETURN_IF_ERROR(ForgetFreedMedia(catalog));
  return EndInventory(catalog);
}

// Also what the start needs and what only shows when it is read.
Result<std::unique_ptr<Catalog>> OpenReadable(const std::string& path,
                                              const Catalog::Options& options) {
  ASSIGN_OR_RETURN(std::unique_ptr<Catalog> catalog,
                   Catalog::Open(path, options));
  RETURN_IF_ERROR(catalog->Volumes().status());
  return catalog;
}

}  // namespace

Result<std::unique_ptr<Catalog>> OpenLibraryCatalog(
    const std::string& path, const Catalog::Options& options) {
  RETURN_IF_ERROR(FinishSalvage(path));
  Result<std::unique_ptr<Catalog>> catalog = OpenReadable(path, options);
  if (!catalog.ok() && catalog.error().code == Errc::kDeviceError) {
    return Error{
        Errc::kDeviceError,
        catalog.error().message +
            "; its disk has reported that (see the system's log): start again "
            "when it is in order. Where the catalog cannot be had back, delete "
            "it: `vellum inventory` makes it again from the media"};
  }
  if (catalog.ok() || catalog.error().code != Errc::kCorruption) {
    return catalog;
  }
  const Error reason = catalog.error();
  spdlog::error("{}: what can be read of it is taken over", reason.message);
  std::string text;
  const auto prepare = [&](Catalog* made, const CatalogSalvage& salvage) {
    RETURN_IF_ERROR(Disarm(made));
    text = SalvageText(reason, salvage);
    CatalogBatch batch;
    batch.PutRow(kSalvageTable, kSalvageKey, text);
    return made->Write(batch, Sync::kYes);
  };
  const Result<CatalogSalvage> salvage = SalvageCatalog(path, options, prepare);
  if (!salvage.ok()) {
    Error error = salvage.error();
    error.message =
        fmt::format("{}; it is as it was, and making it anew failed: {}",
                    reason.message, error.message);
    return error;
  }
  spdlog::error("catalog {}: {}", path, text);
  return Catalog::Open(path, options);
}

Result<std::optional<std::string>> SalvageNote(const Catalog& catalog) {
  Result<std::string> row = catalog.GetRow(kSalvageTable, kSalvageKey);
  if (row.ok()) return std::optional<std::string>(std::move(*row));
  if (row.error().code == Errc::kNotFound) return std::optional<std::string>();
  return row.error();
}

Status ForgetSalvage(Catalog* catalog) {
  ASSIGN_OR_RETURN(const std::optional<std::string> note,
                   SalvageNote(*catalog));
  if (!note) return Status::Ok();
  CatalogBatch batch;
  batch.DeleteRow(kSalvageTable, kSalvageKey);
  return catalog->Write(batch, Sync::kYes);
}

}  // namespace vellum
