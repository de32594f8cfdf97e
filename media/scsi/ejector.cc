// SPDX-License-Identifier: Apache-2.0
#include "media/scsi/ejector.h"

#include <spdlog/spdlog.h>

#include <chrono>

namespace vellum::scsi {

namespace {

// A drive that spins down, and a tray that moves.
constexpr std::chrono::seconds kEjectTimeout{120};

constexpr uint8_t kEjectMedium = 0x02;  // LoEj
constexpr uint8_t kLoadMedium = 0x03;   // LoEj and Start

Status StartStop(Device& device, const char* what, uint8_t operation) {
  Command command;
  command.cdb = {0x1B, 0, 0, 0, operation, 0};
  command.timeout = kEjectTimeout;
  return device.Run(what, command, Repeat::kOnlyNotBegun).status();
}

}  // namespace

Device* Ejector::DriveAt(ElementAddress drive) const {
  const auto it = drives_.find(drive);
  return it == drives_.end() ? nullptr : it->second.get();
}

Result<bool> Ejector::Eject(Device& device) {
  // An empty drive would open its tray in the robot's way.
  const Status ready = device.WaitReady(std::chrono::milliseconds(0));
  if (ready.Is(Errc::kNoMedium) || ready.Is(Errc::kOffline)) return false;
  const Status ejected =
      StartStop(device, "eject (START STOP UNIT)", kEjectMedium);
  // The robot may still get it out of a drive that is dead or has no such
  // command.
  if (ejected.Is(Errc::kNotSupported) || ejected.Is(Errc::kNoMedium) ||
      ejected.Is(Errc::kOffline)) {
    return false;
  }
  if (!ejected.ok()) return ejected.error();
  return true;
}

Result<bool> Ejector::BeforeMove(ElementAddress drive) {
  Device* const device = DriveAt(drive);
  if (!ejects_ || device == nullptr) return false;
  return Eject(*device);
}

Result<bool> Ejector::AfterRefusal(ElementAddress drive) {
  Device* const device = DriveAt(drive);
  if (rule_ != EjectRule::kAuto || ejects_ || device == nullptr) return false;
  ASSIGN_OR_RETURN(const Inquiry inquiry, device->Inquire());
  if (!inquiry.removable) return false;
  return Eject(*device);
}

void Ejector::NoteHelped(ElementAddress drive) {
  if (ejects_.exchange(true)) return;
  spdlog::info(
      "the changer takes a medium out of drive {} only after the drive was "
      "told to eject it: so it is done from now on (library.toml: eject = "
      "\"always\" does so from the start)",
      drive.value);
}

void Ejector::TakeBack(ElementAddress drive) {
  Device* const device = DriveAt(drive);
  if (device == nullptr) return;
  const Status loaded =
      StartStop(*device, "load (START STOP UNIT)", kLoadMedium);
  if (!loaded.ok()) {
    spdlog::warn("drive {}: what was ejected stays so: {}", drive.value,
                 loaded.ToString());
  }
}

}  // namespace vellum::scsi
