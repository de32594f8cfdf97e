// SPDX-License-Identifier: Apache-2.0
// WriteOnceCopy: writes a whole generation onto a blank write-once medium:
// every sector once, from 0 to the end of the volume, the last region only when
// what is before it was read back, and then the medium is closed for ever. A
// drive that reads a disc only when it is closed has it read back behind that:
// then a disc that does not keep what was written says COMPLETE for ever: who
// runs the copy notes it as damaged (says_complete). What a backup has to say
// about itself (control slot, control log) is written where it stands, with the
// rest; it is made before the first sector is written. A copy that breaks off
// leaves a medium that can never be used again: the backup on it lacks its last
// sector, the anchor at its end, and by that everybody sees that it is
// incomplete (udf::ReadControlSlot).
//
// Thread-safety: one thread at a time. REQUIRES: an exclusive lease.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "copy/backup_medium.h"
#include "copy/copy_hooks.h"
#include "copy/copy_source.h"
#include "copy/region_pump.h"
#include "media/error.h"
#include "media/medium.h"

namespace vellum {

struct WriteOnceCopyOptions {
  std::string volume_id;  // of the backup
  bool verify = true;
  uint64_t chunk_regions = kChunkMaxRegions;  // that are moved at once
};

class WriteOnceCopy {
 public:
  // `found`: what ProbeTarget said. The source outlives the copy and is a whole
  // generation.
  WriteOnceCopy(Medium* target, TargetContent found, const CopySource* source,
                WriteOnceCopyOptions options, CopyHooks hooks);

  // kWriteProtected (written already), kIncompatible (medium class), kNoSpace.
  // Nothing was written.
  Status CheckTarget() const;
  // Makes the slot and the log, in memory.
  Status Prepare(const CopyNote& note);
  // All but the last region. The first write spoils the medium for everything
  // else.
  Status Write();
  // Does nothing when options.verify is off.
  Status Verify();
  // Writes the last region and closes the medium; reads back what was not yet.
  Status Commit();

  // Whether the medium may have taken a sector.
  bool began() const { return began_; }
  // What is, or will be, on the medium: COMPLETE.
  const udf::ControlSlot& slot() const { return slot_; }
  // Whether the medium may say so to whoever reads it: Commit has begun to
  // write its end, whatever it answered.
  bool says_complete() const { return says_complete_; }

 private:
  class PrivateArea;
  Result<uint32_t> ReadLvidCrc() const;
  Status Fill(RegionChunk* chunk);
  Status Consume(RegionChunk& chunk);
  Status ReadBack(RegionChunk* chunk);
  Status Compare(RegionChunk& chunk);
  Status CompareRegions(const RegionSet& regions, const std::stop_token& stop);
  RegionSet AllRegions() const;
  uint64_t LastRegion() const;

  Medium* const target_;
  const TargetContent found_;
  const CopySource* const source_;
  const WriteOnceCopyOptions options_;
  const CopyHooks hooks_;

  udf::ControlSlot slot_;
  std::shared_ptr<PrivateArea> private_;
  uint64_t filled_ = 0;           // regions of the source that were read
  std::vector<uint64_t> hashes_;  // one for each region of the volume
  Bytes last_;                    // what the last region gets
  bool began_ = false;
  bool unread_ = false;  // the drive reads only what is closed
  bool says_complete_ = false;
};

}  // namespace vellum
