// SPDX-License-Identifier: Apache-2.0
#include "index/volumes.h"

#include <fmt/format.h>
#include <spdlog/spdlog.h>

#include <algorithm>
#include <chrono>
#include <utility>

#include "index/volumes_impl.h"

namespace vellum {
namespace {

using std::chrono::seconds;

// Shutdown says for whom it waits.
constexpr seconds kShutdownReport{10};

}  // namespace

// --- Guards

VolumeUse::VolumeUse(VolumeUse&& other) noexcept
    : volumes_(std::exchange(other.volumes_, nullptr)),
      volume_(std::move(other.volume_)),
      hold_(std::exchange(other.hold_, 0)) {}

VolumeUse& VolumeUse::operator=(VolumeUse&& other) noexcept {
  if (this != &other) {
    Release();
    volumes_ = std::exchange(other.volumes_, nullptr);
    volume_ = std::move(other.volume_);
    hold_ = std::exchange(other.hold_, 0);
  }
  return *this;
}

VolumeUse::~VolumeUse() { Release(); }

void VolumeUse::Release() {
  if (volumes_ == nullptr) return;
  Volumes* const volumes = std::exchange(volumes_, nullptr);
  const VolumeIndex index = volume_->index();
  // Before the use ends: afterwards the catalog under it may be closed.
  volume_.reset();
  volumes->impl_->EndUse(index, std::exchange(hold_, 0));
}

// --- Volumes

Result<std::unique_ptr<Volumes>> Volumes::Open(Catalog* catalog,
                                               Library* library,
                                               const VolumesOptions& options) {
  ASSIGN_OR_RETURN(const std::vector<VolumeRecord> records, catalog->Volumes());
  auto impl = std::make_unique<Impl>(catalog, library, options);
  {
    MutexLock lock(&impl->mu_);
    for (const VolumeRecord& record : records) {
      if (record.forgotten) continue;
      const auto namesake = impl->by_id_.find(record.id);
      if (namesake != impl->by_id_.end()) {
        return Error{Errc::kCorruption,
                     fmt::format("catalog: volumes {} and {} both have the id "
                                 "{}",
                                 namesake->second->volume->index(),
                                 record.index, record.id)};
      }
      auto slot = std::make_shared<VolumeSlot>();
      slot->volume =
          std::make_shared<Volume>(catalog, record, impl->options.volume);
      slot->id = record.id;
      slot->medium = record.medium;
      slot->medium_uuid = record.medium_uuid;
      impl->InsertLocked(slot);
    }
  }
  std::unique_ptr<Volumes> volumes(new Volumes(std::move(impl)));
  volumes->impl_->self = volumes.get();
  volumes->impl_->StartThreads();
  volumes->impl_->SettlePending();
  return volumes;
}

Volumes::Volumes(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}

Volumes::~Volumes() { Shutdown(); }

std::vector<std::shared_ptr<Volume>> Volumes::List() const {
  MutexLock lock(&impl_->mu_);
  std::vector<std::shared_ptr<Volume>> list;
  list.reserve(impl_->by_id_.size());
  for (const auto& entry : impl_->by_id_) list.push_back(entry.second->volume);
  return list;
}

std::shared_ptr<Volume> Volumes::Find(const std::string& id) const {
  MutexLock lock(&impl_->mu_);
  const auto it = impl_->by_id_.find(id);
  return it == impl_->by_id_.end() ? nullptr : it->second->volume;
}

std::shared_ptr<Volume> Volumes::FindByIndex(VolumeIndex index) const {
  MutexLock lock(&impl_->mu_);
  const auto slot = impl_->SlotOfLocked(index);
  return slot == nullptr ? nullptr : slot->volume;
}

std::shared_ptr<Volume> Volumes::FindByMedium(const MediumId& medium) const {
  MutexLock lock(&impl_->mu_);
  const auto it = impl_->by_medium_.find(medium);
  return it == impl_->by_medium_.end() ? nullptr : it->second->volume;
}

uint64_t Volumes::change_count() const {
  MutexLock lock(&impl_->mu_);
  return impl_->change_count_;
}

Volumes::Ticket Volumes::With(const std::shared_ptr<Volume>& volume,
                              Operation operation, uint64_t address) {
  ParkedOperation parked;
  parked.address = address;
  parked.run = std::move(operation);
  return impl_->Submit(*volume, std::move(parked));
}

void Volumes::Cancel(Ticket ticket) { impl_->Cancel(ticket); }

Result<VolumeUse> Volumes::Use(const std::shared_ptr<Volume>& volume,
                               std::stop_token stop) {
  return impl_->SubmitAndWait(*volume, false, {}, std::move(stop));
}

Result<VolumeUse> Volumes::Hold(const std::shared_ptr<Volume>& volume,
                                std::stop_token stop, std::string holder) {
  return impl_->SubmitAndWait(*volume, true, std::move(holder),
                              std::move(stop));
}

bool Volumes::loaded(const Volume& volume) const {
  MutexLock lock(&impl_->mu_);
  const auto slot = impl_->SlotOfLocked(volume.index());
  return slot != nullptr && slot->phase == SlotPhase::kLoaded;
}

size_t Volumes::parked() const {
  MutexLock lock(&impl_->mu_);
  size_t count = 0;
  for (const auto& entry : impl_->by_index_) {
    count += entry.second->parked.size();
  }
  return count;
}

size_t Volumes::parked(const Volume& volume) const {
  MutexLock lock(&impl_->mu_);
  const Impl::SlotPtr slot = impl_->SlotOfLocked(volume.index());
  return slot == nullptr ? 0 : slot->parked.size();
}

Result<std::shared_ptr<Volume>> Volumes::Put(VolumeRecord record) {
  ASSIGN_OR_RETURN(const Impl::SlotPtr slot,
                   impl_->PutRecord(std::move(record), /*excluded=*/false));
  MutexLock lock(&impl_->mu_);
  return slot->volume;
}

Status Volumes::Forget(const std::shared_ptr<Volume>& volume) {
  return impl_->Forget(*volume);
}

Result<std::shared_ptr<Volume>> Volumes::Identify(const MediumId& id,
                                                  Medium& medium) {
  return impl_->Identify(id, medium);
}

Status Volumes::SyncAll() { return impl_->SyncAll(); }

Status Volumes::SyncVolume(const Volume& volume) {
  return impl_->SyncVolume(volume);
}

void Volumes::Shutdown() { impl_->Shutdown(); }

std::vector<std::string> Volumes::lost() const {
  MutexLock lock(&impl_->mu_);
  std::vector<std::string> texts;
  for (const Impl::Loss& loss : impl_->lost_) texts.push_back(loss.text);
  return texts;
}

// --- Impl: the set of volumes

Volumes::Impl::Impl(Catalog* c, Library* l, const VolumesOptions& o)
    : catalog(c), library(l), options(o) {}

void Volumes::Impl::StartThreads() {
  {
    MutexLock lock(&gate->mu);
    gate->impl = this;
  }
  pool_ = std::make_unique<WorkerPool>(std::max<uint32_t>(options.workers, 1));
  timer_ = std::jthread([this] { TimerMain(); });
}

// A start does not wait for an operator, whom nobody could tell yet what he is
// asked for.
bool Volumes::Impl::WaitsForAPerson(const Volume& volume) const {
  if (!library->Identity().manual) return false;
  const Result<MediumPlace> place = library->FindMedium(volume.record().medium);
  return !place.ok() || !place->loaded;
}

void Volumes::Impl::SettlePending() {
  std::vector<std::shared_ptr<Volume>> all;
  {
    MutexLock lock(&mu_);
    for (const auto& entry : by_index_) all.push_back(entry.second->volume);
  }
  struct Settling {
    Mutex mu;  // a leaf
    CondVar done;
    size_t left GUARDED_BY(mu) = 0;
  };
  const auto settling = std::make_shared<Settling>();
  for (const std::shared_ptr<Volume>& volume : all) {
    const auto pending = catalog->GetPending(volume->index());
    const bool in_use = volume->record().state == udf::SlotState::kInUse;
    if (pending.ok() && !pending->has_value() && !in_use) continue;
    if (WaitsForAPerson(*volume)) {
      spdlog::warn(
          "volume {}: its last generation stays undecided until {} is "
          "in a dock",
          volume->id(), volume->record().medium);
      continue;
    }
    if (!pending.ok()) {
      spdlog::error("volume {}: its undecided generation cannot be read: {}",
                    volume->id(), pending.status().ToString());
    }
    ParkedOperation operation;
    operation.run = [volume, settling](const Result<VolumeUse>& use) {
      if (!use.ok()) {
        spdlog::warn(
            "volume {}: it was in use when the last daemon ended, and was not "
            "recovered: {}",
            volume->id(), use.status().ToString());
      }
      MutexLock lock(&settling->mu);
      --settling->left;
      settling->done.NotifyAll();
    };
    {
      MutexLock lock(&settling->mu);
      ++settling->left;
    }
    Submit(*volume, std::move(operation));
  }
  MutexLock lock(&settling->mu);
  while (settling->left > 0) settling->done.Wait(&settling->mu);
}

Volumes::Impl::SlotPtr Volumes::Impl::SlotOfLocked(VolumeIndex index) const {
  const auto it = by_index_.find(index);
  return it == by_index_.end() ? nullptr : it->second;
}

void Volumes::Impl::InsertLocked(const SlotPtr& slot) {
  by_id_[slot->id] = slot;
  by_index_[slot->volume->index()] = slot;
  // Of several volumes that are said to be on one medium the newest is.
  if (!slot->medium.empty()) by_medium_[slot->medium] = slot;
}

void Volumes::Impl::EraseLocked(const SlotPtr& slot) {
  by_id_.erase(slot->id);
  by_index_.erase(slot->volume->index());
  const auto it = by_medium_.find(slot->medium);
  if (it == by_medium_.end() || it->second != slot) return;
  by_medium_.erase(it);
  for (const auto& entry : by_index_) {
    if (entry.second->medium == slot->medium) {
      by_medium_[slot->medium] = entry.second;
    }
  }
}

Status Volumes::Impl::StoreRecord(VolumeRecord* record) {
  if (record->index == 0) {
    ASSIGN_OR_RETURN(record->index, catalog->NewVolumeIndex());
  }
  CatalogBatch batch;
  batch.PutVolume(*record);
  return catalog->Write(batch, Sync::kYes);
}

Result<Volumes::Impl::SlotPtr> Volumes::Impl::PutRecord(VolumeRecord record,
                                                        bool excluded) {
  RETURN_IF_ERROR(udf::CheckVolumeId(record.id));
  SlotPtr slot;
  {
    MutexLock lock(&mu_);
    if (shutdown_) {
      return Error{Errc::kAborted,
                   fmt::format("volume {}: shutting down", record.id)};
    }
    slot = SlotOfLocked(record.index);
    const auto namesake = by_id_.find(record.id);
    if (namesake != by_id_.end() && namesake->second != slot) {
      return Error{Errc::kExists,
                   fmt::format("volume id {} is taken by the volume on medium "
                               "{}",
                               record.id, namesake->second->medium)};
    }
    if (slot != nullptr &&
        (slot->phase != SlotPhase::kUnloaded || slot->replacing)) {
      return Error{Errc::kBusy,
                   fmt::format("volume {} is in use: its record cannot be "
                               "replaced",
                               slot->id)};
    }
    if (!reserved_ids_.insert(record.id).second) {
      return Error{Errc::kExists, fmt::format("volume id {} is being given to "
                                              "another volume",
                                              record.id)};
    }
    if (slot != nullptr) slot->replacing = true;
  }
  const Status stored = StoreRecord(&record);
  // `replacing` keeps the slot as it is.
  if (stored.ok() && slot != nullptr) slot->volume->SetRecord(record);
  std::shared_ptr<Volume> made;
  if (stored.ok() && slot == nullptr) {
    made = std::make_shared<Volume>(catalog, record, options.volume);
  }
  MutexLock lock(&mu_);
  reserved_ids_.erase(record.id);
  if (slot != nullptr) slot->replacing = false;
  if (!stored.ok()) {
    if (slot != nullptr) AdvanceLocked(slot);
    return stored.WithContext(fmt::format("volume {}", record.id));
  }
  if (slot != nullptr) {
    EraseLocked(slot);
  } else {
    slot = std::make_shared<VolumeSlot>();
    slot->volume = std::move(made);
    slot->excluded = excluded;
  }
  slot->id = record.id;
  slot->medium = record.medium;
  slot->medium_uuid = record.medium_uuid;
  InsertLocked(slot);
  ++change_count_;
  AdvanceLocked(slot);
  return slot;
}

Status Volumes::Impl::Forget(const Volume& volume) {
  SlotPtr slot;
  {
    MutexLock lock(&mu_);
    slot = SlotOfLocked(volume.index());
    if (slot == nullptr) {
      return Status(Errc::kNotFound,
                    fmt::format("volume {} was removed", volume.id()));
    }
    if (slot->phase != SlotPhase::kUnloaded || slot->replacing) {
      return Status(
          Errc::kBusy,
          fmt::format("volume {} is in use: it cannot be removed", slot->id));
    }
    slot->replacing = true;
  }
  VolumeRecord record = slot->volume->record();
  record.forgotten = true;
  record.tree = TreeState::kNone;
  CatalogBatch batch;
  batch.PutVolume(record);
  batch.DeletePending(record.index);
  const Status stored = catalog->Write(batch, Sync::kYes);
  if (stored.ok()) {
    // What a failure leaves costs room, and goes with the next scan.
    Status cleared = catalog->ClearTree(record.index);
    if (cleared.ok()) cleared = catalog->ClearChangeMap(record.index);
    if (!cleared.ok()) {
      spdlog::warn("volume {}: removed, but not all of it: {}", record.id,
                   cleared.error().message);
    }
  }
  std::list<ParkedOperation> parked;
  {
    MutexLock lock(&mu_);
    slot->replacing = false;
    if (stored.ok()) {
      slot->forgotten = true;
      EraseLocked(slot);
      ++change_count_;
      parked = TakeParkedLocked(*slot);
    }
    AdvanceLocked(slot);
  }
  for (ParkedOperation& operation : parked) {
    operation.run(Error{Errc::kNotFound,
                        fmt::format("volume {} was removed", record.id)});
  }
  return stored.WithContext(fmt::format("volume {}", record.id));
}

// --- All volumes

bool Volumes::Impl::WaitClosedLocked(const VolumeSlot& slot,
                                     Clock::time_point deadline) {
  const uint64_t attempt = slot.attempt;
  while (slot.phase == SlotPhase::kClosing && slot.attempt == attempt) {
    const auto left = deadline - Clock::now();
    if (left <= Clock::duration::zero()) return false;
    changed_.WaitFor(&mu_, left);
  }
  return true;
}

std::vector<std::string> Volumes::Impl::TakeLossesLocked(
    std::optional<VolumeIndex> volume) {
  std::vector<std::string> texts;
  std::erase_if(lost_, [&](const Loss& loss) {
    if (volume && loss.volume != *volume) return false;
    texts.push_back(loss.text);
    return true;
  });
  return texts;
}

Status Volumes::Impl::SyncAll() {
  std::vector<VolumeUse> uses;
  std::vector<std::string> lost;
  std::vector<std::string> closing;
  const Clock::time_point deadline =
      Clock::now() + std::chrono::milliseconds(options.max_turn_ms);
  {
    MutexLock lock(&mu_);
    const auto slots = by_index_;
    for (const auto& [index, slot] : slots) {
      // Its close commits, or loses what it had.
      if (!WaitClosedLocked(*slot, deadline)) {
        closing.push_back(
            fmt::format("{} on medium {}", slot->id, slot->medium));
      }
      if (slot->phase == SlotPhase::kLoaded) {
        uses.push_back(BeginUseLocked(*slot));
      }
    }
    lost = TakeLossesLocked(std::nullopt);
  }
  Status first;
  if (!closing.empty()) {
    first = Status(
        Errc::kTimedOut,
        fmt::format("volume {} is being closed, and that has not ended: its "
                    "last changes are not known to be durable",
                    fmt::join(closing, ", ")));
  }
  if (!lost.empty()) {
    if (!first.ok()) lost.push_back(first.error().message);
    first =
        Status(Errc::kDeviceError, fmt::format("{}", fmt::join(lost, "; ")));
  }
  for (VolumeUse& use : uses) {
    const Status status =
        use->Sync().WithContext(fmt::format("volume {}", use->id()));
    if (status.ok()) continue;
    spdlog::error("commit of all volumes: {}", status.ToString());
    if (first.ok()) first = status;
  }
  return first;
}

Status Volumes::Impl::SyncVolume(const Volume& volume) {
  const Clock::time_point deadline =
      Clock::now() + std::chrono::milliseconds(options.max_turn_ms);
  VolumeUse use;
  {
    MutexLock lock(&mu_);
    const SlotPtr slot = SlotOfLocked(volume.index());
    if (slot == nullptr) {
      return Status(Errc::kNotFound,
                    fmt::format("volume {} was removed", volume.id()));
    }
    // What it lost is noted before it ends.
    if (!WaitClosedLocked(*slot, deadline)) {
      return Status(Errc::kTimedOut,
                    fmt::format("volume {} on medium {} is being closed still",
                                slot->id, slot->medium));
    }
    const std::vector<std::string> lost = TakeLossesLocked(volume.index());
    if (!lost.empty()) {
      return Status(Errc::kDeviceError,
                    fmt::format("{}", fmt::join(lost, "; ")));
    }
    // One that is not loaded was committed when it was closed.
    if (slot->phase != SlotPhase::kLoaded) return Status::Ok();
    use = BeginUseLocked(*slot);
  }
  return use->Sync();
}

void Volumes::Impl::Shutdown() {
  std::call_once(shutdown_once_, [this] { ShutdownOnce(); });
}

void Volumes::Impl::ShutdownOnce() {
  std::list<ParkedOperation> parked;
  std::vector<Library::RequestId> requests;
  {
    MutexLock lock(&mu_);
    shutdown_ = true;
    for (const auto& entry : by_index_) {
      const SlotPtr& slot = entry.second;
      parked.splice(parked.end(), TakeParkedLocked(*slot));
      if (const auto request = DropRequestLocked(*slot)) {
        requests.push_back(*request);
      }
      AdvanceLocked(slot);
    }
    changed_.NotifyAll();
  }
  for (const Library::RequestId request : requests) library->Cancel(request);
  for (ParkedOperation& operation : parked) {
    operation.run(Error{Errc::kAborted, "the library is being closed"});
  }
  MutexLock lock(&mu_);
  for (;;) {
    const std::string waiting = LoadedIdsLocked();
    if (waiting.empty()) break;
    if (changed_.WaitFor(&mu_, kShutdownReport)) continue;
    lock.Unlock();
    spdlog::warn("shutdown waits for volumes in use: {}", waiting);
    lock.Lock();
  }
  timer_stop_ = true;
  timer_wake_.NotifyAll();
  lock.Unlock();
  timer_.join();
  {
    MutexLock door(&gate->mu);
    gate->impl = nullptr;
  }
  pool_->Stop();
}

std::string Volumes::Impl::LoadedIdsLocked() const {
  std::string text;
  for (const auto& entry : by_id_) {
    if (entry.second->phase == SlotPhase::kUnloaded) continue;
    if (!text.empty()) text += ", ";
    text += entry.first;
  }
  return text;
}

}  // namespace vellum
