// SPDX-License-Identifier: Apache-2.0
#include "copy/full_copy.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstring>
#include <utility>

#include "media/udf/codec.h"
#include "media/udf/format.h"

namespace vellum {
namespace {

constexpr uint64_t kWipePiece = (64ull << 20) / kSectorSize;

bool AllZero(ConstByteSpan data) {
  // Compares the data with itself, shifted by one byte.
  return !data.empty() && data[0] == std::byte{0} &&
         std::memcmp(data.data(), data.data() + 1, data.size() - 1) == 0;
}

}  // namespace

FullCopy::FullCopy(Medium* target, TargetContent found,
                   const CopySource* source, FullCopyOptions options,
                   CopyHooks hooks)
    : target_(target),
      found_(std::move(found)),
      source_(source),
      options_(std::move(options)),
      hooks_(std::move(hooks)),
      descriptor_ranges_(udf::DescriptorRanges(source->map->geometry())) {}

Status FullCopy::CheckTarget() const {
  const MediumInfo& info = found_.info;
  if (info.medium_class != MediumClass::kRewritable) {
    return Status(Errc::kIncompatible,
                  info.name + " is not rewritable: it cannot hold a backup");
  }
  if (info.write_protected) {
    return Status(Errc::kWriteProtected, info.name + " is write-protected");
  }
  const uint64_t needed = source_->map->geometry().sectors;
  if (info.sectors < needed) {
    return Status(
        Errc::kNoSpace,
        fmt::format("{} has {} sectors, volume {} has {}", info.name,
                    info.sectors, source_->identity.volume_id, needed));
  }
  return Status::Ok();
}

bool FullCopy::HoldsOtherData() const {
  switch (found_.content) {
    case udf::MediumContent::kBlank:
      return false;
    case udf::MediumContent::kForeign:
      return true;
    case udf::MediumContent::kVellum:
      break;
  }
  // INCOMPLETE: the copy that broke off may not have wiped it yet.
  return found_.slot->state != udf::SlotState::kComplete ||
         found_.slot->owner_uuid != source_->identity.medium_uuid;
}

Status FullCopy::Begin() {
  RETURN_IF_ERROR(CheckTarget());
  slot_ = udf::ControlSlot();
  if (found_.slot) {
    slot_.medium_uuid = found_.slot->medium_uuid;
    slot_.epoch = found_.slot->epoch;
    const Result<udf::VolumeDescription> before =
        udf::ReadDescription(*target_);
    if (!HoldsOtherData() && before.ok() &&
        before->geometry == source_->map->geometry()) {
      keep_log_ = true;
      slot_.log_end = found_.slot->log_end;
    }
  } else {
    slot_.medium_uuid = udf::NewUuid();
  }
  slot_.format_uuid = source_->identity.format_uuid;
  slot_.volume_id = options_.volume_id;
  slot_.role = udf::Role::kBackup;
  slot_.state = udf::SlotState::kIncomplete;
  slot_.owner_id = source_->identity.volume_id;
  slot_.owner_uuid = source_->identity.medium_uuid;
  slot_.threshold = 99;
  if (options_.wipe && found_.content == udf::MediumContent::kForeign) {
    // Only here: beside a slot that counts nothing may be written.
    RETURN_IF_ERROR(target_->Discard(
        udf::kSlotASector,
        udf::kSlotBSector + udf::kSlotSectors - udf::kSlotASector));
  }
  RETURN_IF_ERROR(WriteSlotWithNewFloor(*target_, &slot_, 1));
  RETURN_IF_ERROR(target_->Flush());
  RETURN_IF_ERROR(Invalidate());
  RETURN_IF_ERROR(target_->Flush());
  if (options_.wipe && HoldsOtherData()) RETURN_IF_ERROR(Wipe());
  if (!keep_log_) {
    RETURN_IF_ERROR(udf::ClearControlLog(*target_, source_->map->geometry()));
  }
  return Status::Ok();
}

// Every place where a reader looks for a volume, of the volume that comes and
// of one that fills the medium.
Status FullCopy::Invalidate() {
  const uint64_t volume = source_->map->geometry().sectors;
  const uint64_t medium = found_.info.sectors;
  const Bytes zeros(16 * kSectorSize);
  const ConstByteSpan one = ConstByteSpan(zeros).first(kSectorSize);
  RETURN_IF_ERROR(target_->Write(16, zeros));
  for (const uint64_t anchor : {uint64_t{udf::kAnchorSector}, volume - 257,
                                volume - 1, medium - 257, medium - 1}) {
    RETURN_IF_ERROR(target_->Write(anchor, one));
  }
  return Status::Ok();
}

Status FullCopy::Wipe() {
  // Everything but the slots and what the copy is about to write.
  std::vector<SectorRange> keep;
  keep.push_back(
      {udf::kSlotASector,
       uint64_t{udf::kSlotBSector} + udf::kSlotSectors - udf::kSlotASector});
  for (const RegionSet::Run& run : source_->regions.Runs()) {
    keep.push_back(source_->map->SectorsOf(run.first, run.count));
  }
  std::sort(keep.begin(), keep.end());
  keep.push_back({found_.info.sectors, 0});
  std::vector<SectorRange> gaps;
  uint64_t at = 0;
  for (const SectorRange& range : keep) {
    // In pieces: a drive may take hours to write zeros.
    for (; at < range.first; at = gaps.back().end()) {
      gaps.push_back({at, std::min(range.first - at, kWipePiece)});
    }
    at = std::max(at, range.end());
  }
  const auto regions = [](const SectorRange& gap) {
    return (gap.count + kRegionSectors - 1) / kRegionSectors;
  };
  for (const SectorRange& gap : gaps) wiped_regions_ += regions(gap);
  hooks_.counters->Begin(wiped_regions_ + source_->regions.count());
  for (const SectorRange& gap : gaps) {
    if (hooks_.stop.stop_requested())
      return Status(Errc::kAborted, "cancelled");
    RETURN_IF_ERROR(target_->Discard(gap.first, gap.count));
    hooks_.counters->regions_done += regions(gap);
  }
  return Status::Ok();
}

Status FullCopy::Write() {
  hashes_.clear();
  hashes_.reserve(source_->regions.count());
  hooks_.counters->Begin(wiped_regions_ + source_->regions.count());
  hooks_.counters->regions_done = wiped_regions_;
  RETURN_IF_ERROR(PumpRegions(
      source_->regions, source_->map->geometry().sectors, hooks_.stop,
      [this](RegionChunk* chunk) { return source_->Fill(chunk); },
      [this](RegionChunk& chunk) { return Consume(chunk); },
      options_.chunk_regions));
  RETURN_IF_ERROR(source_->check_whole());
  return target_->Flush();
}

Status FullCopy::Consume(RegionChunk& chunk) {
  hashes_.insert(hashes_.end(), chunk.hashes.begin(), chunk.hashes.end());
  const SectorRange& range = chunk.sectors;
  if (udf::kLvidSector >= range.first && udf::kLvidSector < range.end()) {
    lvid_crc_ =
        udf::Crc32c(ConstByteSpan(chunk.data)
                        .subspan((udf::kLvidSector - range.first) * kSectorSize,
                                 kSectorSize));
  }
  for (const SectorRange& held : descriptor_ranges_) {
    for (uint64_t s = std::max(held.first, range.first);
         s < std::min(held.end(), range.end()); ++s) {
      std::byte* const at = chunk.data.data() + (s - range.first) * kSectorSize;
      auto image = std::make_shared<udf::Sector>();
      std::memcpy(image->data(), at, kSectorSize);
      std::memset(at, 0, kSectorSize);
      descriptors_[s] = std::move(image);
    }
  }
  // Runs of zeros stay, or become, holes.
  for (uint64_t i = 0; i < chunk.regions;) {
    const bool zero = AllZero(chunk.Region(i));
    uint64_t n = 1;
    while (i + n < chunk.regions && AllZero(chunk.Region(i + n)) == zero) ++n;
    const uint64_t first = range.first + i * kRegionSectors;
    const uint64_t count =
        std::min(range.end() - first, n * uint64_t{kRegionSectors});
    if (zero) {
      RETURN_IF_ERROR(target_->Discard(first, count));
    } else {
      RETURN_IF_ERROR(target_->WriteStream(
          first, ConstByteSpan(chunk.data)
                     .subspan(i * kRegionSize, count * kSectorSize)));
    }
    i += n;
  }
  hooks_.counters->regions_done += chunk.regions;
  hooks_.counters->bytes_copied += range.count * kSectorSize;
  return Status::Ok();
}

Status FullCopy::Verify() {
  if (!options_.verify) return Status::Ok();
  hooks_.counters->Begin(source_->regions.count());
  // All of it first: done piece by piece it would drop what was read ahead.
  for (const RegionSet::Run& run : source_->regions.Runs()) {
    const SectorRange range = source_->map->SectorsOf(run.first, run.count);
    target_->DropReadCache(range.first, range.count);
  }
  return PumpRegions(
      source_->regions, source_->map->geometry().sectors, hooks_.stop,
      [this](RegionChunk* chunk) { return ReadBack(chunk); },
      [this](RegionChunk& chunk) { return Compare(chunk); },
      options_.chunk_regions);
}

Status FullCopy::ReadBack(RegionChunk* chunk) {
  const SectorRange& range = chunk->sectors;
  RETURN_IF_ERROR(target_->Read(range.first, chunk->data));
  // What is written last counts as if it were there already.
  for (auto it = descriptors_.lower_bound(range.first);
       it != descriptors_.end() && it->first < range.end(); ++it) {
    std::memcpy(chunk->data.data() + (it->first - range.first) * kSectorSize,
                it->second->data(), kSectorSize);
  }
  HashChunk(chunk);
  return Status::Ok();
}

Status FullCopy::Compare(RegionChunk& chunk) {
  for (uint64_t i = 0; i < chunk.regions; ++i) {
    if (chunk.hashes[i] == hashes_[chunk.index + i]) continue;
    const uint64_t region = chunk.first_region + i;
    return Status(
        Errc::kCorruption,
        fmt::format("verify of {}: region {} (from sector {}) reads "
                    "back differently from what was written",
                    found_.info.name, region, region * kRegionSectors));
  }
  hooks_.counters->regions_done += chunk.regions;
  hooks_.counters->bytes_verified += chunk.sectors.count * kSectorSize;
  return Status::Ok();
}

Status FullCopy::Commit(const CopyNote& note) {
  RETURN_IF_ERROR(udf::WriteInPlace(*target_, descriptors_));
  RETURN_IF_ERROR(target_->Flush());
  if (options_.verify) RETURN_IF_ERROR(VerifyImages(*target_, descriptors_));
  slot_.state = udf::SlotState::kComplete;
  slot_.generation = source_->identity.generation;
  slot_.lvid_crc = lvid_crc_;
  slot_.time = Now();
  RETURN_IF_ERROR(udf::WriteControlSlot(*target_, &slot_));
  RETURN_IF_ERROR(target_->Flush());
  // The copy is complete: a note that cannot be written does not undo it.
  CopyNote done = note;
  done.ended = Now();
  Status noted = udf::AppendControlLog(*target_, source_->map->geometry(),
                                       &slot_.log_end, {EncodeNote(done)});
  if (noted.ok()) noted = target_->Flush();
  if (!noted.ok()) hooks_.log("control log: " + noted.ToString());
  return Status::Ok();
}

}  // namespace vellum
