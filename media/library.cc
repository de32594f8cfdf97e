// SPDX-License-Identifier: Apache-2.0
#include "media/library.h"

#include <fmt/format.h>

#include <algorithm>
#include <set>
#include <utility>

#include "media/library_impl.h"
#include "media/mutex.h"

namespace vellum {

namespace {

using Leases = std::vector<MediumLease>;

// Checks that need no state.
Status CheckRequests(const std::vector<LeaseRequest>& requests) {
  if (requests.empty()) {
    return Status(Errc::kInvalidArgument, "a request for no medium");
  }
  std::set<MediumId> seen;
  for (const LeaseRequest& request : requests) {
    if (!seen.insert(request.medium).second) {
      return Status(Errc::kInvalidArgument,
                    "medium " + request.medium + " is asked for twice");
    }
  }
  return Status::Ok();
}

}  // namespace

// ---- MediumLease

MediumLease::MediumLease(MediumLease&& other) noexcept
    : library_(std::exchange(other.library_, nullptr)),
      medium_(std::exchange(other.medium_, nullptr)),
      id_(std::move(other.id_)),
      drive_(other.drive_),
      token_(other.token_) {}

MediumLease& MediumLease::operator=(MediumLease&& other) noexcept {
  if (this != &other) {
    Release();
    library_ = std::exchange(other.library_, nullptr);
    medium_ = std::exchange(other.medium_, nullptr);
    id_ = std::move(other.id_);
    drive_ = other.drive_;
    token_ = other.token_;
  }
  return *this;
}

MediumLease::~MediumLease() { Release(); }

void MediumLease::Release() {
  Library* library = std::exchange(library_, nullptr);
  medium_ = nullptr;
  if (library != nullptr) library->Drop(token_);
}

// ---- Library::Impl, the parts that all its files use

Library::Impl::~Impl() {
  {
    MutexLock lock(&mu);
    stop = true;
    scheduler_cv.NotifyAll();
    task_cv.NotifyAll();
    watch_cv.NotifyAll();
  }
  // Joined here, while everything that they use still lives.
  if (watch.joinable()) watch.join();
  if (scheduler.joinable()) scheduler.join();
  for (auto& slot : drives) {
    if (slot->thread.joinable()) slot->thread.join();
  }
}

void Library::Impl::ChangedLocked() {
  dirty = true;
  scheduler_cv.NotifyAll();
  state_cv.NotifyAll();
}

bool Library::Impl::LeasedLocked(size_t drive) const {
  for (const auto& [token, lease] : leases) {
    if (lease.drive == drive) return true;
  }
  return false;
}

bool Library::Impl::EndingLocked(size_t drive) const {
  for (const auto& [id, start] : starting) {
    if (start.grant) continue;
    for (const uint64_t token : start.tokens) {
      if (leases.at(token).drive == drive) return true;
    }
  }
  return false;
}

bool Library::Impl::IsReadyLocked(const DriveSlot& slot) const {
  if (slot.open == nullptr) return false;
  if (slot.lost) return false;
  const MediumPlace* inside = book.At(slot.address);
  return inside != nullptr && inside->id == slot.open_id;
}

std::vector<MediumId> Library::Impl::SidesLocked(const MediumId& id) const {
  const MediumPlace* place = book.Find(id);
  if (place == nullptr || !place->two_sided()) return {id};
  return {id, place->other_side};
}

MediumId Library::Impl::MediumInLocked(const DriveSlot& slot) const {
  if (!slot.loading.empty()) return slot.loading;
  const MediumPlace* inside = book.At(slot.address);
  return inside == nullptr ? MediumId() : inside->id;
}

std::optional<size_t> Library::Impl::DriveAt(ElementAddress address) const {
  for (size_t i = 0; i < drives.size(); ++i) {
    if (drives[i]->address == address) return i;
  }
  return std::nullopt;
}

size_t Library::Impl::OnlineLocked() const {
  size_t online = 0;
  for (const auto& slot : drives) online += slot->online ? 1 : 0;
  return online;
}

void Library::Impl::StopMovesLocked(std::optional<RequestId> start,
                                    std::vector<std::stop_source>* stops) {
  if (!identity.manual) return;
  for (const auto& slot : drives) {
    if (slot->working && (!start || slot->start == start)) {
      stops->push_back(slot->stop);
    }
  }
}

void Library::Impl::DropLease(uint64_t token) {
  Lease dropped;  // destroyed without the lock: it may hold the last reference
                  // to something that calls us
  MutexLock lock(&mu);
  const auto it = leases.find(token);
  if (it == leases.end()) return;
  dropped = std::move(it->second);
  leases.erase(it);
  drives[dropped.drive]->last_used = ++use_clock;
  ChangedLocked();
}

// ---- Library

Library::Library(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {
  impl_->owner = this;
}

Result<std::unique_ptr<Library>> Library::Open(
    std::unique_ptr<Changer> changer,
    std::vector<std::unique_ptr<Drive>> drives, const LibraryOptions& options) {
  std::unique_ptr<Library> library(
      new Library(std::make_unique<Impl>(std::move(changer), options)));
  RETURN_IF_ERROR(library->impl_->Start(std::move(drives)));
  return library;
}

Library::~Library() { Shutdown(); }

void Library::Drop(uint64_t token) { impl_->DropLease(token); }

Library::RequestId Library::Acquire(std::vector<LeaseRequest> requests,
                                    Grant grant) {
  Impl& impl = *impl_;
  const Status valid = CheckRequests(requests);
  Impl::Waiting request;
  request.priority = LeasePriority::kCopy;
  for (const LeaseRequest& lease : requests) {
    if (lease.priority == LeasePriority::kForeground) {
      request.priority = LeasePriority::kForeground;
    }
  }
  request.leases = std::move(requests);
  request.arrival = PlanClock::now();
  request.grant = std::move(grant);

  MutexLock lock(&impl.mu);
  const RequestId id = impl.next_id++;
  request.id = id;
  std::optional<Error> error;
  if (!valid.ok()) {
    error = valid.error();
  } else if (impl.shutting_down) {
    error = Error{Errc::kAborted, "the library is shutting down"};
  } else {
    error = impl.HopelessLocked(request.leases);
  }
  impl.waiting.push_back(std::move(request));
  if (error) impl.AnswerWaitingLocked(id, std::move(*error));
  impl.ChangedLocked();
  return id;
}

void Library::Cancel(RequestId id) {
  Impl& impl = *impl_;
  Error error{Errc::kInterrupted, "the request for a medium was cancelled"};
  std::vector<std::stop_source> moves;
  MutexLock lock(&impl.mu);
  const auto it = impl.starting.find(id);
  if (it == impl.starting.end()) {
    impl.AnswerWaitingLocked(id, std::move(error));
  } else if (it->second.grant) {
    // The loads run to their end, but for those that wait for a person; then
    // the drives are idle.
    impl.calls.push_back([grant = std::move(it->second.grant),
                          error = std::move(error)] { grant(error); });
    it->second.grant = nullptr;
    impl.StopMovesLocked(id, &moves);
  }
  impl.ChangedLocked();
  lock.Unlock();
  for (std::stop_source& move : moves) move.request_stop();
}

Result<std::vector<MediumLease>> Library::AcquireAndWait(
    std::vector<LeaseRequest> requests, std::stop_token stop) {
  struct Outcome {
    Mutex mu;  // a leaf
    CondVar cv;
    std::optional<Result<Leases>> result GUARDED_BY(mu);
  };
  const auto outcome = std::make_shared<Outcome>();
  const RequestId id =
      Acquire(std::move(requests), [outcome](Result<Leases> result) {
        MutexLock lock(&outcome->mu);
        outcome->result.emplace(std::move(result));
        outcome->cv.NotifyAll();
      });
  const std::stop_callback cancel(stop, [this, id] { Cancel(id); });
  MutexLock lock(&outcome->mu);
  while (!outcome->result) outcome->cv.Wait(&outcome->mu);
  return std::move(*outcome->result);
}

Status Library::Move(ElementAddress from, ElementAddress to,
                     std::stop_token stop) {
  Impl& impl = *impl_;
  const std::optional<size_t> from_drive = impl.DriveAt(from);
  const std::optional<size_t> to_drive = impl.DriveAt(to);
  MediumId medium;
  std::shared_ptr<Impl::TaskResult> unload;
  MutexLock lock(&impl.mu);
  const MediumPlace* place = impl.book.At(from);
  if (place != nullptr) medium = place->id;
  const std::string what =
      fmt::format("move {} from {} to {}", medium.empty() ? "a medium" : medium,
                  from.value, to.value);
  if (impl.shutting_down) {
    return Status(Errc::kAborted, what + ": the library is shutting down");
  }
  if (impl.offline) {
    return Status(Errc::kOffline, what + ": the library is offline");
  }
  for (const ElementAddress address : {from, to}) {
    if (impl.book.Element(address) == nullptr) {
      return Status(Errc::kNotFound,
                    fmt::format("{}: the library has no element {}", what,
                                address.value));
    }
  }
  if (from == to && place != nullptr) {
    return Status(Errc::kExists, what + ": it is there already");
  }
  for (const auto& drive : {from_drive, to_drive}) {
    if (!drive) continue;
    const Impl::DriveSlot& slot = *impl.drives[*drive];
    if (slot.disabled && drive == to_drive) {
      return Status(Errc::kOffline, fmt::format("{}: drive {} is offline", what,
                                                slot.address.value));
    }
    if (slot.working || impl.LeasedLocked(*drive)) {
      return Status(Errc::kBusy, fmt::format("{}: drive {} is in use", what,
                                             slot.address.value));
    }
  }
  if (place != nullptr) {
    bool wanted = impl.in_transit.count(medium) != 0;
    for (const auto& slot : impl.drives) {
      wanted = wanted || slot->loading == medium ||
               (place->two_sided() && slot->loading == place->other_side);
    }
    if (wanted) {
      return Status(Errc::kBusy, what + ": the medium is being moved");
    }
  }
  const MediumPlace* expected = impl.book.Expected(to);
  if (expected != nullptr && expected->id != medium &&
      (medium.empty() || expected->other_side != medium)) {
    return Status(
        Errc::kBusy,
        fmt::format("{}: element {} is the home of {}, which is in "
                    "element {}",
                    what, to.value, expected->id, expected->element.value));
  }

  if (impl.identity.manual && to_drive && impl.book.At(to) != nullptr) {
    return Status(Errc::kExists, fmt::format("{}: {} is in dock {}", what,
                                             impl.book.At(to)->id, to.value));
  }

  // From here on nobody else touches the medium or the two drives.
  std::stop_source given_up;
  const std::vector<MediumId> sides = impl.SidesLocked(medium);
  if (!medium.empty()) impl.in_transit.insert(sides.begin(), sides.end());
  if (to_drive) {
    impl.drives[*to_drive]->working = true;
    impl.drives[*to_drive]->activity = "moving " + medium;
    impl.drives[*to_drive]->stop = given_up;
  }
  if (from_drive) {
    unload = std::make_shared<Impl::TaskResult>();
    Impl::Task task;
    task.kind = Impl::Task::Kind::kUnload;
    task.target = to;
    task.result = unload;
    task.stop = given_up;
    impl.GiveTaskLocked(*from_drive, std::move(task));
  }
  lock.Unlock();
  Status status;
  {
    const std::stop_callback give_up(
        stop, [given_up]() mutable { given_up.request_stop(); });
    if (from_drive) {
      MutexLock waiting(&impl.mu);
      while (!unload->done) impl.state_cv.Wait(&impl.mu);
      status = unload->status;
    } else {
      status = impl.MoveTracked(from, to, given_up.get_token());
    }
  }
  lock.Lock();
  for (const MediumId& id : sides) impl.in_transit.erase(id);
  if (to_drive) {
    impl.drives[*to_drive]->working = false;
    impl.drives[*to_drive]->activity.clear();
  }
  impl.ChangedLocked();
  return status;
}

Status Library::SendHome(const MediumId& medium) {
  Impl& impl = *impl_;
  if (impl.identity.manual) return Status::Ok();
  MutexLock lock(&impl.mu);
  for (;;) {
    const MediumPlace* place = impl.book.Find(medium);
    if (place == nullptr) {
      return Status(Errc::kNoMedium,
                    "medium " + medium + " is not in the library");
    }
    const bool on_its_way = std::any_of(
        impl.drives.begin(), impl.drives.end(), [&](const auto& slot) {
          return slot->loading == medium ||
                 (place->two_sided() && slot->loading == place->other_side);
        });
    // A load whose request was cancelled runs to its end all the same.
    if (on_its_way) {
      impl.state_cv.Wait(&impl.mu);
      continue;
    }
    if (impl.book.IsSlot(place->element)) return Status::Ok();
    const ElementAddress element = place->element;
    const std::optional<size_t> index = impl.DriveAt(element);
    if (!index) {
      lock.Unlock();
      return impl.MoveHome(element);
    }
    if (impl.EndingLocked(*index)) {
      impl.state_cv.Wait(&impl.mu);
      continue;
    }
    if (impl.LeasedLocked(*index)) {
      return Status(Errc::kBusy, fmt::format("medium {} is in use in drive {}",
                                             medium, element.value));
    }
    if (impl.drives[*index]->working) {
      impl.state_cv.Wait(&impl.mu);
      continue;
    }
    const auto result = std::make_shared<Impl::TaskResult>();
    Impl::Task task;
    task.kind = Impl::Task::Kind::kUnload;
    task.result = result;
    impl.GiveTaskLocked(*index, std::move(task));
    while (!result->done) impl.state_cv.Wait(&impl.mu);
    return result->status;
  }
}

ChangerIdentity Library::Identity() const { return impl_->identity; }

ElementMap Library::Elements() const {
  MutexLock lock(&impl_->mu);
  return impl_->book.map();
}

std::vector<ElementStatus> Library::ElementStatuses() const {
  MutexLock lock(&impl_->mu);
  return impl_->book.statuses();
}

std::vector<MediumPlace> Library::Media() const {
  MutexLock lock(&impl_->mu);
  return impl_->book.Media();
}

std::vector<DriveState> Library::Drives() const {
  const Impl& impl = *impl_;
  MutexLock lock(&impl.mu);
  std::vector<DriveState> states;
  for (size_t i = 0; i < impl.drives.size(); ++i) {
    const Impl::DriveSlot& slot = *impl.drives[i];
    DriveState state;
    state.address = slot.address;
    state.identity = slot.identity;
    state.online = slot.online;
    state.problem = slot.problem;
    state.medium = impl.MediumInLocked(slot);
    state.loads = slot.loads;
    bool exclusive = false;
    for (const auto& [token, lease] : impl.leases) {
      if (lease.drive != i) continue;
      state.owners.push_back(lease.owner);
      exclusive = exclusive || lease.mode == LeaseMode::kExclusive;
    }
    if (slot.working) {
      state.activity = slot.activity;
    } else if (!slot.online) {
      state.activity = "offline";
    } else if (!state.owners.empty()) {
      state.activity = exclusive ? "exclusive" : "shared";
    } else {
      state.activity = state.medium.empty() ? "empty" : "idle";
    }
    states.push_back(std::move(state));
  }
  return states;
}

Result<MediumPlace> Library::MediumAt(ElementAddress element) const {
  MutexLock lock(&impl_->mu);
  if (impl_->book.Element(element) == nullptr) {
    return Error{Errc::kNotFound,
                 "the library has no element " + ToString(element)};
  }
  const MediumPlace* place = impl_->book.At(element);
  if (place == nullptr) {
    return Error{Errc::kNotFound, "element " + ToString(element) + " is empty"};
  }
  return *place;
}

Result<MediumPlace> Library::FindMedium(const MediumId& id) const {
  MutexLock lock(&impl_->mu);
  const MediumPlace* place = impl_->book.Find(id);
  if (place == nullptr) {
    return Error{Errc::kNotFound, "medium " + id + " is not in the library"};
  }
  return *place;
}

size_t Library::OnlineDrives() const {
  MutexLock lock(&impl_->mu);
  return impl_->OnlineLocked();
}

size_t Library::WaitingRequests() const {
  MutexLock lock(&impl_->mu);
  return impl_->waiting.size() + impl_->starting.size();
}

Status Library::RefreshElements(std::stop_token stop) {
  Impl& impl = *impl_;
  const std::stop_callback wake(stop, [&impl] {
    MutexLock lock(&impl.mu);
    impl.state_cv.NotifyAll();
  });
  {
    MutexLock lock(&impl.mu);
    while (impl.turn_taken && !impl.identity.manual) {
      if (stop.stop_requested()) {
        return Status(Errc::kInterrupted,
                      "reading the element status: the wait was given up");
      }
      impl.state_cv.Wait(&impl.mu);
    }
    impl.BeginTurnLocked();
  }
  const Status status = impl.ReadStatusInTurn();
  MutexLock lock(&impl.mu);
  impl.EndTurnLocked();
  return status;
}

Status Library::Rescan(std::stop_token stop) {
  RETURN_IF_ERROR(RefreshElements(stop));
  Impl& impl = *impl_;
  const std::stop_callback wake(stop, [&impl] {
    MutexLock lock(&impl.mu);
    impl.state_cv.NotifyAll();
  });
  const Status given_up(Errc::kInterrupted,
                        "asking the drives: the wait was given up");
  std::vector<std::shared_ptr<Impl::TaskResult>> asked;
  MutexLock lock(&impl.mu);
  if (impl.shutting_down) return Status::Ok();
  for (size_t i = 0; i < impl.drives.size(); ++i) {
    const Impl::DriveSlot& slot = *impl.drives[i];
    if (slot.disabled) continue;
    // It may just be asked by itself, and that may have begun too early.
    while (!slot.online && slot.working) {
      if (stop.stop_requested()) return given_up;
      impl.state_cv.Wait(&impl.mu);
    }
    if (slot.online || impl.LeasedLocked(i)) continue;
    Impl::Task task;
    task.kind = Impl::Task::Kind::kRecover;
    task.result = std::make_shared<Impl::TaskResult>();
    asked.push_back(task.result);
    impl.GiveTaskLocked(i, std::move(task));
  }
  // One that is not back is shown offline, with the reason.
  for (const auto& result : asked) {
    while (!result->done) {
      if (stop.stop_requested()) return given_up;
      impl.state_cv.Wait(&impl.mu);
    }
  }
  return Status::Ok();
}

void Library::Shutdown() {
  Impl& impl = *impl_;
  // For moves that callers of Move wait for, too: who ends does not wait for a
  // person.
  std::vector<std::stop_source> moves;
  {
    MutexLock lock(&impl.mu);
    impl.shutting_down = true;
    impl.StopMovesLocked(std::nullopt, &moves);
    impl.ChangedLocked();
  }
  for (std::stop_source& move : moves) move.request_stop();
  MutexLock lock(&impl.mu);
  while (impl.scheduler.joinable() && !impl.DrainedLocked()) {
    impl.state_cv.Wait(&impl.mu);
  }
}

}  // namespace vellum
