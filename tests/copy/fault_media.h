// SPDX-License-Identifier: Apache-2.0
// Media that fail at a chosen operation, lose what was not flushed, and whose
// power can go.
#pragma once

#include <array>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "media/fault_medium.h"
#include "media/mutex.h"
#include "media/write_once_medium.h"
#include "tests/copy/hold.h"
#include "tests/support/crash_medium.h"
#include "tests/support/memory_medium.h"

namespace vellum {

// What the media hold, and what goes wrong with them, over all that is opened
// of them. Thread-safety: all methods may be called concurrently.
class FaultMedia {
 public:
  using Op = FaultPlan::Op;
  enum class Act : uint8_t {
    kFail,   // that operation, once; a flush loses by `n` nothing, all or some
             // of what it was to make durable
    kShort,  // that read or write, once, in the middle of a sector
    kGone,   // from then on all operations of that medium: kNoMedium
    kHang,   // from then on all of that medium stay in `hold`
    kFull,   // from then on all writes of that medium: kNoSpace
    kCut,    // the power goes: `cut` is called
  };

  // `power` says whether there is any; without it all operations fail.
  // `hold` outlives the media.
  FaultMedia(std::function<bool()> power, std::function<void()> cut, Hold* hold)
      : power_(std::move(power)), cut_(std::move(cut)), hold_(hold) {}

  void Add(const VolumeTag& tag, const MemoryMedium& content);
  void AddWriteOnce(const VolumeTag& tag, const MemoryMedium& content,
                    WrittenState state);
  CrashMedium& content(const VolumeTag& tag) { return *Find(tag).content; }
  WrittenState written(const VolumeTag& tag);

  // The `n`th operation from now on (1: the next); of one kind, or of any. With
  // kCut only those that change something or flush are counted.
  void At(uint64_t n, std::optional<Op> op, Act act);
  // Everything that touches these sectors of the medium fails.
  void BadSectors(const VolumeTag& tag, SectorRange range);
  // What At or BadSectors has asked for has come.
  bool reached() const;
  // Bad sectors were to be written or discarded.
  bool bad_changes() const;
  void Clear();

  // `loaded` is what the drive would hand out.
  std::unique_ptr<Medium> Open(std::unique_ptr<Medium> loaded);

 private:
  friend class PoweredMedium;
  struct Entry {
    std::shared_ptr<CrashMedium> content;
    std::shared_ptr<FaultPlan> plan;
    std::optional<WrittenState> written;  // of a write-once medium
    SectorRange bad;
    bool hangs = false;
  };

  Entry& Find(const VolumeTag& tag);
  // Counts, and stays while the medium hangs; true: the power goes during this
  // operation.
  bool Count(Op op, SectorRange range, Entry* entry);
  bool CountLocked(Op op, SectorRange range, Entry* entry) REQUIRES(mu_);
  bool power() const { return power_(); }
  void Cut() { cut_(); }

  const std::function<bool()> power_;
  const std::function<void()> cut_;
  Hold* const hold_;
  mutable Mutex mu_;                    // before the mutexes of FaultPlan
  std::map<VolumeTag, Entry> entries_;  // not changed once media are open
  uint64_t left_ GUARDED_BY(mu_) = 0;
  CrashOptions loses_ GUARDED_BY(mu_);
  std::optional<Op> op_ GUARDED_BY(mu_);
  Act act_ GUARDED_BY(mu_) = Act::kFail;
  bool reached_ GUARDED_BY(mu_) = false;
  bool bad_changes_ GUARDED_BY(mu_) = false;
};

}  // namespace vellum
