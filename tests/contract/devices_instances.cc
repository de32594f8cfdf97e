// SPDX-License-Identifier: Apache-2.0
// The changers and drives that keep the contract of devices_contract.h.
#include <utility>

#include "media/scsi/scsi_changer.h"
#include "media/virtual_library.h"
#include "tests/contract/devices_contract.h"
#include "tests/support/fake_library.h"
#include "tests/support/fake_scsi_changer.h"
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
std::unique_ptr<DevicesHarness> MakeVirtual() {
  return std::make_unique<VirtualHarness>();
}
std::unique_ptr<DevicesHarness> MakeFake() {
  return std::make_unique<FakeHarness>();
}

INSTANTIATE_TEST_SUITE_P(Virtual, ChangerContract,
                         testing::Values(&MakeVirtual));
INSTANTIATE_TEST_SUITE_P(Virtual, DriveContract, testing::Values(&MakeVirtual));
INSTANTIATE_TEST_SUITE_P(Fake, ChangerContract, testing::Values(&MakeFake));
INSTANTIATE_TEST_SUITE_P(Scsi, ChangerContract,
                         testing::Values(&MakeScsi, &MakeSloppyScsi));
INSTANTIATE_TEST_SUITE_P(Fake, DriveContract, testing::Values(&MakeFake));

}  // namespace
}  // namespace vellum
