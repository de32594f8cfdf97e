// SPDX-License-Identifier: Apache-2.0
// Two-sided media (O18), and robots that exchange two media in one way.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "media/library.h"
#include "media/virtual_library.h"
#include "media/virtual_medium.h"
#include "tests/media/library_fixture.h"
#include "tests/support/fake_library.h"
#include "tests/support/status_matchers.h"
#include "tests/support/temp_dir.h"

namespace vellum {
namespace {

using testing::ElementsAre;

class LibrarySidesTest : public LibraryTest {
 protected:
  static FakeLibraryOptions TwoSided(uint16_t drives) {
    FakeLibraryOptions options;
    options.drives = drives;
    options.media = 2;
    options.two_sided = true;
    return options;
  }
  static void Mark(const MediumLease& lease, uint8_t value) {
    ASSERT_OK(lease.medium().Write(7, Bytes(kSectorSize, std::byte{value})));
    ASSERT_OK(lease.medium().Flush());
  }
  static int MarkOf(const MediumLease& lease) {
    Bytes sector(kSectorSize);
    EXPECT_OK(lease.medium().Read(7, sector));
    return static_cast<int>(sector[0]);
  }
  // Id, home, element, loaded.
  std::vector<std::string> Places() {
    std::vector<std::string> places;
    for (const MediumPlace& place : library_->Media()) {
      places.push_back(place.id + " " + ToString(place.home) + " " +
                       ToString(place.element) +
                       (place.loaded ? " loaded" : ""));
    }
    return places;
  }
};

TEST_F(LibrarySidesTest, O18_ATwoSidedMediumIsTwo) {
  Open(TwoSided(1));
  EXPECT_THAT(Places(), ElementsAre("V00001A 1024 1024", "V00001B 1024 1024",
                                    "V00002A 1025 1025", "V00002B 1025 1025"));
  ASSERT_OK_AND_ASSIGN(const MediumPlace b, library_->FindMedium("V00001B"));
  EXPECT_EQ(b.tag, "V00001");
  EXPECT_EQ(b.side(), 'B');
  EXPECT_EQ(b.other_side, "V00001A");
  ASSERT_OK_AND_ASSIGN(const MediumPlace up, library_->MediumAt({1024}));
  EXPECT_EQ(up.id, "V00001A");
  EXPECT_THAT(library_->FindMedium("V00001"), HasErrc(Errc::kNotFound));
}

TEST_F(LibrarySidesTest, O18_TheOtherSideIsReachedByTurningOver) {
  Open(TwoSided(2));
  {
    const MediumLease a = Take(Exclusive("V00001A"));
    Mark(a, 1);
  }
  EXPECT_EQ(fake_->turns(), 0u);
  {
    const MediumLease b = Take(Exclusive("V00001B"));
    EXPECT_EQ(b.drive(), ElementAddress{256}) << "there is only one of it";
    EXPECT_EQ(MarkOf(b), 0);
    Mark(b, 2);
    EXPECT_THAT(Places(),
                ElementsAre("V00001A 1024 256", "V00001B 1024 256 loaded",
                            "V00002A 1025 1025", "V00002B 1025 1025"));
    EXPECT_EQ(library_->Drives()[0].medium, "V00001B");
  }
  EXPECT_EQ(fake_->turns(), 1u);
  EXPECT_EQ(fake_->moves(), 2u) << "it was turned over where it was";
  EXPECT_EQ(MarkOf(Take(Shared("V00001A"))), 1);
  EXPECT_EQ(MarkOf(Take(Shared("V00001B"))), 2);
  library_->Shutdown();
  EXPECT_EQ(fake_->WhereIs("V00001"), ElementAddress{1024});
  EXPECT_EQ(fake_->turns() % 2, 0u) << "side A is up at home";
}

TEST_F(LibrarySidesTest, O18_SideBIsLoadedFromASlot) {
  Open(TwoSided(1));
  EXPECT_EQ(MarkOf(Take(Shared("V00001B"))), 0);
  EXPECT_EQ(fake_->turns(), 1u);
  // Another medium sends it home, and it is turned back on the way.
  Take(Shared("V00002A")).Release();
  EXPECT_EQ(fake_->turns(), 2u);
  EXPECT_THAT(Places(),
              ElementsAre("V00001A 1024 1024", "V00001B 1024 1024",
                          "V00002A 1025 256 loaded", "V00002B 1025 256"));
  Mark(Take(Exclusive("V00001A")), 9);
  Bytes sector(kSectorSize);
  ASSERT_OK(fake_->Content("V00001")->Read(7, sector));
  EXPECT_EQ(sector[0], std::byte{9});
}

TEST_F(LibrarySidesTest, O18_ARobotThatTurnsOnlyOnItsWayTakesItHomeFirst) {
  FakeLibraryOptions options = TwoSided(1);
  options.turns_in_drive = false;
  Open(options);
  Mark(Take(Exclusive("V00001A")), 1);
  Mark(Take(Exclusive("V00001B")), 2);
  EXPECT_EQ(fake_->turns(), 1u);
  EXPECT_EQ(MarkOf(Take(Shared("V00001A"))), 1);
  EXPECT_EQ(MarkOf(Take(Shared("V00001B"))), 2);
}

TEST_F(LibrarySidesTest, O18_BothSidesAtOnceAreRefused) {
  Open(TwoSided(2));
  const auto both =
      library_->AcquireAndWait({Exclusive("V00001A"), Exclusive("V00001B")});
  EXPECT_THAT(both, HasErrc(Errc::kInvalidArgument));
  EXPECT_THAT(both, MessageHas("two sides of one medium"));
  EXPECT_EQ(fake_->moves(), 0u);
  EXPECT_OK(
      library_->AcquireAndWait({Exclusive("V00001A"), Exclusive("V00002B")}));
}

TEST_F(LibrarySidesTest, O18_WhoHasOneSideIsAskedForItAndWaitedFor) {
  Open(TwoSided(2));
  const auto polite = TakePolite("V00001A");
  MediumLease b = Take(Exclusive("V00001B"));
  EXPECT_EQ(recalls_, 1);
  Answer a = Ask({Shared("V00001A")});
  // The other drive stands empty and is of no use to it, but to others.
  Take(Shared("V00002B")).Release();
  EXPECT_FALSE(a.answered());
  Mark(b, 3);
  b.Release();
  const auto granted = a.Wait();
  ASSERT_OK(granted);
  EXPECT_EQ(MarkOf(granted->front()), 0);
}

TEST_F(LibrarySidesTest, O18_RequestsForBothSidesUseOneDriveInTurn) {
  Open(TwoSided(2));
  // Asked for while the medium is in its slot.
  fake_->HoldMoves(true);
  Answer a = Ask({Shared("V00001A")});
  Answer b = Ask({Shared("V00001B")});
  fake_->HoldMoves(false);
  {
    const auto first = a.Wait();
    ASSERT_OK(first);
    EXPECT_EQ(first->front().drive(), ElementAddress{256});
    EXPECT_FALSE(b.answered());
  }
  const auto second = b.Wait();
  ASSERT_OK(second);
  EXPECT_EQ(second->front().drive(), ElementAddress{256});
}

TEST_F(LibrarySidesTest, O18_AMoveByHandTakesBothSides) {
  Open(TwoSided(1));
  Take(Shared("V00001B")).Release();
  ASSERT_OK(library_->Move({256}, {1030}));
  EXPECT_THAT(Places(), ElementsAre("V00002A 1025 1025", "V00002B 1025 1025",
                                    "V00001A 1030 1030", "V00001B 1030 1030"));
  EXPECT_EQ(fake_->turns(), 2u);
}

TEST_F(LibrarySidesTest, AnExchangeTakesOneWay) {
  FakeLibraryOptions options = Drives(1);
  options.exchanges = true;
  Open(options);
  Take(Shared("V00001")).Release();
  EXPECT_EQ(fake_->moves(), 1u);
  const MediumLease second = Take(Shared("V00002"));
  EXPECT_EQ(fake_->exchanges(), 1u);
  EXPECT_EQ(fake_->moves(), 1u);
  EXPECT_EQ(fake_->WhereIs("V00001"), ElementAddress{1024});
  EXPECT_EQ(fake_->WhereIs("V00002"), ElementAddress{256});
  EXPECT_EQ(Places()[0], "V00001 1024 1024");
  EXPECT_EQ(Places()[1], "V00002 1025 256 loaded");
}

TEST_F(LibrarySidesTest, AFailedExchangeLeavesTheTruth) {
  FakeLibraryOptions options = Drives(1);
  options.exchanges = true;
  Open(options);
  Take(Shared("V00001")).Release();
  fake_->FailNextMove(Errc::kDeviceError, /*after_moving=*/false);
  EXPECT_THAT(library_->AcquireAndWait({Shared("V00002")}),
              HasErrc(Errc::kDeviceError));
  EXPECT_EQ(Places()[0], "V00001 1024 256 loaded");
  Take(Shared("V00002")).Release();
  EXPECT_EQ(fake_->exchanges(), 1u);
}

TEST_F(LibrarySidesTest, WhereTheHomeIsTakenTwoMovesAreMade) {
  FakeLibraryOptions options = Drives(1);
  options.exchanges = true;
  Open(options);
  Take(Shared("V00001")).Release();
  fake_->Place("V00003", {1024});
  ASSERT_OK(library_->RefreshElements());
  Take(Shared("V00002")).Release();
  EXPECT_NE(fake_->WhereIs("V00001"), ElementAddress{256});
  EXPECT_NE(fake_->WhereIs("V00001"), ElementAddress{1024});
}

// ---- the virtual library

TEST(VirtualSides, O18_BothSidesOfAVirtualMediumSurviveARestart) {
  const TempDir directory;
  const std::string path = directory.path() + "/library";
  VirtualLibraryOptions options;
  options.media = 1;
  options.drives = 2;
  options.capacity = 8 << 20;
  ASSERT_OK(InitVirtualLibrary(path, options));
  NewVirtualMedium medium;
  medium.tag = "DISC";
  medium.two_sided = true;
  ASSERT_OK(AddVirtualMedium(path, medium));
  const auto mark = [&](const MediumId& id, int value) {
    ASSERT_OK_AND_ASSIGN(const LibraryConfig config, ReadLibraryConfig(path));
    ASSERT_OK_AND_ASSIGN(LibraryDevices devices, OpenVirtualLibrary(config));
    ASSERT_OK_AND_ASSIGN(
        const auto library,
        Library::Open(std::move(devices.changer), std::move(devices.drives)));
    ASSERT_OK_AND_ASSIGN(const auto leases,
                         library->AcquireAndWait({Exclusive(id)}));
    EXPECT_EQ(leases[0].medium().Info().name, id + " in drive 256");
    Bytes sector(kSectorSize);
    ASSERT_OK(leases[0].medium().Read(3, sector));
    EXPECT_EQ(static_cast<int>(sector[0]), value);
    sector[0] = static_cast<std::byte>(value + 1);
    ASSERT_OK(leases[0].medium().Write(3, sector));
  };
  mark("DISCA", 0);
  mark("DISCB", 0);
  mark("DISCA", 1);
  mark("DISCB", 1);
  mark("V00001", 0);

  // A daemon that died while side B was in the drive: it goes home, turned.
  ASSERT_OK_AND_ASSIGN(const LibraryConfig config, ReadLibraryConfig(path));
  {
    ASSERT_OK_AND_ASSIGN(const LibraryDevices devices,
                         OpenVirtualLibrary(config));
    ASSERT_OK(devices.changer->MoveMediumTurned({1025}, {257}));
    EXPECT_THAT(devices.changer->MoveMediumTurned({1024}, {256}),
                HasErrc(Errc::kNotSupported));
  }
  ASSERT_OK_AND_ASSIGN(LibraryDevices devices, OpenVirtualLibrary(config));
  ASSERT_OK_AND_ASSIGN(
      const auto library,
      Library::Open(std::move(devices.changer), std::move(devices.drives)));
  for (const ElementStatus& status : library->ElementStatuses()) {
    EXPECT_FALSE(status.turned);
  }
  ASSERT_OK_AND_ASSIGN(const MediumPlace place, library->FindMedium("DISCB"));
  EXPECT_EQ(place.element, ElementAddress{1025});
}

}  // namespace
}  // namespace vellum
