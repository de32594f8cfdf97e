// SPDX-License-Identifier: Apache-2.0
// Leases of Library: sharing, recall, order, cancellation.
#include "media/library.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <atomic>
#include <chrono>
#include <future>
#include <mutex>
#include <random>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "tests/media/library_fixture.h"
#include "tests/support/fake_library.h"
#include "tests/support/status_matchers.h"

namespace vellum {
namespace {

using testing::ElementsAre;

using Leases = std::vector<MediumLease>;

// ---- loading and sharing

TEST_F(LibraryTest, LoadsAMediumAndShowsIt) {
  Open();
  MediumLease lease = Take(Shared("V00002"));
  EXPECT_TRUE(lease);
  EXPECT_EQ(lease.id(), "V00002");
  EXPECT_EQ(fake_->WhereIs("V00002"), lease.drive());
  Bytes data(kSectorSize, std::byte{9});
  EXPECT_OK(lease.medium().Write(0, data));
  Bytes back(kSectorSize);
  EXPECT_OK(fake_->Content("V00002")->Read(0, back));
  EXPECT_EQ(back, data);

  const auto drives = library_->Drives();
  const DriveState& drive = drives[lease.drive().value - 256];
  EXPECT_EQ(drive.medium, "V00002");
  EXPECT_EQ(drive.activity, "shared");
  EXPECT_THAT(drive.owners, ElementsAre("reader of V00002"));
  EXPECT_EQ(drive.loads, 1u);
  ASSERT_OK_AND_ASSIGN(const MediumPlace place, library_->FindMedium("V00002"));
  EXPECT_TRUE(place.loaded);
  EXPECT_EQ(place.element, lease.drive());
  EXPECT_EQ(place.home, ElementAddress{1025});
}

TEST_F(LibraryTest, ManyShareOneMedium) {
  Open(Drives(1));
  MediumLease first = Take(Shared("V00001"));
  MediumLease second = Take(Shared("V00001"));
  EXPECT_EQ(&first.medium(), &second.medium());
  EXPECT_EQ(fake_->loads(), 1u);
  EXPECT_EQ(library_->Drives()[0].owners.size(), 2u);
}

TEST_F(LibraryTest, AMediumStaysLoadedUntilTheDriveIsNeeded) {
  Open(Drives(1));
  Take(Shared("V00001")).Release();
  EXPECT_EQ(Activity(0), "idle");
  Take(Shared("V00001")).Release();
  EXPECT_EQ(fake_->loads(), 1u);
  Take(Shared("V00002")).Release();
  EXPECT_EQ(fake_->WhereIs("V00001"), ElementAddress{1024});
  EXPECT_EQ(fake_->WhereIs("V00002"), ElementAddress{256});
}

TEST_F(LibraryTest, O19_TheLeastRecentlyUsedIdleMediumLeaves) {
  Open(Drives(2));
  Take(Shared("V00001")).Release();
  Take(Shared("V00002")).Release();
  Take(Shared("V00001")).Release();
  Take(Shared("V00003")).Release();
  EXPECT_EQ(fake_->WhereIs("V00002"), ElementAddress{1025});
  EXPECT_EQ(fake_->WhereIs("V00001").value / 256, 1);
}

TEST_F(LibraryTest, ExclusiveKeepsOthersOut) {
  Open(Drives(2));
  MediumLease lease = Take(Exclusive("V00001"));
  EXPECT_EQ(Activity(lease.drive().value - 256), "exclusive");
  Answer shared = Ask({Shared("V00001")});
  Answer exclusive = Ask({Exclusive("V00001")});
  Settle();
  EXPECT_FALSE(shared.answered());
  EXPECT_FALSE(exclusive.answered());
  EXPECT_EQ(library_->WaitingRequests(), 2u);
  lease.Release();
  { EXPECT_OK(shared.Wait()); }
  EXPECT_OK(exclusive.Wait());
}

// ---- recall

TEST_F(LibraryTest, RecallsASharedLeaseWhenADriveIsNeeded) {
  Open(Drives(1));
  auto polite = TakePolite("V00001");
  MediumLease other = Take(Shared("V00002"));
  EXPECT_EQ(recalls_, 1);
  EXPECT_EQ(fake_->WhereIs("V00001"), ElementAddress{1024});
}

TEST_F(LibraryTest, RecallsTheLeastRecentlyUsedHolderOnly) {
  Open(Drives(2));
  auto first = TakePolite("V00001");
  auto second = TakePolite("V00002");
  MediumLease third = Take(Shared("V00003"));
  EXPECT_EQ(recalls_, 1);
  EXPECT_EQ(fake_->WhereIs("V00001"), ElementAddress{1024});
  EXPECT_EQ(fake_->WhereIs("V00002").value / 256, 1);
}

TEST_F(LibraryTest, ExclusiveRecallsSharersOfItsMedium) {
  Open(Drives(2));
  auto a = TakePolite("V00001");
  auto b = TakePolite("V00001");
  MediumLease lease = Take(Exclusive("V00001"));
  EXPECT_EQ(recalls_, 2);
  EXPECT_EQ(fake_->loads(), 1u);
}

TEST_F(LibraryTest, O19_NobodyIsRobbed) {
  Open(Drives(2));
  MediumLease exclusive = Take(Exclusive("V00001"));
  MediumLease unrecallable = Take(Shared("V00002"));
  Answer third = Ask({Shared("V00003")});
  Settle();
  EXPECT_FALSE(third.answered());
  unrecallable.Release();
  EXPECT_OK(third.Wait());
  EXPECT_EQ(fake_->WhereIs("V00001"), exclusive.drive());
}

TEST_F(LibraryTest, ARecallIsAskedOnce) {
  Open(Drives(1));
  std::atomic<int> asked{0};
  LeaseRequest request = Shared("V00001");
  request.on_recall = [&asked] { ++asked; };
  MediumLease lease = Take(std::move(request));
  Answer second = Ask({Shared("V00002")});
  Answer third = Ask({Shared("V00003")});
  Settle();
  EXPECT_EQ(asked, 1);
  lease.Release();
  { EXPECT_OK(second.Wait()); }
  EXPECT_OK(third.Wait());
}

// ---- together or not at all

TEST_F(LibraryTest, TwoLeasesComeTogetherInTheirOrder) {
  Open(Drives(2));
  Take(Shared("V00002")).Release();
  auto leases =
      library_->AcquireAndWait({Exclusive("V00001"), Exclusive("V00002")});
  ASSERT_OK(leases);
  ASSERT_EQ(leases->size(), 2u);
  EXPECT_EQ((*leases)[0].id(), "V00001");
  EXPECT_EQ((*leases)[1].id(), "V00002");
  EXPECT_EQ(fake_->loads(), 2u);  // V00002 was in its drive already
}

TEST_F(LibraryTest, TwoLeasesHoldNoDriveWhileTheyWait) {
  Open(Drives(2));
  MediumLease busy = Take(Exclusive("V00001"));
  Answer both = Ask({Exclusive("V00002"), Exclusive("V00003")});
  Settle();
  EXPECT_FALSE(both.answered());
  EXPECT_EQ(fake_->loads(), 1u);
  // The free drive goes on serving reads meanwhile.
  auto reader = TakePolite("V00004");
  EXPECT_FALSE(both.answered());
  busy.Release();
  EXPECT_OK(both.Wait());
  EXPECT_EQ(recalls_, 1);
}

TEST_F(LibraryTest, TwoJobsWithTwoDrivesEachCannotDeadlock) {
  Open(Drives(2));
  std::vector<std::thread> jobs;
  std::atomic<int> done{0};
  for (int job = 0; job < 4; ++job) {
    jobs.emplace_back([this, job, &done] {
      for (int round = 0; round < 25; ++round) {
        std::vector<LeaseRequest> requests = {Exclusive("V00001"),
                                              Exclusive("V00002")};
        if (job % 2 == 1) std::swap(requests[0], requests[1]);
        if (job == 3) requests[1] = Exclusive("V00003");
        auto leases = library_->AcquireAndWait(std::move(requests));
        EXPECT_OK(leases);
        ++done;
      }
    });
  }
  for (std::thread& job : jobs) job.join();
  EXPECT_EQ(done, 100);
}

TEST_F(LibraryTest, MoreMediaThanDrivesFailsAtOnceAndMovesNothing) {
  Open(Drives(1));
  const auto result =
      library_->AcquireAndWait({Exclusive("V00001"), Exclusive("V00002")});
  EXPECT_THAT(result, HasErrc(Errc::kBusy));
  EXPECT_THAT(result, MessageHas("2 drives"));
  EXPECT_EQ(fake_->moves(), 0u);
}

// ---- bad requests

TEST_F(LibraryTest, UnknownMediaAreNamed) {
  Open();
  const auto result =
      library_->AcquireAndWait({Shared("V00001"), Shared("NONE")});
  EXPECT_THAT(result, HasErrc(Errc::kNoMedium));
  EXPECT_THAT(result, MessageHas("NONE"));
  EXPECT_EQ(fake_->moves(), 0u);
}

TEST_F(LibraryTest, EmptyAndDoubleRequestsAreRefused) {
  Open();
  EXPECT_THAT(library_->AcquireAndWait({}), HasErrc(Errc::kInvalidArgument));
  EXPECT_THAT(library_->AcquireAndWait({Shared("V00001"), Shared("V00001")}),
              HasErrc(Errc::kInvalidArgument));
}

// ---- order

TEST_F(LibraryTest, ForegroundBeforeCopiesThenInOrder) {
  Open(Drives(1));
  MediumLease busy = Take(Exclusive("V00001"));
  std::mutex mu;
  std::vector<std::string> order;
  std::vector<Answer> answers;
  const auto ask = [&](LeaseRequest request, LeasePriority priority) {
    request.priority = priority;
    const MediumId medium = request.medium;
    answers.emplace_back();
    library_->Acquire(
        {std::move(request)},
        [&, medium, grant = answers.back().Grant()](Result<Leases> result) {
          {
            const std::lock_guard<std::mutex> lock(mu);
            order.push_back(medium);
          }
          EXPECT_OK(result);
          result = Leases();  // dropped at once
          grant(std::move(result));
        });
  };
  ask(Exclusive("V00002"), LeasePriority::kCopy);
  ask(Exclusive("V00003"), LeasePriority::kCopy);
  ask(Shared("V00004"), LeasePriority::kForeground);
  busy.Release();
  for (Answer& answer : answers) EXPECT_OK(answer.Wait());
  EXPECT_THAT(order, ElementsAre("V00004", "V00002", "V00003"));
}

TEST_F(LibraryTest, TwoHundredWaitingRequestsCostAsManyLoadsAsMedia) {
  Open(Drives(1));
  MediumLease busy = Take(Exclusive("V00001"));
  std::atomic<int> granted{0};
  std::vector<Answer> answers(200);
  for (size_t i = 0; i < answers.size(); ++i) {
    LeaseRequest request = Shared(i % 2 == 0 ? "V00002" : "V00003");
    request.on_recall = [] {};
    library_->Acquire(
        {std::move(request)},
        [&granted, grant = answers[i].Grant()](Result<Leases> result) {
          EXPECT_OK(result);
          ++granted;
          result = Leases();
          grant(std::move(result));
        });
  }
  EXPECT_EQ(library_->WaitingRequests(), 200u);
  // None of it keeps anybody from asking or looking.
  EXPECT_EQ(library_->Media().size(), 4u);
  busy.Release();
  for (Answer& answer : answers) EXPECT_OK(answer.Wait());
  EXPECT_EQ(granted, 200);
  EXPECT_EQ(fake_->loads(), 3u);
}

// ---- cancel

TEST_F(LibraryTest, CancelOfAWaitingRequest) {
  Open(Drives(1));
  MediumLease busy = Take(Exclusive("V00001"));
  Answer answer = Ask({Shared("V00002")});
  library_->Cancel(last_id_);
  EXPECT_THAT(answer.Wait(), HasErrc(Errc::kInterrupted));
  busy.Release();
  Settle();
  EXPECT_EQ(answer.calls(), 1);
  EXPECT_EQ(fake_->loads(), 1u);
}

TEST_F(LibraryTest, CancelDuringALoadAnswersWithoutWaitingForTheRobot) {
  Open(Drives(1));
  fake_->HoldMoves(true);
  Answer answer = Ask({Shared("V00001")});
  fake_->AwaitHeldMove();
  EXPECT_EQ(Activity(0), "loading V00001");
  library_->Cancel(last_id_);
  EXPECT_THAT(answer.Wait(), HasErrc(Errc::kInterrupted));
  fake_->HoldMoves(false);
  // The load is of use to the next one.
  MediumLease lease = Take(Exclusive("V00001"));
  EXPECT_EQ(fake_->loads(), 1u);
  EXPECT_EQ(answer.calls(), 1);
}

TEST_F(LibraryTest, CancelOfAGrantedRequestHasNoEffect) {
  Open();
  Answer answer = Ask({Exclusive("V00001")});
  auto leases = answer.Wait();
  ASSERT_OK(leases);
  library_->Cancel(last_id_);
  Settle();
  EXPECT_EQ(answer.calls(), 1);
  EXPECT_EQ(Activity((*leases)[0].drive().value - 256), "exclusive");
}

TEST_F(LibraryTest, AWaitEndsWhenItIsStopped) {
  Open(Drives(1));
  MediumLease busy = Take(Exclusive("V00001"));
  std::stop_source stop;
  auto waiting = std::async(std::launch::async, [&] {
    return library_->AcquireAndWait({Shared("V00002")}, stop.get_token());
  });
  while (library_->WaitingRequests() == 0) std::this_thread::yield();
  stop.request_stop();
  EXPECT_THAT(waiting.get(), HasErrc(Errc::kInterrupted));
}

// ---- everything at once

TEST_F(LibraryTest, ManyThreadsManyMedia) {
  FakeLibraryOptions options;
  options.drives = 3;
  options.media = 8;
  Open(options);
  std::vector<std::thread> threads;
  std::atomic<int> ok{0};
  for (unsigned t = 0; t < 8; ++t) {
    threads.emplace_back([this, t, &ok] {
      std::mt19937 rng(t);
      for (int i = 0; i < 60; ++i) {
        const auto medium = [&rng] {
          return "V0000" + std::to_string(1 + rng() % 8);
        };
        std::vector<LeaseRequest> requests;
        requests.push_back(rng() % 3 == 0 ? Exclusive(medium())
                                          : Shared(medium()));
        if (rng() % 4 == 0) {
          LeaseRequest second = Exclusive(medium());
          if (second.medium != requests[0].medium) {
            requests.push_back(std::move(second));
          }
        }
        for (LeaseRequest& request : requests) {
          if (rng() % 2 == 0) request.priority = LeasePriority::kCopy;
        }
        std::stop_source stop;
        if (rng() % 8 == 0) stop.request_stop();
        auto leases =
            library_->AcquireAndWait(std::move(requests), stop.get_token());
        if (leases.ok()) {
          ++ok;
          for (MediumLease& lease : *leases) {
            EXPECT_EQ(lease.medium().Info().name, lease.id());
          }
        } else {
          EXPECT_EQ(leases.error().code, Errc::kInterrupted);
        }
        if (rng() % 16 == 0) {
          // Busy or done; either way nothing is lost.
          library_->SendHome(medium()).IgnoreError("may be busy");
        }
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_GT(ok, 300);
  library_->Shutdown();
  for (int i = 1; i <= 8; ++i) {
    EXPECT_EQ(fake_->WhereIs("V0000" + std::to_string(i)).value, 1023 + i);
  }
}

}  // namespace
}  // namespace vellum
