// SPDX-License-Identifier: Apache-2.0
#include "tests/fuzz/patches.h"

#include <set>
#include <string_view>

#include "media/udf/bytes.h"
#include "media/udf/codec.h"
#include "media/udf/tag.h"

namespace vellum::fuzz {
namespace {

using udf::Load16;
using udf::Load32;
using udf::Load64;
using udf::Sector;
using udf::Store32;

constexpr size_t kMaxPatches = 64;
constexpr uint8_t kSeal = 1 << 5;
constexpr uint8_t kCopy = 1 << 6;
constexpr uint8_t kFill = 1 << 7;
constexpr uint64_t kEscaped = uint64_t{1} << 63;
constexpr uint64_t kFresh = uint64_t{1} << 62;

bool Begins(ConstByteSpan data, std::string_view magic) {
  return AsText(data.first(magic.size())) == magic;
}

bool IsRecordHeader(ConstByteSpan sector) { return Begins(sector, "VELLUMRJ"); }

Sector ReadOne(const MemoryMedium& medium, uint64_t sector) {
  Sector out;
  medium.Peek(sector * kSectorSize, out);
  return out;
}

// The sectors of a record's body, as far as they lie on the medium.
std::vector<uint64_t> BodyOf(const MemoryMedium& medium, SectorRange ring,
                             uint64_t header_sector, const Sector& header,
                             uint64_t count) {
  const uint64_t sectors = medium.Info().sectors;
  const auto next = [ring](uint64_t sector) {
    return sector + 1 == ring.end() ? ring.first : sector + 1;
  };
  std::vector<uint64_t> body;
  const uint32_t ranges = Load32(header, 96);
  uint64_t at = next(header_sector);
  if (ranges == 0) {
    for (; body.size() < count; at = next(at)) body.push_back(at);
    return body;
  }
  for (uint32_t i = 0; i < ranges && body.size() < count; ++i) {
    if (i > 0 && i % 128 == 0) at = next(at);
    const Sector table = ReadOne(medium, at);
    const uint64_t first = Load64(table, i % 128 * 16);
    const uint64_t length = Load64(table, i % 128 * 16 + 8);
    for (uint64_t n = 0; n < length && body.size() < count; ++n) {
      if (first + n >= sectors) return {};
      body.push_back(first + n);
    }
  }
  return body;
}

uint32_t TableCrc(const MemoryMedium& medium, SectorRange ring,
                  uint64_t header_sector, uint32_t ranges) {
  uint32_t crc = 0;
  uint64_t at = header_sector;
  for (uint32_t i = 0; i < ranges; i += 128) {
    at = at + 1 == ring.end() ? ring.first : at + 1;
    const Sector table = ReadOne(medium, at);
    crc = udf::Crc32c(
        ConstByteSpan(table).first(std::min<size_t>(128, ranges - i) * 16),
        crc);
  }
  return crc;
}

// The CRCs of a record, from what it names now (media/udf/record.cc).
void SealRecord(MemoryMedium* medium, SectorRange ring, uint64_t sector) {
  Sector header = ReadOne(*medium, sector);
  const uint32_t images = Load32(header, 92);
  const uint32_t ranges = Load32(header, 96);
  const uint64_t list = (uint64_t{images} + 255) / 256;
  if (images < 4096 && ranges < 4096) {
    if (ranges > 0) {
      Store32(header, 100, TableCrc(*medium, ring, sector, ranges));
    }
    const std::vector<uint64_t> body =
        BodyOf(*medium, ring, sector, header, list + images);
    if (body.size() == list + images) {
      const ConstByteSpan in = header;
      uint32_t crc = udf::Crc32c(in.subspan(24, 64));
      crc = udf::Crc32c(in.subspan(92, 4), crc);
      crc = udf::Crc32c(in.subspan(108, 36), crc);
      std::vector<uint64_t> entries;
      for (uint32_t i = 0; i < images; ++i) {
        const Sector page = ReadOne(*medium, body[i / 256]);
        entries.push_back(Load64(page, i % 256 * 8));
        std::array<std::byte, 8> number;
        udf::Store64(number, 0, entries.back() & ~(kEscaped | kFresh));
        crc = udf::Crc32c(number, crc);
      }
      for (uint32_t i = 0; i < images; ++i) {
        Sector image = ReadOne(*medium, body[list + i]);
        if ((entries[i] & kEscaped) != 0) {
          udf::StoreBytes(image, 0, udf::AsBytes("VELLUMRJ"));
        }
        crc = udf::Crc32c(image, crc);
      }
      Store32(header, 88, crc);
    }
  }
  SealSector(header);
  medium->Poke(sector * kSectorSize, header);
}

void SealTagOf(ByteSpan descriptor) {
  const size_t crc_length = std::min<size_t>(udf::TagCrcLengthOf(descriptor),
                                             descriptor.size() - udf::kTagSize);
  udf::SealTag(descriptor, static_cast<udf::TagId>(udf::TagIdOf(descriptor)),
               Load32(descriptor, 12), crc_length);
}

}  // namespace

void SealSector(ByteSpan sector) {
  if (Begins(sector, "VELLUMCS") || IsRecordHeader(sector)) {
    Store32(sector, 12, 0);
    Store32(sector, 12, udf::Crc32c(sector));
    return;
  }
  if (udf::TagIdOf(sector) == udf::kTagImplementationUse &&
      Begins(sector.subspan(52), "VELLUMV1")) {
    const ByteSpan use = sector.subspan(52, 460);
    Store32(use, 456, udf::Crc32c(use.first(456)));
  }
  SealTagOf(sector);
}

void SealFids(ByteSpan content) {
  for (size_t at = 0; at + 40 <= content.size();) {
    const size_t length = udf::PadTo4(size_t{38} + Load16(content, at + 36) +
                                      udf::Load8(content, at + 19));
    if (length > content.size() - at) return;
    const ByteSpan fid = content.subspan(at, length);
    udf::SealTag(fid, static_cast<udf::TagId>(udf::TagIdOf(fid)),
                 Load32(fid, 12), length - udf::kTagSize);
    at += length;
  }
}

void AppendPatch(uint8_t place, bool seal, uint16_t offset, ConstByteSpan bytes,
                 Bytes* input) {
  VELLUM_CHECK(!bytes.empty() && bytes.size() <= 32 && place != 255);
  input->push_back(std::byte{place});
  input->push_back(
      std::byte(static_cast<uint8_t>((bytes.size() - 1) | (seal ? kSeal : 0))));
  input->push_back(std::byte(static_cast<uint8_t>(offset & 0xFF)));
  input->push_back(std::byte(static_cast<uint8_t>(offset >> 8)));
  input->insert(input->end(), bytes.begin(), bytes.end());
}

void ApplyPatches(Input* input, const PatchPlaces& places,
                  MemoryMedium* medium) {
  const uint64_t sectors = medium->Info().sectors;
  const auto interesting = [&places](uint8_t index) {
    return places.interesting[index % places.interesting.size()];
  };
  std::set<uint64_t> sealed;
  for (size_t i = 0; i < kMaxPatches && !input->empty(); ++i) {
    const uint8_t place = input->Byte();
    const uint64_t target =
        place == 255 ? input->Word() % sectors : interesting(place);
    const uint8_t flags = input->Byte();
    if ((flags & kCopy) != 0) {
      medium->Poke(target * kSectorSize,
                   ReadOne(*medium, interesting(input->Byte())));
    }
    const size_t offset = input->Word() % kSectorSize;
    const size_t length = size_t{flags} % 32 + 1;
    Bytes bytes;
    if ((flags & kFill) != 0) {
      bytes.assign(length * 8, std::byte{input->Byte()});
    } else {
      const ConstByteSpan taken = input->Take(length);
      bytes.assign(taken.begin(), taken.end());
    }
    bytes.resize(std::min(bytes.size(), kSectorSize - offset));
    medium->Poke(target * kSectorSize + offset, bytes);
    if ((flags & kSeal) != 0) sealed.insert(target);
  }
  for (const uint64_t target : sealed) {
    bool is_directory = false;
    for (const SectorRange& range : places.directories) {
      if (target < range.first || target >= range.end()) continue;
      is_directory = true;
      Bytes content(range.count * kSectorSize);
      medium->Peek(range.first * kSectorSize, content);
      SealFids(content);
      medium->Poke(range.first * kSectorSize, content);
    }
    if (is_directory) continue;
    Sector sector = ReadOne(*medium, target);
    if (!IsRecordHeader(sector)) {
      SealSector(sector);
      medium->Poke(target * kSectorSize, sector);
    }
  }
  // Records last: their CRC is over what the others may have become.
  if (sealed.empty()) return;
  for (uint64_t at = places.ring.first; at < places.ring.end();
       at += kRegionSectors) {
    if (sealed.count(at) != 0 && IsRecordHeader(ReadOne(*medium, at))) {
      SealRecord(medium, places.ring, at);
    }
  }
}

}  // namespace vellum::fuzz
