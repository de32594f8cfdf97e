// SPDX-License-Identifier: Apache-2.0
// The changer, drives and media behind SCSI keep the contracts of
// tests/contract, on the devices that the environment names (devices.h).
#include <utility>
#include <vector>

#include "media/library_devices.h"
#include "media/scsi/scsi_changer.h"
#include "media/scsi/scsi_drive.h"
#include "media/scsi/scsi_library.h"
#include "tests/contract/devices_contract.h"
#include "tests/contract/medium_contract.h"
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

class ScsiDevicesHarness : public DevicesHarness {
 public:
  Changer& changer() override { return *devices_.changer; }
  const std::vector<std::unique_ptr<Drive>>& drives() override {
    return devices_.drives;
  }

 private:
  LibraryDevices devices_ = OpenDevices();
};

// The first medium, in the first drive.
class ScsiMediumHarness : public MediumHarness {
 public:
  ScsiMediumHarness() {
    scsi::Device changer(MustOpen(NamedDevices().changer));
    const ElementAddress slot = FirstMedium(changer).first;
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
std::unique_ptr<MediumHarness> MakeMedium() {
  return std::make_unique<ScsiMediumHarness>();
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
INSTANTIATE_TEST_SUITE_P(OpticalMemory, MediumContract,
                         testing::Values(&MakeOpticalMemory));
INSTANTIATE_TEST_SUITE_P(LinuxTarget, MediumContract,
                         testing::Values(&MakeLinuxTarget));

}  // namespace
}  // namespace vellum
