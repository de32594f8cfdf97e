// SPDX-License-Identifier: Apache-2.0
#include "media/udf/descriptors.h"

#include <fmt/format.h>

#include <algorithm>

#include "media/udf/bytes.h"
#include "media/udf/cs0.h"
#include "media/udf/private_volume.h"
#include "media/udf/tag.h"

namespace vellum::udf {
namespace {

constexpr std::array<std::string_view, 3> kRecognition = {"BEA01", "NSR03",
                                                          "TEA01"};
constexpr uint32_t kVdsBytes = kVdsSectors * kSectorSize;
constexpr uint32_t kAccessReadOnly = 1;
constexpr std::string_view kPartitionContents = "+NSR03";

// Places of the descriptors in the sequence.
enum VdsIndex : uint32_t {
  kPrimary = 0,
  kLogical = 1,
  kPartition = 2,
  kLvInfo = 4,  // 3: unallocated space
  kPrivate = 5,
  kFirstTerminator = 6,
};

void StoreExtent(ByteSpan data, size_t offset, uint32_t bytes,
                 uint32_t sector) {
  Store32(data, offset, bytes);
  Store32(data, offset + 4, sector);
}

void FillPrimary(const VolumeDescription& d, const TimeSpec& time, ByteSpan s) {
  StoreDstring(s, 24, 32, d.logical_volume_id);
  Store16(s, 56, 1);  // volume sequence number
  Store16(s, 58, 1);
  Store16(s, 60, 2);  // interchange level: one volume
  Store16(s, 62, 3);
  Store32(s, 64, 1);  // character sets: CS0
  Store32(s, 68, 1);
  // Starts with unique hex digits, as UDF demands.
  StoreDstring(s, 72, 128, d.format_uuid + "Vellum");
  StoreCharspec(s, 200);
  StoreCharspec(s, 264);
  StoreRegid(s, 344, kImplementationId, RegidSuffix::kImplementation);
  StoreTimestamp(s, 376, time);
  StoreRegid(s, 388, kImplementationId, RegidSuffix::kImplementation);
  Store16(s, 488, 1);  // the volume set id is unique
}

void FillLogical(const VolumeDescription& d, ByteSpan s) {
  StoreCharspec(s, 20);
  StoreDstring(s, 84, 128, d.logical_volume_id);
  Store32(s, 212, kSectorSize);
  StoreRegid(s, 216, kDomainId, RegidSuffix::kDomain);
  StoreExtent(s, 248, kSectorSize, kFileSetBlock);
  Store32(s, 264, 6);  // length of the partition map
  Store32(s, 268, 1);
  StoreRegid(s, 272, kImplementationId, RegidSuffix::kImplementation);
  StoreExtent(s, 432, kLvidExtentSectors * kSectorSize, kLvidSector);
  Store8(s, 440, 1);  // type 1 map
  Store8(s, 441, 6);
  Store16(s, 442, 1);  // volume sequence number
  Store16(s, 444, 0);  // partition number
}

void FillPartition(const VolumeDescription& d, ByteSpan s) {
  Store16(s, 20, 1);  // allocated
  StoreRegid(s, 24, kPartitionContents, RegidSuffix::kNone);
  StoreExtent(s, 64, d.geometry.bitmap_blocks * kSectorSize, kBitmapBlock);
  Store32(s, 184, kAccessReadOnly);
  Store32(s, 188, d.geometry.partition_first);
  Store32(s, 192, d.geometry.partition_blocks);
  StoreRegid(s, 196, kImplementationId, RegidSuffix::kImplementation);
}

void FillLvInfo(const VolumeDescription& d, ByteSpan s) {
  StoreRegid(s, 20, kLvInfoId, RegidSuffix::kUdf);
  StoreCharspec(s, 52);
  StoreDstring(s, 116, 128, d.logical_volume_id);
  StoreDstring(s, 244, 36, d.logical_volume_id);
  StoreDstring(s, 280, 36, "Vellum archive volume");
  StoreRegid(s, 352, kImplementationId, RegidSuffix::kImplementation);
}

// The tags of the descriptors before the terminators.
constexpr std::array<TagId, kFirstTerminator> kVdsTags = {
    kTagPrimaryVolume,    kTagLogicalVolume,     kTagPartition,
    kTagUnallocatedSpace, kTagImplementationUse, kTagImplementationUse};

// The prevailing descriptors of a sequence: those with the highest number.
struct Prevailing {
  const Sector* primary = nullptr;
  const Sector* logical = nullptr;
  const Sector* partition = nullptr;
  const Sector* ours = nullptr;  // private implementation use
};

void Prefer(const Sector& candidate, const Sector** best) {
  if (*best == nullptr || Load32(candidate, 16) > Load32(**best, 16)) {
    *best = &candidate;
  }
}

Result<Prevailing> FindPrevailing(const std::vector<Sector>& sectors,
                                  uint32_t first) {
  Prevailing found;
  for (uint32_t i = 0; i < sectors.size(); ++i) {
    const Sector& sector = sectors[i];
    const uint16_t id = TagIdOf(sector);
    RETURN_IF_ERROR(CheckTag(sector, static_cast<TagId>(id), first + i));
    if (id == kTagTerminator) return found;
    if (id == kTagPrimaryVolume) Prefer(sector, &found.primary);
    if (id == kTagLogicalVolume) Prefer(sector, &found.logical);
    if (id == kTagPartition) Prefer(sector, &found.partition);
    if (id == kTagImplementationUse &&
        LoadRegid(sector, 20) == kVolumeControlId) {
      Prefer(sector, &found.ours);
    }
  }
  return found;
}

Status CheckAgainstGeometry(const Prevailing& found, const Geometry& g) {
  const Sector& logical = *found.logical;
  const Sector& partition = *found.partition;
  const auto wrong = [](const std::string& what) {
    return Status(Errc::kCorruption, what);
  };
  if (Load32(logical, 212) != kSectorSize ||
      LoadRegid(logical, 216) != kDomainId || Load32(logical, 268) != 1 ||
      Load8(logical, 440) != 1) {
    return wrong("the logical volume is not one type 1 partition");
  }
  if (Load32(logical, 248) != kSectorSize ||
      Load32(logical, 252) != kFileSetBlock) {
    return wrong("the file set is not in block 0");
  }
  if (Load32(logical, 436) != kLvidSector) {
    return wrong("the integrity descriptor is somewhere else");
  }
  if (LoadRegid(partition, 24) != kPartitionContents ||
      Load32(partition, 188) != g.partition_first ||
      Load32(partition, 192) != g.partition_blocks ||
      Load32(partition, 68) != kBitmapBlock) {
    return wrong("the partition is not the one of the geometry");
  }
  return Status::Ok();
}

}  // namespace

std::array<Sector, 3> EncodeRecognitionSequence() {
  std::array<Sector, 3> sectors{};
  for (size_t i = 0; i < sectors.size(); ++i) {
    StoreBytes(sectors[i], 1, AsBytes(kRecognition[i]));
    Store8(sectors[i], 6, 1);  // structure version
  }
  return sectors;
}

bool IsRecognitionSequence(const std::array<Sector, 3>& sectors) {
  return sectors == EncodeRecognitionSequence();
}

bool NamesUdf(const std::array<Sector, 3>& sectors) {
  return std::any_of(sectors.begin(), sectors.end(), [](const Sector& s) {
    return ToText(ConstByteSpan(s).subspan(1, 4)) == "NSR0";
  });
}

std::vector<Sector> EncodeVds(const VolumeDescription& description,
                              const TimeSpec& time, uint32_t first) {
  std::vector<Sector> sectors(kVdsSectors);
  for (Sector& sector : sectors) sector.fill(std::byte{0});
  FillPrimary(description, time, sectors[kPrimary]);
  FillLogical(description, sectors[kLogical]);
  FillPartition(description, sectors[kPartition]);
  // The unallocated space descriptor names no extents.
  FillLvInfo(description, sectors[kLvInfo]);
  EncodePrivateVolume(description, sectors[kPrivate]);
  for (uint32_t i = 0; i < kVdsSectors; ++i) {
    if (i >= kFirstTerminator) {
      StoreTerminator(sectors[i], first + i);
      continue;
    }
    Store32(sectors[i], 16, i + 1);  // volume descriptor sequence number
    SealTag(sectors[i], kVdsTags[i], first + i, kCrcLength512);
  }
  return sectors;
}

Result<VolumeDescription> ParseVds(const std::vector<Sector>& sectors,
                                   uint32_t first) {
  VELLUM_CHECK(sectors.size() == kVdsSectors);
  ASSIGN_OR_RETURN(const Prevailing found, FindPrevailing(sectors, first));
  if (found.primary == nullptr || found.logical == nullptr ||
      found.partition == nullptr) {
    return Error{
        Errc::kCorruption,
        fmt::format("volume descriptor sequence at sector {} is incomplete",
                    first)};
  }
  if (found.ours == nullptr) {
    return Error{Errc::kIncompatible,
                 "a UDF volume, but not one made by Vellum"};
  }
  VolumeDescription description;
  Status status = DecodePrivateVolume(*found.ours, &description);
  if (status.ok()) status = CheckAgainstGeometry(found, description.geometry);
  Result<std::string> id = LoadDstring(*found.logical, 84, 128);
  if (status.ok()) status = id.status();
  if (!status.ok()) {
    return status.WithContext(
        fmt::format("volume descriptor sequence at sector {}", first));
  }
  description.logical_volume_id = *std::move(id);
  return description;
}

Sector EncodeAnchor(const Geometry& geometry, uint32_t sector) {
  Sector s{};
  StoreExtent(s, 16, kVdsBytes, kMainVdsSector);
  StoreExtent(s, 24, kVdsBytes, static_cast<uint32_t>(geometry.reserve_vds()));
  SealTag(s, kTagAnchor, sector, kCrcLength512);
  return s;
}

Result<AnchorContent> ParseAnchor(const Sector& anchor, uint32_t sector) {
  RETURN_IF_ERROR(CheckTag(anchor, kTagAnchor, sector));
  return AnchorContent{Load32(anchor, 20), Load32(anchor, 28)};
}

Sector EncodeFileSet(const VolumeDescription& description,
                     const TimeSpec& time) {
  Sector s{};
  StoreTimestamp(s, 16, time);
  Store16(s, 28, 3);  // interchange level
  Store16(s, 30, 3);
  Store32(s, 32, 1);  // character sets: CS0
  Store32(s, 36, 1);
  StoreCharspec(s, 48);
  StoreDstring(s, 112, 128, description.logical_volume_id);
  StoreCharspec(s, 240);
  StoreDstring(s, 304, 32, description.logical_volume_id);
  StoreExtent(s, 400, kSectorSize, description.geometry.root_block);
  StoreRegid(s, 416, kDomainId, RegidSuffix::kDomain);
  SealTag(s, kTagFileSet, kFileSetBlock, kCrcLength512);
  return s;
}

Status CheckFileSet(const Sector& sector, const Geometry& geometry) {
  RETURN_IF_ERROR(CheckTag(sector, kTagFileSet, kFileSetBlock));
  if (Load32(sector, 400) != kSectorSize ||
      Load32(sector, 404) != geometry.root_block || Load16(sector, 408) != 0) {
    return Status(
        Errc::kCorruption,
        fmt::format("file set in block {}: the root directory is not in "
                    "block {}",
                    kFileSetBlock, geometry.root_block));
  }
  return Status::Ok();
}

std::array<std::byte, kBitmapHeaderSize> EncodeBitmapHeader(
    const Geometry& geometry) {
  std::array<std::byte, kBitmapHeaderSize> header{};
  Store32(header, 16, geometry.partition_blocks);
  Store32(header, 20, (geometry.partition_blocks + 7) / 8);
  // The CRC leaves out the bits, which change without it.
  SealTag(header, kTagSpaceBitmap, kBitmapBlock, 8);
  return header;
}

Status CheckBitmapHeader(ConstByteSpan sector, const Geometry& geometry) {
  RETURN_IF_ERROR(CheckTag(sector, kTagSpaceBitmap, kBitmapBlock));
  if (Load32(sector, 16) != geometry.partition_blocks ||
      Load32(sector, 20) != (geometry.partition_blocks + 7) / 8) {
    return Status(Errc::kCorruption,
                  fmt::format("space bitmap in block {} has {} bits, not {}",
                              kBitmapBlock, Load32(sector, 16),
                              geometry.partition_blocks));
  }
  return Status::Ok();
}

}  // namespace vellum::udf
