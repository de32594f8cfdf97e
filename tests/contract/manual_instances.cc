// SPDX-License-Identifier: Apache-2.0
// The changer and the drives of a manual library, with an operator who does at
// once what is asked.
#include <unistd.h>

#include <fstream>
#include <memory>
#include <utility>
#include <vector>

#include "media/manual/dock_medium.h"
#include "media/manual/manual_changer.h"
#include "media/manual/manual_drive.h"
#include "tests/contract/devices_contract.h"
#include "tests/contract/medium_contract.h"
#include "tests/support/manual_bench.h"
#include "tests/support/temp_dir.h"

namespace vellum {
namespace {

class ManualHarness : public DevicesHarness {
 public:
  ManualHarness() {
    drives_.push_back(
        std::make_unique<ManualDrive>(state_, ManualBench::kDock));
  }
  Changer& changer() override { return changer_; }
  const std::vector<std::unique_ptr<Drive>>& drives() override {
    return drives_;
  }

 private:
  ManualBench bench_;
  std::shared_ptr<ManualState> state_ = bench_.Load();
  ObedientOperator operator_{state_, &bench_};
  ManualChanger changer_{state_};
  std::vector<std::unique_ptr<Drive>> drives_;
};

class DockHarness : public MediumHarness {
 public:
  DockHarness() {
    DockMediumOptions options;
    options.path = dir_.Sub("image");
    { std::ofstream make(options.path); }
    VELLUM_CHECK(truncate(options.path.c_str(), 8 << 20) == 0);
    options.fingerprint = Dock(options.path).Find().fingerprint;
    options.name = "V00001 in dock 256";
    auto medium = DockMedium::Open(options);
    VELLUM_CHECK(medium.ok());
    medium_ = std::move(*medium);
  }
  Medium& medium() override { return *medium_; }

 private:
  TempDir dir_;
  std::unique_ptr<Medium> medium_;
};

std::unique_ptr<MediumHarness> MakeDock() {
  return std::make_unique<DockHarness>();
}

std::unique_ptr<DevicesHarness> MakeManual() {
  return std::make_unique<ManualHarness>();
}

INSTANTIATE_TEST_SUITE_P(Manual, ChangerContract, testing::Values(&MakeManual));
INSTANTIATE_TEST_SUITE_P(Manual, DriveContract, testing::Values(&MakeManual));
INSTANTIATE_TEST_SUITE_P(Dock, MediumContract, testing::Values(&MakeDock));

}  // namespace
}  // namespace vellum
