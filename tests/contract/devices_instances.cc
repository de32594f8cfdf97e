// SPDX-License-Identifier: Apache-2.0
// The changers and drives that keep the contract of devices_contract.h.
#include <map>
#include <memory>
#include <utility>
#include <vector>

#include "media/scsi/scsi_changer.h"
#include "media/scsi/scsi_library.h"
#include "media/virtual_library.h"
#include "tests/contract/devices_contract.h"
#include "tests/support/fake_library.h"
#include "tests/support/fake_scsi_changer.h"
#include "tests/support/scsi_disk.h"
#include "tests/support/temp_dir.h"

namespace vellum {
namespace {

class VirtualHarness : public DevicesHarness {
 public:
  VirtualHarness() {
    VirtualLibraryOptions options;
    options.slots = 6;
    options.media = 2;
    options.capacity = 8 << 20;
    VELLUM_CHECK(InitVirtualLibrary(dir_.Sub("library"), options).ok());
    const auto config = ReadLibraryConfig(dir_.Sub("library"));
    VELLUM_CHECK(config.ok());
    auto devices = OpenVirtualLibrary(*config);
    VELLUM_CHECK(devices.ok());
    devices_ = std::move(*devices);
  }
  Changer& changer() override { return *devices_.changer; }
  const std::vector<std::unique_ptr<Drive>>& drives() override {
    return devices_.drives;
  }

 private:
  TempDir dir_;
  LibraryDevices devices_;
};

class FakeHarness : public DevicesHarness {
 public:
  Changer& changer() override { return *changer_; }
  const std::vector<std::unique_ptr<Drive>>& drives() override {
    return drives_;
  }

 private:
  FakeLibrary library_;
  std::unique_ptr<Changer> changer_ = library_.MakeChanger();
  std::vector<std::unique_ptr<Drive>> drives_ = library_.MakeDrives();
};

// Where the fake SCSI changer has a drive: its robot is what is looked at.
class DrivePlace : public Drive {
 public:
  explicit DrivePlace(ElementAddress address) : address_(address) {}
  ElementAddress Address() const override { return address_; }
  Result<DriveIdentity> Identify() override { return DriveIdentity{}; }
  Result<std::unique_ptr<Medium>> Open() override {
    return Error{Errc::kNotSupported, "a place without a drive"};
  }
  Status Close() override { return Status::Ok(); }

 private:
  const ElementAddress address_;
};

class ScsiHarness : public DevicesHarness {
 public:
  explicit ScsiHarness(const FakeScsiChangerOptions& options) : fake_(options) {
    fake_.Put(1024, "V00001L1");
    auto changer = scsi::ScsiChanger::Open(fake_.Open());
    VELLUM_CHECK(changer.ok());
    changer_ = std::move(*changer);
    drives_.push_back(std::make_unique<DrivePlace>(ElementAddress{256}));
  }
  Changer& changer() override { return *changer_; }
  const std::vector<std::unique_ptr<Drive>>& drives() override {
    return drives_;
  }

 private:
  FakeScsiChanger fake_;
  std::unique_ptr<scsi::ScsiChanger> changer_;
  std::vector<std::unique_ptr<Drive>> drives_;
};

std::unique_ptr<DevicesHarness> MakeScsi() {
  return std::make_unique<ScsiHarness>(FakeScsiChangerOptions{});
}
// As tgt.
std::unique_ptr<DevicesHarness> MakeSloppyScsi() {
  FakeScsiChangerOptions options;
  options.all_types = FakeScsiChangerOptions::AllTypes::kShort;
  options.cut = 8;
  options.access_bits = false;
  return std::make_unique<ScsiHarness>(options);
}
// The fake library's robot, which puts cartridges into SCSI drives.
class CartridgeRobot : public Changer {
 public:
  CartridgeRobot(FakeLibrary* library, std::map<ElementAddress, ScsiDisk> disks)
      : robot_(library->MakeChanger()), disks_(std::move(disks)) {}

  Result<ChangerIdentity> Identify() override { return robot_->Identify(); }
  Result<ElementMap> Elements() override { return robot_->Elements(); }
  Result<std::vector<ElementStatus>> ReadElementStatus() override {
    return robot_->ReadElementStatus();
  }
  Status InitializeElementStatus() override {
    return robot_->InitializeElementStatus();
  }
  Status MoveMedium(ElementAddress from, ElementAddress to) override {
    const auto source = disks_.find(from);
    if (source != disks_.end() && source->second.prevented()) {
      return Status(Errc::kBusy, "drive " + ToString(from) +
                                     " prevents the removal of its medium");
    }
    RETURN_IF_ERROR(robot_->MoveMedium(from, to));
    std::shared_ptr<ScsiCartridge> cartridge;
    if (source != disks_.end()) {
      cartridge = source->second.Remove();
    } else if (const auto it = shelf_.find(from); it != shelf_.end()) {
      cartridge = std::exchange(it->second, nullptr);
    }
    if (!cartridge) cartridge = std::make_shared<ScsiCartridge>(512, 16384);
    const auto target = disks_.find(to);
    if (target != disks_.end()) {
      target->second.Insert(std::move(cartridge));
    } else {
      shelf_[to] = std::move(cartridge);
    }
    return Status::Ok();
  }

 private:
  const std::unique_ptr<Changer> robot_;
  std::map<ElementAddress, ScsiDisk> disks_;
  std::map<ElementAddress, std::shared_ptr<ScsiCartridge>> shelf_;
};

class CartridgeHarness : public DevicesHarness {
 public:
  CartridgeHarness() {
    std::map<ElementAddress, ScsiDisk> disks;
    std::vector<std::pair<ElementAddress, std::shared_ptr<scsi::Device>>>
        drives;
    for (const uint16_t address : {uint16_t{256}, uint16_t{257}}) {
      const ScsiDisk& disk = disks[ElementAddress{address}];
      drives.emplace_back(ElementAddress{address},
                          std::make_shared<scsi::Device>(disk.Open()));
    }
    devices_ = JoinScsiDevices(
        std::make_unique<CartridgeRobot>(&library_, std::move(disks)),
        std::move(drives));
  }
  Changer& changer() override { return *devices_.changer; }
  const std::vector<std::unique_ptr<Drive>>& drives() override {
    return devices_.drives;
  }

 private:
  FakeLibrary library_;
  LibraryDevices devices_;
};

std::unique_ptr<DevicesHarness> MakeScsiDrives() {
  return std::make_unique<CartridgeHarness>();
}

std::unique_ptr<DevicesHarness> MakeVirtual() {
  return std::make_unique<VirtualHarness>();
}
std::unique_ptr<DevicesHarness> MakeFake() {
  return std::make_unique<FakeHarness>();
}

INSTANTIATE_TEST_SUITE_P(Virtual, ChangerContract,
                         testing::Values(&MakeVirtual));
INSTANTIATE_TEST_SUITE_P(Virtual, DriveContract, testing::Values(&MakeVirtual));
INSTANTIATE_TEST_SUITE_P(ScsiDrives, ChangerContract,
                         testing::Values(&MakeScsiDrives));
INSTANTIATE_TEST_SUITE_P(ScsiDrives, DriveContract,
                         testing::Values(&MakeScsiDrives));
INSTANTIATE_TEST_SUITE_P(Fake, ChangerContract, testing::Values(&MakeFake));
INSTANTIATE_TEST_SUITE_P(Scsi, ChangerContract,
                         testing::Values(&MakeScsi, &MakeSloppyScsi));
INSTANTIATE_TEST_SUITE_P(Fake, DriveContract, testing::Values(&MakeFake));

}  // namespace
}  // namespace vellum
