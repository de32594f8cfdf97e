// SPDX-License-Identifier: Apache-2.0
// Writing records, and finding the newest one.
#include "media/udf/journal.h"

#include <fmt/format.h>

#include <algorithm>
#include <tuple>

#include "media/round_up.h"
#include "media/udf/bytes.h"
#include "media/udf/counters.h"
#include "media/udf/record.h"
#include "media/udf/sector_stream.h"

namespace vellum::udf {
namespace {

// Of a record body that cannot be read.
constexpr int kRetries = 3;

// Headers stand at multiples of 32 sectors from the ring's start. What the
// device cannot read holds none: the unit was being written when power went.
// What was never written holds none either.
Status ForEachHeader(Medium& medium, const Geometry& geometry,
                     const std::function<void(const RingHeader&)>& visit) {
  const uint64_t end = uint64_t{geometry.ring_first} + geometry.ring_sectors;
  Bytes buffer;
  uint64_t step = kTransferSectors;
  uint64_t at = geometry.ring_first;
  while (at < end) {
    ASSIGN_OR_RETURN(const SectorRange next,
                     medium.NextAllocated({at, end - at}));
    if (next.count == 0) break;
    at += (next.first - at) / kRegionSectors * kRegionSectors;
    const uint64_t count = std::min(step, end - at);
    buffer.resize(count * kSectorSize);
    const Status status = medium.Read(at, buffer);
    if (!status.ok()) {
      if (!status.Is(Errc::kDeviceError)) return status;
      if (step > kRegionSectors) {
        step = kRegionSectors;  // find out which
      } else {
        at += count;
      }
      continue;
    }
    for (uint64_t i = 0; i < count; i += kRegionSectors) {
      Sector sector;
      std::copy_n(buffer.begin() + static_cast<ptrdiff_t>(i * kSectorSize),
                  kSectorSize, sector.begin());
      if (const std::optional<RingHeader> header =
              DecodeRingHeader(sector, static_cast<uint32_t>(at + i))) {
        visit(*header);
      }
    }
    at += count;
  }
  return Status::Ok();
}

bool BelongsTo(const RingHeader& header, const ControlSlot& slot) {
  const RecordHeader& record = header.record;
  if (record.format_uuid != slot.format_uuid ||
      record.epoch < slot.record_floor) {
    return false;
  }
  return slot.generation.lineage == 0 ||
         (record.generation.lineage == slot.generation.lineage &&
          record.generation.number >= slot.generation.number);
}

}  // namespace

Journal::Journal(Medium* medium, const Geometry& geometry,
                 uint64_t next_sequence, uint32_t next_sector)
    : medium_(medium),
      geometry_(geometry),
      next_sequence_(next_sequence),
      next_sector_(next_sector) {}

uint64_t Journal::RingSectors(size_t image_count, size_t note_bytes) {
  return RoundUp(1 + BodySectors(image_count) + NoteSectors(note_bytes),
                 kRegionSectors);
}

uint64_t Journal::SpillSectors(size_t image_count) {
  return BodySectors(image_count);
}

bool Journal::NeedsSpill(size_t image_count, size_t note_bytes) const {
  return RingSectors(image_count, note_bytes) > geometry_.ring_sectors / 2;
}

Status Journal::Write(Record* record, const Spill& spill) {
  const SectorImages& images = record->images;
  const MediumInfo info = medium_->Info();
  const std::string context =
      fmt::format("redo record of generation {} on {}",
                  ToString(record->header.generation), info.name);
  const auto refuse = [&context](Errc code, std::string_view what) {
    return Status(code, fmt::format("{}: {}", context, what));
  };
  // A larger unit could hold two records.
  if (info.atomic_sectors > kRegionSectors) {
    return refuse(Errc::kIncompatible, "atomic unit larger than 64 KiB");
  }
  // No scan would find it again.
  if (std::max({next_sequence_, record->header.epoch,
                record->header.generation.number}) >= kCounterLimit) {
    return refuse(Errc::kInvalidArgument, "a counter is out of range");
  }
  if (images.size() > MaxRecordImages(geometry_)) {
    return refuse(Errc::kNoSpace,
                  fmt::format("{} images, a record has at most {}",
                              images.size(), MaxRecordImages(geometry_)));
  }
  if (record->note.size() > kMaxRecordNote ||
      (!record->note.empty() && !spill.empty())) {
    return refuse(Errc::kInvalidArgument, "no room for its note");
  }
  for (const auto& [sector, image] : images) {
    if (!IsRecordable(geometry_, sector)) {
      return refuse(Errc::kInvalidArgument,
                    fmt::format("sector {} is not recordable", sector));
    }
  }
  const auto lvid = images.find(kLvidSector);
  const uint32_t lvid_after =
      lvid == images.end() ? record->header.lvid_before : Crc32c(*lvid->second);
  if (lvid_after != record->header.lvid_after) {
    return refuse(Errc::kInvalidArgument, "CRC of the LVID does not match");
  }
  const bool spill_inside = std::all_of(
      spill.begin(), spill.end(),
      [this](SectorRange range) { return InPartition(geometry_, range); });
  if (!spill_inside ||
      (!spill.empty() && TotalSectors(spill) < SpillSectors(images.size()))) {
    return refuse(Errc::kInvalidArgument, "spill too small or misplaced");
  }

  RingHeader header;
  header.record = record->header;
  header.record.sequence = next_sequence_;
  header.record.crc = RecordCrc(*record);
  header.image_count = static_cast<uint32_t>(images.size());
  header.spill_ranges = static_cast<uint32_t>(spill.size());
  header.ring_sector = next_sector_;
  header.note_bytes = static_cast<uint32_t>(record->note.size());
  header.note_crc = Crc32c(AsBytes(record->note));
  const Bytes table = EncodeSpillTable(spill, &header.table_crc);
  const uint64_t ring_sectors = RingSectorsOf(header);
  // The record before must stay whole while this one is written.
  if (RoundUp(ring_sectors, kRegionSectors) > geometry_.ring_sectors / 2) {
    return refuse(spill.empty() ? Errc::kInvalidArgument : Errc::kNoSpace,
                  fmt::format("{} sectors do not fit half a ring of {}",
                              ring_sectors, geometry_.ring_sectors));
  }
  record->header = header.record;

  // Whole atomic units, so that the drive need not read what it overwrites.
  const uint64_t padded =
      RoundUp(ring_sectors, std::max<uint32_t>(1, info.atomic_sectors));
  SectorWriter ring(medium_, RingStretch(geometry_, next_sector_, padded));
  SectorWriter spilled(medium_, spill);
  const auto write = [&]() -> Status {
    RETURN_IF_ERROR(ring.Append(EncodeRingHeader(header)));
    for (size_t at = 0; at < table.size(); at += kSectorSize) {
      RETURN_IF_ERROR(
          ring.Append(ConstByteSpan(table).subspan(at, kSectorSize)));
    }
    RETURN_IF_ERROR(WriteBody(*record, spill.empty() ? &ring : &spilled));
    const Sector zeros{};
    for (uint64_t i = ring_sectors; i < padded; ++i) {
      RETURN_IF_ERROR(ring.Append(zeros));
    }
    RETURN_IF_ERROR(spilled.Finish());
    return ring.Finish();
  };
  RETURN_IF_ERROR(write().WithContext(context));

  ++next_sequence_;
  next_sector_ = SectorBehind(geometry_, header);
  return Status::Ok();
}

Result<ScanResult> ScanRing(Medium& medium, const Geometry& geometry,
                            const ControlSlot& slot) {
  ScanResult result;
  result.next_sector = geometry.ring_first;
  std::vector<RingHeader> candidates;
  RETURN_IF_ERROR(
      ForEachHeader(medium, geometry, [&](const RingHeader& header) {
        if (header.record.format_uuid == slot.format_uuid) {
          result.next_sequence =
              std::max(result.next_sequence, header.record.sequence + 1);
        }
        if (BelongsTo(header, slot)) candidates.push_back(header);
      }).WithContext("journal ring"));
  std::sort(candidates.begin(), candidates.end(),
            [](const RingHeader& a, const RingHeader& b) {
              return std::tie(a.record.epoch, a.record.sequence) >
                     std::tie(b.record.epoch, b.record.sequence);
            });
  for (const RingHeader& header : candidates) {
    Result<std::optional<Record>> record = ReadRecord(medium, geometry, header);
    // It may be the commit that was promised last: not given up for one read
    // that fails.
    for (int i = 0; i < kRetries && record.status().Is(Errc::kDeviceError);
         ++i) {
      record = ReadRecord(medium, geometry, header);
    }
    if (!record.ok() && record.error().code != Errc::kDeviceError) {
      return record.error();
    }
    // A body that cannot be read is as good as torn.
    if (record.ok() && record->has_value()) {
      result.newest = std::move(**record);
      result.next_sector = SectorBehind(geometry, header);
      break;
    }
    result.torn.push_back(header.ring_sector);
  }
  return result;
}

}  // namespace vellum::udf
