// SPDX-License-Identifier: Apache-2.0
// What an operator does to drives, door, media and the library.
#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <atomic>
#include <filesystem>
#include <string>
#include <thread>

#include "media/file_util.h"
#include "tests/fs/devices_fixture.h"

namespace vellum {
namespace {

using testing::HasSubstr;
using testing::Not;

class DeviceCommandsTest : public DevicesFixture {};

TEST_F(DeviceCommandsTest, H3_MediaGoInAndOutThroughTheDoor) {
  const Json in = Run("door put NEW001 new=yes capacity=16777216");
  EXPECT_EQ(in["element"], 768);
  Run("format NEW001 name=VOL-N");
  UnloadAll();
  EXPECT_EQ(RowOf("door", "medium", "NEW001")["volume"], "VOL-N");
  // The only import/export element is full.
  EXPECT_EQ(Fail("door put new=yes").code, Errc::kNoSpace);
  Run("door take VOL-N");
  EXPECT_TRUE(RowOf("door", "medium", "NEW001")["element"].is_null());
  // It is gone, and stays known.
  EXPECT_EQ(RowOf("media", "volume", "VOL-N")["state"], "removed");
  EXPECT_EQ(Run("door put NEW001")["element"], 768);
  EXPECT_EQ(RowOf("media", "volume", "VOL-N")["state"], "resident");
  Run("import NEW001");
  EXPECT_OK(service_->volumes().Use(service_->volumes().Find("VOL-N")));
  EXPECT_EQ(Fail("door put V00001").code, Errc::kExists);
  EXPECT_EQ(Fail("door take 1024").code, Errc::kInvalidArgument);
  EXPECT_EQ(Fail("door open").code, Errc::kInvalidArgument);
  EXPECT_EQ(Fail("door put NEW002 new=yes capacity=0").code,
            Errc::kInvalidArgument);
}

TEST_F(DeviceCommandsTest, H2_AProtectedMediumIsNotFreeUntilItIsSeenWritable) {
  Run("door put LOCK01 new=yes capacity=16777216 write-protected=yes");
  Run("import LOCK01");
  const Json locked = RowOf("media", "medium", "LOCK01");
  EXPECT_EQ(locked["volume_state"], "PROTECTED");
  EXPECT_EQ(locked["write_protected"], true);
  EXPECT_EQ(RowOf("copies", "medium", "LOCK01")["label"], "PROTECTED");
  EXPECT_EQ(RowOf("pool", "medium", "LOCK01")["state"], "unsuitable");
  const auto devices = [this] { return CatJson("devices.json").dump(); };
  EXPECT_THAT(devices(), testing::Not(HasSubstr("LOCK01")));
  Run("format V00001 name=VOL-A");
  EXPECT_EQ(Fail("copy VOL-A to=LOCK01").code, Errc::kWriteProtected);
  Restart();
  EXPECT_EQ(RowOf("media", "medium", "LOCK01")["volume_state"], "PROTECTED");
  // Somebody moves the tab, and a drive sees it.
  UnloadAll();
  std::filesystem::permissions(
      directory() + "/media/LOCK01.img",
      std::filesystem::perms::owner_read | std::filesystem::perms::owner_write);
  Run("load LOCK01");
  const Json free = RowOf("media", "medium", "LOCK01");
  EXPECT_TRUE(free["volume_state"].is_null()) << free;
  EXPECT_EQ(free["write_protected"], false);
  EXPECT_EQ(RowOf("pool", "medium", "LOCK01")["state"], "unused");
  EXPECT_THAT(devices(), HasSubstr("LOCK01"));
}

TEST_F(DeviceCommandsTest, H3_ALockedDoorKeepsMediaInAndOut) {
  Run("door put NEW001 new=yes capacity=16777216");
  EXPECT_EQ(CatJson("status.json")["door_locked"], false);
  EXPECT_EQ(Run("door lock")["locked"], true);
  EXPECT_EQ(CatJson("status.json")["door_locked"], true);
  EXPECT_EQ(Fail("door take NEW001").code, Errc::kBusy);
  EXPECT_EQ(Fail("door put new=yes").code, Errc::kBusy);
  // The robot goes through it as ever.
  Run("import NEW001");
  EXPECT_EQ(Fail("door put NEW002").code, Errc::kBusy);
  EXPECT_EQ(Fail("door lock twice").code, Errc::kInvalidArgument);
  EXPECT_EQ(Run("door unlock")["locked"], false);
  Run("door put NEW002 new=yes capacity=16777216");
  // A daemon that ends keeps nobody out.
  Run("door lock");
  Restart();
  EXPECT_EQ(CatJson("status.json")["door_locked"], false);
  Run("door take NEW002");
}

TEST_F(DeviceCommandsTest, O7_AnInventoryMayHaveTheChangerLookFirst) {
  Run("inventory scan=yes");
  Run("inventory scan=yes range=1024-1026");
  Run("inventory scan=yes range=1024");
  const Error missing = Fail("inventory scan=yes range=1024-9999");
  EXPECT_EQ(missing.code, Errc::kNotFound);
  EXPECT_THAT(missing.message, HasSubstr("no element"));
  for (const char* wrong :
       {"inventory range=1024-1026", "inventory scan=yes range=9-8",
        "inventory scan=yes range=V00001", "inventory scan=yes range=-",
        "inventory scan=yes range=0-65535", "inventory scan=maybe"}) {
    EXPECT_EQ(Fail(wrong).code, Errc::kInvalidArgument) << wrong;
  }
}

TEST_F(DeviceCommandsTest, H3_AnOfflineDriveStaysOfflineOverRestarts) {
  Run("drive offline 256");
  EXPECT_EQ(RowOf("drives", "address", 256)["online"], false);
  EXPECT_THAT(*Cat("alerts"), HasSubstr("drive 256"));
  Run("format V00001 name=VOL-A");
  EXPECT_EQ(RowOf("drives", "medium", "V00001")["address"], 257);
  Run("drive offline 257");
  EXPECT_TRUE(RowOf("drives", "address", 257)["medium"].is_null());
  const Result<VolumeUse> use =
      service_->volumes().Use(service_->volumes().Find("VOL-A"));
  ASSERT_THAT(use.status(), HasErrc(Errc::kOffline));
  EXPECT_THAT(use.error().message,
              HasSubstr("drive 256 is offline: taken offline"));
  Restart();
  EXPECT_EQ(service_->library().OnlineDrives(), 0u);
  Run("drive online 257");
  EXPECT_OK(service_->volumes().Use(service_->volumes().Find("VOL-A")));
  EXPECT_EQ(Fail("drive offline 999").code, Errc::kNotFound);
  EXPECT_EQ(Fail("drive ofline 256").code, Errc::kInvalidArgument);
}

TEST_F(DeviceCommandsTest, H3_AnOfflineLibraryAnswersClearly) {
  const auto volume = MakeVolume("VOL-A", "V00001", {10});
  Run("library offline");
  EXPECT_EQ(CatJson("status.json")["online"], false);
  EXPECT_THAT(*Cat("alerts"), HasSubstr("vellum library online"));
  // What is loaded is closed, too; names are shown as ever.
  while (service_->volumes().loaded(*volume)) std::this_thread::yield();
  const Result<VolumeUse> use = service_->volumes().Use(volume);
  ASSERT_THAT(use.status(), HasErrc(Errc::kOffline));
  EXPECT_THAT(use.error().message, HasSubstr("the library is offline"));
  EXPECT_OK(volume->Lookup(volume->root(), "f0"));
  EXPECT_EQ(Fail("load V00002").code, Errc::kOffline);
  Run("library online");
  EXPECT_OK(service_->volumes().Use(volume));
}

TEST_F(DeviceCommandsTest, H3_MediaAreLoadedAndUnloadedByHand) {
  EXPECT_EQ(Run("load V00002 drive=257")["drive"], 257);
  EXPECT_EQ(RowOf("drives", "address", 257)["medium"], "V00002");
  EXPECT_EQ(Run("load V00003")["drive"], 256);
  EXPECT_EQ(Fail("load V00001").code, Errc::kBusy);
  EXPECT_EQ(Fail("load V00002").code, Errc::kExists);
  EXPECT_EQ(Run("unload 257")["element"], 1025);
  EXPECT_EQ(Run("unload V00003")["element"], 1026);
  EXPECT_EQ(Fail("unload V00003").code, Errc::kNoMedium);
  EXPECT_EQ(Fail("load V00001 drive=1024").code, Errc::kInvalidArgument);
  // A volume in it is committed and closed.
  const auto volume = MakeVolume("VOL-A", "V00001", {10});
  Run("unload VOL-A");
  EXPECT_FALSE(service_->volumes().loaded(*volume));
}

// Whoever takes a medium out is told what did not get onto it, and has it.
TEST_F(DeviceCommandsTest, H3_WhatIsLostWhenAMediumIsTakenOutIsTold) {
  for (const char* const command :
       {"unload VOL-A", "drive offline 256", "move VOL-A 1029"}) {
    SCOPED_TRACE(command);
    const auto volume = service_->volumes().Find("VOL-A") != nullptr
                            ? service_->volumes().Find("VOL-A")
                            : MakeVolume("VOL-A", "V00001", {10});
    ASSERT_OK_AND_ASSIGN(VolumeUse use, service_->volumes().Use(volume));
    Run("fault medium-error VOL-A first=0 count=1000000 access=write");
    ASSERT_OK(use->Create(volume->root(), "late", {}));
    use.Release();
    const Error error = Fail(command);
    EXPECT_EQ(error.code, Errc::kDeviceError);
    EXPECT_THAT(error.message, HasSubstr("VOL-A"));
    EXPECT_THAT(error.message, HasSubstr("is lost"));
    EXPECT_FALSE(service_->volumes().loaded(*volume));
    EXPECT_GE(RowOf("media", "volume", "VOL-A")["element"], 1024);
    Run("fault clear");
    // Nothing was lost that had been committed, and once is enough.
    ASSERT_OK_AND_ASSIGN(use, service_->volumes().Use(volume));
    EXPECT_OK(volume->Lookup(volume->root(), "f0"));
    use.Release();
    Run("unload VOL-A");
    Run("drive online 256");
  }
}

TEST_F(DeviceCommandsTest, H4_FlagsAreSetShownAndRaiseAlerts) {
  MakeVolume("VOL-A", "V00001", {10});
  Run("health set VOL-A nearing-media-life");
  EXPECT_THAT(*Cat("alerts"), Not(HasSubstr("nearing-media-life")));
  Run("health set V00001 clean-now note=dusty");
  Run("health set 257 0x1E");
  EXPECT_EQ(RowOf("media", "medium", "V00001")["health"],
            Json({"nearing-media-life", "clean-now"}));
  EXPECT_EQ(RowOf("drives", "address", 257)["health"], Json({"hardware"}));
  EXPECT_EQ(CatJson("volumes/VOL-A/info.json")["health"].size(), 2u);
  EXPECT_THAT(*Cat("alerts"), HasSubstr("clean-now: the drive needs cleaning: "
                                        "dusty"));
  EXPECT_THAT(*Cat("alerts"), HasSubstr("drive 257"));
  EXPECT_EQ(RowOf("health", "object", "drive 257")["flag"], 30);
  Run("health clear 257");
  Run("health clear VOL-A clean-now");
  EXPECT_THAT(*Cat("alerts"), Not(HasSubstr("health clear")));
  EXPECT_EQ(Fail("health clear V00001 clean-now").code, Errc::kNotFound);
  EXPECT_THAT(Fail("health set V00001 dirty").message,
              HasSubstr("known are read-warning (1)"));
  EXPECT_EQ(Fail("health set V00001").code, Errc::kInvalidArgument);
}

TEST_F(DeviceCommandsTest, H5_UsageOfEachMediumIsShown) {
  MakeVolume("VOL-A", "V00001", {100'000});
  UnloadAll();
  const Json row = RowOf("usage", "medium", "V00001");
  EXPECT_EQ(row["volume"], "VOL-A");
  EXPECT_GE(row["loads"], 1);
  EXPECT_GT(row["bytes_written"], 100'000);
  EXPECT_GT(row["bytes_read"], 0);
  EXPECT_TRUE(row["first_used"].is_string());
  EXPECT_EQ(RowOf("usage", "medium", "V00002")["loads"], 0);
  const uint64_t loads = row["loads"];
  Restart();
  EXPECT_EQ(RowOf("usage", "medium", "V00001")["loads"], loads);
  EXPECT_EQ(CatJson("volumes/VOL-A/info.json")["usage"]["loads"], loads);
}

TEST_F(DeviceCommandsTest, H6_FaultsAreAskedForByCommand) {
  const auto volume = MakeVolume("VOL-A", "V00001", {50'000});
  ASSERT_OK_AND_ASSIGN(const Attr attr, volume->Lookup(volume->root(), "f0"));
  UnloadAll();
  // A load that fails is told of, and remembered.
  Run("fault failing-load V00001");
  EXPECT_EQ(CatJson("faults.json").size(), 1u);
  EXPECT_THAT(*Cat("alerts"), HasSubstr("1 faults were asked for"));
  EXPECT_THAT(service_->volumes().Use(volume).status(),
              HasErrc(Errc::kNotReady));
  EXPECT_EQ(RowOf("health", "name", "loading-failure")["object"], "V00001");
  // Sectors that cannot be read, of a medium that is loaded.
  ASSERT_OK_AND_ASSIGN(VolumeUse use, service_->volumes().Use(volume));
  const uint64_t sector =
      volume->record().geometry.partition_first + volume->DataAddress(attr.ino);
  Run(fmt::format("fault medium-error VOL-A first={} count=2", sector));
  Bytes data(50'000);
  EXPECT_THAT(use->Read(attr.ino, 0, data).status(),
              HasErrc(Errc::kDeviceError));
  EXPECT_EQ(RowOf("health", "name", "read-failure")["object"], "V00001");
  Run("fault clear");
  EXPECT_OK(use->Read(attr.ino, 0, data));
  EXPECT_EQ(CatJson("faults.json").size(), 0u);
  use.Release();
  UnloadAll();
  Run("fault stuck-transport");
  EXPECT_THAT(service_->volumes().Use(volume).status(),
              HasErrc(Errc::kDeviceError));
  Run("fault clear");
  EXPECT_THAT(Fail("fault fire").message,
              HasSubstr("is none of arm-power-cut"));
  EXPECT_EQ(Fail("fault drive-gone 1024").code, Errc::kInvalidArgument);
  EXPECT_EQ(Fail("fault power-cut").code, Errc::kNotReady);
}

TEST_F(DeviceCommandsTest, H6_APowerCutLeavesTheLastCommit) {
  const auto volume = MakeVolume("VOL-A", "V00001", {10});
  Run("fault arm-power-cut");
  ASSERT_OK_AND_ASSIGN(VolumeUse use, service_->volumes().Use(volume));
  ASSERT_OK_AND_ASSIGN(const Attr made,
                       use->Create(use->root(), "lost", NewInode()));
  ASSERT_OK(use->Write(made.ino, 0, Bytes(30'000, std::byte{5})));
  Run("fault power-cut tear=yes seed=3");
  EXPECT_FALSE(use->Sync().ok());
  use.Release();
  Restart();
  const auto again = service_->volumes().Find("VOL-A");
  EXPECT_OK(again->Lookup(again->root(), "f0"));
  EXPECT_FALSE(again->Lookup(again->root(), "lost").ok());
  EXPECT_EQ(Run("fsck VOL-A data=yes")["clean"], true);
}

TEST_F(DeviceCommandsTest, H6_AShortTransferLosesNothingCommitted) {
  const auto volume = MakeVolume("VOL-A", "V00001", {50'000});
  ASSERT_OK_AND_ASSIGN(const Attr attr, volume->Lookup(volume->root(), "f0"));
  ASSERT_OK_AND_ASSIGN(VolumeUse use, service_->volumes().Use(volume));
  Run("fault short-transfer VOL-A");
  EXPECT_EQ(RowOf("faults", "kind", "short-transfer")["detail"],
            "1 reads and 0 writes");
  Bytes data(50'000);
  EXPECT_THAT(use->Read(attr.ino, 0, data).status(),
              MessageHas("short transfer"));
  ASSERT_OK(use->Read(attr.ino, 0, data));
  EXPECT_TRUE(data == Bytes(50'000, std::byte{1}));
  // A commit whose write was short is none.
  ASSERT_OK_AND_ASSIGN(const Attr made,
                       use->Create(use->root(), "lost", NewInode()));
  Run("fault short-transfer V00001 access=write times=1");
  Status status = use->Write(made.ino, 0, Bytes(30'000, std::byte{5})).status();
  if (status.ok()) status = use->Sync();
  EXPECT_THAT(status, MessageHas("short transfer"));
  Run("fault clear");
  use.Release();
  Restart();
  const auto again = service_->volumes().Find("VOL-A");
  EXPECT_EQ(Run("fsck VOL-A data=yes")["clean"], true);
  ASSERT_OK_AND_ASSIGN(use, service_->volumes().Use(again));
  ASSERT_OK(use->Read(attr.ino, 0, data));
  EXPECT_TRUE(data == Bytes(50'000, std::byte{1}));
}

TEST_F(DeviceCommandsTest, O21_ALoadByHandSaysWhatItDoes) {
  Run("fault slow-load V00001 ms=1500");
  std::atomic<bool> ended{false};
  std::jthread load([this, &ended] {
    Run("load V00001 drive=256");
    ended = true;
  });
  const std::string step = "loads V00001 from 1024 into drive 256";
  Json row = Json::object();
  while (row.value("step", Json()) != step && !ended) {
    const Json rows = CatJson("running.json");
    if (!rows.empty()) row = rows[0];
  }
  EXPECT_EQ(row.value("step", Json()), step);
  EXPECT_EQ(row.value("command", Json()), "load V00001 drive=256");
  load.join();
}

TEST_F(DeviceCommandsTest, H2_LibrariesAreServedSideBySide) {
  const std::string other = dir_.Sub("other");
  VirtualLibraryOptions geometry;
  geometry.drives = 3;
  geometry.media = 1;
  geometry.capacity = kCapacity;
  ASSERT_OK(InitVirtualLibrary(other, geometry));
  const std::string path = LibraryConfigPath(other);
  std::string text = *ReadWholeFile(path);
  const size_t at = text.find("lib_num = 0");
  ASSERT_NE(at, std::string::npos);
  WriteFileOrDie(path, text.replace(at, 11, "lib_num = 7"));
  ServiceOptions options;
  ASSERT_OK_AND_ASSIGN(options.config, ReadLibraryConfig(other));
  Result<LibraryLock> lock = LibraryLock::Take(other);
  ASSERT_OK(lock);
  ASSERT_OK_AND_ASSIGN(const std::unique_ptr<Service> second,
                       Service::Open(options, std::move(*lock)));
  ControlTree control(second.get());
  ASSERT_OK_AND_ASSIGN(const NodeId node,
                       control.Lookup(kControlRoot, "status.json"));
  ASSERT_OK_AND_ASSIGN(const std::string status, control.Read(node));
  EXPECT_EQ(Json::parse(status)["lib_num"], 7);
  EXPECT_EQ(Json::parse(status)["changer"]["serial"], "VL000007");
  EXPECT_EQ(Json::parse(status)["drives_online"], 3);
  EXPECT_EQ(CatJson("status.json")["lib_num"], 0);
  // Each has media and volumes of its own.
  ASSERT_OK(second->Execute("format V00001 name=VOL-A"));
  Run("format V00001 name=VOL-A");
  EXPECT_EQ(second->volumes().List().size(), 1u);
  // A second daemon for one library is refused.
  EXPECT_FALSE(LibraryLock::Take(other).ok());
}

TEST_F(DeviceCommandsTest, H2_ReloadChangesWhatItCanOrNothing) {
  const std::string path = LibraryConfigPath(directory());
  const std::string before = *ReadWholeFile(path);
  const auto edit = [&](const std::string& from, const std::string& to) {
    std::string text = *ReadWholeFile(path);
    const size_t at = text.find(from);
    ASSERT_NE(at, std::string::npos) << from;
    WriteFileOrDie(path, text.replace(at, from.size(), to));
  };
  EXPECT_EQ(Run("reload")["changed"], Json::array());
  MakeVolume("VOL-A", "V00001", {10});
  // A hook that refuses every copy counts from now on.
  edit("before_copy = \"\"", "before_copy = \"/bin/false\"");
  edit("generations = 1", "generations = 2");
  EXPECT_EQ(Run("reload")["changed"], Json({"policy.generations", "hooks"}));
  ASSERT_OK_AND_ASSIGN(
      const JobRecord refused,
      service_->jobs().Wait(Run("copy VOL-A to=V00002")["job"]));
  EXPECT_EQ(refused.state, JobState::kFailed);
  EXPECT_EQ(refused.hook, "before_copy");
  // With a key that wants a restart nothing is changed.
  edit("before_copy = \"/bin/false\"", "before_copy = \"\"");
  edit("lib_num = 0", "lib_num = 3");
  const Error error = Fail("reload");
  EXPECT_EQ(error.code, Errc::kBusy);
  EXPECT_THAT(error.message, HasSubstr("library.lib_num"));
  EXPECT_EQ(CatJson("status.json")["lib_num"], 0);
  ASSERT_OK_AND_ASSIGN(
      const JobRecord still,
      service_->jobs().Wait(Run("copy VOL-A to=V00002")["job"]));
  EXPECT_EQ(still.state, JobState::kFailed);
  // Nor with a mistake, which is told with its line.
  WriteFileOrDie(path, "[policy]\ngenerations = 0\n");
  EXPECT_THAT(Fail("reload").message,
              HasSubstr("library.toml:2: policy.generations"));
  WriteFileOrDie(path, before);
  Run("reload");
  ASSERT_OK_AND_ASSIGN(
      const JobRecord done,
      service_->jobs().Wait(Run("copy VOL-A to=V00002")["job"]));
  EXPECT_EQ(done.state, JobState::kDone) << done.message;
}

}  // namespace
}  // namespace vellum
