// SPDX-License-Identifier: Apache-2.0
// A medium in memory: sparse, quick, cheap to clone.
#pragma once

#include <array>
#include <cstddef>
#include <functional>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <utility>

#include "media/medium.h"
#include "media/mutex.h"

namespace vellum {

struct MemoryMediumOptions {
  uint64_t sectors = 8192;  // 16 MiB
  uint32_t atomic_sectors = 1;
  bool write_protected = false;
  MediumClass medium_class = MediumClass::kRewritable;
  std::string name = "memory medium";
};

// Thread-safety: as Medium says; Clone too may be called at any time.
class MemoryMedium : public Medium {
 public:
  explicit MemoryMedium(const MemoryMediumOptions& options = {});
  explicit MemoryMedium(uint64_t sectors);

  MediumInfo Info() const override;
  Status Read(uint64_t lba, ByteSpan out) override;
  Status Write(uint64_t lba, ConstByteSpan data) override;
  Status Flush() override { return Status::Ok(); }
  Status Discard(uint64_t lba, uint64_t count) override;
  Result<SectorRange> NextAllocated(SectorRange from) override;
  void DropReadCache(uint64_t, uint64_t) override {}

  // A medium of its own with the same content. Copies no data: chunks are
  // shared until one side writes.
  std::unique_ptr<MemoryMedium> Clone() const;

  // Reads that touch the range fail with kDeviceError until each sector is
  // written (or discarded) again, as after a medium error.
  void MakeUnreadable(SectorRange range);
  void SetWriteProtected(bool on);
  // It has only so many sectors from now on; what lay behind them is gone.
  // REQUIRES: sectors > 0.
  void CutTo(uint64_t sectors);
  // An access outside of the medium ends the process, here and in clones,
  // instead of giving an error: who reads hostile bytes has to check first.
  void AbortOutside();
  // Called before each write, with the first sector; empty: nothing is. Not
  // while another thread writes.
  void BeforeWrite(std::function<void(uint64_t)> call) {
    before_write_ = std::move(call);
  }

  // What a tester needs beyond Medium: bytes at any byte address, unchecked by
  // write protection or MakeUnreadable. REQUIRES: inside the medium.
  void Poke(uint64_t byte_offset, ConstByteSpan data);
  void Peek(uint64_t byte_offset, ByteSpan out) const;

 private:
  static constexpr size_t kChunkSize = 64 * 1024;
  using Chunk = std::array<std::byte, kChunkSize>;
  struct Slot {
    std::shared_ptr<Chunk> chunk;
    bool shared = false;  // another medium may hold it: copy before writing
  };

  // Of what CheckSectorRange or CheckTransfer said.
  Status InsideLocked(Status inside) const REQUIRES(mu_);
  void ReadLocked(uint64_t offset, ByteSpan out) const REQUIRES(mu_);
  void WriteLocked(uint64_t offset, ConstByteSpan data) REQUIRES(mu_);
  Chunk& WritableLocked(uint64_t index) REQUIRES(mu_);
  void MakeReadableLocked(uint64_t lba, uint64_t count) REQUIRES(mu_);

  std::function<void(uint64_t)> before_write_;
  mutable Mutex mu_;  // a leaf: nothing is called with it held
  MediumInfo info_ GUARDED_BY(mu_);
  bool abort_outside_ GUARDED_BY(mu_) = false;
  mutable std::map<uint64_t, Slot> chunks_ GUARDED_BY(mu_);
  std::set<uint64_t> unreadable_ GUARDED_BY(mu_);
};

// Forwards to a medium that the test keeps as well, for owners that want a
// unique_ptr.
std::unique_ptr<Medium> ShareMedium(std::shared_ptr<Medium> medium);

}  // namespace vellum
