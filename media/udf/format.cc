// SPDX-License-Identifier: Apache-2.0
#include "media/udf/format.h"

#include <fmt/format.h>
#include <spdlog/spdlog.h>

#include <algorithm>

#include "media/udf/bytes.h"
#include "media/udf/codec.h"
#include "media/udf/descriptors.h"
#include "media/udf/sector_io.h"
#include "media/udf/sector_stream.h"
#include "media/udf/tag.h"

namespace vellum::udf {
namespace {

constexpr uint32_t kBackupThreshold = 99;
constexpr uint64_t kTailSectors = 288;  // reserve sequence and anchors
// How much of what may hold data a probe reads before it believes it: its
// begin, and samples of the whole. FORMAT.md, section 8.
constexpr uint64_t kProbeSectors = 64 * kTransferSectors;
constexpr uint64_t kProbeSamples = 128;
constexpr uint64_t kSampleSectors = kRegionSectors;

bool IsZero(ConstByteSpan data) {
  return std::all_of(data.begin(), data.end(),
                     [](std::byte b) { return b == std::byte{0}; });
}

Result<bool> RangeIsZero(Medium& medium, SectorRange range) {
  Bytes buffer(kTransferSectors * kSectorSize);
  while (range.count > 0) {
    const uint64_t count = std::min(range.count, kTransferSectors);
    const ByteSpan part = ByteSpan(buffer).first(count * kSectorSize);
    RETURN_IF_ERROR(medium.Read(range.first, part));
    if (!IsZero(part)) return false;
    range.first += count;
    range.count -= count;
  }
  return true;
}

// The begin of what may hold data, as far as the medium knows and the limit
// allows.
Result<bool> BeginIsZero(Medium& medium, uint64_t sectors) {
  uint64_t budget = kProbeSectors;
  for (SectorRange rest = {0, sectors}; budget > 0;) {
    ASSIGN_OR_RETURN(const SectorRange next, medium.NextAllocated(rest));
    if (next.count == 0) return true;
    const uint64_t count = std::min(next.count, budget);
    ASSIGN_OR_RETURN(const bool zero, RangeIsZero(medium, {next.first, count}));
    if (!zero) return false;
    budget -= count;
    rest = {next.first + count, sectors - next.first - count};
  }
  return true;
}

// Media that do not know their holes may be too large to be read: of each of
// 128 equal parts the begin of what may hold data.
Result<bool> SamplesAreZero(Medium& medium, uint64_t sectors) {
  const uint64_t part = std::max(sectors / kProbeSamples, kSampleSectors);
  for (uint64_t at = 0; at < sectors;) {
    ASSIGN_OR_RETURN(const SectorRange next,
                     medium.NextAllocated({at, sectors - at}));
    if (next.count == 0) return true;
    const uint64_t count = std::min(next.count, kSampleSectors);
    ASSIGN_OR_RETURN(const bool zero, RangeIsZero(medium, {next.first, count}));
    if (!zero) return false;
    at = next.first / part * part + part;
  }
  return true;
}

Status WriteZeros(Medium& medium, SectorRange range) {
  const Bytes zeros(range.count * kSectorSize);
  return medium.Write(range.first, zeros);
}

// After this no reader, ours included, finds a volume. The slots go first: one
// that says COMPLETE beside descriptors that are gone would be a lie.
Status Invalidate(Medium& medium, const Geometry& g) {
  RETURN_IF_ERROR(WriteZeros(medium, {kSlotASector, kSlotSectors}));
  RETURN_IF_ERROR(WriteZeros(medium, {kSlotBSector, kSlotSectors}));
  RETURN_IF_ERROR(medium.Flush());
  const SectorRange ranges[] = {{kRecognitionSector, 3},
                                {kAnchorSector, 1},
                                {g.sectors - 257, 1},
                                {g.sectors - 1, 1}};
  for (const SectorRange& range : ranges) {
    RETURN_IF_ERROR(WriteZeros(medium, range));
  }
  return medium.Flush();
}

// An old record must not find this volume. That of a primary is written, not
// discarded: the flush behind a record is the one that fsync waits for last,
// and where the file under a virtual medium has its blocks already, that flush
// commits no metadata of the host's file system. A backup has few records, and
// each copy reads its whole ring: a hole is read at no cost.
Status ClearRing(Medium& medium, const Geometry& g, Role role) {
  if (role != Role::kPrimary) {
    return medium.Discard(g.ring_first, g.ring_sectors);
  }
  for (uint64_t done = 0; done < g.ring_sectors;) {
    const uint64_t count =
        std::min<uint64_t>(g.ring_sectors - done, kTransferSectors);
    RETURN_IF_ERROR(WriteZeros(medium, {g.ring_first + done, count}));
    done += count;
  }
  return Status::Ok();
}

uint32_t RootContentBlock(const Geometry& g) { return g.first_free_block - 1; }

bool UsedByFormat(const Geometry& g, uint32_t block) {
  return block <= g.root_block || block == RootContentBlock(g);
}

Status WriteBitmap(Medium& medium, const Geometry& g) {
  const uint64_t total = kBitmapHeaderSize + uint64_t{g.partition_blocks} / 8;
  const auto header = EncodeBitmapHeader(g);
  for (uint32_t sector = 0; sector < g.bitmap_blocks;) {
    const uint64_t count =
        std::min<uint64_t>(g.bitmap_blocks - sector, kTransferSectors);
    Bytes part(count * kSectorSize);
    const uint64_t start = uint64_t{sector} * kSectorSize;
    for (uint64_t i = 0; i < part.size() && start + i < total; ++i) {
      const uint64_t at = start + i;
      if (at < kBitmapHeaderSize) {
        part[i] = header[at];
        continue;
      }
      const uint64_t first_bit = (at - kBitmapHeaderSize) * 8;
      uint8_t bits = 0xFF;
      if (first_bit < g.first_free_block) {
        for (uint32_t bit = 0; bit < 8; ++bit) {
          if (UsedByFormat(g, static_cast<uint32_t>(first_bit) + bit)) {
            bits = static_cast<uint8_t>(bits & ~(1u << bit));
          }
        }
      }
      part[i] = std::byte{bits};
    }
    RETURN_IF_ERROR(medium.Write(g.Sector(kBitmapBlock + sector), part));
    sector += static_cast<uint32_t>(count);
  }
  return Status::Ok();
}

Status WriteRoot(Medium& medium, const Geometry& g,
                 const FormatOptions& options, const TimeSpec& now) {
  Fid parent;
  parent.icb_block = g.root_block;
  parent.directory = true;
  parent.parent = true;
  Bytes content;
  RETURN_IF_ERROR(EncodeFid(parent, RootContentBlock(g), 0, &content));
  FileEntry root;
  root.attr.type = FileType::kDirectory;
  root.attr.mode = options.root_mode;
  root.attr.uid = options.root_uid;
  root.attr.gid = options.root_gid;
  root.attr.links = 2;
  root.attr.size = content.size();
  root.attr.atime = root.attr.mtime = root.attr.ctime = root.attr.btime = now;
  root.extents = {{0, RootContentBlock(g), 1, false}};
  ASSIGN_OR_RETURN(const EncodedEntry entry,
                   EncodeFileEntry(root, g.root_block));
  content.resize(kSectorSize);
  RETURN_IF_ERROR(medium.Write(g.Sector(RootContentBlock(g)), content));
  return WriteSector(medium, g.Sector(g.root_block), entry.icb);
}

Status WriteVds(Medium& medium, const VolumeDescription& description,
                const TimeSpec& now, uint32_t first) {
  const std::vector<Sector> sectors = EncodeVds(description, now, first);
  for (uint32_t i = 0; i < sectors.size(); ++i) {
    RETURN_IF_ERROR(WriteSector(medium, first + i, sectors[i]));
  }
  return Status::Ok();
}

// Everything but what makes a volume of it. Sets *lvid_crc.
Status WriteContent(Medium& medium, const VolumeDescription& description,
                    const FormatOptions& options, const TimeSpec& now,
                    uint32_t* lvid_crc) {
  const Geometry& g = description.geometry;
  RETURN_IF_ERROR(ClearRing(medium, g, options.role));
  RETURN_IF_ERROR(ClearControlLog(medium, g));
  RETURN_IF_ERROR(WriteVds(medium, description, now, kMainVdsSector));
  RETURN_IF_ERROR(WriteVds(medium, description, now,
                           static_cast<uint32_t>(g.reserve_vds())));
  Lvid lvid;
  lvid.time = now;
  lvid.partition_blocks = g.partition_blocks;
  lvid.free_blocks = g.partition_blocks - g.root_block - 2;
  const Sector integrity = EncodeLvid(lvid);
  *lvid_crc = Crc32c(integrity);
  RETURN_IF_ERROR(WriteSector(medium, kLvidSector, integrity));
  Sector terminator{};
  StoreTerminator(terminator, kLvidSector + 1);
  RETURN_IF_ERROR(WriteSector(medium, kLvidSector + 1, terminator));
  RETURN_IF_ERROR(WriteSector(medium, g.Sector(kFileSetBlock),
                              EncodeFileSet(description, now)));
  terminator.fill(std::byte{0});
  StoreTerminator(terminator, kFileSetTerminatorBlock);
  RETURN_IF_ERROR(
      WriteSector(medium, g.Sector(kFileSetTerminatorBlock), terminator));
  RETURN_IF_ERROR(WriteBitmap(medium, g));
  return WriteRoot(medium, g, options, now);
}

Status CheckOptions(const FormatOptions& options, const MediumInfo& info) {
  RETURN_IF_ERROR(CheckVolumeId(options.volume_id));
  if (options.threshold < 1 || options.threshold > 100) {
    return Status(Errc::kInvalidArgument,
                  fmt::format("threshold {} is not within 1..100 per cent",
                              options.threshold));
  }
  if (info.medium_class != MediumClass::kRewritable) {
    return Status(Errc::kIncompatible,
                  fmt::format("{}: only rewritable media with random access "
                              "can be formatted",
                              info.name));
  }
  if (info.write_protected) {
    return Status(Errc::kWriteProtected,
                  fmt::format("{}: medium is write protected", info.name));
  }
  return Status::Ok();
}

std::string DescribeContent(Medium& medium, MediumContent content) {
  if (content == MediumContent::kVellum) {
    const Result<ControlSlot> slot = ReadControlSlot(medium);
    if (slot.ok()) {
      return fmt::format("volume {} ({})", slot->volume_id,
                         slot->role == Role::kPrimary ? "PRIMARY" : "BACKUP");
    }
  }
  return "data that is not of Vellum";
}

// Whether anything is on the medium; kExists unless it may be cleared.
Result<bool> HoldsData(Medium& medium, const FormatOptions& options) {
  const Result<MediumContent> content = ProbeMedium(medium);
  if (!content.ok()) {
    // A medium that cannot be read here may still be written anew: what it may
    // hold is made unreadable first.
    if (options.clear && content.error().code == Errc::kDeviceError) {
      spdlog::warn("medium {}: formatted though it cannot be read: {}",
                   medium.Info().name, content.error().message);
      return true;
    }
    return content.error();
  }
  if (*content == MediumContent::kBlank) return false;
  if (options.clear) return true;
  return Error{
      Errc::kExists,
      fmt::format("{} holds {}: clear (--clear, clear=yes) formats it all the "
                  "same",
                  medium.Info().name, DescribeContent(medium, *content))};
}

}  // namespace

Result<MediumContent> ProbeMedium(Medium& medium) {
  const uint64_t sectors = medium.Info().sectors;
  if (sectors >= kMinVolumeSectors) {
    const Result<ControlSlot> slot = ReadControlSlot(medium);
    if (slot.ok()) return MediumContent::kVellum;
    if (slot.error().code == Errc::kCorruption ||
        slot.error().code == Errc::kIncompatible) {
      return MediumContent::kForeign;
    }
    if (slot.error().code != Errc::kNotFound) return slot.error();
  }
  const uint64_t head = std::min<uint64_t>(sectors, kRingSector);
  const uint64_t tail = std::min(sectors, kTailSectors);
  ASSIGN_OR_RETURN(const bool head_zero, RangeIsZero(medium, {0, head}));
  if (!head_zero) return MediumContent::kForeign;
  ASSIGN_OR_RETURN(const bool tail_zero,
                   RangeIsZero(medium, {sectors - tail, tail}));
  if (!tail_zero) return MediumContent::kForeign;
  ASSIGN_OR_RETURN(const bool begin_zero, BeginIsZero(medium, sectors));
  if (!begin_zero) return MediumContent::kForeign;
  ASSIGN_OR_RETURN(const bool rest_zero, SamplesAreZero(medium, sectors));
  return rest_zero ? MediumContent::kBlank : MediumContent::kForeign;
}

Result<ControlSlot> FormatVolume(Medium& medium, const FormatOptions& options) {
  const MediumInfo info = medium.Info();
  RETURN_IF_ERROR(CheckOptions(options, info));
  VolumeDescription description;
  {
    Result<Geometry> geometry = ComputeGeometry(info.sectors);
    if (!geometry.ok()) return geometry.status().WithContext(info.name);
    description.geometry = *geometry;
  }
  const Geometry& g = description.geometry;
  ASSIGN_OR_RETURN(const bool holds_data, HoldsData(medium, options));
  if (holds_data) {
    RETURN_IF_ERROR(Invalidate(medium, g));
    // Without a wipe, what is to be zero all the same: the places of
    // descriptors and slots. Ring and log are cleared with the content.
    RETURN_IF_ERROR(
        medium.Discard(0, options.wipe ? info.sectors : uint64_t{kRingSector}));
    if (!options.wipe) {
      RETURN_IF_ERROR(
          medium.Discard(info.sectors - kTailSectors, kTailSectors));
    }
  }
  description.format_uuid = NewUuid();
  description.logical_volume_id = options.volume_id;

  ControlSlot slot;
  slot.format_uuid = description.format_uuid;
  slot.volume_id = options.volume_id;
  slot.medium_uuid = NewUuid();
  slot.role = options.role;
  const bool primary = options.role == Role::kPrimary;
  slot.state = primary ? SlotState::kClean : SlotState::kFormatted;
  slot.threshold = primary ? options.threshold : kBackupThreshold;
  slot.generation = {NewLineage(), 0};
  slot.ring_head = g.ring_first;
  slot.time = Now();
  RETURN_IF_ERROR(
      WriteContent(medium, description, options, slot.time, &slot.lvid_crc));
  RETURN_IF_ERROR(medium.Flush());

  const std::array<Sector, 3> recognition = EncodeRecognitionSequence();
  for (uint32_t i = 0; i < recognition.size(); ++i) {
    RETURN_IF_ERROR(
        WriteSector(medium, kRecognitionSector + i, recognition[i]));
  }
  for (const uint64_t anchor :
       {uint64_t{kAnchorSector}, g.sectors - 257, g.sectors - 1}) {
    RETURN_IF_ERROR(WriteSector(
        medium, anchor, EncodeAnchor(g, static_cast<uint32_t>(anchor))));
  }
  // Before the slot, which says that all of it is there.
  RETURN_IF_ERROR(medium.Flush());
  RETURN_IF_ERROR(WriteControlSlot(medium, &slot));
  RETURN_IF_ERROR(medium.Flush());
  return slot;
}

}  // namespace vellum::udf
