// SPDX-License-Identifier: Apache-2.0
#include <fmt/format.h>
#include <spdlog/spdlog.h>

#include <exception>
#include <utility>

#include "media/library_impl.h"

namespace vellum {

namespace {

std::string DriveName(ElementAddress address) {
  return "drive " + ToString(address);
}

// Both errors of a step and of what was done to clean up after it.
Status Join(const Status& first, const char* then, const Status& second) {
  if (second.ok()) return first;
  return Status(first.code(), fmt::format("{}; {}: {}", first.error().message,
                                          then, second.error().message));
}

}  // namespace

Status Library::Impl::Start(std::vector<std::unique_ptr<Drive>> new_drives) {
  ASSIGN_OR_RETURN(identity, changer->Identify());
  ASSIGN_OR_RETURN(const ElementMap map, changer->Elements());
  ASSIGN_OR_RETURN(std::vector<ElementStatus> statuses,
                   changer->ReadElementStatus());
  for (auto& drive : new_drives) {
    auto slot = std::make_unique<DriveSlot>();
    slot->address = drive->Address();
    if (!map.data_transfer.Contains(slot->address)) {
      return Status(Errc::kInvalidArgument,
                    DriveName(slot->address) +
                        ": the changer has no such data transfer element");
    }
    if (DriveAt(slot->address)) {
      return Status(Errc::kInvalidArgument,
                    DriveName(slot->address) + ": given twice");
    }
    Result<DriveIdentity> drive_identity = drive->Identify();
    if (!drive_identity.ok()) {
      return drive_identity.status().WithContext(DriveName(slot->address));
    }
    slot->identity = std::move(*drive_identity);
    slot->drive = std::move(drive);
    drives.push_back(std::move(slot));
  }
  std::vector<ElementAddress> astray;
  {
    MutexLock lock(&mu);
    book.Rebuild(map, std::move(statuses));
    for (const MediumPlace& place : book.Media()) {
      if (!book.IsSlot(place.element)) astray.push_back(place.element);
    }
  }
  for (const ElementAddress element : astray) {
    const std::optional<size_t> index = DriveAt(element);
    const Status sent =
        index ? Unload(*index, std::nullopt) : MoveHome(element);
    // It can be used, and sent home again, from where it is.
    if (!sent.ok()) spdlog::warn("at start: {}", sent.ToString());
  }
  for (size_t i = 0; i < drives.size(); ++i) {
    drives[i]->thread = std::jthread([this, i] { DriveLoop(i); });
  }
  scheduler = std::jthread([this] { SchedulerLoop(); });
  return Status::Ok();
}

void Library::Impl::DriveLoop(size_t index) {
  DriveSlot& slot = *drives[index];
  MutexLock lock(&mu);
  for (;;) {
    while (!slot.task && !stop) task_cv.Wait(&mu);
    if (!slot.task) return;
    const Task task = std::move(*slot.task);
    slot.task.reset();
    lock.Unlock();
    Status status;
    try {
      status = RunTask(index, task);
    } catch (const std::exception& e) {
      status = Status(Errc::kInternal,
                      fmt::format("{}: {}", DriveName(slot.address), e.what()));
    }
    lock.Lock();
    FinishTaskLocked(index, task, status);
  }
}

void Library::Impl::GiveTaskLocked(size_t index, Task task) {
  DriveSlot& slot = *drives[index];
  slot.working = true;
  const bool load = task.kind == Task::Kind::kLoad;
  const MediumPlace* inside = book.At(slot.address);
  if (inside != nullptr && (!load || inside->id != task.medium)) {
    slot.evicted = inside->id;
    in_transit.insert(inside->id);
  }
  if (load) slot.loading = task.medium;
  slot.activity = load ? "loading " + task.medium : "unloading " + slot.evicted;
  slot.task = std::move(task);
  task_cv.NotifyAll();
}

Status Library::Impl::RunTask(size_t index, const Task& task) {
  if (task.kind == Task::Kind::kLoad) return Load(index, task.medium);
  return Unload(index, task.target);
}

void Library::Impl::FinishTaskLocked(size_t index, const Task& task,
                                     const Status& status) {
  DriveSlot& slot = *drives[index];
  slot.working = false;
  slot.loading.clear();
  slot.activity.clear();
  in_transit.erase(slot.evicted);
  slot.evicted.clear();
  slot.last_used = ++use_clock;
  if (status.ok()) {
    slot.failures = 0;
  } else {
    ++slot.failures;
    spdlog::warn("{}", status.ToString());
    // Back with the next Rescan.
    if (status.Is(Errc::kOffline)) slot.online = false;
  }
  if (task.start) {
    Starting& start = starting.at(*task.start);
    --start.pending;
    if (!status.ok() && !start.failure) start.failure = status.error();
  }
  if (task.result != nullptr) {
    task.result->status = status;
    task.result->done = true;
  }
  ChangedLocked();
}

Status Library::Impl::Load(size_t index, const MediumId& medium) {
  DriveSlot& slot = *drives[index];
  const std::string context =
      fmt::format("load {} into drive {}", medium, slot.address.value);
  bool there = false;
  bool full = false;
  {
    MutexLock lock(&mu);
    if (IsReadyLocked(slot) && slot.open_id == medium) return Status::Ok();
    const MediumPlace* inside = book.At(slot.address);
    full = inside != nullptr || slot.open != nullptr;
    there = inside != nullptr && inside->id == medium && slot.open == nullptr;
  }
  if (full && !there) {
    RETURN_IF_ERROR(Unload(index, std::nullopt).WithContext(context));
  }
  ElementAddress from;
  {
    MutexLock lock(&mu);
    const MediumPlace* place = book.Find(medium);
    if (place == nullptr) {
      return Status(Errc::kNoMedium, context + ": it left the library");
    }
    from = place->element;
    slot.activity = "loading " + medium;
  }
  if (from != slot.address) {
    const Status moved = MoveTracked(from, slot.address);
    if (!moved.ok()) {
      bool arrived = false;
      {
        MutexLock lock(&mu);
        arrived = book.At(slot.address) != nullptr;
      }
      if (!arrived) return moved.WithContext(context);
      return Join(moved.WithContext(context), "and sending it home",
                  Unload(index, std::nullopt));
    }
  }
  Result<std::unique_ptr<Medium>> opened = slot.drive->Open();
  if (!opened.ok()) {
    return Join(opened.status().WithContext(context), "and sending it home",
                Unload(index, std::nullopt));
  }
  MutexLock lock(&mu);
  slot.open = std::move(*opened);
  slot.open_id = medium;
  ++slot.loads;
  return Status::Ok();
}

Status Library::Impl::Unload(size_t index,
                             std::optional<ElementAddress> target) {
  DriveSlot& slot = *drives[index];
  std::unique_ptr<Medium> open;
  MediumId medium;
  bool full = false;
  {
    MutexLock lock(&mu);
    open = std::move(slot.open);
    slot.open_id.clear();
    const MediumPlace* inside = book.At(slot.address);
    full = inside != nullptr;
    if (full) {
      medium = inside->id;
      slot.activity = "unloading " + medium;
    }
  }
  open.reset();
  const std::string context =
      fmt::format("unload {} from drive {}", full ? medium : "a medium",
                  slot.address.value);
  // Also when nothing of ours was open: a daemon that died may have left the
  // removal prevented.
  Status status = slot.drive->Close().WithContext(context);
  if (status.ok() && full) {
    status =
        (target ? MoveTracked(slot.address, *target) : MoveHome(slot.address))
            .WithContext(context);
  }
  MutexLock lock(&mu);
  in_transit.erase(medium);
  ChangedLocked();
  return status;
}

Status Library::Impl::MoveTracked(ElementAddress from, ElementAddress to) {
  {
    MutexLock lock(&mu);
    BeginTurnLocked();
  }
  Status status = MoveInTurn(from, to);
  MutexLock lock(&mu);
  EndTurnLocked();
  return status;
}

Status Library::Impl::MoveHome(ElementAddress from) {
  MediumId medium;
  std::optional<ElementAddress> home;
  {
    MutexLock lock(&mu);
    BeginTurnLocked();
    // Looked up in turn: no other medium can get the same slot.
    const MediumPlace* place = book.At(from);
    if (place != nullptr) {
      medium = place->id;
      home = book.FreeHome(*place);
    }
  }
  Status status;
  if (home) {
    status = MoveInTurn(from, *home);
  } else if (!medium.empty()) {
    status = Status(Errc::kNoSpace,
                    fmt::format("move {} from {}: its home is occupied and no "
                                "storage element is free",
                                medium, from.value));
  }
  MutexLock lock(&mu);
  EndTurnLocked();
  return status;
}

Status Library::Impl::MoveInTurn(ElementAddress from, ElementAddress to) {
  const Status moved = changer->MoveMedium(from, to);
  {
    MutexLock lock(&mu);
    const ElementStatus* source = book.Element(from);
    const ElementStatus* target = book.Element(to);
    const bool expected =
        source != nullptr && source->full && target != nullptr && !target->full;
    if (moved.ok() && expected) {
      book.ApplyMove(from, to);
      ChangedLocked();
      return moved;
    }
  }
  // It failed, or it succeeded against what we thought: only the changer
  // knows now.
  const Status read = ReadStatusInTurn();
  if (moved.ok()) {
    return read.WithContext(
        fmt::format("after the move from {} to {}", from.value, to.value));
  }
  return Join(moved, "then reading the element status", read);
}

Status Library::Impl::ReadStatusInTurn() {
  ASSIGN_OR_RETURN(std::vector<ElementStatus> statuses,
                   changer->ReadElementStatus());
  MutexLock lock(&mu);
  const ElementMap map = book.map();
  book.Rebuild(map, std::move(statuses));
  ChangedLocked();
  return Status::Ok();
}

void Library::Impl::BeginTurnLocked() {
  while (turn_taken) state_cv.Wait(&mu);
  turn_taken = true;
}

void Library::Impl::EndTurnLocked() {
  turn_taken = false;
  ChangedLocked();
}

}  // namespace vellum
