// SPDX-License-Identifier: Apache-2.0
#include <fmt/format.h>
#include <spdlog/spdlog.h>

#include <algorithm>
#include <optional>
#include <utility>

#include "copy/jobs_impl.h"
#include "copy/newest_backup.h"
#include "copy/shelf.h"
#include "copy/staging_estimate.h"
#include "copy/tracking.h"

namespace vellum {
namespace {

// What cannot be fulfilled together is refused: nothing is asked for in vain.
Status CheckOptions(const CopyRequest& request) {
  const bool incremental = request.mode == CopyMode::kIncremental;
  if (incremental && request.whole) {
    return Status(Errc::kInvalidArgument,
                  "copy: whole=yes copies every sector, an incremental copy "
                  "changed regions only: take mode=image or mode=streaming");
  }
  if (!incremental && request.policy != CopyPolicy::kOptional) {
    return Status(
        Errc::kInvalidArgument,
        fmt::format("copy: a policy is for mode=incremental: mode={} always "
                    "makes a full copy",
                    CopyModeName(request.mode)));
  }
  return Status::Ok();
}

}  // namespace

// --- Submit
// -----------------------------------------------------------------------

Status Jobs::Impl::LookAtProblems(std::stop_token stop) {
  const std::vector<MediumPlace> media = archive.library->Media();
  if (std::all_of(media.begin(), media.end(), [](const MediumPlace& place) {
        return place.problem.empty();
      })) {
    return Status::Ok();
  }
  const Status read = archive.library->RefreshElements(std::move(stop));
  if (read.Is(Errc::kInterrupted)) return read;
  if (!read.ok()) spdlog::warn("before a job: {}", read.ToString());
  return Status::Ok();
}

Status Jobs::Impl::LookForVolume(const std::string& id, std::stop_token stop) {
  const auto volume = archive.volumes->Find(id);
  if (volume == nullptr) return Status::Ok();
  return LookForDisplaced(archive, volume, std::move(stop));
}

Status Jobs::Impl::CheckSource(const std::string& id,
                               VolumeRecord* source) const {
  const auto volume = archive.volumes->Find(id);
  if (volume == nullptr) return Status(Errc::kNotFound, "no volume " + id);
  *source = volume->record();
  RETURN_IF_ERROR(CheckNotExported(*source));
  const Result<MediumPlace> place = archive.library->FindMedium(source->medium);
  if (!place.ok()) {
    const MediumId former = DisplacedFrom(source->medium);
    return Status(
        Errc::kNoMedium,
        former.empty()
            ? fmt::format("volume {} is on medium {}, which is not in the "
                          "library",
                          id, source->medium)
            : fmt::format("volume {} is not on medium {} any more", id,
                          former));
  }
  RETURN_IF_ERROR(CheckLoadable(*archive.library, source->medium)
                      .WithContext("volume " + id));
  if (archive.library->OnlineDrives() == 0) {
    return Status(Errc::kOffline, "no drive is online");
  }
  return Status::Ok();
}

// Everything that can be known without moving a medium. Claims the target and
// reserves the staging space for the job.
Status Jobs::Impl::CheckCopy(const CopyRequest& request, JobId id,
                             MediumId* target) {
  RETURN_IF_ERROR(CheckOptions(request));
  VolumeRecord source;
  RETURN_IF_ERROR(CheckSource(request.source, &source));
  if (source.role != udf::Role::kPrimary) {
    return Status(
        Errc::kInvalidArgument,
        fmt::format("{} is a BACKUP{}{}: only a PRIMARY is copied", source.id,
                    source.owner_id.empty() ? "" : " of ", source.owner_id));
  }
  const size_t drives = archive.library->OnlineDrives();
  if (request.mode == CopyMode::kStreaming && drives < 2) {
    return Status(Errc::kOffline,
                  fmt::format("a streaming copy needs two drives online, "
                              "there is {}",
                              drives));
  }
  const TargetChooser chooser(archive, &claims,
                              {options.pool_first, options.pool_last});
  for (;;) {
    ASSIGN_OR_RETURN(const TargetChooser::Policy policy,
                     chooser.PolicyOf(request, source, options.generations));
    ASSIGN_OR_RETURN(*target, request.target.empty()
                                  ? chooser.Automatic(source, {}, policy)
                                  : chooser.Named(request, source));
    const Status claimed = claims.Claim(id, ClaimantOf(request), *target);
    if (claimed.ok()) break;
    if (!request.target.empty()) return claimed;
  }
  if (request.track == TrackWish::kYes) {
    const auto backup = archive.volumes->FindByMedium(*target);
    RETURN_IF_ERROR(
        CheckPairLimit(archive, options.tracked_pairs, source.medium_uuid,
                       backup == nullptr ? "" : backup->record().medium_uuid));
  }
  const bool staged = request.mode == CopyMode::kImage ||
                      (request.mode == CopyMode::kIncremental && drives < 2);
  if (!staged) return Status::Ok();
  std::optional<Generation> base;
  if (request.mode == CopyMode::kIncremental &&
      request.policy != CopyPolicy::kFull) {
    if (const auto backup = archive.volumes->FindByMedium(*target)) {
      const VolumeRecord record = backup->record();
      if (record.state == udf::SlotState::kComplete) base = record.generation;
    }
  }
  return spool.Reserve(
      id, EstimateStaging(*archive.catalog, source, base, request.whole));
}

Result<JobRecord> Jobs::Impl::Admit(const CopyRequest& request) {
  JobRecord record;
  record.kind = JobKind::kCopy;
  record.request = request;
  MutexLock lock(&admit_mu_);
  record.id = store.NextId();
  MediumId target;
  Status admitted = CheckCopy(request, record.id, &target);
  if (admitted.ok()) admitted = store.TakeId(record.id);
  if (!admitted.ok()) {
    claims.Drop(record.id);
    spool.Release(record.id);
    return admitted;
  }
  record.target_medium = target;
  return record;
}

Result<JobId> Jobs::Submit(const CopyRequest& request, std::stop_token stop) {
  RETURN_IF_ERROR(impl_->LookAtProblems(stop));
  RETURN_IF_ERROR(impl_->LookForVolume(request.source, stop));
  ASSIGN_OR_RETURN(JobRecord record, request.mode == CopyMode::kFiles
                                         ? impl_->AdmitFiles(request)
                                         : impl_->Admit(request));
  return impl_->Queue(std::move(record));
}

Result<JobId> Jobs::SubmitCompare(const std::string& a, const std::string& b,
                                  std::stop_token stop) {
  if (a == b) {
    return Error{Errc::kInvalidArgument, "compares a volume with itself: " + a};
  }
  RETURN_IF_ERROR(impl_->LookAtProblems(stop));
  RETURN_IF_ERROR(impl_->LookForVolume(a, stop));
  RETURN_IF_ERROR(impl_->LookForVolume(b, stop));
  VolumeRecord ignored;
  RETURN_IF_ERROR(impl_->CheckSource(a, &ignored));
  RETURN_IF_ERROR(impl_->CheckSource(b, &ignored));
  JobRecord record;
  record.kind = JobKind::kCompare;
  record.request.source = a;
  record.request.target = b;
  {
    MutexLock lock(&impl_->admit_mu_);
    record.id = impl_->store.NextId();
    RETURN_IF_ERROR(impl_->store.TakeId(record.id));
  }
  return impl_->Queue(std::move(record));
}

Result<JobId> Jobs::Impl::Queue(JobRecord record) {
  const JobId id = record.id;
  record.created = Now();
  const auto job = std::make_shared<JobControl>(std::move(record));
  JobSteps steps(Context(), job.get());
  const Status queued = steps.Enter(JobState::kQueued);
  if (!queued.ok() && !steps.dead()) {
    claims.Drop(id);
    spool.Release(id);
    return queued;
  }
  MutexLock lock(&mu_);
  jobs_[id] = job;
  if (steps.dead()) {
    dead_.insert(id);
  } else if (!stopping_) {
    queue_.push_back(job);
  }
  changed_.NotifyAll();
  return id;
}

}  // namespace vellum
