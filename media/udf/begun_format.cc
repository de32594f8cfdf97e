// SPDX-License-Identifier: Apache-2.0
#include "media/udf/begun_format.h"

#include <algorithm>
#include <array>

#include "media/udf/control.h"
#include "media/udf/descriptors.h"
#include "media/udf/format.h"
#include "media/udf/layout.h"
#include "media/udf/tag.h"

namespace vellum::udf {
namespace {

constexpr uint32_t kRecognitionSectors = 3;

bool HasNothing(ConstByteSpan sector) {
  return std::all_of(sector.begin(), sector.end(),
                     [](std::byte b) { return b == std::byte{0}; });
}

// May a format have left these bytes at `at`, or those of before it a volume of
// ours?
bool IsOfAFormat(uint32_t at, ConstByteSpan sector) {
  if (HasNothing(sector)) return true;
  if (at >= kRecognitionSector &&
      at < kRecognitionSector + kRecognitionSectors) {
    const auto recognition = EncodeRecognitionSequence();
    return std::equal(sector.begin(), sector.end(),
                      recognition[at - kRecognitionSector].begin());
  }
  // One slot is written, last, and may be torn: LooksBegun.
  if (at >= kSlotASector) return true;
  const bool described =
      (at >= kMainVdsSector && at < kMainVdsSector + kVdsSectors) ||
      at == kLvidSector || at == kLvidSector + 1 || at == kAnchorSector;
  return described &&
         CheckTag(sector, static_cast<TagId>(TagIdOf(sector)), at).ok();
}

}  // namespace

Result<bool> LooksBegun(Medium& medium) {
  if (medium.Info().sectors < kMinVolumeSectors) return false;
  Bytes head(size_t{kRingSector} * kSectorSize);
  RETURN_IF_ERROR(medium.Read(0, head));
  const auto sector = [&head](uint32_t at) {
    return ConstByteSpan(head).subspan(size_t{at} * kSectorSize, kSectorSize);
  };
  for (uint32_t at = 0; at < kRingSector; ++at) {
    if (!IsOfAFormat(at, sector(at))) return false;
  }
  // A volume in use has both slots, whatever has become of them.
  const auto slot = [&head](uint32_t at) {
    return ConstByteSpan(head).subspan(size_t{at} * kSectorSize,
                                       size_t{kSlotSectors} * kSectorSize);
  };
  if (!HasNothing(slot(kSlotASector)) && !HasNothing(slot(kSlotBSector))) {
    return false;
  }
  // A newer version of this program has written it.
  if (ReadControlSlot(medium).status().Is(Errc::kIncompatible)) return false;
  // With an anchor all of the rest is there, and says who has written it.
  return HasNothing(sector(kAnchorSector)) || ReadDescription(medium).ok();
}

}  // namespace vellum::udf
