// SPDX-License-Identifier: Apache-2.0
// What became of each file and directory of a copy by file: rows of the
// catalog, as long as the job is known. Files that the target had already are
// only counted, in the row of their directory.
//
// Thread-safety: functions; the catalog's rules.
#pragma once

#include <cstdint>
#include <functional>
#include <string>

#include "copy/job.h"
#include "index/catalog.h"
#include "media/error.h"

namespace vellum {

struct FileResult {
  std::string path;  // on the target
  bool directory = false;
  // Files: "copied", "linked", "failed". Directories: "made", "updated",
  // "unchanged", "failed" (something in it is).
  std::string result;
  Errc error = Errc::kInternal;  // failed
  std::string message;           // failed: why
  uint64_t bytes = 0;            // files: that were copied
  // Directories: the files right in it.
  uint64_t copied = 0, unchanged = 0, not_selected = 0, failed = 0;
};

void PutFileResult(JobId job, const FileResult& result, CatalogBatch* batch);
// In the order of their paths, until `visit` answers false.
Status ForEachFileResult(const Catalog& catalog, JobId job,
                         const std::function<bool(const FileResult&)>& visit);
// kNotFound: the job has not come to it.
Result<FileResult> GetFileResult(const Catalog& catalog, JobId job,
                                 const std::string& path);
Status DeleteFileResults(Catalog* catalog, JobId job);

}  // namespace vellum
