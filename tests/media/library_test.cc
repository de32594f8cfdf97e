// SPDX-License-Identifier: Apache-2.0
#include "media/library.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <atomic>
#include <condition_variable>
#include <future>
#include <mutex>
#include <random>
#include <thread>
#include <utility>

#include "media/virtual_library.h"
#include "tests/support/fake_library.h"
#include "tests/support/status_matchers.h"
#include "tests/support/temp_dir.h"

namespace vellum {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::UnorderedElementsAre;

using Leases = std::vector<MediumLease>;

LeaseRequest Shared(const MediumId& medium) {
  LeaseRequest request;
  request.medium = medium;
  request.owner = "reader of " + medium;
  return request;
}

LeaseRequest Exclusive(const MediumId& medium) {
  LeaseRequest request = Shared(medium);
  request.mode = LeaseMode::kExclusive;
  request.owner = "copy to " + medium;
  return request;
}

// The answer to one request, to be waited for.
class Answer {
 public:
  Library::Grant Grant() {
    return [state = state_](Result<Leases> result) {
      const std::lock_guard<std::mutex> lock(state->mu);
      ++state->calls;
      state->result.emplace(std::move(result));
      state->cv.notify_all();
    };
  }
  Result<Leases> Wait() {
    std::unique_lock<std::mutex> lock(state_->mu);
    state_->cv.wait(lock, [this] { return state_->result.has_value(); });
    return std::move(*state_->result);
  }
  bool answered() const {
    const std::lock_guard<std::mutex> lock(state_->mu);
    return state_->calls > 0;
  }
  int calls() const {
    const std::lock_guard<std::mutex> lock(state_->mu);
    return state_->calls;
  }

 private:
  struct State {
    std::mutex mu;
    std::condition_variable cv;
    int calls = 0;
    std::optional<Result<Leases>> result;
  };
  std::shared_ptr<State> state_ = std::make_shared<State>();
};

class LibraryTest : public testing::Test {
 protected:
  void Open(FakeLibraryOptions options = {}) {
    fake_ = std::make_unique<FakeLibrary>(options);
    OpenAgain();
  }
  void OpenAgain() {
    auto library = Library::Open(fake_->MakeChanger(), fake_->MakeDrives());
    ASSERT_OK(library);
    library_ = std::move(*library);
  }
  void TearDown() override {
    if (library_ != nullptr) library_->Shutdown();
    library_.reset();
    if (fake_ != nullptr) {
      EXPECT_FALSE(fake_->moves_overlapped());
    }
  }
  static FakeLibraryOptions Drives(uint16_t drives) {
    FakeLibraryOptions options;
    options.drives = drives;
    return options;
  }

  Answer Ask(std::vector<LeaseRequest> requests) {
    Answer answer;
    last_id_ = library_->Acquire(std::move(requests), answer.Grant());
    return answer;
  }
  MediumLease Take(LeaseRequest request) {
    auto leases = library_->AcquireAndWait({std::move(request)});
    EXPECT_OK(leases);
    if (!leases.ok()) return {};
    return std::move((*leases)[0]);
  }
  // A shared lease that is given up as soon as it is asked for.
  std::shared_ptr<MediumLease> TakePolite(const MediumId& medium) {
    const auto lease = std::make_shared<MediumLease>();
    const auto mu = std::make_shared<std::mutex>();
    LeaseRequest request = Shared(medium);
    request.on_recall = [lease, mu, this] {
      ++recalls_;
      const std::lock_guard<std::mutex> lock(*mu);
      lease->Release();
    };
    auto leases = library_->AcquireAndWait({std::move(request)});
    EXPECT_OK(leases);
    const std::lock_guard<std::mutex> lock(*mu);
    *lease = std::move((*leases)[0]);
    return lease;
  }
  // The scheduler has dealt with everything that was asked so far.
  void Settle() {
    // Answered by the scheduler, after what came before.
    EXPECT_FALSE(library_->AcquireAndWait({Shared("NO SUCH")}).ok());
    EXPECT_FALSE(library_->AcquireAndWait({Shared("NO SUCH")}).ok());
  }
  std::string Activity(size_t drive) {
    return library_->Drives()[drive].activity;
  }

  std::unique_ptr<FakeLibrary> fake_;
  std::unique_ptr<Library> library_;
  Library::RequestId last_id_ = 0;
  std::atomic<int> recalls_{0};
};

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

TEST_F(LibraryTest, TheLeastRecentlyUsedIdleMediumLeaves) {
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

TEST_F(LibraryTest, NobodyIsRobbed) {
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

// ---- failures

TEST_F(LibraryTest, AFailedLoadGoesToItsRequesterAndTheMediumGoesHome) {
  Open(Drives(1));
  fake_->FailNextOpen("V00001", Errc::kIncompatible);
  const auto result = library_->AcquireAndWait({Shared("V00001")});
  EXPECT_THAT(result, HasErrc(Errc::kIncompatible));
  EXPECT_THAT(result, MessageHas("V00001"));
  EXPECT_THAT(result, MessageHas("drive 256"));
  EXPECT_EQ(fake_->WhereIs("V00001"), ElementAddress{1024});
  EXPECT_EQ(Activity(0), "empty");
  // The drive is as good as before, and so is the medium.
  Take(Shared("V00002")).Release();
  Take(Shared("V00001")).Release();
}

TEST_F(LibraryTest, OneFailedLoadOfTwoFailsBoth) {
  Open(Drives(2));
  fake_->FailNextOpen("V00002", Errc::kDeviceError);
  EXPECT_THAT(
      library_->AcquireAndWait({Exclusive("V00001"), Exclusive("V00002")}),
      HasErrc(Errc::kDeviceError));
  EXPECT_OK(
      library_->AcquireAndWait({Exclusive("V00001"), Exclusive("V00002")}));
}

TEST_F(LibraryTest, AFailedMoveLeavesTheTruth) {
  Open(Drives(1));
  fake_->FailNextMove(Errc::kDeviceError, /*after_moving=*/false);
  EXPECT_THAT(library_->AcquireAndWait({Shared("V00001")}),
              HasErrc(Errc::kDeviceError));
  ASSERT_OK_AND_ASSIGN(MediumPlace place, library_->FindMedium("V00001"));
  EXPECT_EQ(place.element, ElementAddress{1024});
  // The robot says that it failed, but the medium is in the drive.
  fake_->FailNextMove(Errc::kDeviceError, /*after_moving=*/true);
  EXPECT_THAT(library_->AcquireAndWait({Shared("V00001")}),
              HasErrc(Errc::kDeviceError));
  ASSERT_OK_AND_ASSIGN(place, library_->FindMedium("V00001"));
  EXPECT_EQ(place.element, ElementAddress{1024});
  EXPECT_EQ(fake_->WhereIs("V00001"), ElementAddress{1024});
  Take(Shared("V00001")).Release();
}

TEST_F(LibraryTest, AFailedUnloadFailsTheRequestThatNeededTheDrive) {
  Open(Drives(1));
  Take(Shared("V00001")).Release();
  fake_->FailNextMove(Errc::kDeviceError, /*after_moving=*/false);
  EXPECT_THAT(library_->AcquireAndWait({Shared("V00002")}),
              HasErrc(Errc::kDeviceError));
  EXPECT_EQ(fake_->WhereIs("V00001"), ElementAddress{256});
  Take(Shared("V00001")).Release();
  Take(Shared("V00002")).Release();
  EXPECT_EQ(fake_->WhereIs("V00001"), ElementAddress{1024});
}

TEST_F(LibraryTest, ADriveThatIsOfflineIsNotUsedUntilARescan) {
  Open(Drives(2));
  fake_->FailNextOpen("V00001", Errc::kOffline);
  EXPECT_THAT(library_->AcquireAndWait({Shared("V00001")}),
              HasErrc(Errc::kOffline));
  EXPECT_EQ(library_->OnlineDrives(), 1u);
  EXPECT_THAT(
      library_->AcquireAndWait({Exclusive("V00001"), Exclusive("V00002")}),
      HasErrc(Errc::kOffline));
  EXPECT_EQ(fake_->WhereIs("V00001"), ElementAddress{1024});
  Take(Shared("V00001")).Release();
  EXPECT_THAT((std::vector<std::string>{Activity(0), Activity(1)}),
              UnorderedElementsAre("offline", "idle"));
  ASSERT_OK(library_->Rescan());
  EXPECT_EQ(library_->OnlineDrives(), 2u);
}

// ---- going home

TEST_F(LibraryTest, ShutdownSendsEverythingHome) {
  Open(Drives(2));
  Take(Shared("V00001")).Release();
  Take(Shared("V00003")).Release();
  library_->Shutdown();
  library_->Shutdown();
  EXPECT_EQ(fake_->WhereIs("V00001"), ElementAddress{1024});
  EXPECT_EQ(fake_->WhereIs("V00003"), ElementAddress{1026});
  EXPECT_THAT(library_->AcquireAndWait({Shared("V00001")}),
              HasErrc(Errc::kAborted));
}

TEST_F(LibraryTest, ShutdownAbortsWaitersAndWaitsForLeases) {
  Open(Drives(1));
  auto lease = std::make_unique<MediumLease>(Take(Exclusive("V00001")));
  Answer waiter = Ask({Shared("V00002")});
  auto shutdown =
      std::async(std::launch::async, [this] { library_->Shutdown(); });
  EXPECT_THAT(waiter.Wait(), HasErrc(Errc::kAborted));
  EXPECT_EQ(fake_->WhereIs("V00001"), ElementAddress{256});
  EXPECT_EQ(shutdown.wait_for(std::chrono::milliseconds(20)),
            std::future_status::timeout);
  lease.reset();
  shutdown.get();
  EXPECT_EQ(fake_->WhereIs("V00001"), ElementAddress{1024});
}

TEST_F(LibraryTest, ShutdownRecallsLeases) {
  Open(Drives(1));
  auto polite = TakePolite("V00001");
  library_->Shutdown();
  EXPECT_EQ(recalls_, 1);
  EXPECT_EQ(fake_->WhereIs("V00001"), ElementAddress{1024});
}

TEST_F(LibraryTest, ShutdownDuringALoad) {
  Open(Drives(1));
  fake_->HoldMoves(true);
  Answer answer = Ask({Shared("V00001")});
  fake_->AwaitHeldMove();
  auto shutdown =
      std::async(std::launch::async, [this] { library_->Shutdown(); });
  EXPECT_THAT(answer.Wait(), HasErrc(Errc::kAborted));
  fake_->HoldMoves(false);
  shutdown.get();
  EXPECT_EQ(fake_->WhereIs("V00001"), ElementAddress{1024});
}

TEST_F(LibraryTest, MediaFoundInDrivesGoHomeAtOpen) {
  fake_ = std::make_unique<FakeLibrary>();
  auto changer = fake_->MakeChanger();
  ASSERT_OK(changer->MoveMedium({1025}, {256}));
  ASSERT_OK(changer->MoveMedium({1024}, {257}));
  fake_->Place("V00003", {1024});  // takes the place of V00001
  OpenAgain();
  EXPECT_EQ(fake_->WhereIs("V00002"), ElementAddress{1025});
  EXPECT_EQ(fake_->WhereIs("V00001"), ElementAddress{1026});
  EXPECT_EQ(fake_->WhereIs("V00003"), ElementAddress{1024});
}

TEST_F(LibraryTest, AnImportExportSlotIsAHomeToo) {
  Open(Drives(1));
  ASSERT_OK(library_->Move({1024}, {768}));
  Take(Shared("V00001")).Release();
  ASSERT_OK_AND_ASSIGN(const MediumPlace place, library_->FindMedium("V00001"));
  EXPECT_TRUE(place.in_import_export);
  ASSERT_OK(library_->SendHome("V00001"));
  EXPECT_EQ(fake_->WhereIs("V00001"), ElementAddress{768});
}

TEST_F(LibraryTest, SendHome) {
  Open();
  EXPECT_OK(library_->SendHome("V00001"));  // it is
  EXPECT_THAT(library_->SendHome("NONE"), HasErrc(Errc::kNoMedium));
  MediumLease lease = Take(Shared("V00001"));
  EXPECT_THAT(library_->SendHome("V00001"), HasErrc(Errc::kBusy));
  lease.Release();
  EXPECT_OK(library_->SendHome("V00001"));
  EXPECT_EQ(fake_->WhereIs("V00001"), ElementAddress{1024});
}

// ---- moves by hand

TEST_F(LibraryTest, MoveChangesTheHome) {
  Open(Drives(1));
  ASSERT_OK(library_->Move({1024}, {1030}));
  ASSERT_OK_AND_ASSIGN(const MediumPlace place, library_->MediumAt({1030}));
  EXPECT_EQ(place.id, "V00001");
  EXPECT_EQ(place.home, ElementAddress{1030});
  Take(Shared("V00001")).Release();
  library_->Shutdown();
  EXPECT_EQ(fake_->WhereIs("V00001"), ElementAddress{1030});
}

TEST_F(LibraryTest, MoveIntoAndOutOfADrive) {
  Open(Drives(1));
  ASSERT_OK(library_->Move({1024}, {256}));
  EXPECT_EQ(library_->Drives()[0].medium, "V00001");
  EXPECT_EQ(Activity(0), "idle");
  Take(Exclusive("V00001")).Release();
  EXPECT_EQ(fake_->loads(), 1u);
  ASSERT_OK(library_->Move({256}, {1029}));
  ASSERT_OK_AND_ASSIGN(const MediumPlace place, library_->FindMedium("V00001"));
  EXPECT_EQ(place.home, ElementAddress{1029});
  EXPECT_EQ(Activity(0), "empty");
}

TEST_F(LibraryTest, ImpossibleMovesSayWhy) {
  Open(Drives(2));
  EXPECT_THAT(library_->Move({1024}, {1025}), HasErrc(Errc::kExists));
  EXPECT_THAT(library_->Move({1024}, {1024}), HasErrc(Errc::kExists));
  EXPECT_THAT(library_->Move({1029}, {1030}), HasErrc(Errc::kNoMedium));
  EXPECT_THAT(library_->Move({1024}, {5000}), HasErrc(Errc::kNotFound));
  EXPECT_THAT(library_->Move({1024}, {5000}), MessageHas("V00001"));
  MediumLease lease = Take(Shared("V00001"));
  EXPECT_THAT(library_->Move(lease.drive(), {1030}), HasErrc(Errc::kBusy));
  EXPECT_THAT(library_->Move({1025}, lease.drive()), HasErrc(Errc::kBusy));
  // The empty slot of a loaded medium is kept for it.
  EXPECT_THAT(library_->Move({1025}, {1024}), HasErrc(Errc::kBusy));
  EXPECT_THAT(library_->Move({1025}, {1024}), MessageHas("V00001"));
  EXPECT_EQ(fake_->WhereIs("V00002"), ElementAddress{1025});
}

TEST_F(LibraryTest, RequestsWaitForAMediumThatIsBeingMoved) {
  Open(Drives(1));
  fake_->HoldMoves(true);
  auto move = std::async(std::launch::async,
                         [this] { return library_->Move({1024}, {1030}); });
  fake_->AwaitHeldMove();
  Answer answer = Ask({Shared("V00001")});
  Settle();
  EXPECT_FALSE(answer.answered());
  fake_->HoldMoves(false);
  EXPECT_OK(move.get());
  EXPECT_OK(answer.Wait());
}

// ---- what the library knows

TEST_F(LibraryTest, ShowsIdentityElementsAndMedia) {
  Open();
  EXPECT_EQ(library_->Identity().vendor, "FAKE");
  EXPECT_EQ(library_->Elements().storage.count, 8);
  EXPECT_EQ(library_->ElementStatuses().size(), 1u + 8 + 1 + 2);
  EXPECT_EQ(library_->Drives()[0].identity.product, "DRIVE");
  std::vector<MediumId> ids;
  for (const MediumPlace& place : library_->Media()) ids.push_back(place.id);
  EXPECT_THAT(ids, ElementsAre("V00001", "V00002", "V00003", "V00004"));
  EXPECT_THAT(library_->MediumAt({1030}), HasErrc(Errc::kNotFound));
  EXPECT_THAT(library_->MediumAt({5000}), MessageHas("5000"));
  EXPECT_THAT(library_->FindMedium("NONE"), HasErrc(Errc::kNotFound));
}

TEST_F(LibraryTest, RescanNoticesWhatTheOperatorDid) {
  Open(Drives(1));
  fake_->Place("V00001", {0});
  fake_->Place("V00002", {1030});
  Answer before = Ask({Shared("V00003")});
  EXPECT_OK(before.Wait());
  ASSERT_OK(library_->Rescan());
  EXPECT_THAT(library_->AcquireAndWait({Shared("V00001")}),
              HasErrc(Errc::kNoMedium));
  ASSERT_OK_AND_ASSIGN(const MediumPlace place, library_->FindMedium("V00002"));
  EXPECT_EQ(place.home, ElementAddress{1030});
  ASSERT_OK_AND_ASSIGN(const MediumPlace loaded,
                       library_->FindMedium("V00003"));
  EXPECT_EQ(loaded.home, ElementAddress{1026});
}

TEST_F(LibraryTest, RequestsForAMediumThatLeavesFail) {
  Open(Drives(1));
  MediumLease busy = Take(Exclusive("V00001"));
  Answer answer = Ask({Shared("V00002")});
  fake_->Place("V00002", {0});
  ASSERT_OK(library_->Rescan());
  EXPECT_THAT(answer.Wait(), HasErrc(Errc::kNoMedium));
}

TEST_F(LibraryTest, MediaWithoutTagsAreNamedByTheirHome) {
  fake_ = std::make_unique<FakeLibrary>(Drives(1));
  fake_->HideTags();
  OpenAgain();
  MediumLease lease = Take(Shared("@1025"));
  EXPECT_EQ(fake_->WhereIs("V00002"), ElementAddress{256});
  ASSERT_OK(library_->Rescan());
  EXPECT_OK(library_->FindMedium("@1025"));
  lease.Release();
  Take(Shared("@1024")).Release();
  EXPECT_EQ(fake_->WhereIs("V00002"), ElementAddress{1025});
  ASSERT_OK(library_->Move({1025}, {1030}));
  EXPECT_THAT(library_->FindMedium("@1025"), HasErrc(Errc::kNotFound));
  EXPECT_OK(library_->FindMedium("@1030"));
}

TEST_F(LibraryTest, ADriveThatTheChangerDoesNotHaveIsRefused) {
  FakeLibrary big(Drives(3));
  FakeLibrary small(Drives(2));
  const auto library = Library::Open(small.MakeChanger(), big.MakeDrives());
  EXPECT_THAT(library, HasErrc(Errc::kInvalidArgument));
  EXPECT_THAT(library, MessageHas("258"));
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

// ---- on the virtual library

TEST(LibraryOnVirtualLibrary, AMediumGoesHomeAfterTheDaemonDied) {
  TempDir dir;
  VirtualLibraryOptions options;
  options.slots = 4;
  options.media = 2;
  options.capacity = 8 << 20;
  ASSERT_OK(InitVirtualLibrary(dir.Sub("l"), options));
  ASSERT_OK_AND_ASSIGN(const LibraryConfig config,
                       ReadLibraryConfig(dir.Sub("l")));
  {
    // What a kill leaves behind: the medium is in the drive.
    ASSERT_OK_AND_ASSIGN(VirtualDevices devices, OpenVirtualLibrary(config));
    ASSERT_OK(devices.changer->MoveMedium({1025}, {256}));
  }
  ASSERT_OK_AND_ASSIGN(VirtualDevices devices, OpenVirtualLibrary(config));
  ASSERT_OK_AND_ASSIGN(auto library, Library::Open(std::move(devices.changer),
                                                   std::move(devices.drives)));
  ASSERT_OK_AND_ASSIGN(const MediumPlace place, library->MediumAt({1025}));
  EXPECT_EQ(place.id, "V00002");
  auto leases = library->AcquireAndWait({Exclusive("V00002")});
  ASSERT_OK(leases);
  Bytes data(kSectorSize, std::byte{3});
  EXPECT_OK((*leases)[0].medium().Write(0, data));
  leases->clear();
  library->Shutdown();
  EXPECT_EQ(ReadFileOrDie(dir.Sub("l/media/V00002.img"))[0], 3);
}

}  // namespace
}  // namespace vellum
