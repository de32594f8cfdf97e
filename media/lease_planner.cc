// SPDX-License-Identifier: Apache-2.0
#include "media/lease_planner.h"

#include <algorithm>
#include <tuple>

namespace vellum {

namespace {

// When a drive can serve a lease.
enum class Ready {
  kNow,
  kSoon,  // after a recall, or a move under way
  kLate,  // after leases that cannot be recalled
};

enum class Claim {
  kNone,
  kSoft,  // by a request that waits kLate
  kHard,  // by a request that waits kSoon
};

// One pass over the requests.
class Planner {
 public:
  Planner(std::vector<PlannedDrive> drives,
          const std::vector<PlannedRequest>& requests,
          const std::set<MediumId>& in_transit, PlanClock::time_point now)
      : drives_(std::move(drives)),
        requests_(requests),
        in_transit_(in_transit),
        now_(now),
        claims_(drives_.size(), Claim::kNone) {
    for (const PlannedRequest& request : requests_) {
      for (const PlannedLease& lease : request.leases) {
        wanted_.insert(lease.medium);
      }
    }
  }

  LeasePlan Run() {
    for (const size_t i : Order()) Consider(i);
    return std::move(plan_);
  }

 private:
  struct Choice {
    size_t drive;
    Ready ready;
  };

  std::vector<size_t> Order() {
    std::vector<size_t> first;
    std::vector<size_t> copies;
    for (size_t i = 0; i < requests_.size(); ++i) {
      const PlannedRequest& request = requests_[i];
      const PlanClock::time_point of_age = request.arrival + kAgeing;
      if (request.priority == LeasePriority::kForeground || of_age <= now_) {
        first.push_back(i);
        continue;
      }
      copies.push_back(i);
      if (!plan_.next_ageing || of_age < *plan_.next_ageing) {
        plan_.next_ageing = of_age;
      }
    }
    first.insert(first.end(), copies.begin(), copies.end());
    return first;
  }

  void Consider(size_t index) {
    const std::vector<PlannedLease>& leases = requests_[index].leases;
    std::vector<std::optional<Choice>> choices(leases.size());
    std::vector<bool> taken(drives_.size(), false);
    // What is loaded first, so that no other lease of this request evicts it.
    for (size_t i = 0; i < leases.size(); ++i) {
      if (in_transit_.count(leases[i].medium) != 0) return;
      const std::optional<size_t> drive = DriveWith(leases[i].medium);
      if (!drive) continue;
      if (taken[*drive] || !MayUse(*drive, leases[i])) return;
      const bool up = drives_[*drive].medium == leases[i].medium;
      choices[i] = Choice{*drive, up ? LoadedReady(*drive, leases[i])
                                     : EmptiedReady(drives_[*drive])};
      taken[*drive] = true;
    }
    for (size_t i = 0; i < leases.size(); ++i) {
      if (choices[i]) continue;
      choices[i] = BestDrive(leases[i], taken);
      if (!choices[i]) return;  // earlier requests have a claim on them all
      taken[choices[i]->drive] = true;
    }
    Ready slowest = Ready::kNow;
    for (const auto& choice : choices) {
      slowest = std::max(slowest, choice->ready);
    }
    switch (slowest) {
      case Ready::kNow:
        Start(index, choices);
        break;
      case Ready::kSoon:
        for (const auto& choice : choices) Reserve(*choice);
        break;
      case Ready::kLate:
        for (const auto& choice : choices) {
          Claim& claim = claims_[choice->drive];
          claim = std::max(claim, Claim::kSoft);
        }
        break;
    }
  }

  std::optional<size_t> DriveWith(const MediumId& medium) const {
    for (size_t d = 0; d < drives_.size(); ++d) {
      const PlannedDrive& drive = drives_[d];
      if (!drive.online || drive.medium.empty()) continue;
      if (drive.medium == medium || drive.other_side == medium) return d;
    }
    return std::nullopt;
  }

  bool MayUse(size_t drive, const PlannedLease& lease) const {
    switch (claims_[drive]) {
      case Claim::kNone:
        return true;
      case Claim::kSoft:
        return lease.mode == LeaseMode::kShared && lease.recallable;
      case Claim::kHard:
        return false;
    }
    return false;
  }

  // For a drive that holds the wanted medium.
  Ready LoadedReady(size_t d, const PlannedLease& lease) const {
    const PlannedDrive& drive = drives_[d];
    if (drive.working) return Ready::kSoon;
    if (!drive.leased) return Ready::kNow;
    if (lease.mode == LeaseMode::kShared && !drive.exclusive) {
      return Ready::kNow;
    }
    return drive.recallable ? Ready::kSoon : Ready::kLate;
  }

  // For a drive that would have to be emptied.
  Ready EmptiedReady(const PlannedDrive& drive) const {
    if (!drive.leased) return drive.working ? Ready::kSoon : Ready::kNow;
    return drive.recallable && !drive.working ? Ready::kSoon : Ready::kLate;
  }

  std::optional<Choice> BestDrive(const PlannedLease& lease,
                                  const std::vector<bool>& taken) const {
    // Smaller is better.
    using Key = std::tuple<Ready, uint32_t, int, int, uint64_t>;
    std::optional<Choice> best;
    Key best_key;
    for (size_t d = 0; d < drives_.size(); ++d) {
      const PlannedDrive& drive = drives_[d];
      if (!drive.online || taken[d] || !MayUse(d, lease)) continue;
      int rank = 0;
      if (!drive.medium.empty()) {
        rank = wanted_.count(drive.medium) != 0 ? 2 : 1;
      }
      const Ready ready = EmptiedReady(drive);
      // A drive that was asked for already: one recall is enough.
      const Key key(ready, drive.failures, drive.recalled ? 0 : 1, rank,
                    drive.last_used);
      if (!best || key < best_key) {
        best = Choice{d, ready};
        best_key = key;
      }
    }
    return best;
  }

  void Start(size_t index, const std::vector<std::optional<Choice>>& choices) {
    LeasePlan::Start start;
    start.request = index;
    for (size_t i = 0; i < choices.size(); ++i) {
      const PlannedLease& lease = requests_[index].leases[i];
      PlannedDrive& drive = drives_[choices[i]->drive];
      if (drive.medium != lease.medium || !drive.loaded) {
        const bool turned = drive.other_side == lease.medium;
        if (!drive.medium.empty() && drive.medium != lease.medium) {
          in_transit_.insert(drive.medium);  // on its way home
          if (!turned && !drive.other_side.empty()) {
            in_transit_.insert(drive.other_side);
          }
        }
        drive.other_side = lease.other_side;
        drive.medium = lease.medium;
        drive.loaded = false;
        drive.working = true;
      }
      drive.leased = true;
      drive.exclusive = lease.mode == LeaseMode::kExclusive;
      drive.recallable = false;  // not before it was granted
      start.drives.push_back(choices[i]->drive);
    }
    plan_.starts.push_back(std::move(start));
  }

  void Reserve(const Choice& choice) {
    claims_[choice.drive] = Claim::kHard;
    const PlannedDrive& drive = drives_[choice.drive];
    if (choice.ready == Ready::kSoon && drive.leased && !drive.working) {
      plan_.recalls.push_back(choice.drive);
    }
  }

  std::vector<PlannedDrive> drives_;
  const std::vector<PlannedRequest>& requests_;
  std::set<MediumId> in_transit_;
  const PlanClock::time_point now_;
  std::vector<Claim> claims_;
  std::set<MediumId> wanted_;
  LeasePlan plan_;
};

}  // namespace

LeasePlan PlanLeases(std::vector<PlannedDrive> drives,
                     const std::vector<PlannedRequest>& requests,
                     const std::set<MediumId>& in_transit,
                     PlanClock::time_point now) {
  return Planner(std::move(drives), requests, in_transit, now).Run();
}

}  // namespace vellum
