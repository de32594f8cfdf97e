// SPDX-License-Identifier: Apache-2.0
// Who may have a volume exclusively, and who keeps others from it.
#include <fmt/format.h>

#include <utility>

#include "index/volumes_impl.h"

namespace vellum {
namespace {

std::string JoinHolders(const VolumeSlot& slot) {
  std::string text;
  for (const auto* holders : {&slot.holds, &slot.reservations}) {
    for (const auto& entry : *holders) {
      if (!text.empty()) text += ", ";
      text += entry.second;
    }
  }
  return text;
}

Status HeldError(const VolumeSlot& slot) {
  return Status(Errc::kBusy, fmt::format("volume {} is held by {}", slot.id,
                                         JoinHolders(slot)));
}

Status ReservedError(const VolumeSlot& slot) {
  return Status(
      Errc::kBusy,
      fmt::format("volume {} is reserved by another command", slot.id));
}

}  // namespace

// --- Guards

Volumes::Exclusion::Exclusion(Exclusion&& other) noexcept
    : volumes_(std::exchange(other.volumes_, nullptr)), index_(other.index_) {}

Volumes::Exclusion& Volumes::Exclusion::operator=(Exclusion&& other) noexcept {
  if (this != &other) {
    Release();
    volumes_ = std::exchange(other.volumes_, nullptr);
    index_ = other.index_;
  }
  return *this;
}

Volumes::Exclusion::~Exclusion() { Release(); }

void Volumes::Exclusion::Release() {
  if (volumes_ == nullptr) return;
  std::exchange(volumes_, nullptr)->impl_->EndExclusion(index_);
}

Volumes::Reservation::Reservation(Reservation&& other) noexcept
    : volumes_(std::exchange(other.volumes_, nullptr)),
      index_(other.index_),
      number_(other.number_) {}

Volumes::Reservation& Volumes::Reservation::operator=(
    Reservation&& other) noexcept {
  if (this != &other) {
    Release();
    volumes_ = std::exchange(other.volumes_, nullptr);
    index_ = other.index_;
    number_ = other.number_;
  }
  return *this;
}

Volumes::Reservation::~Reservation() { Release(); }

void Volumes::Reservation::Release() {
  if (volumes_ == nullptr) return;
  std::exchange(volumes_, nullptr)->impl_->EndReservation(index_, number_);
}

Result<Volumes::Exclusion> Volumes::Exclude(
    const std::shared_ptr<Volume>& volume, std::stop_token stop) {
  RETURN_IF_ERROR(volume->CheckNothingToLose());
  return impl_->Exclude(*volume, std::move(stop));
}

Status Volumes::CheckExcludable(const Volume& volume) const {
  return impl_->CheckExcludable(volume);
}

Result<Volumes::Reservation> Volumes::Reserve(
    const std::shared_ptr<Volume>& volume, std::string holder,
    std::stop_token stop) {
  return impl_->Reserve(*volume, std::move(holder), stop);
}

// --- Exclusion

Result<Volumes::Exclusion> Volumes::Impl::Exclude(const Volume& volume,
                                                  std::stop_token stop) {
  // Outside the lock: the end of its life waits for the callback.
  const std::stop_callback wake(stop, [this] {
    MutexLock lock(&mu_);
    changed_.NotifyAll();
  });
  SlotPtr slot;
  std::optional<Library::RequestId> request;
  {
    MutexLock lock(&mu_);
    slot = SlotOfLocked(volume.index());
    if (slot == nullptr) {
      return Error{Errc::kNotFound,
                   fmt::format("volume {} was removed", volume.id())};
    }
    ++slot->waiting_exclusions;
    slot->close_error = Status::Ok();  // tried anew for us
    if (!slot->kept()) {
      request = DropRequestLocked(*slot);
      AdvanceLocked(slot);
    }
  }
  if (request) library->Cancel(*request);
  MutexLock lock(&mu_);
  const Status status = WaitUnloadedLocked(*slot, stop);
  --slot->waiting_exclusions;
  if (status.ok()) slot->excluded = true;
  AdvanceLocked(slot);
  if (!status.ok()) return status;
  return GuardOf(volume.index());
}

Volumes::Exclusion Volumes::Impl::GuardOf(VolumeIndex index) {
  Exclusion guard;
  guard.volumes_ = self;
  guard.index_ = index;
  return guard;
}

Status Volumes::Impl::CheckExcludable(const Volume& volume) const {
  MutexLock lock(&mu_);
  const SlotPtr slot = SlotOfLocked(volume.index());
  if (slot == nullptr) return Status::Ok();  // Exclude says that it is gone
  if (slot->kept()) return HeldError(*slot);
  return slot->excluded ? ReservedError(*slot) : Status::Ok();
}

Status Volumes::Impl::WaitUnloadedLocked(VolumeSlot& slot,
                                         const std::stop_token& stop) {
  constexpr Clock::time_point kNone = Clock::time_point::max();
  Clock::time_point deadline = kNone;
  for (;;) {
    if (shutdown_) {
      return Status(Errc::kAborted,
                    fmt::format("volume {}: shutting down", slot.id));
    }
    if (stop.stop_requested()) {
      return Status(Errc::kInterrupted,
                    fmt::format("volume {}: the wait was given up", slot.id));
    }
    if (slot.forgotten) {
      return Status(Errc::kNotFound,
                    fmt::format("volume {} was removed", slot.id));
    }
    if (slot.kept()) return HeldError(slot);
    if (!slot.close_error.ok()) return slot.close_error;
    if (slot.phase == SlotPhase::kUnloaded && !slot.excluded &&
        !slot.replacing) {
      return Status::Ok();
    }
    // Robots and devices end by themselves; uses and other exclusions get a
    // moment.
    if (slot.phase != SlotPhase::kLoaded && !slot.excluded) {
      deadline = kNone;
      changed_.Wait(&mu_);
      continue;
    }
    const Clock::time_point now = Clock::now();
    if (deadline == kNone)
      deadline = now + std::chrono::milliseconds(options.exclude_wait_ms);
    if (now >= deadline) {
      if (slot.excluded) return ReservedError(slot);
      return Status(Errc::kBusy,
                    fmt::format("volume {} is in use by {} operations", slot.id,
                                slot.uses + slot.ready.size()));
    }
    changed_.WaitFor(&mu_, deadline - now);
  }
}

void Volumes::Impl::EndExclusion(VolumeIndex index) {
  MutexLock lock(&mu_);
  const SlotPtr slot = SlotOfLocked(index);
  if (slot == nullptr) return;  // forgotten meanwhile
  slot->excluded = false;
  AdvanceLocked(slot);
}

// --- Reservation

Result<Volumes::Reservation> Volumes::Impl::Reserve(
    const Volume& volume, std::string holder, const std::stop_token& stop) {
  // Outside the lock: the end of its life waits for the callback.
  const std::stop_callback wake(stop, [this] {
    MutexLock lock(&mu_);
    changed_.NotifyAll();
  });
  MutexLock lock(&mu_);
  const SlotPtr slot = SlotOfLocked(volume.index());
  for (;;) {
    if (shutdown_) {
      return Error{Errc::kAborted,
                   fmt::format("volume {}: shutting down", volume.id())};
    }
    if (slot == nullptr || slot->forgotten) {
      return Error{Errc::kNotFound,
                   fmt::format("volume {} was removed", volume.id())};
    }
    if (stop.stop_requested()) {
      return Error{Errc::kInterrupted,
                   fmt::format("volume {}: the wait was given up", slot->id)};
    }
    if (!slot->blocked()) break;
    changed_.Wait(&mu_);
  }
  Reservation reservation;
  reservation.volumes_ = self;
  reservation.index_ = volume.index();
  reservation.number_ = next_reservation_++;
  slot->reservations[reservation.number_] = std::move(holder);
  return reservation;
}

void Volumes::Impl::EndReservation(VolumeIndex index, uint64_t number) {
  MutexLock lock(&mu_);
  const SlotPtr slot = SlotOfLocked(index);
  if (slot == nullptr) return;  // forgotten meanwhile
  slot->reservations.erase(number);
  AdvanceLocked(slot);
}

}  // namespace vellum
