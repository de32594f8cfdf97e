// SPDX-License-Identifier: Apache-2.0
// What Library hands out with a lease: the medium of a drive, and an eye on it.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>

#include "media/forwarding_medium.h"

namespace vellum {

// Forwards every method. An error that says that the medium (kNoMedium) or the
// drive (kOffline) is gone is told to `lost`, and reaches the caller as
// kNoMedium. Ownership: owns the medium. Thread-safety: as Medium; `lost` may
// be called by any thread that uses it, several times; it must not block.
class LeasedMedium : public ForwardingMedium {
 public:
  using Lost = std::function<void(const Error&)>;
  LeasedMedium(std::unique_ptr<Medium> base, Lost lost)
      : ForwardingMedium(std::move(base)), lost_(std::move(lost)) {}

  Status Read(uint64_t lba, ByteSpan out) override;
  Status Flush() override;
  Status Discard(uint64_t lba, uint64_t count) override;
  Status Finalize() override;
  Result<SectorRange> NextAllocated(SectorRange from) override;

 private:
  Status WriteBy(Writer write, uint64_t lba, ConstByteSpan data) override;
  Status Seen(Status status) const;

  const Lost lost_;
};

}  // namespace vellum
