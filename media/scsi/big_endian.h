// SPDX-License-Identifier: Apache-2.0
// Numbers in SCSI commands and data: big endian.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

namespace vellum::scsi {

// The `width` bytes at `offset` as a number; bytes outside count as zero, so
// that a short answer reads as one that says nothing.
inline uint64_t GetBig(std::span<const uint8_t> bytes, size_t offset,
                       size_t width) {
  uint64_t value = 0;
  for (size_t i = offset; i < offset + width; ++i) {
    value = value << 8 | (i < bytes.size() ? bytes[i] : 0);
  }
  return value;
}

inline void PutBig(std::vector<uint8_t>* out, uint64_t value, size_t width) {
  for (size_t i = width; i > 0; --i) {
    out->push_back(static_cast<uint8_t>(value >> (8 * (i - 1))));
  }
}

}  // namespace vellum::scsi
