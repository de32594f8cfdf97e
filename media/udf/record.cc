// SPDX-License-Identifier: Apache-2.0
// Record header, one sector, at a multiple of 32 sectors from the ring's start.
// Integers little-endian; texts padded with zeros.
//
//   offset  bytes
//        0      8  magic "VELLUMRJ"
//        8      4  format version: 1, or 2 when what follows 144 is not zero
//       12      4  CRC32C of the sector with these four bytes zero
//       16      8  sequence             24  8  epoch
//       32     32  format UUID, hex digits
//       64      8  lineage              72  8  generation number
//       80      4  CRC32C of the LVID before   84  4  ... of the LVID after
//       88      4  record CRC (below)   92  4  number of images
//       96      4  number of spill ranges, 0: not spilled
//      100      4  CRC32C of the spill table, 0 without one
//      104      4  sector in which this header stands
//      108      1  role                109  1  length of owner id
//      112     32  owner id
//      144      4  CRC32C of the LVID before that, 0: cannot be there
//      148      4  bytes of the note       152  4  CRC32C of the note
//      156         zeros to the end of the sector
//
// Body: the list, 8 bytes an image in ascending order: sector number, bit 63
// set when the image is escaped, bit 62 when it is put in place before the
// others; padded to a sector; then the images. An image
// that begins with the magic is stored with zeros in its place ("escaped"), so
// that no content of a file passes for a header. Without spill ranges the body
// follows the header in the ring, which continues at its start when it reaches
// its end. With them the spill table follows (16 bytes a range: first sector,
// count; padded to a sector), and the body stands in those ranges.
//
// The note follows the images of a record without spill ranges: 2040 bytes a
// sector, behind 8 zeros for the same reason.
//
// Record CRC: CRC32C over header bytes 24..87 and 92..95, 108..143, the list
// without these bits, and the images as they are without escaping. Neither
// the sequence nor the place is in it: the catalog knows it before both.
#include "media/udf/record.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cstring>

#include "media/round_up.h"
#include "media/udf/bytes.h"
#include "media/udf/counters.h"
#include "media/udf/sector_stream.h"

namespace vellum::udf {
namespace {

constexpr std::string_view kRecordMagic = "VELLUMRJ";
constexpr uint32_t kVersion = 1;
constexpr uint32_t kVersionWithNote = 2;
constexpr size_t kNoteOffset = 8;  // in each of its sectors
constexpr size_t kNotePerSector = kSectorSize - kNoteOffset;
constexpr size_t kRecordUuidLength = 32;
constexpr size_t kOwnerLength = 32;
constexpr uint64_t kEscaped = uint64_t{1} << 63;
constexpr uint64_t kFresh = uint64_t{1} << 62;
constexpr uint64_t kSectorBits = ~(kEscaped | kFresh);
constexpr uint64_t kEntriesPerSector = kSectorSize / 8;
constexpr uint64_t kRangesPerSector = kSectorSize / 16;
// The bitmap aside: 256 MiB.
constexpr uint64_t kMaxImages = 131072;

uint32_t HeaderCrc(const Sector& sector) {
  Sector copy = sector;
  Store32(copy, 12, 0);
  return Crc32c(copy);
}

bool BeginsWithMagic(const Sector& image) {
  return ToText(ConstByteSpan(image).first(kRecordMagic.size())) ==
         kRecordMagic;
}

// The part of the record CRC that the header makes.
uint32_t SeedOfRecordCrc(const RecordHeader& record, uint32_t image_count) {
  RingHeader header;
  header.record = record;
  header.image_count = image_count;
  const Sector sector = EncodeRingHeader(header);
  const ConstByteSpan in = sector;
  uint32_t crc = Crc32c(in.subspan(24, 64));
  crc = Crc32c(in.subspan(92, 4), crc);
  return Crc32c(in.subspan(108, 36), crc);
}

uint32_t CrcOfNumber(uint64_t number, uint32_t seed) {
  std::array<std::byte, 8> bytes;
  Store64(bytes, 0, number);
  return Crc32c(bytes, seed);
}

// The sectors in which the body stands; nullopt when the spill table is torn.
Result<std::optional<std::vector<SectorRange>>> BodyRanges(
    Medium& medium, const Geometry& geometry, const RingHeader& header,
    uint64_t body_sectors) {
  using Answer = std::optional<std::vector<SectorRange>>;
  const uint64_t follows = header.spill_ranges == 0
                               ? body_sectors
                               : SpillTableSectors(header.spill_ranges);
  if (1 + follows > geometry.ring_sectors) return Answer();
  std::vector<SectorRange> stretch =
      RingStretch(geometry, header.ring_sector, 1 + follows);
  // Without the header's sector.
  ++stretch[0].first;
  --stretch[0].count;
  if (header.spill_ranges == 0) return Answer(std::move(stretch));

  SectorReader reader(&medium, stretch, follows);
  std::vector<SectorRange> ranges;
  uint32_t crc = 0;
  Sector sector;
  for (uint64_t i = 0; i < header.spill_ranges; ++i) {
    if (i % kRangesPerSector == 0) RETURN_IF_ERROR(reader.Next(&sector));
    const ConstByteSpan entry =
        ConstByteSpan(sector).subspan(i % kRangesPerSector * 16, 16);
    crc = Crc32c(entry, crc);
    ranges.push_back({Load64(entry, 0), Load64(entry, 8)});
    if (!InPartition(geometry, ranges.back())) return Answer();
  }
  if (crc != header.table_crc || TotalSectors(ranges) < body_sectors)
    return Answer();
  return Answer(std::move(ranges));
}

}  // namespace

uint64_t TotalSectors(const std::vector<SectorRange>& ranges) {
  uint64_t total = 0;
  for (const SectorRange& range : ranges) total += range.count;
  return total;
}

bool InPartition(const Geometry& geometry, SectorRange range) {
  return range.first >= geometry.partition_first &&
         range.first - geometry.partition_first <= geometry.partition_blocks &&
         range.count <= geometry.partition_blocks -
                            (range.first - geometry.partition_first);
}

uint64_t BodySectors(uint64_t images) {
  return (images + kEntriesPerSector - 1) / kEntriesPerSector + images;
}

uint64_t SpillTableSectors(uint64_t ranges) {
  return (ranges + kRangesPerSector - 1) / kRangesPerSector;
}

uint64_t NoteSectors(uint64_t bytes) {
  return (bytes + kNotePerSector - 1) / kNotePerSector;
}

Sector EncodeRingHeader(const RingHeader& header) {
  const RecordHeader& record = header.record;
  VELLUM_CHECK(record.format_uuid.size() <= kRecordUuidLength &&
               record.owner_id.size() <= kOwnerLength);
  Sector out{};
  StoreBytes(out, 0, AsBytes(kRecordMagic));
  const bool plain = record.lvid_oldest == 0 && header.note_bytes == 0;
  Store32(out, 8, plain ? kVersion : kVersionWithNote);
  Store64(out, 16, record.sequence);
  Store64(out, 24, record.epoch);
  StoreBytes(out, 32, AsBytes(record.format_uuid));
  Store64(out, 64, record.generation.lineage);
  Store64(out, 72, record.generation.number);
  Store32(out, 80, record.lvid_before);
  Store32(out, 84, record.lvid_after);
  Store32(out, 88, record.crc);
  Store32(out, 92, header.image_count);
  Store32(out, 96, header.spill_ranges);
  Store32(out, 100, header.table_crc);
  Store32(out, 104, header.ring_sector);
  Store8(out, 108, static_cast<uint8_t>(record.role));
  Store8(out, 109, static_cast<uint8_t>(record.owner_id.size()));
  StoreBytes(out, 112, AsBytes(record.owner_id));
  if (!plain) {
    Store32(out, 144, record.lvid_oldest);
    Store32(out, 148, header.note_bytes);
    Store32(out, 152, header.note_crc);
  }
  Store32(out, 12, HeaderCrc(out));
  return out;
}

std::optional<RingHeader> DecodeRingHeader(const Sector& data,
                                           uint32_t sector) {
  const ConstByteSpan in = data;
  const uint32_t version = Load32(in, 8);
  if (!BeginsWithMagic(data) || Load32(in, 12) != HeaderCrc(data) ||
      (version != kVersion && version != kVersionWithNote) ||
      Load32(in, 104) != sector) {
    return std::nullopt;
  }
  const uint8_t role = Load8(in, 108);
  const size_t owner_length = Load8(in, 109);
  if (role < 1 || role > 2 || owner_length > kOwnerLength) return std::nullopt;
  RingHeader header;
  RecordHeader& record = header.record;
  record.sequence = Load64(in, 16);
  record.epoch = Load64(in, 24);
  record.format_uuid = ToText(in.subspan(32, kRecordUuidLength));
  record.generation = {Load64(in, 64), Load64(in, 72)};
  record.lvid_before = Load32(in, 80);
  record.lvid_after = Load32(in, 84);
  record.crc = Load32(in, 88);
  header.image_count = Load32(in, 92);
  header.spill_ranges = Load32(in, 96);
  header.table_crc = Load32(in, 100);
  header.ring_sector = sector;
  if (version == kVersionWithNote) {
    record.lvid_oldest = Load32(in, 144);
    header.note_bytes = Load32(in, 148);
    header.note_crc = Load32(in, 152);
    if (header.note_bytes > kMaxRecordNote ||
        (header.note_bytes > 0 && header.spill_ranges > 0)) {
      return std::nullopt;
    }
  }
  if (std::max({record.sequence, record.epoch, record.generation.number}) >=
      kCounterLimit) {
    return std::nullopt;
  }
  record.role = static_cast<Role>(role);
  record.owner_id = ToText(in.subspan(112, owner_length));
  return header;
}

std::vector<SectorRange> RingStretch(const Geometry& geometry, uint32_t sector,
                                     uint64_t count) {
  VELLUM_CHECK(count <= geometry.ring_sectors);
  const uint64_t end = uint64_t{geometry.ring_first} + geometry.ring_sectors;
  const uint64_t here = std::min(count, end - sector);
  std::vector<SectorRange> stretch = {{sector, here}};
  if (here < count) stretch.push_back({geometry.ring_first, count - here});
  return stretch;
}

bool IsRecordable(const Geometry& geometry, uint64_t sector) {
  return sector < kSlotASector ||
         (sector >= geometry.partition_first && sector < geometry.sectors);
}

uint64_t MaxRecordImages(const Geometry& geometry) {
  return kMaxImages + uint64_t{geometry.bitmap_blocks};
}

uint32_t RecordCrc(const Record& record) {
  uint32_t crc = SeedOfRecordCrc(record.header,
                                 static_cast<uint32_t>(record.images.size()));
  for (const auto& [sector, image] : record.images) {
    crc = CrcOfNumber(sector, crc);
  }
  for (const auto& [sector, image] : record.images) crc = Crc32c(*image, crc);
  return crc;
}

Status WriteBody(const Record& record, SectorWriter* out) {
  const SectorImages& images = record.images;
  Sector sector{};
  size_t entries = 0;
  for (const auto& [number, image] : images) {
    Store64(sector, entries * 8,
            number | (BeginsWithMagic(*image) ? kEscaped : 0) |
                (record.fresh.count(number) != 0 ? kFresh : 0));
    if (++entries < kEntriesPerSector) continue;
    RETURN_IF_ERROR(out->Append(sector));
    sector.fill(std::byte{0});
    entries = 0;
  }
  if (entries > 0) RETURN_IF_ERROR(out->Append(sector));
  for (const auto& [number, image] : images) {
    if (BeginsWithMagic(*image)) {
      sector = *image;
      std::fill_n(sector.begin(), kRecordMagic.size(), std::byte{0});
      RETURN_IF_ERROR(out->Append(sector));
    } else {
      RETURN_IF_ERROR(out->Append(*image));
    }
  }
  const ConstByteSpan note = AsBytes(record.note);
  for (size_t at = 0; at < note.size(); at += kNotePerSector) {
    sector.fill(std::byte{0});
    StoreBytes(sector, kNoteOffset,
               note.subspan(at, std::min(kNotePerSector, note.size() - at)));
    RETURN_IF_ERROR(out->Append(sector));
  }
  return Status::Ok();
}

Bytes EncodeSpillTable(const Spill& spill, uint32_t* crc) {
  Bytes table(SpillTableSectors(spill.size()) * kSectorSize);
  for (size_t i = 0; i < spill.size(); ++i) {
    Store64(table, i * 16, spill[i].first);
    Store64(table, i * 16 + 8, spill[i].count);
  }
  *crc = Crc32c(ConstByteSpan(table).first(spill.size() * 16));
  return table;
}

uint32_t SectorBehind(const Geometry& geometry, const RingHeader& header) {
  const uint64_t offset = header.ring_sector - geometry.ring_first +
                          RoundUp(RingSectorsOf(header), kRegionSectors);
  return geometry.ring_first +
         static_cast<uint32_t>(offset % geometry.ring_sectors);
}

uint64_t RingSectorsOf(const RingHeader& header) {
  return 1 +
         (header.spill_ranges == 0
              ? BodySectors(header.image_count) + NoteSectors(header.note_bytes)
              : SpillTableSectors(header.spill_ranges));
}

Result<std::optional<Record>> ReadRecord(Medium& medium,
                                         const Geometry& geometry,
                                         const RingHeader& header) {
  using Answer = std::optional<Record>;
  const uint64_t body =
      BodySectors(header.image_count) + NoteSectors(header.note_bytes);
  if (body > geometry.sectors ||
      header.image_count > MaxRecordImages(geometry)) {
    return Answer();
  }
  ASSIGN_OR_RETURN(const std::optional<std::vector<SectorRange>> ranges,
                   BodyRanges(medium, geometry, header, body));
  if (!ranges) return Answer();

  SectorReader reader(&medium, *ranges, body);
  std::vector<uint64_t> list;
  list.reserve(header.image_count);
  Sector sector;
  for (uint64_t i = 0; i < header.image_count; ++i) {
    if (i % kEntriesPerSector == 0) RETURN_IF_ERROR(reader.Next(&sector));
    list.push_back(Load64(sector, i % kEntriesPerSector * 8));
  }
  Record record;
  record.header = header.record;
  uint32_t crc = SeedOfRecordCrc(header.record, header.image_count);
  for (uint64_t entry : list) crc = CrcOfNumber(entry & kSectorBits, crc);
  for (uint64_t entry : list) {
    const auto image = std::make_shared<Sector>();
    RETURN_IF_ERROR(reader.Next(image.get()));
    if ((entry & kEscaped) != 0) StoreBytes(*image, 0, AsBytes(kRecordMagic));
    crc = Crc32c(*image, crc);
    record.images.emplace(entry & kSectorBits, image);
    if ((entry & kFresh) != 0) record.fresh.insert(entry & kSectorBits);
  }
  if (crc != header.record.crc) return Answer();
  record.note.resize(header.note_bytes);
  for (size_t at = 0; at < record.note.size(); at += kNotePerSector) {
    RETURN_IF_ERROR(reader.Next(&sector));
    std::memcpy(record.note.data() + at, sector.data() + kNoteOffset,
                std::min(kNotePerSector, record.note.size() - at));
  }
  if (Crc32c(AsBytes(record.note)) != header.note_crc) return Answer();
  for (const auto& [number, image] : record.images) {
    if (!IsRecordable(geometry, number)) {
      return Status(
          Errc::kCorruption,
          fmt::format("redo record at sector {} of {} would change "
                      "sector {}",
                      header.ring_sector, medium.Info().name, number));
    }
  }
  return Answer(std::move(record));
}

}  // namespace vellum::udf
