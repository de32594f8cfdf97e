// SPDX-License-Identifier: Apache-2.0
#include "copy/atomic_copy.h"

#include <fmt/format.h>

#include <algorithm>
#include <bit>
#include <cstring>
#include <utility>

#include "media/udf/codec.h"

namespace vellum {
namespace {

constexpr uint64_t kLvidRegion = udf::kLvidSector / kRegionSectors;

// The sectors of `mask`, one after the other.
ConstByteSpan Gather(ConstByteSpan region, uint32_t mask, Bytes* buffer) {
  if (std::popcount(mask) * kSectorSize == region.size()) return region;
  buffer->clear();
  for (uint32_t i = 0; i < kRegionSectors; ++i) {
    if ((mask >> i & 1) == 0) continue;
    const ConstByteSpan sector = region.subspan(i * kSectorSize, kSectorSize);
    buffer->insert(buffer->end(), sector.begin(), sector.end());
  }
  return *buffer;
}

}  // namespace

AtomicCopy::AtomicCopy(Medium* target, OpenedBackup backup,
                       const CopySource* source, AtomicCopyOptions options,
                       CopyHooks hooks)
    : target_(target),
      backup_(std::move(backup)),
      source_(source),
      options_(options),
      hooks_(std::move(hooks)),
      old_(backup_.geometry, backup_.bitmap),
      unit_(std::max<uint32_t>(1, target->Info().atomic_sectors)) {}

Status AtomicCopy::CheckPossible(const OpenedBackup& backup,
                                 const CopySource& source) {
  const std::string& name = backup.slot.volume_id;
  const std::string& from = source.identity.volume_id;
  if (backup.slot.format_uuid != source.identity.format_uuid) {
    return Status(Errc::kIncompatible,
                  fmt::format("volume {} was formatted anew since {} was made",
                              from, name));
  }
  if (!(backup.geometry == source.map->geometry())) {
    return Status(
        Errc::kIncompatible,
        fmt::format("{} and {} are laid out differently", name, from));
  }
  if (source.map->whole()) {
    return Status(Errc::kIncompatible,
                  "a copy of every sector leaves no room for an atomic commit");
  }
  return Status::Ok();
}

Status AtomicCopy::Write() {
  RETURN_IF_ERROR(CheckPossible(backup_, *source_));
  const MediumInfo info = target_->Info();
  if (info.write_protected) {
    return Status(Errc::kWriteProtected, info.name + " is write-protected");
  }
  if (unit_ > kRegionSectors || !std::has_single_bit(unit_)) {
    return Status(
        Errc::kIncompatible,
        fmt::format("{}: atomic unit of {} sectors", info.name, unit_));
  }
  no_room_ = false;
  hooks_.counters->Begin(source_->regions.count());
  RETURN_IF_ERROR(PumpRegions(
      source_->regions, backup_.geometry.sectors, hooks_.stop,
      [this](RegionChunk* chunk) { return source_->Fill(chunk); },
      [this](RegionChunk& chunk) { return Consume(chunk); },
      options_.chunk_regions));
  RETURN_IF_ERROR(source_->check_whole());
  if (lvid_region_.empty()) {
    return Status(Errc::kInternal,
                  "the regions to copy lack the integrity descriptor");
  }
  if (!images_.empty() && images_.count(udf::kLvidSector) == 0) {
    // Every record carries the integrity descriptor.
    ASSIGN_OR_RETURN(const uint32_t direct,
                     Sort(kLvidRegion, lvid_region_, udf::kLvidSector));
    VELLUM_CHECK(direct == 0);  // all of that region is in use
  }
  return PickSpill();
}

Status AtomicCopy::Consume(RegionChunk& chunk) {
  const SectorRange& range = chunk.sectors;
  if (udf::kLvidSector >= range.first && udf::kLvidSector < range.end()) {
    const ConstByteSpan region =
        std::as_const(chunk).Region(kLvidRegion - chunk.first_region);
    lvid_region_.assign(region.begin(), region.end());
    lvid_crc_ = udf::Crc32c(region.subspan(
        udf::kLvidSector % kRegionSectors * kSectorSize, kSectorSize));
  }
  // Runs of sectors to write, across the regions of the chunk.
  std::vector<SectorRange> runs;
  Bytes buffer;
  for (uint64_t i = 0; i < chunk.regions; ++i) {
    const uint64_t region = chunk.first_region + i;
    const ConstByteSpan data = std::as_const(chunk).Region(i);
    ASSIGN_OR_RETURN(const uint32_t mask, Sort(region, data, std::nullopt));
    if (mask == 0) continue;
    pieces_.push_back({region, mask, HashRegion(Gather(data, mask, &buffer))});
    for (uint32_t s = 0; s < kRegionSectors; ++s) {
      if ((mask >> s & 1) == 0) continue;
      const uint64_t sector = region * kRegionSectors + s;
      if (runs.empty() || runs.back().end() != sector) {
        runs.push_back({sector, 0});
      }
      ++runs.back().count;
    }
  }
  for (const SectorRange& run : runs) {
    RETURN_IF_ERROR(target_->WriteStream(
        run.first, ConstByteSpan(chunk.data)
                       .subspan((run.first - range.first) * kSectorSize,
                                run.count * kSectorSize)));
    hooks_.counters->bytes_copied += run.count * kSectorSize;
  }
  hooks_.counters->regions_done += chunk.regions;
  return Status::Ok();
}

Result<uint32_t> AtomicCopy::Sort(uint64_t region, ConstByteSpan data,
                                  std::optional<uint64_t> forced) {
  const uint32_t wanted = source_->map->Mask(region);
  const uint32_t used = old_.Mask(region);
  if (used == 0 || ((wanted & used) == 0 && unit_ == 1)) return wanted;
  Bytes present(data.size());
  RETURN_IF_ERROR(target_->Read(region * kRegionSectors, present));
  uint32_t direct = 0;
  const uint32_t sectors = static_cast<uint32_t>(data.size() / kSectorSize);
  for (uint32_t first = 0; first < sectors; first += unit_) {
    const uint32_t end = std::min(first + unit_, sectors);
    uint32_t unit_used = 0;
    uint32_t differ = 0;
    for (uint32_t s = first; s < end; ++s) {
      unit_used |= used & (1u << s);
      if ((wanted >> s & 1) == 0) continue;
      if (forced == region * kRegionSectors + s ||
          std::memcmp(data.data() + s * kSectorSize,
                      present.data() + s * kSectorSize, kSectorSize) != 0) {
        differ |= 1u << s;
      }
    }
    if (unit_used == 0) {
      for (uint32_t s = first; s < end; ++s) direct |= wanted & (1u << s);
      continue;
    }
    if (differ == 0) continue;
    for (uint32_t s = first; s < end; ++s) {
      const ConstByteSpan from =
          (differ >> s & 1) != 0 ? data : ConstByteSpan(present);
      RETURN_IF_ERROR(Keep(region * kRegionSectors + s,
                           from.subspan(s * kSectorSize, kSectorSize)));
    }
  }
  return direct;
}

Status AtomicCopy::Keep(uint64_t sector, ConstByteSpan content) {
  if ((images_.size() + 1) * kSectorSize > options_.max_image_bytes) {
    no_room_ = true;
    return Status(
        Errc::kNoSpace,
        fmt::format("backup {}: more than {} bytes would have to be replaced "
                    "in place in one atomic commit; the backup is unchanged",
                    backup_.slot.volume_id, options_.max_image_bytes));
  }
  auto image = std::make_shared<udf::Sector>();
  std::memcpy(image->data(), content.data(), kSectorSize);
  images_[sector] = std::move(image);
  hooks_.counters->bytes_copied += kSectorSize;
  return Status::Ok();
}

// Free in the backup's tree and in the generation that comes, and in units of
// its own: nothing that the commit overwrites can take them along.
Status AtomicCopy::PickSpill() {
  spill_.clear();
  const udf::Journal journal(target_, backup_.geometry, backup_.next_sequence,
                             backup_.next_sector);
  if (images_.empty() || !journal.NeedsSpill(images_.size())) {
    return Status::Ok();
  }
  uint64_t needed = udf::Journal::SpillSectors(images_.size());
  std::vector<SectorRange> runs;
  const uint64_t first = backup_.geometry.partition_first / kRegionSectors;
  const uint64_t end =
      first + backup_.geometry.partition_blocks / kRegionSectors;
  const auto add = [&runs](uint64_t sector, uint64_t count) {
    if (!runs.empty() && runs.back().end() == sector) {
      runs.back().count += count;
    } else {
      runs.push_back({sector, count});
    }
  };
  for (uint64_t region = first; region < end; ++region) {
    const uint32_t used = old_.Mask(region) | source_->map->Mask(region);
    const uint64_t sector = region * kRegionSectors;
    if (used == 0) {
      add(sector, kRegionSectors);
      continue;
    }
    for (uint32_t s = 0; s < kRegionSectors; s += unit_) {
      const uint32_t unit =
          static_cast<uint32_t>(((uint64_t{1} << unit_) - 1) << s);
      if ((used & unit) == 0) add(sector + s, unit_);
    }
  }
  std::sort(runs.begin(), runs.end(),
            [](const SectorRange& a, const SectorRange& b) {
              return a.count > b.count;
            });
  for (const SectorRange& run : runs) {
    const uint64_t take = std::min(needed, run.count);
    spill_.push_back({run.first, take});
    needed -= take;
    if (needed == 0) return Status::Ok();
  }
  spill_.clear();
  no_room_ = true;
  return Status(
      Errc::kNoSpace,
      fmt::format("backup {}: the record of an atomic commit needs {} sectors "
                  "that are free in the old and in the new generation, {} are "
                  "missing; the backup is unchanged",
                  backup_.slot.volume_id,
                  udf::Journal::SpillSectors(images_.size()), needed));
}

Status AtomicCopy::Verify() {
  RETURN_IF_ERROR(target_->Flush());
  if (!options_.verify || pieces_.empty()) return Status::Ok();
  RegionSet regions;
  for (const Piece& piece : pieces_) regions.Insert(piece.region);
  hooks_.counters->Begin(pieces_.size());
  // All of it first: done piece by piece it would drop what was read ahead.
  for (const RegionSet::Run& run : regions.Runs()) {
    const SectorRange range = source_->map->SectorsOf(run.first, run.count);
    target_->DropReadCache(range.first, range.count);
  }
  return PumpRegions(
      regions, backup_.geometry.sectors, hooks_.stop,
      [this](RegionChunk* chunk) {
        return target_->Read(chunk->sectors.first, chunk->data);
      },
      [this](RegionChunk& chunk) -> Status {
        for (uint64_t i = 0; i < chunk.regions; ++i) {
          RETURN_IF_ERROR(ComparePiece(pieces_[chunk.index + i],
                                       std::as_const(chunk).Region(i)));
        }
        hooks_.counters->regions_done += chunk.regions;
        return Status::Ok();
      },
      options_.chunk_regions);
}

Status AtomicCopy::ComparePiece(const Piece& piece, ConstByteSpan data) {
  Bytes buffer;
  const ConstByteSpan written = Gather(data, piece.mask, &buffer);
  hooks_.counters->bytes_verified += written.size();
  if (HashRegion(written) == piece.hash) return Status::Ok();
  const uint64_t sector = piece.region * kRegionSectors +
                          static_cast<uint64_t>(std::countr_zero(piece.mask));
  return Status(Errc::kCorruption,
                fmt::format("verify of {}: region {} (from sector {}) reads "
                            "back differently from what was written; the "
                            "backup is unchanged",
                            target_->Info().name, piece.region, sector));
}

Status AtomicCopy::Commit(const CopyNote& note) {
  if (!images_.empty()) RETURN_IF_ERROR(CommitRecord());
  udf::ControlSlot& slot = backup_.slot;
  slot.state = udf::SlotState::kComplete;
  slot.owner_id = source_->identity.volume_id;
  slot.owner_uuid = source_->identity.medium_uuid;
  slot.generation = source_->identity.generation;
  slot.lvid_crc = lvid_crc_;
  slot.time = Now();
  RETURN_IF_ERROR(udf::WriteControlSlot(*target_, &slot));
  RETURN_IF_ERROR(target_->Flush());
  committed_ = true;
  // The copy is complete: a note that cannot be written does not undo it.
  CopyNote done = note;
  done.ended = Now();
  Status noted = udf::AppendControlLog(*target_, backup_.geometry,
                                       &slot.log_end, {EncodeNote(done)});
  if (noted.ok()) noted = target_->Flush();
  if (!noted.ok()) hooks_.log("control log: " + noted.ToString());
  return Status::Ok();
}

Status AtomicCopy::CommitRecord() {
  udf::ControlSlot& slot = backup_.slot;
  if (slot.generation.lineage != source_->identity.generation.lineage) {
    // Recovery takes records of the slot's lineage only. A slot without one
    // takes the record that comes; its floor leaves out those before.
    slot.generation = Generation();
    slot.lvid_crc = backup_.lvid_crc;
    RETURN_IF_ERROR(WriteSlotWithNewFloor(*target_, &slot, 0));
    RETURN_IF_ERROR(target_->Flush());
  }
  udf::Record record;
  record.header.format_uuid = slot.format_uuid;
  record.header.epoch = slot.epoch;
  record.header.generation = source_->identity.generation;
  record.header.role = udf::Role::kBackup;
  record.header.owner_id = slot.owner_id;
  record.header.lvid_before = backup_.lvid_crc;
  record.header.lvid_after = lvid_crc_;
  record.images = images_;
  udf::Journal journal(target_, backup_.geometry, backup_.next_sequence,
                       backup_.next_sector);
  RETURN_IF_ERROR(journal.Write(&record, spill_));
  RETURN_IF_ERROR(target_->Flush());
  record_crc_ = record.header.crc;
  // Nothing is overwritten before the record is known to be readable.
  if (options_.verify) RETURN_IF_ERROR(CheckRecord(record));
  committed_ = true;
  RETURN_IF_ERROR(udf::WriteInPlace(*target_, images_));
  RETURN_IF_ERROR(target_->Flush());
  if (!options_.verify) return Status::Ok();
  RETURN_IF_ERROR(VerifyImages(*target_, images_));
  hooks_.counters->bytes_verified += images_.size() * kSectorSize;
  return Status::Ok();
}

Status AtomicCopy::CheckRecord(const udf::Record& record) {
  target_->DropReadCache(backup_.geometry.ring_first,
                         backup_.geometry.ring_sectors);
  for (const SectorRange& range : spill_) {
    target_->DropReadCache(range.first, range.count);
  }
  ASSIGN_OR_RETURN(const udf::ScanResult scan,
                   udf::ScanRing(*target_, backup_.geometry, backup_.slot));
  if (scan.newest && scan.newest->header.crc == record.header.crc &&
      scan.newest->header.sequence == record.header.sequence) {
    return Status::Ok();
  }
  return Status(Errc::kCorruption,
                fmt::format("verify of {}: the record of the commit does not "
                            "read back; backup {} stays as it was",
                            target_->Info().name, slot().volume_id));
}

}  // namespace vellum
