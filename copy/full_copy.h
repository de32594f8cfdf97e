// SPDX-License-Identifier: Apache-2.0
// FullCopy: writes a whole generation onto a medium. Between Begin and the end
// of Commit the medium holds an INCOMPLETE backup that no reader takes for a
// volume: the control slot says so first, anchors and descriptors come last.
//
// Order on the medium (format section 4): slot INCOMPLETE with owner and record
// floor, flush; recognition sequence and anchors zeroed, flush; what another
// owner left discarded; data, flush, verified; descriptors, flush; slot
// COMPLETE, flush; note in the control log.
//
// Thread-safety: one thread at a time. REQUIRES: an exclusive lease.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "copy/backup_medium.h"
#include "copy/copy_hooks.h"
#include "copy/copy_source.h"
#include "copy/region_pump.h"
#include "media/error.h"
#include "media/medium.h"

namespace vellum {

struct FullCopyOptions {
  std::string volume_id;  // of the backup
  bool verify = true;
  bool wipe = true;                           // discard what another owner left
  uint64_t chunk_regions = kChunkMaxRegions;  // that are moved at once
};

class FullCopy {
 public:
  // `found`: what ProbeTarget said. The source outlives the copy.
  FullCopy(Medium* target, TargetContent found, const CopySource* source,
           FullCopyOptions options, CopyHooks hooks);

  // kWriteProtected, kIncompatible (medium class), kNoSpace (smaller than the
  // source's volume): nothing was written.
  Status CheckTarget() const;
  // The binding is durable when this returns.
  Status Begin();
  Status Write();
  // Does nothing when options.verify is off.
  Status Verify();
  // The slot is COMPLETE when this returns.
  Status Commit(const CopyNote& note);

  // As last written.
  const udf::ControlSlot& slot() const { return slot_; }

 private:
  Status Invalidate();
  Status Wipe();
  Status Consume(RegionChunk& chunk);
  Status ReadBack(RegionChunk* chunk);
  Status Compare(RegionChunk& chunk);
  bool HoldsOtherData() const;

  Medium* const target_;
  const TargetContent found_;
  const CopySource* const source_;
  const FullCopyOptions options_;
  const CopyHooks hooks_;

  udf::ControlSlot slot_;
  bool keep_log_ = false;
  std::vector<SectorRange> descriptor_ranges_;
  udf::SectorImages descriptors_;  // withheld until Commit
  std::vector<uint64_t> hashes_;   // one for each region of the source
  uint32_t lvid_crc_ = 0;
  uint64_t wiped_regions_ = 0;  // counted with those that are written
};

}  // namespace vellum
