// SPDX-License-Identifier: Apache-2.0
#include "media/manual/manual_state.h"

#include <fmt/format.h>
#include <spdlog/spdlog.h>

#include <utility>

namespace vellum {

namespace {

// A change of mind is no error.
Status KeepShelf() { return Status(Errc::kAborted, "nothing to change"); }

}  // namespace

ManualState::ManualState(const ManualConfig& config)
    : config_(config), map_(ManualElementMap(config)) {
  for (const std::string& path : config_.docks) {
    docks_.push_back(std::make_unique<Dock>(path));
  }
}

Result<std::shared_ptr<ManualState>> ManualState::Load(
    const ManualConfig& config) {
  std::shared_ptr<ManualState> state(new ManualState(config));
  RETURN_IF_ERROR(state->Reload());
  return state;
}

Shelf ManualState::shelf() const {
  MutexLock lock(&mu_);
  return shelf_;
}

Status ManualState::Reload() {
  ASSIGN_OR_RETURN(Shelf shelf, ReadShelf(config_.directory, map_));
  MutexLock lock(&mu_);
  shelf_ = std::move(shelf);
  return Status::Ok();
}

Status ManualState::Edit(const std::function<Status(Shelf*)>& edit) {
  Shelf next;
  {
    MutexLock lock(&mu_);
    while (saving_) saved_.Wait(&mu_);
    saving_ = true;
    next = shelf_;
  }
  Status status = edit(&next);
  if (status.ok()) {
    status = WriteShelf(config_.directory, next);
    if (!status.ok()) {
      // The rename may have happened before what failed: only the file knows.
      Result<Shelf> truth = ReadShelf(config_.directory, map_);
      if (truth.ok()) {
        MutexLock lock(&mu_);
        shelf_ = std::move(*truth);
      }
    }
  }
  MutexLock lock(&mu_);
  if (status.ok()) shelf_ = std::move(next);
  saving_ = false;
  saved_.NotifyAll();
  return status;
}

Result<DockFinding> ManualState::Settle(ElementAddress dock) {
  {
    MutexLock lock(&mu_);
    const auto used = in_use_.find(dock);
    if (used != in_use_.end()) {
      const std::string fingerprint = used->second;
      const auto held = shelf_.find(dock);
      DockFinding finding;
      finding.full = true;
      if (held != shelf_.end()) finding.tag = held->second.tag;
      lock.Unlock();
      if (DockAt(dock).Find().fingerprint != fingerprint) {
        finding.problem =
            fmt::format("{} was taken out of dock {} while it was in use",
                        finding.tag, dock.value);
      }
      return finding;
    }
  }
  const DockSight sight = DockAt(dock).Look();
  DockFinding finding;
  const Status settled = Edit([&](Shelf* shelf) {
    finding = Recognise(*shelf, dock, sight);
    MutexLock lock(&mu_);
    // A drive may have opened it since we looked; then it was settled.
    const auto held = shelf->find(dock);
    const VolumeTag thought = held == shelf->end() ? "" : held->second.tag;
    if (in_use_.count(dock) != 0) {
      finding.tag = thought;
      return KeepShelf();
    }
    if (!finding.tag.empty() && finding.tag != thought) {
      const ElementAddress elsewhere = *FindTag(*shelf, finding.tag);
      if (in_use_.count(elsewhere) != 0) {
        finding.problem = fmt::format(
            "dock {} holds a duplicate of {}, which is in use in "
            "dock {}",
            dock.value, finding.tag, elsewhere.value);
        finding.tag.clear();
      }
    }
    if (finding.tag == thought) return KeepShelf();
    SetDock(shelf, map_, dock, finding.tag);
    return Status::Ok();
  });
  if (!settled.ok() && !settled.Is(Errc::kAborted)) return settled;
  return finding;
}

Status ManualState::BeginUse(ElementAddress dock,
                             const std::string& fingerprint) {
  MutexLock lock(&mu_);
  if (in_use_.count(dock) != 0 || moving_.count(dock) != 0) {
    return Status(Errc::kBusy,
                  fmt::format("drive {}: already in use", dock.value));
  }
  in_use_[dock] = fingerprint;
  return Status::Ok();
}

void ManualState::EndUse(ElementAddress dock) {
  {
    MutexLock lock(&mu_);
    in_use_.erase(dock);
  }
  DockAt(dock).Forget();
}

bool ManualState::InUse(ElementAddress dock) const {
  MutexLock lock(&mu_);
  return in_use_.count(dock) != 0;
}

Status ManualState::BeginMove(ElementAddress from, ElementAddress to) {
  MutexLock lock(&mu_);
  for (const ElementAddress element : {from, to}) {
    if (in_use_.count(element) != 0) {
      return Status(Errc::kBusy, fmt::format("drive {} is in use and keeps its "
                                             "medium",
                                             element.value));
    }
    if (moving_.count(element) != 0) {
      return Status(Errc::kBusy,
                    fmt::format("the operator is asked already for element {}",
                                element.value));
    }
  }
  moving_.insert(from);
  moving_.insert(to);
  return Status::Ok();
}

void ManualState::EndMove(ElementAddress from, ElementAddress to) {
  MutexLock lock(&mu_);
  moving_.erase(from);
  moving_.erase(to);
}

Status ManualState::SetLabel(const VolumeTag& tag,
                             const std::string& medium_uuid) {
  const Status status = Edit([&](Shelf* shelf) {
    const std::optional<ElementAddress> element = FindTag(*shelf, tag);
    if (!element || shelf->at(*element).medium_uuid == medium_uuid) {
      return KeepShelf();
    }
    shelf->at(*element).medium_uuid = medium_uuid;
    return Status::Ok();
  });
  return status.Is(Errc::kAborted) ? Status::Ok() : status;
}

}  // namespace vellum
