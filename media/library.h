// SPDX-License-Identifier: Apache-2.0
// Library: one changer, its drives and slots. The only place that moves media.
//
// A lease keeps a medium loaded. All clients of one medium share it (shared
// mode) or one has it alone (exclusive mode: the target of a copy, a format).
// Leases that a job needs together are granted together or not at all, so two
// such jobs cannot deadlock. Drives are filled on demand: when no drive is
// free, the holder of the least recently used shared lease that can be
// recalled is asked to give it up; exclusive leases and leases without a
// recall function are never robbed. Requests are served foreground first, then
// in order of arrival. A medium goes home (to the storage or import/export
// element that it came from) when the drive is needed by another medium, or at
// Shutdown.
//
// In a manual library (ChangerIdentity::manual) a move is a request to an
// operator, who may take hours: several are open at once, a request for a lease
// that is cancelled takes its own back, and media stay in the docks until one
// is needed, past Shutdown. What the operator does unasked is found out before
// each load.
//
// A two-sided medium is two media here, ID + "A" and ID + "B", of which one at
// a time is in a drive: to lease the other has it turned over. In slots side A
// is up.
//
// A medium or a drive that vanishes while it is leased: every call of the
// medium fails with kNoMedium, naming the drive, its leases are recalled, and
// once they are dropped the elements are read again and what is found there can
// be leased. A drive that does not answer is offline meanwhile: it is asked
// again after LibraryOptions::retry_drives, and by Rescan, until the same drive
// answers.
//
// Threads: one per drive (loads and unloads of that drive), one scheduler, one
// that asks the changer whether somebody changed its elements.
// Grants are called from the scheduler's thread with no lock held: a grant
// must not block; it hands the lease to whoever waits.
#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <stop_token>
#include <string>
#include <vector>

#include "media/changer.h"
#include "media/drive.h"
#include "media/element.h"
#include "media/error.h"
#include "media/medium.h"
#include "media/types.h"

namespace vellum {

class Library;

// A medium as Library knows it: the volume tag, or "@ADDRESS" of its home
// element where media have no tags; with "A" or "B" behind it, one side of a
// two-sided one. Unique within the library.
using MediumId = std::string;

enum class LeaseMode : uint8_t { kShared, kExclusive };
enum class LeasePriority : uint8_t { kForeground, kCopy };

struct LeaseRequest {
  MediumId medium;
  LeaseMode mode = LeaseMode::kShared;
  LeasePriority priority = LeasePriority::kForeground;
  std::string owner;  // shown in the drives table: "volume X", "job 7"
  // Called at most once, from the scheduler's thread, when another request
  // waits for a drive, or at Shutdown: the holder should finish and drop its
  // lease soon. It must not block. It may come as soon as the lease was
  // granted, before AcquireAndWait has returned. It may still run while the
  // lease is being dropped: let it hold what it uses (shared or weak pointer).
  // Empty: this lease is never asked for.
  std::function<void()> on_recall;
};

// Move-only; the medium stays loaded while any lease on it lives. Dropping it
// moves nothing by itself: the medium stays in the drive, idle, until the drive
// is needed. Thread-safety: one owner at a time; medium() may be used from any
// thread while the lease lives.
class MediumLease {
 public:
  MediumLease() = default;
  MediumLease(MediumLease&&) noexcept;
  MediumLease& operator=(MediumLease&&) noexcept;
  ~MediumLease();

  explicit operator bool() const { return library_ != nullptr; }
  Medium& medium() const { return *medium_; }
  const MediumId& id() const { return id_; }
  ElementAddress drive() const { return drive_; }
  // Drops the lease now.
  void Release();

 private:
  friend class Library;
  Library* library_ = nullptr;
  Medium* medium_ = nullptr;
  MediumId id_;
  ElementAddress drive_;
  uint64_t token_ = 0;
};

// One row of the media that the library holds.
struct MediumPlace {
  MediumId id;
  VolumeTag tag;
  ElementAddress home;            // storage or import/export element
  ElementAddress element;         // where it is now
  bool loaded = false;            // element is a drive, and its side is up
  bool in_import_export = false;  // home is an import/export element
  std::string problem;  // why it cannot be used, as the changer says; or empty
  MediumId other_side;  // of a two-sided medium
  bool two_sided() const { return !other_side.empty(); }
  // 'A' or 'B' of a two-sided medium, else 0.
  char side() const { return two_sided() ? id.back() : '\0'; }
};

struct DriveState {
  ElementAddress address;
  DriveIdentity identity;
  bool online = true;
  std::string problem;   // why it is offline
  MediumId medium;       // empty: none
  std::string activity;  // "idle", "loading V1", "shared", "exclusive", …
  std::vector<std::string> owners;
  uint64_t loads = 0;  // since start
};

// One request for media that waits for a drive, or whose media are loaded now.
struct QueuedRequest {
  uint64_t id = 0;
  std::vector<MediumId> media;
  std::string owner;  // of the first lease
  LeasePriority priority = LeasePriority::kForeground;
  size_t position = 0;  // 0: its media are being loaded; then 1, 2, …
  std::chrono::milliseconds waited{0};
  // How long it will take, as media were loaded and kept lately; none: nothing
  // was loaded yet, or a load takes longer than that.
  std::optional<std::chrono::milliseconds> estimate;
};

// What others want to know of loads. Called from the threads of the drives with
// no lock held. Empty: nobody does.
struct LoadHooks {
  // A medium was made ready; answers what is handed out in its place.
  std::function<std::unique_ptr<Medium>(const MediumId&, ElementAddress,
                                        std::unique_ptr<Medium>)>
      loaded;
  std::function<void(const MediumId&, ElementAddress, const Error&)> failed;
};

struct LibraryOptions {
  // Between two tries of a drive that is offline.
  std::chrono::milliseconds retry_drives{30'000};
  // Between two questions to the changer (Changer::ElementsChanged).
  std::chrono::milliseconds watch_changer{10'000};
  LoadHooks hooks;
};

class Library {
 public:
  using RequestId = uint64_t;
  // All leases in the order of the requests, or the error.
  using Grant = std::function<void(Result<std::vector<MediumLease>>)>;

  // Reads the element status, sends media found in drives home (no operator is
  // asked to), starts the threads.
  static Result<std::unique_ptr<Library>> Open(
      std::unique_ptr<Changer> changer,
      std::vector<std::unique_ptr<Drive>> drives,
      const LibraryOptions& options = {});
  ~Library();  // Shutdown

  // Asks for all of `requests` together. `grant` is called exactly once:
  // kNoMedium (unknown or absent medium, names it), kOffline / kBusy when the
  // library has fewer online drives than requests (at once, nothing moved),
  // kInvalidArgument for one medium twice or both sides of one,
  // kInterrupted after Cancel, kAborted at Shutdown, or what loading returned.
  // A request for two leases of which one is already loaded uses that drive.
  RequestId Acquire(std::vector<LeaseRequest> requests, Grant grant);
  // No effect once granted.
  void Cancel(RequestId id);
  // The same, waiting; kInterrupted when `stop` is requested.
  Result<std::vector<MediumLease>> AcquireAndWait(
      std::vector<LeaseRequest> requests, std::stop_token stop = {});

  // Moves a medium between two elements (`vellum move`). A drive counts as
  // source when its medium is idle. Errors as Changer::MoveMedium, and kBusy
  // when either element is in use by a lease. In a manual library it waits for
  // the operator: kInterrupted when `stop` is requested, or at Shutdown.
  Status Move(ElementAddress from, ElementAddress to,
              std::stop_token stop = {});

  // Sends `medium` home if it is idle in or moving into a drive. kBusy: leased.
  // In a manual library it stays: nobody is asked to take out what is in
  // nobody's way.
  Status SendHome(const MediumId& medium);

  // From memory: no device I/O.
  ChangerIdentity Identity() const;
  ElementMap Elements() const;
  std::vector<ElementStatus> ElementStatuses() const;
  std::vector<MediumPlace> Media() const;
  std::vector<DriveState> Drives() const;
  // kNotFound: names the element.
  Result<MediumPlace> MediumAt(ElementAddress element) const;
  Result<MediumPlace> FindMedium(const MediumId& id) const;
  size_t OnlineDrives() const;
  size_t WaitingRequests() const;
  // In the order in which they are served, as things are.
  std::vector<QueuedRequest> Queue() const;
  // How long it took lately to bring a medium into a drive, the one before it
  // taken out; 0: none was yet.
  std::chrono::nanoseconds LoadTime() const;

  // Takes a drive out of use, or back. Who uses its medium is asked to give it
  // up, and is waited for; then it goes home. Meanwhile, and for as long as the
  // drive is offline, nothing is loaded into it. Before it is back it is asked
  // who it is: kOffline when it does not answer or is another one, and it stays
  // offline. kNotFound; kInterrupted when `stop` is requested first.
  Status SetDriveOnline(ElementAddress drive, bool online,
                        std::stop_token stop = {});
  // An offline library loads and moves nothing: requests fail with kOffline,
  // those that wait too, and whoever uses a medium is asked to give it up.
  // Exclusive leases (targets of copies) are left alone.
  void SetOnline(bool online);
  bool online() const;

  // Reads the element status anew: what was put in, taken out or swapped by
  // hand is known afterwards. Moves nothing, but waits for a move that is under
  // way; kInterrupted when `stop` is requested meanwhile.
  Status RefreshElements(std::stop_token stop = {});
  // The same; drives that are offline are asked whether they are back.
  Status Rescan(std::stop_token stop = {});

  // Fails what waits with kAborted, waits until all leases are dropped, sends
  // idle media home. Idempotent.
  void Shutdown();

 private:
  friend class MediumLease;
  struct Impl;
  explicit Library(std::unique_ptr<Impl> impl);
  void Drop(uint64_t token);
  std::unique_ptr<Impl> impl_;
};

}  // namespace vellum
