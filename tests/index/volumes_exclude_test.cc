// SPDX-License-Identifier: Apache-2.0
// Exclusions and reservations.
#include <atomic>
#include <future>
#include <stop_token>

#include "index/volumes.h"
#include "tests/index/volumes_fixture.h"

namespace vellum {
namespace {

using std::chrono::milliseconds;

TEST_F(VolumesTest, ExcludeWaitsForUsesAndParkedOperationsResumeAfterIt) {
  Start(1, 1);
  const auto volume = MakeVolume("V00001", "ALPHA");
  ASSERT_OK_AND_ASSIGN(VolumeUse use, volumes_->Use(volume));
  auto excluding =
      std::async(std::launch::async, [&] { return volumes_->Exclude(volume); });
  Outcomes outcomes;
  int parked = 0;
  ASSERT_TRUE(WaitUntil(
      [&] { return volumes_->With(volume, outcomes.Note(++parked)) != 0; }));
  EXPECT_TRUE(use->attached());
  use.Release();
  ASSERT_OK_AND_ASSIGN(Volumes::Exclusion exclusion, excluding.get());
  EXPECT_FALSE(volumes_->loaded(*volume));
  EXPECT_FALSE(volume->attached());
  // The medium is free for someone else, and nothing attaches the volume.
  ASSERT_OK_AND_ASSIGN(MediumLease lease, Lease("V00001"));
  lease.Release();
  EXPECT_EQ(volumes_->parked(), 1u);
  EXPECT_THAT(outcomes.End(parked), HasErrc(Errc::kInternal))
      << "not called yet";

  exclusion.Release();
  ASSERT_TRUE(outcomes.WaitFor(static_cast<size_t>(parked)));
  EXPECT_OK(outcomes.End(parked));
}

TEST_F(VolumesTest, ExcludeStopsALoadThatWaits) {
  Start(1, 2);
  const auto volume = MakeVolume("V00001", "ALPHA");
  MediumLease occupied = OccupyDrive("V00002");
  Outcomes outcomes;
  volumes_->With(volume, outcomes.Note(1));
  ASSERT_OK_AND_ASSIGN(Volumes::Exclusion exclusion, volumes_->Exclude(volume));
  EXPECT_EQ(volumes_->parked(), 1u);
  EXPECT_EQ(library_->WaitingRequests(), 0u);
  exclusion = Volumes::Exclusion();
  occupied.Release();
  ASSERT_TRUE(outcomes.WaitFor(1));
  EXPECT_OK(outcomes.End(1));
}

TEST_F(VolumesTest, ExcludeFailsAtOnceWhileTheVolumeIsHeld) {
  VolumesOptions options = QuickOptions();
  options.exclude_wait_ms = 3'600'000;
  Start(1, 1, options);
  const auto volume = MakeVolume("V00001", "ALPHA");
  ASSERT_OK_AND_ASSIGN(VolumeUse hold, volumes_->Hold(volume, {}, "job 7"));
  const auto exclusion = volumes_->Exclude(volume);
  EXPECT_THAT(exclusion, HasErrc(Errc::kBusy));
  EXPECT_THAT(exclusion, MessageHas("ALPHA"));
  EXPECT_THAT(exclusion, MessageHas("job 7"));
  Outcomes outcomes;
  EXPECT_EQ(volumes_->With(volume, outcomes.Note(1)), 0u);
  hold.Release();
  EXPECT_OK(volumes_->Exclude(volume));
}

TEST_F(VolumesTest, AReservationBlocksExclusionAndNoRecall) {
  VolumesOptions options = QuickOptions();
  options.exclude_wait_ms = 3'600'000;
  Start(1, 2, options);
  const auto alpha = MakeVolume("V00001", "ALPHA");
  const auto beta = MakeVolume("V00002", "BETA");
  const uint64_t loads = Loads();
  ASSERT_OK_AND_ASSIGN(Volumes::Reservation first,
                       volumes_->Reserve(alpha, "mount at /a"));
  ASSERT_OK_AND_ASSIGN(Volumes::Reservation second,
                       volumes_->Reserve(alpha, "mount at /b"));
  EXPECT_EQ(Loads(), loads);
  const auto busy = volumes_->Exclude(alpha);
  EXPECT_THAT(busy, HasErrc(Errc::kBusy));
  EXPECT_THAT(busy, MessageHas("ALPHA is held by mount at /a, mount at /b"));
  // The only drive goes to whoever needs it, there and back.
  ASSERT_OK(volumes_->Use(alpha));
  ASSERT_OK(volumes_->Use(beta));
  EXPECT_FALSE(volumes_->loaded(*alpha));
  ASSERT_OK(volumes_->Use(alpha));
  first = std::move(second);
  EXPECT_THAT(volumes_->Exclude(alpha), MessageHas("by mount at /b"));
  first.Release();
  EXPECT_OK(volumes_->Exclude(alpha));
}

TEST_F(VolumesTest, AReservationWaitsForTheEndOfAnExclusion) {
  Start(1, 1);
  const auto volume = MakeVolume("V00001", "ALPHA");
  ASSERT_OK_AND_ASSIGN(Volumes::Exclusion exclusion, volumes_->Exclude(volume));
  std::stop_source stop;
  stop.request_stop();
  EXPECT_THAT(volumes_->Reserve(volume, "a", stop.get_token()),
              HasErrc(Errc::kInterrupted));
  auto reserving = std::async(std::launch::async,
                              [&] { return volumes_->Reserve(volume, "b"); });
  EXPECT_EQ(reserving.wait_for(milliseconds(50)), std::future_status::timeout);
  exclusion.Release();
  ASSERT_OK_AND_ASSIGN(const Volumes::Reservation reservation, reserving.get());
  EXPECT_THAT(volumes_->Exclude(volume), HasErrc(Errc::kBusy));
}

TEST_F(VolumesTest, ExcludeGivesUpAndParkedOperationsRunAgain) {
  VolumesOptions options = QuickOptions();
  options.exclude_wait_ms = 20;
  Start(1, 1, options);
  const auto volume = MakeVolume("V00001", "ALPHA");
  ASSERT_OK_AND_ASSIGN(const VolumeUse use, volumes_->Use(volume));
  EXPECT_THAT(volumes_->Exclude(volume), HasErrc(Errc::kBusy));

  std::stop_source stop;
  stop.request_stop();
  EXPECT_THAT(volumes_->Exclude(volume, stop.get_token()),
              HasErrc(Errc::kInterrupted));
  EXPECT_TRUE(use->attached());
  EXPECT_OK(volumes_->Use(volume));
}

TEST_F(VolumesTest, OperationsParkedByAFailedExclusionRun) {
  VolumesOptions options = QuickOptions();
  options.exclude_wait_ms = 3'600'000;
  Start(1, 1, options);
  const auto volume = MakeVolume("V00001", "ALPHA");
  ASSERT_OK_AND_ASSIGN(const VolumeUse use, volumes_->Use(volume));
  std::stop_source stop;
  auto excluding = std::async(std::launch::async, [&] {
    return volumes_->Exclude(volume, stop.get_token()).status();
  });
  Outcomes outcomes;
  int last = 0;
  ASSERT_TRUE(WaitUntil(
      [&] { return volumes_->With(volume, outcomes.Note(++last)) != 0; }));
  stop.request_stop();
  EXPECT_THAT(excluding.get(), HasErrc(Errc::kInterrupted));
  ASSERT_TRUE(outcomes.WaitFor(static_cast<size_t>(last)));
  EXPECT_OK(outcomes.End(last));
  EXPECT_TRUE(use->attached());
}

TEST_F(VolumesTest, ASecondExclusionGetsItsTurn) {
  Start(1, 1);
  const auto volume = MakeVolume("V00001", "ALPHA");
  ASSERT_OK_AND_ASSIGN(Volumes::Exclusion first, volumes_->Exclude(volume));
  auto second = std::async(std::launch::async,
                           [&] { return volumes_->Exclude(volume).status(); });
  EXPECT_EQ(second.wait_for(milliseconds(20)), std::future_status::timeout);
  first.Release();
  EXPECT_OK(second.get());
}

}  // namespace
}  // namespace vellum
