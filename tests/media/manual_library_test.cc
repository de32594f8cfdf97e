// SPDX-License-Identifier: Apache-2.0
// Library on a manual changer: leases, requests that stay open, an operator
// who does what he likes, and an end that waits for nobody.
#include <gtest/gtest.h>

#include <memory>
#include <thread>
#include <utility>

#include "media/library.h"
#include "media/manual/manual_changer.h"
#include "media/manual/manual_drive.h"
#include "tests/media/library_fixture.h"
#include "tests/support/manual_bench.h"

namespace vellum {
namespace {

constexpr ElementAddress kDock = ManualBench::kDock;
constexpr ElementAddress kDock2 = ManualBench::kDock2;

class ManualLibraryTest : public testing::Test {
 protected:
  // Media 1 and 2 have volumes that are known; 3 is blank.
  void Open(uint16_t docks) {
    bench_ = std::make_unique<ManualBench>(docks, 6, 3);
    const std::string uuid1 = bench_->Format("V00001", "PHOTOS");
    const std::string uuid2 = bench_->Format("V00002", "MUSIC");
    state_ = bench_->Load();
    ASSERT_OK(state_->SetLabel("V00001", uuid1));
    ASSERT_OK(state_->SetLabel("V00002", uuid2));
    std::vector<std::unique_ptr<Drive>> drives;
    for (uint16_t i = 0; i < docks; ++i) {
      drives.push_back(std::make_unique<ManualDrive>(
          state_, ElementAddress{static_cast<uint16_t>(kDock.value + i)}));
    }
    auto library = Library::Open(std::make_unique<ManualChanger>(state_),
                                 std::move(drives));
    ASSERT_OK(library);
    library_ = std::move(*library);
  }

  Library::RequestId Ask(const LeaseRequest& request, Answer* answer) {
    return library_->Acquire({request}, answer->Grant());
  }
  void AwaitNoRequests() {
    while (!state_->desk().List().empty()) std::this_thread::yield();
  }
  ElementAddress PlaceOf(const MediumId& id) {
    const auto place = library_->FindMedium(id);
    EXPECT_OK(place);
    return place.ok() ? place->element : ElementAddress{};
  }

  std::unique_ptr<ManualBench> bench_;
  std::shared_ptr<ManualState> state_;
  std::unique_ptr<Library> library_;
};

TEST_F(ManualLibraryTest, LeaseIsGrantedWhenTheMediumIsInTheDock) {
  Open(1);
  Answer answer;
  Ask(Shared("V00001"), &answer);
  EXPECT_EQ(AwaitRequest(*state_).medium, "V00001");
  EXPECT_FALSE(answer.answered());
  bench_->PutIn("V00001", kDock);
  const auto leases = answer.Wait();
  ASSERT_OK(leases);
  EXPECT_EQ(leases->front().drive(), kDock);
  Bytes sector(kSectorSize);
  EXPECT_OK(leases->front().medium().Read(16, sector));
}

TEST_F(ManualLibraryTest, OneRequestHasAMediumTakenOutAndTheOtherPutIn) {
  Open(1);
  bench_->PutIn("V00001", kDock);
  { ASSERT_OK(library_->AcquireAndWait({Shared("V00001")})); }
  Answer answer;
  Ask(Shared("V00002"), &answer);
  const OperatorRequest request =
      AwaitRequest(*state_, "dock 256 holds V00001");
  EXPECT_EQ(request.medium, "V00002");
  EXPECT_EQ(state_->desk().List().size(), 1u);
  bench_->TakeOut(kDock);
  bench_->PutIn("V00002", kDock);
  ASSERT_OK(answer.Wait());
  EXPECT_EQ(PlaceOf("V00001"), ElementAddress{1024});
}

TEST_F(ManualLibraryTest, CancelledReaderTakesItsRequestBack) {
  Open(1);
  Answer answer;
  const Library::RequestId id = Ask(Shared("V00001"), &answer);
  AwaitRequest(*state_);
  library_->Cancel(id);
  EXPECT_THAT(answer.Wait(), HasErrc(Errc::kInterrupted));
  AwaitNoRequests();
  // The drive did nothing wrong, and serves the next one.
  Answer next;
  Ask(Shared("V00002"), &next);
  EXPECT_EQ(AwaitRequest(*state_).medium, "V00002");
  bench_->PutIn("V00002", kDock);
  EXPECT_OK(next.Wait());
}

TEST_F(ManualLibraryTest, OpenRequestKeepsNobodyFromTheOtherDock) {
  Open(2);
  Answer waits;
  Ask(Shared("V00001"), &waits);
  AwaitRequest(*state_);
  Answer served;
  Ask(Shared("V00002"), &served);
  while (state_->desk().List().size() < 2) std::this_thread::yield();
  EXPECT_OK(library_->RefreshElements());
  for (const OperatorRequest& request : state_->desk().List()) {
    if (request.medium == "V00002") bench_->PutIn("V00002", request.dock);
  }
  EXPECT_OK(served.Wait());
  EXPECT_FALSE(waits.answered());
}

TEST_F(ManualLibraryTest, EndWaitsForNobodyAndLeavesMediaInTheDocks) {
  Open(2);
  bench_->PutIn("V00002", kDock2);
  while (PlaceOf("V00002") != kDock2) std::this_thread::yield();
  { ASSERT_OK(library_->AcquireAndWait({Shared("V00002")})); }
  Answer answer;
  Ask(Shared("V00001"), &answer);
  AwaitRequest(*state_);
  Status moved;
  std::jthread mover(
      [&] { moved = library_->Move(kDock2, ElementAddress{1027}); });
  while (state_->desk().List().size() < 2) std::this_thread::yield();
  library_->Shutdown();
  mover.join();
  EXPECT_THAT(answer.Wait(), HasErrc(Errc::kAborted));
  EXPECT_THAT(moved, HasErrc(Errc::kInterrupted));
  EXPECT_TRUE(state_->desk().List().empty());
  EXPECT_EQ(state_->shelf().at(kDock2).tag, "V00002");
}

TEST_F(ManualLibraryTest, MediumThatCameUnaskedIsUsedWhereItIs) {
  Open(2);
  bench_->PutIn("V00001", kDock2);
  // The docks are looked at all the time.
  while (PlaceOf("V00001") != kDock2) std::this_thread::yield();
  ASSERT_OK_AND_ASSIGN(const auto leases,
                       library_->AcquireAndWait({Shared("V00001")}));
  EXPECT_EQ(leases.front().drive(), kDock2);
  EXPECT_TRUE(state_->desk().List().empty());
}

TEST_F(ManualLibraryTest, IdleMediumThatWasTakenOutIsAskedForAgain) {
  Open(1);
  bench_->PutIn("V00001", kDock);
  { ASSERT_OK(library_->AcquireAndWait({Shared("V00001")})); }
  bench_->TakeOut(kDock);
  Answer answer;
  Ask(Shared("V00001"), &answer);
  EXPECT_EQ(AwaitRequest(*state_).medium, "V00001");
  bench_->PutIn("V00001", kDock);
  EXPECT_OK(answer.Wait());
}

TEST_F(ManualLibraryTest, WhoUsesAPulledMediumIsAskedToGiveItUp) {
  Open(1);
  bench_->PutIn("V00001", kDock);
  std::atomic<bool> recalled{false};
  LeaseRequest request = Shared("V00001");
  request.on_recall = [&recalled] { recalled = true; };
  ASSERT_OK_AND_ASSIGN(auto leases, library_->AcquireAndWait({request}));
  bench_->TakeOut(kDock);
  bench_->PutIn("V00002", kDock);
  while (!recalled) std::this_thread::yield();
  Bytes sector(kSectorSize);
  EXPECT_THAT(leases.front().medium().Read(16, sector),
              HasErrc(Errc::kNoMedium));
  leases.clear();
  // What is in the dock now is found out.
  ASSERT_OK_AND_ASSIGN(const auto other,
                       library_->AcquireAndWait({Shared("V00002")}));
  EXPECT_EQ(PlaceOf("V00001"), ElementAddress{1024});
}

TEST_F(ManualLibraryTest, TwoLeasesAreTwoRequests) {
  Open(2);
  Answer answer;
  library_->Acquire({Shared("V00001"), Exclusive("V00002")}, answer.Grant());
  while (state_->desk().List().size() < 2) std::this_thread::yield();
  for (const OperatorRequest& request : state_->desk().List()) {
    bench_->PutIn(request.medium, request.dock);
  }
  ASSERT_OK_AND_ASSIGN(const auto leases, answer.Wait());
  EXPECT_EQ(leases[0].id(), "V00001");
  EXPECT_EQ(leases[1].id(), "V00002");
}

TEST_F(ManualLibraryTest, MoveCanBeGivenUp) {
  Open(1);
  std::stop_source stop;
  Status moved;
  std::jthread mover([&] {
    moved = library_->Move(ElementAddress{1024}, kDock, stop.get_token());
  });
  AwaitRequest(*state_);
  stop.request_stop();
  mover.join();
  EXPECT_THAT(moved, HasErrc(Errc::kInterrupted));
  EXPECT_EQ(PlaceOf("V00001"), ElementAddress{1024});
}

TEST_F(ManualLibraryTest, NothingIsSentHome) {
  Open(1);
  bench_->PutIn("V00001", kDock);
  { ASSERT_OK(library_->AcquireAndWait({Shared("V00001")})); }
  EXPECT_OK(library_->SendHome("V00001"));
  EXPECT_TRUE(state_->desk().List().empty());
  EXPECT_EQ(PlaceOf("V00001"), kDock);
}

}  // namespace
}  // namespace vellum
