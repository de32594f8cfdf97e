// SPDX-License-Identifier: Apache-2.0
// The state behind Volumes. Private to index/volumes*.cc:
//   volumes.cc           the set of volumes: look-ups, Put, Forget, shutdown
//   volumes_exclude.cc   exclusions and reservations
//   volumes_load.cc      operations, loads, closes, the commit timer
//   volumes_identify.cc  Identify
//   volumes_displace.cc  volumes whose medium holds something else
#pragma once

#include <chrono>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <set>
#include <string>
#include <thread>
#include <unordered_map>
#include <vector>

#include "index/volume_slot.h"
#include "index/volumes.h"
#include "index/worker_pool.h"
#include "media/mutex.h"

namespace vellum {

struct Volumes::Impl {
  using Clock = std::chrono::steady_clock;
  using SlotPtr = std::shared_ptr<VolumeSlot>;
  // A recall may be under way in the library's thread while the last lease is
  // dropped and Volumes destroyed: it goes through this, which outlives both.
  struct RecallGate {
    Mutex mu;  // before Impl::mu_
    Impl* impl GUARDED_BY(mu) = nullptr;
  };
  // A volume was closed without its last changes.
  struct Loss {
    VolumeIndex volume = 0;  // its id may be another one when this is told
    std::string text;
  };
  struct TicketPlace {
    SlotPtr slot;
    std::list<ParkedOperation>::iterator operation;
  };

  Impl(Catalog* c, Library* l, const VolumesOptions& o);
  void StartThreads();

  // --- volumes.cc
  // Loads the volumes whose last generation is undecided, and waits for that:
  // their catalog entries may be those of the generation before, and who looks
  // would miss what was synced. And those that were in use when a daemon died:
  // they are closed when they are unloaded.
  bool WaitsForAPerson(const Volume& volume) const;
  void SettlePending();
  void InsertLocked(const SlotPtr& slot) REQUIRES(mu_);
  void EraseLocked(const SlotPtr& slot) REQUIRES(mu_);
  SlotPtr SlotOfLocked(VolumeIndex index) const REQUIRES(mu_);
  // Stores the record and makes it known, `excluded` from loading or not.
  Result<SlotPtr> PutRecord(VolumeRecord record, bool excluded);
  Status StoreRecord(VolumeRecord* record);
  Status Forget(const Volume& volume);
  // Waits for volumes that are being closed for max_turn_ms at most, in all;
  // then kTimedOut names them.
  Status SyncAll();
  Status SyncVolume(const Volume& volume);
  // Forgets those of one volume, or all, and answers what they say.
  std::vector<std::string> TakeLossesLocked(std::optional<VolumeIndex> volume)
      REQUIRES(mu_);
  // False: it has not ended at `deadline`.
  bool WaitClosedLocked(const VolumeSlot& slot, Clock::time_point deadline)
      REQUIRES(mu_);
  void Shutdown();
  void ShutdownOnce();
  // Ids of the volumes that are not unloaded.
  std::string LoadedIdsLocked() const REQUIRES(mu_);

  // --- volumes_exclude.cc
  Result<Exclusion> Exclude(const Volume& volume, std::stop_token stop);
  Status CheckExcludable(const Volume& volume) const;
  Status WaitUnloadedLocked(VolumeSlot& slot, const std::stop_token& stop)
      REQUIRES(mu_);
  void EndExclusion(VolumeIndex index);
  Exclusion GuardOf(VolumeIndex index);
  Result<Reservation> Reserve(const Volume& volume, std::string holder,
                              const std::stop_token& stop);
  void EndReservation(VolumeIndex index, uint64_t number);

  // --- volumes_load.cc
  Ticket Submit(const Volume& volume, ParkedOperation operation);
  void Cancel(Ticket ticket);
  Result<VolumeUse> SubmitAndWait(const Volume& volume, bool hold,
                                  std::string holder, std::stop_token stop);
  VolumeUse BeginUseLocked(VolumeSlot& slot) REQUIRES(mu_);
  VolumeUse BeginUseLocked(VolumeSlot& slot, const ParkedOperation& operation)
      REQUIRES(mu_);
  void EndUse(VolumeIndex index, uint64_t hold);
  std::chrono::milliseconds MinResidency() const {
    return std::chrono::milliseconds(options.min_residency_ms);
  }
  // Until when a volume that is asked back stays as it is.
  Clock::time_point StaysUntilLocked(const VolumeSlot& slot) const
      REQUIRES(mu_);
  // May an operation run now?
  bool RunnableLocked(const VolumeSlot& slot) const REQUIRES(mu_);
  // Starts whatever the state of the slot now calls for. To be called after
  // every change of a slot.
  void AdvanceLocked(const SlotPtr& slot) REQUIRES(mu_);
  // The volume is loaded: hands the parked operations to the workers.
  void MakeReadyLocked(const SlotPtr& slot) REQUIRES(mu_);
  // Takes all parked operations out of the slot.
  std::list<ParkedOperation> TakeParkedLocked(VolumeSlot& slot) REQUIRES(mu_);
  // Marks the slot's request as not wanted; answers what to cancel, with no
  // lock held.
  std::optional<Library::RequestId> DropRequestLocked(VolumeSlot& slot)
      REQUIRES(mu_);
  // Tasks of the workers.
  void RunReady(const SlotPtr& slot);
  void RequestLease(const SlotPtr& slot);
  void Load(const SlotPtr& slot);
  void FailLoad(const SlotPtr& slot, const Error& error);
  void Close(const SlotPtr& slot);
  void Checkpoint(const SlotPtr& slot);
  // Attach and detach the volume; whoever keeps names of it is told when that
  // replaced its tree, also when it failed.
  Status Attach(Volume& volume, Medium* medium) EXCLUDES(mu_);
  Status Detach(Volume& volume) EXCLUDES(mu_);
  void TellIfReplaced(const Volume& volume, uint64_t version_before)
      EXCLUDES(mu_);
  // Called by the library.
  void OnGrant(VolumeIndex index, Result<std::vector<MediumLease>> leases);
  void OnRecall(VolumeIndex index, uint64_t attempt);
  void ReleaseLease(const SlotPtr& slot);
  Error MissingMedium(const VolumeRecord& record) const;
  void TimerMain();

  // --- volumes_identify.cc
  Result<std::shared_ptr<Volume>> Identify(const MediumId& id, Medium& medium);
  // Before a load: the name and role that the medium has count, not those of a
  // catalog of an older day. A name that another volume has is not taken.
  Status TakeIdentity(const SlotPtr& slot);
  Result<std::optional<VolumeRecord>> KnownRecord(
      const MediumId& id, const udf::ControlSlot& control);

  // --- volumes_displace.cc
  // After a load that failed with `error`, with the medium still leased: if the
  // medium holds something else than the volume, the volume is displaced.
  // Answers what to tell those who wait.
  Error CheckDisplaced(const SlotPtr& slot, const Error& error);
  // The volume is on another medium from now on, as its stored record says.
  void SetMedium(const SlotPtr& slot, Volume* volume,
                 const VolumeRecord& record);
  // The medium that is read for a displaced volume: the one that it was on, if
  // that is there and nothing else is known to be on it; else "". None that a
  // person would have to bring, or that somebody has alone just now.
  MediumId MayBeBackOn(const VolumeRecord& record) const;
  // With the former medium of a displaced volume leased: if it carries the
  // volume, that is where the volume is from now on. False: it does not.
  Result<bool> TakeBack(const SlotPtr& slot);

  Catalog* const catalog;
  Library* const library;
  const VolumesOptions options;
  Volumes* self = nullptr;  // set once, before any thread starts
  const std::shared_ptr<RecallGate> gate = std::make_shared<RecallGate>();

  // Before the locks of the pool. Never held over device I/O, writes to the
  // catalog, calls into the library or into a Volume, or an operation.
  mutable Mutex mu_;
  CondVar changed_;  // a slot changed its phase, or lost its uses or exclusion
  CondVar timer_wake_;
  std::map<std::string, SlotPtr> by_id_ GUARDED_BY(mu_);
  std::unordered_map<VolumeIndex, SlotPtr> by_index_ GUARDED_BY(mu_);
  std::unordered_map<MediumId, SlotPtr> by_medium_ GUARDED_BY(mu_);
  std::set<std::string> reserved_ids_ GUARDED_BY(mu_);  // of a Put under way
  std::unordered_map<Ticket, TicketPlace> tickets_ GUARDED_BY(mu_);
  Ticket next_ticket_ GUARDED_BY(mu_) = 1;
  uint64_t next_hold_ GUARDED_BY(mu_) = 1;
  uint64_t next_reservation_ GUARDED_BY(mu_) = 1;
  uint64_t change_count_ GUARDED_BY(mu_) = 0;
  std::vector<Loss> lost_ GUARDED_BY(mu_);
  bool shutdown_ GUARDED_BY(mu_) = false;
  bool timer_stop_ GUARDED_BY(mu_) = false;
  // When the first recalled volume may be closed.
  Clock::time_point next_close_ GUARDED_BY(mu_) = Clock::time_point::max();

  std::once_flag shutdown_once_;
  std::unique_ptr<WorkerPool> pool_;  // set once, before any thread starts
  std::jthread timer_;
};

}  // namespace vellum
