// SPDX-License-Identifier: Apache-2.0
// What a medium has not flushed, so that a power cut can take it back (H6).
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <utility>

#include "media/forwarding_medium.h"
#include "media/mutex.h"

namespace vellum {

// In front of a medium. While it is armed, it remembers what every sector held
// before it was written for the first time since the last flush: memory grows
// with what is not flushed. Thread-safety: as Medium says.
class VolatileMedium : public ForwardingMedium {
 public:
  explicit VolatileMedium(std::unique_ptr<Medium> base, bool armed)
      : ForwardingMedium(std::move(base)), armed_(armed) {}

  void Arm(bool armed);
  // Power goes: every operation from now on fails with kNoMedium, and what was
  // not flushed is as before; with `tear`, some of each 512 bytes of it are.
  // `seed` decides which. Answers the sectors that were taken back.
  Result<uint64_t> CutPower(bool tear, uint64_t seed);

  Status Read(uint64_t lba, ByteSpan out) override;
  Status Flush() override;
  Status Discard(uint64_t lba, uint64_t count) override;
  Status Finalize() override;
  Result<SectorRange> NextAllocated(SectorRange from) override;
  // It would go around the memory.
  int DirectFd() const override { return -1; }

 private:
  struct Before {
    Bytes data;
    uint64_t number = 0;  // of the change
  };
  Status WriteBy(Writer write, uint64_t lba, ConstByteSpan data) override;
  Status Begin(bool changes);  // kNoMedium without power
  void End();
  // Remembers what the range holds. Part of an operation.
  Status Remember(uint64_t lba, uint64_t count);
  void ForgetUpTo(uint64_t number);

  Mutex mu_;  // a leaf; not held over I/O
  CondVar done_;
  bool armed_ GUARDED_BY(mu_);
  bool dead_ GUARDED_BY(mu_) = false;
  uint64_t under_way_ GUARDED_BY(mu_) = 0;
  uint64_t changes_ GUARDED_BY(mu_) = 0;
  std::map<uint64_t, Before> before_ GUARDED_BY(mu_);  // by sector
};

}  // namespace vellum
