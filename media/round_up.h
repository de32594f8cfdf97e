// SPDX-License-Identifier: Apache-2.0
// Whole units: of a region, of what a device writes at once, of a ring.
#pragma once

#include <cstdint>

namespace vellum {

// The smallest multiple of `unit` that is not less than `value`.
// REQUIRES: unit > 0; the result fits.
constexpr uint64_t RoundUp(uint64_t value, uint64_t unit) {
  return (value + unit - 1) / unit * unit;
}

}  // namespace vellum
