// SPDX-License-Identifier: Apache-2.0
// library.toml: its text as `vellum init` writes it, and the bounds of what it
// may say. Reading it is ReadLibraryConfig (virtual_library.h).
#pragma once

#include <string>

#include "media/error.h"
#include "media/virtual_library.h"

namespace vellum {

std::string VirtualConfigPath(const std::string& directory);

// kInvalidArgument with the bound.
Status CheckGeometry(const VirtualLibraryOptions& geometry);

// REQUIRES: CheckGeometry(config.geometry).ok()
std::string LibraryConfigText(const LibraryConfig& config);

// Whole regions only: what an image of this capacity has as size.
uint64_t RoundCapacity(uint64_t bytes);

}  // namespace vellum
