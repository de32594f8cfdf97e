// SPDX-License-Identifier: Apache-2.0
// library.toml: what kind of library a directory holds, its devices, and the
// policies that all kinds share. vellum init writes it; the operator may edit
// it while no daemon runs.
//
// A further kind of library is: its options, a reader and a writer of its own
// tables, an alternative of LibraryConfig::devices, a row of the table in
// library_config.cc and a branch in OpenLibraryDevices.
#pragma once

#include <cstdint>
#include <string>
#include <variant>

#include "media/element.h"
#include "media/error.h"
#include "media/hook_commands.h"
#include "media/manual/manual_config.h"
#include "media/scsi/scsi_config.h"
#include "media/virtual_config.h"

namespace vellum {

// What library.toml says. Paths are absolute.
struct LibraryConfig {
  std::string directory;
  uint32_t lib_num = 0;
  // Which alternative it is, is the kind of the library.
  std::variant<VirtualLibraryOptions, ScsiLibraryOptions, ManualLibraryOptions>
      devices;
  uint64_t spool_limit = 0;  // bytes of staging space; 0 = what is free
  uint64_t overlay_limit = 1ull << 30;  // bytes a snapshot may keep
  uint32_t checkpoint_interval_ms = 5000;
  uint16_t copy_start = 0;  // pool range; 0,0 = every storage element
  uint16_t copy_end = 0;
  uint32_t generations = 1;    // complete backups of a volume that are kept
  uint32_t tracked_pairs = 0;  // of primary and backup; 0 = no limit
  uint32_t simultaneous_copies = 2;  // jobs at once
  HookCommands hooks;
};

// "virtual", "scsi", "manual".
std::string LibraryKindName(const LibraryConfig& config);

std::string LibraryConfigPath(const std::string& directory);

// Reads and checks library.toml: errors carry file and line. kNotFound when
// `directory` is no library.
Result<LibraryConfig> ReadLibraryConfig(const std::string& directory);

// The text as vellum init writes it, with a comment on every key.
// REQUIRES: the values are in bounds.
std::string LibraryConfigText(const LibraryConfig& config);

// What is wrong with the pool range for a library of these elements; empty:
// nothing. The first word is the key: "copy_start: 500 is no slot: …".
std::string CopyRangeProblem(const LibraryConfig& config,
                             const ElementMap& map);

}  // namespace vellum
