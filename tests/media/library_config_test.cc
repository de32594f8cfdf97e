// SPDX-License-Identifier: Apache-2.0
// library.toml of the kinds that are no virtual library, and what all kinds
// share. The keys of a virtual one: virtual_library_test.cc.
#include "media/library_config.h"

#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <string>

#include "media/library_directory.h"
#include "media/scsi/scsi_library.h"
#include "media/virtual_library.h"
#include "tests/support/status_matchers.h"
#include "tests/support/temp_dir.h"

namespace vellum {
namespace {

class LibraryConfigTest : public testing::Test {
 protected:
  Result<LibraryConfig> Read(const std::string& text) {
    WriteFileOrDie(dir_.Sub("library.toml"), text);
    return ReadLibraryConfig(dir_.path());
  }

  TempDir dir_;
};

constexpr const char* kScsi = "[library]\nkind = \"scsi\"\n";

TEST_F(LibraryConfigTest, AFileWithoutAKindIsAVirtualLibrary) {
  ASSERT_OK_AND_ASSIGN(const LibraryConfig config, Read("[geometry]\n"));
  EXPECT_EQ(LibraryKindName(config), "virtual");
}

TEST_F(LibraryConfigTest, AScsiLibraryNamesItsDevices) {
  ASSERT_OK_AND_ASSIGN(
      const LibraryConfig config,
      Read(std::string(kScsi) +
           "lib_num = 4\n"
           "[changer]\ndevice = \"/dev/sg3\"\nserial = \"AB 1\"\n"
           "sides = 2\nverify_writes = true\neject = \"always\"\n"
           "[[drive]]\nelement = 256\ndevice = \"/dev/sg4\"\n"
           "[[drive]]\nelement = 257\ndevice = \"/dev/sg5\"\n"
           "[policy]\nspool_limit = 9\ncopy_start = 20\ncopy_end = 30\n"));
  EXPECT_EQ(LibraryKindName(config), "scsi");
  EXPECT_EQ(config.lib_num, 4u);
  EXPECT_EQ(config.spool_limit, 9u);
  EXPECT_EQ(config.copy_end, 30);
  const auto& options = std::get<ScsiLibraryOptions>(config.devices);
  EXPECT_EQ(options.changer, "/dev/sg3");
  EXPECT_EQ(options.serial, "AB 1");
  EXPECT_EQ(options.sides, 2);
  EXPECT_TRUE(options.verify_writes);
  EXPECT_EQ(options.eject, EjectRule::kAlways);
  EXPECT_EQ(ScsiLibraryOptions().eject, EjectRule::kAuto);
  EXPECT_THAT(
      options.drives,
      testing::ElementsAre(ScsiDriveOption{ElementAddress{256}, "/dev/sg4"},
                           ScsiDriveOption{ElementAddress{257}, "/dev/sg5"}));
}

TEST_F(LibraryConfigTest, MistakesCarryFileAndLine) {
  const std::string changer = "[changer]\ndevice = \"/dev/sg3\"\n";
  const struct {
    std::string text;
    const char* message;
  } cases[] = {
      {"[library]\nkind = \"tape\"\n",
       "library.toml:2: library.kind: \"tape\" is none of \"virtual\", "
       "\"scsi\""},
      {"[library]\nkind = 3\n",
       "library.toml:2: library.kind: must be a text in quotes"},
      {kScsi, "library.toml: changer.device: the path of a device is missing"},
      {kScsi + std::string("[changer]\n"),
       "library.toml:3: changer.device: the path of a device is missing"},
      {kScsi + std::string("[changer]\n\ndevice = \"sg3\"\n"),
       "library.toml:5: changer.device: \"sg3\" is no absolute path"},
      {kScsi + changer + "eject = \"perhaps\"\n",
       "library.toml:5: changer.eject: \"perhaps\" is none of auto, always, "
       "never"},
      {kScsi + changer + "slots = 3\n",
       "library.toml:5: unknown key changer.slots"},
      {kScsi + changer + "[geometry]\n",
       "library.toml:5: unknown key geometry"},
      {kScsi + changer + "[drive]\nelement = 1\n",
       "library.toml:5: drive must be an array of tables: [[drive]]"},
      {kScsi + changer + "[[drive]]\ndevice = \"/dev/sg4\"\n",
       "library.toml:5: drive.element: the address of a drive is missing"},
      {kScsi + changer + "[[drive]]\nelement = 256\n",
       "library.toml:5: drive.device: the path of a device is missing"},
      {kScsi + changer + "[[drive]]\nelement = 70000\n",
       "library.toml:6: drive.element: 70000 is not between 0 and 65535"},
      {kScsi + changer + "[[drive]]\nelement = 1\ndevice = \"/dev/sg3\"\n",
       "library.toml:7: drive.device: /dev/sg3 is the changer"},
      {kScsi + changer + "[[drive]]\nelement = 1\ndevice = \"/dev/sg4\"\n" +
           "[[drive]]\nelement = 2\ndevice = \"/dev/sg4\"\n",
       "library.toml:10: drive.device: /dev/sg4 is element 1 already"},
      {kScsi + changer + "[[drive]]\nelement = 1\ndevice = \"/dev/sg4\"\n" +
           "[[drive]]\nelement = 1\ndevice = \"/dev/sg5\"\n",
       "library.toml:10: drive.device: element 1 has /dev/sg4 already"},
      {kScsi + changer + "[policy]\ncopy_start = 9\ncopy_end = 8\n",
       "library.toml:7: policy.copy_end: 8 is before copy_start"},
  };
  for (const auto& c : cases) {
    const Status status = Read(c.text).status();
    EXPECT_THAT(status, HasErrc(Errc::kInvalidArgument)) << c.text;
    EXPECT_THAT(status, MessageHas(c.message)) << c.text;
  }
}

TEST_F(LibraryConfigTest, V8_A8_LimitsAndGenerationsAreSettings) {
  ASSERT_OK_AND_ASSIGN(LibraryConfig config, Read("[policy]\n"));
  EXPECT_EQ(config.generations, 1u);
  EXPECT_EQ(config.tracked_pairs, 0u);
  EXPECT_EQ(config.simultaneous_copies, 2u);
  ASSERT_OK_AND_ASSIGN(config,
                       Read("[policy]\ngenerations = 3\ntracked_pairs = 7\n"
                            "simultaneous_copies = 5\n"));
  EXPECT_EQ(config.generations, 3u);
  EXPECT_EQ(config.tracked_pairs, 7u);
  EXPECT_EQ(config.simultaneous_copies, 5u);
  EXPECT_THAT(
      Read("[policy]\n\ngenerations = 0\n"),
      MessageHas("library.toml:3: policy.generations: 0 is not between 1 and"));
  EXPECT_THAT(Read("[policy]\nsimultaneous_copies = 65\n"),
              MessageHas("library.toml:2: policy.simultaneous_copies: 65 is "
                         "not between 1 and 64"));
}

TEST_F(LibraryConfigTest, A9_HooksAreProgramsThatCanBeRun) {
  const std::string program = dir_.Sub("hook");
  WriteFileOrDie(program, "#!/bin/sh\n");
  const std::string text = "[hooks]\ntimeout_s = 9\nafter_restore = \"";
  EXPECT_THAT(Read(text + program + "\"\n"),
              MessageHas("library.toml:3: hooks.after_restore: " + program +
                         " is no program that may be executed"));
  std::filesystem::permissions(program, std::filesystem::perms::owner_all);
  ASSERT_OK_AND_ASSIGN(const LibraryConfig config,
                       Read(text + program + "\"\n"));
  EXPECT_EQ(config.hooks.after_restore, program);
  EXPECT_EQ(config.hooks.timeout_s, 9u);
  EXPECT_TRUE(config.hooks.before_copy.empty());
  EXPECT_THAT(Read(text + "hook\"\n"),
              MessageHas("library.toml:3: hooks.after_restore: \"hook\" is no "
                         "absolute path"));
  EXPECT_THAT(Read(text + dir_.Sub("none") + "\"\n"), MessageHas("none"));
  EXPECT_THAT(Read("[hooks]\nbefore_all = \"/bin/true\"\n"),
              MessageHas("library.toml:2: "));
}

TEST_F(LibraryConfigTest, WhatInitWritesIsReadBack) {
  ScsiLibraryOptions options;
  options.changer = "/dev/by-id/odd \"name\\";
  options.drives = {{ElementAddress{256}, "/dev/sg4"},
                    {ElementAddress{0}, "/dev/sg5"}};
  const std::string path = dir_.Sub("library");
  ASSERT_OK(InitScsiLibrary(path, options));
  ASSERT_OK_AND_ASSIGN(const LibraryConfig config, ReadLibraryConfig(path));
  EXPECT_EQ(std::get<ScsiLibraryOptions>(config.devices), options);
  for (const char* folder : {"state", "catalog", "spool"}) {
    EXPECT_TRUE(std::filesystem::is_directory(path + "/" + folder)) << folder;
  }
  EXPECT_FALSE(std::filesystem::exists(path + "/media"));
  ASSERT_OK_AND_ASSIGN(LibraryLock lock, LibraryLock::Take(path));
  EXPECT_THAT(LibraryLock::Take(path), HasErrc(Errc::kBusy));
}

TEST_F(LibraryConfigTest, InitRefusesWhatCannotBeWithoutATrace) {
  const std::string path = dir_.Sub("library");
  ScsiLibraryOptions options;
  options.changer = "sg3";
  EXPECT_THAT(InitScsiLibrary(path, options), HasErrc(Errc::kInvalidArgument));
  options.changer = "/dev/sg3";
  options.drives = {{ElementAddress{1}, "/dev/sg3"}};
  EXPECT_THAT(InitScsiLibrary(path, options),
              MessageHas("drive 1: /dev/sg3 is the changer"));
  EXPECT_FALSE(std::filesystem::exists(path));
  options.drives.clear();
  ASSERT_OK(InitScsiLibrary(path, options));
  EXPECT_THAT(InitVirtualLibrary(path, {}), HasErrc(Errc::kExists));
}

// Whoever writes the file by hand is told where the mistake is, whichever it
// is.
TEST_F(LibraryConfigTest, H2_EveryMistakeHasItsLine) {
  const struct {
    const char* table;
    const char* line;  // the third one
    const char* says;
  } mistakes[] = {
      {"library", "lib_num = 1_000_000", "library.lib_num: 1000000 is not"},
      {"library", "lib_num = \"7\"", "library.lib_num: must be a whole number"},
      {"library", "kind = \"tape\"", "library.kind: \"tape\" is none of"},
      {"library", "name = \"x\"", "unknown key library.name"},
      {"geometry", "slots = 0", "geometry.slots: 0 is not between 1 and"},
      {"geometry", "drives = 600", "geometry.drives: 600 is not between"},
      {"geometry", "import_export = -1", "geometry.import_export: -1 is not"},
      {"geometry", "media = 1.5", "geometry.media: must be a whole number"},
      {"geometry", "capacity = 5", "geometry.capacity: 5 is not between"},
      {"geometry", "atomic_unit = 3000",
       "geometry.atomic_unit: 3000 is not a power of"},
      {"geometry", "capazity = 5", "unknown key geometry.capazity"},
      {"timing", "profile = \"fast\"", "timing.profile: \"fast\" is none of"},
      {"timing", "scale = 0", "timing.scale: 0 is not between 1 and"},
      {"policy", "checkpoint_interval_ms = 0",
       "policy.checkpoint_interval_ms: 0 is not"},
      {"policy", "copy_start = 5", "policy.copy_start: 5 is no slot"},
      {"policy", "generations = 0", "policy.generations: 0 is not"},
      {"policy", "simultaneous_copies = 65",
       "policy.simultaneous_copies: 65 is not"},
      {"hooks", "before_copy = \"bin/x\"", "hooks.before_copy: "},
      {"hooks", "timeout_s = 0", "hooks.timeout_s: 0 is not between"},
      {"nonsense", "x = 1", "unknown key nonsense"},
      {"library", "lib_num = = 4", ""},
  };
  for (const auto& mistake : mistakes) {
    const Result<LibraryConfig> read =
        Read(fmt::format("# by hand\n[{}]\n{}\n", mistake.table, mistake.line));
    ASSERT_FALSE(read.ok()) << mistake.line;
    const int line = std::string(mistake.table) == "nonsense" ? 2 : 3;
    EXPECT_THAT(read.error().message,
                testing::HasSubstr(
                    fmt::format("library.toml:{}: {}", line, mistake.says)))
        << mistake.line;
  }
}

}  // namespace
}  // namespace vellum
