// SPDX-License-Identifier: Apache-2.0
// Devices that take the time of a model, in front of any others (H7).
#pragma once

#include <memory>
#include <stop_token>
#include <utility>
#include <vector>

#include "media/changer.h"
#include "media/device_clock.h"
#include "media/drive.h"
#include "media/forwarding_medium.h"
#include "media/mutex.h"
#include "media/timing_model.h"

namespace vellum {

// Contract, thread-safety and errors of each are those of the device below.

// A move takes its time whether it comes off or not; what asks, takes none.
class TimedChanger : public Changer {
 public:
  TimedChanger(std::unique_ptr<Changer> base, TimingModel model,
               std::shared_ptr<DeviceClock> clock)
      : base_(std::move(base)), model_(model), clock_(std::move(clock)) {}

  Result<ChangerIdentity> Identify() override { return base_->Identify(); }
  Result<ElementMap> Elements() override { return base_->Elements(); }
  Result<std::vector<ElementStatus>> ReadElementStatus() override {
    return base_->ReadElementStatus();
  }
  Status MoveMedium(ElementAddress from, ElementAddress to) override;
  Status MoveMediumTurned(ElementAddress from, ElementAddress to) override;
  Status ExchangeMedium(ElementAddress from, ElementAddress to,
                        ElementAddress rest) override;
  Result<bool> ElementsChanged() override { return base_->ElementsChanged(); }
  Status InitializeElementStatus() override {
    return base_->InitializeElementStatus();
  }

 private:
  const std::unique_ptr<Changer> base_;
  const TimingModel model_;
  const std::shared_ptr<DeviceClock> clock_;
};

class TimedDrive : public Drive {
 public:
  TimedDrive(std::unique_ptr<Drive> base, TimingModel model,
             std::shared_ptr<DeviceClock> clock)
      : base_(std::move(base)), model_(model), clock_(std::move(clock)) {}

  ElementAddress Address() const override { return base_->Address(); }
  Result<DriveIdentity> Identify() override { return base_->Identify(); }
  Result<std::unique_ptr<Medium>> Open() override;
  Status Close() override;

 private:
  const std::unique_ptr<Drive> base_;
  const TimingModel model_;
  const std::shared_ptr<DeviceClock> clock_;
  bool open_ = false;
};

// One head: transfers come one after the other, each behind the seek from
// where the last one ended. Flushes, discards and questions take no time.
class TimedMedium : public ForwardingMedium {
 public:
  TimedMedium(std::unique_ptr<Medium> base, TimingModel model,
              std::shared_ptr<DeviceClock> clock)
      : ForwardingMedium(std::move(base)),
        model_(model),
        clock_(std::move(clock)) {}

  Status Read(uint64_t lba, ByteSpan out) override;
  // It would take no time.
  int DirectFd() const override { return -1; }

 private:
  Status WriteBy(Writer write, uint64_t lba, ConstByteSpan data) override;
  // Books the head for the transfer; when it is over.
  DeviceClock::Duration Book(uint64_t lba, uint64_t bytes, bool write);

  const TimingModel model_;
  const std::shared_ptr<DeviceClock> clock_;
  Mutex mu_;                           // a leaf
  uint64_t head_ GUARDED_BY(mu_) = 0;  // behind the last sector transferred
  bool wrote_ GUARDED_BY(mu_) = false;
  DeviceClock::Duration free_at_ GUARDED_BY(mu_){0};
};

}  // namespace vellum
