// SPDX-License-Identifier: Apache-2.0
// The geometry of a virtual library, and its part of library.toml.
#pragma once

#include <cstdint>
#include <string>

#include "media/config_table.h"
#include "media/error.h"
#include "media/timing_model.h"

namespace vellum {

// `vellum init`.
struct VirtualLibraryOptions {
  uint16_t slots = 12;         // storage elements, from address 1024
  uint16_t drives = 2;         // data transfer elements, from 256
  uint16_t import_export = 1;  // from 768; the transport is 1
  uint16_t media = 8;          // tags V00001, V00002, … in slots 1024, …
  uint64_t capacity = 25'000'000'000;  // bytes per medium, rounded down to
                                       // whole regions; at least 8 MiB
  // Bytes of what the drives may destroy when power goes while they write one
  // sector (MediumInfo::atomic_sectors): 2048 to 65536, a power of two.
  uint32_t atomic_unit = 2048;
  TimingOptions timing;  // off
  bool operator==(const VirtualLibraryOptions&) const = default;
};

// kInvalidArgument with the bound.
Status CheckGeometry(const VirtualLibraryOptions& geometry);

// Whole regions only: what an image of this capacity has as size.
uint64_t RoundCapacity(uint64_t bytes);

// The tables [geometry] and [timing].
Status ReadVirtualConfig(ConfigTable* root, VirtualLibraryOptions* geometry);

const char* VirtualConfigIntroduction();
// REQUIRES: CheckGeometry(geometry).ok()
std::string VirtualConfigText(const VirtualLibraryOptions& geometry);

}  // namespace vellum
