// SPDX-License-Identifier: Apache-2.0
// The docks and the shelf of a manual library, and their part of library.toml.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "media/config_table.h"
#include "media/error.h"

namespace vellum {

// `vellum init --manual`.
struct ManualLibraryOptions {
  // Absolute paths (media/manual/dock.h), element addresses from 256.
  std::vector<std::string> docks;
  uint16_t slots = 12;  // shelf places, from 1024
  uint16_t media = 8;   // tags V00001, V00002, … on places 1024, …
  // What a drive may destroy when it loses power while it writes one sector,
  // in bytes: 2048 to 65536, a power of two.
  uint32_t atomic_unit = 2048;
  bool operator==(const ManualLibraryOptions&) const = default;
};

// kInvalidArgument: no dock, a path that is not absolute or given twice, a
// number out of bounds. Nothing is opened.
Status CheckManualOptions(const ManualLibraryOptions& options);

// The table [shelf] and the tables [[dock]].
Status ReadManualConfig(ConfigTable* root, ManualLibraryOptions* options);

const char* ManualConfigIntroduction();
// REQUIRES: CheckManualOptions(options).ok()
std::string ManualConfigText(const ManualLibraryOptions& options);

}  // namespace vellum
