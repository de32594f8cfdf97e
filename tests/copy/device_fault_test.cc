// SPDX-License-Identifier: Apache-2.0
// As job_fault_test.cc: each operation of the changer and the drives fails,
// before or after it was carried out, or is the last that the device answers,
// and each read of the catalog fails (label fault).
#include <fmt/format.h>
#include <gtest/gtest.h>

#include "tests/copy/fault_sweep.h"

namespace vellum {
namespace {

class DeviceFaultTest : public testing::TestWithParam<FaultScenario> {};

TEST_P(DeviceFaultTest, EveryOperationFails) {
  using Act = FaultDevices::Act;
  using Device = FaultDevices::Device;
  FaultSweep sweep(GetParam());
  const auto fail = [&sweep](Device device) {
    const uint64_t sites =
        sweep.FailEverywhere(DeviceFails(device, Act::kFail));
    sweep.FailEverywhere(DeviceFails(device, Act::kDone));
    sweep.FailEverywhere(DeviceFails(device, Act::kGone));
    return sites;
  };
  const uint64_t changer = fail(Device::kChanger);
  const uint64_t drive = fail(Device::kDrive);
  const uint64_t reads = sweep.FailEverywhere(CatalogReadFails());
  fmt::print(
      "fault sites: {}: {} changer, {} drive (three ways each), {} catalog "
      "reads; {} failures, {} masked, {} violations\n",
      GetParam().name, changer, drive, reads, sweep.runs(), sweep.masked(),
      sweep.violations().size());
  EXPECT_EQ(changer > 0, GetParam().sites.changer);
  EXPECT_EQ(drive > 0, GetParam().sites.drive);
  EXPECT_EQ(reads > 0, GetParam().sites.look_ups);
  EXPECT_EQ(sweep.violations().size(), 0u) << sweep.violations()[0];
}

INSTANTIATE_TEST_SUITE_P(All, DeviceFaultTest,
                         testing::ValuesIn(FaultScenarios()), ScenarioTestName);

}  // namespace
}  // namespace vellum
