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

struct LibraryDevices {
  std::unique_ptr<Changer> changer;
  std::vector<std::unique_ptr<Drive>> drives;
};

// Opens them as library.toml says. Errors are those of the kind
// (OpenVirtualLibrary, OpenScsiLibrary). Moves nothing.
Result<LibraryDevices> OpenLibraryDevices(const LibraryConfig& config);

}  // namespace vellum
