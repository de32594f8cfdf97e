// SPDX-License-Identifier: Apache-2.0
// The changer, drives and media behind SCSI keep the contracts of
// tests/contract, on the devices that the environment names (devices.h).
#include <optional>
#include <utility>
#include <vector>

#include "media/library_devices.h"
#include "media/scsi/scsi_changer.h"
#include "media/scsi/scsi_drive.h"
#include "media/scsi/scsi_library.h"
#include "tests/contract/devices_contract.h"
#include "tests/contract/medium_contract.h"
#include "tests/contract/write_once_contract.h"
#include "tests/scsi/devices.h"

namespace vellum {
namespace {

std::unique_ptr<scsi::Transport> MustOpen(const std::string& name) {
  auto transport = OpenTransport(name);
  VELLUM_CHECK(transport.ok());
  return std::move(*transport);
}

// All media in storage elements, then the devices as a library has them.
LibraryDevices OpenDevices() {
  PutEverythingAway();
  const ScsiNames names = NamedDevices();
  auto changer = scsi::ScsiChanger::Open(MustOpen(names.changer));
  VELLUM_CHECK(changer.ok());
  std::vector<std::pair<ElementAddress, std::shared_ptr<scsi::Device>>> drives;
  for (const auto& [element, name] : names.drives) {
    drives.emplace_back(element,
                        std::make_shared<scsi::Device>(MustOpen(name)));
  }
  return JoinScsiDevices(std::move(*changer), std::move(drives));
}

// The home of a disc that nothing was written to; what a test wrote to stays
// what it is.
ElementAddress FindBlankDisc(const LibraryDevices& devices) {
  Drive& drive = *devices.drives.front();
  const auto statuses = devices.changer->ReadElementStatus();
  VELLUM_CHECK(statuses.ok());
  for (const ElementStatus& status : *statuses) {
    if (status.type != ElementType::kStorage || !status.full) continue;
    VELLUM_CHECK(
        devices.changer->MoveMedium(status.address, drive.Address()).ok());
    auto medium = drive.Open();
    // The target has no capacity of what was written and not closed.
    VELLUM_CHECK(medium.ok() || medium.status().Is(Errc::kIncompatible));
    const bool blank = medium.ok() && !(*medium)->Info().write_protected;
    if (medium.ok()) medium->reset();
    VELLUM_CHECK(drive.Close().ok());
    VELLUM_CHECK(
        devices.changer->MoveMedium(drive.Address(), status.address).ok());
    if (blank) return status.address;
  }
  VELLUM_CHECK(false && "no blank disc is left: see jukebox.py, --media");
  return {};
}

class ScsiDevicesHarness : public DevicesHarness {
 public:
  Changer& changer() override { return *devices_.changer; }
  const std::vector<std::unique_ptr<Drive>>& drives() override {
    return devices_.drives;
  }

 protected:
  LibraryDevices devices_ = OpenDevices();
};

class DiscDevicesHarness : public ScsiDevicesHarness {
 public:
  std::optional<ElementAddress> Writable() override {
    return FindBlankDisc(devices_);
  }
};

// A medium in the first drive.
class ScsiMediumHarness : public MediumHarness {
 public:
  // `choose`: the storage element that it is in.
  explicit ScsiMediumHarness(ElementAddress (*choose)(const LibraryDevices&)) {
    const ElementAddress slot = choose(devices_);
    VELLUM_CHECK(devices_.changer->MoveMedium(slot, drive().Address()).ok());
    auto medium = drive().Open();
    VELLUM_CHECK(medium.ok());
    medium_ = std::move(*medium);
  }
  ~ScsiMediumHarness() override {
    medium_.reset();
    drive().Close().IgnoreError("the next test allows removal again");
  }
  Medium& medium() override { return *medium_; }
  // The target reads no open disc (5/21/00).
  bool ReadsOpen() const override { return false; }

 private:
  Drive& drive() { return *devices_.drives.front(); }

  LibraryDevices devices_ = OpenDevices();
  std::unique_ptr<Medium> medium_;
};

// The drive that a variable names, with a medium and no changer.
class OneDriveHarness : public MediumHarness {
 public:
  explicit OneDriveHarness(const char* variable)
      : drive_(ElementAddress{256},
               std::make_shared<scsi::Device>(
                   MustOpen(NamedByEnvironment(variable))),
               {}) {
    auto medium = drive_.Open();
    VELLUM_CHECK(medium.ok());
    medium_ = std::move(*medium);
  }
  ~OneDriveHarness() override {
    medium_.reset();
    drive_.Close().IgnoreError("the next test allows removal again");
  }
  Medium& medium() override { return *medium_; }

 private:
  scsi::ScsiDrive drive_;
  std::unique_ptr<Medium> medium_;
};

std::unique_ptr<DevicesHarness> MakeDevices() {
  return std::make_unique<ScsiDevicesHarness>();
}
std::unique_ptr<DevicesHarness> MakeDiscDevices() {
  return std::make_unique<DiscDevicesHarness>();
}
std::unique_ptr<MediumHarness> MakeMedium() {
  return std::make_unique<ScsiMediumHarness>([](const LibraryDevices&) {
    scsi::Device changer(MustOpen(NamedDevices().changer));
    return FirstMedium(changer).first;
  });
}
std::unique_ptr<MediumHarness> MakeDisc() {
  return std::make_unique<ScsiMediumHarness>(&FindBlankDisc);
}
// debug_device.sh
std::unique_ptr<MediumHarness> MakeOpticalMemory() {
  return std::make_unique<OneDriveHarness>("VELLUM_SCSI_DEBUG");
}
// linux_target.sh
std::unique_ptr<MediumHarness> MakeLinuxTarget() {
  return std::make_unique<OneDriveHarness>("VELLUM_SCSI_LINUX");
}

INSTANTIATE_TEST_SUITE_P(Scsi, ChangerContract, testing::Values(&MakeDevices));
INSTANTIATE_TEST_SUITE_P(Scsi, DriveContract, testing::Values(&MakeDevices));
INSTANTIATE_TEST_SUITE_P(Scsi, MediumContract, testing::Values(&MakeMedium));
INSTANTIATE_TEST_SUITE_P(Disc, ChangerContract,
                         testing::Values(&MakeDiscDevices));
INSTANTIATE_TEST_SUITE_P(Disc, DriveContract,
                         testing::Values(&MakeDiscDevices));
INSTANTIATE_TEST_SUITE_P(Disc, WriteOnceContract, testing::Values(&MakeDisc));
INSTANTIATE_TEST_SUITE_P(OpticalMemory, MediumContract,
                         testing::Values(&MakeOpticalMemory));
INSTANTIATE_TEST_SUITE_P(LinuxTarget, MediumContract,
                         testing::Values(&MakeLinuxTarget));

}  // namespace
}  // namespace vellum
