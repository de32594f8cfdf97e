// SPDX-License-Identifier: Apache-2.0
// The parts of a manual library one by one: docks, who is recognised in them,
// requests, and what an operator may confirm.
#include <gtest/gtest.h>
#include <unistd.h>

#include <atomic>
#include <filesystem>
#include <fstream>
#include <thread>

#include "media/manual/dock_medium.h"
#include "media/manual/manual_changer.h"
#include "media/manual/manual_confirm.h"
#include "media/manual/manual_drive.h"
#include "media/udf/control.h"
#include "media/udf/layout.h"
#include "tests/support/manual_bench.h"
#include "tests/support/status_matchers.h"

namespace vellum {
namespace {

namespace stdfs = std::filesystem;
using testing::HasSubstr;

constexpr ElementAddress kDock = ManualBench::kDock;
constexpr ElementAddress kDock2 = ManualBench::kDock2;
constexpr ElementAddress kPlace1{1024};
constexpr ElementAddress kPlace2{1025};

// A move in a thread of its own.
class MoveUnderWay {
 public:
  MoveUnderWay(Changer& changer, ElementAddress from, ElementAddress to)
      : thread_([this, &changer, from, to](const std::stop_token& stop) {
          status_ = changer.MoveMediumUntil(from, to, stop);
        }) {}
  Status Wait() {
    thread_.join();
    return status_;
  }
  Status Cancel() {
    thread_.request_stop();
    return Wait();
  }

 private:
  Status status_;
  std::jthread thread_;
};

// ---- docks

TEST(DockTest, AFileIsTheMediumAndItsAbsenceAnEmptyDock) {
  const ManualBench bench;
  Dock dock(bench.Image("V00001"));
  EXPECT_TRUE(dock.Find().present);
  EXPECT_EQ(dock.Look().medium_uuid, "");
  stdfs::remove(bench.Image("V00001"));
  EXPECT_FALSE(dock.Find().present);
  EXPECT_FALSE(dock.Look().present);
}

TEST(DockTest, WhatAppearsInADirectoryIsInTheDock) {
  const ManualBench bench;
  Dock dock(bench.DockFolder(kDock));
  EXPECT_FALSE(dock.Look().present);
  bench.PutIn("V00001", kDock);
  EXPECT_EQ(dock.Look().path, bench.DockFolder(kDock) + "/V00001");
  // A name that leads nowhere is a device that is not there.
  stdfs::create_symlink("/nowhere/at/all", bench.DockFolder(kDock) + "/gone");
  EXPECT_EQ(dock.Look().path, bench.DockFolder(kDock) + "/V00001");
  bench.PutIn("V00002", kDock);
  const DockSight two = dock.Look();
  EXPECT_TRUE(two.present);
  EXPECT_THAT(two.problem, HasSubstr("2 media at once"));
}

TEST(DockTest, TheImageOnAMountedDiskIsTheMedium) {
  const ManualBench bench;
  const std::string disk = bench.DockFolder(kDock) + "/disk";
  stdfs::create_directory(disk);
  Dock dock(bench.DockFolder(kDock));
  EXPECT_FALSE(dock.Look().present);
  stdfs::rename(bench.Image("V00001"), disk + "/V00001.img");
  EXPECT_EQ(dock.Look().path, disk + "/V00001.img");
}

TEST(DockTest, ReadsTheLabelAndSeesANewOne) {
  const ManualBench bench;
  Dock dock(bench.Image("V00001"));
  EXPECT_EQ(dock.Look().medium_uuid, "");
  const std::string uuid = bench.Format("V00001", "PHOTOS");
  EXPECT_EQ(dock.Look().medium_uuid, uuid);
  EXPECT_EQ(dock.Look().volume_id, "PHOTOS");
}

TEST(DockTest, WhatCannotBeAMediumIsAProblem) {
  const ManualBench bench;
  std::ofstream(bench.Image("V00001"), std::ios::trunc) << "too short";
  Dock dock(bench.Image("V00001"));
  EXPECT_TRUE(dock.Look().present);
  EXPECT_THAT(dock.Look().problem, HasSubstr("whole number of sectors"));
}

// ---- a medium in a dock

class DockMediumTest : public testing::Test {
 protected:
  std::unique_ptr<DockMedium> Open() {
    DockMediumOptions options;
    options.path = bench_.DockFolder(kDock) + "/V00001";
    options.fingerprint = Dock(bench_.DockFolder(kDock)).Find().fingerprint;
    options.name = "V00001 in dock 256";
    options.on_label = [this](const std::string& uuid) { label_ = uuid; };
    auto medium = DockMedium::Open(options);
    EXPECT_OK(medium);
    return medium.ok() ? std::move(*medium) : nullptr;
  }

  ManualBench bench_;
  std::string label_ = "none told";
};

TEST_F(DockMediumTest, PulledMediumTakesNothingAndSaysSo) {
  bench_.PutIn("V00001", kDock);
  const auto medium = Open();
  const Bytes data(kSectorSize, std::byte{7});
  ASSERT_OK(medium->Write(5, data));
  ASSERT_OK(medium->Flush());
  bench_.TakeOut(kDock);
  EXPECT_THAT(medium->Write(6, data), HasErrc(Errc::kNoMedium));
  EXPECT_THAT(medium->Flush(), HasErrc(Errc::kNoMedium));
  Bytes back(kSectorSize);
  EXPECT_THAT(medium->Read(5, back), HasErrc(Errc::kNoMedium));
  EXPECT_THAT(medium->Read(5, back), MessageHas("V00001 in dock 256"));
}

TEST_F(DockMediumTest, NoWriteReachesAnotherMediumThatTookItsPlace) {
  const std::string untouched = ReadFileOrDie(bench_.Image("V00002"));
  bench_.PutIn("V00001", kDock);
  const auto medium = Open();
  bench_.TakeOut(kDock);
  // Under the very same name.
  stdfs::create_symlink(bench_.Image("V00002"),
                        bench_.DockFolder(kDock) + "/V00001");
  const Bytes data(kSectorSize, std::byte{7});
  EXPECT_THAT(medium->Write(6, data), HasErrc(Errc::kNoMedium));
  EXPECT_THAT(medium->Discard(6, 1), HasErrc(Errc::kNoMedium));
  EXPECT_EQ(ReadFileOrDie(bench_.Image("V00002")), untouched);
  // It stays gone for who had it, even when the first one comes back.
  bench_.TakeOut(kDock);
  bench_.PutIn("V00001", kDock);
  EXPECT_THAT(medium->Write(6, data), HasErrc(Errc::kNoMedium));
}

TEST_F(DockMediumTest, TellsTheLabelThatAFlushMadeDurable) {
  bench_.PutIn("V00001", kDock);
  const auto medium = Open();
  const Bytes data(kSectorSize, std::byte{7});
  ASSERT_OK(medium->Write(5, data));
  ASSERT_OK(medium->Flush());
  EXPECT_EQ(label_, "none told");  // the label was not touched
  ASSERT_OK(medium->Write(udf::kSlotASector, data));
  ASSERT_OK(medium->Flush());
  EXPECT_EQ(label_, "");
}

// ---- who is recognised

DockSight Sees(const std::string& uuid) {
  DockSight sight;
  sight.present = true;
  sight.fingerprint = "x";
  sight.medium_uuid = uuid;
  sight.volume_id = uuid.empty() ? "" : "VOL-" + uuid;
  return sight;
}

TEST(RecogniseTest, ByLabelWhereverItIsThoughtToBe) {
  Shelf shelf;
  shelf[kPlace1] = {"V00001", {}, "aa"};
  shelf[kDock] = {"V00002", kPlace2, "bb"};
  EXPECT_EQ(Recognise(shelf, kDock, Sees("bb")).tag, "V00002");
  EXPECT_EQ(Recognise(shelf, kDock, Sees("aa")).tag, "V00001");
  const DockFinding unknown = Recognise(shelf, kDock, Sees("cc"));
  EXPECT_EQ(unknown.tag, "");
  EXPECT_THAT(unknown.problem, HasSubstr("VOL-cc"));
  EXPECT_FALSE(Recognise(shelf, kDock, DockSight()).full);
}

TEST(RecogniseTest, AMediumWithoutAVolumeIsNobodyUntilConfirmed) {
  Shelf shelf;
  shelf[kPlace1] = {"V00001", {}, ""};
  EXPECT_EQ(Recognise(shelf, kDock, Sees("")).tag, "");
  EXPECT_NE(Recognise(shelf, kDock, Sees("")).problem, "");
  SetDock(&shelf, ManualElementMap({"", 0, {"/d"}, 6, 2048}), kDock, "V00001");
  EXPECT_EQ(Recognise(shelf, kDock, Sees("")).tag, "V00001");
  // One with a volume in the dock now looks like a blank one: it is another.
  shelf[kDock].medium_uuid = "aa";
  EXPECT_EQ(Recognise(shelf, kDock, Sees("")).tag, "");
}

TEST(RecogniseTest, WhoLeavesTheDockIsBackWhereItCameFrom) {
  const ElementMap map = ManualElementMap({"", 0, {"/d"}, 3, 2048});
  Shelf shelf;
  shelf[kPlace1] = {"V00001", {}, "aa"};
  shelf[kPlace2] = {"V00002", {}, "bb"};
  SetDock(&shelf, map, kDock, "V00002");
  EXPECT_EQ(shelf[kDock].source, kPlace2);
  SetDock(&shelf, map, kDock, "V00001");
  EXPECT_EQ(shelf[kPlace2].tag, "V00002");
  EXPECT_EQ(shelf[kDock].tag, "V00001");
  // Its place was taken meanwhile: another free one.
  shelf[kPlace1] = {"V00003", {}, "cc"};
  SetDock(&shelf, map, kDock, "");
  EXPECT_EQ(FindTag(shelf, "V00001"), ElementAddress{1026});
}

TEST(ShelfTest, FileIsReadBackAndItsMistakesAreNamed) {
  const ManualBench bench;
  const ElementMap map = ManualElementMap(bench.config());
  Shelf shelf;
  shelf[kPlace1] = {"V00001", {}, std::string(32, 'a')};
  shelf[kDock] = {"V00002", kPlace2, ""};
  ASSERT_OK(WriteShelf(bench.config().directory, shelf));
  ASSERT_OK_AND_ASSIGN(const Shelf back,
                       ReadShelf(bench.config().directory, map));
  EXPECT_EQ(back, shelf);
  const auto reading = [&](const std::string& media) {
    WriteFileOrDie(ShelfPath(bench.config().directory),
                   R"({"version": 1, "media": [)" + media + "]}");
    return ReadShelf(bench.config().directory, map);
  };
  EXPECT_THAT(reading(R"({"element": 5000, "volume_tag": "A"})"),
              MessageHas("element 5000"));
  EXPECT_THAT(reading(R"({"element": 1024, "volume_tag": "a/b"})"),
              MessageHas("bad volume_tag"));
  EXPECT_THAT(reading(R"({"element": 1024, "volume_tag": "A"},
                         {"element": 1025, "volume_tag": "A"})"),
              MessageHas("elements 1024 and 1025"));
  EXPECT_THAT(
      reading(R"({"element": 1024, "volume_tag": "A", "medium_uuid": "xyz"})"),
      MessageHas("bad medium_uuid"));
  EXPECT_THAT(reading("7"), HasErrc(Errc::kCorruption));
}

// ---- requests

class ManualChangerTest : public testing::Test {
 protected:
  ElementStatus At(ElementAddress address) {
    const auto statuses = changer_.ReadElementStatus();
    EXPECT_OK(statuses);
    for (const ElementStatus& status : *statuses) {
      if (status.address == address) return status;
    }
    ADD_FAILURE();
    return {};
  }

  ManualBench bench_{2, 6, 3};
  std::string uuid1_ = bench_.Format("V00001", "PHOTOS");
  std::string uuid2_ = bench_.Format("V00002", "MUSIC");
  std::shared_ptr<ManualState> state_ = bench_.Load();
  ManualChanger changer_{state_};

  // As after the first time each medium was in a dock.
  void SetUp() override {
    ASSERT_OK(state_->SetLabel("V00001", uuid1_));
    ASSERT_OK(state_->SetLabel("V00002", uuid2_));
  }
};

TEST_F(ManualChangerTest, LabelEndsTheRequest) {
  MoveUnderWay move(changer_, kPlace1, kDock);
  const OperatorRequest request = AwaitRequest(*state_);
  EXPECT_EQ(request.text, "put V00001 from shelf place 1024 into dock 256 (" +
                              bench_.DockFolder(kDock) + ")");
  bench_.PutIn("V00001", kDock);
  EXPECT_OK(move.Wait());
  EXPECT_TRUE(state_->desk().List().empty());
  EXPECT_EQ(At(kDock).volume_tag, "V00001");
  EXPECT_EQ(At(kDock).source, kPlace1);
}

TEST_F(ManualChangerTest, WrongMediumIsNamedAndTheRequestStaysOpen) {
  MoveUnderWay move(changer_, kPlace1, kDock);
  AwaitRequest(*state_);
  bench_.PutIn("V00002", kDock);
  const OperatorRequest request =
      AwaitRequest(*state_, "dock 256 holds V00002");
  EXPECT_EQ(request.medium, "V00001");
  bench_.TakeOut(kDock);
  bench_.PutIn("V00001", kDock);
  EXPECT_OK(move.Wait());
  EXPECT_EQ(At(kPlace2).volume_tag, "V00002");
}

TEST_F(ManualChangerTest, BlankMediumIsConfirmed) {
  MoveUnderWay move(changer_, {1026}, kDock);
  bench_.PutIn("V00003", kDock);
  const OperatorRequest request =
      AwaitRequest(*state_, "holds a medium without a volume");
  EXPECT_OK(ConfirmRequest(*state_, request.number, false));
  EXPECT_OK(move.Wait());
  EXPECT_EQ(At(kDock).volume_tag, "V00003");
}

TEST_F(ManualChangerTest, WhatTheLabelDeniesCannotBeConfirmed) {
  MoveUnderWay move(changer_, kPlace1, kDock);
  const uint64_t number = AwaitRequest(*state_).number;
  EXPECT_THAT(ConfirmRequest(*state_, number, false),
              HasErrc(Errc::kNoMedium));  // the dock is empty
  bench_.PutIn("V00002", kDock);
  EXPECT_THAT(ConfirmRequest(*state_, number, true), HasErrc(Errc::kExists));
  EXPECT_THAT(ConfirmRequest(*state_, number, false),
              MessageHas("V00002, volume MUSIC"));
  bench_.TakeOut(kDock);
  bench_.PutIn("V00003", kDock);  // blank
  EXPECT_THAT(ConfirmRequest(*state_, number, false),
              HasErrc(Errc::kIncompatible));
  EXPECT_OK(ConfirmRequest(*state_, number, true));  // it was erased, he says
  EXPECT_OK(move.Wait());
  EXPECT_EQ(At(kDock).volume_tag, "V00001");
}

TEST_F(ManualChangerTest, NewMediumGetsAPlaceAndKeepsItsName) {
  bench_.PutIn("V00003", kDock);
  EXPECT_THAT(ConfirmMedium(*state_, {kDock, "NEW1", false, false}),
              HasErrc(Errc::kNotFound));
  EXPECT_OK(ConfirmMedium(*state_, {kDock, "NEW1", true, false}));
  EXPECT_EQ(At(kDock).volume_tag, "NEW1");
  EXPECT_EQ(At(kDock).source, ElementAddress{1027});
  EXPECT_THAT(ConfirmMedium(*state_, {kDock2, "V00001", true, false}),
              HasErrc(Errc::kNoMedium));
  EXPECT_EQ(bench_.Load()->shelf(), state_->shelf());
}

TEST_F(ManualChangerTest, CancelTakesTheRequestBackAndMovesNothing) {
  MoveUnderWay move(changer_, kPlace1, kDock);
  AwaitRequest(*state_);
  EXPECT_THAT(move.Cancel(), HasErrc(Errc::kInterrupted));
  EXPECT_TRUE(state_->desk().List().empty());
  EXPECT_EQ(At(kPlace1).volume_tag, "V00001");
  // The element is free for the next request.
  MoveUnderWay again(changer_, kPlace1, kDock);
  bench_.PutIn("V00001", kDock);
  EXPECT_OK(again.Wait());
}

TEST_F(ManualChangerTest, RefusalEndsTheWait) {
  MoveUnderWay move(changer_, kPlace1, kDock);
  const uint64_t number = AwaitRequest(*state_).number;
  EXPECT_OK(state_->desk().Refuse(number, "it is lost"));
  const Status status = move.Wait();
  EXPECT_THAT(status, HasErrc(Errc::kNoMedium));
  EXPECT_THAT(status, MessageHas("it is lost"));
  EXPECT_THAT(state_->desk().Refuse(number, "again"), HasErrc(Errc::kNotFound));
}

TEST_F(ManualChangerTest, UnloadEndsWhenTheMediumIsGone) {
  bench_.PutIn("V00001", kDock);
  EXPECT_EQ(At(kDock).volume_tag, "V00001");  // unasked, by its label
  MoveUnderWay move(changer_, kDock, {1028});
  const OperatorRequest request = AwaitRequest(*state_);
  EXPECT_THAT(request.text, HasSubstr("put it on shelf place 1028"));
  EXPECT_THAT(ConfirmRequest(*state_, request.number, false),
              HasErrc(Errc::kInvalidArgument));
  bench_.TakeOut(kDock);
  EXPECT_OK(move.Wait());
  EXPECT_EQ(At({1028}).volume_tag, "V00001");
  EXPECT_FALSE(At(kPlace1).full);
}

TEST_F(ManualChangerTest, RequestsOfTwoDocksAreOpenAtOnce) {
  MoveUnderWay first(changer_, kPlace1, kDock);
  MoveUnderWay second(changer_, kPlace2, kDock2);
  while (state_->desk().List().size() < 2) std::this_thread::yield();
  bench_.PutIn("V00002", kDock2);
  EXPECT_OK(second.Wait());
  bench_.PutIn("V00001", kDock);
  EXPECT_OK(first.Wait());
}

TEST_F(ManualChangerTest, PlacesSurviveADaemonThatDied) {
  bench_.PutIn("V00001", kDock);
  ASSERT_EQ(At(kDock).volume_tag, "V00001");
  {
    const auto after = bench_.Load();
    EXPECT_EQ(after->shelf(), state_->shelf());
  }
  // What was changed while nobody looked is found by its label.
  bench_.TakeOut(kDock);
  bench_.PutIn("V00002", kDock);
  ManualChanger changer(bench_.Load());
  ASSERT_OK_AND_ASSIGN(const auto statuses, changer.ReadElementStatus());
  for (const ElementStatus& status : statuses) {
    if (status.address == kDock) {
      EXPECT_EQ(status.volume_tag, "V00002");
    }
    if (status.address == kPlace1) {
      EXPECT_EQ(status.volume_tag, "V00001");
    }
  }
}

TEST_F(ManualChangerTest, DriveRemembersTheLabelThatWasWritten) {
  MoveUnderWay move(changer_, {1026}, kDock);
  bench_.PutIn("V00003", kDock);
  const auto request = AwaitRequest(*state_, "without a volume");
  ASSERT_OK(ConfirmRequest(*state_, request.number, false));
  ASSERT_OK(move.Wait());
  ManualDrive drive(state_, kDock);
  ASSERT_OK_AND_ASSIGN(auto medium, drive.Open());
  udf::ControlSlot slot;
  slot.format_uuid = slot.medium_uuid = std::string(32, 'c');
  slot.volume_id = "NEW";
  ASSERT_OK(udf::WriteControlSlot(*medium, &slot));
  ASSERT_OK(medium->Flush());
  // Before anything is closed: the daemon may die.
  EXPECT_EQ(bench_.Load()->shelf().at(kDock).medium_uuid, slot.medium_uuid);
  medium.reset();
  ASSERT_OK(drive.Close());
  EXPECT_EQ(At(kDock).volume_tag, "V00003");
}

TEST_F(ManualChangerTest, DuplicateOfAMediumInUseIsNotTakenForIt) {
  bench_.PutIn("V00001", kDock);
  ASSERT_EQ(At(kDock).volume_tag, "V00001");
  ManualDrive drive(state_, kDock);
  ASSERT_OK_AND_ASSIGN(auto medium, drive.Open());
  stdfs::copy_file(bench_.Image("V00001"),
                   bench_.DockFolder(kDock2) + "/duplicate");
  const ElementStatus second = At(kDock2);
  EXPECT_EQ(second.volume_tag, "");
  EXPECT_THAT(second.note, HasSubstr("duplicate of V00001"));
  EXPECT_EQ(At(kDock).volume_tag, "V00001");
  medium.reset();
}

}  // namespace
}  // namespace vellum
