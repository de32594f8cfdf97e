// SPDX-License-Identifier: Apache-2.0
#include "copy/job_steps.h"

#include <fmt/format.h>

namespace vellum {

Status JobSteps::Enter(JobState state) {
  RETURN_IF_ERROR(job_->Enter(state));
  RETURN_IF_ERROR(Save());
  if (!context_.options->on_transition) return Status::Ok();
  const Status told = context_.options->on_transition(job_->Record());
  if (told.ok()) return Status::Ok();
  dead_ = true;
  return Status(Errc::kAborted, told.error().message);
}

CopyHooks JobSteps::hooks() const {
  CopyHooks hooks;
  hooks.stop = stop();
  hooks.counters = &job_->counters;
  hooks.log = [job = job_](const std::string& line) { job->Log(line); };
  return hooks;
}

std::string JobSteps::owner() const {
  return fmt::format("job {}", job_->id());
}

void JobSteps::Touch(const MediumId& medium) {
  if (touched_.count(medium) != 0) return;
  const Result<MediumPlace> place = archive().library->FindMedium(medium);
  touched_[medium] = place.ok() && place->loaded;
}

void JobSteps::SendHome(const MediumId& medium) {
  const auto it = touched_.find(medium);
  if (it == touched_.end() || it->second) return;
  const Result<MediumPlace> place = archive().library->FindMedium(medium);
  if (!place.ok() || !place->loaded) return;
  Volumes::Exclusion exclusion;
  if (const auto volume = archive().volumes->FindByMedium(medium)) {
    Result<Volumes::Exclusion> detached = archive().volumes->Exclude(volume);
    if (!detached.ok()) {
      Log(fmt::format("medium {} stays loaded: {}", medium,
                      detached.error().message));
      return;
    }
    exclusion = std::move(*detached);
  }
  const Status status = archive().library->SendHome(medium);
  if (!status.ok()) {
    Log(fmt::format("medium {} stays loaded: {}", medium,
                    status.error().message));
  }
}

void JobSteps::SendAllHome() {
  for (const auto& entry : touched_) SendHome(entry.first);
}

}  // namespace vellum
