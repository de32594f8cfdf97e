// SPDX-License-Identifier: Apache-2.0
#include <fmt/format.h>
#include <spdlog/spdlog.h>

#include <algorithm>
#include <chrono>
#include <exception>
#include <utility>

#include "media/leased_medium.h"
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
    // A robot that holds one takes no other.
    std::stable_partition(astray.begin(), astray.end(),
                          [&map](ElementAddress element) {
                            return map.transport.Contains(element);
                          });
    // What lies in a dock may stay there until the dock is needed.
    if (identity.manual) astray.clear();
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
  watch = std::jthread([this] { identity.manual ? WatchLoop() : AskLoop(); });
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
  const bool recover = task.kind == Task::Kind::kRecover;
  const MediumPlace* inside = book.At(slot.address);
  if (inside != nullptr && (!load || inside->id != task.medium)) {
    slot.evicted = SidesLocked(inside->id);
    in_transit.insert(slot.evicted.begin(), slot.evicted.end());
  }
  if (load) slot.loading = task.medium;
  slot.activity = load ? "loading " + task.medium
                  : recover
                      ? "recovering"
                      : "unloading " + (inside != nullptr ? inside->id : "");
  slot.stop = task.stop;
  slot.start = task.start;
  slot.task = std::move(task);
  task_cv.NotifyAll();
}

Status Library::Impl::RunTask(size_t index, const Task& task) {
  const std::stop_token give_up = task.stop.get_token();
  if (task.kind == Task::Kind::kLoad) {
    return Load(index, task.medium, give_up);
  }
  if (task.kind == Task::Kind::kRecover) return Recover(index);
  if (task.stay) return CloseDrive(index);
  return Unload(index, task.target, give_up);
}

void Library::Impl::FinishTaskLocked(size_t index, const Task& task,
                                     const Status& status) {
  DriveSlot& slot = *drives[index];
  slot.working = false;
  slot.start.reset();
  slot.loading.clear();
  slot.activity.clear();
  for (const MediumId& id : slot.evicted) in_transit.erase(id);
  slot.evicted.clear();
  slot.last_used = ++use_clock;
  if (status.ok()) {
    slot.failures = 0;
  } else if (status.Is(Errc::kInterrupted)) {
    spdlog::info("{}", status.ToString());  // the drive did nothing wrong
  } else {
    ++slot.failures;
    spdlog::warn("{}", status.ToString());
    if (status.Is(Errc::kOffline) && task.kind != Task::Kind::kRecover) {
      PutAsideLocked(index, status.error().message);
    }
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

Status Library::Impl::LookBeforeLoad(size_t index, const MediumId& medium) {
  DriveSlot& slot = *drives[index];
  Medium* open = nullptr;
  {
    MutexLock lock(&mu);
    if (slot.open_id == medium) open = slot.open.get();
  }
  if (open != nullptr) {
    Bytes sector(kSectorSize);
    const Status there = open->Read(0, sector);
    if (!there.Is(Errc::kNoMedium)) return Status::Ok();
    RETURN_IF_ERROR(CloseDrive(index));
  }
  return ReadStatusInTurn();
}

Status Library::Impl::Load(size_t index, const MediumId& medium,
                           const std::stop_token& give_up) {
  DriveSlot& slot = *drives[index];
  const std::string context =
      fmt::format("load {} into drive {}", medium, slot.address.value);
  const PlanClock::time_point begun = PlanClock::now();
  if (identity.manual) {
    RETURN_IF_ERROR(LookBeforeLoad(index, medium).WithContext(context));
  }
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
    // One request has an operator take the one out and put the other in.
    RETURN_IF_ERROR(
        (identity.manual ? CloseDrive(index) : MakeRoom(index, medium))
            .WithContext(context));
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
    bool side_b = false;
    {
      MutexLock lock(&mu);
      const MediumPlace* place = book.Find(medium);
      side_b = place != nullptr && place->side() == 'B';
    }
    const Status moved = MoveTracked(from, slot.address, give_up, side_b);
    if (!moved.ok()) {
      bool arrived = false;
      {
        MutexLock lock(&mu);
        arrived = book.At(slot.address) != nullptr && !identity.manual;
      }
      if (!arrived) return moved.WithContext(context);
      return Join(moved.WithContext(context), "and sending it home",
                  Unload(index, std::nullopt));
    }
  }
  Result<std::unique_ptr<Medium>> opened = slot.drive->Open();
  if (!opened.ok()) {
    const Status failed = opened.status().WithContext(context);
    if (options.hooks.failed)
      options.hooks.failed(medium, slot.address, opened.error());
    if (identity.manual) return failed;
    return Join(failed, "and sending it home", Unload(index, std::nullopt));
  }
  if (options.hooks.loaded) {
    *opened = options.hooks.loaded(medium, slot.address, std::move(*opened));
  }
  MutexLock lock(&mu);
  slot.open = std::make_unique<LeasedMedium>(
      std::move(*opened),
      [this, index](const Error& error) { Lose(index, error); });
  slot.open_id = medium;
  book.NoteGood(slot.address);
  slot.ready_at = PlanClock::now();
  const std::chrono::nanoseconds took = slot.ready_at - begun;
  load_time = load_time.count() == 0 ? took : (3 * load_time + took) / 4;
  ++slot.loads;
  return Status::Ok();
}

void Library::Impl::WatchLoop() {
  constexpr std::chrono::seconds kLookEvery{1};
  std::string last_error;
  MutexLock lock(&mu);
  while (!stop) {
    const uint64_t look = ++looks;
    lock.Unlock();
    Result<std::vector<ElementStatus>> statuses = changer->ReadElementStatus();
    const std::string error = statuses.status().ToString();
    if (!statuses.ok() && error != last_error) spdlog::warn("{}", error);
    last_error = error;
    lock.Lock();
    if (statuses.ok()) NoticeLocked(std::move(*statuses), look);
    if (!stop) watch_cv.WaitFor(&mu, kLookEvery);
  }
}

void Library::Impl::NoticeLocked(std::vector<ElementStatus> statuses,
                                 uint64_t look) {
  for (const ElementStatus& status : statuses) {
    const std::optional<size_t> drive = DriveAt(status.address);
    // What is open in a drive and not there any more shows an exception.
    if (drive && status.exception && drives[*drive]->open != nullptr) {
      RecallLocked(*drive);
      scheduler_cv.NotifyAll();
      if (drives[*drive]->working || LeasedLocked(*drive) || shutting_down) {
        continue;
      }
      // Nobody uses it: the dock is free for what comes.
      Task task;
      task.kind = Task::Kind::kUnload;
      task.stay = true;
      GiveTaskLocked(*drive, std::move(task));
    }
  }
  if (statuses != book.statuses()) RebuildLocked(std::move(statuses), look);
}

void Library::Impl::RebuildLocked(std::vector<ElementStatus> statuses,
                                  uint64_t look) {
  if (look < newest_look) return;
  newest_look = look;
  const ElementMap map = book.map();
  book.Rebuild(map, std::move(statuses));
  for (const auto& slot : drives) {
    if (slot->open == nullptr || slot->lost || identity.manual) continue;
    // A changer that cannot tell just now is not believed.
    const ElementStatus* status = book.Element(slot->address);
    const MediumPlace* inside = book.At(slot->address);
    if (status == nullptr || status->exception) continue;
    if (inside != nullptr && inside->id == slot->open_id) continue;
    spdlog::error("drive {}: {} is not in it any more, {}", slot->address.value,
                  slot->open_id, inside == nullptr ? "nothing is" : inside->id);
    slot->lost = true;
  }
  ChangedLocked();
}

Status Library::Impl::CloseDrive(size_t index) {
  DriveSlot& slot = *drives[index];
  std::unique_ptr<Medium> open;
  std::string name = "a medium";
  {
    MutexLock lock(&mu);
    open = std::move(slot.open);
    slot.open_id.clear();
    slot.lost = false;
    const MediumPlace* inside = book.At(slot.address);
    if (inside != nullptr) {
      name = inside->id;
      slot.activity = "unloading " + name;
    }
  }
  open.reset();
  // Also when nothing of ours was open: a daemon that died may have left the
  // removal prevented.
  return slot.drive->Close().WithContext(
      fmt::format("unload {} from drive {}", name, slot.address.value));
}

Status Library::Impl::Unload(size_t index, std::optional<ElementAddress> target,
                             const std::stop_token& give_up) {
  const DriveSlot& slot = *drives[index];
  MediumId medium;
  std::vector<MediumId> sides;
  {
    MutexLock lock(&mu);
    const MediumPlace* inside = book.At(slot.address);
    if (inside != nullptr) medium = inside->id;
    sides = SidesLocked(medium);
  }
  Status status = CloseDrive(index);
  if (status.ok() && !medium.empty()) {
    status = (target ? MoveTracked(slot.address, *target, give_up)
                     : MoveHome(slot.address, give_up))
                 .WithContext(fmt::format("unload {} from drive {}", medium,
                                          slot.address.value));
  }
  MutexLock lock(&mu);
  for (const MediumId& id : sides) in_transit.erase(id);
  ChangedLocked();
  return status;
}

Status Library::Impl::MoveTracked(ElementAddress from, ElementAddress to,
                                  const std::stop_token& give_up, bool side_b) {
  {
    MutexLock lock(&mu);
    BeginTurnLocked();
  }
  Status status = MoveInTurn(from, to, give_up, side_b);
  MutexLock lock(&mu);
  EndTurnLocked();
  return status;
}

Status Library::Impl::MoveHome(ElementAddress from,
                               const std::stop_token& give_up) {
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
    status = MoveInTurn(from, *home, give_up, /*side_b=*/false);
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

Status Library::Impl::MoveInTurn(ElementAddress from, ElementAddress to,
                                 const std::stop_token& give_up, bool side_b) {
  bool turn = false;
  {
    MutexLock lock(&mu);
    const ElementStatus* source = book.Element(from);
    turn = source != nullptr && source->full && source->sides == 2 &&
           source->turned != side_b;
  }
  Status moved = turn ? changer->MoveMediumTurned(from, to)
                      : changer->MoveMediumUntil(from, to, give_up);
  if (turn && !side_b && from != to && moved.Is(Errc::kNotSupported)) {
    // Better upside down in its slot than not at home.
    turn = false;
    moved = changer->MoveMediumUntil(from, to, give_up);
  }
  bool applied = false;
  {
    MutexLock lock(&mu);
    const ElementStatus* source = book.Element(from);
    const ElementStatus* target = book.Element(to);
    const bool expected = source != nullptr && source->full &&
                          target != nullptr && (from == to || !target->full);
    if (moved.ok() && expected && !identity.manual) {
      book.ApplyMove(from, to, turn);
      ChangedLocked();
      applied = true;
    }
  }
  if (applied) {
    // The robot has done what it was told, whatever comes of this.
    const Status read = ReadIfChangedInTurn();
    if (!read.ok()) spdlog::warn("after a move: {}", read.ToString());
    return moved;
  }
  return AfterMoveInTurn(
      moved, fmt::format("the move from {} to {}", from.value, to.value));
}

// It failed, or it succeeded against what we thought, or a person made it: only
// the changer knows now.
Status Library::Impl::AfterMoveInTurn(const Status& moved,
                                      const std::string& what) {
  const Status read = ReadStatusInTurn();
  if (moved.ok()) return read.WithContext("after " + what);
  return Join(moved, "then reading the element status", read);
}

Status Library::Impl::MakeRoom(size_t index, const MediumId& medium) {
  ASSIGN_OR_RETURN(const bool turned, TryTurnOver(index, medium));
  if (turned) return Status::Ok();
  ASSIGN_OR_RETURN(const bool exchanged, TryExchange(index, medium));
  if (exchanged) return Status::Ok();
  return Unload(index, std::nullopt);
}

Result<bool> Library::Impl::TryTurnOver(size_t index, const MediumId& medium) {
  const ElementAddress at = drives[index]->address;
  {
    MutexLock lock(&mu);
    const MediumPlace* inside = book.At(at);
    if (inside == nullptr || inside->other_side != medium) return false;
    drives[index]->activity = "turning over " + medium;
  }
  RETURN_IF_ERROR(CloseDrive(index));
  const Status turned = MoveTracked(at, at, {}, medium.back() == 'B');
  MutexLock lock(&mu);
  if (turned.ok()) {
    for (const MediumId& id : SidesLocked(medium)) in_transit.erase(id);
    return true;
  }
  // Some robots cannot put down what they took where it was.
  spdlog::info("{}; it goes home first", turned.ToString());
  return false;
}

Result<bool> Library::Impl::TryExchange(size_t index, const MediumId& medium) {
  const ElementAddress drive = drives[index]->address;
  if (!exchanges) return false;
  RETURN_IF_ERROR(CloseDrive(index));
  ElementAddress from;
  ElementAddress rest;
  MediumId out;
  {
    MutexLock lock(&mu);
    BeginTurnLocked();
    const MediumPlace* place = book.Find(medium);
    const MediumPlace* inside = book.At(drive);
    std::optional<ElementAddress> home;
    if (inside != nullptr) home = book.FreeHome(*inside);
    // Two moves turn over, put into occupied homes and say what is wrong.
    if (place == nullptr || !home || place->two_sided() ||
        inside->two_sided() || !book.IsSlot(place->element)) {
      EndTurnLocked();
      return false;
    }
    from = place->element;
    rest = *home;
    out = inside->id;
  }
  Status status = changer->ExchangeMedium(from, drive, rest);
  const bool refused = status.Is(Errc::kNotSupported);
  if (refused) {
    exchanges = false;
    spdlog::info("{}; media are moved one by one", status.ToString());
  } else if (status.ok()) {
    MutexLock lock(&mu);
    book.ApplyMove(drive, rest);
    book.ApplyMove(from, drive);
    ChangedLocked();
  } else {
    status = AfterMoveInTurn(status, "the exchange");
  }
  MutexLock lock(&mu);
  EndTurnLocked();
  if (refused) return false;
  if (!status.ok()) return status.error();
  in_transit.erase(out);
  ChangedLocked();
  return true;
}

Status Library::Impl::ReadStatusInTurn() {
  uint64_t look = 0;
  {
    MutexLock lock(&mu);
    look = ++looks;
  }
  ASSIGN_OR_RETURN(std::vector<ElementStatus> statuses,
                   changer->ReadElementStatus());
  MutexLock lock(&mu);
  RebuildLocked(std::move(statuses), look);
  return Status::Ok();
}

void Library::Impl::BeginTurnLocked() {
  if (identity.manual) {
    ++moves;
    return;
  }
  while (turn_taken) state_cv.Wait(&mu);
  turn_taken = true;
}

void Library::Impl::EndTurnLocked() {
  if (identity.manual) --moves;
  turn_taken = false;
  ChangedLocked();
}

}  // namespace vellum
