// SPDX-License-Identifier: Apache-2.0
// Which SCSI devices make a library, and their part of library.toml.
#pragma once

#include <string>
#include <vector>

#include "media/config_table.h"
#include "media/error.h"
#include "media/types.h"

namespace vellum {

// A data transfer element whose device the operator names, because the changer
// does not tell which one it is or tells it wrongly.
struct ScsiDriveOption {
  ElementAddress element;
  std::string device;
  bool operator==(const ScsiDriveOption&) const = default;
};

// Whether a drive is told to eject its medium before the robot takes it.
enum class EjectRule : uint8_t {
  kAuto,  // once the changer has refused a move because it was not, and it
          // helped
  kAlways,
  kNever,
};
const char* EjectRuleName(EjectRule rule);  // "auto", "always", "never"

// `vellum init --changer`.
struct ScsiLibraryOptions {
  std::string changer;  // "/dev/sg3", or a link to it that keeps its name
  // Unit serial number that the changer must have; empty: any.
  std::string serial;
  std::vector<ScsiDriveOption> drives;  // each element and device once
  // Of every medium but cleaning ones, 1 or 2: no changer tells.
  uint8_t sides = 1;
  bool verify_writes = false;  // ScsiMedium
  EjectRule eject = EjectRule::kAuto;
  bool operator==(const ScsiLibraryOptions&) const = default;
};

// kInvalidArgument: a path that is not absolute, an element or a device that is
// named twice. No device is opened.
Status CheckScsiOptions(const ScsiLibraryOptions& options);

// The table [changer] and the tables [[drive]].
Status ReadScsiConfig(ConfigTable* root, ScsiLibraryOptions* options);

const char* ScsiConfigIntroduction();
// REQUIRES: CheckScsiOptions(options).ok()
std::string ScsiConfigText(const ScsiLibraryOptions& options);

}  // namespace vellum
