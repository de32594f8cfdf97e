// SPDX-License-Identifier: Apache-2.0
// The media that keep the contract of medium_contract.h.
#include <unistd.h>

#include <fstream>
#include <utility>

#include "media/borrowed_medium.h"
#include "media/fault_medium.h"
#include "media/image_medium.h"
#include "media/virtual_library.h"
#include "tests/contract/medium_contract.h"
#include "tests/support/crash_medium.h"
#include "tests/support/memory_medium.h"
#include "tests/support/temp_dir.h"

namespace vellum {
namespace {

constexpr uint64_t kSectors = 4096;

class OwningHarness : public MediumHarness {
 public:
  explicit OwningHarness(std::unique_ptr<Medium> medium)
      : medium_(std::move(medium)) {}
  Medium& medium() override { return *medium_; }

 private:
  std::unique_ptr<Medium> medium_;
};

class ImageHarness : public MediumHarness {
 public:
  ImageHarness() {
    const std::string path = dir_.Sub("image");
    { std::ofstream make(path); }
    VELLUM_CHECK(truncate(path.c_str(), kSectors * kSectorSize) == 0);
    auto medium = OpenImageFile(path, /*read_only=*/false);
    VELLUM_CHECK(medium.ok());
    medium_ = std::move(*medium);
  }
  Medium& medium() override { return *medium_; }

 private:
  TempDir dir_;
  std::unique_ptr<Medium> medium_;
};

class BorrowedHarness : public MediumHarness {
 public:
  Medium& medium() override { return medium_; }

 private:
  MemoryMedium base_{kSectors};
  BorrowedMedium medium_{&base_};
};

std::unique_ptr<MediumHarness> MakeMemory() {
  return std::make_unique<OwningHarness>(
      std::make_unique<MemoryMedium>(kSectors));
}

std::unique_ptr<MediumHarness> MakeCrash() {
  MemoryMediumOptions options;
  options.sectors = kSectors;
  return std::make_unique<OwningHarness>(
      std::make_unique<CrashMedium>(options));
}

std::unique_ptr<MediumHarness> MakeFaultless() {
  return std::make_unique<OwningHarness>(std::make_unique<FaultMedium>(
      std::make_unique<MemoryMedium>(kSectors), std::make_shared<FaultPlan>()));
}

std::unique_ptr<MediumHarness> MakeImage() {
  return std::make_unique<ImageHarness>();
}

std::unique_ptr<MediumHarness> MakeBorrowed() {
  return std::make_unique<BorrowedHarness>();
}

INSTANTIATE_TEST_SUITE_P(Memory, MediumContract, testing::Values(&MakeMemory));
INSTANTIATE_TEST_SUITE_P(Crash, MediumContract, testing::Values(&MakeCrash));
INSTANTIATE_TEST_SUITE_P(FaultWithoutFaults, MediumContract,
                         testing::Values(&MakeFaultless));
INSTANTIATE_TEST_SUITE_P(Image, MediumContract, testing::Values(&MakeImage));
INSTANTIATE_TEST_SUITE_P(Borrowed, MediumContract,
                         testing::Values(&MakeBorrowed));

}  // namespace
}  // namespace vellum
