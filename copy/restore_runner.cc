// SPDX-License-Identifier: Apache-2.0
#include "copy/restore_runner.h"

#include <fmt/format.h>

#include <utility>

#include "copy/shelf.h"
#include "copy/staging_estimate.h"

namespace vellum {

bool IsBrokenRestore(const VolumeRecord& record) {
  return record.role == udf::Role::kBackup &&
         record.state != udf::SlotState::kComplete &&
         !record.owner_uuid.empty() && record.owner_uuid == record.medium_uuid;
}

Status RestoreRunner::Run() {
  const CopyRequest request = steps_->job().Record().request;
  const Archive& archive = steps_->archive();
  primary_ = archive.volumes->Find(request.source);
  backup_ = archive.volumes->Find(request.target);
  for (const auto& [volume, id] : {std::pair{primary_, request.source},
                                   std::pair{backup_, request.target}}) {
    if (volume == nullptr) return Status(Errc::kNotFound, "no volume " + id);
    RETURN_IF_ERROR(CheckNotExported(volume->record()));
  }
  primary_record_ = primary_->record();
  backup_record_ = backup_->record();
  RETURN_IF_ERROR(archive.library->RefreshElements(steps_->stop()));
  RETURN_IF_ERROR(CheckLoadable(*archive.library, primary_record_.medium)
                      .WithContext("volume " + primary_record_.id));
  if (auto image = steps_->FindImage()) {
    ASSIGN_OR_RETURN(const bool whole, steps_->CanGoOnFrom(*image));
    if (whole) image_ = std::move(image);
  }
  const bool staged = image_ != nullptr || archive.library->OnlineDrives() < 2;
  RETURN_IF_ERROR(staged ? RunStaged() : RunStreaming());
  RETURN_IF_ERROR(steps_->Enter(JobState::kReturning));
  image_.reset();
  steps_->context().spool->Release(steps_->job().id());
  steps_->SendAllHome();
  return Status::Ok();
}

CopySource RestoreRunner::SourceFrom(const VolumeSnapshot& snapshot) const {
  auto map =
      std::make_shared<const SectorMap>(snapshot.geometry(), snapshot.bitmap());
  RegionSet used = map->UsedRegions();
  CopySource source = SourceOf(snapshot, std::move(map), std::move(used));
  source.identity.volume_id = primary_record_.id;
  source.identity.medium_uuid = primary_record_.medium_uuid;
  return source;
}

Status RestoreRunner::StageIn() {
  RETURN_IF_ERROR(steps_->Enter(JobState::kStagingIn));
  RETURN_IF_ERROR(steps_->context().spool->Reserve(
      steps_->job().id(),
      EstimateStaging(*steps_->archive().catalog, backup_record_, std::nullopt,
                      false)));
  steps_->Touch(backup_record_.medium);
  {
    ASSIGN_OR_RETURN(VolumeUse use,
                     steps_->archive().volumes->Hold(backup_, steps_->stop(),
                                                     steps_->owner()));
    ASSIGN_OR_RETURN(const std::unique_ptr<VolumeSnapshot> snapshot,
                     use->TakeSnapshot());
    const CopySource source = SourceFrom(*snapshot);
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
    image_->BeginSettle();
  }
  steps_->SendHome(backup_record_.medium);
  return Status::Ok();
}

Status RestoreRunner::RunStaged() {
  if (image_ == nullptr) RETURN_IF_ERROR(StageIn());
  RETURN_IF_ERROR(steps_->Enter(JobState::kLoadTarget));
  ASSIGN_OR_RETURN(Target target, Take(/*with_backup=*/false));
  return WriteTo(&target, image_->Source());
}

Status RestoreRunner::RunStreaming() {
  RETURN_IF_ERROR(steps_->Enter(JobState::kStreaming));
  ASSIGN_OR_RETURN(Target target, Take(/*with_backup=*/true));
  ASSIGN_OR_RETURN(VolumeUse use,
                   steps_->archive().volumes->Hold(backup_, steps_->stop(),
                                                   steps_->owner()));
  ASSIGN_OR_RETURN(const std::unique_ptr<VolumeSnapshot> snapshot,
                   use->TakeSnapshot());
  return WriteTo(&target, SourceFrom(*snapshot));
}

Result<RestoreRunner::Target> RestoreRunner::Take(bool with_backup) {
  Target target;
  ASSIGN_OR_RETURN(target.exclusion, steps_->archive().volumes->Exclude(
                                         primary_, steps_->stop()));
  if (const size_t open = primary_->open_files(); open > 0) {
    return Error{Errc::kBusy, fmt::format("{} files are open on {}", open,
                                          primary_record_.id)};
  }
  std::vector<LeaseRequest> requests;
  const auto add = [&](const MediumId& medium, LeaseMode mode) {
    LeaseRequest request;
    request.medium = medium;
    request.mode = mode;
    request.priority = LeasePriority::kCopy;
    request.owner = steps_->owner();
    requests.push_back(std::move(request));
    steps_->Touch(medium);
  };
  if (with_backup) add(backup_record_.medium, LeaseMode::kShared);
  add(primary_record_.medium, LeaseMode::kExclusive);
  ASSIGN_OR_RETURN(target.leases, steps_->archive().library->AcquireAndWait(
                                      std::move(requests), steps_->stop()));
  return target;
}

Status RestoreRunner::WriteTo(Target* target, const CopySource& source) {
  ASSIGN_OR_RETURN(const TargetContent content, ProbeTarget(target->medium()));
  if (!content.slot ||
      content.slot->medium_uuid != primary_record_.medium_uuid) {
    return Status(
        Errc::kIncompatible,
        fmt::format("medium {} does not hold {} any more: nothing was written",
                    primary_record_.medium, primary_record_.id));
  }
  steps_->job().Update([&](JobRecord* job) {
    job->target_medium = primary_record_.medium;
    job->target_volume = primary_record_.id;
    job->method = "full";
    job->generation = source.identity.generation;
  });
  FullCopyOptions options;
  options.volume_id = primary_record_.id;
  options.chunk_regions = steps_->context().options->chunk_regions;
  FullCopy copy(&target->medium(), content, &source, options, steps_->hooks());
  RETURN_IF_ERROR(copy.CheckTarget());
  if (image_ != nullptr) RETURN_IF_ERROR(steps_->Enter(JobState::kWriting));
  // From here on the primary is not what it was.
  if (image_ != nullptr) RETURN_IF_ERROR(image_->Settle());
  RETURN_IF_ERROR(copy.Begin());
  RETURN_IF_ERROR(MarkIncomplete(copy.slot()));
  RETURN_IF_ERROR(copy.Write());
  RETURN_IF_ERROR(steps_->Enter(JobState::kVerifying));
  RETURN_IF_ERROR(copy.Verify());
  RETURN_IF_ERROR(steps_->Enter(JobState::kCommitting));
  CopyNote note;
  note.job = steps_->job().id();
  note.source = backup_record_.id;
  note.generation = source.identity.generation;
  note.method = "restore";
  note.started = steps_->job().Record().started;
  RETURN_IF_ERROR(copy.Commit(note));
  return MakePrimary(target, source);
}

Status RestoreRunner::MarkIncomplete(const udf::ControlSlot& slot) {
  VolumeRecord record = primary_->record();
  record.role = slot.role;
  record.state = slot.state;
  record.owner_id = slot.owner_id;
  record.owner_uuid = slot.owner_uuid;
  record.tree = TreeState::kNone;
  record.copied = TimeSpec();
  RETURN_IF_ERROR(steps_->archive().catalog->ClearChangeMap(record.index));
  return steps_->archive().volumes->Put(std::move(record)).status();
}

Status RestoreRunner::MakePrimary(Target* target, const CopySource& source) {
  const Archive& archive = steps_->archive();
  PrimaryIdentity identity;
  identity.volume_id = primary_record_.id;
  identity.threshold = primary_record_.threshold;
  ASSIGN_OR_RETURN(const udf::ControlSlot slot,
                   WritePrimarySlot(target->medium(), identity));
  VolumeRecord record = primary_->record();
  record.role = slot.role;
  record.state = slot.state;
  record.owner_id.clear();
  record.owner_uuid.clear();
  record.format_uuid = slot.format_uuid;
  record.generation = slot.generation;
  record.record_crc = 0;
  record.change_floor = slot.generation.number;
  record.tree = TreeState::kNone;
  record.geometry = source.map->geometry();
  RETURN_IF_ERROR(archive.volumes->Put(std::move(record)).status());
  // Identify takes an exclusion of its own; the lease keeps others off.
  target->exclusion.Release();
  const auto known =
      archive.volumes->Identify(primary_record_.medium, target->medium());
  std::string tree;
  if (!known.ok()) {
    tree = "; its tree is not in the catalog yet: " + known.error().message;
    steps_->Log(tree.substr(2));
  }
  steps_->job().Update([&](JobRecord* job) {
    job->message = fmt::format("{} is restored from {}, generation {}{}",
                               primary_record_.id, backup_record_.id,
                               ToString(backup_record_.generation), tree);
  });
  return Status::Ok();
}

}  // namespace vellum
