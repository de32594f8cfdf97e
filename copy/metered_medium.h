// SPDX-License-Identifier: Apache-2.0
// A medium whose reads and writes are counted, and can be given up.
#pragma once

#include <algorithm>
#include <cstdint>
#include <stop_token>
#include <utility>

#include "copy/work_meter.h"
#include "media/borrowed_medium.h"

namespace vellum {

// Forwards every method; counts the bytes that were read, written or discarded,
// the latter piece by piece: a drive may take hours to write zeros. Once
// `stop` is requested reads answer kInterrupted, so that a long check ends
// soon: who reads must ask `stop` before he believes what he has found. Writes
// go on. Ownership: owns neither `base` nor `meter` (null: nobody counts).
class MeteredMedium : public BorrowedMedium {
 public:
  MeteredMedium(Medium* base, WorkMeter* meter, std::stop_token stop = {})
      : BorrowedMedium(base), meter_(meter), stop_(std::move(stop)) {}

  Status Read(uint64_t lba, ByteSpan out) override {
    if (stop_.stop_requested()) {
      return Status(Errc::kInterrupted, Info().name + ": given up");
    }
    const Status status = BorrowedMedium::Read(lba, out);
    if (meter_ != nullptr) meter_->Add(out.size());
    return status;
  }
  Status Discard(uint64_t lba, uint64_t count) override {
    while (count > 0) {
      const uint64_t piece = std::min(count, kDiscardPiece);
      RETURN_IF_ERROR(BorrowedMedium::Discard(lba, piece));
      if (meter_ != nullptr) meter_->Add(piece * kSectorSize);
      lba += piece;
      count -= piece;
    }
    return Status::Ok();
  }

 private:
  Status WriteBy(Writer write, uint64_t lba, ConstByteSpan data) override {
    const Status status = BorrowedMedium::WriteBy(write, lba, data);
    if (meter_ != nullptr) meter_->Add(data.size());
    return status;
  }

  static constexpr uint64_t kDiscardPiece = (64ull << 20) / kSectorSize;

  WorkMeter* const meter_;
  const std::stop_token stop_;
};

}  // namespace vellum
