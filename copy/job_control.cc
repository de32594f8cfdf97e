// SPDX-License-Identifier: Apache-2.0
#include "copy/job_control.h"

#include <fmt/chrono.h>
#include <fmt/format.h>
#include <spdlog/spdlog.h>

#include <ctime>
#include <utility>

namespace vellum {
namespace {

std::string TimeText(const TimeSpec& time) {
  const std::time_t seconds = time.sec;
  std::tm utc = {};
  gmtime_r(&seconds, &utc);
  return fmt::format("{:%Y-%m-%dT%H:%M:%SZ}", utc);
}

}  // namespace

JobControl::JobControl(JobRecord record)
    : id_(record.id), record_(std::move(record)) {
  counters.regions_total = record_.regions_total;
  counters.regions_done = record_.regions_done;
  counters.bytes_copied = record_.bytes_copied;
  counters.bytes_verified = record_.bytes_verified;
  if (record_.cancel_requested) stop_.request_stop();
}

JobRecord JobControl::Record() const {
  MutexLock lock(&mu_);
  JobRecord record = record_;
  record.regions_total = counters.regions_total;
  record.regions_done = counters.regions_done;
  record.bytes_copied = counters.bytes_copied;
  record.bytes_verified = counters.bytes_verified;
  return record;
}

JobState JobControl::state() const {
  MutexLock lock(&mu_);
  return record_.state;
}

void JobControl::Log(const std::string& line) {
  spdlog::info("job {}: {}", id_, line);
  MutexLock lock(&mu_);
  record_.log.push_back(TimeText(Now()) + " " + line);
}

bool JobControl::SetWaiting(const std::string& text) {
  MutexLock lock(&mu_);
  if (record_.message == text) return false;
  record_.message = text;
  return true;
}

void JobControl::EnterLocked(JobState state) {
  const TimeSpec now = Now();
  record_.state = state;
  record_.state_since = now;
  if (state != JobState::kQueued && record_.started == TimeSpec()) {
    record_.started = now;
  }
  if (JobEnded(state)) record_.ended = now;
  record_.log.push_back(TimeText(now) + " " + JobStateName(state));
}

Status JobControl::Enter(JobState state) {
  MutexLock lock(&mu_);
  // A cancel that was accepted holds: from here on none is accepted.
  if (record_.cancel_requested && state != JobState::kReturning) {
    return Status(Errc::kAborted, "cancelled");
  }
  EnterLocked(state);
  // What it waited for is past; a copy that returns has said its result.
  if (state != JobState::kReturning) record_.message.clear();
  return Status::Ok();
}

void JobControl::End(JobState state, Errc error, const std::string& message) {
  MutexLock lock(&mu_);
  EnterLocked(state);
  record_.error = error;
  record_.message = message;
}

Status JobControl::Cancel() {
  MutexLock lock(&mu_);
  if (record_.state >= JobState::kCommitting) {
    return Status(Errc::kBusy,
                  fmt::format("job {} is {}: it cannot be cancelled", id_,
                              JobStateName(record_.state)));
  }
  record_.cancel_requested = true;
  lock.Unlock();
  // Runs the callbacks of who waits with the token: with no lock held.
  stop_.request_stop();
  lock.Lock();
  return Status::Ok();
}

bool JobControl::cancel_requested() const {
  MutexLock lock(&mu_);
  return record_.cancel_requested;
}

}  // namespace vellum
