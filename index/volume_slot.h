// SPDX-License-Identifier: Apache-2.0
// What Volumes knows of one volume. Private to index/volumes*.cc.
//
// Thread-safety: every member is guarded by Volumes::Impl::mu_. The lease is
// used without it by the one worker that moves the volume out of kLoading or
// kClosing.
#pragma once

#include <chrono>
#include <cstdint>
#include <list>
#include <map>
#include <memory>
#include <optional>
#include <string>

#include "index/records.h"
#include "index/volume.h"
#include "index/volumes.h"
#include "media/error.h"
#include "media/library.h"

namespace vellum {

// An operation that waits for its volume.
struct ParkedOperation {
  Volumes::Ticket ticket = 0;
  Volumes::Operation run;
  uint64_t address = 0;  // of its data on the medium
  bool hold = false;
  std::string holder;  // of a hold: who wants it
  bool ready = false;  // is in VolumeSlot::ready
};

//             an operation arrives             grant            attached
//   kUnloaded -----------------> kRequested --------> kLoading -------->
//   kLoaded
//       ^                            | error, cancel      | error           |
//       +----------------------------+--------------------+    kClosing <---+
//       +----------------------------------------------------------+  idle, and
//                                      recalled, to be excluded or shutting
//                                      down
enum class SlotPhase : uint8_t {
  kUnloaded,
  kRequested,  // a lease is asked for; exactly one grant will come
  kLoading,    // lease held, a worker attaches
  kLoaded,     // lease held, attached
  kClosing,    // a worker detaches, or fails what waited
};

struct VolumeSlot {
  std::shared_ptr<Volume> volume;
  // As in the volume's record: what look-ups need.
  std::string id;
  MediumId medium;
  std::string medium_uuid;
  // Name and role are those on the medium, as far as they can be.
  bool compared = false;

  SlotPhase phase = SlotPhase::kUnloaded;
  MediumLease lease;
  uint64_t attempt = 0;  // number of the newest request for a lease
  std::optional<Library::RequestId> request;  // once Acquire has told it
  bool cancel_request = false;  // the request is not wanted any more
  bool recalled = false;        // the library wants the drive
  std::chrono::steady_clock::time_point loaded_at;
  std::chrono::steady_clock::time_point used_at;  // the last use ended
  // Recalled: how long it may stay at most while operations keep coming.
  std::chrono::steady_clock::time_point turn_end;
  // Its last close was refused: the changes found no room on the host's disk.
  Status close_error;

  uint32_t uses = 0;                      // holds included
  std::map<uint64_t, std::string> holds;  // id of the hold -> who
  std::list<ParkedOperation> parked;      // wait for a load
  std::list<ParkedOperation> ready;       // loaded: wait for a worker
  bool checkpointing = false;      // the timer's commit is queued or runs
  bool checkpoint_failed = false;  // the last one did, and has been told of

  uint32_t waiting_exclusions = 0;
  bool excluded = false;
  std::map<uint64_t, std::string> reservations;  // number -> who
  bool replacing = false;  // Put or Forget stores its record
  bool forgotten = false;  // no longer in the tables

  // Nothing keeps the volume loaded.
  bool idle() const { return uses == 0 && ready.empty(); }
  // It cannot be excluded, however long one waits.
  bool kept() const { return !holds.empty() || !reservations.empty(); }
  // Nothing may load the volume.
  bool blocked() const {
    return excluded || waiting_exclusions > 0 || replacing || forgotten;
  }
};

}  // namespace vellum
