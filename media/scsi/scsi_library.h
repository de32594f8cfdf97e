// SPDX-License-Identifier: Apache-2.0
// A library of SCSI devices: a changer and drives behind /dev/sgN.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "media/error.h"
#include "media/library_config.h"
#include "media/library_devices.h"
#include "media/scsi/device.h"
#include "media/scsi/drive_map.h"
#include "media/scsi/scsi_changer.h"
#include "media/scsi/transport.h"

namespace vellum {

// Where devices are looked for and how they are opened.
struct ScsiSystem {
  // The generic devices that there are, in the order of their numbers.
  std::function<std::vector<std::string>()> list;
  std::function<Result<std::unique_ptr<scsi::Transport>>(const std::string&)>
      open;
};
// /dev/sg*.
ScsiSystem HostScsiSystem();

// Makes the directory of the library; no device is touched. Errors as
// CheckScsiOptions and InitLibraryDirectory.
Status InitScsiLibrary(const std::string& directory,
                       const ScsiLibraryOptions& options);

using ScsiDriveDevices =
    std::vector<std::pair<ElementAddress, std::shared_ptr<scsi::Device>>>;

// A changer and the devices of its drives as the devices of a library: the
// drives know the volume tag of what is moved into them.
LibraryDevices JoinScsiDevices(std::unique_ptr<Changer> changer,
                               ScsiDriveDevices drives,
                               bool verify_writes = false);

// What is found of a library, with what is missing.
struct ScsiParts {
  std::unique_ptr<scsi::ScsiChanger> changer;
  ScsiDriveDevices drives;
  // Every data transfer element; those with a problem have no drive.
  std::vector<scsi::DriveMatch> matches;
  // The changer's.
  std::shared_ptr<scsi::Ejector> ejector;
};
// Opens the changer and looks for the device of each of its drives. Errors name
// the changer: it cannot be opened, is none (kInvalidArgument), has another
// serial number than it must (kIncompatible).
Result<ScsiParts> FindScsiParts(const ScsiLibraryOptions& options,
                                const ScsiSystem& system);

// The changer and its drives. A drive element without a device is left out and
// logged; kNotFound, naming each, when none has one. kInvalidArgument: the pool
// range is none of the changer's. REQUIRES: config.devices holds
// ScsiLibraryOptions.
Result<LibraryDevices> OpenScsiLibrary(
    const LibraryConfig& config, const ScsiSystem& system = HostScsiSystem());

}  // namespace vellum
