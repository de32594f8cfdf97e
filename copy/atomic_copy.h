// SPDX-License-Identifier: Apache-2.0
// AtomicCopy: takes a complete backup from the generation that it holds to
// another one. Cut anywhere, the backup is at the old or at the new generation.
//
// The backup's own bitmap is the oracle (format section 4). Of each region to
// copy, sectors that the backup's tree does not use are written straight away;
// sectors that it uses and that differ become images of one redo record on the
// backup. Then: flush; read back what was written; record; flush = commit; the
// record is read back; overwrite in place; flush; read back; control slot.
//
// Where the drive may destroy a unit of several sectors, units that hold used
// sectors go into the record whole.
//
// Memory: the images, at most options.max_image_bytes; past it Write answers
// kNoSpace and the backup is unchanged.
//
// Thread-safety: one thread at a time. REQUIRES: an exclusive lease.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <vector>

#include "copy/backup_medium.h"
#include "copy/copy_hooks.h"
#include "copy/copy_source.h"
#include "copy/region_pump.h"
#include "copy/sector_map.h"
#include "media/error.h"
#include "media/medium.h"
#include "media/udf/journal.h"

namespace vellum {

struct AtomicCopyOptions {
  bool verify = true;
  uint64_t max_image_bytes = 128ull << 20;
  uint64_t chunk_regions = kChunkMaxRegions;  // that are moved at once
};

class AtomicCopy {
 public:
  // The source outlives the copy; source->regions are those that may differ.
  AtomicCopy(Medium* target, OpenedBackup backup, const CopySource* source,
             AtomicCopyOptions options, CopyHooks hooks);

  // Whether the backup can be brought to this source atomically at all: same
  // layout and identity. kIncompatible says why not.
  static Status CheckPossible(const OpenedBackup& backup,
                              const CopySource& source);

  // kNoSpace: the record has no room. After any error the backup is unchanged.
  Status Write();
  // Reads back what Write wrote (nothing when options.verify is off).
  Status Verify();
  // After an error the backup holds the old generation, or the new one as soon
  // as its journal is replayed; committed() tells when the latter is certain.
  Status Commit(const CopyNote& note);

  bool committed() const { return committed_; }
  // Write failed because an atomic commit has no room on this medium.
  bool no_room() const { return no_room_; }
  // As last written.
  const udf::ControlSlot& slot() const { return backup_.slot; }
  // CRC of the record that made the generation; 0: none was needed.
  uint32_t record_crc() const { return record_crc_; }
  uint64_t images() const { return images_.size(); }

 private:
  // What was written straight away in one region.
  struct Piece {
    uint64_t region = 0;
    uint32_t mask = 0;
    uint64_t hash = 0;
  };
  Status Consume(RegionChunk& chunk);
  // Bit i of the answer: sector i is to be written straight away; the others
  // that differ, and `forced`, are kept for the record.
  Result<uint32_t> Sort(uint64_t region, ConstByteSpan data,
                        std::optional<uint64_t> forced);
  Status Keep(uint64_t sector, ConstByteSpan content);
  Status ComparePiece(const Piece& piece, ConstByteSpan data);
  Status PickSpill();
  Status CommitRecord();
  Status CheckRecord(const udf::Record& record);

  Medium* const target_;
  OpenedBackup backup_;
  const CopySource* const source_;
  const AtomicCopyOptions options_;
  const CopyHooks hooks_;
  const SectorMap old_;  // what the backup's tree uses
  uint32_t unit_ = 1;    // sectors that the drive may destroy together

  std::vector<Piece> pieces_;
  udf::SectorImages images_;
  udf::Spill spill_;
  Bytes lvid_region_;      // of the new generation, LVID closed
  uint32_t lvid_crc_ = 0;  // of the closed LVID of the new generation
  uint32_t record_crc_ = 0;
  bool committed_ = false;
  bool no_room_ = false;
};

}  // namespace vellum
