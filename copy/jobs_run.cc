// SPDX-License-Identifier: Apache-2.0
#include <fmt/format.h>
#include <spdlog/spdlog.h>

#include <algorithm>
#include <exception>
#include <utility>

#include "copy/compare_runner.h"
#include "copy/file_copy_runner.h"
#include "copy/jobs_impl.h"
#include "copy/restore_runner.h"

namespace vellum {
namespace {

// How soon a job that waits for its target sees that it is free.
constexpr std::chrono::milliseconds kHeldPoll{200};

}  // namespace

// --- Running
// ----------------------------------------------------------------------

std::set<MediumId> Jobs::Impl::MediaOf(const JobControl& job) const {
  const JobRecord record = job.Record();
  std::set<MediumId> media;
  if (const auto source = archive.volumes->Find(record.request.source)) {
    media.insert(source->record().medium);
  }
  if (record.kind != JobKind::kCopy) {
    if (const auto other = archive.volumes->Find(record.request.target)) {
      media.insert(other->record().medium);
    }
  }
  if (!record.target_medium.empty()) media.insert(record.target_medium);
  return media;
}

Jobs::Impl::Clock::time_point Jobs::Impl::WaitsUntilLocked(const JobPtr& job) {
  const auto it = deferred_.find(job->id());
  if (it == deferred_.end()) return Clock::time_point::min();
  const Deferral& deferral = it->second;
  const Clock::time_point now = Clock::now();
  if (now < deferral.not_before) return deferral.not_before;
  const Status free = archive.volumes->CheckExcludable(*deferral.volume);
  if (free.ok()) return now;
  job->SetWaiting(WaitingText(deferral.volume->id(), free.error()));
  return now + kHeldPoll;
}

Jobs::Impl::JobPtr Jobs::Impl::TakeRunnable(std::set<MediumId>* media,
                                            std::unique_ptr<JobRun>* run) {
  MutexLock lock(&mu_);
  for (;;) {
    if (stopping_) return nullptr;
    Clock::time_point next = Clock::time_point::max();
    for (auto it = queue_.begin(); it != queue_.end(); ++it) {
      const Clock::time_point until = WaitsUntilLocked(*it);
      if (until > Clock::now()) {
        next = std::min(next, until);
        continue;
      }
      *media = MediaOf(**it);
      bool free = true;
      for (const MediumId& medium : *media) {
        if (busy_.count(medium) != 0) free = false;
      }
      if (!free) continue;
      JobPtr job = *it;
      queue_.erase(it);
      const auto deferred = deferred_.find(job->id());
      if (deferred != deferred_.end()) {
        *run = std::move(deferred->second.run);
        deferred_.erase(deferred);
      }
      busy_.insert(media->begin(), media->end());
      return job;
    }
    if (next == Clock::time_point::max()) {
      changed_.Wait(&mu_);
    } else {
      changed_.WaitFor(&mu_, next - Clock::now());
    }
  }
}

void Jobs::Impl::WorkerMain() {
  std::set<MediumId> media;
  std::unique_ptr<JobRun> run;
  while (const JobPtr job = TakeRunnable(&media, &run)) {
    RunJob(job, std::move(run));
    MutexLock lock(&mu_);
    for (const MediumId& medium : media) busy_.erase(medium);
    changed_.NotifyAll();
  }
}

Status Jobs::Impl::RunSteps(JobRun* run) {
  try {
    RETURN_IF_ERROR(RunHookBefore(run));
    if (run->steps.job().Record().request.mode == CopyMode::kFiles) {
      return FileCopyRunner(&run->steps).Run();
    }
    switch (run->steps.job().Record().kind) {
      case JobKind::kCompare:
        return CompareRunner(&run->steps).Run();
      case JobKind::kRestore:
        return RestoreRunner(&run->steps).Run();
      case JobKind::kCopy:
        break;
    }
    if (run->copy == nullptr) {
      run->copy = std::make_unique<CopyRunner>(&run->steps);
    }
    return run->copy->Run();
  } catch (const std::exception& e) {
    return Status(Errc::kInternal, e.what());
  }
}

bool Jobs::Impl::Requeue(const JobPtr& job, Deferral* deferral) {
  MutexLock lock(&mu_);
  // One that is cancelled from here on is found in the queue.
  if (job->cancel_requested()) return false;
  const auto later = std::find_if(
      queue_.begin(), queue_.end(),
      [&job](const JobPtr& other) { return other->id() > job->id(); });
  queue_.insert(later, job);
  deferred_[job->id()] = std::move(*deferral);
  return true;
}

void Jobs::Impl::RunJob(const JobPtr& job, std::unique_ptr<JobRun> run) {
  if (run == nullptr) run = std::make_unique<JobRun>(Context(), job.get());
  JobSteps& steps = run->steps;
  const Status status = RunSteps(run.get());
  if (steps.dead()) {
    MutexLock lock(&mu_);
    dead_.insert(job->id());
    return;
  }
  if (std::shared_ptr<Volume> volume = steps.TakeDeferred()) {
    // The drives are for others while it waits.
    steps.SendAllHome();
    Deferral deferral{std::move(run), std::move(volume),
                      Clock::now() + kHeldPoll};
    if (Requeue(job, &deferral)) return;
    run = std::move(deferral.run);
  }
  const JobRecord record = job->Record();
  if (status.ok()) {
    Conclude(job, run.get(), JobState::kDone, record.error, record.message);
    return;
  }
  if (!job->cancel_requested()) {
    MutexLock lock(&mu_);
    // It goes on after the next start.
    if (stopping_) return;
  }
  steps.SendAllHome();
  if (job->cancel_requested()) {
    Conclude(job, run.get(), JobState::kCancelled, Errc::kAborted,
             CancelledIn(record.state));
    return;
  }
  Conclude(job, run.get(), JobState::kFailed, status.code(),
           status.error().message);
}

void Jobs::Impl::Conclude(const JobPtr& job, JobRun* run, JobState state,
                          Errc error, std::string message) {
  RunHookAfter(run, &state, &error, &message);
  EndJob(job, state, error, message);
}

// A job whose end is not stored is taken up again by the next start, and may
// need what it has staged. A full disk is no reason to keep it: that is what
// makes room.
Status Jobs::Impl::StoreEnd(const JobControl& job) {
  Status stored = store.Save(job);
  if (stored.Is(Errc::kNoSpace)) {
    spool.Release(job.id());
    stored = store.Save(job);
  } else if (stored.ok()) {
    spool.Release(job.id());
  }
  return stored;
}

std::string Jobs::Impl::CancelledIn(JobState state) {
  return state == JobState::kQueued
             ? "cancelled before it began"
             : fmt::format("cancelled while {}", JobStateName(state));
}

void Jobs::Impl::EndJob(const JobPtr& job, JobState state, Errc error,
                        const std::string& message) {
  claims.Drop(job->id());
  // The log alone shall tell why.
  if (state != JobState::kDone) job->Log(message);
  job->End(state, error, message);
  const Status stored = StoreEnd(*job);
  if (!stored.ok()) {
    spdlog::error("job {}: its end cannot be stored: {}", job->id(),
                  stored.ToString());
    job->Update([&stored](JobRecord* record) {
      if (!record->message.empty()) record->message += "; ";
      record->message += fmt::format(
          "its end cannot be stored, the next start takes it up "
          "again: {}",
          stored.error().message);
    });
  }
  if (options.on_transition) {
    options.on_transition(job->Record()).IgnoreError("the job has ended");
  }
  {
    MutexLock lock(&mu_);
    ended_.insert(job->id());
    changed_.NotifyAll();
  }
  PruneEnded();
}

void Jobs::Impl::PruneEnded() {
  std::vector<JobPtr> pruned;
  {
    MutexLock lock(&mu_);
    while (ended_.size() > std::max<size_t>(options.ended_kept, 1)) {
      const auto it = jobs_.find(*ended_.begin());
      pruned.push_back(std::move(it->second));
      jobs_.erase(it);
      ended_.erase(ended_.begin());
    }
  }
  for (const JobPtr& job : pruned) {
    const Status removed = store.Remove(job->id());
    if (!removed.ok()) {
      spdlog::error("job {}: its record cannot be removed: {}", job->id(),
                    removed.ToString());
    }
  }
}

}  // namespace vellum
