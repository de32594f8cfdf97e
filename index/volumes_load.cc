// SPDX-License-Identifier: Apache-2.0
// How operations get at a volume: parking, leases, loads, closes, checkpoints.
#include <fmt/format.h>
#include <spdlog/spdlog.h>

#include <algorithm>
#include <utility>

#include "index/volumes_impl.h"

namespace vellum {
namespace {

using std::chrono::milliseconds;

using Urgency = WorkerPool::Urgency;

void FailAll(std::list<ParkedOperation> operations, const Error& error) {
  for (ParkedOperation& operation : operations) operation.run(error);
}

}  // namespace

// --- Operations

Volumes::Ticket Volumes::Impl::Submit(const Volume& volume,
                                      ParkedOperation operation) {
  MutexLock lock(&mu_);
  const SlotPtr slot = SlotOfLocked(volume.index());
  if (slot == nullptr || shutdown_) {
    const bool closing = shutdown_;
    lock.Unlock();
    operation.run(
        closing ? Error{Errc::kAborted,
                        fmt::format("volume {}: shutting down", volume.id())}
                : Error{Errc::kNotFound,
                        fmt::format("volume {} was removed", volume.id())});
    return 0;
  }
  if (RunnableLocked(*slot)) {
    VolumeUse use = BeginUseLocked(*slot, operation);
    lock.Unlock();
    operation.run(std::move(use));
    return 0;
  }
  const Ticket ticket = next_ticket_++;
  operation.ticket = ticket;
  slot->parked.push_back(std::move(operation));
  tickets_[ticket] = TicketPlace{slot, std::prev(slot->parked.end())};
  AdvanceLocked(slot);
  return ticket;
}

void Volumes::Impl::Cancel(Ticket ticket) {
  std::list<ParkedOperation> taken;
  std::optional<Library::RequestId> request;
  std::string id;
  {
    MutexLock lock(&mu_);
    const auto it = tickets_.find(ticket);
    if (it == tickets_.end()) return;
    const auto [slot, operation] = it->second;
    tickets_.erase(it);
    auto& from = operation->ready ? slot->ready : slot->parked;
    taken.splice(taken.end(), from, operation);
    id = slot->id;
    if (slot->parked.empty()) request = DropRequestLocked(*slot);
    AdvanceLocked(slot);
  }
  if (request) library->Cancel(*request);
  FailAll(std::move(taken),
          Error{Errc::kInterrupted,
                fmt::format("volume {}: the wait was given up", id)});
}

Result<VolumeUse> Volumes::Impl::SubmitAndWait(const Volume& volume, bool hold,
                                               std::string holder,
                                               std::stop_token stop) {
  struct Waiter {
    Mutex mu;  // a leaf
    CondVar done;
    std::optional<Result<VolumeUse>> result GUARDED_BY(mu);
  };
  const auto waiter = std::make_shared<Waiter>();
  ParkedOperation operation;
  operation.hold = hold;
  operation.holder = std::move(holder);
  operation.run = [waiter](Result<VolumeUse> result) {
    MutexLock lock(&waiter->mu);
    waiter->result.emplace(std::move(result));
    waiter->done.NotifyAll();
  };
  const Ticket ticket = Submit(volume, std::move(operation));
  // Whatever comes first, cancel or load, the operation is called once.
  const std::stop_callback cancel(stop, [this, ticket] { Cancel(ticket); });
  MutexLock lock(&waiter->mu);
  while (!waiter->result) waiter->done.Wait(&waiter->mu);
  return std::move(*waiter->result);
}

VolumeUse Volumes::Impl::BeginUseLocked(VolumeSlot& slot) {
  ++slot.uses;
  VolumeUse use;
  use.volumes_ = self;
  use.volume_ = slot.volume;
  return use;
}

VolumeUse Volumes::Impl::BeginUseLocked(VolumeSlot& slot,
                                        const ParkedOperation& operation) {
  VolumeUse use = BeginUseLocked(slot);
  if (operation.hold) {
    use.hold_ = next_hold_++;
    slot.holds[use.hold_] = operation.holder;
  }
  return use;
}

void Volumes::Impl::EndUse(VolumeIndex index, uint64_t hold) {
  MutexLock lock(&mu_);
  const SlotPtr slot = SlotOfLocked(index);
  // A volume in use is in the tables.
  VELLUM_CHECK(slot != nullptr && slot->uses > 0);
  --slot->uses;
  if (hold != 0) slot->holds.erase(hold);
  slot->used_at = Clock::now();
  if (slot->uses == 0 || hold != 0) AdvanceLocked(slot);
}

void Volumes::Impl::RunReady(const SlotPtr& slot) {
  MutexLock lock(&mu_);
  if (slot->ready.empty()) return;  // was cancelled
  ParkedOperation operation = std::move(slot->ready.front());
  slot->ready.pop_front();
  tickets_.erase(operation.ticket);
  VolumeUse use = BeginUseLocked(*slot, operation);
  lock.Unlock();
  operation.run(std::move(use));
}

std::list<ParkedOperation> Volumes::Impl::TakeParkedLocked(VolumeSlot& slot) {
  std::list<ParkedOperation> taken;
  taken.swap(slot.parked);
  for (const ParkedOperation& operation : taken) {
    tickets_.erase(operation.ticket);
  }
  return taken;
}

// --- The state of a slot

bool Volumes::Impl::RunnableLocked(const VolumeSlot& slot) const {
  if (slot.phase != SlotPhase::kLoaded || slot.blocked() || shutdown_) {
    return false;
  }
  // While it is held it stays loaded anyway.
  return !slot.recalled || !slot.holds.empty() ||
         Clock::now() < StaysUntilLocked(slot);
}

Volumes::Impl::Clock::time_point Volumes::Impl::StaysUntilLocked(
    const VolumeSlot& slot) const {
  const Clock::time_point fresh = slot.loaded_at + MinResidency();
  // Whoever reads one file after the other comes back at once: to bring the
  // medium again for each would cost everybody more.
  const Clock::time_point busy =
      slot.uses > 0 ? slot.turn_end
                    : std::min(slot.turn_end, slot.used_at + MinResidency());
  return std::max(fresh, busy);
}

void Volumes::Impl::AdvanceLocked(const SlotPtr& slot) {
  changed_.NotifyAll();
  if (slot->phase == SlotPhase::kUnloaded) {
    if (slot->parked.empty() || slot->blocked() || shutdown_) return;
    slot->phase = SlotPhase::kRequested;
    ++slot->attempt;
    slot->request.reset();
    slot->cancel_request = false;
    slot->recalled = false;
    slot->turn_end = {};
    pool_->Post(Urgency::kUrgent, [this, slot] { RequestLease(slot); });
    return;
  }
  if (slot->phase != SlotPhase::kLoaded) return;  // its worker calls again
  if (!slot->parked.empty() && RunnableLocked(*slot)) MakeReadyLocked(slot);
  if (!slot->idle()) return;
  if (!shutdown_ &&
      (slot->waiting_exclusions == 0 || !slot->close_error.ok())) {
    if (!slot->recalled) return;
    const Clock::time_point close = StaysUntilLocked(*slot);
    if (Clock::now() < close) {
      if (close < next_close_) {
        next_close_ = close;
        timer_wake_.NotifyOne();
      }
      return;
    }
  }
  slot->phase = SlotPhase::kClosing;
  pool_->Post(Urgency::kUrgent, [this, slot] { Close(slot); });
}

void Volumes::Impl::MakeReadyLocked(const SlotPtr& slot) {
  slot->parked.sort([](const ParkedOperation& a, const ParkedOperation& b) {
    return a.address < b.address;
  });
  for (ParkedOperation& operation : slot->parked) {
    operation.ready = true;
    pool_->Post(Urgency::kNormal, [this, slot] { RunReady(slot); });
  }
  slot->ready.splice(slot->ready.end(), slot->parked);
}

std::optional<Library::RequestId> Volumes::Impl::DropRequestLocked(
    VolumeSlot& slot) {
  if (slot.phase != SlotPhase::kRequested || slot.cancel_request) return {};
  slot.cancel_request = true;
  return slot.request;  // not known yet: RequestLease cancels
}

// --- Loading

void Volumes::Impl::RequestLease(const SlotPtr& slot) {
  uint64_t attempt = 0;
  std::shared_ptr<Volume> volume;
  LeaseRequest request;
  {
    MutexLock lock(&mu_);
    if (slot->cancel_request) {
      slot->phase = SlotPhase::kUnloaded;
      AdvanceLocked(slot);
      return;
    }
    attempt = slot->attempt;
    volume = slot->volume;
    request.medium = slot->medium;
    request.owner = fmt::format("volume {}", slot->id);
  }
  request.mode = LeaseMode::kShared;
  request.priority = LeasePriority::kForeground;
  // The library may keep these functions for a while after it called them: they
  // own nothing of ours.
  const VolumeIndex index = volume->index();
  request.on_recall = [door = gate, index, attempt] {
    MutexLock lock(&door->mu);
    if (door->impl != nullptr) door->impl->OnRecall(index, attempt);
  };
  const VolumeRecord record = volume->record();
  if (const MediumId back = MayBeBackOn(record); !back.empty()) {
    request.medium = back;
  } else if (!record.location.empty() ||
             !library->FindMedium(request.medium).ok()) {
    OnGrant(index, MissingMedium(record));
    return;
  }
  std::vector<LeaseRequest> requests;
  requests.push_back(std::move(request));
  const Library::RequestId id = library->Acquire(
      std::move(requests), [this, index](Result<std::vector<MediumLease>> r) {
        OnGrant(index, std::move(r));
      });
  {
    MutexLock lock(&mu_);
    // The grant may have come already, and even a later request.
    if (slot->attempt != attempt || slot->phase != SlotPhase::kRequested) {
      return;
    }
    slot->request = id;
    if (!slot->cancel_request) return;
  }
  library->Cancel(id);
}

Error Volumes::Impl::MissingMedium(const VolumeRecord& record) const {
  if (const MediumId former = DisplacedFrom(record.medium); !former.empty()) {
    return Error{
        Errc::kNoMedium,
        fmt::format("volume {} is not on medium {} any more, and no other "
                    "medium is known to hold it: `vellum inventory --all` "
                    "looks for it on all media",
                    record.id, former)};
  }
  return Error{
      Errc::kNoMedium,
      fmt::format(
          "volume {} is on medium {}, which {} (shelf location: {})", record.id,
          record.medium,
          record.location.empty() ? "is not in the library" : "was exported",
          record.location.empty() ? "not recorded" : record.location)};
}

void Volumes::Impl::OnGrant(VolumeIndex index,
                            Result<std::vector<MediumLease>> leases) {
  MutexLock lock(&mu_);
  const SlotPtr slot = SlotOfLocked(index);
  // Who waits for a grant is not removed.
  VELLUM_CHECK(slot != nullptr && slot->phase == SlotPhase::kRequested);
  if (leases.ok()) {
    VELLUM_CHECK(leases->size() == 1);
    slot->lease = std::move(leases->front());
    slot->phase = SlotPhase::kLoading;
    pool_->Post(Urgency::kUrgent, [this, slot] { Load(slot); });
    return;
  }
  if (slot->cancel_request && leases.error().code == Errc::kInterrupted) {
    slot->phase = SlotPhase::kUnloaded;
    AdvanceLocked(slot);
    return;
  }
  slot->phase = SlotPhase::kClosing;
  pool_->Post(Urgency::kUrgent,
              [this, slot, error = leases.error()] { FailLoad(slot, error); });
}

void Volumes::Impl::Load(const SlotPtr& slot) {
  bool wanted = false;
  std::shared_ptr<Volume> volume;
  {
    MutexLock lock(&mu_);
    wanted = !slot->parked.empty() && !slot->blocked() && !shutdown_;
    volume = slot->volume;
  }
  if (!wanted) {
    ReleaseLease(slot);
    MutexLock lock(&mu_);
    slot->phase = SlotPhase::kUnloaded;
    AdvanceLocked(slot);
    return;
  }
  const Result<bool> there = TakeBack(slot);
  Status status = there.status();
  if (status.ok() && *there) status = TakeIdentity(slot);
  if (status.ok()) {
    status = *there ? Attach(*volume, &slot->lease.medium())
                    : Status(MissingMedium(volume->record()));
  }
  if (!status.ok()) {
    const Error error = there.ok() && *there
                            ? CheckDisplaced(slot, status.error())
                            : status.error();
    ReleaseLease(slot);
    FailLoad(slot, error);
    return;
  }
  MutexLock lock(&mu_);
  slot->phase = SlotPhase::kLoaded;
  slot->loaded_at = slot->used_at = Clock::now();
  // What waited runs now, asked back or not: the load was made for it.
  MakeReadyLocked(slot);
  AdvanceLocked(slot);
}

Status Volumes::Impl::Attach(Volume& volume, Medium* medium) {
  const uint64_t before = volume.tree_version();
  Status status = volume.Attach(medium);
  TellIfReplaced(volume, before);
  return status;
}

Status Volumes::Impl::Detach(Volume& volume) {
  const uint64_t before = volume.tree_version();
  Status status = volume.Detach();
  TellIfReplaced(volume, before);
  return status;
}

void Volumes::Impl::TellIfReplaced(const Volume& volume,
                                   uint64_t version_before) {
  if (volume.tree_version() == version_before) return;
  {
    MutexLock lock(&mu_);
    ++change_count_;
  }
  if (options.on_tree_replaced) options.on_tree_replaced();
}

void Volumes::Impl::FailLoad(const SlotPtr& slot, const Error& error) {
  std::shared_ptr<Volume> volume;
  {
    MutexLock lock(&mu_);
    volume = slot->volume;
  }
  const VolumeRecord record = volume->record();
  Error said = error;
  if (error.message.find(record.id) == std::string::npos) {
    said.message = fmt::format("volume {}: {}", record.id, error.message);
  }
  // The medium may have gone between the look-up and the load.
  if (error.code == Errc::kNoMedium && DisplacedFrom(record.medium).empty() &&
      !library->FindMedium(record.medium).ok()) {
    said = MissingMedium(record);
  }
  std::list<ParkedOperation> failed;
  {
    MutexLock lock(&mu_);
    failed = TakeParkedLocked(*slot);
    slot->phase = SlotPhase::kUnloaded;
    AdvanceLocked(slot);
  }
  FailAll(std::move(failed), said);
}

void Volumes::Impl::ReleaseLease(const SlotPtr& slot) {
  MediumLease lease;
  {
    MutexLock lock(&mu_);
    lease = std::move(slot->lease);
  }
  lease.Release();
}

void Volumes::Impl::OnRecall(VolumeIndex index, uint64_t attempt) {
  const std::chrono::nanoseconds turn = std::min<std::chrono::nanoseconds>(
      4 * library->LoadTime(), milliseconds(options.max_turn_ms));
  MutexLock lock(&mu_);
  const SlotPtr slot = SlotOfLocked(index);
  // A late recall of a lease that was dropped meanwhile is no concern of the
  // next one.
  if (slot == nullptr || slot->attempt != attempt ||
      slot->phase == SlotPhase::kUnloaded)
    return;
  slot->recalled = true;
  slot->turn_end = Clock::now() + turn;
  AdvanceLocked(slot);
}

void Volumes::Impl::Close(const SlotPtr& slot) {
  std::shared_ptr<Volume> volume;
  {
    MutexLock lock(&mu_);
    volume = slot->volume;
  }
  if (volume->dirty() && volume->CheckWritable().ok()) {
    const Status saved = volume->Sync();
    if (saved.Is(Errc::kNoSpace) && volume->CheckWritable().ok()) {
      // It keeps its drive until there is room; at the end it cannot.
      MutexLock lock(&mu_);
      if (!shutdown_) {
        if (slot->close_error.ok()) {
          spdlog::error("volume {}: it stays loaded: {}", slot->id,
                        saved.ToString());
        }
        slot->close_error = saved;
        slot->loaded_at = Clock::now();
        slot->phase = SlotPhase::kLoaded;
        AdvanceLocked(slot);
        return;
      }
    }
  }
  const bool dirty = volume->dirty();
  const uint64_t version = volume->tree_version();
  const Status status = Detach(*volume);
  const bool lost = dirty && !status.ok() && volume->tree_version() != version;
  if (!status.ok()) {
    spdlog::error("volume {}: closing it failed{}: {}", volume->id(),
                  lost ? ", changes are lost" : "", status.ToString());
  }
  if (lost) {
    MutexLock lock(&mu_);
    lost_.push_back(
        {volume->index(),
         fmt::format("volume {}: changes since its last commit are lost: {}",
                     slot->id, status.error().message)});
  }
  ReleaseLease(slot);
  MutexLock lock(&mu_);
  slot->close_error = Status::Ok();
  slot->phase = SlotPhase::kUnloaded;
  AdvanceLocked(slot);
}

// --- The timer

void Volumes::Impl::TimerMain() {
  const milliseconds interval{options.checkpoint_interval_ms};
  const bool checkpoints = interval.count() > 0;
  Clock::time_point next_checkpoint =
      checkpoints ? Clock::now() + interval : Clock::time_point::max();
  MutexLock lock(&mu_);
  while (!timer_stop_) {
    const Clock::time_point wake = std::min(next_checkpoint, next_close_);
    const Clock::time_point now = Clock::now();
    if (now < wake) {
      if (wake == Clock::time_point::max()) {
        timer_wake_.Wait(&mu_);
      } else {
        timer_wake_.WaitFor(&mu_, wake - now);
      }
      continue;
    }
    if (now >= next_close_) {
      next_close_ = Clock::time_point::max();  // AdvanceLocked sets the next
      for (const auto& entry : by_index_) {
        if (entry.second->recalled) AdvanceLocked(entry.second);
      }
    }
    if (now >= next_checkpoint) {
      next_checkpoint = now + interval;
      for (const auto& entry : by_index_) {
        const SlotPtr& slot = entry.second;
        if (slot->phase != SlotPhase::kLoaded || slot->checkpointing) continue;
        slot->checkpointing = true;
        ++slot->uses;
        pool_->Post(Urgency::kNormal, [this, slot] { Checkpoint(slot); });
      }
    }
  }
}

void Volumes::Impl::Checkpoint(const SlotPtr& slot) {
  std::shared_ptr<Volume> volume;
  bool told = false;
  {
    MutexLock lock(&mu_);
    volume = slot->volume;
    told = slot->checkpoint_failed;
  }
  // A frozen volume has said so once; its next load starts anew.
  Status status;
  const bool writable = volume->CheckWritable().ok();
  if (writable && volume->dirty()) status = volume->Sync();
  // What finds no room is tried again each time, and told of once.
  if (!status.ok() && !told) {
    spdlog::error("volume {}: the timed commit failed: {}", volume->id(),
                  status.ToString());
  } else if (status.ok() && told && writable) {
    spdlog::info("volume {}: what waited is committed", volume->id());
  }
  MutexLock lock(&mu_);
  slot->checkpoint_failed = !status.ok();
  slot->checkpointing = false;
  --slot->uses;
  AdvanceLocked(slot);
}

}  // namespace vellum
