// SPDX-License-Identifier: Apache-2.0
// An empty volume of the smallest size with records in its ring, and one with a
// record that lies in free blocks: what the journal target's inputs patch.
#pragma once

#include <memory>
#include <string>

#include "media/udf/layout.h"
#include "tests/fuzz/patches.h"
#include "tests/support/memory_medium.h"

namespace vellum::fuzz {

struct RingVolume {
  std::unique_ptr<MemoryMedium> in_ring;
  std::unique_ptr<MemoryMedium> spilled;
  udf::Geometry geometry;
  PatchPlaces places;
};

// Aborts the process when it cannot be made, and its media do when they are
// asked outside of themselves.
RingVolume MakeRingVolume(const std::string& volume_id);

}  // namespace vellum::fuzz
