// SPDX-License-Identifier: Apache-2.0
// What the daemon does with a volume that it has loaded, and a catalog to load
// it with: shared by the targets that load one.
#pragma once

#include "index/catalog.h"
#include "index/volume.h"
#include "media/types.h"

namespace vellum::fuzz {

// A catalog and a volume index that no input had before. A catalog serves many:
// making one takes longer than an input does, but what was deleted in it makes
// its look-ups slow.
struct Place {
  Catalog* catalog = nullptr;
  VolumeIndex index = 0;
};
Place NewPlace();

// Reads all of an attached volume, does an operation for each byte, syncs and
// detaches it. All errors must be such that hostile bytes may cause.
void UseVolume(Volume* volume, ConstByteSpan operations);

}  // namespace vellum::fuzz
