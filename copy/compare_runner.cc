// SPDX-License-Identifier: Apache-2.0
#include "copy/compare_runner.h"

#include <fmt/format.h>

#include <bit>
#include <cstring>
#include <utility>

#include "copy/damage_notes.h"
#include "index/snapshot.h"
#include "media/udf/codec.h"

namespace vellum {
namespace {

constexpr size_t kKeptRegions = 16;
constexpr size_t kNamedSectors = 8;

// The integrity descriptor's type and time are no part of a generation.
Status Neutralise(RegionChunk* chunk) {
  const SectorRange& range = chunk->sectors;
  if (udf::kLvidSector < range.first || udf::kLvidSector >= range.end()) {
    return Status::Ok();
  }
  std::byte* const at =
      chunk->data.data() + (udf::kLvidSector - range.first) * kSectorSize;
  udf::Sector sector;
  std::memcpy(sector.data(), at, kSectorSize);
  ASSIGN_OR_RETURN(udf::DecodedLvid decoded, udf::DecodeLvid(sector));
  decoded.lvid.closed = true;
  decoded.lvid.time = TimeSpec();
  sector = udf::EncodeLvid(decoded.lvid);
  std::memcpy(at, sector.data(), kSectorSize);
  return Status::Ok();
}

// Fills the chunk from `source` as it is compared.
Status FillNeutral(const CopySource& source, RegionChunk* chunk) {
  RETURN_IF_ERROR(source.Fill(chunk));
  RETURN_IF_ERROR(
      Neutralise(chunk).WithContext("volume " + source.identity.volume_id));
  HashChunk(chunk);
  return Status::Ok();
}

Result<std::shared_ptr<Volume>> FindVolume(const Archive& archive,
                                           const std::string& id) {
  std::shared_ptr<Volume> volume = archive.volumes->Find(id);
  if (volume == nullptr) return Error{Errc::kNotFound, "no volume " + id};
  return volume;
}

}  // namespace

CompareRunner::CompareRunner(JobSteps* steps)
    : steps_(steps),
      a_(steps->job().Record().request.source),
      b_(steps->job().Record().request.target) {}

Status CompareRunner::Run() {
  RETURN_IF_ERROR(steps_->Enter(JobState::kVerifying));
  RETURN_IF_ERROR(HashB());
  RETURN_IF_ERROR(ReadA());
  steps_->job().Update([this](JobRecord* job) {
    job->regions_compared = compared_;
    job->regions_changed = changed_;
    job->differs = differing_ != 0;
  });
  if (!kept_.empty()) RETURN_IF_ERROR(LocateSectors());
  const Status differences = Differences();
  RETURN_IF_ERROR(NoteResult(differences));
  RETURN_IF_ERROR(differences);
  steps_->job().Update([this](JobRecord* job) {
    job->message = fmt::format(
        "{} and {} are equal in the {} regions compared; {} regions of {} "
        "changed since {} was made",
        a_, b_, compared_, changed_, a_, b_);
  });
  RETURN_IF_ERROR(steps_->Enter(JobState::kReturning));
  steps_->SendAllHome();
  return Status::Ok();
}

Status CompareRunner::HashB() {
  ASSIGN_OR_RETURN(const std::shared_ptr<Volume> volume,
                   FindVolume(steps_->archive(), b_));
  steps_->Touch(volume->record().medium);
  {
    ASSIGN_OR_RETURN(VolumeUse use,
                     steps_->archive().volumes->Hold(volume, steps_->stop(),
                                                     steps_->owner()));
    ASSIGN_OR_RETURN(const std::unique_ptr<VolumeSnapshot> snapshot,
                     use->TakeSnapshot());
    record_ = snapshot->record();
    identity_ = IdentityOf(*snapshot);
    map_ = std::make_shared<const SectorMap>(snapshot->geometry(),
                                             snapshot->bitmap());
    used_ = map_->UsedRegions();
    const CopySource source = SourceOf(*snapshot, map_, used_);
    CopyCounters& counters = steps_->job().counters;
    counters.Begin(2 * used_.count());
    RETURN_IF_ERROR(PumpRegions(
        used_, map_->geometry().sectors, steps_->stop(),
        [&source](RegionChunk* chunk) { return FillNeutral(source, chunk); },
        [this, &counters](RegionChunk& chunk) -> Status {
          hashes_.insert(hashes_.end(), chunk.hashes.begin(),
                         chunk.hashes.end());
          counters.regions_done += chunk.regions;
          counters.bytes_verified += chunk.data.size();
          return Status::Ok();
        }));
    RETURN_IF_ERROR(source.check_whole());
  }
  steps_->SendHome(volume->record().medium);
  return Status::Ok();
}

Status CompareRunner::ReadA() {
  ASSIGN_OR_RETURN(const std::shared_ptr<Volume> volume,
                   FindVolume(steps_->archive(), a_));
  steps_->Touch(volume->record().medium);
  ASSIGN_OR_RETURN(VolumeUse use, steps_->archive().volumes->Hold(
                                      volume, steps_->stop(), steps_->owner()));
  ASSIGN_OR_RETURN(const std::unique_ptr<VolumeSnapshot> snapshot,
                   use->TakeSnapshot());
  if (!(snapshot->geometry() == map_->geometry())) {
    steps_->job().Update([](JobRecord* job) { job->differs = true; });
    return Status(Errc::kCorruption,
                  fmt::format("{} and {} are laid out differently", a_, b_));
  }
  const SectorMap now(snapshot->geometry(), snapshot->bitmap());
  RegionSet changed;
  bool tracked = false;
  Status changes;
  if (!(snapshot->generation() == identity_.generation)) {
    Result<RegionSet> since = snapshot->ChangedSince(identity_.generation);
    if (since.ok()) {
      tracked = true;
      changed = std::move(*since);
      changed.Insert(udf::kLvidSector / kRegionSectors);
      // Blocks that were freed since may be written at any time: nothing marks
      // that before the next commit, and nothing pins them.
      for (uint64_t r = 0; r < map_->regions(); ++r) {
        if ((map_->Mask(r) & ~now.Mask(r)) != 0) changed.Insert(r);
      }
    } else if (since.error().code == Errc::kOutOfRange) {
      changes = since.status();
      steps_->Log("every region is compared: " + since.error().message);
    } else {
      return since.status();
    }
  }
  Judge(snapshot->record(), changes);
  CountOnlyA(now, tracked);
  // By b's bitmap: what only a uses is counted already.
  const CopySource source = SourceOf(*snapshot, map_, used_);
  CopyCounters& counters = steps_->job().counters;
  RETURN_IF_ERROR(PumpRegions(
      used_, map_->geometry().sectors, steps_->stop(),
      [&source](RegionChunk* chunk) { return FillNeutral(source, chunk); },
      [&, this](RegionChunk& chunk) -> Status {
        for (uint64_t i = 0; i < chunk.regions; ++i) {
          const uint64_t region = chunk.first_region + i;
          if (changed.Contains(region)) {
            ++changed_;
            continue;
          }
          ++compared_;
          if (chunk.hashes[i] == hashes_[chunk.index + i]) continue;
          ++differing_;
          if (kept_.size() < kKeptRegions) {
            const ConstByteSpan data = std::as_const(chunk).Region(i);
            kept_[region] = Bytes(data.begin(), data.end());
          }
        }
        counters.regions_done += chunk.regions;
        counters.bytes_verified += chunk.data.size();
        return Status::Ok();
      }));
  return source.check_whole();
}

void CompareRunner::Judge(const VolumeRecord& a, const Status& changes) {
  const auto is_copy = [](const VolumeRecord& backup,
                          const VolumeRecord& primary) {
    return primary.role == udf::Role::kPrimary &&
           backup.role == udf::Role::kBackup &&
           backup.state == udf::SlotState::kComplete &&
           backup.owner_uuid == primary.medium_uuid;
  };
  const bool forward = is_copy(record_, a);
  if (!forward && !is_copy(a, record_)) {
    no_damage_ = "neither of them is a backup of the other";
  } else if (!changes.ok()) {
    no_damage_ =
        "they are different generations, and what changed is not "
        "known: " +
        changes.error().message;
  } else {
    backup_uuid_ = forward ? record_.medium_uuid : a.medium_uuid;
  }
}

void CompareRunner::CountOnlyA(const SectorMap& a, bool tracked) {
  for (const RegionSet::Run& run : a.UsedRegions().Runs()) {
    for (uint64_t r = run.first; r < run.first + run.count; ++r) {
      if (used_.Contains(r)) continue;
      if (tracked) {
        ++changed_;
        continue;
      }
      // Nothing explains it: the same generation uses the same regions.
      ++compared_;
      ++differing_;
      if (sectors_.size() < kNamedSectors) {
        sectors_.push_back(r * kRegionSectors +
                           static_cast<uint64_t>(std::countr_zero(a.Mask(r))));
      }
    }
  }
}

Status CompareRunner::LocateSectors() {
  ASSIGN_OR_RETURN(const std::shared_ptr<Volume> volume,
                   FindVolume(steps_->archive(), b_));
  ASSIGN_OR_RETURN(VolumeUse use, steps_->archive().volumes->Hold(
                                      volume, steps_->stop(), steps_->owner()));
  ASSIGN_OR_RETURN(const std::unique_ptr<VolumeSnapshot> snapshot,
                   use->TakeSnapshot());
  RegionSet regions;
  for (const auto& entry : kept_) regions.Insert(entry.first);
  const CopySource source = SourceOf(*snapshot, map_, regions);
  return PumpRegions(
      regions, map_->geometry().sectors, steps_->stop(),
      [&source](RegionChunk* chunk) { return FillNeutral(source, chunk); },
      [this](RegionChunk& chunk) -> Status {
        for (uint64_t i = 0; i < chunk.regions; ++i) {
          const uint64_t region = chunk.first_region + i;
          const Bytes& as_a = kept_[region];
          const ConstByteSpan as_b = std::as_const(chunk).Region(i);
          for (size_t at = 0; at < as_b.size(); at += kSectorSize) {
            if (std::memcmp(as_a.data() + at, as_b.data() + at, kSectorSize) !=
                    0 &&
                sectors_.size() < kNamedSectors) {
              sectors_.push_back(region * kRegionSectors + at / kSectorSize);
            }
          }
        }
        return Status::Ok();
      });
}

Status CompareRunner::Differences() const {
  if (differing_ == 0) return Status::Ok();
  std::string named;
  for (const uint64_t sector : sectors_) {
    named += fmt::format("{}{}", named.empty() ? "" : ", ", sector);
  }
  if (named.empty()) {
    named = "not found again: the volume changed while it was compared";
  }
  return Status(
      Errc::kCorruption,
      fmt::format("{} and {} differ in {} of {} regions; first sectors: {}{}",
                  a_, b_, differing_, compared_, named,
                  no_damage_.empty()
                      ? ""
                      : " (no sign of damage: " + no_damage_ + ")"));
}

Status CompareRunner::NoteResult(const Status& differences) {
  // What changed while it was compared says nothing of a backup; and what was
  // not compared may still be as it was found before.
  if (differences.ok() ? changed_ != 0 : sectors_.empty()) return Status::Ok();
  if (backup_uuid_.empty()) return Status::Ok();
  return NoteDamage(steps_->archive().catalog, backup_uuid_,
                    DamageFinder::kCompare,
                    differences.ok() ? "" : differences.error().message);
}

}  // namespace vellum
