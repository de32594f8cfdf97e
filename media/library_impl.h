// SPDX-License-Identifier: Apache-2.0
// The state behind Library, shared by its source files:
//   library.cc            the public operations and leases
//   library_scheduler.cc  the scheduler's thread: grants, recalls, answers
//   library_drives.cc     the drives' threads: loads, unloads, every move
//   library_control.cc    the queue; drives and library on- and offline
#pragma once

#include <atomic>
#include <deque>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <stop_token>
#include <string>
#include <thread>
#include <vector>

#include "media/element_book.h"
#include "media/lease_planner.h"
#include "media/library.h"
#include "media/mutex.h"

namespace vellum {

struct Library::Impl {
 public:
  // The outcome of a task that a caller waits for.
  struct TaskResult {
    bool done = false;  // guarded by mu_
    Status status;
  };

  // Work for the thread of a drive.
  struct Task {
    // kRecover: what is open and lost is closed, the drive is asked who it is,
    // the elements are read again.
    enum class Kind { kLoad, kUnload, kRecover };
    Kind kind = Kind::kLoad;
    MediumId medium;                       // kLoad
    std::optional<ElementAddress> target;  // kUnload; none: home
    // kUnload: the medium is only closed; who needs the drive has it taken out.
    bool stay = false;
    std::optional<RequestId> start;      // the request that it is part of
    std::shared_ptr<TaskResult> result;  // who waits for it, if anybody
    // Of a manual library: nobody wants the move any more.
    std::stop_source stop;
  };

  struct DriveSlot {
    // Set by Open; `drive` is used by the drive's thread only.
    std::unique_ptr<Drive> drive;
    ElementAddress address;
    DriveIdentity identity;
    std::jthread thread;

    // Guarded by mu_ of the Impl.
    bool online = true;
    bool disabled = false;           // offline by command
    bool working = false;            // a task is queued or under way
    PlanClock::time_point ready_at;  // when what is open became ready
    std::optional<Task> task;
    std::stop_source stop;           // of the task or move under way
    std::optional<RequestId> start;  // that the task is part of
    std::string activity;            // while working
    MediumId loading;                // while working on a load
    std::unique_ptr<Medium> open;
    MediumId open_id;  // of what `open` is
    // While working: what has to leave first, with its other side.
    std::vector<MediumId> evicted;
    // What is open is gone, or its drive is: not to be leased any more.
    bool lost = false;
    std::string problem;             // while offline: why
    PlanClock::time_point retry_at;  // while offline
    uint64_t last_used = 0;
    uint64_t loads = 0;
    uint32_t failures = 0;
    bool sent_home = false;  // Shutdown has tried
  };

  struct Lease {
    size_t drive = 0;
    MediumId medium;
    LeaseMode mode = LeaseMode::kShared;
    std::string owner;
    std::function<void()> on_recall;
    bool granted = false;
    bool recalled = false;
  };

  struct Waiting {
    RequestId id = 0;
    std::vector<LeaseRequest> leases;
    LeasePriority priority = LeasePriority::kForeground;
    PlanClock::time_point arrival;
    Grant grant;
  };

  // A request whose drives are reserved and being loaded.
  struct Starting {
    std::vector<uint64_t> tokens;
    size_t pending = 0;  // loads under way
    QueuedRequest told;  // for Queue
    PlanClock::time_point arrival, since;
    std::optional<Error> failure;
    Grant grant;  // empty once it was answered (cancelled)
  };

  Impl(std::unique_ptr<Changer> changer_in, const LibraryOptions& options_in)
      : options(options_in), changer(std::move(changer_in)) {}
  ~Impl();

  // ---- library_drives.cc

  // Before the threads run: identifies everything, sends media home.
  Status Start(std::vector<std::unique_ptr<Drive>> drives);
  void DriveLoop(size_t index);
  Status RunTask(size_t index, const Task& task);
  Status Load(size_t index, const MediumId& medium,
              const std::stop_token& give_up);
  // What a manual library has to find out before a load: people put media in
  // and take them out when they like.
  Status LookBeforeLoad(size_t index, const MediumId& medium);
  // Looks at the docks of a manual library every second: what the operator
  // does unasked is known before a drive is chosen, and who uses a medium that
  // was pulled is asked to give it up.
  void WatchLoop();
  void NoticeLocked(std::vector<ElementStatus> statuses, uint64_t look)
      REQUIRES(mu);
  // Without turns a status may come late: one that was asked for earlier than
  // the one in the book is dropped. `look`: its number of `looks`.
  void RebuildLocked(std::vector<ElementStatus> statuses, uint64_t look)
      REQUIRES(mu);
  // Asks the changer now and then whether somebody changed its elements.
  void AskLoop();
  // Reads the elements again if so. REQUIRES: the turn is taken.
  Status ReadIfChangedInTurn();
  // Closes what is open in the drive.
  Status CloseDrive(size_t index);
  // Closes what is open in the drive and moves it to `target`, or home.
  Status Unload(size_t index, std::optional<ElementAddress> target,
                const std::stop_token& give_up = {});
  void FinishTaskLocked(size_t index, const Task& task, const Status& status)
      REQUIRES(mu);
  void GiveTaskLocked(size_t index, Task task) REQUIRES(mu);

  // ---- library_recovery.cc

  // A call of what is open in the drive failed because it is gone.
  void Lose(size_t index, const Error& error);
  void PutAsideLocked(size_t index, const std::string& why) REQUIRES(mu);
  // Gives the drives that need it a task, and tells when to look again.
  void RecoverDrivesLocked() REQUIRES(mu);
  Status Recover(size_t index);

  // Every move goes through here: one at a time, the book kept true. After an
  // error the element status has been read again.
  // `side_b`: which side of a two-sided medium is up afterwards.
  Status MoveTracked(ElementAddress from, ElementAddress to,
                     const std::stop_token& give_up = {}, bool side_b = false);
  Status MoveHome(ElementAddress from, const std::stop_token& give_up = {});
  Status MoveInTurn(ElementAddress from, ElementAddress to,
                    const std::stop_token& give_up, bool side_b);
  // Takes what is in the drive out of it for `medium`, which may be in it then.
  Status MakeRoom(size_t index, const MediumId& medium);
  // One way of the robot for what is in the drive and what is wanted there.
  // False: it has to be two, nothing was moved.
  Result<bool> TryExchange(size_t index, const MediumId& medium);
  // Turns over what is in the drive. False: it has to go home first.
  Result<bool> TryTurnOver(size_t index, const MediumId& medium);
  Status AfterMoveInTurn(const Status& moved, const std::string& what);
  Status ReadStatusInTurn();
  // A manual changer has no turns: a request that is open for hours keeps
  // nobody else from the library.
  void BeginTurnLocked() REQUIRES(mu);
  void EndTurnLocked() REQUIRES(mu);

  // ---- library_scheduler.cc

  void SchedulerLoop();
  // Everything that can be decided now; fills `calls_`.
  void ScheduleLocked() REQUIRES(mu);
  void AnswerWaitingLocked(RequestId id, Error error) REQUIRES(mu);
  void FailHopelessLocked() REQUIRES(mu);
  void FinishStartsLocked() REQUIRES(mu);
  void JoinLoadedLocked(size_t drive) REQUIRES(mu);
  void GrantLocked(const std::vector<uint64_t>& tokens, Grant grant)
      REQUIRES(mu);
  void ApplyPlanLocked() REQUIRES(mu);
  void StartLocked(Waiting request, const std::vector<size_t>& drives)
      REQUIRES(mu);
  void RecallLocked(size_t drive) REQUIRES(mu);
  void DrainLocked() REQUIRES(mu);  // while shutting down
  bool DrainedLocked() const REQUIRES(mu);
  // Ends a lease that was never handed out.
  void ForgetLeaseLocked(uint64_t token) REQUIRES(mu);
  uint64_t AddLeaseLocked(LeaseRequest request, size_t drive) REQUIRES(mu);
  std::vector<PlannedDrive> PlannedDrivesLocked() const REQUIRES(mu);
  // Why the request cannot ever be met as things are.
  std::optional<Error> HopelessLocked(
      const std::vector<LeaseRequest>& leases) const REQUIRES(mu);

  // ---- both

  // Something that a thread may wait for has changed.
  void ChangedLocked() REQUIRES(mu);
  // Whether the drive that was taken offline is there, and still the same one.
  // The caller wakes state_cv when `given` is requested.
  Status AskDriveLocked(size_t index, const std::stop_token& given)
      REQUIRES(mu);
  bool LeasedLocked(size_t drive) const REQUIRES(mu);
  // Only until a cancelled request is forgotten.
  bool EndingLocked(size_t drive) const REQUIRES(mu);
  bool IsReadyLocked(const DriveSlot& slot) const REQUIRES(mu);
  MediumId MediumInLocked(const DriveSlot& slot) const REQUIRES(mu);
  // The medium and its other side.
  std::vector<MediumId> SidesLocked(const MediumId& id) const REQUIRES(mu);
  std::optional<size_t> DriveAt(ElementAddress address) const;
  // A request gets the drive that others kept from it: how long for.
  void NoteTurnLocked(const DriveSlot& slot, PlanClock::time_point arrival)
      REQUIRES(mu);
  size_t OnlineLocked() const REQUIRES(mu);
  void DropLease(uint64_t token);
  // Of a manual library: what makes the moves under way give up, those of one
  // request or all. To be called without the lock.
  void StopMovesLocked(std::optional<RequestId> start,
                       std::vector<std::stop_source>* stops) REQUIRES(mu);

  Library* owner = nullptr;
  const LibraryOptions options;
  const std::unique_ptr<Changer> changer;  // used in turn, see BeginTurnLocked
  ChangerIdentity identity;
  // Its size and the constant members of the slots do not change after Start.
  std::vector<std::unique_ptr<DriveSlot>> drives;
  std::jthread scheduler;
  std::jthread watch;                 // of the changer
  std::atomic<bool> exchanges{true};  // as far as was tried

  // The only lock here. Never held over device I/O or a callback; no other
  // lock is taken while it is held.
  mutable Mutex mu;
  CondVar scheduler_cv;  // dirty, stop
  CondVar task_cv;       // a drive has a task, stop
  CondVar watch_cv;      // stop
  CondVar state_cv;      // anything else

  ElementBook book GUARDED_BY(mu);
  bool turn_taken GUARDED_BY(mu) = false;  // somebody uses the changer
  uint64_t looks GUARDED_BY(mu) = 0;  // element statuses that were asked for
  uint64_t newest_look GUARDED_BY(mu) = 0;  // of the book
  size_t moves GUARDED_BY(mu) = 0;          // under way in a manual library
  std::set<MediumId> in_transit GUARDED_BY(mu);
  std::map<uint64_t, Lease> leases GUARDED_BY(mu);  // by token
  std::deque<Waiting> waiting GUARDED_BY(mu);       // in order of arrival
  std::map<RequestId, Starting> starting GUARDED_BY(mu);
  uint64_t next_id GUARDED_BY(mu) = 1;  // of requests and leases
  uint64_t use_clock GUARDED_BY(mu) = 0;
  bool dirty GUARDED_BY(mu) = false;
  bool calling GUARDED_BY(mu) = false;  // callbacks are running
  bool shutting_down GUARDED_BY(mu) = false;
  bool offline GUARDED_BY(mu) = false;  // by command
  // Means of late: to bring a medium, and how long one is kept from others.
  std::chrono::nanoseconds load_time GUARDED_BY(mu){0};
  std::chrono::nanoseconds turn_time GUARDED_BY(mu){0};
  bool stop GUARDED_BY(mu) = false;
  std::optional<PlanClock::time_point> wake_at GUARDED_BY(mu);
  // Grants and recalls to be called by the scheduler's thread, unlocked.
  std::vector<std::function<void()>> calls GUARDED_BY(mu);
};

}  // namespace vellum
