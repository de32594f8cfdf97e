// SPDX-License-Identifier: Apache-2.0
// The SCSI devices that a test program is run on, as the environment names
// them:
//
//   VELLUM_SCSI_CHANGER     the changer
//   VELLUM_SCSI_DRIVES      its drives: 256=NAME,257=NAME
//   VELLUM_SCSI_MEDIA       where the target keeps each medium, as a file that
//                           is named by its volume tag
//   VELLUM_SCSI_TARGET_PID  the process of the target
//
// A name is a device file (/dev/sg0) or iscsi://… (iscsi_transport.h). The last
// two are set only where target and test share a machine (jukebox.py).
#pragma once

#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "media/error.h"
#include "media/scsi/device.h"
#include "media/types.h"

namespace vellum {

struct ScsiNames {
  std::string changer;
  std::vector<std::pair<ElementAddress, std::string>> drives;
};

// Aborts with the name of the variable that is missing.
ScsiNames NamedDevices();
std::string NamedByEnvironment(const char* variable);

Result<std::unique_ptr<scsi::Transport>> OpenTransport(const std::string& name);

// MOVE MEDIUM as a plain command, without a Changer.
Status MoveByCommand(scsi::Device& changer, ElementAddress from,
                     ElementAddress to);

// Where a medium is: READ ELEMENT STATUS of elements of one type, as a plain
// command; (address, volume tag), the tag empty for an empty element.
std::vector<std::pair<ElementAddress, VolumeTag>> ReadByCommand(
    scsi::Device& changer, ElementType type);

// The medium with the first volume tag (never a blank one, see jukebox.py) and
// the storage element that it is in.
std::pair<ElementAddress, VolumeTag> FirstMedium(scsi::Device& changer);

// Allows removal in all drives and takes every medium out of drives and
// import/export slots.
void PutEverythingAway();

}  // namespace vellum
