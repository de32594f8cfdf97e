// SPDX-License-Identifier: Apache-2.0
// Sectors one after the other over a list of ranges, with large transfers.
// Private to media/udf.
#pragma once

#include <cstdint>
#include <vector>

#include "media/error.h"
#include "media/medium.h"
#include "media/udf/codec.h"

namespace vellum::udf {

// Largest transfer, in sectors: 1 MiB.
inline constexpr uint64_t kTransferSectors = 512;

class SectorWriter {
 public:
  SectorWriter(Medium* medium, std::vector<SectorRange> ranges)
      : medium_(medium), ranges_(std::move(ranges)) {}

  // REQUIRES: the ranges have room.
  Status Append(ConstByteSpan sector);
  // Writes what is still in memory.
  Status Finish();

 private:
  Medium* const medium_;
  const std::vector<SectorRange> ranges_;
  size_t range_ = 0;     // of the next sector
  uint64_t offset_ = 0;  // in that range
  uint64_t start_ = 0;   // where buffer_ goes
  Bytes buffer_;
};

class SectorReader {
 public:
  // Reads `sectors` in all. REQUIRES: the ranges have as many.
  SectorReader(Medium* medium, std::vector<SectorRange> ranges,
               uint64_t sectors)
      : medium_(medium), ranges_(std::move(ranges)), left_(sectors) {}

  // REQUIRES: not more often than `sectors`.
  Status Next(Sector* out);

 private:
  Medium* const medium_;
  const std::vector<SectorRange> ranges_;
  uint64_t left_;
  size_t range_ = 0;
  uint64_t offset_ = 0;
  size_t at_ = 0;  // bytes of buffer_ that were handed out
  Bytes buffer_;
};

}  // namespace vellum::udf
