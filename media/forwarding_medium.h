// SPDX-License-Identifier: Apache-2.0
// What a medium in front of another one starts from.
#pragma once

#include <cstdint>
#include <memory>
#include <utility>

#include "media/medium.h"

namespace vellum {

// Forwards every method to the medium below: contract, thread-safety and errors
// are its own. Who derives from it overrides what it changes, and nothing else;
// both kinds of writes in one place, so that streams stay streams and are seen
// as all writes are. Where the descriptor would go around what is changed,
// DirectFd has to be -1.
class ForwardingMedium : public Medium {
 public:
  MediumInfo Info() const override { return below_->Info(); }
  Status Read(uint64_t lba, ByteSpan out) override {
    return below_->Read(lba, out);
  }
  Status Write(uint64_t lba, ConstByteSpan data) final {
    return WriteBy(&Medium::Write, lba, data);
  }
  Status WriteStream(uint64_t lba, ConstByteSpan data) final {
    return WriteBy(&Medium::WriteStream, lba, data);
  }
  Status Flush() override { return below_->Flush(); }
  Status Discard(uint64_t lba, uint64_t count) override {
    return below_->Discard(lba, count);
  }
  Status Finalize() override { return below_->Finalize(); }
  Result<SectorRange> NextAllocated(SectorRange from) override {
    return below_->NextAllocated(from);
  }
  void DropReadCache(uint64_t lba, uint64_t count) override {
    below_->DropReadCache(lba, count);
  }
  uint64_t HostFreeBytes() const override { return below_->HostFreeBytes(); }
  int DirectFd() const override { return below_->DirectFd(); }

 protected:
  using Writer = Status (Medium::*)(uint64_t lba, ConstByteSpan data);

  // Owns the medium below.
  explicit ForwardingMedium(std::unique_ptr<Medium> below)
      : owned_(std::move(below)), below_(owned_.get()) {}
  // Does not: it outlives this.
  explicit ForwardingMedium(Medium* below) : below_(below) {}

  // A Write or a WriteStream, as `write` says.
  virtual Status WriteBy(Writer write, uint64_t lba, ConstByteSpan data) {
    return (below_->*write)(lba, data);
  }

  Medium& below() const { return *below_; }
  // Destroys the medium below, if it is owned. REQUIRES: nothing else is called
  // any more.
  void DestroyBelow() { owned_.reset(); }

 private:
  std::unique_ptr<Medium> owned_;
  Medium* const below_;
};

}  // namespace vellum
