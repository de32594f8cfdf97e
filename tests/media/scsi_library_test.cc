// SPDX-License-Identifier: Apache-2.0
// A library of SCSI devices as library.toml says: which device is which drive.
#include "media/scsi/scsi_library.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "media/changer_controls.h"
#include "media/library.h"
#include "tests/support/fake_scsi_changer.h"
#include "tests/support/scsi_disk.h"
#include "tests/support/status_matchers.h"

namespace vellum {
namespace {

using scsi::DriveCandidate;
using scsi::DriveElement;
using scsi::DriveMatch;
using scsi::ElementIdentifier;

DriveElement Element(uint16_t address, const std::string& serial) {
  DriveElement element;
  element.address = {address};
  if (serial.empty()) return element;
  ElementIdentifier identifier;
  identifier.code_set = 2;
  identifier.type = 1;
  identifier.vendor = "VELLUM";
  identifier.product = "MEMORY DISK";
  identifier.serial = serial;
  identifier.text = "VELLUM  MEMORY DISK     " + serial;
  element.identifier = identifier;
  return element;
}

DriveCandidate Candidate(const std::string& device, const std::string& serial) {
  DriveCandidate candidate;
  candidate.device = device;
  candidate.inquiry.device_type = 0;
  candidate.inquiry.vendor = "VELLUM";
  candidate.inquiry.product = "MEMORY DISK";
  candidate.inquiry.serial = serial;
  return candidate;
}

std::vector<std::string> Devices(const std::vector<DriveMatch>& matches) {
  std::vector<std::string> devices;
  for (const DriveMatch& match : matches) devices.push_back(match.device);
  return devices;
}

TEST(MatchDrives, FindsDrivesBySerialNumberInAnyOrder) {
  const auto matches = scsi::MatchDrives(
      {Element(256, "A1"), Element(257, "B2")},
      {Candidate("/dev/sg1", "X"), Candidate("/dev/sg2", "B2"),
       Candidate("/dev/sg3", "A1")},
      {});
  EXPECT_THAT(Devices(matches), testing::ElementsAre("/dev/sg3", "/dev/sg2"));
  EXPECT_THAT(matches[0].reason, testing::HasSubstr("A1"));
  EXPECT_EQ(matches[0].problem, "");
}

TEST(MatchDrives, WhatTheOperatorNamesCounts) {
  const auto matches = scsi::MatchDrives(
      {Element(256, "A1"), Element(257, "B2")},
      {Candidate("/dev/sg2", "B2"), Candidate("/dev/sg3", "A1")},
      {{ElementAddress{256}, "/dev/sg9"}});
  EXPECT_THAT(Devices(matches), testing::ElementsAre("/dev/sg9", "/dev/sg2"));
}

TEST(MatchDrives, ANamedDeviceIsNoOtherDrive) {
  const auto matches = scsi::MatchDrives(
      {Element(256, "A1"), Element(257, "B2")}, {Candidate("/dev/sg2", "B2")},
      {{ElementAddress{256}, "/dev/sg2"}});
  EXPECT_THAT(Devices(matches), testing::ElementsAre("/dev/sg2", ""));
  EXPECT_THAT(matches[1].problem, testing::HasSubstr("drive 257"));
}

TEST(MatchDrives, NothingIsGuessed) {
  // One drive, one device: but nobody says that they belong together.
  auto matches =
      scsi::MatchDrives({Element(256, "")}, {Candidate("/dev/sg2", "B2")}, {});
  EXPECT_THAT(Devices(matches), testing::ElementsAre(""));
  EXPECT_THAT(matches[0].problem, testing::HasSubstr("drive 256"));
  matches = scsi::MatchDrives({Element(256, "A1")},
                              {Candidate("/dev/sg2", "A12")}, {});
  EXPECT_THAT(Devices(matches), testing::ElementsAre(""));
  EXPECT_THAT(matches[0].problem, testing::HasSubstr("A1"));
  matches = scsi::MatchDrives(
      {Element(256, "A1")},
      {Candidate("/dev/sg2", "A1"), Candidate("/dev/sg3", "A1")}, {});
  EXPECT_THAT(Devices(matches), testing::ElementsAre(""));
  EXPECT_THAT(matches[0].problem,
              testing::HasSubstr("/dev/sg2 and /dev/sg3 are both"));
  matches = scsi::MatchDrives(
      {Element(256, "A1"), Element(257, "A1"), Element(258, "A1")},
      {Candidate("/dev/sg2", "A1")}, {});
  EXPECT_THAT(Devices(matches), testing::ElementsAre("", "", ""));
}

class ScsiLibraryTest : public testing::Test {
 protected:
  ScsiLibraryTest() {
    options_.changer = "/dev/changer";
    options_.drives = {{ElementAddress{256}, "/dev/drive0"},
                       {ElementAddress{257}, "/dev/drive1"}};
    config_.directory = "/library";
    for (const auto& [name, serial] : std::map<std::string, std::string>{
             {"/dev/drive0", "DRV256"}, {"/dev/drive1", "DRV257"}}) {
      ScsiDiskOptions disk;
      disk.name = name;
      disk.serial = serial;
      disks_.emplace(name, disk);
    }
    fake_.Put(1024, "V00001L1");
  }

  ScsiSystem System() {
    ScsiSystem system;
    system.list = [this] {
      std::vector<std::string> names = {"/dev/changer", "/dev/broken"};
      for (const auto& [name, disk] : disks_) names.push_back(name);
      return names;
    };
    system.open = [this](const std::string& name)
        -> Result<std::unique_ptr<scsi::Transport>> {
      opened_.push_back(name);
      if (name == "/dev/changer") return fake_.Open();
      const auto disk = disks_.find(name);
      if (disk != disks_.end()) return disk->second.Open();
      return Error{Errc::kNotFound, name + ": no such device"};
    };
    return system;
  }
  Result<LibraryDevices> OpenLibrary() {
    config_.devices = options_;
    return OpenScsiLibrary(config_, System());
  }

  FakeScsiChanger fake_;
  std::map<std::string, ScsiDisk> disks_;
  std::vector<std::string> opened_;
  ScsiLibraryOptions options_;
  LibraryConfig config_;
};

TEST_F(ScsiLibraryTest, OpensTheNamedDrivesAndAsksNoOtherDevice) {
  ASSERT_OK_AND_ASSIGN(LibraryDevices devices, OpenLibrary());
  ASSERT_EQ(devices.drives.size(), 2u);
  EXPECT_EQ(devices.drives[1]->Address().value, 257);
  ASSERT_OK_AND_ASSIGN(const DriveIdentity identity,
                       devices.drives[1]->Identify());
  EXPECT_EQ(identity.device, "/dev/drive1");
  EXPECT_EQ(identity.serial, "DRV257");
  EXPECT_THAT(opened_, testing::ElementsAre("/dev/changer", "/dev/drive0",
                                            "/dev/drive1"));
}

TEST_F(ScsiLibraryTest, TheDriveKnowsTheTagOfWhatTheRobotPutIn) {
  ASSERT_OK_AND_ASSIGN(LibraryDevices devices, OpenLibrary());
  ASSERT_OK(devices.changer->ReadElementStatus());
  ASSERT_OK(devices.changer->MoveMedium({1024}, {257}));
  disks_.at("/dev/drive1").Insert(std::make_shared<ScsiCartridge>(512, 8192));
  ASSERT_OK_AND_ASSIGN(auto medium, devices.drives[1]->Open());
  EXPECT_EQ(medium->Info().name, "V00001L1 in drive 257");
}

TEST_F(ScsiLibraryTest, TheChangerOfALibraryLooksAndLocksItsDoor) {
  ASSERT_OK_AND_ASSIGN(LibraryDevices devices, OpenLibrary());
  ASSERT_NE(devices.changer_controls, nullptr);
  ASSERT_OK_AND_ASSIGN(
      const auto library,
      Library::Open(std::move(devices.changer), std::move(devices.drives)));
  ChangerControls& controls = *devices.changer_controls;
  const auto last = [this](uint8_t operation) {
    std::vector<uint8_t> cdb;
    for (const SentCommand& sent : fake_.script().Log()) {
      if (sent.cdb[0] == operation) cdb = sent.cdb;
    }
    return cdb;
  };
  ASSERT_OK(controls.ScanElements(*library, ElementRange{{1025}, 2}));
  EXPECT_THAT(last(0x37),
              testing::ElementsAre(0x37, 1, 4, 1, 0, 0, 0, 2, 0, 0));
  EXPECT_EQ(fake_.script().Count(0x07), 0u);
  ASSERT_OK(controls.ScanElements(*library, std::nullopt));
  EXPECT_EQ(fake_.script().Count(0x07), 1u);
  // At the start it was allowed, whoever has prevented it before.
  EXPECT_EQ(fake_.script().Count(0x1E), 1u);
  EXPECT_EQ(last(0x1E)[4], 0);
  ASSERT_OK(controls.LockDoor(*library, true));
  EXPECT_EQ(last(0x1E)[4], 1);
}

TEST_F(ScsiLibraryTest, ADriveWithoutADeviceIsLeftOut) {
  options_.drives[0].device = "/dev/missing";
  ASSERT_OK_AND_ASSIGN(LibraryDevices devices, OpenLibrary());
  ASSERT_EQ(devices.drives.size(), 1u);
  EXPECT_EQ(devices.drives[0]->Address().value, 257);
}

TEST_F(ScsiLibraryTest, WithoutAnyDriveTheErrorNamesEach) {
  options_.drives[0].device = "/dev/missing";
  options_.drives[1].device = "/dev/changer2";
  const Status status = OpenLibrary().status();
  EXPECT_THAT(status, HasErrc(Errc::kNotFound));
  EXPECT_THAT(status, MessageHas("drive 256 has no device: /dev/missing"));
  EXPECT_THAT(status, MessageHas("drive 257 has no device: /dev/changer2"));
}

TEST_F(ScsiLibraryTest, WhatIsNoDriveIsRefused) {
  ScsiDiskOptions tape;
  tape.device_type = 1;
  tape.name = "/dev/tape";
  disks_.emplace("/dev/tape", tape);
  options_.drives[0].device = "/dev/tape";
  ASSERT_OK_AND_ASSIGN(const ScsiParts parts,
                       FindScsiParts(options_, System()));
  EXPECT_THAT(parts.matches[0].problem, testing::HasSubstr("of type 1"));
  EXPECT_EQ(parts.drives.size(), 1u);
}

TEST_F(ScsiLibraryTest, UnnamedDrivesAreLookedForAmongAllDevices) {
  options_.drives.clear();
  ASSERT_OK_AND_ASSIGN(const ScsiParts parts,
                       FindScsiParts(options_, System()));
  ASSERT_EQ(parts.matches.size(), 2u);
  EXPECT_EQ(parts.matches[0].device, "/dev/drive0");
  EXPECT_EQ(parts.matches[1].device, "/dev/drive1");
  EXPECT_EQ(parts.drives.size(), 2u);
  EXPECT_THAT(opened_, testing::Contains("/dev/broken"));
  disks_.erase("/dev/drive0");
  ASSERT_OK_AND_ASSIGN(const ScsiParts fewer,
                       FindScsiParts(options_, System()));
  EXPECT_THAT(fewer.matches[0].problem, testing::HasSubstr("drive 256"));
  EXPECT_THAT(fewer.matches[0].problem, testing::HasSubstr("DRV256"));
  EXPECT_EQ(fewer.drives.size(), 1u);
}

TEST_F(ScsiLibraryTest, MistakesOfTheConfigurationAreNamed) {
  options_.drives[0].element = {300};
  Status status = OpenLibrary().status();
  EXPECT_THAT(status, HasErrc(Errc::kNotFound));
  EXPECT_THAT(status, MessageHas("drive 300"));
  options_.drives[0].element = {256};
  options_.serial = "OTHER";
  status = OpenLibrary().status();
  EXPECT_THAT(status, HasErrc(Errc::kIncompatible));
  EXPECT_THAT(status, MessageHas("OTHER"));
  options_.serial.clear();
  config_.copy_start = 2000;
  config_.copy_end = 2001;
  status = OpenLibrary().status();
  EXPECT_THAT(status, HasErrc(Errc::kInvalidArgument));
  EXPECT_THAT(status, MessageHas("policy.copy_start: 2000 is no slot"));
  options_.changer = "/dev/drive0";
  EXPECT_THAT(OpenLibrary(), HasErrc(Errc::kInvalidArgument));
  options_.changer = "/dev/missing";
  EXPECT_THAT(OpenLibrary(), HasErrc(Errc::kNotFound));
}

}  // namespace
}  // namespace vellum
