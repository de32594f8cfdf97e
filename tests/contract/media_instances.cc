// SPDX-License-Identifier: Apache-2.0
// The media that keep the contract of medium_contract.h.
#include <unistd.h>

#include <fstream>
#include <utility>

#include "media/borrowed_medium.h"
#include "media/fault_medium.h"
#include "media/image_medium.h"
#include "media/scsi/scsi_drive.h"
#include "media/virtual_library.h"
#include "tests/contract/medium_contract.h"
#include "tests/support/crash_medium.h"
#include "tests/support/memory_medium.h"
#include "tests/support/scsi_disk.h"
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

// A drive of this type whose medium has blocks of this size.
template <uint8_t kType, uint32_t kBlockSize, uint16_t kProfile,
          bool kVerified = false>
std::unique_ptr<MediumHarness> MakeScsiMedium() {
  ScsiDiskOptions options;
  options.device_type = kType;
  options.transport_limit = 64 << 10;  // so that transfers are split
  ScsiDisk disk(options);
  auto cartridge = std::make_shared<ScsiCartridge>(
      kBlockSize, kSectors * kSectorSize / kBlockSize);
  cartridge->profile = kProfile;
  disk.Insert(cartridge);
  scsi::ScsiDriveOptions drive_options;
  drive_options.verify_writes = kVerified;
  scsi::ScsiDrive drive(ElementAddress{256},
                        std::make_shared<scsi::Device>(disk.Open()),
                        drive_options);
  auto medium = drive.Open();
  VELLUM_CHECK(medium.ok());
  return std::make_unique<OwningHarness>(std::move(*medium));
}

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
INSTANTIATE_TEST_SUITE_P(ScsiDisk512, MediumContract,
                         testing::Values(&MakeScsiMedium<0, 512, 0>));
INSTANTIATE_TEST_SUITE_P(ScsiDisk2048, MediumContract,
                         testing::Values(&MakeScsiMedium<0, 2048, 0>));
INSTANTIATE_TEST_SUITE_P(ScsiDisk4096, MediumContract,
                         testing::Values(&MakeScsiMedium<0, 4096, 0>));
INSTANTIATE_TEST_SUITE_P(ScsiDiskVerified, MediumContract,
                         testing::Values(&MakeScsiMedium<0, 4096, 0, true>));
INSTANTIATE_TEST_SUITE_P(ScsiOpticalMemory1024, MediumContract,
                         testing::Values(&MakeScsiMedium<7, 1024, 0>));
INSTANTIATE_TEST_SUITE_P(ScsiBlurayRewritable, MediumContract,
                         testing::Values(&MakeScsiMedium<5, 2048, 0x43>));

}  // namespace
}  // namespace vellum
