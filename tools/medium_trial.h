// SPDX-License-Identifier: Apache-2.0
// Trial reads and writes of one medium, with their times.
#pragma once

#include <cstdint>

#include "media/error.h"
#include "media/medium.h"

namespace vellum {

struct TrialTimes {
  uint64_t bytes = 0;
  double write_seconds = 0;  // until the flush was done
  double read_seconds = 0;
  double Rate(double seconds) const {  // bytes per second
    return seconds > 0 ? static_cast<double>(bytes) / seconds : 0;
  }
};

// Reads `bytes` (at most the medium) from its begin, and its last sector.
Result<TrialTimes> TryReading(Medium& medium, uint64_t bytes);

// Writes a pattern that differs in every sector over `bytes` at the begin of
// the medium and over its last region, flushes, reads it back from the medium
// and compares, then writes zeros there. kCorruption names the first sector
// that is not what was written. REQUIRES: the content may be destroyed.
Result<TrialTimes> TryWritingPattern(Medium& medium, uint64_t bytes,
                                     uint64_t seed);

}  // namespace vellum
