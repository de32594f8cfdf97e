// SPDX-License-Identifier: Apache-2.0
// Faults on demand of a virtual library that runs (H6): what goes wrong, and
// the devices that do it. The other side is `vellum fault`.
#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "media/changer.h"
#include "media/drive.h"
#include "media/fault_medium.h"
#include "media/mutex.h"
#include "media/types.h"
#include "media/volatile_medium.h"

namespace vellum {

// One fault that waits or works, for the table.
struct FaultRow {
  std::string kind;    // "medium-error", "slow-load", …
  std::string object;  // volume tag, drive, "transport"
  std::string detail;
};

// The faults of one library. Thread-safety: all methods may be called
// concurrently.
class DeviceFaults {
 public:
  enum class Access : uint8_t { kRead, kWrite, kBoth };

  // Sectors of a medium that cannot be read or written.
  void FailSectors(const VolumeTag& tag, Access access, SectorRange range);
  // The next `times` reads or writes (kBoth: each) of the medium transfer fewer
  // bytes than they should.
  void ShortenTransfers(const VolumeTag& tag, Access access, uint32_t times);
  // Every load of the medium takes so much longer.
  void SlowLoad(const VolumeTag& tag, std::chrono::milliseconds delay);
  // The next `times` loads of the medium fail.
  void FailLoads(const VolumeTag& tag, uint32_t times);
  // No move comes off.
  void StickTransport();
  // The drive does not answer; what is in it is gone, too.
  void LoseDrive(ElementAddress drive);
  // The next move is refused with a unit attention, once.
  void RaiseAttention();
  // Nobody can read the bar code.
  void HideTag(const VolumeTag& tag);
  // From now on a cut can take back what is not flushed.
  void ArmPowerCut();
  // Cuts the power of all drives: see VolatileMedium. Answers the sectors that
  // were taken back. kNotReady: not armed.
  Result<uint64_t> CutPower(bool tear, uint64_t seed);
  // Everything works again; what is in a lost drive or without power has to be
  // loaded anew.
  void Clear();
  std::vector<FaultRow> List() const;

  // For the devices below.
  bool stuck() const;
  bool TakeAttention();
  bool lost(ElementAddress drive) const;
  bool hidden(const VolumeTag& tag) const;
  // What a load of the medium has to go through: the delay, and whether it
  // fails.
  std::pair<std::chrono::milliseconds, bool> TakeLoad(const VolumeTag& tag);
  // The medium in front of `base` that has its faults; `drive` is where it is.
  std::unique_ptr<Medium> Wrap(const VolumeTag& tag, ElementAddress drive,
                               std::unique_ptr<Medium> base);

 private:
  std::shared_ptr<FaultPlan> PlanLocked(const VolumeTag& tag) REQUIRES(mu_);

  mutable Mutex mu_;  // before those of the plans
  std::map<VolumeTag, std::shared_ptr<FaultPlan>> plans_ GUARDED_BY(mu_);
  std::vector<FaultRow> sectors_ GUARDED_BY(mu_);
  std::map<VolumeTag, std::chrono::milliseconds> slow_ GUARDED_BY(mu_);
  std::map<VolumeTag, uint32_t> failing_ GUARDED_BY(mu_);
  std::set<ElementAddress> lost_ GUARDED_BY(mu_);
  std::set<VolumeTag> hidden_ GUARDED_BY(mu_);
  bool stuck_ GUARDED_BY(mu_) = false;
  bool attention_ GUARDED_BY(mu_) = false;
  bool armed_ GUARDED_BY(mu_) = false;
  struct Loaded {
    VolumeTag tag;
    std::weak_ptr<VolatileMedium> medium;
  };
  std::map<ElementAddress, Loaded> loaded_ GUARDED_BY(mu_);
};

// Contract and thread-safety of each are those of the device below.

class FaultyChanger : public Changer {
 public:
  FaultyChanger(std::unique_ptr<Changer> base,
                std::shared_ptr<DeviceFaults> faults)
      : base_(std::move(base)), faults_(std::move(faults)) {}

  Result<ChangerIdentity> Identify() override { return base_->Identify(); }
  Result<ElementMap> Elements() override { return base_->Elements(); }
  Result<std::vector<ElementStatus>> ReadElementStatus() override;
  Status MoveMedium(ElementAddress from, ElementAddress to) override;
  Status MoveMediumTurned(ElementAddress from, ElementAddress to) override;
  Status ExchangeMedium(ElementAddress from, ElementAddress to,
                        ElementAddress rest) override;
  Result<bool> ElementsChanged() override { return base_->ElementsChanged(); }
  Status InitializeElementStatus() override {
    return base_->InitializeElementStatus();
  }

 private:
  // What keeps every move from being made.
  Status CheckMove(ElementAddress from, ElementAddress to);

  const std::unique_ptr<Changer> base_;
  const std::shared_ptr<DeviceFaults> faults_;
};

class FaultyDrive : public Drive {
 public:
  // Which medium is in the drive.
  using TagOf = std::function<VolumeTag(ElementAddress)>;
  FaultyDrive(std::unique_ptr<Drive> base, TagOf tag_of,
              std::shared_ptr<DeviceFaults> faults)
      : base_(std::move(base)),
        tag_of_(std::move(tag_of)),
        faults_(std::move(faults)) {}

  ElementAddress Address() const override { return base_->Address(); }
  Result<DriveIdentity> Identify() override;
  Result<std::unique_ptr<Medium>> Open() override;
  Status Close() override { return base_->Close(); }

 private:
  const std::unique_ptr<Drive> base_;
  const TagOf tag_of_;
  const std::shared_ptr<DeviceFaults> faults_;
};

}  // namespace vellum
