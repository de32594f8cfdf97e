// SPDX-License-Identifier: Apache-2.0
// Volumes: which volumes there are, which of them are loaded, and how an
// operation gets at a volume whose medium is not in a drive.
//
// A use keeps a volume attached while an operation runs. Operations on a volume
// that is not loaded are parked: nothing waits but the operation itself. When
// the library needs the drive, a volume without uses is detached (a clean
// commit) and its medium goes idle. A hold (a copy's source) is a use for long:
// the library does not get the drive before it ends. A reservation (a volume
// mounted at a place of its own) keeps others from having the volume
// exclusively, but neither loads it nor keeps it loaded.
//
// Threads: a small pool of workers runs loads, detaches, parked operations and
// the commit timer. Thread-safety: every method may be called concurrently.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <stop_token>
#include <string>
#include <vector>

#include "index/catalog.h"
#include "index/volume.h"
#include "media/error.h"
#include "media/library.h"
#include "media/udf/format.h"

namespace vellum {

class Volumes;

// What stands for the medium of a volume that its medium does not hold any more
// (another image or cartridge took its place, a format was broken off):
// "?V00003" for "V00003". No medium of a library is called so: the volume
// is removed until a use finds it on V00003 again, or Identify on any medium.
MediumId FormerMedium(const MediumId& medium);
// "V00003" for "?V00003", else "".
MediumId DisplacedFrom(const MediumId& medium);

// Move-only. While it lives the volume is attached.
class VolumeUse {
 public:
  VolumeUse() = default;
  VolumeUse(VolumeUse&& other) noexcept;
  VolumeUse& operator=(VolumeUse&& other) noexcept;
  ~VolumeUse();
  explicit operator bool() const { return volume_ != nullptr; }
  Volume* operator->() const { return volume_.get(); }
  Volume& operator*() const { return *volume_; }
  const std::shared_ptr<Volume>& volume() const { return volume_; }
  void Release();

 private:
  friend class Volumes;
  Volumes* volumes_ = nullptr;
  std::shared_ptr<Volume> volume_;
  uint64_t hold_ = 0;  // number of the hold; 0: a plain use
};

struct VolumesOptions {
  uint32_t checkpoint_interval_ms = 5000;  // 0: no timed commits
  uint32_t workers = 4;
  // A volume that is asked back stays this long after its load, so that every
  // trip of the robot serves more than one operation.
  uint32_t min_residency_ms = 200;
  // While operations keep coming it stays for four times what it took lately
  // to bring a medium, but never longer than this: nobody waits for ever.
  uint32_t max_turn_ms = 120'000;
  uint32_t exclude_wait_ms = 5000;  // how long Exclude waits for uses to end
  VolumeOptions volume;
  // A volume's tree was replaced (Volume::tree_version), or a load took its
  // name or role from the medium; change_count has grown. Called with no lock
  // of Volumes held, from its workers and from Identify; shall return at once.
  std::function<void()> on_tree_replaced;
  // What a load found: the medium lost its volume, whose medium is now
  // FormerMedium(medium), or has it again. Called as on_tree_replaced.
  std::function<void(const MediumId& medium, udf::MediumContent content,
                     const MediumInfo& info)>
      on_displaced;
};

class Volumes {
 public:
  using Ticket = uint64_t;
  // Called exactly once. REQUIRES of the callee: it may do device I/O, but not
  // wait for another volume or for a robot.
  using Operation = std::function<void(Result<VolumeUse>)>;

  // Volumes of the catalog whose record is not forgotten. Waits until those
  // that a crash left in use were loaded: only then is the catalog what was
  // synced, and closed by the next unload. One whose medium is missing, or
  // would have to be brought by an operator, stays as it is. Both outlive this,
  // this outlives every use, exclusion and reservation.
  static Result<std::unique_ptr<Volumes>> Open(Catalog* catalog,
                                               Library* library,
                                               const VolumesOptions& options);
  ~Volumes();  // Shutdown

  // --- Directory of volumes
  std::vector<std::shared_ptr<Volume>> List() const;          // by volume id
  std::shared_ptr<Volume> Find(const std::string& id) const;  // null: unknown
  std::shared_ptr<Volume> FindByIndex(VolumeIndex index) const;
  std::shared_ptr<Volume> FindByMedium(const MediumId& medium) const;
  // Grows whenever a volume is added, removed, renamed or changes its role, and
  // whenever its tree is replaced (Volume::tree_version).
  uint64_t change_count() const;

  // --- Use
  // Runs `operation` with the volume attached: at once in this thread when it
  // is loaded and not asked back, else parked and run by a worker. kNoMedium
  // (exported, missing: names the shelf location), kInterrupted after Cancel,
  // kAborted at Shutdown, or what loading or attaching returned.
  // Those that a load finds parked run in the order of `address` (where on the
  // medium their data is), later ones behind them: none is passed for ever.
  Ticket With(const std::shared_ptr<Volume>& volume, Operation operation,
              uint64_t address = 0);
  // Takes a parked operation back; it is then called with kInterrupted, in this
  // thread. No effect when it runs or ran.
  void Cancel(Ticket ticket);
  // Waits. For jobs and commands, never for FUSE threads.
  Result<VolumeUse> Use(const std::shared_ptr<Volume>& volume,
                        std::stop_token stop = {});
  // A use for long (see above). `holder` is named to whom it stands in the way.
  Result<VolumeUse> Hold(const std::shared_ptr<Volume>& volume,
                         std::stop_token stop = {},
                         std::string holder = "a copy");
  bool loaded(const Volume& volume) const;
  size_t parked() const;  // operations that wait for a load
  size_t parked(const Volume& volume) const;

  // --- Whole volumes
  // Detaches the volume (clean commit) so that someone else can have its medium
  // exclusively: a copy's target, format, convert. Fails with kBusy while uses
  // exist for longer than a moment, or at once while a hold or a reservation
  // exists, or changes that can no longer be committed. Until the guard is
  // destroyed nothing attaches it (operations stay parked).
  class Exclusion {
   public:
    Exclusion() = default;
    Exclusion(Exclusion&& other) noexcept;
    Exclusion& operator=(Exclusion&& other) noexcept;
    ~Exclusion();
    void Release();

   private:
    friend class Volumes;
    Volumes* volumes_ = nullptr;
    VolumeIndex index_ = 0;
  };
  Result<Exclusion> Exclude(const std::shared_ptr<Volume>& volume,
                            std::stop_token stop = {});
  // Would Exclude be refused for long? kBusy names who has the volume: a hold,
  // a reservation, another exclusion. Does not wait.
  Status CheckExcludable(const Volume& volume) const;

  // Move-only. While it lives, Exclude fails; the volume is loaded and detached
  // as ever.
  class Reservation {
   public:
    Reservation() = default;
    Reservation(Reservation&& other) noexcept;
    Reservation& operator=(Reservation&& other) noexcept;
    ~Reservation();
    void Release();

   private:
    friend class Volumes;
    Volumes* volumes_ = nullptr;
    VolumeIndex index_ = 0;
    uint64_t number_ = 0;
  };
  // Waits while the volume is excluded, but for no medium: one that is not in
  // the library can be reserved. `holder` is named to whom it stands in the
  // way. kNotFound, kInterrupted, kAborted at Shutdown.
  Result<Reservation> Reserve(const std::shared_ptr<Volume>& volume,
                              std::string holder, std::stop_token stop = {});

  // Stores the record and makes it known: a formatted, copied or found volume.
  // record.index 0: a new index is taken. kExists: another volume has the id.
  // kBusy: the volume is loaded; exclude it first, and before its record is
  // read, or a commit is lost.
  Result<std::shared_ptr<Volume>> Put(VolumeRecord record);
  // The volume is gone (its medium was formatted or overwritten anew). kBusy as
  // above; operations that wait for it get kNotFound.
  Status Forget(const std::shared_ptr<Volume>& volume);

  // The volume is not on its medium any more: its medium becomes FormerMedium,
  // its record and its tree stay. kBusy as above.
  Status Displace(const std::shared_ptr<Volume>& volume);

  // Reads what is on `medium` (already leased by the caller, not attached) and
  // makes it known: a Vellum volume gets its record and its tree. Answers null
  // for a blank or foreign medium. kExists when another medium has a volume of
  // that id (names both); kBusy when the volume is held. An incomplete backup
  // gets a record without a tree. When the tree cannot be read, the volume is
  // known all the same, and the error says why.
  Result<std::shared_ptr<Volume>> Identify(const MediumId& id, Medium& medium);

  // Commits all loaded volumes; the first error, after all. lost() comes first.
  Status SyncAll();
  // Commits one volume if it is loaded. When lost() names it, that is the
  // error, once. Waits for a close that is under way.
  Status SyncVolume(const Volume& volume);
  // Detaches everything; parked operations get kAborted. Idempotent.
  void Shutdown();
  // Volumes closed without their last changes, and why; SyncAll empties this.
  std::vector<std::string> lost() const;

 private:
  friend class VolumeUse;
  struct Impl;
  explicit Volumes(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

}  // namespace vellum
