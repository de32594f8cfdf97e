// SPDX-License-Identifier: Apache-2.0
// Hostile images as a list of patches over a good one: an input stays small and
// its mutations hit structures instead of empty space.
//
// A patch, as it stands in an input:
//   u8   place: index into `interesting` (modulo its size); 255: a u16 sector
//        number (modulo the medium's size) follows
//   u8   flags: bits 0-4 length - 1; bit 5 seal; bit 6 the sector becomes a
//   copy
//        of another interesting one (its index follows) before the bytes go in;
//        bit 7 one byte follows and is repeated 8 * length times
//   u16  offset in the sector
//   then the bytes
// Sealed sectors get right checksums afterwards (tag, control slot, private
// descriptor, record header and record), so that the change gets past them.
#pragma once

#include <cstdint>
#include <functional>
#include <vector>

#include "media/types.h"
#include "tests/fuzz/input.h"
#include "tests/support/memory_medium.h"

namespace vellum::fuzz {

struct PatchPlaces {
  std::vector<uint64_t> interesting;     // sectors
  std::vector<SectorRange> directories;  // contents: lists of FIDs
  SectorRange ring;                      // of the journal; may be empty
};

// Applies at most 64 patches from `input`.
void ApplyPatches(Input* input, const PatchPlaces& places,
                  MemoryMedium* medium);

// One patch of an input, for seeds.
void AppendPatch(uint8_t place, bool seal, uint16_t offset, ConstByteSpan bytes,
                 Bytes* input);

// Makes the tags of all FIDs right, as far as their lengths lead.
void SealFids(ByteSpan content);
// Makes the checksums of one sector right, whatever it is.
void SealSector(ByteSpan sector);

}  // namespace vellum::fuzz
