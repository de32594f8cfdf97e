// SPDX-License-Identifier: Apache-2.0
// Space bitmap descriptor (ECMA-167 4/14.12): tag, number of bits @16, number
// of bytes @20, bits from byte 24, LSB first, 1 = free. The CRC covers the two
// numbers only, so it does not change with the bits.
#include "media/udf/space_bitmap.h"

#include <fmt/format.h>

#include <algorithm>

#include "media/udf/allocator.h"
#include "media/udf/bytes.h"
#include "media/udf/tag.h"

namespace vellum::udf {
namespace {

struct Span {
  size_t first = 0;  // byte of the bitmap
  size_t count = 0;
  size_t offset = 0;  // in the sector
};

Span SpanOf(size_t bitmap_size, uint32_t index) {
  Span span;
  const size_t begin = size_t{index} * kSectorSize;
  span.offset = index == 0 ? kBitmapHeader : 0;
  span.first = index == 0 ? 0 : begin - kBitmapHeader;
  if (span.first < bitmap_size) {
    span.count =
        std::min<size_t>(kSectorSize - span.offset, bitmap_size - span.first);
  }
  return span;
}

size_t BitmapBytes(const Geometry& geometry) {
  return (size_t{geometry.partition_blocks} + 7) / 8;
}

}  // namespace

bool CopyBitmapSector(const Bytes& from, uint32_t index, Bytes* to) {
  const Span span = SpanOf(from.size(), index);
  const auto source = from.begin() + static_cast<ptrdiff_t>(span.first);
  const auto target = to->begin() + static_cast<ptrdiff_t>(span.first);
  if (std::equal(source, source + static_cast<ptrdiff_t>(span.count), target)) {
    return false;
  }
  std::copy_n(source, span.count, target);
  return true;
}

bool BitmapIsFree(const Bytes& bitmap, uint32_t block) {
  return (std::to_integer<unsigned>(bitmap[block / 8]) >> (block % 8) & 1) != 0;
}

void SetBitmap(Bytes* bitmap, BlockRun run, bool free) {
  uint64_t at = run.block;
  const uint64_t end = at + run.count;
  while (at < end) {
    std::byte& byte = (*bitmap)[at / 8];
    if (at % 8 == 0 && end - at >= 8) {
      byte = std::byte{static_cast<uint8_t>(free ? 0xFF : 0)};
      at += 8;
    } else {
      const std::byte bit{static_cast<uint8_t>(1u << (at % 8))};
      byte = free ? byte | bit : byte & ~bit;
      ++at;
    }
  }
}

uint32_t BitmapSectors(const Geometry& geometry) {
  return static_cast<uint32_t>(
      (kBitmapHeader + BitmapBytes(geometry) + kSectorSize - 1) / kSectorSize);
}

Sector EncodeBitmapSector(const Geometry& geometry, const Bytes& bitmap,
                          uint32_t index) {
  Sector sector{};
  const Span span = SpanOf(bitmap.size(), index);
  StoreBytes(sector, span.offset,
             ConstByteSpan(bitmap).subspan(span.first, span.count));
  if (index == 0) {
    Store32(sector, 16, geometry.partition_blocks);
    Store32(sector, 20, static_cast<uint32_t>(BitmapBytes(geometry)));
    SealTag(sector, kTagSpaceBitmap, kBitmapBlock, kBitmapHeader - kTagSize);
  }
  return sector;
}

Result<Bytes> ReadBitmap(Medium& medium, const Geometry& geometry) {
  Bytes sectors(size_t{BitmapSectors(geometry)} * kSectorSize);
  const uint64_t first = geometry.Sector(kBitmapBlock);
  RETURN_IF_ERROR(medium.Read(first, sectors).WithContext("space bitmap"));
  RETURN_IF_ERROR(CheckTag(ConstByteSpan(sectors).first(kSectorSize),
                           kTagSpaceBitmap, kBitmapBlock)
                      .WithContext("space bitmap"));
  const uint32_t bits = Load32(sectors, 16);
  const uint32_t bytes = Load32(sectors, 20);
  if (bits != geometry.partition_blocks || bytes != BitmapBytes(geometry)) {
    return Status(
        Errc::kCorruption,
        fmt::format("space bitmap at sector {} of {}: {} bits in {} bytes for "
                    "a partition of {} blocks",
                    first, medium.Info().name, bits, bytes,
                    geometry.partition_blocks));
  }
  const auto begin = sectors.begin() + kBitmapHeader;
  return Bytes(begin, begin + static_cast<ptrdiff_t>(bytes));
}

}  // namespace vellum::udf
