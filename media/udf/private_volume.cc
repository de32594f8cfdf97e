// SPDX-License-Identifier: Apache-2.0
#include "media/udf/private_volume.h"

#include <fmt/format.h>

#include <limits>

#include "media/udf/bytes.h"
#include "media/udf/descriptors.h"
#include "media/udf/tag.h"

namespace vellum::udf {
namespace {

constexpr size_t kUseAt = 52;
constexpr size_t kUseSize = 460;
constexpr size_t kCrcAt = kUseSize - 4;
constexpr std::string_view kPrivateMagic = "VELLUMV1";
constexpr uint32_t kFormatVersion = 1;
constexpr size_t kUuidBytes = 16;
constexpr size_t kUuidAt = 16;

int HexDigit(char c) {
  if (c >= '0' && c <= '9') return c - '0';
  if (c >= 'a' && c <= 'f') return c - 'a' + 10;
  return -1;
}

void StoreUuid(ByteSpan data, size_t offset, const std::string& uuid) {
  VELLUM_CHECK(uuid.size() == 2 * kUuidBytes);
  for (size_t i = 0; i < kUuidBytes; ++i) {
    const int high = HexDigit(uuid[2 * i]);
    const int low = HexDigit(uuid[2 * i + 1]);
    VELLUM_CHECK(high >= 0 && low >= 0);
    Store8(data, offset + i, static_cast<uint8_t>(high * 16 + low));
  }
}

std::string LoadUuid(ConstByteSpan data, size_t offset) {
  std::string uuid;
  for (size_t i = 0; i < kUuidBytes; ++i) {
    uuid += fmt::format("{:02x}", Load8(data, offset + i));
  }
  return uuid;
}

// Every later use of the geometry relies on this.
bool MakesSense(const Geometry& g) {
  const uint64_t ring_end = uint64_t{g.ring_first} + g.ring_sectors;
  const uint64_t log_end = uint64_t{g.log_first} + g.log_sectors;
  const uint64_t partition_end =
      uint64_t{g.partition_first} + g.partition_blocks;
  const uint64_t bitmap_bytes =
      kBitmapHeaderSize + (uint64_t{g.partition_blocks} + 7) / 8;
  const auto whole_regions = [](uint32_t sectors) {
    return sectors % kRegionSectors == 0;
  };
  return g.sectors >= kMinVolumeSectors &&
         g.sectors <= std::numeric_limits<uint32_t>::max() &&
         g.ring_first >= kRingSector && g.ring_sectors > 0 &&
         g.log_sectors > 0 && ring_end <= g.log_first &&
         log_end <= g.partition_first && partition_end <= g.sectors - 288 &&
         whole_regions(g.ring_sectors) && whole_regions(g.log_sectors) &&
         whole_regions(g.partition_first) &&
         whole_regions(g.partition_blocks) &&
         g.bitmap_blocks == (bitmap_bytes + kSectorSize - 1) / kSectorSize &&
         g.root_block >= uint64_t{kBitmapBlock} + g.bitmap_blocks &&
         g.root_block < g.first_free_block &&
         g.first_free_block < g.partition_blocks;
}

}  // namespace

void EncodePrivateVolume(const VolumeDescription& description,
                         ByteSpan sector) {
  StoreRegid(sector, 20, kVolumeControlId, RegidSuffix::kImplementation);
  const ByteSpan use = sector.subspan(kUseAt, kUseSize);
  const Geometry& g = description.geometry;
  StoreBytes(use, 0, AsBytes(kPrivateMagic));
  Store32(use, 8, kFormatVersion);
  StoreUuid(use, kUuidAt, description.format_uuid);
  Store64(use, 32, g.sectors);
  Store32(use, 40, g.ring_first);
  Store32(use, 44, g.ring_sectors);
  Store32(use, 48, g.log_first);
  Store32(use, 52, g.log_sectors);
  Store32(use, 56, g.partition_first);
  Store32(use, 60, g.partition_blocks);
  Store32(use, 64, g.bitmap_blocks);
  Store32(use, 68, g.root_block);
  Store32(use, 72, g.first_free_block);
  Store32(use, kCrcAt, Crc32c(use.first(kCrcAt)));
}

Status DecodePrivateVolume(const Sector& sector,
                           VolumeDescription* description) {
  const ConstByteSpan use = ConstByteSpan(sector).subspan(kUseAt, kUseSize);
  if (ToText(use.first(kPrivateMagic.size())) != kPrivateMagic ||
      Load32(use, kCrcAt) != Crc32c(use.first(kCrcAt))) {
    return Status(Errc::kCorruption,
                  "private volume descriptor: checksum is wrong");
  }
  if (Load32(use, 8) != kFormatVersion) {
    return Status(Errc::kIncompatible,
                  fmt::format("volume has format version {}, this program "
                              "knows {}",
                              Load32(use, 8), kFormatVersion));
  }
  Geometry& g = description->geometry;
  description->format_uuid = LoadUuid(use, kUuidAt);
  g.sectors = Load64(use, 32);
  g.ring_first = Load32(use, 40);
  g.ring_sectors = Load32(use, 44);
  g.log_first = Load32(use, 48);
  g.log_sectors = Load32(use, 52);
  g.partition_first = Load32(use, 56);
  g.partition_blocks = Load32(use, 60);
  g.bitmap_blocks = Load32(use, 64);
  g.root_block = Load32(use, 68);
  g.first_free_block = Load32(use, 72);
  if (!MakesSense(g)) {
    return Status(Errc::kCorruption,
                  "private volume descriptor: the geometry cannot be");
  }
  return Status::Ok();
}

}  // namespace vellum::udf
