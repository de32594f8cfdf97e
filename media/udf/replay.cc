// SPDX-License-Identifier: Apache-2.0
// Putting sectors in place: S4, and the replay after a crash.
#include <fmt/format.h>

#include <algorithm>
#include <cstring>

#include "media/udf/journal.h"
#include "media/udf/sector_stream.h"
#include "media/udf/tag.h"

namespace vellum::udf {
namespace {

// What a drive writes whole even when power goes.
constexpr ptrdiff_t kTornUnit = 512;

// Calls visit(first, images of consecutive sectors) for the runs of at most
// 1 MiB.
Status ForEachRun(const SectorImages& images,
                  const std::function<Status(uint64_t, const Bytes&)>& visit) {
  Bytes run;
  uint64_t first = 0;
  for (const auto& [sector, image] : images) {
    const bool continues = !run.empty() &&
                           sector == first + run.size() / kSectorSize &&
                           run.size() < kTransferSectors * kSectorSize;
    if (!continues) {
      if (!run.empty()) RETURN_IF_ERROR(visit(first, run));
      run.clear();
      first = sector;
    }
    run.insert(run.end(), image->begin(), image->end());
  }
  return run.empty() ? Status::Ok() : visit(first, run);
}

// Which images differ from what the medium holds, with all images of the
// atomic units in which one does: a drive may be unable to change a part of a
// unit that it destroyed.
Result<SectorImages> NotInPlace(Medium& medium, const SectorImages& images) {
  SectorImages differing;
  RETURN_IF_ERROR(
      ForEachRun(images, [&](uint64_t first, const Bytes& run) -> Status {
        const uint64_t count = run.size() / kSectorSize;
        medium.DropReadCache(first, count);
        Bytes there(run.size());
        const Status read = medium.Read(first, there);
        if (read.ok() && there == run) return Status::Ok();
        if (!read.ok() && !read.Is(Errc::kDeviceError)) return read;
        for (uint64_t i = 0; i < count; ++i) {
          // What cannot be read differs.
          const bool same =
              read.ok() &&
              std::memcmp(there.data() + i * kSectorSize,
                          run.data() + i * kSectorSize, kSectorSize) == 0;
          if (!same) differing.insert(*images.find(first + i));
        }
        return Status::Ok();
      }));
  const uint64_t unit = std::max<uint32_t>(1, medium.Info().atomic_sectors);
  if (unit == 1) return differing;
  SectorImages whole;
  for (const auto& [sector, image] : differing) {
    const uint64_t begin = sector / unit * unit;
    whole.insert(images.lower_bound(begin), images.lower_bound(begin + unit));
  }
  return whole;
}

// Is the LVID on the medium one that our own commits left there?
//
// It may be the one before the record or the one in it, or the one before
// those if the record makes up for an S4 that was not flushed. No mixture of
// the two is possible on a drive that keeps sectors or 512-byte pieces whole:
// the descriptor takes 134 bytes and the rest of both sectors is zero. A drive
// that destroys a whole unit may leave anything, or something unreadable; that
// is no valid descriptor then, and nobody but us can have been writing: a
// foreign system leaves a valid one. When a recovery wrote its first 512 bytes
// over what was destroyed and then was cut, too, those are the record's.
Result<bool> LvidIsOurs(Medium& medium, const Record* record,
                        const ControlSlot& slot) {
  Sector sector;
  const Status read = medium.Read(kLvidSector, sector);
  if (!read.ok()) {
    if (record != nullptr && read.Is(Errc::kDeviceError)) return true;
    return read.WithContext("logical volume integrity descriptor");
  }
  const uint32_t crc = Crc32c(sector);
  if (record == nullptr) return crc == slot.lvid_crc;
  const RecordHeader& header = record->header;
  if (crc == header.lvid_before || crc == header.lvid_after ||
      (header.lvid_oldest != 0 && crc == header.lvid_oldest) ||
      !DecodeLvid(sector).ok()) {
    return true;
  }
  const auto image = record->images.find(kLvidSector);
  return image != record->images.end() &&
         std::equal(sector.begin(), sector.begin() + kTornUnit,
                    image->second->begin());
}

}  // namespace

Status WriteInPlace(Medium& medium, const SectorImages& images,
                    const FreshSectors& fresh) {
  // File entries last: where a process was killed, not power, another reader
  // finds what they say.
  SectorImages early;
  SectorImages others;
  SectorImages entries;
  for (const auto& image : images) {
    const bool entry = TagIdOf(*image.second) == kTagExtendedFileEntry;
    SectorImages& turn = fresh.count(image.first) != 0 ? early
                         : entry                       ? entries
                                                       : others;
    turn.insert(image);
  }
  const auto write = [&medium](uint64_t first, const Bytes& run) {
    return medium.Write(first, run);
  };
  RETURN_IF_ERROR(ForEachRun(early, write));
  if (!early.empty() && early.size() < images.size()) {
    RETURN_IF_ERROR(medium.Flush());
  }
  RETURN_IF_ERROR(ForEachRun(others, write));
  return ForEachRun(entries, write);
}

Status FillAtomicUnits(Medium& medium, SectorImages* images,
                       const std::function<bool(uint64_t)>& needed) {
  const MediumInfo info = medium.Info();
  const uint64_t unit = std::max<uint32_t>(1, info.atomic_sectors);
  if (unit == 1) return Status::Ok();
  SectorImages added;
  uint64_t done = 0;  // units that begin before are complete
  for (const auto& entry : *images) {
    const uint64_t begin = entry.first / unit * unit;
    if (begin < done) continue;
    const uint64_t count = std::min(unit, info.sectors - begin);
    Bytes content(count * kSectorSize);
    const Status read = medium.Read(begin, content);
    if (!read.ok() && (needed == nullptr || !read.Is(Errc::kDeviceError))) {
      return read;
    }
    for (uint64_t i = 0; i < count && !read.ok(); ++i) {
      const ByteSpan sector =
          ByteSpan(content).subspan(i * kSectorSize, kSectorSize);
      const Status one = medium.Read(begin + i, sector);
      if (one.ok()) continue;
      if (images->count(begin + i) == 0 && needed(begin + i)) return one;
      std::fill(sector.begin(), sector.end(), std::byte{0});
    }
    for (uint64_t i = 0; i < count; ++i) {
      if (images->count(begin + i) != 0) continue;
      const auto image = std::make_shared<Sector>();
      std::copy_n(content.begin() + static_cast<ptrdiff_t>(i * kSectorSize),
                  kSectorSize, image->begin());
      added.emplace(begin + i, image);
    }
    done = begin + unit;
  }
  images->merge(added);
  return Status::Ok();
}

Result<ReplayPlan> PlanReplay(Medium& medium, const Geometry& geometry,
                              const ControlSlot& slot) {
  ASSIGN_OR_RETURN(ScanResult scan, ScanRing(medium, geometry, slot));
  ReplayPlan plan;
  ReplayResult& result = plan.result;
  result.generation = slot.generation;
  result.next_sequence = scan.next_sequence;
  result.next_sector = scan.next_sector;
  const Record* const record = scan.newest ? &*scan.newest : nullptr;
  if (record != nullptr) {
    result.generation = record->header.generation;
    result.record_crc = record->header.crc;
    result.note = record->note;
  }
  ASSIGN_OR_RETURN(const bool ours, LvidIsOurs(medium, record, slot));
  if (!ours) {
    result.outcome = ReplayOutcome::kForeign;
    return plan;
  }
  plan.torn = std::move(scan.torn);
  if (scan.newest) {
    ASSIGN_OR_RETURN(plan.images, NotInPlace(medium, scan.newest->images));
    plan.fresh = std::move(scan.newest->fresh);
  }
  result.outcome =
      plan.images.empty() ? ReplayOutcome::kNothing : ReplayOutcome::kReplayed;
  return plan;
}

Result<ReplayResult> ReplayJournal(Medium& medium, const Geometry& geometry,
                                   const ControlSlot& slot) {
  const std::string context = fmt::format("replay of volume {} on {}",
                                          slot.volume_id, medium.Info().name);
  // After a crash of the program alone, the newest record may stand in the
  // system's cache only: replayed before it is durable, a power cut would leave
  // half of it in place with no record to repair it.
  RETURN_IF_ERROR(medium.Flush().WithContext(context));
  medium.DropReadCache(geometry.ring_first, geometry.ring_sectors);
  medium.DropReadCache(kLvidSector, 1);
  Result<ReplayPlan> plan = PlanReplay(medium, geometry, slot);
  if (!plan.ok()) return plan.status().WithContext(context);
  if (plan->torn.empty() && plan->images.empty()) return plan->result;
  for (const uint32_t sector : plan->torn) {
    RETURN_IF_ERROR(medium.Write(sector, Sector{}).WithContext(context));
  }
  RETURN_IF_ERROR(
      WriteInPlace(medium, plan->images, plan->fresh).WithContext(context));
  RETURN_IF_ERROR(medium.Flush().WithContext(context));
  return plan->result;
}

ReplayedMedium::ReplayedMedium(std::unique_ptr<Medium> base,
                               SectorImages images)
    : base_(std::move(base)), images_(std::move(images)) {}

MediumInfo ReplayedMedium::Info() const {
  MediumInfo info = base_->Info();
  info.write_protected = true;
  return info;
}

Status ReplayedMedium::Read(uint64_t lba, ByteSpan out) {
  const uint64_t count = out.size() / kSectorSize;
  const auto first = images_.lower_bound(lba);
  const auto last = images_.lower_bound(lba + count);
  const Status read = base_->Read(lba, out);
  if (!read.ok()) {
    if (!read.Is(Errc::kDeviceError) || first == last) return read;
    // The record may hold just what the drive destroyed.
    for (uint64_t i = 0; i < count; ++i) {
      if (images_.count(lba + i) != 0) continue;
      RETURN_IF_ERROR(
          base_->Read(lba + i, out.subspan(i * kSectorSize, kSectorSize)));
    }
  }
  for (auto it = first; it != last; ++it) {
    std::memcpy(out.data() + (it->first - lba) * kSectorSize,
                it->second->data(), kSectorSize);
  }
  return Status::Ok();
}

Status ReplayedMedium::Write(uint64_t lba, ConstByteSpan) {
  return Status(Errc::kWriteProtected,
                fmt::format("{}: write sector {}: opened read-only",
                            base_->Info().name, lba));
}

Status ReplayedMedium::Flush() { return Status::Ok(); }

Status ReplayedMedium::Discard(uint64_t lba, uint64_t) {
  return Status(Errc::kWriteProtected,
                fmt::format("{}: discard sector {}: opened read-only",
                            base_->Info().name, lba));
}

Result<SectorRange> ReplayedMedium::NextAllocated(SectorRange from) {
  ASSIGN_OR_RETURN(const SectorRange base, base_->NextAllocated(from));
  const auto image = images_.lower_bound(from.first);
  if (image == images_.end() || image->first >= from.end() ||
      (base.count > 0 && base.first <= image->first)) {
    return base;
  }
  return SectorRange{image->first, 1};
}

void ReplayedMedium::DropReadCache(uint64_t lba, uint64_t count) {
  base_->DropReadCache(lba, count);
}

}  // namespace vellum::udf
