// SPDX-License-Identifier: Apache-2.0
#include "tools/image_info.h"

#include <memory>
#include <utility>

#include "fs/image_tree.h"
#include "fs/medium_info.h"
#include "fs/tables.h"
#include "media/virtual_library.h"

namespace vellum {

Result<Json> ImageInfo(const std::string& path) {
  ASSIGN_OR_RETURN(const std::unique_ptr<Medium> medium,
                   OpenImageFile(path, /*read_only=*/true));
  Result<Json> info = DescribeMedium(*medium);
  if (!info.ok()) return info.status().WithContext(path);
  return info;
}

Result<Json> FsckImage(const std::string& path,
                       const udf::FsckOptions& options) {
  ASSIGN_OR_RETURN(const UniqueFd lock, LockImage(path));
  ASSIGN_OR_RETURN(const std::unique_ptr<Medium> medium,
                   OpenImageFile(path, /*read_only=*/true));
  const Result<udf::FsckReport> report = udf::CheckVolume(*medium, options);
  if (!report.ok()) return report.status().WithContext(path);
  return FsckJson(*report);
}

}  // namespace vellum
