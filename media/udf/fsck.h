// SPDX-License-Identifier: Apache-2.0
// Checks a whole volume: tags, CRCs, locations, parent FIDs, link counts,
// unique ids, double allocation, the bitmap, LVID counts, control slots,
// descriptors and their copies, and the rules that keep every reader happy
// (media/udf/FORMAT.md section 2).
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "media/error.h"
#include "media/medium.h"
#include "media/udf/control.h"

namespace vellum::udf {

struct FsckFinding {
  uint64_t sector = 0;  // absolute; 0 when it is about the whole volume
  std::string text;
};

struct FsckReport {
  ControlSlot slot;
  uint64_t files = 0, directories = 0, other = 0;
  uint64_t used_blocks = 0, free_blocks = 0;
  uint64_t extents = 0;
  bool replay_pending = false;  // the newest record is not (wholly) in place
  std::vector<FsckFinding> errors;  // at most 1000 are kept
  uint64_t error_count = 0;
  bool clean() const { return error_count == 0; }
};

struct FsckOptions {
  bool check_data = false;  // also read every sector of every file
};

// Writes nothing: a pending record is replayed in memory and said so. An error
// comes back only when the medium cannot be read at all or holds no volume;
// what is wrong on it is in the report.
Result<FsckReport> CheckVolume(Medium& medium, const FsckOptions& options);

}  // namespace vellum::udf
