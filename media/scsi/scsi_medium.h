// SPDX-License-Identifier: Apache-2.0
// A medium in a SCSI drive: disk, optical memory, DVD, BD.
//
// Commands: READ and WRITE with 10, 16 or 12 bytes, whichever the device takes
// (16 where addresses need it). One transfer is as long as device and transport
// allow, at most 1 MiB, and ends at a multiple of the medium's write unit. A
// call that needs several keeps two in flight where the device says that it
// queues commands; discs and optical memories are written one command after the
// other all the same (medium_facts.h). Of a medium that can be taken out every
// write is alone with the device, whoever else reads or writes: only one of two
// commands is told of a change, and the other one would write to another
// medium.
//
// Reading back: after DropReadCache the next read of a sector has FUA set, so
// that it comes from the medium, and DPO, but for discs (type 5), whose drives
// have it reserved; a device that refuses both gets FUA alone. Where it refuses
// that, too, the range is first given to VERIFY, which reads the medium; else
// it is an ordinary read. What a drive takes is remembered from medium to
// medium.
//
// Blocks of 4096 bytes: a write of one sector, or one that begins or ends
// inside a block, reads that block first and writes all of it, while no other
// write is under way. What a torn write may destroy is the block: MediumInfo
// says so.
//
// With `verify_writes` nothing counts as written before the drive has checked
// it: WRITE AND VERIFY with a comparison, else without, else WRITE and VERIFY,
// else WRITE and reading back, whichever the device takes. Not of blank discs.
//
// Optical memories answer BLANK CHECK where nothing was written since the block
// was erased: that reads as zeros. A whole transfer of it is recognised by
// VERIFY, which must answer so too, and VERIFY with BLKVFY; else it is read in
// ever smaller parts. Another error of VERIFY is one of the read.
//
// Write-once discs: what was not yet written reads as zeros. Writes follow one
// another from sector 0, Finalize closes the disc; after a failed write nothing
// more can be written. Reads of a disc that is not closed are kNotSupported on
// drives that refuse them (ReadsNoOpenDisc), and so is a read error (3/11/xx)
// where the drive itself says that nothing is recorded there yet.
//
// Another medium: once the device tells that its medium may have been changed,
// or is away, every call fails with kNoMedium, for ever. So does a read beside
// which another command was told: a read that ends well has waited for the
// answers to all commands of this medium that were under way with it. After a
// reset of the device every write and flush fails, for what it had not yet
// written is lost. After no answer in time every call fails at once: a dead
// drive costs one time-out, not one per call.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "media/error.h"
#include "media/medium.h"
#include "media/mutex.h"
#include "media/scsi/command_turns.h"
#include "media/scsi/device.h"
#include "media/scsi/drive_abilities.h"
#include "media/scsi/medium_facts.h"

namespace vellum::scsi {

// Ownership: shares the device with the drive that made it. Thread-safety: as
// Medium; two threads may have a command each with the device.
class ScsiMedium : public Medium {
 public:
  // `abilities`: of the drive. `name`: for messages. REQUIRES: no other medium
  // is open on the device.
  ScsiMedium(std::shared_ptr<Device> device,
             std::shared_ptr<DriveAbilities> abilities,
             const MediumFacts& facts, std::string name,
             bool verify_writes = false);

  MediumInfo Info() const override;
  Status Read(uint64_t lba, ByteSpan out) override;
  Status Write(uint64_t lba, ConstByteSpan data) override;
  Status Flush() override;
  // Has the drive write zeros (WRITE SAME) where it can, else sends them;
  // with `verify_writes` always that. kNotSupported on write-once media.
  Status Discard(uint64_t lba, uint64_t count) override;
  Result<SectorRange> NextAllocated(SectorRange from) override;
  void DropReadCache(uint64_t lba, uint64_t count) override;
  // Write-once media: flushes and closes the disc, which is complete and
  // write-protected then. kNotSupported on others, kWriteProtected on those
  // that are complete.
  Status Finalize() override;

  // How reads after DropReadCache avoid the cache, as far as was tried: "DPO
  // and FUA", "FUA", "VERIFY", "not".
  const char* ReadBackMethod() const;
  // How Discard has the drive write zeros: "WRITE SAME(10), …". Asks the drive.
  Result<std::string> ZeroMethod();
  // How writes are checked, as far as was tried; "none".
  const char* WriteCheckMethod() const;

 private:
  // A piece of a transfer that one command does.
  using Piece = std::function<Status(uint64_t lba, uint64_t count)>;
  enum class Direction : uint8_t { kRead, kWrite };
  // From the best to what every device can.
  enum class WriteCheck : uint8_t {
    kCompared,
    kWriteAndVerify,
    kVerify,
    kReadBack,
  };

  // REQUIRES: whole blocks.
  SectorRange BlocksOf(SectorRange range) const;
  SectorRange WholeBlocks(SectorRange range) const;  // that it touches

  Status CheckUsable(const char* operation, bool changes);
  // Whether the device has told so, for ever.
  bool IsGone();
  // Splits the range and calls `piece` for each part, for two at a time if the
  // device `queues`; the first error.
  Status ForEachPiece(SectorRange range, bool queues, const Piece& piece);
  Status ReadPiece(uint64_t lba, ByteSpan out);
  // True: the READ met an erased block. REQUIRES: whole blocks.
  Result<bool> ReadBlocks(SectorRange range, bool uncached, ByteSpan out);
  // Of a removable medium; null for others.
  CommandTurns* SharedTurns() { return facts_.removable ? &turns_ : nullptr; }
  Status Transfer(Direction direction, SectorRange range, ReadBack form,
                  ByteSpan in, ConstByteSpan out, Sense* sense);
  // Reads past the cache. False: the device refuses that, nothing was read.
  // An error is that of the command, with its sense.
  Result<bool> TransferUncached(SectorRange range, ByteSpan out, Sense* sense);
  Status VerifyOnMedium(SectorRange range, Sense* sense);
  // Whether the READ failed at a block that was not written since it was
  // erased.
  bool IsErased(const Sense& sense) const;
  // Whether nothing was written in the range since it was erased, as far as
  // the drive's VERIFY tells.
  Result<bool> IsAllErased(SectorRange range);
  // Reads what is partly or wholly erased, which is zeros there; past the cache
  // if `uncached`.
  Status ReadErased(SectorRange range, bool uncached, ByteSpan out);
  // What a failed command means for this medium, and its message.
  Status Failed(const char* operation, SectorRange range, const Error& error,
                const Sense& sense);
  Status ReadFailed(const char* operation, SectorRange range,
                    const Error& error, const Sense& sense);

  Status WriteOnce(uint64_t lba, ConstByteSpan data);
  Status WritePieces(uint64_t lba, ConstByteSpan data);
  Status WritePiece(uint64_t lba, ConstByteSpan data);
  // REQUIRES: nobody else writes.
  Status WriteParts(SectorRange range, SectorRange whole, ConstByteSpan data);
  // REQUIRES of these: whole blocks.
  Status WriteBlocks(SectorRange range, ConstByteSpan data);
  Status WriteChecked(SectorRange range, ConstByteSpan data);
  Status WriteAndVerify(SectorRange range, bool compare, ConstByteSpan data,
                        Sense* sense);
  // Up to where the drive has filled it with zeros: the begin where it cannot.
  // REQUIRES: whole blocks.
  Result<uint64_t> Fill(SectorRange range);
  // Before the first WRITE SAME.
  Status AskForWriteSame();
  // How much one WRITE SAME may fill, as far as is known.
  uint64_t FillSectors() const;
  // One WRITE SAME that the device takes: how many sectors of the part it
  // filled. 0: the device does not take any.
  Result<uint64_t> FillPart(SectorRange part);
  Status WriteSame(bool is_long, SectorRange blocks, Sense* sense);
  Status WriteZeros(uint64_t lba, uint64_t end);
  Status CloseDisc(uint8_t function);
  // Sectors that were written of a disc that was blank; of others all.
  uint64_t Written() const;

  bool TakeUncached(SectorRange range);
  void MarkUncached(SectorRange range);

  const std::shared_ptr<Device> device_;
  const std::shared_ptr<DriveAbilities> abilities_;
  const MediumFacts facts_;
  // One of them is 1.
  const uint32_t blocks_per_sector_;
  const uint32_t sectors_per_block_;
  const uint64_t piece_sectors_;
  const std::string name_;
  const bool verify_writes_;

  std::atomic<bool> dead_{false};
  std::atomic<bool> was_reset_{false};
  std::atomic<bool> flush_failed_{false};
  std::atomic<bool> finalized_{false};
  std::atomic<bool> has_cache_{true};
  std::atomic<bool> asked_write_same_{false};
  std::atomic<bool> told_write_same_{false};
  std::atomic<uint64_t> fill_sectors_{0};  // of one WRITE SAME, once asked
  // Index into the lengths of commands that are tried.
  std::atomic<size_t> read_length_{0};
  std::atomic<size_t> write_length_{0};
  std::atomic<WriteCheck> write_check_{WriteCheck::kCompared};

  // Of a removable medium: writes alone. Of another one with blocks of several
  // sectors: writes of parts of them alone among the writes.
  CommandTurns turns_;

  mutable Mutex mu_;  // a leaf
  bool gone_ GUARDED_BY(mu_) = false;
  uint64_t next_ GUARDED_BY(mu_) = 0;  // of a blank disc: where writing goes on
  bool writing_ GUARDED_BY(mu_) = false;
  // Sectors to be read from the medium itself: first -> end, apart.
  std::map<uint64_t, uint64_t> uncached_ GUARDED_BY(mu_);
};

}  // namespace vellum::scsi
