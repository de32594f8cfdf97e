// SPDX-License-Identifier: Apache-2.0
// vellum doctor on libraries in memory that are well, and on some that are not.
#include "tools/doctor.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <memory>
#include <string>
#include <vector>

#include "media/manual/manual_changer.h"
#include "media/manual/manual_drive.h"
#include "tests/support/fake_library.h"
#include "tests/support/fake_scsi_changer.h"
#include "tests/support/manual_bench.h"
#include "tests/support/scsi_disk.h"
#include "tests/support/status_matchers.h"
#include "tools/medium_trial.h"

namespace vellum {
namespace {

using testing::Contains;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::Not;

ElementMap SmallMap() {
  return {{{1}, 1}, {{1024}, 3}, {{768}, 1}, {{256}, 1}};
}

std::vector<ElementStatus> SmallStatus() {
  std::vector<ElementStatus> statuses;
  const auto add = [&](uint16_t address, ElementType type) {
    ElementStatus status;
    status.address = {address};
    status.type = type;
    statuses.push_back(status);
  };
  add(1, ElementType::kTransport);
  for (uint16_t i = 0; i < 3; ++i) add(1024 + i, ElementType::kStorage);
  add(768, ElementType::kImportExport);
  add(256, ElementType::kDataTransfer);
  return statuses;
}

TEST(ElementStatusProblems, ASoundStatusHasNone) {
  EXPECT_THAT(ElementStatusProblems(SmallMap(), SmallStatus()), IsEmpty());
}

TEST(ElementStatusProblems, EachContradictionIsNamed) {
  auto statuses = SmallStatus();
  statuses.erase(statuses.begin() + 2);
  EXPECT_THAT(ElementStatusProblems(SmallMap(), statuses),
              Contains("2 of 3 storage elements are reported"));
  statuses = SmallStatus();
  statuses[1].address = {2000};
  EXPECT_THAT(ElementStatusProblems(SmallMap(), statuses),
              Contains(HasSubstr("element 2000 is reported as storage")));
  statuses = SmallStatus();
  statuses[1].address = statuses[2].address;
  EXPECT_THAT(ElementStatusProblems(SmallMap(), statuses),
              Contains("element 1025 is reported twice"));
  statuses = SmallStatus();
  statuses[1].full = statuses[2].full = true;
  statuses[1].volume_tag = statuses[2].volume_tag = "A";
  EXPECT_THAT(ElementStatusProblems(SmallMap(), statuses),
              Contains("volume tag A is in elements 1024 and 1025"));
  statuses[2].full = false;
  EXPECT_THAT(ElementStatusProblems(SmallMap(), statuses),
              Contains("element 1025 is empty but has tag A"));
}

class DoctorTest : public testing::Test {
 protected:
  void Examine(const DoctorOptions& options = {}) {
    LibraryDevices devices;
    devices.changer = library_.MakeChanger();
    devices.drives = library_.MakeDrives();
    doctor_ = std::make_unique<Doctor>(
        options, [this](const DoctorLine& line) { Note(line); });
    doctor_->ExamineDevices(devices);
  }
  void Note(const DoctorLine& line) {
    told_ += std::string(FindingName(line.finding)) + " " + line.subject +
             ": " + line.text + "\n";
  }
  DoctorOptions WriteTest() {
    DoctorOptions options;
    options.write_test = "V00002";
    options.test_bytes = 1 << 20;
    return options;
  }

  FakeLibrary library_;
  std::unique_ptr<Doctor> doctor_;
  std::string told_;
};

TEST_F(DoctorTest, ASoundLibraryHasNoProblemsAndIsAsItWas) {
  Examine();
  EXPECT_EQ(doctor_->problems(), 0u) << told_;
  EXPECT_EQ(library_.loads(), 2u);  // each drive
  EXPECT_EQ(library_.moves(), 4u);
  EXPECT_EQ(library_.WhereIs("V00001").value, 1024);
  EXPECT_THAT(told_, HasSubstr("ok drive 256: V00001 moved from 1024 to 256"));
  EXPECT_THAT(told_, HasSubstr("ok drive 257: V00001 moved from 257 to 1024"));
  EXPECT_THAT(told_, HasSubstr("rewritable, 8.4 MB, write unit 2048 bytes"));
  EXPECT_THAT(told_, HasSubstr("8 storage from 1024"));
}

TEST_F(DoctorTest, ACleaningMediumIsNotLoaded) {
  library_.Relabel("V00001", "CLN001");
  Examine();
  EXPECT_EQ(doctor_->problems(), 0u) << told_;
  EXPECT_THAT(told_, HasSubstr("ok drive 256: V00002 moved from 1025 to 256"));
  EXPECT_THAT(told_, Not(HasSubstr("CLN001")));
}

TEST_F(DoctorTest, ADriveThatIsBeingCleanedIsNotTried) {
  library_.Relabel("V00001", "CLN001");
  library_.Place("CLN001", {256});
  Examine();
  EXPECT_THAT(told_, HasSubstr("note drive 256: CLN001 cleans it: not tried"));
  EXPECT_THAT(told_, Not(HasSubstr("drive 256: reads")));
  EXPECT_THAT(told_, HasSubstr("drive 257: reads"));
}

TEST_F(DoctorTest, NothingIsWrittenUnasked) {
  Bytes data(8 * kSectorSize, std::byte{3});
  ASSERT_OK(library_.Content("V00001")->Write(100, data));
  Examine();
  Bytes after(8 * kSectorSize);
  ASSERT_OK(library_.Content("V00001")->Read(100, after));
  EXPECT_EQ(after, data);
}

TEST_F(DoctorTest, TheNamedMediumIsWrittenInEveryDriveAndEndsBlank) {
  Examine(WriteTest());
  EXPECT_EQ(doctor_->problems(), 0u) << told_;
  EXPECT_THAT(told_, HasSubstr("drive 256: writes"));
  EXPECT_THAT(told_, HasSubstr("drive 257: writes"));
  EXPECT_EQ(library_.WhereIs("V00002").value, 1025);
  Bytes sector(kSectorSize, std::byte{1});
  ASSERT_OK(library_.Content("V00002")->Read(0, sector));
  EXPECT_EQ(sector, Bytes(kSectorSize));
}

TEST_F(DoctorTest, AMediumWithDataIsWrittenOnlyWhenItMayBeCleared) {
  Bytes data(kSectorSize, std::byte{3});
  ASSERT_OK(library_.Content("V00002")->Write(100, data));
  Examine(WriteTest());
  EXPECT_EQ(doctor_->problems(), 2u) << told_;
  EXPECT_THAT(told_, HasSubstr("drive 256: V00002 holds data: no write test"));
  Bytes after(kSectorSize);
  ASSERT_OK(library_.Content("V00002")->Read(100, after));
  EXPECT_EQ(after, data);
  DoctorOptions options = WriteTest();
  options.clear = true;
  Examine(options);
  EXPECT_EQ(doctor_->problems(), 0u) << told_;
}

TEST_F(DoctorTest, AWriteProtectedMediumFailsTheWriteTest) {
  library_.Content("V00002")->SetWriteProtected(true);
  Examine(WriteTest());
  EXPECT_THAT(told_, HasSubstr("drive 256: V00002 is write-protected"));
  EXPECT_EQ(doctor_->problems(), 2u);
}

TEST_F(DoctorTest, AMediumThatCannotBeReadIsAProblemAndGoesBack) {
  library_.Content("V00001")->MakeUnreadable({3, 1});
  Examine();
  EXPECT_EQ(doctor_->problems(), 2u) << told_;
  EXPECT_EQ(library_.WhereIs("V00001").value, 1024);
}

TEST_F(DoctorTest, AMediumThatDoesNotLoadGoesBack) {
  library_.FailNextOpen("V00001", Errc::kIncompatible);
  Examine();
  EXPECT_EQ(doctor_->problems(), 1u) << told_;
  EXPECT_THAT(told_, HasSubstr("problem drive 256: "));
  EXPECT_THAT(told_, HasSubstr("ok drive 257: V00001 moved from 1024 to 257"));
  EXPECT_EQ(library_.WhereIs("V00001").value, 1024);
}

TEST_F(DoctorTest, AMoveThatFailsIsAProblem) {
  library_.FailNextMove(Errc::kDeviceError, /*after_moving=*/false);
  Examine();
  EXPECT_EQ(doctor_->problems(), 1u) << told_;
  EXPECT_THAT(told_, HasSubstr("ok drive 257: V00001 moved from 257"));
}

TEST_F(DoctorTest, WhatIsInADriveIsLookedAtThere) {
  library_.Place("V00003", {256});
  Examine();
  EXPECT_EQ(doctor_->problems(), 0u) << told_;
  EXPECT_THAT(told_, HasSubstr("drive 256: V00003 is in it and stays there"));
  EXPECT_THAT(told_, HasSubstr("drive 256: reads"));
  EXPECT_EQ(library_.WhereIs("V00003").value, 256);
}

class DoctorOfDocksTest : public testing::Test {
 protected:
  void Examine(const DoctorOptions& options = {}) {
    const std::shared_ptr<ManualState> state = bench_.Load();
    LibraryDevices devices;
    devices.changer = std::make_unique<ManualChanger>(state);
    for (const uint16_t address : {256, 257}) {
      devices.drives.push_back(
          std::make_unique<ManualDrive>(state, ElementAddress{address}));
    }
    told_.clear();
    doctor_ = std::make_unique<Doctor>(options, [this](const DoctorLine& line) {
      told_ += std::string(FindingName(line.finding)) + " " + line.subject +
               ": " + line.text + "\n";
    });
    doctor_->ExamineDocks(devices);
  }

  ManualBench bench_{2};
  std::unique_ptr<Doctor> doctor_;
  std::string told_;
};

TEST_F(DoctorOfDocksTest, WhatLiesInADockIsTriedThere) {
  bench_.Format("V00001", "DISC");
  const auto operator_puts = [&] {
    const auto state = bench_.Load();
    ManualChanger changer(state);
    const ObedientOperator person(state, &bench_);
    ASSERT_OK(changer.MoveMedium({1024}, {256}));
  };
  operator_puts();
  Examine();
  EXPECT_EQ(doctor_->problems(), 0u) << told_;
  EXPECT_THAT(told_, HasSubstr("drive 256: V00001 in dock 256: rewritable"));
  EXPECT_THAT(told_, HasSubstr("ok drive 256: reads"));
  EXPECT_THAT(told_, HasSubstr("note drive 257: is empty"));

  DoctorOptions options;
  options.test_bytes = 1 << 20;
  options.write_test = "V00001";
  Examine(options);
  EXPECT_EQ(doctor_->problems(), 1u) << told_;
  EXPECT_THAT(told_, HasSubstr("holds a volume: no write test"));
  options.clear = true;
  options.write_test = "V00002";
  Examine(options);
  EXPECT_EQ(doctor_->problems(), 1u) << told_;
  EXPECT_THAT(told_, HasSubstr("write test: V00002 is in no dock"));
  options.write_test = "V00001";
  Examine(options);
  EXPECT_EQ(doctor_->problems(), 0u) << told_;
  EXPECT_THAT(told_, HasSubstr("drive 256: writes"));
}

TEST(DoctorOfScsiParts, TellsTheMapAndWhatTheRobotCan) {
  FakeScsiChanger fake;
  ScsiDiskOptions disk_options;
  disk_options.serial = "DRV257";
  const ScsiDisk disk(disk_options);
  ScsiSystem system;
  system.list = [] { return std::vector<std::string>{"/dev/sg7"}; };
  system.open =
      [&](const std::string& name) -> Result<std::unique_ptr<scsi::Transport>> {
    if (name == "/dev/sg7") return disk.Open();
    return fake.Open();
  };
  ScsiLibraryOptions options;
  options.changer = "/dev/sg0";
  ASSERT_OK_AND_ASSIGN(ScsiParts parts, FindScsiParts(options, system));
  std::string told;
  Doctor doctor({}, [&](const DoctorLine& line) {
    told += line.subject + ": " + line.text + "\n";
  });
  doctor.ExamineParts(parts);
  EXPECT_EQ(doctor.problems(), 1u) << told;
  EXPECT_THAT(told, HasSubstr("moves between storage and drives: yes"));
  EXPECT_THAT(told, HasSubstr("drive 256 has no device"));
  EXPECT_THAT(told, HasSubstr("drive 257: is /dev/sg7: serial number DRV257"));
}

// A jukebox whose robot takes a medium out of a drive only when that has
// ejected it.
TEST(DoctorOfScsiParts, TellsWhatTheDevicesNeed) {
  FakeScsiChangerOptions changer_options;
  changer_options.map.data_transfer.count = 1;
  FakeScsiChanger fake(changer_options);
  fake.Put(1024, "V00001L1");
  ScsiDiskOptions disk_options;
  disk_options.takes_dpo = false;
  disk_options.reports_operations = true;
  ScsiDisk disk(disk_options);
  const auto cartridge = std::make_shared<ScsiCartridge>(512, 16384);
  ScsiSystem system;
  system.list = [] { return std::vector<std::string>(); };
  system.open =
      [&](const std::string& name) -> Result<std::unique_ptr<scsi::Transport>> {
    if (name == "/dev/sg7") return disk.Open();
    return fake.Open();
  };
  ScsiLibraryOptions options;
  options.changer = "/dev/sg0";
  options.drives = {{ElementAddress{256}, "/dev/sg7"}};
  const auto examine = [&](EjectRule rule, bool refuses) {
    options.eject = rule;
    // The robot of the one moves nothing in the other.
    disk.Insert(cartridge);
    std::string told;
    DoctorOptions doctor_options;
    doctor_options.test_bytes = 1 << 20;
    Doctor doctor(doctor_options, [&](const DoctorLine& line) {
      told += std::string(FindingName(line.finding)) + " " + line.subject +
              ": " + line.text + "\n";
    });
    Result<ScsiParts> parts = FindScsiParts(options, system);
    EXPECT_OK(parts);
    doctor.ExamineParts(*parts);
    LibraryDevices devices =
        JoinScsiDevices(std::move(parts->changer), std::move(parts->drives));
    if (refuses) {
      fake.script().Then(0xA5, fake.MoveHandler());
      fake.script().Then(0xA5, Check(5, 0x3B, 0x90));
    }
    doctor.ExamineDevices(devices);
    EXPECT_EQ(doctor.problems(), 0u) << told;
    return told;
  };
  std::string told = examine(EjectRule::kAuto, false);
  EXPECT_THAT(told, HasSubstr("ok changer: its door can be locked (`vellum "
                              "door lock`): yes"));
  EXPECT_THAT(told, HasSubstr("ok drive 256: reads that pass its cache: FUA"));
  EXPECT_THAT(told, HasSubstr("ok drive 256: zeros: WRITE SAME(10, 16), 16384 "
                              "KiB with each"));
  EXPECT_THAT(told, HasSubstr("ok changer: takes media out of drives without "
                              "an eject"));
  told = examine(EjectRule::kAuto, true);
  EXPECT_THAT(told, HasSubstr("note changer: takes a medium out of a drive "
                              "only after the drive was told to eject it"));
  told = examine(EjectRule::kAlways, false);
  EXPECT_THAT(told, HasSubstr("each was ejected before, as library.toml says"));
  EXPECT_TRUE(disk.ejected());
}

// A medium that loses one sector of what is written to it.
class Forgetful : public MemoryMedium {
 public:
  using MemoryMedium::MemoryMedium;
  Status Flush() override {
    const Bytes zeros(kSectorSize);
    return MemoryMedium::Write(77, zeros);
  }
};

TEST(MediumTrial, FindsASectorThatWasNotWritten) {
  Forgetful medium(4096);
  const auto times = TryWritingPattern(medium, 1 << 20, 5);
  EXPECT_THAT(times, HasErrc(Errc::kCorruption));
  EXPECT_THAT(times, MessageHas("sector 77 "));
}

TEST(MediumTrial, WritesItsRangesOnlyAndLeavesZeros) {
  MemoryMedium medium(4096);
  const Bytes data(kSectorSize, std::byte{9});
  ASSERT_OK(medium.Write(2000, data));
  ASSERT_OK_AND_ASSIGN(const TrialTimes times,
                       TryWritingPattern(medium, 1 << 20, 5));
  EXPECT_EQ(times.bytes, (1u << 20) + kRegionSize);
  Bytes after(kSectorSize);
  ASSERT_OK(medium.Read(2000, after));
  EXPECT_EQ(after, data);
  for (const uint64_t lba : {uint64_t{0}, uint64_t{511}, uint64_t{4095}}) {
    ASSERT_OK(medium.Read(lba, after));
    EXPECT_EQ(after, Bytes(kSectorSize)) << lba;
  }
  // A medium smaller than what was asked for.
  ASSERT_OK_AND_ASSIGN(const TrialTimes all,
                       TryWritingPattern(medium, 1 << 30, 5));
  EXPECT_EQ(all.bytes, 4096u * kSectorSize);
}

}  // namespace
}  // namespace vellum
