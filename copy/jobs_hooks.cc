// SPDX-License-Identifier: Apache-2.0
// The operator's programs before and after a job (A9). The one before runs when
// the job is about to begin; the one after whenever the one before has run,
// however the job came out, so that what was stopped can be started again.
#include <fmt/format.h>

#include <utility>

#include "copy/jobs_impl.h"

namespace vellum {

// Before a copy: the backup that is on its target already.
std::string Jobs::Impl::BackupOf(const JobRecord& job) const {
  if (job.kind == JobKind::kRestore) return job.request.target;
  if (!job.target_volume.empty() || job.target_medium.empty()) {
    return job.target_volume;
  }
  const auto volume = archive.volumes->FindByMedium(job.target_medium);
  const auto source = archive.volumes->Find(job.request.source);
  if (volume == nullptr || source == nullptr) return std::string();
  const VolumeRecord backup = volume->record();
  return backup.owner_uuid == source->record().medium_uuid ? backup.id
                                                           : std::string();
}

HookProgram Jobs::Impl::HookOf(const JobRecord& job, bool before) const {
  HookCommands hooks;
  {
    MutexLock lock(&hooks_mu_);
    hooks = hooks_;
  }
  const bool restore = job.kind == JobKind::kRestore;
  HookProgram program;
  program.name = fmt::format("{}_{}", before ? "before" : "after",
                             restore ? "restore" : "copy");
  program.timeout = std::chrono::seconds(hooks.timeout_s);
  if (job.kind == JobKind::kCompare) return program;
  if (before) {
    program.path = restore ? hooks.before_restore : hooks.before_copy;
  } else {
    program.path = restore ? hooks.after_restore : hooks.after_copy;
  }
  program.environment = {
      {"VELLUM_HOOK", program.name},
      {"VELLUM_LIBRARY", options.library},
      {"VELLUM_JOB", std::to_string(job.id)},
      {"VELLUM_VOLUME", job.request.source},
      {"VELLUM_MODE", restore ? "restore" : CopyModeName(job.request.mode)},
      {"VELLUM_BACKUP", BackupOf(job)},
      {"VELLUM_MEDIUM", job.target_medium}};
  return program;
}

void Jobs::SetPolicy(uint32_t generations, uint32_t tracked_pairs,
                     const HookCommands& hooks) {
  impl_->options.generations = generations;
  impl_->options.tracked_pairs = tracked_pairs;
  MutexLock lock(&impl_->hooks_mu_);
  impl_->hooks_ = hooks;
}

Status Jobs::Impl::RunHookBefore(JobRun* run) {
  if (run->began) return Status::Ok();
  JobControl& job = run->steps.job();
  const HookProgram program = HookOf(job.Record(), /*before=*/true);
  if (!program.path.empty()) {
    job.SetWaiting(fmt::format("waits for hook {}", program.name));
    const HookOutcome outcome = RunHookProgram(program, job.stop_token());
    job.SetWaiting("");
    if (!outcome.status.ok()) {
      job.Update([&](JobRecord* record) {
        record->hook = program.name;
        record->hook_exit = outcome.exit_code;
      });
      return outcome.status;
    }
    job.Log(fmt::format("hook {} ({}) is done", program.name, program.path));
  }
  run->began = true;
  return Status::Ok();
}

void Jobs::Impl::RunHookAfter(JobRun* run, JobState* state, Errc* error,
                              std::string* message) {
  if (!run->began) return;
  JobControl& job = run->steps.job();
  const JobRecord record = job.Record();
  HookProgram program = HookOf(record, /*before=*/false);
  if (program.path.empty()) return;
  program.environment.emplace_back("VELLUM_RESULT", JobStateName(*state));
  program.environment.emplace_back("VELLUM_MESSAGE", *message);
  program.environment.emplace_back("VELLUM_METHOD", record.method);
  const HookOutcome outcome = RunHookProgram(program, halt_.get_token());
  if (outcome.status.ok()) {
    job.Log(fmt::format("hook {} ({}) is done", program.name, program.path));
    return;
  }
  job.Log(outcome.status.error().message);
  job.Update([&](JobRecord* ended) {
    ended->hook = program.name;
    ended->hook_exit = outcome.exit_code;
  });
  if (*state == JobState::kDone) {
    *state = JobState::kFailed;
    *error = outcome.status.code();
  }
  *message += "; " + outcome.status.error().message;
}

}  // namespace vellum
