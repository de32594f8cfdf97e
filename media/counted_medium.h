// SPDX-License-Identifier: Apache-2.0
// Counts what is done to a medium (H5).
#pragma once

#include <memory>
#include <utility>

#include "media/auxiliary_book.h"
#include "media/forwarding_medium.h"

namespace vellum {

// Contract, thread-safety and errors are those of the medium below. DirectFd is
// handed through: what goes around is not counted.
class CountedMedium : public ForwardingMedium {
 public:
  CountedMedium(std::unique_ptr<Medium> base, MediumId id, AuxiliaryBook* book)
      : ForwardingMedium(std::move(base)), id_(std::move(id)), book_(book) {}
  ~CountedMedium() override;

  Status Read(uint64_t lba, ByteSpan out) override;
  Status Flush() override;
  Status Discard(uint64_t lba, uint64_t count) override;
  Status Finalize() override;

 private:
  Status WriteBy(Writer write, uint64_t lba, ConstByteSpan data) override;
  Status Tell(AuxiliaryBook::Access access, uint64_t bytes, Status status);

  const MediumId id_;
  AuxiliaryBook* const book_;
};

}  // namespace vellum
