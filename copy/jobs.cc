// SPDX-License-Identifier: Apache-2.0
#include "copy/jobs.h"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "copy/jobs_impl.h"

namespace vellum {

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
  ASSIGN_OR_RETURN(std::vector<JobRecord> records,
                   store.Load(std::max<size_t>(options.ended_kept, 1)));
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
      if (open.count(id) == 0) ended_.insert(id);
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
      claims.Claim(id, ClaimantOf(now.request), now.target_medium)
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
  impl_->halt_.request_stop();
  for (std::thread& worker : workers) worker.join();
  std::map<JobId, Deferral> deferred;
  MutexLock lock(&impl_->mu_);
  deferred.swap(impl_->deferred_);
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
  Deferral deferral;  // destroyed with no lock held
  {
    MutexLock lock(&impl_->mu_);
    auto& queue = impl_->queue_;
    const auto it = std::find(queue.begin(), queue.end(), job);
    if (it != queue.end()) {
      queue.erase(it);
      waiting = true;
    }
    const auto deferred = impl_->deferred_.find(id);
    if (deferred != impl_->deferred_.end()) {
      deferral = std::move(deferred->second);
      impl_->deferred_.erase(deferred);
    }
  }
  if (waiting) {
    // What it may have loaded went home when it was deferred.
    impl_->EndJob(job, JobState::kCancelled, Errc::kAborted,
                  Impl::CancelledIn(job->state()));
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
    const bool ended = JobEnded(record.state);
    // Not before its end is stored: the history has it, and a restart. One that
    // is forgotten meanwhile had been.
    if (ended && (impl->ended_.count(id) != 0 || impl->jobs_.count(id) == 0)) {
      return record;
    }
    if (!ended && (impl->stopping_ || impl->dead_.count(id) != 0)) {
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

}  // namespace vellum
