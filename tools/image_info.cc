// SPDX-License-Identifier: Apache-2.0
#include "tools/image_info.h"

#include <memory>
#include <utility>

#include "fs/image_tree.h"
#include "fs/medium_info.h"
#include "fs/tables.h"
#include "media/virtual_library.h"

namespace vellum {

namespace {

// Most messages begin with the name of the medium, which is its path.
Status NamePath(const Status& status, const std::string& path) {
  if (status.error().message.starts_with(path + ":")) return status;
  return status.WithContext(path);
}

}  // namespace

Result<Json> ImageInfo(const std::string& path) {
  ASSIGN_OR_RETURN(const std::unique_ptr<Medium> medium,
                   OpenImageFile(path, /*read_only=*/true));
  Result<Json> info = DescribeMedium(*medium);
  if (!info.ok()) return NamePath(info.status(), path);
  return info;
}

Result<Json> FsckImage(const std::string& path,
                       const udf::FsckOptions& options) {
  ASSIGN_OR_RETURN(const UniqueFd lock, LockImage(path));
  ASSIGN_OR_RETURN(const std::unique_ptr<Medium> medium,
                   OpenImageFile(path, /*read_only=*/true));
  const Result<udf::FsckReport> report = udf::CheckVolume(*medium, options);
  if (!report.ok()) return NamePath(report.status(), path);
  return FsckJson(*report);
}

}  // namespace vellum
