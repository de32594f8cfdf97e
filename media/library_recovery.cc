// SPDX-License-Identifier: Apache-2.0
// What becomes of drives whose medium or device is gone while it is in use, and
// how changes that others make to the elements are noticed.
#include <fmt/format.h>
#include <spdlog/spdlog.h>

#include <algorithm>
#include <string>
#include <utility>

#include "media/library_impl.h"

namespace vellum {

void Library::Impl::Lose(size_t index, const Error& error) {
  DriveSlot& slot = *drives[index];
  MutexLock lock(&mu);
  if (error.code == Errc::kOffline && slot.online) {
    PutAsideLocked(index, error.message);
  }
  if (slot.lost) return;
  spdlog::error("drive {}: {} is gone: {}", slot.address.value, slot.open_id,
                error.message);
  slot.lost = true;
  ChangedLocked();
}

void Library::Impl::PutAsideLocked(size_t index, const std::string& why) {
  DriveSlot& slot = *drives[index];
  slot.online = false;
  slot.problem = why;
  slot.retry_at = PlanClock::now() + options.retry_drives;
}

void Library::Impl::RecoverDrivesLocked() {
  for (size_t i = 0; i < drives.size(); ++i) {
    DriveSlot& slot = *drives[i];
    if (slot.lost) RecallLocked(i);
    if (slot.working || LeasedLocked(i)) continue;
    // Who took it offline says when it is back.
    const bool again =
        !slot.online && !slot.disabled && PlanClock::now() >= slot.retry_at;
    if (slot.lost || again) {
      Task task;
      task.kind = Task::Kind::kRecover;
      GiveTaskLocked(i, std::move(task));
    } else if (!slot.online && !slot.disabled) {
      wake_at = wake_at ? std::min(*wake_at, slot.retry_at) : slot.retry_at;
    }
  }
}

Status Library::Impl::Recover(size_t index) {
  DriveSlot& slot = *drives[index];
  const std::string name = fmt::format("drive {}", slot.address.value);
  bool open = false;
  {
    MutexLock lock(&mu);
    open = slot.open != nullptr;
  }
  const Status closed = open ? CloseDrive(index) : Status::Ok();
  // The drive may be gone; who asks it next tells.
  if (!closed.ok()) spdlog::info("{}", closed.ToString());
  const Result<DriveIdentity> found = slot.drive->Identify();
  Status status = found.status().WithContext(name);
  if (found.ok() && found->serial != slot.identity.serial) {
    status = Status(
        Errc::kOffline,
        fmt::format("{}: {} {} with serial number \"{}\" answers where \"{}\" "
                    "was",
                    name, found->vendor, found->product, found->serial,
                    slot.identity.serial));
  }
  if (status.ok()) {
    {
      MutexLock lock(&mu);
      BeginTurnLocked();
    }
    status = ReadStatusInTurn().WithContext(name);
    MutexLock lock(&mu);
    EndTurnLocked();
  }
  MutexLock lock(&mu);
  const bool was_online = slot.online;
  if (status.ok()) {
    if (!was_online) spdlog::info("{} answers again", name);
    slot.online = !slot.disabled;
    if (slot.online) slot.problem.clear();
  } else {
    PutAsideLocked(index, status.error().message);
  }
  return status;
}

void Library::Impl::AskLoop() {
  std::string last_error;
  MutexLock lock(&mu);
  while (!stop) {
    watch_cv.WaitFor(&mu, options.watch_changer);
    // Whoever moves media just now will hear of it.
    if (stop || shutting_down || turn_taken) continue;
    turn_taken = true;
    lock.Unlock();
    const Status asked = ReadIfChangedInTurn();
    const std::string error = asked.ToString();
    if (!asked.ok() && error != last_error) spdlog::warn("{}", error);
    last_error = error;
    lock.Lock();
    EndTurnLocked();
  }
}

Status Library::Impl::ReadIfChangedInTurn() {
  ASSIGN_OR_RETURN(const bool changed, changer->ElementsChanged());
  if (!changed) return Status::Ok();
  spdlog::info("the changer says that its elements were changed: read again");
  return ReadStatusInTurn();
}

}  // namespace vellum
