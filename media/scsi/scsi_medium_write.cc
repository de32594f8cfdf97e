// SPDX-License-Identifier: Apache-2.0
// How a medium in a SCSI drive is written: whole blocks, parts of blocks, and
// with a check of what was written.
#include <fmt/format.h>
#include <spdlog/spdlog.h>

#include <algorithm>
#include <chrono>
#include <cstring>

#include "media/medium_range.h"
#include "media/scsi/block_commands.h"
#include "media/scsi/scsi_medium.h"

namespace vellum::scsi {

namespace {

// The drive writes, waits for the medium to come round again, and reads.
constexpr std::chrono::seconds kVerifiedTimeout{240};

// What one WRITE SAME fills, 16 MiB: a slow drive, and a daemon that is to
// end, wait for no more than that, and 512-byte blocks fit WRITE SAME(10).
constexpr uint64_t kFillSectors = 8192;
constexpr std::chrono::seconds kFillTimeout{240};
// Where a drive refuses a length and told no limit, a quarter of it is tried,
// and so on down to this: 64 KiB, below which plain writes are as good.
constexpr uint64_t kLeastFillSectors = 32;
constexpr uint64_t kShorter = 4;

}  // namespace

Status ScsiMedium::WritePieces(uint64_t lba, ConstByteSpan data) {
  return ForEachPiece(
      {lba, data.size() / kSectorSize}, facts_.queues_writes,
      [&](uint64_t at, uint64_t count) {
        return WritePiece(
            at, data.subspan((at - lba) * kSectorSize, count * kSectorSize));
      });
}

Status ScsiMedium::WritePiece(uint64_t lba, ConstByteSpan data) {
  const SectorRange range{lba, data.size() / kSectorSize};
  const SectorRange whole = WholeBlocks(range);
  // While a block is read to be changed in part, nobody writes the rest of it.
  const bool part = whole != range;
  const bool takes_turns = facts_.removable || sectors_per_block_ > 1;
  const CommandTurn turn(takes_turns ? &turns_ : nullptr,
                         facts_.removable || part);
  RETURN_IF_ERROR(CheckUsable("write", /*changes=*/true));
  return part ? WriteParts(range, whole, data) : WriteBlocks(range, data);
}

Status ScsiMedium::WriteParts(SectorRange range, SectorRange whole,
                              ConstByteSpan data) {
  Bytes blocks(whole.count * kSectorSize);
  const auto read = [&](uint64_t sector) {
    const SectorRange block{sector, sectors_per_block_};
    Sense sense;
    const Status status =
        Transfer(Direction::kRead, block, ReadBack::kPlain,
                 ByteSpan(blocks).subspan((sector - whole.first) * kSectorSize,
                                          block.count * kSectorSize),
                 {}, &sense);
    if (status.ok() || IsErased(sense)) return Status::Ok();
    return Failed("read the rest of a block to write", block, status.error(),
                  sense);
  };
  const uint64_t last = whole.end() - sectors_per_block_;
  if (range.first != whole.first) RETURN_IF_ERROR(read(whole.first));
  if (range.end() != whole.end() &&
      (last != whole.first || range.first == whole.first)) {
    RETURN_IF_ERROR(read(last));
  }
  std::memcpy(blocks.data() + (range.first - whole.first) * kSectorSize,
              data.data(), data.size());
  return WriteBlocks(whole, blocks);
}

Status ScsiMedium::WriteBlocks(SectorRange range, ConstByteSpan data) {
  if (verify_writes_) return WriteChecked(range, data);
  Sense sense;
  const Status status =
      Transfer(Direction::kWrite, range, ReadBack::kPlain, {}, data, &sense);
  if (status.ok()) return status;
  return Failed("write", range, status.error(), sense);
}

Status ScsiMedium::WriteChecked(SectorRange range, ConstByteSpan data) {
  for (;;) {
    const WriteCheck check = write_check_;
    if (check > WriteCheck::kWriteAndVerify) break;
    Sense sense;
    const Status status =
        WriteAndVerify(range, check == WriteCheck::kCompared, data, &sense);
    if (status.ok()) return status;
    if (!IsUnknownCommand(sense) && !IsUnknownField(sense)) {
      return Failed("write and verify", range, status.error(), sense);
    }
    const bool bit_only =
        IsUnknownField(sense) && check == WriteCheck::kCompared;
    write_check_ = bit_only ? WriteCheck::kWriteAndVerify : WriteCheck::kVerify;
  }
  Sense sense;
  Status status =
      Transfer(Direction::kWrite, range, ReadBack::kPlain, {}, data, &sense);
  if (!status.ok()) return Failed("write", range, status.error(), sense);
  if (abilities_->takes_verify) {
    RETURN_IF_ERROR(VerifyOnMedium(range, &sense));
    if (abilities_->takes_verify) return status;
  }
  write_check_ = WriteCheck::kReadBack;
  Bytes back(data.size());
  const Result<bool> done = TransferUncached(range, back, &sense);
  status = done.status();
  if (done.ok() && !*done) {
    status =
        Transfer(Direction::kRead, range, ReadBack::kPlain, back, {}, &sense);
    if (status.ok()) abilities_->ReadsBackBy(ReadBack::kPlain);
  }
  if (!status.ok()) return Failed("read back", range, status.error(), sense);
  if (std::equal(back.begin(), back.end(), data.begin(), data.end())) {
    return Status::Ok();
  }
  return Status(Errc::kDeviceError,
                fmt::format("{}: write at sector {}: what is read back is not "
                            "what was written",
                            name_, range.first));
}

Status ScsiMedium::WriteAndVerify(SectorRange range, bool compare,
                                  ConstByteSpan data, Sense* sense) {
  const BlockOpcodes& codes = kBlockOpcodes[write_length_];
  const SectorRange blocks = BlocksOf(range);
  Command command;
  command.cdb = BlockCdb(codes.write_verify, codes.length,
                         compare ? kCompare : 0, blocks.first, blocks.count);
  command.out = data;
  command.timeout = kVerifiedTimeout;
  return device_
      ->Run(fmt::format("WRITE AND VERIFY({}) of blocks {} to {}", codes.length,
                        blocks.first, blocks.end() - 1),
            command, Repeat::kOnlyUnchanged, sense)
      .status();
}

Status ScsiMedium::Discard(uint64_t lba, uint64_t count) {
  const MediumInfo info = Info();
  RETURN_IF_ERROR(CheckSectorRange(info, "discard", lba, count));
  if (count == 0) return Status::Ok();
  if (facts_.medium_class != MediumClass::kRewritable) {
    return Status(Errc::kNotSupported,
                  name_ + ": discard: the medium is written once");
  }
  RETURN_IF_ERROR(CheckWritable(info, "discard"));
  const uint64_t end = lba + count;
  if (!verify_writes_) {
    const uint64_t unit = sectors_per_block_;
    const uint64_t first = (lba + unit - 1) / unit * unit;
    const uint64_t filled = end / unit * unit;
    if (first < filled) {
      ASSIGN_OR_RETURN(const uint64_t reached, Fill({first, filled - first}));
      if (reached > first) {
        RETURN_IF_ERROR(WriteZeros(lba, first));
        lba = reached;
      }
    }
  }
  return WriteZeros(lba, end);
}

Status ScsiMedium::AskForWriteSame() {
  if (asked_write_same_) return Status::Ok();
  ASSIGN_OR_RETURN(const WriteSameFacts told, AskWriteSame(*device_));
  if (!told.takes_10) abilities_->takes_write_same_10 = false;
  if (!told.takes_16) abilities_->takes_write_same_16 = false;
  told_write_same_ = told.told;
  uint64_t sectors = kFillSectors;
  if (told.most_blocks != 0) {
    const uint64_t most = std::min<uint64_t>(told.most_blocks, UINT32_MAX);
    sectors = std::min(sectors, most * sectors_per_block_ / blocks_per_sector_);
  }
  fill_sectors_ = sectors;
  asked_write_same_ = true;
  return Status::Ok();
}

Result<uint64_t> ScsiMedium::Fill(SectorRange range) {
  {
    const CommandTurn turn(SharedTurns(), /*alone=*/false);
    RETURN_IF_ERROR(CheckUsable("discard", /*changes=*/true));
    const Status asked = AskForWriteSame();
    if (!asked.ok()) {
      return Failed("discard", range, asked.error(), Sense()).error();
    }
  }
  uint64_t at = range.first;
  for (uint64_t most = FillSectors(); at < range.end() && most > 0;
       most = FillSectors()) {
    const CommandTurn turn(SharedTurns(), /*alone=*/true);
    RETURN_IF_ERROR(CheckUsable("discard", /*changes=*/true));
    const SectorRange part{at, std::min(range.end() - at, most)};
    ASSIGN_OR_RETURN(const uint64_t filled, FillPart(part));
    if (filled == 0) break;
    at += filled;
  }
  return at;
}

uint64_t ScsiMedium::FillSectors() const {
  return std::min<uint64_t>(fill_sectors_, abilities_->fill_sectors);
}

Result<uint64_t> ScsiMedium::FillPart(SectorRange part) {
  const uint64_t unit = sectors_per_block_;
  for (const bool is_long : {false, true}) {
    std::atomic<bool>& takes = is_long ? abilities_->takes_write_same_16
                                       : abilities_->takes_write_same_10;
    uint64_t count = part.count;
    while (takes) {
      const SectorRange blocks = BlocksOf({part.first, count});
      if (!is_long &&
          (blocks.end() > UINT32_MAX || blocks.count > UINT16_MAX)) {
        break;
      }
      Sense sense;
      const Status status = WriteSame(is_long, blocks, &sense);
      if (status.ok()) {
        // What is shorter because a shorter one was asked for tells nothing.
        if (count < part.count) abilities_->fill_sectors = count;
        return count;
      }
      if (IsUnknownField(sense) && count > kLeastFillSectors) {
        // Perhaps of the length: no limit needs to be told (Block Limits).
        count = std::max(kLeastFillSectors, count / kShorter / unit * unit);
      } else if (IsUnknownCommand(sense) || IsUnknownField(sense)) {
        takes = false;
      } else {
        return Failed("discard", {part.first, count}, status.error(), sense)
            .error();
      }
    }
  }
  return uint64_t{0};
}

Status ScsiMedium::WriteSame(bool is_long, SectorRange blocks, Sense* sense) {
  const Bytes zeros(kSectorSize * sectors_per_block_ / blocks_per_sector_);
  Command command;
  command.cdb = BlockCdb(is_long ? kWriteSame16 : kWriteSame10,
                         is_long ? 16 : 10, 0, blocks.first, blocks.count);
  command.out = zeros;
  command.timeout = kFillTimeout;
  return device_
      ->Run(fmt::format("WRITE SAME({}) of blocks {} to {}", is_long ? 16 : 10,
                        blocks.first, blocks.end() - 1),
            command, Repeat::kOnlyUnchanged, sense)
      .status();
}

Result<std::string> ScsiMedium::ZeroMethod() {
  RETURN_IF_ERROR(AskForWriteSame());
  const bool takes_10 = abilities_->takes_write_same_10;
  const bool takes_16 = abilities_->takes_write_same_16;
  if ((!takes_10 && !takes_16) || FillSectors() == 0) {
    return std::string("no WRITE SAME: zeros are sent over the bus");
  }
  return fmt::format(
      "WRITE SAME({}){}, {} KiB with each",
      takes_10 && takes_16 ? "10, 16"
      : takes_10           ? "10"
                           : "16",
      told_write_same_ ? "" : " is tried, the drive does not tell",
      FillSectors() * kSectorSize / 1024);
}

Status ScsiMedium::WriteZeros(uint64_t lba, uint64_t end) {
  if (lba >= end) return Status::Ok();
  const Bytes zeros(std::min(end - lba, 4 * piece_sectors_) * kSectorSize);
  while (lba < end) {
    const uint64_t n =
        std::min<uint64_t>(end - lba, zeros.size() / kSectorSize);
    RETURN_IF_ERROR(Write(lba, ConstByteSpan(zeros).first(n * kSectorSize)));
    lba += n;
  }
  return Status::Ok();
}

const char* ScsiMedium::WriteCheckMethod() const {
  if (!verify_writes_) return "none";
  switch (write_check_) {
    case WriteCheck::kCompared:
      return "WRITE AND VERIFY, compared";
    case WriteCheck::kWriteAndVerify:
      return "WRITE AND VERIFY";
    case WriteCheck::kVerify:
      return "VERIFY";
    case WriteCheck::kReadBack:
      return "reading back";
  }
  return "";
}

}  // namespace vellum::scsi
