// SPDX-License-Identifier: Apache-2.0
// The changers and drives that keep the contract of devices_contract.h.
#include <utility>

#include "media/virtual_library.h"
#include "tests/contract/devices_contract.h"
#include "tests/support/fake_library.h"
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
INSTANTIATE_TEST_SUITE_P(Fake, DriveContract, testing::Values(&MakeFake));

}  // namespace
}  // namespace vellum
