// SPDX-License-Identifier: Apache-2.0
// The good volume that hostile images are made from: 8 MiB, formatted, with a
// small tree that a Volume built, broken off between a commit and its S4, so
// that a record waits for replay.
#pragma once

#include <memory>

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

// Made once, then shared; aborts the process when it cannot be made.
const BaseVolume& Base();

}  // namespace vellum::fuzz
