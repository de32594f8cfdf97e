// SPDX-License-Identifier: Apache-2.0
// A library of SCSI devices: a changer and drives behind /dev/sgN.
#pragma once

#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "media/error.h"
#include "media/library_config.h"
#include "media/library_devices.h"
#include "media/scsi/device.h"

namespace vellum {

// Makes the directory of the library; no device is touched. Errors as
// CheckScsiOptions and InitLibraryDirectory.
Status InitScsiLibrary(const std::string& directory,
                       const ScsiLibraryOptions& options);

// A changer and the devices of its drives as the devices of a library: the
// drives know the volume tag of what is moved into them.
LibraryDevices JoinScsiDevices(
    std::unique_ptr<Changer> changer,
    std::vector<std::pair<ElementAddress, std::shared_ptr<scsi::Device>>>
        drives);

// The changer and its drives. REQUIRES: config.devices holds
// ScsiLibraryOptions.
Result<LibraryDevices> OpenScsiLibrary(const LibraryConfig& config);

}  // namespace vellum
