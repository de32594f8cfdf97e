// SPDX-License-Identifier: Apache-2.0
// The rules of lease_planner.h, one by one.
#include "media/lease_planner.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace vellum {
namespace {

using testing::ElementsAre;
using testing::IsEmpty;
using testing::UnorderedElementsAre;

PlannedDrive Empty() { return PlannedDrive{}; }

PlannedDrive Idle(const MediumId& medium, uint64_t last_used = 0) {
  PlannedDrive drive;
  drive.medium = medium;
  drive.loaded = true;
  drive.last_used = last_used;
  return drive;
}

PlannedDrive Shared(const MediumId& medium, bool recallable = true,
                    uint64_t last_used = 0) {
  PlannedDrive drive = Idle(medium, last_used);
  drive.leased = true;
  drive.recallable = recallable;
  return drive;
}

PlannedDrive Exclusive(const MediumId& medium) {
  PlannedDrive drive = Shared(medium, /*recallable=*/false);
  drive.exclusive = true;
  return drive;
}

class LeasePlannerTest : public testing::Test {
 protected:
  // A request for shared, recallable leases.
  PlannedRequest Reads(std::vector<MediumId> media) {
    PlannedRequest request;
    request.arrival = now_;
    for (MediumId& medium : media) {
      request.leases.push_back(
          {std::move(medium), LeaseMode::kShared, true, {}});
    }
    return request;
  }
  PlannedRequest Takes(std::vector<MediumId> media) {
    PlannedRequest request = Reads(std::move(media));
    for (PlannedLease& lease : request.leases) {
      lease.mode = LeaseMode::kExclusive;
      lease.recallable = false;
    }
    return request;
  }
  PlannedRequest Copy(PlannedRequest request,
                      std::chrono::seconds waited = std::chrono::seconds(0)) {
    request.priority = LeasePriority::kCopy;
    request.arrival = now_ - waited;
    return request;
  }
  // Plans, and splits the starts up for the matchers.
  void Plan(std::vector<PlannedDrive> drives,
            const std::vector<PlannedRequest>& requests,
            const std::set<MediumId>& in_transit = {}) {
    plan_ = PlanLeases(std::move(drives), requests, in_transit, now_);
    started_.clear();
    drives_.clear();
    for (const LeasePlan::Start& start : plan_.starts) {
      started_.push_back(start.request);
      drives_.push_back(start.drives);
    }
  }

  const PlanClock::time_point now_ =
      PlanClock::time_point() + std::chrono::hours(1);
  LeasePlan plan_;
  std::vector<size_t> started_;
  std::vector<std::vector<size_t>> drives_;
};

TEST_F(LeasePlannerTest, UsesTheDriveThatHoldsTheMedium) {
  Plan({Empty(), Idle("A")}, {Reads({"A"})});
  EXPECT_THAT(drives_, ElementsAre(ElementsAre(1)));
}

TEST_F(LeasePlannerTest, PrefersAnEmptyDrive) {
  Plan({Idle("A"), Empty()}, {Reads({"B"})});
  EXPECT_THAT(drives_, ElementsAre(ElementsAre(1)));
}

TEST_F(LeasePlannerTest, O19_EvictsTheLeastRecentlyUsedIdleMedium) {
  Plan({Idle("A", 9), Idle("B", 3), Idle("C", 7)}, {Reads({"D"})});
  EXPECT_THAT(drives_, ElementsAre(ElementsAre(1)));
}

TEST_F(LeasePlannerTest, SparesAnIdleMediumThatSomebodyWaitsFor) {
  Plan({Idle("A", 1), Idle("B", 2)}, {Reads({"C"}), Reads({"A"})});
  EXPECT_THAT(started_, ElementsAre(0, 1));
  EXPECT_THAT(drives_, ElementsAre(ElementsAre(1), ElementsAre(0)));
  EXPECT_THAT(plan_.recalls, IsEmpty());
}

TEST_F(LeasePlannerTest, AvoidsADriveWhoseLastLoadFailed) {
  PlannedDrive bad = Empty();
  bad.failures = 1;
  Plan({bad, Idle("A")}, {Reads({"B"})});
  EXPECT_THAT(drives_, ElementsAre(ElementsAre(1)));
  Plan({bad, Exclusive("A")}, {Reads({"B"})});
  EXPECT_THAT(drives_, ElementsAre(ElementsAre(0)));
}

TEST_F(LeasePlannerTest, SharesAMedium) {
  Plan({Shared("A", false)}, {Reads({"A"}), Reads({"A"})});
  EXPECT_THAT(started_, ElementsAre(0, 1));
}

TEST_F(LeasePlannerTest, RecallsTheLeastRecentlyUsedSharedLease) {
  Plan({Shared("A", true, 5), Shared("B", true, 2)}, {Reads({"C"})});
  EXPECT_THAT(started_, IsEmpty());
  EXPECT_THAT(plan_.recalls, ElementsAre(1));
}

TEST_F(LeasePlannerTest, OneRecallIsEnough) {
  PlannedDrive asked = Shared("A", true, 5);
  asked.recalled = true;
  Plan({asked, Shared("B", true, 2)}, {Reads({"C"})});
  EXPECT_THAT(plan_.recalls, ElementsAre(0));
}

TEST_F(LeasePlannerTest, O19_NeverRobsExclusiveOrUnrecallableLeases) {
  Plan({Exclusive("A"), Shared("B", false)}, {Reads({"C"})});
  EXPECT_THAT(started_, IsEmpty());
  EXPECT_THAT(plan_.recalls, IsEmpty());
}

TEST_F(LeasePlannerTest, ExclusiveWaitsForSharersAndRecallsThem) {
  Plan({Shared("A"), Empty()}, {Takes({"A"})});
  EXPECT_THAT(started_, IsEmpty());
  EXPECT_THAT(plan_.recalls, ElementsAre(0));
}

TEST_F(LeasePlannerTest, SharedWaitsForAnExclusiveHolder) {
  Plan({Exclusive("A"), Empty()}, {Reads({"A"})});
  EXPECT_THAT(started_, IsEmpty());
  EXPECT_THAT(plan_.recalls, IsEmpty());
}

TEST_F(LeasePlannerTest, TwoLeasesStartTogetherOrNotAtAll) {
  Plan({Empty(), Exclusive("X")}, {Takes({"A", "B"})});
  EXPECT_THAT(started_, IsEmpty());
  Plan({Empty(), Idle("X")}, {Takes({"A", "B"})});
  EXPECT_THAT(drives_, ElementsAre(UnorderedElementsAre(0, 1)));
}

TEST_F(LeasePlannerTest, TwoLeasesDoNotEvictEachOther) {
  // B is in the drive that would be the first choice for A.
  Plan({Idle("B", 1), Idle("X", 2)}, {Takes({"A", "B"})});
  EXPECT_THAT(drives_, ElementsAre(ElementsAre(1, 0)));
}

TEST_F(LeasePlannerTest, LaterRequestsDoNotTakeTheDrivesOfOneThatIsDueSoon) {
  Plan({Empty(), Shared("X")}, {Takes({"A", "B"}), Reads({"C"})});
  EXPECT_THAT(started_, IsEmpty());
  EXPECT_THAT(plan_.recalls, ElementsAre(1));
  // Not even to share what is being recalled.
  Plan({Empty(), Shared("X")}, {Takes({"A", "B"}), Reads({"X"})});
  EXPECT_THAT(started_, IsEmpty());
}

TEST_F(LeasePlannerTest, DrivesServeReadsWhileACopyWaitsForABusyDrive) {
  Plan({Empty(), Exclusive("X")}, {Takes({"A", "B"}), Reads({"C"})});
  EXPECT_THAT(started_, ElementsAre(1));
}

TEST_F(LeasePlannerTest, AWaitingCopyIsNotOvertakenByLaterCopies) {
  Plan({Empty(), Exclusive("X")}, {Takes({"A", "B"}), Takes({"C"})});
  EXPECT_THAT(started_, IsEmpty());
}

TEST_F(LeasePlannerTest, ForegroundComesBeforeCopies) {
  Plan({Empty()}, {Copy(Takes({"A"})), Reads({"B"})});
  EXPECT_THAT(started_, ElementsAre(1));
}

TEST_F(LeasePlannerTest, WithinAClassTheFirstComesFirst) {
  Plan({Empty()}, {Reads({"A"}), Reads({"B"})});
  EXPECT_THAT(started_, ElementsAre(0));
  Plan({Empty()}, {Copy(Takes({"A"})), Copy(Takes({"B"}))});
  EXPECT_THAT(started_, ElementsAre(0));
}

TEST_F(LeasePlannerTest, AnAgedCopyCountsAsForeground) {
  Plan({Empty()}, {Copy(Takes({"A"}), kAgeing), Reads({"B"})});
  EXPECT_THAT(started_, ElementsAre(0));
  EXPECT_EQ(plan_.next_ageing, std::nullopt);
  Plan({Empty()},
       {Copy(Takes({"A"}), kAgeing - std::chrono::seconds(1)), Reads({"B"})});
  EXPECT_THAT(started_, ElementsAre(1));
  EXPECT_EQ(plan_.next_ageing, now_ + std::chrono::seconds(1));
}

TEST_F(LeasePlannerTest, AMediumInTransitIsWaitedFor) {
  Plan({Empty()}, {Reads({"A"})}, {"A"});
  EXPECT_THAT(started_, IsEmpty());
  // And holds nobody else up.
  Plan({Empty()}, {Reads({"A"}), Reads({"B"})}, {"A"});
  EXPECT_THAT(started_, ElementsAre(1));
}

TEST_F(LeasePlannerTest, AMediumThatIsEvictedGetsNoOtherDriveMeanwhile) {
  // C takes the drive of A; the request for A must not send it to the drive of
  // B before it has left its own.
  Plan({Idle("A", 1), Idle("B", 2)},
       {Reads({"C"}), Reads({"A"}), Reads({"B"})});
  EXPECT_THAT(started_, ElementsAre(0, 2));
  EXPECT_THAT(drives_, ElementsAre(ElementsAre(0), ElementsAre(1)));
}

TEST_F(LeasePlannerTest, OfflineDrivesAreNotUsed) {
  PlannedDrive offline = Empty();
  offline.online = false;
  Plan({offline, Exclusive("X")}, {Reads({"A"})});
  EXPECT_THAT(started_, IsEmpty());
}

TEST_F(LeasePlannerTest, AMediumInADriveButNotReadyIsLoadedOnce) {
  PlannedDrive unopened = Idle("A");
  unopened.loaded = false;
  Plan({unopened, Empty()}, {Reads({"A"}), Reads({"A"})});
  EXPECT_THAT(started_, ElementsAre(0));
  EXPECT_THAT(drives_, ElementsAre(ElementsAre(0)));
}

}  // namespace
}  // namespace vellum
