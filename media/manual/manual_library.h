// SPDX-License-Identifier: Apache-2.0
// A manual library: no robot, but docks, shelf places and an operator.
#pragma once

#include <string>

#include "media/error.h"
#include "media/library_config.h"
#include "media/library_devices.h"

namespace vellum {

// Makes the directory of the library, with media V00001, V00002, … on the first
// shelf places; nothing is known of what is on them. Errors as
// CheckManualOptions and InitLibraryDirectory.
Status InitManualLibrary(const std::string& directory,
                         const ManualLibraryOptions& options);

// The operator as changer, and the docks as drives. REQUIRES: config.devices
// holds ManualLibraryOptions.
Result<LibraryDevices> OpenManualLibrary(const LibraryConfig& config);

}  // namespace vellum
