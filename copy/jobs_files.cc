// SPDX-License-Identifier: Apache-2.0
// What is checked before a copy or a restore by file is queued.
#include <fmt/format.h>

#include <optional>
#include <utility>

#include "copy/jobs_impl.h"
#include "copy/newest_backup.h"
#include "copy/shelf.h"

namespace vellum {
namespace {

// Does `path` stand for `other`, or for something that it is in?
bool Covers(const std::string& path, const std::string& other) {
  return path == "/" || other == path ||
         (other.size() > path.size() &&
          other.compare(0, path.size(), path) == 0 &&
          other[path.size()] == '/');
}

Status NormalisePaths(FileSelection* files) {
  if (files->paths.empty()) {
    return Status(Errc::kInvalidArgument, "which files? No path is given");
  }
  for (std::string& path : files->paths) {
    ASSIGN_OR_RETURN(path, VolumePath(path));
  }
  if (files->below.empty()) return Status::Ok();
  ASSIGN_OR_RETURN(files->below, VolumePath(files->below));
  if (files->below == "/") files->below.clear();
  return Status::Ok();
}

Status CheckPaths(const FileSelection& files, const Volume& source) {
  const std::unique_ptr<FileTree> tree = TreeOfVolume(source);
  for (const std::string& path : files.paths) {
    ASSIGN_OR_RETURN(const std::optional<TreeNode> node,
                     NodeAtPath(*tree, path));
    if (!node) {
      return Status(Errc::kNotFound,
                    fmt::format("{} is not on volume {}", path, source.id()));
    }
  }
  return Status::Ok();
}

Status CheckFileOptions(const CopyRequest& request) {
  if (request.whole || request.overwrite_last || !request.wipe ||
      request.policy != CopyPolicy::kOptional ||
      request.track != TrackWish::kKeep) {
    return Status(Errc::kInvalidArgument,
                  "copy: whole, wipe, overwrite-last, policy and track are for "
                  "copies of whole volumes, not for mode=files");
  }
  return Status::Ok();
}

// The one that is named: of whatever primary.
Result<VolumeRecord> BackupForFiles(const Archive& archive,
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
    return Error{
        Errc::kInvalidArgument,
        fmt::format("{} is a PRIMARY: `vellum copy {} --files` copies from it",
                    record.id, record.id)};
  }
  if (record.state != udf::SlotState::kComplete &&
      record.state != udf::SlotState::kFiles) {
    return Error{
        Errc::kInvalidArgument,
        record.id + " is not complete: nothing can be restored from it"};
  }
  RETURN_IF_ERROR(CheckNotExported(record));
  RETURN_IF_ERROR(CheckLoadable(*archive.library, record.medium)
                      .WithContext("backup " + record.id));
  return record;
}

}  // namespace

Status Jobs::Impl::CheckPrimaryTarget(
    const CopyRequest& request, const VolumeRecord& source,
    const std::shared_ptr<Volume>& target) const {
  const FileSelection& files = request.files;
  if (target->record().medium_uuid == source.medium_uuid) {
    if (files.below.empty()) {
      return Status(
          Errc::kInvalidArgument,
          fmt::format("the files of {} would be copied onto "
                      "themselves: say below which path, like {}:/COPY",
                      source.id, source.id));
    }
    for (const std::string& path : files.paths) {
      if (!Covers(path, files.below)) continue;
      return Status(Errc::kInvalidArgument,
                    fmt::format("{} cannot be copied into itself, below {}",
                                path, files.below));
    }
  }
  VolumeRecord checked;
  RETURN_IF_ERROR(CheckSource(target->id(), &checked));
  return target->CheckWritable();
}

Status Jobs::Impl::CheckFileTarget(CopyRequest* request,
                                   const VolumeRecord& source, JobId id,
                                   JobRecord* record) {
  const TargetChooser chooser(archive, &claims,
                              {options.pool_first, options.pool_last});
  if (!request->target.empty()) {
    const std::string named = request->target;
    const size_t colon = named.find(':');
    request->target = named.substr(0, colon);
    const auto target = archive.volumes->Find(request->target);
    if (colon != std::string::npos) {
      if (target == nullptr) {
        return Status(Errc::kNotFound, "no volume " + request->target);
      }
      ASSIGN_OR_RETURN(request->files.below,
                       VolumePath("/" + named.substr(colon + 1)));
      if (request->files.below == "/") request->files.below.clear();
    }
    if (target != nullptr && target->record().role == udf::Role::kPrimary) {
      RETURN_IF_ERROR(CheckPrimaryTarget(*request, source, target));
      record->target_medium = target->record().medium;
      record->target_volume = target->id();
      return Status::Ok();
    }
    if (!request->files.below.empty()) {
      return Status(Errc::kInvalidArgument,
                    fmt::format("{} is a backup: files have the paths there "
                                "that they have on their primary",
                                request->target));
    }
  }
  for (;;) {
    MediumId medium;
    if (request->target.empty()) {
      ASSIGN_OR_RETURN(const TargetChooser::Policy policy,
                       chooser.PolicyOf(*request, source, options.generations));
      ASSIGN_OR_RETURN(medium, chooser.Automatic(source, {}, policy));
    } else {
      ASSIGN_OR_RETURN(medium, chooser.Named(*request, source));
    }
    record->target_medium = medium;
    const Status claimed = claims.Claim(id, ClaimantOf(*request), medium);
    if (claimed.ok() || !request->target.empty()) return claimed;
  }
}

Status Jobs::Impl::ReserveForFiles(const CopyRequest& request,
                                   const Volume& source, const Volume* target,
                                   FilePurpose purpose, JobId id) {
  const std::unique_ptr<FileTree> from = TreeOfVolume(source);
  std::unique_ptr<FileTree> to;
  if (target != nullptr && target->record().tree == TreeState::kValid) {
    to = TreeOfVolume(*target);
  }
  ASSIGN_OR_RETURN(
      const FilePlan plan,
      MakeFilePlan(*from, source.id(), to.get(), request.files, purpose));
  if (!request.files.replace && plan.replaced > 0) {
    std::string names;
    for (const std::string& path : plan.replaced_paths) {
      names += (names.empty() ? "" : ", ") + path;
    }
    if (plan.replaced > plan.replaced_paths.size()) names += ", …";
    return Status(Errc::kExists,
                  fmt::format("{} files of {} would be replaced: {}",
                              plan.replaced, target->id(), names));
  }
  const bool together = archive.library->OnlineDrives() >= 2 &&
                        (target == nullptr ||
                         !IsOtherSide(*archive.library, target->record().medium,
                                      source.record().medium));
  if (together || &source == target) return Status::Ok();
  return spool.Reserve(id, plan.bytes);
}

Result<JobRecord> Jobs::Impl::AdmitFiles(CopyRequest request) {
  JobRecord record;
  record.kind = JobKind::kCopy;
  RETURN_IF_ERROR(CheckFileOptions(request));
  RETURN_IF_ERROR(NormalisePaths(&request.files));
  VolumeRecord source;
  RETURN_IF_ERROR(CheckSource(request.source, &source));
  if (source.role != udf::Role::kPrimary) {
    return Error{Errc::kInvalidArgument,
                 fmt::format("{} is a BACKUP{}{}: only a PRIMARY is copied; "
                             "`vellum restore --files` copies from a backup",
                             source.id, source.owner_id.empty() ? "" : " of ",
                             source.owner_id)};
  }
  const auto volume = archive.volumes->Find(request.source);
  if (volume == nullptr) {
    return Error{Errc::kNotFound, "no volume " + request.source};
  }
  RETURN_IF_ERROR(CheckPaths(request.files, *volume));
  MutexLock lock(&admit_mu_);
  record.id = store.NextId();
  Status admitted = CheckFileTarget(&request, source, record.id, &record);
  if (admitted.ok() &&
      (archive.library->OnlineDrives() < 2 ||
       IsOtherSide(*archive.library, record.target_medium, source.medium))) {
    const auto target = archive.volumes->FindByMedium(record.target_medium);
    const bool primary = !record.target_volume.empty();
    const bool ours =
        target != nullptr &&
        (primary || target->record().owner_uuid == source.medium_uuid);
    admitted = ReserveForFiles(
        request, *volume, ours ? target.get() : nullptr,
        primary ? FilePurpose::kPrimary : FilePurpose::kBackup, record.id);
  }
  if (admitted.ok()) admitted = store.TakeId(record.id);
  if (!admitted.ok()) {
    claims.Drop(record.id);
    spool.Release(record.id);
    return admitted;
  }
  record.request = std::move(request);
  return record;
}

Result<JobRecord> Jobs::Impl::AdmitFileRestore(const std::string& primary,
                                               const std::string& backup,
                                               FileSelection files,
                                               bool verify) {
  JobRecord record;
  record.kind = JobKind::kRestore;
  CopyRequest& request = record.request;
  request.verify = verify;
  request.mode = CopyMode::kFiles;
  request.source = primary;
  request.files = std::move(files);
  RETURN_IF_ERROR(NormalisePaths(&request.files));
  VolumeRecord target;
  RETURN_IF_ERROR(CheckSource(primary, &target));
  if (target.role != udf::Role::kPrimary) {
    return Error{Errc::kInvalidArgument,
                 fmt::format("{} is a BACKUP: files are restored to a PRIMARY",
                             primary)};
  }
  ASSIGN_OR_RETURN(const VolumeRecord from,
                   backup.empty() ? NewestForFiles(archive, target)
                                  : BackupForFiles(archive, backup));
  request.target = from.id;
  const auto volume = archive.volumes->Find(primary);
  const auto source = archive.volumes->Find(from.id);
  if (volume == nullptr || source == nullptr) {
    return Error{Errc::kNotFound, "no volume " + primary};
  }
  RETURN_IF_ERROR(volume->CheckWritable());
  RETURN_IF_ERROR(CheckPaths(request.files, *source));
  record.target_medium = target.medium;
  record.target_volume = primary;
  MutexLock lock(&admit_mu_);
  record.id = store.NextId();
  Status admitted = ReserveForFiles(request, *source, volume.get(),
                                    FilePurpose::kRestore, record.id);
  if (admitted.ok()) admitted = store.TakeId(record.id);
  if (!admitted.ok()) {
    spool.Release(record.id);
    return admitted;
  }
  return record;
}

Result<JobId> Jobs::SubmitFileRestore(const std::string& primary,
                                      const std::string& backup,
                                      FileSelection files, bool verify,
                                      std::stop_token stop) {
  RETURN_IF_ERROR(impl_->LookAtProblems(stop));
  RETURN_IF_ERROR(impl_->LookForVolume(primary, stop));
  RETURN_IF_ERROR(backup.empty() ? LookForBackups(impl_->archive, primary, stop)
                                 : impl_->LookForVolume(backup, stop));
  ASSIGN_OR_RETURN(
      JobRecord record,
      impl_->AdmitFileRestore(primary, backup, std::move(files), verify));
  return impl_->Queue(std::move(record));
}

}  // namespace vellum
