// SPDX-License-Identifier: Apache-2.0
// CrashMedium: records every write, discard and flush since its creation, and
// makes the content that a power cut at any of them would have left.
//
//   CrashMedium medium(options);
//   ... run the code under test on `medium` ...
//   for (size_t k = 0; k <= medium.EventCount(); ++k) {
//     auto after = medium.ContentAfterCrash(k, {.unflushed = ..., .seed = s});
//     ... open `after` and check the invariants ...
//   }
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <vector>

#include "media/medium.h"
#include "media/mutex.h"
#include "tests/support/memory_medium.h"

namespace vellum {

// What happens to writes that returned but were not followed by a Flush.
enum class Unflushed {
  kKept,       // all are on the medium
  kLost,       // none is
  kReordered,  // some whole writes are, in any order, by the seed
  kTorn,       // some 512-byte pieces are, in any order, by the seed
};

struct CrashOptions {
  Unflushed unflushed = Unflushed::kKept;
  // The atomic unit (MediumInfo::atomic_sectors, aligned) around one sector
  // that was being written turns to garbage.
  bool destroy_unit = false;
  // With destroy_unit: reading that unit fails until it is written again,
  // instead of returning garbage.
  bool destroyed_unreadable = false;
  uint64_t seed = 1;
};

// Thread-safety: as Medium says.
class CrashMedium : public Medium {
 public:
  struct Event {
    enum class Kind { kWrite, kDiscard, kFlush };
    Kind kind = Kind::kWrite;
    SectorRange range;  // of a write or discard
  };

  explicit CrashMedium(const MemoryMediumOptions& options = {});
  // Starts with the content of `base`, which counts as durable.
  explicit CrashMedium(const MemoryMedium& base);

  MediumInfo Info() const override { return live_->Info(); }
  Status Read(uint64_t lba, ByteSpan out) override;
  Status Write(uint64_t lba, ConstByteSpan data) override;
  Status Flush() override;
  Status Discard(uint64_t lba, uint64_t count) override;
  Result<SectorRange> NextAllocated(SectorRange from) override;
  void DropReadCache(uint64_t, uint64_t) override {}

  // A flush has failed: of what no flush covers, the medium has from now on
  // what a power cut would have left, and that for good. Recorded as a flush.
  void LoseUnflushed(const CrashOptions& options);

  size_t EventCount() const;
  // Those from `begin` on, before `end`.
  std::vector<Event> Events(size_t begin = 0, size_t end = SIZE_MAX) const;

  // The medium as it is found after a power cut while event `k` was under way:
  // events before `k` have returned, `k` itself has not, and counts as
  // unflushed. With k == EventCount() nothing was under way.
  // REQUIRES: k <= EventCount()
  std::unique_ptr<MemoryMedium> ContentAfterCrash(
      size_t k, const CrashOptions& options = {}) const;

  // The medium as another process finds it after the program was killed while
  // event `k` was under way: all events before `k` are visible, and those that
  // were not flushed still are not. REQUIRES: k <= EventCount()
  std::unique_ptr<CrashMedium> AfterKill(size_t k) const;

  // What Read returns now.
  std::unique_ptr<MemoryMedium> Content() const { return live_->Clone(); }

 private:
  struct Record {
    Event event;
    Bytes data;  // of a write
    // Of a flush: everything that is durable once it returned.
    std::shared_ptr<const MemoryMedium> durable;
  };

  // The first of the events before `k` that no flush covers.
  size_t FirstUnflushed(size_t k) const REQUIRES(mu_);
  const MemoryMedium& DurableAt(size_t first_unflushed) const REQUIRES(mu_);
  std::unique_ptr<MemoryMedium> ContentLocked(size_t k,
                                              const CrashOptions& options) const
      REQUIRES(mu_);

  const std::unique_ptr<MemoryMedium> live_;
  const std::shared_ptr<const MemoryMedium> start_;

  mutable Mutex mu_;  // before the mutex of live_
  std::vector<Record> records_ GUARDED_BY(mu_);
};

}  // namespace vellum
