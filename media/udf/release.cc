// SPDX-License-Identifier: Apache-2.0
#include "media/udf/release.h"

#include <fmt/format.h>

#include "media/udf/bytes.h"
#include "media/udf/control.h"
#include "media/udf/descriptors.h"
#include "media/udf/format.h"
#include "media/udf/sector_io.h"
#include "media/udf/tag.h"

namespace vellum::udf {
namespace {

constexpr uint32_t kAccessOverwritable = 4;
constexpr size_t kAccessOffset = 184;         // of a partition descriptor
constexpr size_t kLogicalDomainOffset = 216;  // regid of the domain
constexpr size_t kFileSetDomainOffset = 416;
constexpr size_t kDomainFlags = 26;  // in a regid

// One descriptor with its flags cleared, if it has any.
Status ReleaseDescriptor(Medium& medium, uint64_t at, uint32_t location) {
  Sector sector;
  RETURN_IF_ERROR(medium.Read(at, sector));
  const auto id = static_cast<TagId>(TagIdOf(sector));
  RETURN_IF_ERROR(CheckTag(sector, id, location));
  switch (id) {
    case kTagPartition:
      Store32(sector, kAccessOffset, kAccessOverwritable);
      break;
    case kTagLogicalVolume:
      Store8(sector, kLogicalDomainOffset + kDomainFlags, 0);
      break;
    case kTagFileSet:
      Store8(sector, kFileSetDomainOffset + kDomainFlags, 0);
      break;
    default:
      return Status::Ok();
  }
  SealTag(sector, id, location, TagCrcLengthOf(sector));
  return medium.Write(at, sector);
}

Status ReleaseSequence(Medium& medium, uint64_t first) {
  for (uint64_t at = first; at < first + kVdsSectors; ++at) {
    Sector sector;
    RETURN_IF_ERROR(medium.Read(at, sector));
    if (TagIdOf(sector) == kTagTerminator) break;
    RETURN_IF_ERROR(ReleaseDescriptor(medium, at, static_cast<uint32_t>(at)));
  }
  return medium.Flush();
}

}  // namespace

Status ReleaseVolume(Medium& medium) {
  const MediumInfo info = medium.Info();
  if (info.write_protected) {
    return Status(Errc::kWriteProtected, info.name + " is write-protected");
  }
  if (info.medium_class != MediumClass::kRewritable) {
    return Status(Errc::kIncompatible, info.name + " is not rewritable");
  }
  ASSIGN_OR_RETURN(const ControlSlot slot, ReadControlSlot(medium));
  if (slot.state != SlotState::kClean && slot.state != SlotState::kComplete &&
      slot.state != SlotState::kFiles) {
    return Status(Errc::kInvalidArgument,
                  fmt::format("volume {} on {} was not closed", slot.volume_id,
                              info.name));
  }
  ASSIGN_OR_RETURN(const VolumeDescription description,
                   ReadDescription(medium));
  const Geometry& geometry = description.geometry;
  // One sequence is whole at any time.
  RETURN_IF_ERROR(ReleaseSequence(medium, geometry.reserve_vds()));
  RETURN_IF_ERROR(ReleaseSequence(medium, kMainVdsSector));
  RETURN_IF_ERROR(
      ReleaseDescriptor(medium, geometry.Sector(kFileSetBlock), kFileSetBlock));
  RETURN_IF_ERROR(medium.Flush());
  // Last: until the slots are gone the volume is Vellum's.
  RETURN_IF_ERROR(medium.Discard(
      kSlotASector, geometry.partition_first - uint64_t{kSlotASector}));
  return medium.Flush();
}

}  // namespace vellum::udf
