// SPDX-License-Identifier: Apache-2.0
#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "media/library_impl.h"

namespace vellum {

void Library::Impl::SchedulerLoop() {
  MutexLock lock(&mu);
  while (!stop) {
    if (dirty || (wake_at && PlanClock::now() >= *wake_at)) {
      dirty = false;
      ScheduleLocked();
    }
    if (!calls.empty()) {
      std::vector<std::function<void()>> now = std::move(calls);
      calls.clear();
      calling = true;
      lock.Unlock();
      for (auto& call : now) call();
      now.clear();  // what they hold may call back as it is destroyed
      lock.Lock();
      calling = false;
      ChangedLocked();
      continue;
    }
    if (dirty) continue;
    if (wake_at) {
      scheduler_cv.WaitFor(&mu, *wake_at - PlanClock::now());
    } else {
      scheduler_cv.Wait(&mu);
    }
  }
}

void Library::Impl::ScheduleLocked() {
  if (shutting_down) {
    // First, so that what ends because of it is told why.
    DrainLocked();
    FinishStartsLocked();
    return;
  }
  FinishStartsLocked();
  FailHopelessLocked();
  if (offline) {
    for (size_t i = 0; i < drives.size(); ++i) RecallLocked(i);
    return;
  }
  ApplyPlanLocked();
  RecoverDrivesLocked();
}

void Library::Impl::FinishStartsLocked() {
  for (auto it = starting.begin(); it != starting.end();) {
    Starting& start = it->second;
    if (start.pending > 0) {
      ++it;
      continue;
    }
    if (start.failure || !start.grant) {
      for (const uint64_t token : start.tokens) ForgetLeaseLocked(token);
      if (start.grant) {
        calls.push_back([grant = std::move(start.grant),
                         error = *start.failure] { grant(error); });
      }
    } else {
      GrantLocked(start.tokens, std::move(start.grant));
      for (const uint64_t token : start.tokens) {
        JoinLoadedLocked(leases.at(token).drive);
      }
    }
    it = starting.erase(it);
  }
}

// Everybody who waits for a medium that was just loaded shares it at once, also
// past requests that want the drive for another medium: so that a hundred
// readers of two volumes and one drive cost two loads and not a hundred. They
// cannot be many times in a row: later ones do not pass.
void Library::Impl::JoinLoadedLocked(size_t drive) {
  for (const auto& [token, lease] : leases) {
    if (lease.drive == drive && lease.mode == LeaseMode::kExclusive) return;
  }
  const DriveSlot& slot = *drives[drive];
  if (slot.lost) return;
  for (auto it = waiting.begin(); it != waiting.end();) {
    const bool joins = it->leases.size() == 1 &&
                       it->leases[0].medium == slot.open_id &&
                       it->leases[0].mode == LeaseMode::kShared;
    if (!joins) {
      ++it;
      continue;
    }
    Waiting request = std::move(*it);
    it = waiting.erase(it);
    GrantLocked({AddLeaseLocked(std::move(request.leases[0]), drive)},
                std::move(request.grant));
  }
}

void Library::Impl::ForgetLeaseLocked(uint64_t token) {
  // Destroyed with the other calls, unlocked: its recall function may hold the
  // last reference to something that calls us.
  calls.push_back([lease = std::move(leases.at(token))] {});
  leases.erase(token);
}

uint64_t Library::Impl::AddLeaseLocked(LeaseRequest request, size_t drive) {
  const uint64_t token = next_id++;
  Lease& lease = leases[token];
  lease.drive = drive;
  lease.medium = std::move(request.medium);
  lease.mode = request.mode;
  lease.owner = std::move(request.owner);
  lease.on_recall = std::move(request.on_recall);
  return token;
}

void Library::Impl::GrantLocked(const std::vector<uint64_t>& tokens,
                                Grant grant) {
  // std::function wants what it holds to be copyable.
  auto granted = std::make_shared<std::vector<MediumLease>>();
  for (const uint64_t token : tokens) {
    Lease& lease = leases.at(token);
    lease.granted = true;
    DriveSlot& slot = *drives[lease.drive];
    slot.last_used = ++use_clock;
    MediumLease handle;
    handle.library_ = owner;
    handle.medium_ = slot.open.get();
    handle.id_ = lease.medium;
    handle.drive_ = slot.address;
    handle.token_ = token;
    granted->push_back(std::move(handle));
  }
  calls.push_back(
      [granted, grant = std::move(grant)] { grant(std::move(*granted)); });
}

std::optional<Error> Library::Impl::HopelessLocked(
    const std::vector<LeaseRequest>& wanted) const {
  if (offline) {
    return Error{Errc::kOffline,
                 fmt::format("medium {}: the library is offline (`vellum "
                             "library online` ends that)",
                             wanted.front().medium)};
  }
  for (const LeaseRequest& lease : wanted) {
    const MediumPlace* place = book.Find(lease.medium);
    if (place == nullptr) {
      return Error{Errc::kNoMedium,
                   "medium " + lease.medium + " is not in the library"};
    }
    const std::optional<size_t> drive = DriveAt(place->element);
    // What is on its way out of a drive that was taken offline is waited for.
    if (drive && !drives[*drive]->online &&
        in_transit.count(lease.medium) == 0) {
      return Error{Errc::kOffline,
                   fmt::format("medium {} is in drive {}, which is offline: {}",
                               lease.medium, place->element.value,
                               drives[*drive]->problem)};
    }
    if (!place->two_sided()) continue;
    for (const LeaseRequest& other : wanted) {
      if (other.medium != place->other_side) continue;
      return Error{Errc::kInvalidArgument,
                   fmt::format("{} and {} are the two sides of one medium: no "
                               "two drives can have them at once",
                               lease.medium, other.medium)};
    }
  }
  const size_t online = OnlineLocked();
  if (online >= wanted.size()) return std::nullopt;
  const bool enough_drives = drives.size() >= wanted.size();
  std::string why;
  for (const auto& slot : drives) {
    if (slot->online) continue;
    why += fmt::format("; drive {} is offline: {}", slot->address.value,
                       slot->problem);
  }
  return Error{enough_drives ? Errc::kOffline : Errc::kBusy,
               fmt::format("{} drives are needed at once, of {} drives {} are "
                           "online{}",
                           wanted.size(), drives.size(), online, why)};
}

void Library::Impl::AnswerWaitingLocked(RequestId id, Error error) {
  const auto it =
      std::find_if(waiting.begin(), waiting.end(),
                   [id](const Waiting& request) { return request.id == id; });
  if (it == waiting.end()) return;
  calls.push_back([request = std::make_shared<Waiting>(std::move(*it)),
                   error = std::move(error)] { request->grant(error); });
  waiting.erase(it);
}

void Library::Impl::FailHopelessLocked() {
  std::vector<std::pair<RequestId, Error>> hopeless;
  for (const Waiting& request : waiting) {
    std::optional<Error> error = HopelessLocked(request.leases);
    if (error) hopeless.emplace_back(request.id, std::move(*error));
  }
  for (auto& [id, error] : hopeless) AnswerWaitingLocked(id, std::move(error));
}

std::vector<PlannedDrive> Library::Impl::PlannedDrivesLocked() const {
  std::vector<PlannedDrive> planned(drives.size());
  for (size_t i = 0; i < drives.size(); ++i) {
    const DriveSlot& slot = *drives[i];
    PlannedDrive& drive = planned[i];
    drive.online = slot.online;
    // What is lost is closed and looked for as soon as its leases are gone.
    drive.working = slot.working || slot.lost;
    drive.medium = MediumInLocked(slot);
    const MediumPlace* inside = book.Find(drive.medium);
    if (inside != nullptr) drive.other_side = inside->other_side;
    // In a manual library somebody has to look first whether it is there still.
    drive.loaded = IsReadyLocked(slot) &&
                   (!identity.manual || (LeasedLocked(i) && !slot.working));
    drive.last_used = slot.last_used;
    drive.failures = slot.failures;
  }
  for (const auto& [token, lease] : leases) {
    PlannedDrive& drive = planned[lease.drive];
    drive.leased = true;
    drive.exclusive = drive.exclusive || lease.mode == LeaseMode::kExclusive;
    drive.recalled = drive.recalled || lease.recalled;
    const bool recallable = lease.granted && lease.mode == LeaseMode::kShared &&
                            (lease.on_recall || lease.recalled);
    drive.recallable = drive.recallable && recallable;
  }
  return planned;
}

void Library::Impl::ApplyPlanLocked() {
  wake_at.reset();
  if (waiting.empty()) return;
  std::vector<PlannedRequest> planned;
  planned.reserve(waiting.size());
  for (const Waiting& request : waiting) {
    PlannedRequest p;
    p.priority = request.priority;
    p.arrival = request.arrival;
    for (const LeaseRequest& lease : request.leases) {
      const MediumPlace* place = book.Find(lease.medium);
      p.leases.push_back({lease.medium, lease.mode,
                          static_cast<bool>(lease.on_recall),
                          place == nullptr ? MediumId() : place->other_side});
    }
    planned.push_back(std::move(p));
  }
  const LeasePlan plan =
      PlanLeases(PlannedDrivesLocked(), planned, in_transit, PlanClock::now());
  wake_at = plan.next_ageing;
  // By id: starting one moves the others.
  std::vector<RequestId> ids;
  for (const Waiting& request : waiting) ids.push_back(request.id);
  for (const LeasePlan::Start& start : plan.starts) {
    const RequestId id = ids[start.request];
    const auto it =
        std::find_if(waiting.begin(), waiting.end(),
                     [id](const Waiting& request) { return request.id == id; });
    Waiting request = std::move(*it);
    waiting.erase(it);
    StartLocked(std::move(request), start.drives);
  }
  for (const size_t drive : plan.recalls) RecallLocked(drive);
}

void Library::Impl::StartLocked(Waiting request,
                                const std::vector<size_t>& chosen) {
  Starting start;
  start.grant = std::move(request.grant);
  start.told.id = request.id;
  start.told.priority = request.priority;
  start.told.owner = request.leases.front().owner;
  start.arrival = request.arrival;
  start.since = PlanClock::now();
  for (size_t i = 0; i < chosen.size(); ++i) {
    const DriveSlot& slot = *drives[chosen[i]];
    const MediumId medium = request.leases[i].medium;
    // An operator may have taken out what nobody used.
    const bool certain = !identity.manual || LeasedLocked(chosen[i]);
    start.tokens.push_back(
        AddLeaseLocked(std::move(request.leases[i]), chosen[i]));
    start.told.media.push_back(medium);
    if (IsReadyLocked(slot) && slot.open_id == medium && certain) continue;
    NoteTurnLocked(slot, request.arrival);
    Task task;
    task.kind = Task::Kind::kLoad;
    task.medium = medium;
    task.start = request.id;
    GiveTaskLocked(chosen[i], std::move(task));
    ++start.pending;
  }
  if (start.pending == 0) {
    GrantLocked(start.tokens, std::move(start.grant));
    // What was planned counts its leases as fixed; plan again with them.
    dirty = true;
    return;
  }
  starting[request.id] = std::move(start);
}

void Library::Impl::RecallLocked(size_t drive) {
  for (auto& [token, lease] : leases) {
    if (lease.drive != drive || !lease.granted || lease.recalled) continue;
    if (!lease.on_recall) continue;
    lease.recalled = true;
    calls.push_back(std::move(lease.on_recall));
    lease.on_recall = nullptr;
  }
}

void Library::Impl::DrainLocked() {
  wake_at.reset();
  const Error error{Errc::kAborted, "the library is shutting down"};
  while (!waiting.empty()) AnswerWaitingLocked(waiting.front().id, error);
  for (auto& [id, start] : starting) {
    if (!start.grant) continue;
    calls.push_back([grant = std::move(start.grant), error] { grant(error); });
    start.grant = nullptr;
  }
  for (size_t i = 0; i < drives.size(); ++i) {
    RecallLocked(i);
    DriveSlot& slot = *drives[i];
    if (slot.working || slot.sent_home || LeasedLocked(i)) continue;
    if (slot.open == nullptr && book.At(slot.address) == nullptr) continue;
    slot.sent_home = true;
    Task task;
    task.kind = Task::Kind::kUnload;
    task.stay = identity.manual;
    GiveTaskLocked(i, std::move(task));
  }
}

bool Library::Impl::DrainedLocked() const {
  if (!waiting.empty() || !starting.empty() || !leases.empty()) return false;
  if (!calls.empty() || calling || turn_taken || moves > 0 ||
      !in_transit.empty()) {
    return false;
  }
  for (const auto& slot : drives) {
    if (slot->working) return false;
    const bool full =
        slot->open != nullptr || book.At(slot->address) != nullptr;
    if (full && !slot->sent_home) return false;
  }
  return true;
}

}  // namespace vellum
