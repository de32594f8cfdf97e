// SPDX-License-Identifier: Apache-2.0
// The write-once media that take part.
#include <memory>
#include <utility>

#include "media/scsi/scsi_drive.h"
#include "media/write_once_medium.h"
#include "tests/contract/write_once_contract.h"
#include "tests/support/memory_medium.h"
#include "tests/support/scsi_disk.h"

namespace vellum {
namespace {

class OnceHarness : public MediumHarness {
 public:
  explicit OnceHarness(std::unique_ptr<Medium> medium)
      : medium_(std::move(medium)) {}
  Medium& medium() override { return *medium_; }

 private:
  std::unique_ptr<Medium> medium_;
};

std::unique_ptr<MediumHarness> MakeWriteOnceImage() {
  return std::make_unique<OnceHarness>(std::make_unique<WriteOnceMedium>(
      std::make_unique<MemoryMedium>(4096), WrittenState::kBlank,
      [](WrittenState) { return Status::Ok(); }));
}

template <uint16_t kProfile>
std::unique_ptr<MediumHarness> MakeBlankDisc() {
  ScsiDiskOptions options;
  options.device_type = 5;
  options.transport_limit = 64 << 10;
  ScsiDisk disk(options);
  auto disc = std::make_shared<ScsiCartridge>(2048, 4096);
  disc->profile = kProfile;
  disc->blank = true;
  disk.Insert(disc);
  scsi::ScsiDrive drive(ElementAddress{256},
                        std::make_shared<scsi::Device>(disk.Open()), {});
  auto medium = drive.Open();
  VELLUM_CHECK(medium.ok());
  return std::make_unique<OnceHarness>(std::move(*medium));
}

INSTANTIATE_TEST_SUITE_P(Image, WriteOnceContract,
                         testing::Values(&MakeWriteOnceImage));
INSTANTIATE_TEST_SUITE_P(ScsiBlurayRecordable, WriteOnceContract,
                         testing::Values(&MakeBlankDisc<0x41>));
INSTANTIATE_TEST_SUITE_P(ScsiDvdPlusR, WriteOnceContract,
                         testing::Values(&MakeBlankDisc<0x1B>));

}  // namespace
}  // namespace vellum
