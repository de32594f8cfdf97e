// SPDX-License-Identifier: Apache-2.0
// The descriptors that format writes once: recognition sequence, volume
// descriptor sequence, anchors, file set, head of the space bitmap. Pure; the
// offsets are ECMA-167 3/10 and 4/14.1. Private to media/udf.
#pragma once

#include <array>
#include <string>
#include <vector>

#include "media/error.h"
#include "media/types.h"
#include "media/udf/codec.h"
#include "media/udf/format.h"
#include "media/udf/layout.h"

namespace vellum::udf {

inline constexpr uint32_t kRecognitionSector = 16;
inline constexpr uint32_t kFileSetBlock = 0;
inline constexpr uint32_t kFileSetTerminatorBlock = 1;
inline constexpr size_t kBitmapHeaderSize = 24;

// BEA01, NSR03, TEA01.
std::array<Sector, 3> EncodeRecognitionSequence();
bool IsRecognitionSequence(const std::array<Sector, 3>& sectors);
// Does any of them name a UDF volume?
bool NamesUdf(const std::array<Sector, 3>& sectors);

// The 16 sectors of a volume descriptor sequence that starts at `first`.
std::vector<Sector> EncodeVds(const VolumeDescription& description,
                              const TimeSpec& time, uint32_t first);
// What such a sequence says; the geometry is checked for sense, but not against
// the medium. kIncompatible: a sequence that Vellum did not write, or a newer
// format version; kCorruption. REQUIRES: sectors.size() == kVdsSectors.
Result<VolumeDescription> ParseVds(const std::vector<Sector>& sectors,
                                   uint32_t first);

Sector EncodeAnchor(const Geometry& geometry, uint32_t sector);
struct AnchorContent {
  uint32_t main = 0;  // first sectors of the sequences
  uint32_t reserve = 0;
};
Result<AnchorContent> ParseAnchor(const Sector& anchor, uint32_t sector);

Sector EncodeFileSet(const VolumeDescription& description,
                     const TimeSpec& time);
Status CheckFileSet(const Sector& sector, const Geometry& geometry);

// The first 24 bytes of the space bitmap descriptor; the bits follow.
std::array<std::byte, kBitmapHeaderSize> EncodeBitmapHeader(
    const Geometry& geometry);
Status CheckBitmapHeader(ConstByteSpan sector, const Geometry& geometry);

}  // namespace vellum::udf
