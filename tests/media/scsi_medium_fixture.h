// SPDX-License-Identifier: Apache-2.0
// A medium of 8 MiB in a SCSI drive in memory.
#pragma once

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <utility>
#include <vector>

#include "media/scsi/big_endian.h"
#include "media/scsi/scsi_drive.h"
#include "media/scsi/scsi_medium.h"
#include "tests/support/hooked_transport.h"
#include "tests/support/scsi_disk.h"
#include "tests/support/status_matchers.h"

namespace vellum {

inline constexpr uint8_t kRead10 = 0x28, kRead12 = 0xA8, kRead16 = 0x88;
inline constexpr uint8_t kWrite10 = 0x2A, kWrite12 = 0xAA, kWrite16 = 0x8A;
inline constexpr uint8_t kVerify10 = 0x2F, kSynchronize = 0x35;
inline constexpr uint8_t kWriteSame10 = 0x41, kWriteSame16 = 0x93;

inline scsi::Patience Impatient() {
  scsi::Patience patience;
  patience.busy = std::chrono::milliseconds(50);
  patience.ready = std::chrono::milliseconds(50);
  patience.first_pause = std::chrono::milliseconds(1);
  return patience;
}

inline Bytes Filled(size_t sectors, int value) {
  return Bytes(sectors * kSectorSize, static_cast<std::byte>(value));
}

class ScsiMediumTest : public testing::Test {
 protected:
  // A medium of 8 MiB.
  void Load(const ScsiDiskOptions& options = {}, uint32_t block_size = 512) {
    Load(options, NewCartridge(block_size));
  }
  void Load(const ScsiDiskOptions& options,
            std::shared_ptr<ScsiCartridge> cartridge,
            bool verify_writes = false) {
    medium_.reset();
    disk_ = ScsiDisk(options);
    cartridge_ = std::move(cartridge);
    disk_.Insert(cartridge_);
    hook_ = nullptr;
    device_ = std::make_shared<scsi::Device>(
        std::make_unique<HookedTransport>(disk_.Open(),
                                          [this](const scsi::Command& command) {
                                            if (hook_) hook_(command);
                                          }),
        Impatient());
    drive_ = std::make_unique<scsi::ScsiDrive>(
        ElementAddress{256}, device_,
        scsi::ScsiDriveOptions{std::chrono::milliseconds(100),
                               [] { return VolumeTag("V00001L1"); },
                               verify_writes});
    auto medium = drive_->Open();
    ASSERT_OK(medium);
    medium_ = std::move(*medium);
  }
  static std::shared_ptr<ScsiCartridge> NewCartridge(uint32_t block_size) {
    return std::make_shared<ScsiCartridge>(block_size, (8u << 20) / block_size);
  }
  Bytes ReadBack(uint64_t lba, size_t sectors) {
    Bytes data(sectors * kSectorSize);
    EXPECT_OK(medium_->Read(lba, data));
    return data;
  }
  std::byte OnCartridge(uint64_t lba) const {
    return cartridge_->data[lba * kSectorSize];
  }
  std::vector<ScsiDiskCommand> Sent(uint8_t code) const {
    std::vector<ScsiDiskCommand> sent;
    for (const ScsiDiskCommand& command : disk_.Log()) {
      if (command.cdb[0] == code) sent.push_back(command);
    }
    return sent;
  }

  ScsiDisk disk_;
  ScsiHook hook_;
  std::shared_ptr<scsi::Device> device_;
  std::shared_ptr<ScsiCartridge> cartridge_;
  std::unique_ptr<scsi::ScsiDrive> drive_;
  std::unique_ptr<Medium> medium_;
};

}  // namespace vellum
