// SPDX-License-Identifier: Apache-2.0
// Where media are and go: failures, going home, moves by hand, what Library
// shows.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <chrono>
#include <future>
#include <string>
#include <utility>
#include <vector>

#include "media/library.h"
#include "media/virtual_library.h"
#include "tests/media/library_fixture.h"
#include "tests/support/fake_library.h"
#include "tests/support/status_matchers.h"
#include "tests/support/temp_dir.h"

namespace vellum {
namespace {

using testing::ElementsAre;
using testing::UnorderedElementsAre;

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
  ASSERT_OK(library_->RefreshElements());
  EXPECT_EQ(library_->OnlineDrives(), 1u);
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

TEST_F(LibraryTest, SendHomeAfterACancelledLoad) {
  Open(Drives(1));
  fake_->HoldMoves(true);
  std::stop_source stop;
  auto wanted = std::async(std::launch::async, [this, &stop] {
    return library_->AcquireAndWait({Shared("V00001")}, stop.get_token())
        .status();
  });
  fake_->AwaitHeldMove();
  stop.request_stop();
  EXPECT_THAT(wanted.get(), HasErrc(Errc::kInterrupted));
  // The robot is on its way to the drive still.
  auto sent = std::async(std::launch::async,
                         [this] { return library_->SendHome("V00001"); });
  EXPECT_EQ(sent.wait_for(std::chrono::milliseconds(20)),
            std::future_status::timeout);
  fake_->HoldMoves(false);
  EXPECT_OK(sent.get());
  EXPECT_EQ(fake_->WhereIs("V00001"), ElementAddress{1024});
  EXPECT_EQ(fake_->loads(), 1u);
}

TEST_F(LibraryTest, ReadingTheStatusDoesNotWaitForARobotForEver) {
  Open(Drives(1));
  fake_->HoldMoves(true);
  auto load = std::async(std::launch::async,
                         [this] { Take(Shared("V00001")).Release(); });
  fake_->AwaitHeldMove();
  std::stop_source stop;
  auto read = std::async(std::launch::async, [this, &stop] {
    return library_->RefreshElements(stop.get_token());
  });
  stop.request_stop();
  EXPECT_THAT(read.get(), HasErrc(Errc::kInterrupted));
  fake_->HoldMoves(false);
  load.get();
  EXPECT_OK(library_->RefreshElements());
}

TEST_F(LibraryTest, O14_MoveChangesTheHome) {
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

TEST_F(LibraryTest, O14_ImpossibleMovesSayWhy) {
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

TEST_F(LibraryTest, O13_ShowsIdentityElementsAndMedia) {
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

// ---- on the virtual library

TEST(LibraryOnVirtualLibrary, O9_AMediumGoesHomeAfterTheDaemonDied) {
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
    ASSERT_OK_AND_ASSIGN(LibraryDevices devices, OpenVirtualLibrary(config));
    ASSERT_OK(devices.changer->MoveMedium({1025}, {256}));
  }
  ASSERT_OK_AND_ASSIGN(LibraryDevices devices, OpenVirtualLibrary(config));
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
