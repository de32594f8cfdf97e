// SPDX-License-Identifier: Apache-2.0
#include "copy/job_steps.h"

#include <fmt/format.h>

namespace vellum {

std::string WaitingText(const std::string& volume_id, const Error& busy) {
  const std::string subject = fmt::format("volume {} is ", volume_id);
  const bool known = busy.message.rfind(subject, 0) == 0;
  return fmt::format(
      "waits for {}: {}", volume_id,
      known ? busy.message.substr(subject.size()) : busy.message);
}

Status JobSteps::Enter(JobState state) {
  RETURN_IF_ERROR(job_->Enter(state));
  RETURN_IF_ERROR(Save());
  return Tell();
}

Status JobSteps::Tell() {
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

Error JobSteps::Defer(const std::shared_ptr<Volume>& volume,
                      const Error& busy) {
  deferred_for_ = volume;
  const std::string text = WaitingText(volume->id(), busy);
  if (job_->SetWaiting(text)) Log(text);
  return busy;
}

std::unique_ptr<SpoolImage> JobSteps::FindImage() const {
  auto image = SpoolImage::Open(*context_.spool, job_->id());
  if (image.ok()) return std::move(*image);
  if (image.error().code != Errc::kNotFound) {
    Log("what was staged is staged again: " + image.error().message);
  }
  return nullptr;
}

Result<bool> JobSteps::CanGoOnFrom(const SpoolImage& image) const {
  Log("reads the image in the spool: is it whole?");
  const Status whole = image.Check(stop(), &job_->counters);
  if (whole.ok()) {
    Log("goes on from the complete image in the spool");
    return true;
  }
  if (whole.Is(Errc::kAborted)) return whole.error();
  Log("what was staged is staged again: " + whole.error().message);
  return false;
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
  if (!place.ok()) return;
  Volumes::Exclusion exclusion;
  const auto volume = archive().volumes->FindByMedium(medium);
  // What is not in a drive may still be on its way into one.
  if (volume != nullptr && place->loaded) {
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
