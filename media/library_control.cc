// SPDX-License-Identifier: Apache-2.0
// The queue of Library, and what takes drives and the library on- and offline.
#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "media/library_impl.h"

namespace vellum {

namespace {

using std::chrono::duration_cast;
using std::chrono::milliseconds;
using std::chrono::nanoseconds;

}  // namespace

void Library::Impl::NoteTurnLocked(const DriveSlot& slot,
                                   PlanClock::time_point arrival) {
  if (slot.open == nullptr) return;
  const nanoseconds turn = PlanClock::now() - std::max(slot.ready_at, arrival);
  turn_time = turn_time.count() == 0 ? turn : (3 * turn_time + turn) / 4;
}

std::vector<QueuedRequest> Library::Queue() const {
  const Impl& impl = *impl_;
  MutexLock lock(&impl.mu);
  const PlanClock::time_point now = PlanClock::now();
  const bool known = impl.load_time.count() > 0;
  // Drives whose load takes longer than loads do: nobody knows for how long.
  size_t overdue = 0;
  std::vector<QueuedRequest> queue;
  for (const auto& [id, start] : impl.starting) {
    if (!start.grant) continue;
    QueuedRequest request = start.told;
    request.waited = duration_cast<milliseconds>(now - start.arrival);
    const nanoseconds left = impl.load_time - (now - start.since);
    if (known && left.count() > 0) {
      request.estimate = duration_cast<milliseconds>(left);
    } else if (known) {
      overdue += request.media.size();
    }
    queue.push_back(std::move(request));
  }
  std::vector<const Impl::Waiting*> order;
  for (const Impl::Waiting& request : impl.waiting) order.push_back(&request);
  // As the planner does it.
  std::stable_partition(order.begin(), order.end(), [now](const auto* request) {
    return request->priority == LeasePriority::kForeground ||
           request->arrival + kAgeing <= now;
  });
  const size_t drives = impl.OnlineLocked();
  const size_t online = drives - std::min(drives, overdue);
  for (size_t i = 0; i < order.size(); ++i) {
    QueuedRequest request;
    request.id = order[i]->id;
    request.priority = order[i]->priority;
    request.owner = order[i]->leases.front().owner;
    for (const LeaseRequest& lease : order[i]->leases) {
      request.media.push_back(lease.medium);
    }
    request.position = i + 1;
    request.waited = duration_cast<milliseconds>(now - order[i]->arrival);
    if (known && online > 0) {
      const auto rounds = static_cast<int64_t>((i + online) / online);
      request.estimate = duration_cast<milliseconds>(
          rounds * (impl.load_time + impl.turn_time));
    }
    queue.push_back(std::move(request));
  }
  return queue;
}

nanoseconds Library::LoadTime() const {
  MutexLock lock(&impl_->mu);
  return impl_->load_time;
}

void Library::SetOnline(bool online) {
  MutexLock lock(&impl_->mu);
  impl_->offline = !online;
  impl_->ChangedLocked();
}

bool Library::online() const {
  MutexLock lock(&impl_->mu);
  return !impl_->offline;
}

Status Library::Impl::AskDriveLocked(size_t index,
                                     const std::stop_token& given) {
  DriveSlot& slot = *drives[index];
  const auto given_up = [&slot] {
    return Status(Errc::kInterrupted,
                  fmt::format("drive {} is asked whether it is there",
                              slot.address.value));
  };
  // It may just be asked, or be put aside.
  while (!slot.online && slot.working) {
    if (given.stop_requested()) return given_up();
    state_cv.Wait(&mu);
  }
  if (slot.online || shutting_down) return Status::Ok();
  if (LeasedLocked(index)) {  // it was never emptied
    slot.online = true;
    slot.problem.clear();
    ChangedLocked();
    return Status::Ok();
  }
  const auto result = std::make_shared<TaskResult>();
  Task task;
  task.kind = Task::Kind::kRecover;
  task.result = result;
  GiveTaskLocked(index, std::move(task));
  while (!result->done) {
    if (given.stop_requested()) return given_up();
    state_cv.Wait(&mu);
  }
  return result->status;
}

Status Library::SetDriveOnline(ElementAddress drive, bool online,
                               std::stop_token stop) {
  Impl& impl = *impl_;
  const std::optional<size_t> index = impl.DriveAt(drive);
  if (!index) {
    return Status(Errc::kNotFound,
                  "the library has no drive " + ToString(drive));
  }
  const std::stop_callback wake(stop, [&impl] {
    MutexLock lock(&impl.mu);
    impl.state_cv.NotifyAll();
  });
  Impl::DriveSlot& slot = *impl.drives[*index];
  MutexLock lock(&impl.mu);
  slot.disabled = !online;
  if (online) return impl.AskDriveLocked(*index, stop);
  slot.online = false;
  slot.problem = "taken offline by command";
  impl.ChangedLocked();
  const MediumId medium = impl.MediumInLocked(slot);
  // Who wants it waits until it is home, and gets another drive.
  const bool ours = !medium.empty() && impl.in_transit.insert(medium).second;
  const auto let_go = [&]() REQUIRES(impl.mu) {
    if (ours) impl.in_transit.erase(medium);
    impl.ChangedLocked();
  };
  while (impl.LeasedLocked(*index) || slot.working) {
    if (stop.stop_requested() || slot.online || impl.shutting_down) {
      let_go();
      return Status(Errc::kInterrupted,
                    fmt::format("drive {}: {} is in use there still",
                                drive.value, medium));
    }
    impl.RecallLocked(*index);
    impl.scheduler_cv.NotifyAll();
    impl.state_cv.Wait(&impl.mu);
  }
  if (slot.open == nullptr && impl.book.At(drive) == nullptr) {
    let_go();
    return Status::Ok();
  }
  const auto result = std::make_shared<Impl::TaskResult>();
  Impl::Task task;
  task.kind = Impl::Task::Kind::kUnload;
  task.stay = impl.identity.manual;
  task.result = result;
  impl.GiveTaskLocked(*index, std::move(task));
  while (!result->done) impl.state_cv.Wait(&impl.mu);
  let_go();
  return result->status;
}

}  // namespace vellum
