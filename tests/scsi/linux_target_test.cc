// SPDX-License-Identifier: Apache-2.0
// Medium on a disk of Linux's own target, which refuses DPO and FUA and takes
// so many blocks with one WRITE SAME (linux_target.sh): what Vellum does
// instead, on a device that Vellum did not make.
#include <gtest/gtest.h>

#include <memory>
#include <utility>

#include "media/scsi/scsi_drive.h"
#include "media/scsi/scsi_medium.h"
#include "tests/scsi/devices.h"
#include "tests/support/status_matchers.h"

namespace vellum {
namespace {

using scsi::Command;
using scsi::Device;
using scsi::Repeat;

constexpr uint8_t kDpo = 0x10;
constexpr uint8_t kFua = 0x08;
constexpr uint64_t kSectors = 16384;
// More than the device fills with one command.
constexpr uint64_t kManySectors = 10'000;

class LinuxTargetTest : public testing::Test {
 protected:
  void SetUp() override { Open(/*verify_writes=*/false); }
  void TearDown() override { Close(); }

  void Open(bool verify_writes) {
    auto transport = OpenTransport(NamedByEnvironment("VELLUM_SCSI_LINUX"));
    ASSERT_OK(transport);
    device_ = std::make_shared<Device>(std::move(*transport));
    scsi::ScsiDriveOptions options;
    options.verify_writes = verify_writes;
    drive_ = std::make_unique<scsi::ScsiDrive>(ElementAddress{256}, device_,
                                               std::move(options));
    auto medium = drive_->Open();
    ASSERT_OK(medium);
    medium_ = std::move(*medium);
    ASSERT_EQ(medium_->Info().sectors, kSectors);
  }
  void Close() {
    medium_.reset();
    ASSERT_NE(drive_, nullptr);
    EXPECT_OK(drive_->Close());
  }
  scsi::ScsiMedium& scsi_medium() {
    return dynamic_cast<scsi::ScsiMedium&>(*medium_);
  }
  Status ReadWith(uint8_t flags) {
    Bytes block(kSectorSize);
    Command command;
    command.cdb = {0x28, flags, 0, 0, 0, 0, 0, 0, 1, 0};
    command.in = block;
    return device_->Run("READ", command, Repeat::kIdempotent).status();
  }
  Bytes Content(uint64_t lba, uint64_t sectors) {
    Bytes content(sectors * kSectorSize);
    EXPECT_OK(medium_->Read(lba, content));
    return content;
  }

  std::shared_ptr<Device> device_;
  std::unique_ptr<scsi::ScsiDrive> drive_;
  std::unique_ptr<Medium> medium_;
};

TEST_F(LinuxTargetTest, WhereFuaIsRefusedTheMediumIsVerified) {
  EXPECT_OK(ReadWith(0));
  EXPECT_THAT(ReadWith(kDpo | kFua), MessageHas("5/24/00"));
  EXPECT_THAT(ReadWith(kFua), MessageHas("5/24/00"));
  const Bytes data(3 * kSectorSize, std::byte{0x5A});
  ASSERT_OK(medium_->Write(40, data));
  medium_->DropReadCache(40, 3);
  EXPECT_EQ(Content(40, 3), data);
  EXPECT_STREQ(scsi_medium().ReadBackMethod(), "VERIFY");
  // Of the next medium, too, without trying again.
  medium_.reset();
  ASSERT_OK(drive_->Close());
  auto medium = drive_->Open();
  ASSERT_OK(medium);
  medium_ = std::move(*medium);
  EXPECT_STREQ(scsi_medium().ReadBackMethod(), "VERIFY");
  medium_->DropReadCache(40, 3);
  EXPECT_EQ(Content(40, 3), data);
}

TEST_F(LinuxTargetTest, ZerosKeepToTheLimitsThatTheDeviceTells) {
  const Bytes data(kSectorSize, std::byte{0x77});
  for (const uint64_t lba : {99, 100, 5000, 10'099, 10'100}) {
    ASSERT_OK(medium_->Write(lba, data));
  }
  ASSERT_OK_AND_ASSIGN(const std::string method, scsi_medium().ZeroMethod());
  EXPECT_EQ(method,
            "WRITE SAME(10, 16) is tried, the drive does not tell, 8192 KiB "
            "with each");
  // One of more blocks is refused.
  Bytes zeros(kSectorSize);
  Command large;
  large.cdb = {0x93, 0, 0, 0, 0, 0, 0, 0, 0, 100, 0, 0, 0x27, 0x10, 0, 0};
  large.out = zeros;
  EXPECT_THAT(device_->Run("WRITE SAME", large, Repeat::kIdempotent),
              MessageHas("5/24/00"));
  ASSERT_OK(medium_->Discard(100, kManySectors));
  EXPECT_EQ(Content(99, 1), data);
  EXPECT_EQ(Content(100, kManySectors), Bytes(kManySectors * kSectorSize));
  EXPECT_EQ(Content(10'100, 1), data);
  // By the device, still.
  ASSERT_OK_AND_ASSIGN(const std::string after, scsi_medium().ZeroMethod());
  EXPECT_EQ(after, method);
}

TEST_F(LinuxTargetTest, WritesAreChecked) {
  Close();
  ASSERT_NO_FATAL_FAILURE(Open(/*verify_writes=*/true));
  const Bytes data(600 * kSectorSize, std::byte{0x33});
  ASSERT_OK(medium_->Write(2000, data));
  EXPECT_EQ(Content(2000, 600), data);
  EXPECT_STREQ(scsi_medium().WriteCheckMethod(), "WRITE AND VERIFY, compared");
}

}  // namespace
}  // namespace vellum
