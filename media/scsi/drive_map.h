// SPDX-License-Identifier: Apache-2.0
// Which device is which data transfer element.
#pragma once

#include <string>
#include <vector>

#include "media/scsi/device.h"
#include "media/scsi/scsi_changer.h"
#include "media/scsi/scsi_config.h"
#include "media/types.h"

namespace vellum::scsi {

// A device of the system that may be a drive of the library.
struct DriveCandidate {
  std::string device;
  Inquiry inquiry;
};

struct DriveMatch {
  ElementAddress element;
  std::string device;   // empty: none
  std::string reason;   // how it was found
  std::string problem;  // why there is none; names the element
};

// One match per element, in their order. What the operator named counts;
// otherwise the one candidate that has the serial number that the changer
// tells. Nothing is guessed. Pure.
std::vector<DriveMatch> MatchDrives(
    const std::vector<DriveElement>& elements,
    const std::vector<DriveCandidate>& candidates,
    const std::vector<ScsiDriveOption>& named);

}  // namespace vellum::scsi
