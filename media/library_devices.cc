// SPDX-License-Identifier: Apache-2.0
#include "media/library_devices.h"

#include <variant>

#include "media/manual/manual_library.h"
#include "media/scsi/scsi_library.h"
#include "media/virtual_library.h"

namespace vellum {

Result<LibraryDevices> OpenLibraryDevices(const LibraryConfig& config) {
  if (std::holds_alternative<ScsiLibraryOptions>(config.devices)) {
    return OpenScsiLibrary(config);
  }
  if (std::holds_alternative<ManualLibraryOptions>(config.devices)) {
    return OpenManualLibrary(config);
  }
  return OpenVirtualLibrary(config);
}

}  // namespace vellum
