// SPDX-License-Identifier: Apache-2.0
#include "copy/copy_runner.h"

#include <fmt/format.h>

#include <utility>

#include "copy/atomic_copy.h"
#include "copy/damage_notes.h"
#include "copy/medium_notes.h"
#include "copy/staging_estimate.h"
#include "copy/tracking.h"

namespace vellum {

CopyRunner::CopyRunner(JobSteps* steps)
    : steps_(steps),
      request_(steps->job().Record().request),
      read_back_(request_.verify) {}

Status CopyRunner::Run() {
  source_ = steps_->archive().volumes->Find(request_.source);
  if (source_ == nullptr) {
    return Status(Errc::kNotFound, "no volume " + request_.source);
  }
  if (image_ == nullptr) source_record_ = source_->record();
  RETURN_IF_ERROR(CheckMedia());
  if (request_.mode == CopyMode::kImage && image_ == nullptr) {
    auto image = steps_->FindImage();
    if (image != nullptr &&
        image->identity().medium_uuid == source_record_.medium_uuid) {
      ASSIGN_OR_RETURN(resumed_, steps_->CanGoOnFrom(*image));
      if (resumed_) image_ = std::move(image);
    }
  }
  ASSIGN_OR_RETURN(const bool done, TakeUpDisc());
  while (!done) {
    ASSIGN_OR_RETURN(const Again again, Attempt());
    if (again == Again::kNo) break;
    if (steps_->stop().stop_requested()) {
      return Status(Errc::kAborted, "cancelled");
    }
  }
  RETURN_IF_ERROR(FreeOldBackup());
  RETURN_IF_ERROR(ReleaseOldGenerations());
  RETURN_IF_ERROR(steps_->Enter(JobState::kReturning));
  image_.reset();
  steps_->context().spool->Release(steps_->job().id());
  steps_->SendAllHome();
  return Status::Ok();
}

Status CopyRunner::CheckMedia() {
  const Archive& archive = steps_->archive();
  // A medium that was taken out or swapped is noticed by its volume tag (O16).
  RETURN_IF_ERROR(archive.library->RefreshElements(steps_->stop()));
  for (const auto& volume : archive.volumes->List()) {
    const VolumeRecord record = volume->record();
    if (record.role != udf::Role::kBackup || !record.location.empty() ||
        record.owner_uuid != source_record_.medium_uuid ||
        archive.library->FindMedium(record.medium).ok()) {
      continue;
    }
    steps_->Log(fmt::format(
        "backup {} of {} is on medium {}, which is not in the library any more",
        record.id, source_record_.id, record.medium));
  }
  if (image_ != nullptr) return Status::Ok();  // the source was read
  return CheckLoadable(*archive.library, source_record_.medium)
      .WithContext("volume " + source_record_.id);
}

Result<CopyRunner::Again> CopyRunner::Attempt() {
  TargetLoader loader(steps_, &avoid_);
  Result<MediumId> chosen = loader.Choose(source_record_);
  if (!chosen.ok()) {
    if (give_up_reason_.empty()) return chosen.error();
    return Error{chosen.error().code,
                 give_up_reason_ + "; " + chosen.error().message};
  }
  target_medium_ = *chosen;
  switch (request_.mode) {
    case CopyMode::kImage:
      staged_ = true;
      break;
    case CopyMode::kStreaming:
      staged_ = false;
      break;
    case CopyMode::kIncremental:
      staged_ = steps_->archive().library->OnlineDrives() < 2;
      break;
    case CopyMode::kFiles:
      return Error{Errc::kInternal, "files are copied by another runner"};
  }
  return staged_ ? RunStaged() : RunStreaming();
}

// --- Reading
// --------------------------------------------------------------------

bool CopyRunner::WantsIncremental() const {
  return request_.mode == CopyMode::kIncremental &&
         request_.policy != CopyPolicy::kFull && !force_full_;
}

Status CopyRunner::FallBackToFull(const std::string& why) {
  if (request_.policy == CopyPolicy::kMinicopy) {
    return Status(Errc::kOutOfRange,
                  "only a full copy is possible, and policy=minicopy forbids "
                  "it: " +
                      why);
  }
  steps_->Log("full copy: " + why);
  force_full_ = true;
  full_reason_ = why;
  return Status::Ok();
}

Result<std::string> CopyRunner::WhyNotUpdated(
    const std::string& backup_uuid, const std::string& backup_id) const {
  ASSIGN_OR_RETURN(const std::optional<TimeSpec> ended,
                   TrackingEnded(*steps_->archive().catalog,
                                 source_record_.medium_uuid, backup_uuid));
  if (!ended) {
    // What did not change since would stay as it is.
    ASSIGN_OR_RETURN(const std::string damage,
                     ReadDamage(*steps_->archive().catalog, backup_uuid));
    return damage.empty() ? "" : "the backup is damaged: " + damage;
  }
  return fmt::format("the tracking of {} to {} was ended", source_record_.id,
                     backup_id);
}

Result<std::optional<Generation>> CopyRunner::KnownBase(
    const MediumId& medium) {
  if (real_base_) return real_base_;
  std::string why = fmt::format("medium {} holds no complete backup of {}",
                                medium, source_record_.id);
  if (const auto volume = steps_->archive().volumes->FindByMedium(medium)) {
    const VolumeRecord record = volume->record();
    if (record.role == udf::Role::kBackup &&
        record.state == udf::SlotState::kComplete &&
        record.owner_uuid == source_record_.medium_uuid) {
      ASSIGN_OR_RETURN(why, WhyNotUpdated(record.medium_uuid, record.id));
      if (why.empty()) return std::optional(record.generation);
    }
  }
  RETURN_IF_ERROR(FallBackToFull(why));
  return std::optional<Generation>();
}

Result<CopySource> CopyRunner::MakeSource(
    const VolumeSnapshot& snapshot, const std::optional<Generation>& base) {
  if (base) {
    Result<RegionSet> changed = snapshot.ChangedSince(*base);
    if (changed.ok()) {
      auto map = std::make_shared<const SectorMap>(snapshot.geometry(),
                                                   snapshot.bitmap());
      RegionSet regions;
      // Every commit changes the integrity descriptor; closing it for the copy
      // does too.
      regions.Insert(udf::kLvidSector / kRegionSectors);
      for (const RegionSet::Run& run : changed->Runs()) {
        for (uint64_t r = run.first; r < run.first + run.count; ++r) {
          if (r < map->regions() && map->Mask(r) != 0) regions.Insert(r);
        }
      }
      return SourceOf(snapshot, std::move(map), std::move(regions));
    }
    if (changed.error().code != Errc::kOutOfRange) return changed.status();
    RETURN_IF_ERROR(FallBackToFull(changed.error().message));
  }
  auto map = std::make_shared<const SectorMap>(
      snapshot.geometry(), snapshot.bitmap(), request_.whole);
  RegionSet regions = map->UsedRegions();
  return SourceOf(snapshot, std::move(map), std::move(regions));
}

Status CopyRunner::StageIn() {
  RETURN_IF_ERROR(steps_->Enter(JobState::kStagingIn));
  std::optional<Generation> base;
  if (WantsIncremental()) {
    ASSIGN_OR_RETURN(base, KnownBase(target_medium_));
  }
  // Before anything moves, also after a restart (O2).
  RETURN_IF_ERROR(steps_->context().spool->Reserve(
      steps_->job().id(),
      EstimateStaging(*steps_->archive().catalog, source_->record(), base,
                      request_.whole)));
  steps_->Touch(source_record_.medium);
  {
    ASSIGN_OR_RETURN(VolumeUse use,
                     steps_->archive().volumes->Hold(source_, steps_->stop(),
                                                     steps_->owner()));
    ASSIGN_OR_RETURN(const std::unique_ptr<VolumeSnapshot> snapshot,
                     use->TakeSnapshot());
    ASSIGN_OR_RETURN(const CopySource source, MakeSource(*snapshot, base));
    staged_since_ = force_full_ ? std::nullopt : base;
    SetMethod(staged_since_.has_value(), source.identity);
    ASSIGN_OR_RETURN(image_, SpoolImage::Create(steps_->context().spool,
                                                steps_->job().id(), source));
    CopyCounters& counters = steps_->job().counters;
    counters.Begin(source.regions.count());
    RETURN_IF_ERROR(PumpRegions(
        source.regions, source.map->geometry().sectors, steps_->stop(),
        [&source](RegionChunk* chunk) { return source.Fill(chunk); },
        [this, &counters](RegionChunk& chunk) -> Status {
          RETURN_IF_ERROR(image_->Append(chunk));
          counters.regions_done += chunk.regions;
          return Status::Ok();
        },
        steps_->context().options->chunk_regions));
    RETURN_IF_ERROR(source.check_whole());
    RETURN_IF_ERROR(image_->Finish());
    ASSIGN_OR_RETURN(
        const MediumNote note,
        ReadMediumNote(*steps_->archive().catalog, target_medium_));
    if (note.write_once) image_->BeginSettle();
    tree_ = snapshot->catalog();
    source_record_ = snapshot->record();
  }
  steps_->SendHome(source_record_.medium);
  return Status::Ok();
}

// --- The two shapes of a copy
// ---------------------------------------------------

Result<CopyRunner::Again> CopyRunner::RunStaged() {
  if (image_ == nullptr) RETURN_IF_ERROR(StageIn());
  RETURN_IF_ERROR(steps_->Enter(JobState::kLoadTarget));
  const CopySource source = image_->Source();
  SetMethod(staged_since_.has_value(), source.identity);
  TargetLoader loader(steps_, &avoid_);
  ASSIGN_OR_RETURN(LoadedTarget target,
                   loader.Load(target_medium_, source_record_, false));
  target_medium_ = target.medium;
  return CopyTo(&target, source, [] {});
}

Result<CopyRunner::Again> CopyRunner::RunStreaming() {
  TargetLoader loader(steps_, &avoid_);
  // First, so that a job that has to wait for the target is queued still.
  RETURN_IF_ERROR(loader.Reserve(target_medium_));
  RETURN_IF_ERROR(steps_->Enter(JobState::kStreaming));
  if (steps_->archive().library->OnlineDrives() < 2) {
    return Error{Errc::kOffline,
                 "a streaming copy needs two drives online, there are " +
                     std::to_string(steps_->archive().library->OnlineDrives())};
  }
  ASSIGN_OR_RETURN(LoadedTarget target,
                   loader.Load(target_medium_, source_record_, true));
  target_medium_ = target.medium;
  ASSIGN_OR_RETURN(VolumeUse use,
                   steps_->archive().volumes->Hold(source_, steps_->stop(),
                                                   steps_->owner()));
  ASSIGN_OR_RETURN(std::unique_ptr<VolumeSnapshot> snapshot,
                   use->TakeSnapshot());
  tree_ = snapshot->catalog();
  source_record_ = snapshot->record();
  std::optional<Generation> base;
  if (WantsIncremental()) {
    if (!target.ours ||
        target.content.slot->state != udf::SlotState::kComplete) {
      RETURN_IF_ERROR(
          FallBackToFull(fmt::format("medium {} holds no complete backup of {}",
                                     target_medium_, source_record_.id)));
    } else {
      ASSIGN_OR_RETURN(const std::string why,
                       WhyNotUpdated(target.content.slot->medium_uuid,
                                     target.content.slot->volume_id));
      if (!why.empty()) {
        RETURN_IF_ERROR(FallBackToFull(why));
      } else {
        base = target.content.slot->generation;
      }
    }
  }
  ASSIGN_OR_RETURN(const CopySource source, MakeSource(*snapshot, base));
  staged_since_ = force_full_ ? std::nullopt : base;
  // The pin goes as soon as everything was read.
  return CopyTo(&target, source, [&snapshot] { snapshot.reset(); });
}

void CopyRunner::SetMethod(bool incremental, const SourceIdentity& identity) {
  steps_->job().Update([&](JobRecord* job) {
    job->method = incremental ? "incremental" : "full";
    job->generation = identity.generation;
  });
}

CopyNote CopyRunner::Note(const SourceIdentity& identity,
                          bool incremental) const {
  CopyNote note;
  note.job = steps_->job().id();
  note.source = identity.volume_id;
  note.generation = identity.generation;
  note.method = incremental ? "incremental" : "full";
  note.started = steps_->job().Record().started;
  note.ended = Now();
  return note;
}

}  // namespace vellum
