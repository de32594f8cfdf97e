// SPDX-License-Identifier: Apache-2.0
// A library of SCSI devices: a changer and drives behind /dev/sgN.
#pragma once

#include <string>

#include "media/error.h"
#include "media/library_config.h"
#include "media/library_devices.h"

namespace vellum {

// Makes the directory of the library; no device is touched. Errors as
// CheckScsiOptions and InitLibraryDirectory.
Status InitScsiLibrary(const std::string& directory,
                       const ScsiLibraryOptions& options);

// The changer and its drives. REQUIRES: config.devices holds
// ScsiLibraryOptions.
Result<LibraryDevices> OpenScsiLibrary(const LibraryConfig& config);

}  // namespace vellum
