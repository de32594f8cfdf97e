// SPDX-License-Identifier: Apache-2.0
// Counts what is done to a medium (H5).
#pragma once

#include <memory>
#include <utility>

#include "media/auxiliary_book.h"
#include "media/medium.h"

namespace vellum {

// Contract, thread-safety and errors are those of the medium below. DirectFd is
// handed through: what goes around is not counted.
class CountedMedium : public Medium {
 public:
  CountedMedium(std::unique_ptr<Medium> base, MediumId id, AuxiliaryBook* book)
      : base_(std::move(base)), id_(std::move(id)), book_(book) {}
  ~CountedMedium() override;

  MediumInfo Info() const override { return base_->Info(); }
  Status Read(uint64_t lba, ByteSpan out) override;
  Status Write(uint64_t lba, ConstByteSpan data) override;
  Status WriteStream(uint64_t lba, ConstByteSpan data) override;
  Status Flush() override;
  Status Discard(uint64_t lba, uint64_t count) override;
  Status Finalize() override;
  Result<SectorRange> NextAllocated(SectorRange from) override {
    return base_->NextAllocated(from);
  }
  void DropReadCache(uint64_t lba, uint64_t count) override {
    base_->DropReadCache(lba, count);
  }
  uint64_t HostFreeBytes() const override { return base_->HostFreeBytes(); }
  int DirectFd() const override { return base_->DirectFd(); }

 private:
  Status Tell(AuxiliaryBook::Access access, uint64_t bytes, Status status);

  std::unique_ptr<Medium> base_;
  const MediumId id_;
  AuxiliaryBook* const book_;
};

}  // namespace vellum
