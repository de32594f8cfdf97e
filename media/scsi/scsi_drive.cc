// SPDX-License-Identifier: Apache-2.0
#include "media/scsi/scsi_drive.h"

#include <fmt/format.h>
#include <spdlog/spdlog.h>

#include <algorithm>
#include <thread>
#include <utility>

#include "media/scsi/scsi_medium.h"
#include "media/scsi/sense.h"

namespace vellum::scsi {

namespace {

constexpr std::chrono::seconds kStartTimeout{120};
constexpr std::chrono::seconds kTestTimeout{20};
constexpr uint8_t kTrayOpen = 0x02;  // of 3A/xx
// A medium that is changed again and again while it is looked at.
constexpr int kMostLooks = 3;
// Of a drive that did not see its medium when it was told to start.
constexpr int kMostStarts = 2;

std::string DriveContext(ElementAddress address) {
  return fmt::format("drive {}", address.value);
}

}  // namespace

ScsiDrive::ScsiDrive(ElementAddress address, std::shared_ptr<Device> device,
                     ScsiDriveOptions options)
    : address_(address),
      device_(std::move(device)),
      options_(std::move(options)) {}

ScsiDrive::~ScsiDrive() {
  if (!open_) return;
  const Status allowed = AllowRemoval();
  if (!allowed.ok()) spdlog::warn("{}", allowed.ToString());
}

Result<DriveIdentity> ScsiDrive::Identify() {
  Result<Inquiry> answer = device_->Inquire();
  if (answer.status().Is(Errc::kOffline) && device_->Reopen().ok()) {
    answer = device_->Inquire();
  }
  ASSIGN_OR_RETURN(const Inquiry inquiry, std::move(answer));
  inquiry_ = inquiry;
  DriveIdentity identity;
  identity.vendor = inquiry.vendor;
  identity.product = inquiry.product;
  identity.revision = inquiry.revision;
  identity.serial = inquiry.serial;
  identity.device = device_->Name();
  return identity;
}

// Drives are slow to notice, and some want to be told to draw their tray in.
Status ScsiDrive::AwaitMedium() {
  constexpr std::chrono::milliseconds kBetween{100};
  auto deadline = std::chrono::steady_clock::now() + options_.appears;
  bool drawn_in = false;
  for (;;) {
    Command test;
    test.cdb = {0, 0, 0, 0, 0, 0};
    test.timeout = kTestTimeout;
    Sense sense;
    Status status =
        device_->Run("TEST UNIT READY", test, Repeat::kIdempotent, &sense)
            .status();
    if (!status.Is(Errc::kNoMedium)) {
      status = device_->WaitReady(options_.ready);
      // Some see the medium, and once more do not.
      if (!status.Is(Errc::kNoMedium)) return status;
      sense = Sense();
    }
    if (sense.ascq == kTrayOpen && !drawn_in) {
      drawn_in = true;
      Command load;
      load.cdb = {0x1B, 0, 0, 0, 3, 0};
      load.timeout = kStartTimeout;
      const Status loaded =
          device_->Run("load (START STOP UNIT)", load, Repeat::kOnlyNotBegun)
              .status();
      if (!loaded.ok() && !loaded.Is(Errc::kNoMedium) &&
          !loaded.Is(Errc::kNotSupported)) {
        return loaded;
      }
      // However long it took.
      deadline = std::chrono::steady_clock::now() + options_.appears;
      continue;
    }
    const auto left = deadline - std::chrono::steady_clock::now();
    if (left <= left.zero()) return status;
    std::this_thread::sleep_for(std::min<std::chrono::nanoseconds>(
        std::chrono::nanoseconds(left), kBetween));
  }
}

Status ScsiDrive::MakeReady() {
  for (int starts = 0;;) {
    Status ready = device_->WaitReady(options_.ready);
    if (ready.Is(Errc::kNoMedium)) ready = AwaitMedium();
    if (!ready.Is(Errc::kNotReady) || starts == kMostStarts) return ready;
    // It waits for a command: 2/04/02. Nothing is loaded or ejected with it.
    Command start;
    start.cdb = {0x1B, 0, 0, 0, 1, 0};
    start.timeout = kStartTimeout;
    const Status started =
        device_->Run("START STOP UNIT", start, Repeat::kOnlyNotBegun).status();
    if (!started.ok() && !started.Is(Errc::kNoMedium)) return started;
    starts = started.ok() ? kMostStarts : starts + 1;
  }
}

Result<MediumFacts> ScsiDrive::LookAtMedium() {
  for (int look = 0; look < kMostLooks; ++look) {
    RETURN_IF_ERROR(MakeReady());
    ASSIGN_OR_RETURN(std::string weakness, device_->HoldMedium());
    if (weakness != weakness_ && !weakness.empty()) {
      spdlog::warn("{}: {}", DriveContext(address_), weakness);
    }
    weakness_ = std::move(weakness);
    // What came before belongs to this load.
    device_->TakeMediumChanged();
    device_->TakeReset();
    if (!inquiry_) {
      ASSIGN_OR_RETURN(inquiry_, device_->Inquire());
    }
    const uint8_t type = inquiry_->device_type;
    if (type != 0x00 && type != 0x05 && type != 0x07) {
      return Error{Errc::kIncompatible,
                   fmt::format("{}: a device of type {} is no drive for disks "
                               "or optical media",
                               device_->Name(), type)};
    }
    const Status prevented = device_->PreventRemoval(true);
    if (!prevented.ok() && !prevented.Is(Errc::kNotSupported)) {
      return prevented;
    }
    open_ = true;
    Result<MediumFacts> facts = ReadMediumFacts(*device_, *inquiry_);
    const bool driver_saw = device_->DriverSawChange();
    const bool changed = device_->TakeMediumChanged() || driver_saw;
    const bool reset = device_->TakeReset();  // removal is allowed again
    if (!changed && !reset) return facts;
  }
  return Error{
      Errc::kNotReady,
      device_->Name() + ": the medium was changed while it was looked at"};
}

Result<std::unique_ptr<Medium>> ScsiDrive::Open() {
  VELLUM_CHECK(!open_);
  facts_.reset();
  VolumeTag tag;
  if (options_.volume_tag) tag = options_.volume_tag();
  const std::string name = fmt::format(
      "{} in drive {}", tag.empty() ? "medium" : tag, address_.value);
  Result<MediumFacts> facts = LookAtMedium();
  if (!facts.ok()) {
    const std::string why = facts.error().message;
    const Status allowed = open_ ? AllowRemoval() : Status::Ok();
    if (!allowed.ok()) spdlog::warn("{}", allowed.ToString());
    return Error{facts.error().code, name + ": " + why};
  }
  facts_ = *facts;
  if (abilities_ == nullptr) {
    abilities_ = std::make_shared<DriveAbilities>(inquiry_->device_type);
  }
  return std::unique_ptr<Medium>(std::make_unique<ScsiMedium>(
      device_, abilities_, *facts, name, options_.verify_writes));
}

Status ScsiDrive::AllowRemoval() {
  open_ = false;
  const Status allowed =
      device_->PreventRemoval(false).WithContext(DriveContext(address_));
  device_->ReleaseMedium();
  // An empty drive has nothing to hold back.
  if (allowed.Is(Errc::kNotSupported) || allowed.Is(Errc::kNoMedium)) {
    return Status::Ok();
  }
  return allowed;
}

Status ScsiDrive::Close() {
  const Status allowed = AllowRemoval();
  if (!allowed.Is(Errc::kOffline)) return allowed;
  spdlog::warn("{}", allowed.ToString());
  return Status::Ok();
}

}  // namespace vellum::scsi
