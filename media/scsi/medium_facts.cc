// SPDX-License-Identifier: Apache-2.0
#include "media/scsi/medium_facts.h"

#include <fmt/format.h>

#include <algorithm>
#include <bit>
#include <chrono>
#include <span>
#include <vector>

#include "media/scsi/big_endian.h"

namespace vellum::scsi {

namespace {

constexpr std::chrono::seconds kProbeTimeout{60};
// More than this in one command gains nothing and keeps others waiting.
constexpr size_t kLargestTransfer = 1 << 20;

constexpr uint32_t kLargestBlock = 4096;

constexpr uint8_t kDisk = 0x00;
constexpr uint8_t kMultimedia = 0x05;
constexpr uint8_t kOpticalMemory = 0x07;

enum class Use : uint8_t { kOverwrite, kOnce, kReadOnly };

// MMC-6 table 95: what is done with the medium that is in the drive, and the
// sectors of one ECC block. CD-R, CD-RW and DVD-R need write parameters (mode
// page 05h) and are only read.
struct Profile {
  uint16_t number;
  const char* name;
  Use use;
  uint32_t ecc_sectors;
};
constexpr Profile kProfiles[] = {
    {0x0002, "removable disk", Use::kOverwrite, 1},
    {0x0003, "MO", Use::kOverwrite, 1},
    {0x0004, "optical write-once", Use::kReadOnly, 1},
    {0x0005, "AS-MO", Use::kOverwrite, 1},
    {0x0008, "CD-ROM", Use::kReadOnly, 1},
    {0x0009, "CD-R", Use::kReadOnly, 1},
    {0x000A, "CD-RW", Use::kReadOnly, 1},
    {0x0010, "DVD-ROM", Use::kReadOnly, 16},
    {0x0011, "DVD-R", Use::kReadOnly, 16},
    {0x0012, "DVD-RAM", Use::kOverwrite, 16},
    {0x0013, "DVD-RW", Use::kOverwrite, 16},
    {0x0014, "DVD-RW (sequential)", Use::kReadOnly, 16},
    {0x0015, "DVD-R DL", Use::kReadOnly, 16},
    {0x001A, "DVD+RW", Use::kOverwrite, 16},
    {0x001B, "DVD+R", Use::kOnce, 16},
    {0x002A, "DVD+RW DL", Use::kOverwrite, 16},
    {0x002B, "DVD+R DL", Use::kOnce, 16},
    {0x0040, "BD-ROM", Use::kReadOnly, 32},
    {0x0041, "BD-R", Use::kOnce, 32},
    {0x0042, "BD-R (random)", Use::kReadOnly, 32},
    {0x0043, "BD-RE", Use::kOverwrite, 32},
    {0x0050, "HD DVD-ROM", Use::kReadOnly, 32},
    {0x0051, "HD DVD-R", Use::kReadOnly, 32},
    {0x0052, "HD DVD-RAM", Use::kOverwrite, 32},
};

Profile ProfileOf(uint16_t number) {
  for (const Profile& profile : kProfiles) {
    if (profile.number == number) return profile;
  }
  return {number, "disc of an unknown profile", Use::kReadOnly, 1};
}

// Optical memories whose blocks, or some of them, are written once: the medium
// types of SCSI-2, table 223. They are only read.
struct OpticalType {
  uint8_t number;
  const char* name;
};
constexpr OpticalType kOpticalTypes[] = {
    {0x01, "optical read-only"},
    {0x02, "optical write-once"},
    {0x04, "optical read-only and write-once"},
    {0x06, "optical write-once and rewritable"},
};

// The answer to a command that reads `size` bytes, as many as came.
Result<std::vector<uint8_t>> Ask(Device& device, const char* what,
                                 std::vector<uint8_t> cdb, size_t size) {
  std::vector<uint8_t> data(size);
  Command command;
  command.cdb = std::move(cdb);
  command.in = std::as_writable_bytes(std::span(data));
  command.timeout = kProbeTimeout;
  ASSIGN_OR_RETURN(const size_t got,
                   device.Run(what, command, Repeat::kIdempotent));
  data.resize(std::min(got, size));
  return data;
}

Status ReadCapacity(Device& device, bool ask_long, MediumFacts* facts,
                    uint64_t* blocks) {
  ASSIGN_OR_RETURN(
      const std::vector<uint8_t> brief,
      Ask(device, "READ CAPACITY(10)", {0x25, 0, 0, 0, 0, 0, 0, 0, 0, 0}, 8));
  uint64_t last = GetBig(brief, 0, 4);
  facts->block_size = static_cast<uint32_t>(GetBig(brief, 4, 4));
  const bool too_large = last == 0xFFFFFFFF;
  *blocks = last + 1;
  if (!too_large && !ask_long) return Status::Ok();
  const Result<std::vector<uint8_t>> full =
      Ask(device, "READ CAPACITY(16)",
          {0x9E, 0x10, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 32, 0, 0}, 32);
  if (!full.ok()) {
    // What older devices do not know they answer in several ways.
    return too_large ? Status(full.error()) : Status::Ok();
  }
  if (GetBig(*full, 8, 4) != facts->block_size) return Status::Ok();
  *blocks = GetBig(*full, 0, 8) + 1;
  const uint32_t physical = facts->block_size << (GetBig(*full, 13, 1) & 0x0F);
  facts->atomic_sectors =
      std::max<uint32_t>(1, physical / uint32_t{kSectorSize});
  return Status::Ok();
}

// The mode parameter header: its WP bit (SBC-3 6.5.1), and the medium type of
// an optical memory.
void ReadModeHeader(Device& device, bool optical_memory, MediumFacts* facts) {
  uint8_t type = 0;
  uint8_t specific = 0;
  const auto brief =
      Ask(device, "MODE SENSE(6)", {0x1A, 0, 0x3F, 0, 192, 0}, 192);
  if (brief.ok() && brief->size() >= 3) {
    type = (*brief)[1];
    specific = (*brief)[2];
  } else {
    const auto full = Ask(device, "MODE SENSE(10)",
                          {0x5A, 0, 0x3F, 0, 0, 0, 0, 0, 192, 0}, 192);
    if (!full.ok() || full->size() < 4) return;
    type = (*full)[2];
    specific = (*full)[3];
  }
  facts->write_protected = (specific & 0x80) != 0;
  if (!optical_memory) return;
  for (const OpticalType& known : kOpticalTypes) {
    if (known.number != type) continue;
    facts->kind = known.name;
    facts->medium_class = MediumClass::kWriteOnce;
    facts->write_protected = true;
  }
}

// The cartridge's switch and the like (MMC-6 6.22.3.2.20): format C0h.
bool ReadDiscWriteProtect(Device& device) {
  const auto answer = Ask(device, "READ DISC STRUCTURE",
                          {0xAD, 0, 0, 0, 0, 0, 0, 0xC0, 0, 8, 0, 0}, 8);
  return answer.ok() && answer->size() >= 5 && ((*answer)[4] & 0x0F) != 0;
}

// kRewritable disks tell their largest transfer in the Block Limits page.
size_t LargestTransfer(Device& device, const Inquiry& inquiry,
                       const MediumFacts& facts) {
  size_t largest = std::min(kLargestTransfer, device.MaxTransfer());
  if (inquiry.device_type != kMultimedia) {
    const auto page = device.VitalPage(0xB0);
    const uint64_t blocks = page.ok() ? GetBig(*page, 8, 4) : 0;
    if (blocks > 0) {
      largest = std::min<uint64_t>(largest, blocks * facts.block_size);
    }
  }
  const size_t unit = size_t{facts.atomic_sectors} * kSectorSize;
  if (largest >= unit) return largest / unit * unit;
  return std::max<size_t>(largest / kSectorSize, 1) * kSectorSize;
}

Result<std::vector<uint8_t>> AskDisc(Device& device) {
  return Ask(device, "READ DISC INFORMATION",
             {0x51, 0, 0, 0, 0, 0, 0, 0, 34, 0}, 34);
}

Result<std::vector<uint8_t>> AskTrack(Device& device) {
  return Ask(device, "READ TRACK INFORMATION",
             {0x52, 1, 0, 0, 0, 1, 0, 0, 36, 0}, 36);
}

// Blank write-once discs say what can be written, the others that they are
// full.
Status ReadDisc(Device& device, MediumFacts* facts, uint64_t* blocks) {
  ASSIGN_OR_RETURN(const std::vector<uint8_t> disc, AskDisc(device));
  facts->write_protected = true;
  if (disc.size() < 3 || (disc[2] & 0x03) != 0) return Status::Ok();
  ASSIGN_OR_RETURN(const std::vector<uint8_t> track, AskTrack(device));
  const uint64_t next = GetBig(track, 12, 4);
  const uint64_t free = GetBig(track, 16, 4);
  // A disc whose first free sector is not sector 0 is none of ours.
  if (next != 0 || free == 0) return Status::Ok();
  facts->write_protected = false;
  facts->blank = true;
  facts->block_size = kSectorSize;
  *blocks = free;
  return Status::Ok();
}

Status ReadOptical(Device& device, MediumFacts* facts, uint64_t* blocks) {
  const auto configuration =
      Ask(device, "GET CONFIGURATION", {0x46, 2, 0, 0, 0, 0, 0, 0, 8, 0}, 8);
  if (configuration.ok()) {
    facts->profile = static_cast<uint16_t>(GetBig(*configuration, 6, 2));
  } else if (configuration.error().code != Errc::kNotSupported) {
    return configuration.error();
  }
  const Profile profile = ProfileOf(facts->profile);
  facts->kind = profile.name;
  facts->atomic_sectors = profile.ecc_sectors;
  if (profile.use == Use::kOverwrite) {
    facts->write_protected = ReadDiscWriteProtect(device);
    return Status::Ok();
  }
  facts->medium_class = MediumClass::kWriteOnce;
  facts->write_protected = true;
  if (profile.use == Use::kReadOnly) return Status::Ok();
  return ReadDisc(device, facts, blocks);
}

}  // namespace

Result<std::optional<uint64_t>> ReadNextWritable(Device& device) {
  ASSIGN_OR_RETURN(const std::vector<uint8_t> track, AskTrack(device));
  const bool valid = (GetBig(track, 7, 1) & 0x01) != 0;  // NWA_V
  if (!valid) return std::optional<uint64_t>();
  return std::optional<uint64_t>(GetBig(track, 12, 4));
}

Result<bool> ReadDiscComplete(Device& device) {
  ASSIGN_OR_RETURN(const std::vector<uint8_t> disc, AskDisc(device));
  return disc.size() >= 3 && (disc[2] & 0x03) == 2;
}

Result<MediumFacts> ReadMediumFacts(Device& device, const Inquiry& inquiry) {
  MediumFacts facts;
  uint64_t blocks = 0;
  const bool optical = inquiry.device_type == kMultimedia;
  facts.removable = inquiry.removable || inquiry.device_type != kDisk;
  facts.queues_reads = inquiry.queues;
  facts.queues_writes = inquiry.queues && !facts.removable;
  if (optical) {
    RETURN_IF_ERROR(ReadOptical(device, &facts, &blocks));
  } else {
    facts.kind = inquiry.device_type == kDisk ? "disk" : "optical memory";
    ReadModeHeader(device, inquiry.device_type == kOpticalMemory, &facts);
    facts.has_erased_blocks = inquiry.device_type == kOpticalMemory;
  }
  if (!facts.blank) {
    RETURN_IF_ERROR(
        ReadCapacity(device, inquiry.device_type == kDisk, &facts, &blocks));
  }
  if (facts.block_size != 512 && facts.block_size != 1024 &&
      facts.block_size != kSectorSize && facts.block_size != kLargestBlock) {
    return Error{Errc::kIncompatible,
                 fmt::format("{}: a {} with blocks of {} bytes: only those of "
                             "512, 1024, {} and {} can be used",
                             device.Name(), facts.kind, facts.block_size,
                             uint32_t{kSectorSize}, uint32_t{kLargestBlock})};
  }
  // Written as a whole, a block is what a torn write destroys.
  facts.atomic_sectors =
      std::max(facts.atomic_sectors, facts.block_size / kSectorSize);
  facts.sectors = blocks * facts.block_size / kSectorSize;
  // A blank disc and some drives without a capacity say "last block 0".
  if (blocks <= 1 || facts.sectors == 0) {
    return Error{Errc::kIncompatible,
                 fmt::format("{}: a {} without a capacity: it may have to be "
                             "formatted first (FORMAT UNIT)",
                             device.Name(), facts.kind)};
  }
  facts.max_transfer = LargestTransfer(device, inquiry, facts);
  return facts;
}

}  // namespace vellum::scsi
