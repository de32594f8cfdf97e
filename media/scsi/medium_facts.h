// SPDX-License-Identifier: Apache-2.0
// What a drive tells about the medium in it, asked once when it is loaded.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>

#include "media/error.h"
#include "media/medium.h"
#include "media/scsi/device.h"

namespace vellum::scsi {

struct MediumFacts {
  MediumClass medium_class = MediumClass::kRewritable;
  // "BD-RE", "disk", …
  std::string kind;
  uint16_t profile = 0;     // MMC-6 table 95; 0: none
  uint32_t block_size = 0;  // bytes: 512, 1024, 2048 or 4096
  uint64_t sectors = 0;     // of 2048 bytes
  uint32_t atomic_sectors = 1;
  bool write_protected = false;
  // Write-once and nothing was ever written: sectors counts what can be.
  bool blank = false;
  // Blocks that were not written since the medium was erased answer BLANK CHECK
  // to a READ, as on optical memories: they count as zeros.
  bool has_erased_blocks = false;
  // Another one may be put in its place.
  bool removable = false;
  // Most bytes of one transfer, as device and transport say; whole sectors.
  size_t max_transfer = 0;
  // Two commands in flight keep the device busy. It says whether it takes them
  // (CMDQUE, SPC-4 6.4.2): drives behind ATAPI have that byte reserved and get
  // one at a time, and so do writes of what can be taken out (scsi_medium.h).
  // Discs and optical memories are written in order, for a step back costs them
  // a turn, and what is written once has no other order.
  bool queues_reads = false;
  bool queues_writes = false;
};

// REQUIRES: the device is ready. kIncompatible: blocks of another size, no
// capacity (a medium that was not formatted); kDeviceError and the like as
// Device::Run says.
Result<MediumFacts> ReadMediumFacts(Device& device, const Inquiry& inquiry);

// Of the track of a disc that is not closed: the first block on which nothing
// is recorded, as the drive says; nothing where it does not.
Result<std::optional<uint64_t>> ReadNextWritable(Device& device);

// Whether nothing more can be written on the disc: READ DISC INFORMATION.
Result<bool> ReadDiscComplete(Device& device);

}  // namespace vellum::scsi
