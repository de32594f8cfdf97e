// SPDX-License-Identifier: Apache-2.0
#include "copy/jobs.h"

#include <fmt/format.h>
#include <spdlog/spdlog.h>

#include <algorithm>
#include <deque>
#include <exception>
#include <map>
#include <set>
#include <thread>
#include <utility>

#include "copy/compare_runner.h"
#include "copy/copy_runner.h"
#include "copy/job_control.h"
#include "copy/job_steps.h"
#include "copy/job_store.h"
#include "copy/pool.h"
#include "copy/spool.h"
#include "copy/staging_estimate.h"
#include "media/mutex.h"

namespace vellum {

struct Jobs::Impl {
  using JobPtr = std::shared_ptr<JobControl>;

  Impl(Catalog* catalog, Library* library, Volumes* volumes,
       const JobsOptions& o)
      : archive{catalog, library, volumes},
        options(o),
        store(catalog),
        spool(o.spool_directory, o.spool_limit) {}

  Status TakeUp();
  void StartThreads();
  Result<JobId> Queue(JobRecord record);
  Status CheckSource(const std::string& id, VolumeRecord* source) const;
  Status CheckCopy(const CopyRequest& request, JobId id, MediumId* target);
  // The media that the job works on.
  std::set<MediumId> MediaOf(const JobControl& job) const;

  void WorkerMain();
  JobPtr TakeRunnable(std::set<MediumId>* media);
  void RunJob(const JobPtr& job);
  Status RunSteps(JobSteps* steps);
  void EndJob(const JobPtr& job, JobState state, Errc error,
              const std::string& message);
  JobContext Context() { return {archive, &spool, &store, &claims, &options}; }
  JobPtr Find(JobId id) const;

  const Archive archive;
  const JobsOptions options;
  JobStore store;
  Spool spool;
  TargetClaims claims;

  // Before the mutexes of JobControl and Volumes. Not held while anything runs.
  mutable Mutex mu_;
  mutable CondVar changed_;
  std::map<JobId, JobPtr> jobs_ GUARDED_BY(mu_);
  std::deque<JobPtr> queue_ GUARDED_BY(mu_);
  std::set<MediumId> busy_ GUARDED_BY(mu_);  // media of running jobs
  std::set<JobId> dead_ GUARDED_BY(mu_);     // as if the daemon had died
  bool stopping_ GUARDED_BY(mu_) = false;

  std::vector<std::thread> workers_;
};

// --- Open, Shutdown
// ---------------------------------------------------------------

Result<std::unique_ptr<Jobs>> Jobs::Open(Catalog* catalog, Library* library,
                                         Volumes* volumes,
                                         const JobsOptions& options) {
  auto impl = std::make_unique<Impl>(catalog, library, volumes, options);
  RETURN_IF_ERROR(impl->TakeUp());
  impl->StartThreads();
  return std::unique_ptr<Jobs>(new Jobs(std::move(impl)));
}

Jobs::Jobs(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}

Jobs::~Jobs() { Shutdown(); }

Status Jobs::Impl::TakeUp() {
  ASSIGN_OR_RETURN(std::vector<JobRecord> records, store.Load());
  std::set<JobId> open;
  for (const JobRecord& record : records) {
    if (!JobEnded(record.state)) open.insert(record.id);
  }
  RETURN_IF_ERROR(spool.RemoveOthers(open));
  for (JobRecord& record : records) {
    const JobId id = record.id;
    const auto job = std::make_shared<JobControl>(std::move(record));
    {
      MutexLock lock(&mu_);
      jobs_[id] = job;
    }
    if (open.count(id) == 0) continue;
    const JobRecord now = job->Record();
    if (now.state == JobState::kReturning) {
      // The library has sent the media home when it was opened.
      EndJob(job, JobState::kDone, now.error, now.message);
      continue;
    }
    if (now.cancel_requested) {
      EndJob(job, JobState::kCancelled, Errc::kAborted,
             "cancelled before a restart");
      continue;
    }
    job->Log(fmt::format("taken up again after a restart in state {}",
                         JobStateName(now.state)));
    spool.Adopt(id);
    if (!now.target_medium.empty()) {
      // Two jobs cannot have had the medium: the first claim holds.
      claims.Claim(id, now.request.source, now.target_medium)
          .IgnoreError("the job chooses again when it runs");
    }
    MutexLock lock(&mu_);
    queue_.push_back(job);
  }
  return Status::Ok();
}

void Jobs::Impl::StartThreads() {
  for (uint32_t i = 0; i < std::max<uint32_t>(options.running, 1); ++i) {
    workers_.emplace_back([this] { WorkerMain(); });
  }
}

void Jobs::Shutdown() {
  std::vector<std::thread> workers;
  {
    MutexLock lock(&impl_->mu_);
    impl_->stopping_ = true;
    workers.swap(impl_->workers_);
    impl_->changed_.NotifyAll();
  }
  std::vector<Impl::JobPtr> jobs;
  {
    MutexLock lock(&impl_->mu_);
    for (const auto& entry : impl_->jobs_) jobs.push_back(entry.second);
  }
  for (const Impl::JobPtr& job : jobs) job->Interrupt();
  for (std::thread& worker : workers) worker.join();
}

// --- Submit
// -----------------------------------------------------------------------

Status Jobs::Impl::CheckSource(const std::string& id,
                               VolumeRecord* source) const {
  const auto volume = archive.volumes->Find(id);
  if (volume == nullptr) return Status(Errc::kNotFound, "no volume " + id);
  *source = volume->record();
  const Result<MediumPlace> place = archive.library->FindMedium(source->medium);
  if (!place.ok()) {
    return Status(
        Errc::kNoMedium,
        fmt::format("volume {} is on medium {}, which is not in the library",
                    id, source->medium));
  }
  if (archive.library->OnlineDrives() == 0) {
    return Status(Errc::kOffline, "no drive is online");
  }
  return Status::Ok();
}

// Everything that can be known without moving a medium. Claims the target and
// reserves the staging space for the job.
Status Jobs::Impl::CheckCopy(const CopyRequest& request, JobId id,
                             MediumId* target) {
  VolumeRecord source;
  RETURN_IF_ERROR(CheckSource(request.source, &source));
  if (source.role != udf::Role::kPrimary) {
    return Status(Errc::kInvalidArgument,
                  fmt::format("{} is a BACKUP of {}: only a PRIMARY is copied",
                              source.id, source.owner_id));
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
    ASSIGN_OR_RETURN(*target, request.target.empty()
                                  ? chooser.Automatic(source, {})
                                  : chooser.Named(request, source));
    const Status claimed = claims.Claim(id, source.id, *target);
    if (claimed.ok()) break;
    if (!request.target.empty()) return claimed;
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

Result<JobId> Jobs::Submit(const CopyRequest& request) {
  JobRecord record;
  record.kind = JobKind::kCopy;
  record.request = request;
  ASSIGN_OR_RETURN(record.id, impl_->store.NewId());
  MediumId target;
  const Status checked = impl_->CheckCopy(request, record.id, &target);
  if (!checked.ok()) {
    impl_->claims.Drop(record.id);
    return checked;
  }
  record.target_medium = target;
  return impl_->Queue(std::move(record));
}

Result<JobId> Jobs::SubmitCompare(const std::string& a, const std::string& b) {
  if (a == b) {
    return Error{Errc::kInvalidArgument, "compares a volume with itself: " + a};
  }
  VolumeRecord ignored;
  RETURN_IF_ERROR(impl_->CheckSource(a, &ignored));
  RETURN_IF_ERROR(impl_->CheckSource(b, &ignored));
  JobRecord record;
  record.kind = JobKind::kCompare;
  record.request.source = a;
  record.request.target = b;
  ASSIGN_OR_RETURN(record.id, impl_->store.NewId());
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

// --- Look-ups
// ---------------------------------------------------------------------

Jobs::Impl::JobPtr Jobs::Impl::Find(JobId id) const {
  MutexLock lock(&mu_);
  const auto it = jobs_.find(id);
  return it == jobs_.end() ? nullptr : it->second;
}

Result<JobRecord> Jobs::Get(JobId id) const {
  const Impl::JobPtr job = impl_->Find(id);
  if (job == nullptr) {
    return Error{Errc::kNotFound, fmt::format("no job {}", id)};
  }
  return job->Record();
}

std::vector<JobRecord> Jobs::List() const {
  std::vector<Impl::JobPtr> jobs;
  {
    MutexLock lock(&impl_->mu_);
    for (const auto& entry : impl_->jobs_) jobs.push_back(entry.second);
  }
  std::vector<JobRecord> records;
  records.reserve(jobs.size());
  for (const Impl::JobPtr& job : jobs) records.push_back(job->Record());
  return records;
}

Status Jobs::Cancel(JobId id) {
  const Impl::JobPtr job = impl_->Find(id);
  if (job == nullptr) {
    return Status(Errc::kNotFound, fmt::format("no job {}", id));
  }
  RETURN_IF_ERROR(job->Cancel());
  bool waiting = false;
  {
    MutexLock lock(&impl_->mu_);
    auto& queue = impl_->queue_;
    const auto it = std::find(queue.begin(), queue.end(), job);
    if (it != queue.end()) {
      queue.erase(it);
      waiting = true;
    }
  }
  if (waiting) {
    impl_->EndJob(job, JobState::kCancelled, Errc::kAborted,
                  "cancelled before it began");
    return Status::Ok();
  }
  // Remembered if the daemon ends before the job does.
  return impl_->store.Save(*job);
}

Result<JobRecord> Jobs::Wait(JobId id, std::stop_token stop) const {
  const Impl::JobPtr job = impl_->Find(id);
  if (job == nullptr) {
    return Error{Errc::kNotFound, fmt::format("no job {}", id)};
  }
  Impl* const impl = impl_.get();
  const std::stop_callback wake(stop, [impl] {
    MutexLock lock(&impl->mu_);
    impl->changed_.NotifyAll();
  });
  MutexLock lock(&impl->mu_);
  for (;;) {
    const JobRecord record = job->Record();
    if (JobEnded(record.state)) return record;
    if (impl->stopping_ || impl->dead_.count(id) != 0) {
      return Error{Errc::kAborted,
                   fmt::format("job {} goes on when the library is opened "
                               "again",
                               id)};
    }
    if (stop.stop_requested()) {
      return Error{Errc::kInterrupted,
                   fmt::format("job {}: the wait was given up", id)};
    }
    impl->changed_.Wait(&impl->mu_);
  }
}

// --- Running
// ----------------------------------------------------------------------

std::set<MediumId> Jobs::Impl::MediaOf(const JobControl& job) const {
  const JobRecord record = job.Record();
  std::set<MediumId> media;
  if (const auto source = archive.volumes->Find(record.request.source)) {
    media.insert(source->record().medium);
  }
  if (record.kind == JobKind::kCompare) {
    if (const auto other = archive.volumes->Find(record.request.target)) {
      media.insert(other->record().medium);
    }
  } else if (!record.target_medium.empty()) {
    media.insert(record.target_medium);
  }
  return media;
}

Jobs::Impl::JobPtr Jobs::Impl::TakeRunnable(std::set<MediumId>* media) {
  MutexLock lock(&mu_);
  for (;;) {
    if (stopping_) return nullptr;
    for (auto it = queue_.begin(); it != queue_.end(); ++it) {
      *media = MediaOf(**it);
      bool free = true;
      for (const MediumId& medium : *media) {
        if (busy_.count(medium) != 0) free = false;
      }
      if (!free) continue;
      JobPtr job = *it;
      queue_.erase(it);
      busy_.insert(media->begin(), media->end());
      return job;
    }
    changed_.Wait(&mu_);
  }
}

void Jobs::Impl::WorkerMain() {
  std::set<MediumId> media;
  while (const JobPtr job = TakeRunnable(&media)) {
    RunJob(job);
    MutexLock lock(&mu_);
    for (const MediumId& medium : media) busy_.erase(medium);
    changed_.NotifyAll();
  }
}

Status Jobs::Impl::RunSteps(JobSteps* steps) {
  try {
    if (steps->job().Record().kind == JobKind::kCompare) {
      return CompareRunner(steps).Run();
    }
    return CopyRunner(steps).Run();
  } catch (const std::exception& e) {
    return Status(Errc::kInternal, e.what());
  }
}

void Jobs::Impl::RunJob(const JobPtr& job) {
  JobSteps steps(Context(), job.get());
  const Status status = RunSteps(&steps);
  if (steps.dead()) {
    MutexLock lock(&mu_);
    dead_.insert(job->id());
    return;
  }
  const JobRecord record = job->Record();
  if (status.ok()) {
    EndJob(job, JobState::kDone, record.error, record.message);
    return;
  }
  if (!job->cancel_requested()) {
    MutexLock lock(&mu_);
    // It goes on after the next start.
    if (stopping_) return;
  }
  spool.Release(job->id());
  steps.SendAllHome();
  if (job->cancel_requested()) {
    EndJob(job, JobState::kCancelled, Errc::kAborted,
           fmt::format("cancelled while {}", JobStateName(record.state)));
    return;
  }
  EndJob(job, JobState::kFailed, status.code(), status.error().message);
}

void Jobs::Impl::EndJob(const JobPtr& job, JobState state, Errc error,
                        const std::string& message) {
  spool.Release(job->id());
  claims.Drop(job->id());
  job->End(state, error, message);
  const Status stored = store.Save(*job);
  if (!stored.ok()) {
    spdlog::error("job {}: its end cannot be stored: {}", job->id(),
                  stored.ToString());
  }
  if (options.on_transition) {
    options.on_transition(job->Record()).IgnoreError("the job has ended");
  }
  MutexLock lock(&mu_);
  changed_.NotifyAll();
}

}  // namespace vellum
