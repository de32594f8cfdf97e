// SPDX-License-Identifier: Apache-2.0
// What an image file says about itself, without any library or catalog.
#pragma once

#include <string>

#include "media/error.h"
#include "media/udf/fsck.h"
#include "tools/client.h"

namespace vellum {

// Identity, role, owner, generation, geometry and the control log of the volume
// in the image file at `path`; the file is only read. Errors as OpenImageFile,
// udf::ReadDescription and udf::ReadControlSlot, with the path.
Result<Json> ImageInfo(const std::string& path);

// What ImageInfo or `backup-info` answered, for a person: a line for each key
// and for each entry of the control log.
std::string MediumInfoText(const Json& info);

// Checks the volume in the image file: the report as `fsck VOL` answers it.
Result<Json> FsckImage(const std::string& path,
                       const udf::FsckOptions& options);

}  // namespace vellum
