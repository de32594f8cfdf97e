// SPDX-License-Identifier: Apache-2.0
// What is checked before a restore is queued.
#include <fmt/format.h>

#include <optional>
#include <utility>

#include "copy/damage_notes.h"
#include "copy/jobs_impl.h"
#include "copy/newest_backup.h"
#include "copy/restore_runner.h"
#include "copy/shelf.h"
#include "copy/staging_estimate.h"

namespace vellum {
namespace {

bool IsGoodBackup(const VolumeRecord& record, const VolumeRecord& primary) {
  return record.role == udf::Role::kBackup &&
         record.state == udf::SlotState::kComplete &&
         record.owner_uuid == primary.medium_uuid;
}

Result<VolumeRecord> NamedBackup(const Archive& archive,
                                 const VolumeRecord& primary,
                                 const std::string& name) {
  std::shared_ptr<Volume> volume = archive.volumes->Find(name);
  if (volume == nullptr) {
    ASSIGN_OR_RETURN(const MediumId medium, ResolveMedium(archive, name));
    volume = archive.volumes->FindByMedium(medium);
  }
  if (volume == nullptr) {
    return Error{Errc::kInvalidArgument, name + " holds no volume"};
  }
  VolumeRecord record = volume->record();
  if (record.role != udf::Role::kBackup) {
    return Error{Errc::kInvalidArgument,
                 fmt::format("{} is a PRIMARY, and no backup of {}", record.id,
                             primary.id)};
  }
  if (record.owner_uuid != primary.medium_uuid) {
    return Error{
        Errc::kInvalidArgument,
        fmt::format("{} is a backup of {}, not of {}", record.id,
                    record.owner_id.empty() ? "no volume yet" : record.owner_id,
                    primary.id)};
  }
  if (record.state == udf::SlotState::kFiles) {
    return Error{Errc::kInvalidArgument,
                 fmt::format("{} was made file by file: `vellum restore {} "
                             "--files / --recursive --from {}` restores its "
                             "files",
                             record.id, primary.id, record.id)};
  }
  if (record.state != udf::SlotState::kComplete) {
    return Error{Errc::kInvalidArgument,
                 record.id +
                     " is not complete: nothing can be restored from "
                     "it"};
  }
  return record;
}

// Of the complete backups in the library of which no damage is known the one
// that was copied last.
Result<VolumeRecord> NewestBackup(const Archive& archive,
                                  const VolumeRecord& primary) {
  std::optional<VolumeRecord> best;
  std::string elsewhere;
  for (const auto& volume : archive.volumes->List()) {
    VolumeRecord record = volume->record();
    if (!IsGoodBackup(record, primary)) continue;
    if (!CheckNotExported(record).ok() ||
        !CheckLoadable(*archive.library, record.medium).ok()) {
      elsewhere += fmt::format(
          "; {} is on medium {}, which is {}", record.id, record.medium,
          MediumState(Error{Errc::kNoMedium, ""}, record.location));
      continue;
    }
    if (IsDamaged(*archive.catalog, record.medium_uuid)) {
      elsewhere += fmt::format(
          "; {} is damaged, and has to be named to be restored from",
          record.id);
      continue;
    }
    if (!best || best->copied < record.copied) best = std::move(record);
  }
  if (best) return *best;
  return Error{Errc::kNotFound,
               fmt::format("no complete backup of {} is in the library{}",
                           primary.id, elsewhere)};
}

}  // namespace

Result<JobRecord> Jobs::Impl::AdmitRestore(const std::string& primary,
                                           const std::string& backup) {
  JobRecord record;
  record.kind = JobKind::kRestore;
  VolumeRecord target;
  RETURN_IF_ERROR(CheckSource(primary, &target));
  if (target.role != udf::Role::kPrimary && !IsBrokenRestore(target)) {
    return Error{
        Errc::kInvalidArgument,
        fmt::format("{} is a BACKUP: only a PRIMARY is restored", primary)};
  }
  const auto volume = archive.volumes->Find(primary);
  if (volume != nullptr) {
    if (const size_t open = volume->open_files(); open > 0) {
      return Error{Errc::kBusy,
                   fmt::format("{} cannot be restored: {} of its files {} open",
                               primary, open, open == 1 ? "is" : "are")};
    }
    RETURN_IF_ERROR(archive.volumes->CheckExcludable(*volume));
  }
  ASSIGN_OR_RETURN(const VolumeRecord source,
                   backup.empty() ? NewestBackup(archive, target)
                                  : NamedBackup(archive, target, backup));
  RETURN_IF_ERROR(CheckNotExported(source));
  RETURN_IF_ERROR(CheckLoadable(*archive.library, source.medium)
                      .WithContext("backup " + source.id));
  record.request.source = primary;
  record.request.target = source.id;
  record.target_medium = target.medium;
  MutexLock lock(&admit_mu_);
  record.id = store.NextId();
  RETURN_IF_ERROR(claims.Claim(record.id, primary, target.medium));
  Status admitted;
  if (archive.library->OnlineDrives() < 2) {
    admitted = spool.Reserve(
        record.id,
        EstimateStaging(*archive.catalog, source, std::nullopt, false));
  }
  if (admitted.ok()) admitted = store.TakeId(record.id);
  if (!admitted.ok()) {
    claims.Drop(record.id);
    spool.Release(record.id);
    return admitted;
  }
  return record;
}

Result<JobId> Jobs::SubmitRestore(const std::string& primary,
                                  const std::string& backup,
                                  std::stop_token stop) {
  RETURN_IF_ERROR(impl_->LookAtProblems(stop));
  RETURN_IF_ERROR(impl_->LookForVolume(primary, stop));
  RETURN_IF_ERROR(backup.empty() ? LookForBackups(impl_->archive, primary, stop)
                                 : impl_->LookForVolume(backup, stop));
  ASSIGN_OR_RETURN(JobRecord record, impl_->AdmitRestore(primary, backup));
  return impl_->Queue(std::move(record));
}

}  // namespace vellum
