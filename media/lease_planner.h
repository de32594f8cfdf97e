// SPDX-License-Identifier: Apache-2.0
// Which waiting requests get which drives now, and whose leases are recalled
// for the rest. A pure function of what Library knows, so that its rules can
// be tested without threads, devices or clocks.
//
// Rules
// - Foreground requests come before copies, each in order of arrival. A copy
//   that has waited for kAgeing counts as foreground.
// - A request starts when all its media can have a drive at once, or not at
//   all: no request ever holds one drive while it waits for another.
// - A medium that is in a drive is used there, the other side of it, too.
//   Others get, in this order, an empty drive, the least recently used idle one
//   (those whose medium nobody waits for first), or the one whose shared leases
//   are recalled.
// - A request that waits only for recalls, or for moves that are under way,
//   keeps its drives from all later requests. One that must wait for leases
//   that cannot be recalled keeps its drives only from requests that could not
//   be made to give them back: the drives go on serving reads meanwhile.
#pragma once

#include <chrono>
#include <cstdint>
#include <optional>
#include <set>
#include <vector>

#include "media/library.h"

namespace vellum {

using PlanClock = std::chrono::steady_clock;
inline constexpr std::chrono::seconds kAgeing{30};

struct PlannedDrive {
  bool online = true;
  // A load, unload or move is under way. With `leased` it is done for a
  // request; without, the drive is idle afterwards.
  bool working = false;
  MediumId medium;      // in the drive, or on its way into it; empty: none
  bool loaded = false;  // `medium` is ready for use
  bool leased = false;  // also by a request whose loads are not done yet
  bool exclusive = false;
  bool recallable = true;  // every lease on it can be recalled
  bool recalled = false;   // and its leases have been asked for already
  uint64_t last_used = 0;  // grows
  uint32_t failures = 0;   // failed loads since the last success
  // Of `medium`, if it has one: only this drive can serve it, by turning over.
  MediumId other_side;
};

struct PlannedLease {
  MediumId medium;
  LeaseMode mode = LeaseMode::kShared;
  bool recallable = false;
  MediumId other_side;  // of the medium, if it has one
};

struct PlannedRequest {
  std::vector<PlannedLease> leases;
  LeasePriority priority = LeasePriority::kForeground;
  PlanClock::time_point arrival;
};

struct LeasePlan {
  struct Start {
    size_t request;              // index
    std::vector<size_t> drives;  // one for each lease
  };
  std::vector<Start> starts;
  std::vector<size_t> recalls;  // drives whose leases are wanted back
  // When the next copy comes of age.
  std::optional<PlanClock::time_point> next_ageing;
};

// `requests` in order of arrival. `in_transit`: media that are being moved out
// of a drive or between slots: requests for them wait.
LeasePlan PlanLeases(std::vector<PlannedDrive> drives,
                     const std::vector<PlannedRequest>& requests,
                     const std::set<MediumId>& in_transit,
                     PlanClock::time_point now);

}  // namespace vellum
