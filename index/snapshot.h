// SPDX-License-Identifier: Apache-2.0
// One pinned generation of a volume that stays in use: the source of a copy.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>

#include "index/catalog.h"
#include "index/change_map.h"
#include "index/records.h"
#include "media/error.h"
#include "media/types.h"
#include "media/udf/layout.h"

namespace vellum {

class Volume;
struct SnapshotState;  // index/overlay.h

// The sectors of the volume as of `generation`: blocks freed later are not
// reused, and a sector that is overwritten in place has its old content saved
// first. Reading asks the device first and lets the saved content win. A backup
// or write-protected volume gives a snapshot too: nothing changes under it.
// Thread-safety: const methods may be called concurrently. REQUIRES: the volume
// stays attached (its use is held) while Read is called.
class VolumeSnapshot {
 public:
  ~VolumeSnapshot();  // lets go of the pin

  const VolumeRecord& record() const;  // as of the generation
  Generation generation() const;
  const udf::Geometry& geometry() const;
  // Space bitmap of the generation, 1 = free (udf::BitmapIsFree).
  const Bytes& bitmap() const;
  // Is this sector part of the generation: metadata outside the partition
  // (recognition sequence, descriptors, LVID, anchors) or a used block? Control
  // slots, ring and log are not.
  bool UsesSector(uint64_t sector) const;
  // The regions that hold at least one such sector.
  RegionSet UsedRegions() const;
  // Regions that changed after `since` up to this generation. kOutOfRange when
  // the change map does not reach back that far or the lineage differs (the
  // message says which): a full copy is needed.
  Result<RegionSet> ChangedSince(const Generation& since) const;

  // Whole sectors. kDeviceError; kNoSpace when the overlay overflowed its bound
  // and the snapshot is no longer whole.
  Status Read(uint64_t lba, ByteSpan out) const;
  // So, or kDeviceError: a commit could not read what it had to keep.
  Status CheckWhole() const;

  // The catalog as of the generation. May be kept longer than the snapshot.
  std::shared_ptr<const CatalogSnapshot> catalog() const;

 private:
  friend class Volume;
  explicit VolumeSnapshot(std::shared_ptr<SnapshotState> state);
  std::shared_ptr<SnapshotState> state_;
};

}  // namespace vellum
