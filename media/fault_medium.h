// SPDX-License-Identifier: Apache-2.0
// Faults on demand in front of any medium: a wrapper, so that every
// implementation can be made to fail in the same ways.
#pragma once

#include <array>
#include <chrono>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "media/forwarding_medium.h"
#include "media/mutex.h"

namespace vellum {

// What goes wrong, and a count of what was asked for. Whoever made the plan
// changes it while the medium is in use.
// Thread-safety: all methods may be called concurrently.
class FaultPlan {
 public:
  enum class Op : uint8_t { kRead, kWrite, kFlush, kDiscard, kSearch };

  // The `n`th operation of that kind from now on fails, once; 1 is the next.
  void FailNth(Op op, uint64_t n, Errc code = Errc::kDeviceError);
  // Every read, write, discard or search that touches the range fails.
  void FailRange(Op op, SectorRange range, Errc code = Errc::kDeviceError);
  // The next `times` reads or writes end behind half of their bytes or less, in
  // the middle of a sector. REQUIRES: kRead or kWrite.
  void Shorten(Op op, uint64_t times);
  // How many of them are left.
  uint64_t ToShorten(Op op) const;
  // Every operation of that kind takes at least so much longer.
  void Delay(Op op, std::chrono::nanoseconds delay);
  // The medium or the drive is gone: everything fails with kNoMedium.
  void SetGone(bool gone);
  // No faults, no delays, not gone; the counts stay.
  void Clear();

  // Operations that were asked for since the plan was made.
  uint64_t Count(Op op) const;

 private:
  friend class FaultMedium;
  struct Fault {
    Errc code = Errc::kDeviceError;
    // Sectors of the operation that are still done before it fails.
    uint64_t done = 0;
    uint64_t sector = 0;  // where it failed
    // Of a short transfer: bytes that were transferred.
    std::optional<uint64_t> bytes = {};
  };
  struct Nth {
    Op op;
    uint64_t at;  // value of the count
    Errc code;
  };
  struct Bad {
    Op op;
    SectorRange range;
    Errc code;
  };
  // Counts the operation, sleeps for its delay, and answers what goes wrong.
  std::optional<Fault> Next(Op op, SectorRange range);

  static constexpr size_t kOps = 5;
  mutable Mutex mu_;  // a leaf
  std::array<uint64_t, kOps> counts_ GUARDED_BY(mu_) = {};
  std::array<std::chrono::nanoseconds, kOps> delays_ GUARDED_BY(mu_) = {};
  std::array<uint64_t, kOps> shorten_ GUARDED_BY(mu_) = {};
  std::vector<Nth> nth_ GUARDED_BY(mu_);
  std::vector<Bad> bad_ GUARDED_BY(mu_);
  bool gone_ GUARDED_BY(mu_) = false;
};

// NextAllocated is the search. A read that fails transfers nothing; a write or
// discard that fails has been done up to the failing sector, as on a device.
// Medium has no count of bytes to answer: a short transfer is kDeviceError that
// tells how many there were; so many are in the buffer, or on the medium. A
// failed flush does not reach the medium below; Finalize counts as one. There
// is no DirectFd: it would go around the faults. Thread-safety: as Medium says.
class FaultMedium : public ForwardingMedium {
 public:
  FaultMedium(std::unique_ptr<Medium> base, std::shared_ptr<FaultPlan> plan)
      : ForwardingMedium(std::move(base)), plan_(std::move(plan)) {}

  Status Read(uint64_t lba, ByteSpan out) override;
  Status Flush() override;
  Status Discard(uint64_t lba, uint64_t count) override;
  Status Finalize() override;
  Result<SectorRange> NextAllocated(SectorRange from) override;
  int DirectFd() const override { return -1; }

 private:
  Status WriteBy(Writer write, uint64_t lba, ConstByteSpan data) override;
  Status Failed(const char* operation, const FaultPlan::Fault& fault) const;
  // Only the first bytes of it; the end of them may be within a sector.
  Status ReadPart(uint64_t lba, ByteSpan out);
  Status WritePart(uint64_t lba, ConstByteSpan data);

  const std::shared_ptr<FaultPlan> plan_;
};

}  // namespace vellum
