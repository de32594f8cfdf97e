// SPDX-License-Identifier: Apache-2.0
// Makes an empty volume on a medium, and recognises what a medium holds.
#pragma once

#include <string>

#include "media/error.h"
#include "media/medium.h"
#include "media/udf/control.h"
#include "media/udf/layout.h"

namespace vellum::udf {

struct FormatOptions {
  std::string volume_id;
  Role role = Role::kPrimary;
  uint32_t threshold = 100;  // primary 1..100; a backup always has 99 (I5)
  bool clear = false;        // needed when the medium holds any data (I15)
  bool wipe = true;          // of what it held, free blocks keep nothing
  uint32_t root_mode = 0755;
  uint32_t root_uid = 0;
  uint32_t root_gid = 0;
};

// What is on the medium.
enum class MediumContent : uint8_t {
  kBlank,    // zeros wherever was looked
  kVellum,   // a valid control slot
  kForeign,  // anything else
};
// Reads at most 74 MiB, in 128 places and at both ends, however large the
// medium is, and nothing of what the medium knows to be a hole: FORMAT.md,
// section 8. A medium that holds data in other places only is taken for blank.
Result<MediumContent> ProbeMedium(Medium& medium);

// kExists when the medium holds data and `clear` is not set (names the volume
// that is on it); kInvalidArgument; kIncompatible (class, size);
// kWriteProtected. With `clear`, a medium of which the device cannot tell what
// it holds is taken to hold data, and the log says so. Order: invalidate slots
// and anchors, flush, write all, flush, write anchors and slot, flush: a crash
// in between leaves a medium that holds no volume, never a wrong one. Answers
// the slot as written. A new lineage, generation number 0, LVID closed.
Result<ControlSlot> FormatVolume(Medium& medium, const FormatOptions& options);

// The fixed descriptors of a volume: geometry from the private IUVD and the
// logical volume id, checked against VDS, anchors and FSD. Tries the anchors at
// 256, N-257 and N-1, main and reserve sequence. kIncompatible: UDF, but not
// made by Vellum; kNotFound: no UDF at all; kCorruption.
struct VolumeDescription {
  Geometry geometry;
  std::string format_uuid;
  std::string logical_volume_id;
};
Result<VolumeDescription> ReadDescription(Medium& medium);

// Sectors that a full copy writes last (recognition sequence, VDS, anchors):
// without them no reader takes the medium for a volume.
std::vector<SectorRange> DescriptorRanges(const Geometry& geometry);

}  // namespace vellum::udf
