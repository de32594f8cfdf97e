// SPDX-License-Identifier: Apache-2.0
#include "copy/write_once_copy.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstring>
#include <map>
#include <utility>

#include "media/udf/codec.h"
#include "media/udf/format.h"

namespace vellum {

// Slots and log as they will be on the medium: sectors in memory, everything
// else zeros. So they are made by who makes them on other media, too.
class WriteOnceCopy::PrivateArea : public Medium {
 public:
  PrivateArea(uint64_t sectors, std::string name) {
    info_.sectors = sectors;
    info_.name = std::move(name);
  }

  MediumInfo Info() const override { return info_; }
  Status Read(uint64_t lba, ByteSpan out) override {
    std::fill(out.begin(), out.end(), std::byte{0});
    Overlay({lba, out.size() / kSectorSize}, out);
    return Status::Ok();
  }
  Status Write(uint64_t lba, ConstByteSpan data) override {
    for (uint64_t i = 0; i < data.size() / kSectorSize; ++i) {
      std::memcpy(sectors_[lba + i].data(), data.data() + i * kSectorSize,
                  kSectorSize);
    }
    return Status::Ok();
  }
  Status Flush() override { return Status::Ok(); }
  Status Discard(uint64_t lba, uint64_t count) override {
    sectors_.erase(sectors_.lower_bound(lba),
                   sectors_.lower_bound(lba + count));
    return Status::Ok();
  }
  Result<SectorRange> NextAllocated(SectorRange from) override { return from; }
  void DropReadCache(uint64_t, uint64_t) override {}

  // Puts what was written into `range` over `data`.
  void Overlay(SectorRange range, ByteSpan data) const {
    for (auto it = sectors_.lower_bound(range.first);
         it != sectors_.end() && it->first < range.end(); ++it) {
      std::memcpy(data.data() + (it->first - range.first) * kSectorSize,
                  it->second.data(), kSectorSize);
    }
  }

 private:
  MediumInfo info_;
  std::map<uint64_t, udf::Sector> sectors_;
};

WriteOnceCopy::WriteOnceCopy(Medium* target, TargetContent found,
                             const CopySource* source,
                             WriteOnceCopyOptions options, CopyHooks hooks)
    : target_(target),
      found_(std::move(found)),
      source_(source),
      options_(std::move(options)),
      hooks_(std::move(hooks)) {}

Status WriteOnceCopy::CheckTarget() const {
  const MediumInfo& info = found_.info;
  if (info.medium_class != MediumClass::kWriteOnce) {
    return Status(Errc::kIncompatible, info.name + " is not write-once");
  }
  if (info.write_protected || found_.content != udf::MediumContent::kBlank) {
    return Status(Errc::kWriteProtected,
                  info.name +
                      " is a write-once medium that was written already: it "
                      "takes nothing more");
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

uint64_t WriteOnceCopy::LastRegion() const {
  return source_->map->regions() - 1;
}

RegionSet WriteOnceCopy::AllRegions() const {
  RegionSet all;
  all.InsertRange(0, source_->map->regions());
  return all;
}

// The slot stands behind the integrity descriptor, but not far enough to wait
// for it.
Result<uint32_t> WriteOnceCopy::ReadLvidCrc() const {
  const SectorRange range =
      source_->map->SectorsOf(udf::kLvidSector / kRegionSectors, 1);
  Bytes region(range.count * kSectorSize);
  RETURN_IF_ERROR(source_->read(range.first, region));
  RETURN_IF_ERROR(source_->map->Normalise(range, region));
  return udf::Crc32c(ConstByteSpan(region).subspan(
      (udf::kLvidSector - range.first) * kSectorSize, kSectorSize));
}

Status WriteOnceCopy::Prepare(const CopyNote& note) {
  RETURN_IF_ERROR(CheckTarget());
  const udf::Geometry& geometry = source_->map->geometry();
  private_ = std::make_shared<PrivateArea>(geometry.sectors, found_.info.name);
  slot_ = udf::ControlSlot();
  slot_.medium_uuid = udf::NewUuid();
  slot_.format_uuid = source_->identity.format_uuid;
  slot_.volume_id = options_.volume_id;
  slot_.role = udf::Role::kBackup;
  slot_.state = udf::SlotState::kComplete;
  slot_.owner_id = source_->identity.volume_id;
  slot_.owner_uuid = source_->identity.medium_uuid;
  slot_.generation = source_->identity.generation;
  slot_.threshold = 99;
  ASSIGN_OR_RETURN(slot_.lvid_crc, ReadLvidCrc());
  RETURN_IF_ERROR(udf::AppendControlLog(*private_, geometry, &slot_.log_end,
                                        {EncodeNote(note)}));
  return WriteSlotWithNewFloor(*private_, &slot_, 1);
}

Status WriteOnceCopy::Fill(RegionChunk* chunk) {
  std::fill(chunk->data.begin(), chunk->data.end(), std::byte{0});
  for (uint64_t i = 0; i < chunk->regions;) {
    const uint64_t first = chunk->first_region + i;
    if (!source_->regions.Contains(first)) {
      ++i;
      continue;
    }
    RegionChunk part;
    part.first_region = first;
    while (i + part.regions < chunk->regions &&
           source_->regions.Contains(first + part.regions)) {
      ++part.regions;
    }
    part.index = filled_;
    part.sectors = source_->map->SectorsOf(first, part.regions);
    part.data.resize(part.sectors.count * kSectorSize);
    RETURN_IF_ERROR(source_->Fill(&part));
    std::memcpy(chunk->data.data() + i * kRegionSize, part.data.data(),
                part.data.size());
    filled_ += part.regions;
    i += part.regions;
  }
  private_->Overlay(chunk->sectors, chunk->data);
  HashChunk(chunk);
  return Status::Ok();
}

Status WriteOnceCopy::Write() {
  filled_ = 0;
  hashes_.clear();
  hooks_.counters->Begin(source_->map->regions());
  RETURN_IF_ERROR(PumpRegions(
      AllRegions(), source_->map->geometry().sectors, hooks_.stop,
      [this](RegionChunk* chunk) { return Fill(chunk); },
      [this](RegionChunk& chunk) { return Consume(chunk); },
      options_.chunk_regions));
  RETURN_IF_ERROR(source_->check_whole());
  return target_->Flush();
}

Status WriteOnceCopy::Consume(RegionChunk& chunk) {
  hashes_.insert(hashes_.end(), chunk.hashes.begin(), chunk.hashes.end());
  const uint64_t end = source_->map->geometry().sectors;
  ConstByteSpan now = chunk.data;
  if (chunk.sectors.end() == end) {
    const uint64_t kept = end - LastRegion() * kRegionSectors;
    now = now.first(now.size() - kept * kSectorSize);
    last_.assign(chunk.data.end() - static_cast<ptrdiff_t>(kept * kSectorSize),
                 chunk.data.end());
  }
  if (!now.empty()) {
    began_ = true;
    RETURN_IF_ERROR(target_->Write(chunk.sectors.first, now));
  }
  hooks_.counters->regions_done += chunk.regions;
  hooks_.counters->bytes_copied += chunk.sectors.count * kSectorSize;
  return Status::Ok();
}

Status WriteOnceCopy::Verify() {
  if (!options_.verify || LastRegion() == 0) return Status::Ok();
  hooks_.counters->Begin(source_->map->regions());
  RegionSet written;
  written.InsertRange(0, LastRegion());
  // A drive that reads no open disc refuses its begin; one that refuses only
  // what lies behind has lost it.
  Bytes begin(kRegionSize);
  target_->DropReadCache(0, kRegionSectors);
  const Status read = target_->Read(0, begin);
  if (!read.Is(Errc::kNotSupported)) {
    return CompareRegions(written, hooks_.stop);
  }
  unread_ = true;
  hooks_.log(read.error().message + ": it is closed before it is verified");
  return Status::Ok();
}

Status WriteOnceCopy::CompareRegions(const RegionSet& regions,
                                     const std::stop_token& stop) {
  return PumpRegions(
      regions, source_->map->geometry().sectors, stop,
      [this](RegionChunk* chunk) { return ReadBack(chunk); },
      [this](RegionChunk& chunk) { return Compare(chunk); },
      options_.chunk_regions);
}

Status WriteOnceCopy::ReadBack(RegionChunk* chunk) {
  target_->DropReadCache(chunk->sectors.first, chunk->sectors.count);
  RETURN_IF_ERROR(target_->Read(chunk->sectors.first, chunk->data));
  HashChunk(chunk);
  return Status::Ok();
}

Status WriteOnceCopy::Compare(RegionChunk& chunk) {
  for (uint64_t i = 0; i < chunk.regions; ++i) {
    const uint64_t region = chunk.first_region + i;
    if (chunk.hashes[i] == hashes_[region]) continue;
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

Status WriteOnceCopy::Commit() {
  says_complete_ = true;
  RETURN_IF_ERROR(target_->Write(LastRegion() * kRegionSectors, last_));
  RETURN_IF_ERROR(target_->Flush());
  if (options_.verify && !unread_) {
    RegionSet last;
    last.Insert(LastRegion());
    RETURN_IF_ERROR(CompareRegions(last, {}));
  }
  RETURN_IF_ERROR(target_->Finalize());
  if (!options_.verify || !unread_) return Status::Ok();
  hooks_.counters->Begin(source_->map->regions());
  // Not to be cancelled: what is on the disc cannot be taken back.
  return CompareRegions(AllRegions(), {});
}

}  // namespace vellum
