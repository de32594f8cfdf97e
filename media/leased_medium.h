// SPDX-License-Identifier: Apache-2.0
// What Library hands out with a lease: the medium of a drive, and an eye on it.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>

#include "media/medium.h"

namespace vellum {

// Forwards every method. An error that says that the medium (kNoMedium) or the
// drive (kOffline) is gone is told to `lost`, and reaches the caller as
// kNoMedium. Ownership: owns the medium. Thread-safety: as Medium; `lost` may
// be called by any thread that uses it, several times; it must not block.
class LeasedMedium : public Medium {
 public:
  using Lost = std::function<void(const Error&)>;
  LeasedMedium(std::unique_ptr<Medium> base, Lost lost)
      : base_(std::move(base)), lost_(std::move(lost)) {}

  MediumInfo Info() const override { return base_->Info(); }
  Status Read(uint64_t lba, ByteSpan out) override;
  Status Write(uint64_t lba, ConstByteSpan data) override;
  Status WriteStream(uint64_t lba, ConstByteSpan data) override;
  Status Flush() override;
  Status Discard(uint64_t lba, uint64_t count) override;
  Status Finalize() override;
  Result<SectorRange> NextAllocated(SectorRange from) override;
  void DropReadCache(uint64_t lba, uint64_t count) override {
    base_->DropReadCache(lba, count);
  }
  uint64_t HostFreeBytes() const override { return base_->HostFreeBytes(); }
  int DirectFd() const override { return base_->DirectFd(); }

 private:
  Status Seen(Status status) const;

  const std::unique_ptr<Medium> base_;
  const Lost lost_;
};

}  // namespace vellum
