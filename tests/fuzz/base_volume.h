// SPDX-License-Identifier: Apache-2.0
// The good volume that hostile images are made from: formatted, with a small
// tree that a Volume built, broken off between a commit and its S4, so that a
// record waits for replay.
#pragma once

#include <cstdint>
#include <memory>
#include <string>

#include "index/catalog.h"
#include "index/records.h"
#include "tests/fuzz/patches.h"
#include "tests/support/memory_medium.h"

namespace vellum::fuzz {

struct BaseVolume {
  std::unique_ptr<MemoryMedium> clean;    // unloaded cleanly
  std::unique_ptr<MemoryMedium> pending;  // a record is not in place
  std::unique_ptr<MemoryMedium> backup;   // `clean` with the slot of a backup
  udf::Geometry geometry;
  PatchPlaces places;
};

// Sectors of a volume that hold structures, in a fixed order: inputs name them
// by index. Aborts the process when it cannot be read.
PatchPlaces FindPlaces(MemoryMedium* medium, const udf::Geometry& g);

// Aborts the process when it cannot be made. Accesses outside of its media do,
// too (MemoryMedium::AbortOutside).
BaseVolume MakeBase(const std::string& volume_id, uint64_t sectors);

// Made once, then shared: of the smallest size, and one that stays larger than
// that with its end cut off.
const BaseVolume& Base();
const BaseVolume& LargerBase();

// What is left of a medium of LargerBase() when its end is cut off.
std::unique_ptr<MemoryMedium> CutOff(const MemoryMedium& larger,
                                     uint16_t sectors);

}  // namespace vellum::fuzz
