// SPDX-License-Identifier: Apache-2.0
// Media and drives that vanish while they are in use, and elements that others
// change.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <chrono>
#include <string>
#include <thread>

#include "tests/media/library_fixture.h"
#include "tests/support/fake_library.h"
#include "tests/support/status_matchers.h"

namespace vellum {
namespace {

using std::chrono::hours;
using std::chrono::milliseconds;

class LibraryRecoveryTest : public LibraryTest {
 protected:
  static Status ReadOf(const MediumLease& lease) {
    Bytes sector(kSectorSize);
    return lease.medium().Read(0, sector);
  }
  // Of what only the library's own threads bring about.
  template <typename Condition>
  static bool ComesTrue(Condition condition) {
    const auto deadline =
        std::chrono::steady_clock::now() + std::chrono::seconds(20);
    while (!condition()) {
      if (std::chrono::steady_clock::now() > deadline) return false;
      std::this_thread::sleep_for(milliseconds(1));
    }
    return true;
  }
};

TEST_F(LibraryRecoveryTest, AMediumThatVanishedIsLeasedAgainFromWhereItIs) {
  Open(Drives(1));
  const auto lease = TakePolite("V00001");
  ASSERT_OK(ReadOf(*lease));
  // As after a target that died: its drives are empty when it is back.
  fake_->LoseMedium({256}, Errc::kNoMedium);
  fake_->Place("V00001", {1024});
  const Status read = ReadOf(*lease);
  EXPECT_THAT(read, HasErrc(Errc::kNoMedium));
  EXPECT_THAT(read, MessageHas("drive 256"));

  const MediumLease again = Take(Shared("V00001"));
  EXPECT_EQ(recalls_, 1);
  EXPECT_OK(ReadOf(again));
  EXPECT_EQ(library_->OnlineDrives(), 1u) << "the drive did nothing wrong";
}

TEST_F(LibraryRecoveryTest, AMediumThatTheChangerFindsElsewhereIsLoadedAnew) {
  Open(Drives(1));
  const auto lease = TakePolite("V00001");
  fake_->LoseMedium({256}, Errc::kDeviceError);
  fake_->Place("V00001", {1024});
  ASSERT_OK(library_->RefreshElements());
  EXPECT_OK(ReadOf(Take(Shared("V00001"))));
  EXPECT_EQ(recalls_, 1);
}

TEST_F(LibraryRecoveryTest, WhatIsLostIsNotSharedAndItsDriveNotRobbed) {
  Open(Drives(2));
  MediumLease lease = Take(Exclusive("V00001"));  // is never asked back
  fake_->LoseMedium(lease.drive(), Errc::kNoMedium);
  EXPECT_THAT(ReadOf(lease), HasErrc(Errc::kNoMedium));
  Answer same = Ask({Shared("V00001")});
  Take(Shared("V00002")).Release();
  EXPECT_FALSE(same.answered());
  EXPECT_THAT(ReadOf(lease), HasErrc(Errc::kNoMedium));
  lease.Release();
  const auto granted = same.Wait();
  ASSERT_OK(granted);
  EXPECT_OK(ReadOf(granted->front()));
}

TEST_F(LibraryRecoveryTest, ADriveThatDoesNotAnswerIsPutAsideUntilARescan) {
  library_options_.retry_drives = hours(1);
  Open(Drives(1));
  auto lease = TakePolite("V00001");
  fake_->Unplug({256}, true);
  const Status read = ReadOf(*lease);
  EXPECT_THAT(read, HasErrc(Errc::kNoMedium));
  EXPECT_THAT(read, MessageHas("drive 256"));
  const auto refused = library_->AcquireAndWait({Shared("V00002")});
  EXPECT_THAT(refused, HasErrc(Errc::kOffline));
  EXPECT_THAT(refused, MessageHas("drive 256"));
  EXPECT_FALSE(library_->Drives()[0].online);
  EXPECT_THAT(library_->Drives()[0].problem, testing::HasSubstr("256"));
  Settle();  // the lease is given up

  ASSERT_OK(library_->Rescan());
  EXPECT_FALSE(library_->Drives()[0].online) << "it is away still";
  fake_->Unplug({256}, false);
  ASSERT_OK(library_->Rescan());
  EXPECT_TRUE(library_->Drives()[0].online);
  EXPECT_EQ(library_->Drives()[0].problem, "");
  EXPECT_OK(ReadOf(Take(Shared("V00001"))));
}

TEST_F(LibraryRecoveryTest, ADriveThatIsBackIsUsedAgainWithoutBeingAskedTo) {
  library_options_.retry_drives = milliseconds(5);
  Open(Drives(1));
  auto lease = TakePolite("V00001");
  fake_->Unplug({256}, true);
  EXPECT_THAT(ReadOf(*lease), HasErrc(Errc::kNoMedium));
  EXPECT_FALSE(library_->Drives()[0].online);
  fake_->Unplug({256}, false);
  EXPECT_TRUE(ComesTrue([&] { return library_->OnlineDrives() == 1; }));
  EXPECT_OK(ReadOf(Take(Shared("V00001"))));
}

TEST_F(LibraryRecoveryTest, ACommandBringsNoOtherDriveOnline) {
  library_options_.retry_drives = hours(1);
  Open(Drives(1));
  ASSERT_OK(library_->SetDriveOnline({256}, false));
  fake_->Replace({256}, "ANOTHER");
  const Status refused = library_->SetDriveOnline({256}, true);
  EXPECT_THAT(refused, HasErrc(Errc::kOffline));
  EXPECT_THAT(refused, MessageHas("ANOTHER"));
  EXPECT_FALSE(library_->Drives()[0].online);
  fake_->Replace({256}, "F256");
  ASSERT_OK(library_->SetDriveOnline({256}, true));
  EXPECT_TRUE(library_->Drives()[0].online);
  EXPECT_EQ(library_->Drives()[0].problem, "");
  EXPECT_OK(ReadOf(Take(Shared("V00001"))));
}

TEST_F(LibraryRecoveryTest, AnotherDriveInItsPlaceIsNotUsed) {
  library_options_.retry_drives = hours(1);
  Open(Drives(1));
  auto lease = TakePolite("V00001");
  fake_->Unplug({256}, true);
  EXPECT_THAT(ReadOf(*lease), HasErrc(Errc::kNoMedium));
  Settle();  // the lease is given up
  fake_->Unplug({256}, false);
  fake_->Replace({256}, "ANOTHER");
  ASSERT_OK(library_->Rescan());
  EXPECT_FALSE(library_->Drives()[0].online);
  EXPECT_THAT(library_->Drives()[0].problem, testing::HasSubstr("ANOTHER"));
  fake_->Replace({256}, "F256");
  ASSERT_OK(library_->Rescan());
  EXPECT_TRUE(library_->Drives()[0].online);
}

TEST_F(LibraryRecoveryTest, ShutdownEndsWithADriveThatIsAway) {
  library_options_.retry_drives = hours(1);
  Open(Drives(2));
  auto lease = TakePolite("V00001");
  fake_->Unplug(lease->drive(), true);
  EXPECT_THAT(ReadOf(*lease), HasErrc(Errc::kNoMedium));
  library_->Shutdown();
}

// A power failure in the middle of a move.
TEST_F(LibraryRecoveryTest, O9_WhatTheRobotHoldsGoesHomeFirstAtTheStart) {
  fake_ = std::make_unique<FakeLibrary>(Drives(1));
  ASSERT_OK(fake_->MakeChanger()->MoveMedium({1024}, {256}));
  fake_->Place("V00002", {1});
  OpenAgain();
  EXPECT_EQ(fake_->WhereIs("V00001"), ElementAddress{1024});
  EXPECT_EQ(fake_->WhereIs("V00002"), ElementAddress{1025});
  EXPECT_OK(ReadOf(Take(Shared("V00002"))));
}

TEST_F(LibraryRecoveryTest, O9_WhatTheRobotDidNotPutDownIsPutHomeByHand) {
  fake_ = std::make_unique<FakeLibrary>(Drives(1));
  fake_->Place("V00002", {1});
  fake_->FailNextMove(Errc::kDeviceError, /*after_moving=*/false);
  OpenAgain();
  ASSERT_OK_AND_ASSIGN(const MediumPlace held, library_->MediumAt({1}));
  EXPECT_EQ(held.id, "V00002");
  EXPECT_EQ(held.home, ElementAddress{1025});
  const auto refused = library_->AcquireAndWait({Shared("V00001")});
  EXPECT_THAT(refused, MessageHas("the robot holds V00002"));
  ASSERT_OK(library_->Move({1}, {1025}));
  EXPECT_EQ(fake_->WhereIs("V00002"), ElementAddress{1025});
  Take(Shared("V00001")).Release();
  EXPECT_OK(ReadOf(Take(Shared("V00002"))));
}

TEST_F(LibraryRecoveryTest, O9_WhatTheRobotDidNotPutDownIsLoadedFromThere) {
  fake_ = std::make_unique<FakeLibrary>(Drives(1));
  fake_->Place("V00002", {1});
  fake_->FailNextMove(Errc::kDeviceError, /*after_moving=*/false);
  OpenAgain();
  EXPECT_OK(ReadOf(Take(Shared("V00002"))));
  ASSERT_OK(library_->SendHome("V00002"));
  EXPECT_EQ(fake_->WhereIs("V00002"), ElementAddress{1025});
}

TEST_F(LibraryRecoveryTest, WhatTheChangerSaysWasChangedIsReadAgain) {
  library_options_.watch_changer = milliseconds(2);
  Open();
  fake_->Place("V00004", {});
  EXPECT_TRUE(library_->FindMedium("V00004").ok());
  fake_->TellChanged();
  EXPECT_TRUE(ComesTrue([&] { return !library_->FindMedium("V00004").ok(); }));
}

TEST_F(LibraryRecoveryTest, AChangeThatAMoveHearsOfIsReadAtOnce) {
  library_options_.watch_changer = hours(1);
  Open();
  fake_->Place("V00004", {768});
  fake_->TellChanged();
  Take(Shared("V00001")).Release();
  ASSERT_OK_AND_ASSIGN(const MediumPlace place, library_->FindMedium("V00004"));
  EXPECT_EQ(place.element, ElementAddress{768});
}

}  // namespace
}  // namespace vellum
