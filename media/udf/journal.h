// SPDX-License-Identifier: Apache-2.0
// The redo journal: a ring of records, each the atomic commit of one generation
// (media/udf/FORMAT.md section 3, S3). Byte layout: media/udf/JOURNAL.md.
//
// A record holds the images of all sectors that the commit overwrites in place.
// A record too large for half of the ring keeps its images (and its sector
// list) in free blocks that the header in the ring points to.
//
// Thread-safety: one caller at a time for a medium's journal.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "media/error.h"
#include "media/medium.h"
#include "media/types.h"
#include "media/udf/codec.h"
#include "media/udf/control.h"
#include "media/udf/layout.h"

namespace vellum::udf {

// Absolute sector -> its new content; ordered, so that S4 writes in runs.
using SectorImages = std::map<uint64_t, std::shared_ptr<const Sector>>;

// Sectors of a record that are put in place first, because a sector of the rest
// leads to what is new in them: blocks that nothing used before, such as
// preallocated ones that hold data from now on (who reads the medium before the
// replay must not find there what another file left), and the end of a
// directory that grew (nor a directory that is longer than its names).
using FreshSectors = std::set<uint64_t>;

struct RecordHeader {
  std::string format_uuid;
  uint64_t epoch = 0;     // the control slot's epoch when it was written
  uint64_t sequence = 0;  // grows with each record of the ring
  Generation generation;
  Role role = Role::kPrimary;
  std::string owner_id;
  uint32_t lvid_before = 0;  // CRC32C of the LVID sector that it replaces
  // Of the one before that, when the S4 that replaced it was not flushed before
  // the record was written; 0: it was.
  uint32_t lvid_oldest = 0;
  uint32_t lvid_after = 0;  // CRC32C of the LVID image in it
  uint32_t crc = 0;         // CRC32C over header (sequence and crc aside),
                            // list and images; not over where they stand
};

// A record to be written.
struct Record {
  RecordHeader header;  // crc is filled in by Journal::Write
  SectorImages images;
  FreshSectors fresh;  // some of the images'
  // What its writer wants to find again with it: at most kMaxRecordNote bytes
  // and not in a record that is spilled. Not part of RecordCrc.
  std::string note;
};
inline constexpr size_t kMaxRecordNote = 65536;

// Images that one record has at most: what a reader keeps in memory before it
// knows whether the record is whole.
uint64_t MaxRecordImages(const Geometry& geometry);

// Where the images of a record that is too large for the ring go: absolute
// ranges inside the partition, free in every generation that matters. They must
// stay as they are until the NEXT record is durable (its F2), not only until
// this one's S4 is: while the next record is being written, this one is what a
// scan finds. On media with atomic_sectors > 1: whole units.
using Spill = std::vector<SectorRange>;

class Journal {
 public:
  // `next` = first record slot after the newest valid record (see Scan).
  Journal(Medium* medium, const Geometry& geometry, uint64_t next_sequence,
          uint32_t next_sector);

  // Sectors of the ring that a record with so many images takes when it is not
  // spilled; a multiple of 32.
  static uint64_t RingSectors(size_t image_count, size_t note_bytes = 0);
  // Sectors of spill that `images` need.
  static uint64_t SpillSectors(size_t image_count);
  // True when a record with that many images must be spilled (more than half
  // of the ring: the record before must stay whole while this one is written).
  bool NeedsSpill(size_t image_count, size_t note_bytes = 0) const;

  // Writes the record (S3); not durable before the caller's flush (F2), and
  // after it the commit holds. Fills header.crc and header.sequence. `spill`
  // may be empty when NeedsSpill says no, else it has SpillSectors or more.
  // kNoSpace: a spill in so many pieces that the ring cannot list them, or
  // more than MaxRecordImages;
  // kInvalidArgument: images or LVID CRCs that contradict the geometry or each
  // other; nothing was written. After a device error the volume is frozen.
  // REQUIRES: the S4 of the record before was flushed, or the record holds all
  // images of that one, too, which says that those before it are durable.
  Status Write(Record* record, const Spill& spill);

  // Where the next record goes (for ControlSlot::ring_head).
  uint32_t next_sector() const { return next_sector_; }
  uint64_t next_sequence() const { return next_sequence_; }

 private:
  Medium* medium_;
  Geometry geometry_;
  uint64_t next_sequence_;
  uint32_t next_sector_;
};

// Writes images to their places in runs (S4): those of `fresh` first, with a
// flush behind them. Not durable before a flush.
Status WriteInPlace(Medium& medium, const SectorImages& images,
                    const FreshSectors& fresh = {});

// For media with atomic_sectors > 1: adds the present content of every other
// sector of each unit that `images` touch, so that a unit that is destroyed
// during S4 is restored as a whole by replay. No effect on other media. The
// caller sees to it that nobody writes to those units meanwhile. A sector that
// cannot be read becomes zeros if `needed` answers that nothing uses it.
Status FillAtomicUnits(
    Medium& medium, SectorImages* images,
    const std::function<bool(uint64_t sector)>& needed = nullptr);

// The CRC that Write would put into the header, for the catalog's pending
// batch.
uint32_t RecordCrc(const Record& record);

// What a scan of the ring finds. The newest valid record: highest epoch, then
// highest sequence, of this format_uuid, with epoch >= slot.record_floor and,
// for a slot that holds a lineage, of that lineage and with a number >= the
// slot's. Torn or partial records are not valid. kCorruption: a record that is
// whole but names sectors that no record may change.
struct ScanResult {
  std::optional<Record> newest;  // with images
  // Headers of records newer than `newest` whose body is torn. They must be
  // erased before anything is written to the ring: a later record could leave
  // just the sectors that they lack. ReplayJournal does.
  std::vector<uint32_t> torn;
  uint64_t next_sequence = 1;
  uint32_t next_sector = kRingSector;
};
Result<ScanResult> ScanRing(Medium& medium, const Geometry& geometry,
                            const ControlSlot& slot);

enum class ReplayOutcome : uint8_t {
  kNothing,  // no record, or the newest is in place already
  kReplayed,
  kForeign,  // LVID is neither the one before nor the one in the record, or
             // differs from the slot's: another system wrote; not replayed
};
struct ReplayResult {
  ReplayOutcome outcome = ReplayOutcome::kNothing;
  Generation generation;    // of the volume afterwards
  uint32_t record_crc = 0;  // of the newest record, 0 when none
  std::string note;         // that it carries
  uint64_t next_sequence = 1;
  uint32_t next_sector = kRingSector;
};
// What a replay has to do; reads only. `images`: what is not in place (with
// the rest of the atomic units concerned); empty unless outcome is kReplayed.
struct ReplayPlan {
  ReplayResult result;
  SectorImages images;
  FreshSectors fresh;
  std::vector<uint32_t> torn;
};
Result<ReplayPlan> PlanReplay(Medium& medium, const Geometry& geometry,
                              const ControlSlot& slot);

// Flush; replay; flush, as the format demands. For a write-protected medium use
// PlanReplay and ReplayedMedium instead. An interrupted replay is repeated by
// the next one. When the outcome is kForeign nothing was changed.
Result<ReplayResult> ReplayJournal(Medium& medium, const Geometry& geometry,
                                   const ControlSlot& slot);

// A read-only view of `base` with the newest record replayed in memory: for
// write-protected media and image files. Owns the base.
class ReplayedMedium : public Medium {
 public:
  ReplayedMedium(std::unique_ptr<Medium> base, SectorImages images);
  MediumInfo Info() const override;
  Status Read(uint64_t lba, ByteSpan out) override;
  Status Write(uint64_t lba, ConstByteSpan data) override;  // kWriteProtected
  Status Flush() override;
  Status Discard(uint64_t lba, uint64_t count) override;  // kWriteProtected
  Result<SectorRange> NextAllocated(SectorRange from) override;
  void DropReadCache(uint64_t lba, uint64_t count) override;

 private:
  const std::unique_ptr<Medium> base_;
  const SectorImages images_;
};

}  // namespace vellum::udf
