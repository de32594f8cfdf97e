// SPDX-License-Identifier: Apache-2.0
// The devices of a library, whatever its kind.
#pragma once

#include <memory>
#include <vector>

#include "media/changer.h"
#include "media/drive.h"
#include "media/error.h"
#include "media/library_config.h"

namespace vellum {

class ChangerControls;
class ManualState;
class VirtualControls;

struct LibraryDevices {
  std::unique_ptr<Changer> changer;
  std::vector<std::unique_ptr<Drive>> drives;
  // What the operator of a manual library is asked for; else null.
  std::shared_ptr<ManualState> manual;
  // What `changer` can be told beside moves; null: nothing.
  std::shared_ptr<ChangerControls> changer_controls;
  // The door and the faults of a virtual library; else null.
  std::shared_ptr<VirtualControls> virtual_controls;
};

// Opens them as library.toml says. Errors are those of the kind
// (OpenVirtualLibrary, OpenScsiLibrary, OpenManualLibrary). Moves nothing.
Result<LibraryDevices> OpenLibraryDevices(const LibraryConfig& config);

}  // namespace vellum
