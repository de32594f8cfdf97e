// SPDX-License-Identifier: Apache-2.0
// How a medium in a SCSI drive is written: whole blocks, parts of blocks, and
// with a check of what was written.
#include <fmt/format.h>
#include <spdlog/spdlog.h>

#include <algorithm>
#include <chrono>
#include <cstring>

#include "media/scsi/block_commands.h"
#include "media/scsi/scsi_medium.h"

namespace vellum::scsi {

namespace {

// The drive writes, waits for the medium to come round again, and reads.
constexpr std::chrono::seconds kVerifiedTimeout{240};

}  // namespace

Status ScsiMedium::WritePieces(uint64_t lba, ConstByteSpan data) {
  return ForEachPiece(
      {lba, data.size() / kSectorSize}, [&](uint64_t at, uint64_t count) {
        return WritePiece(
            at, data.subspan((at - lba) * kSectorSize, count * kSectorSize));
      });
}

Status ScsiMedium::WritePiece(uint64_t lba, ConstByteSpan data) {
  RETURN_IF_ERROR(CheckUsable("write", /*changes=*/true));
  const SectorRange range{lba, data.size() / kSectorSize};
  const SectorRange whole = WholeBlocks(range);
  if (sectors_per_block_ == 1) return WriteBlocks(range, data);
  // While a block is read to be changed in part, nobody writes the rest of it.
  const bool alone = whole != range;
  {
    MutexLock lock(&mu_);
    while (part_writer_ || (alone && writers_ > 0)) writers_done_.Wait(&mu_);
    part_writer_ = alone;
    ++writers_;
  }
  const Status status =
      alone ? WriteParts(range, whole, data) : WriteBlocks(range, data);
  MutexLock lock(&mu_);
  part_writer_ = false;
  --writers_;
  writers_done_.NotifyAll();
  return status;
}

Status ScsiMedium::WriteParts(SectorRange range, SectorRange whole,
                              ConstByteSpan data) {
  Bytes blocks(whole.count * kSectorSize);
  const auto read = [&](uint64_t sector) {
    const SectorRange block{sector, sectors_per_block_};
    Sense sense;
    const Status status =
        Transfer(Direction::kRead, block, false,
                 ByteSpan(blocks).subspan((sector - whole.first) * kSectorSize,
                                          block.count * kSectorSize),
                 {}, &sense);
    if (status.ok()) return status;
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
      Transfer(Direction::kWrite, range, false, {}, data, &sense);
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
  Status status = Transfer(Direction::kWrite, range, false, {}, data, &sense);
  if (!status.ok()) return Failed("write", range, status.error(), sense);
  if (takes_verify_) {
    RETURN_IF_ERROR(VerifyOnMedium(range));
    if (takes_verify_) return status;
  }
  write_check_ = WriteCheck::kReadBack;
  Bytes back(data.size());
  status = Transfer(Direction::kRead, range, takes_fua_, back, {}, &sense);
  if (!status.ok() && takes_fua_ && IsUnknownField(sense)) {
    takes_fua_ = false;
    status = Transfer(Direction::kRead, range, false, back, {}, &sense);
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
