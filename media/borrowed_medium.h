// SPDX-License-Identifier: Apache-2.0
// A medium that someone else owns, as an object that can be owned: for those
// who take a unique_ptr<Medium> (ReplayedMedium, FaultMedium).
#pragma once

#include <cstdint>

#include "media/medium.h"

namespace vellum {

// Forwards every method but WriteStream, which is a Write: who derives from it
// and looks at Write sees all writes. So contract, thread-safety and errors are
// those of the medium below, DirectFd included. Ownership: does not own that
// medium, which outlives this; destroying this does nothing to it.
class BorrowedMedium : public Medium {
 public:
  explicit BorrowedMedium(Medium* base) : base_(base) {}

  MediumInfo Info() const override { return base_->Info(); }
  Status Read(uint64_t lba, ByteSpan out) override {
    return base_->Read(lba, out);
  }
  Status Write(uint64_t lba, ConstByteSpan data) override {
    return base_->Write(lba, data);
  }
  Status Flush() override { return base_->Flush(); }
  Status Discard(uint64_t lba, uint64_t count) override {
    return base_->Discard(lba, count);
  }
  Status Finalize() override { return base_->Finalize(); }
  Result<SectorRange> NextAllocated(SectorRange from) override {
    return base_->NextAllocated(from);
  }
  void DropReadCache(uint64_t lba, uint64_t count) override {
    base_->DropReadCache(lba, count);
  }
  uint64_t HostFreeBytes() const override { return base_->HostFreeBytes(); }
  int DirectFd() const override { return base_->DirectFd(); }

 protected:
  // For who lets streams through.
  Status StreamBelow(uint64_t lba, ConstByteSpan data) {
    return base_->WriteStream(lba, data);
  }

 private:
  Medium* const base_;
};

}  // namespace vellum
