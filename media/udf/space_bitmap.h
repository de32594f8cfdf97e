// SPDX-License-Identifier: Apache-2.0
// Where the bits of the space bitmap lie in the sectors of its descriptor.
// Private to media/udf.
#pragma once

#include <cstdint>

#include "media/types.h"

namespace vellum::udf {

// Bytes of the descriptor before the bits: tag, number of bits, of bytes.
inline constexpr uint32_t kBitmapHeader = 24;

// The descriptor's sector that holds the bit of `block`.
inline constexpr uint32_t BitmapSectorOf(uint32_t block) {
  return (kBitmapHeader + block / 8) / kSectorSize;
}

// Copies the bits that sector `index` holds; true if that changes *to.
// REQUIRES: both are of one size.
bool CopyBitmapSector(const Bytes& from, uint32_t index, Bytes* to);

}  // namespace vellum::udf
