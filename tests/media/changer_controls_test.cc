// SPDX-License-Identifier: Apache-2.0
// What a changer is told beside moves: to look at its elements, to lock its
// door.
#include "media/changer_controls.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <stop_token>
#include <thread>

#include "tests/media/library_fixture.h"
#include "tests/support/status_matchers.h"

namespace vellum {
namespace {

class ChangerControlsTest : public LibraryTest {
 protected:
  void Start() {
    fake_ = std::make_unique<FakeLibrary>();
    controls_ = std::make_shared<ChangerControls>(
        [this](const std::optional<ElementRange>& range) {
          scans_.push_back(range.value_or(ElementRange()));
          return answer_;
        },
        [this](bool lock) {
          locks_.push_back(lock);
          return answer_;
        });
    auto library = Library::Open(
        std::make_unique<ControlledChanger>(fake_->MakeChanger(), controls_),
        fake_->MakeDrives());
    ASSERT_OK(library);
    library_ = std::move(*library);
  }

  std::shared_ptr<ChangerControls> controls_;
  // Used in turn.
  std::vector<ElementRange> scans_;
  std::vector<bool> locks_;
  Status answer_;
};

TEST_F(ChangerControlsTest, O7_TheChangerLooksBeforeItsElementsAreRead) {
  Start();
  fake_->Place("V00004", {0});
  EXPECT_OK(library_->FindMedium("V00004"));
  ASSERT_OK(controls_->ScanElements(*library_, std::nullopt));
  EXPECT_FALSE(library_->FindMedium("V00004").ok());
  ASSERT_OK(controls_->ScanElements(*library_, ElementRange{{1025}, 3}));
  ASSERT_EQ(scans_.size(), 2u);
  EXPECT_EQ(scans_[0].count, 0);
  EXPECT_EQ(scans_[1].first.value, 1025);
  EXPECT_EQ(scans_[1].count, 3);
  // Once each.
  ASSERT_OK(library_->RefreshElements());
  EXPECT_EQ(scans_.size(), 2u);
}

TEST_F(ChangerControlsTest, WhatIsNoElementIsNotLookedAt) {
  Start();  // slots 1024 to 1031
  const Status scanned =
      controls_->ScanElements(*library_, ElementRange{{1030}, 3});
  EXPECT_THAT(scanned, HasErrc(Errc::kNotFound));
  EXPECT_THAT(scanned, MessageHas("no element 1032"));
  EXPECT_TRUE(scans_.empty());
}

TEST_F(ChangerControlsTest, AScanThatFailsStillReadsTheElements) {
  Start();
  fake_->Place("V00004", {0});
  answer_ = Status(Errc::kDeviceError, "made to fail");
  EXPECT_THAT(controls_->ScanElements(*library_, std::nullopt),
              HasErrc(Errc::kDeviceError));
  EXPECT_FALSE(library_->FindMedium("V00004").ok());
  EXPECT_OK(library_->Move({1024}, {1030}));
}

TEST_F(ChangerControlsTest, AMoveIsWaitedForAndTheWaitCanBeGivenUp) {
  Start();
  fake_->HoldMoves(true);
  std::jthread move([this] { EXPECT_OK(library_->Move({1024}, {1030})); });
  fake_->AwaitHeldMove();
  std::stop_source stop;
  stop.request_stop();
  EXPECT_THAT(
      controls_->ScanElements(*library_, std::nullopt, stop.get_token()),
      HasErrc(Errc::kInterrupted));
  EXPECT_THAT(controls_->LockDoor(*library_, true, stop.get_token()),
              HasErrc(Errc::kInterrupted));
  fake_->HoldMoves(false);
  move.join();
  // What was given up is not done later.
  ASSERT_OK(library_->RefreshElements());
  EXPECT_TRUE(scans_.empty());
  EXPECT_TRUE(locks_.empty());
}

TEST_F(ChangerControlsTest, H3_TheDoorIsLockedAndUnlocked) {
  Start();
  EXPECT_FALSE(controls_->door_locked());
  ASSERT_OK(controls_->LockDoor(*library_, true));
  EXPECT_TRUE(controls_->door_locked());
  ASSERT_OK(controls_->LockDoor(*library_, false));
  EXPECT_FALSE(controls_->door_locked());
  EXPECT_THAT(locks_, testing::ElementsAre(true, false));
  answer_ = Status(Errc::kNotSupported, "no lock");
  EXPECT_THAT(controls_->LockDoor(*library_, true),
              HasErrc(Errc::kNotSupported));
  EXPECT_FALSE(controls_->door_locked());
}

}  // namespace
}  // namespace vellum
