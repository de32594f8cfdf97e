// SPDX-License-Identifier: Apache-2.0
// The subcommands that need no daemon: `init` and `doctor`.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <string>
#include <variant>

#include "media/library_config.h"
#include "media/library_directory.h"
#include "tests/support/status_matchers.h"
#include "tests/support/temp_dir.h"
#include "tests/tools/cli_fixture.h"

namespace vellum {
namespace {

using testing::HasSubstr;

TEST_F(CliTest, InitMakesALibraryOnce) {
  const std::string library = dir_.Sub("library");
  EXPECT_EQ(Run({"init", library, "--slots", "4", "--media", "3", "--drives",
                 "1", "--capacity", "16Mi"}),
            kExitOk)
      << err_.str();
  EXPECT_TRUE(std::filesystem::exists(library + "/library.toml"));
  EXPECT_TRUE(std::filesystem::exists(library + "/media/V00003.img"));
  EXPECT_FALSE(std::filesystem::exists(library + "/media/V00004.img"));
  EXPECT_EQ(Run({"init", library}), kExitFailed);
  EXPECT_THAT(err_.str(), HasSubstr(library));
}

TEST_F(CliTest, DoctorTriesALibraryThatNoDaemonServes) {
  TempDir dir;
  const std::string library = dir.Sub("library");
  ASSERT_EQ(Run({"init", library, "--slots", "4", "--media", "2", "--drives",
                 "2", "--capacity", "16Mi"}),
            kExitOk);
  EXPECT_EQ(Run({"doctor", library}), kExitOk) << err_.str() << out_.str();
  EXPECT_THAT(out_.str(), HasSubstr("V00001 moved from 1024 to 257"));
  EXPECT_THAT(out_.str(), HasSubstr(library + ": no problems"));
  EXPECT_EQ(Run({"doctor", library, "--write-test", "V00002", "--size", "1Mi",
                 "--json"}),
            kExitOk);
  const Json answer = Json::parse(out_.str());
  EXPECT_EQ(answer["result"]["kind"], "virtual");
  EXPECT_EQ(answer["result"]["problems"], 0);
  bool wrote = false;
  for (const Json& step : answer["result"]["steps"]) {
    wrote = wrote || step.contains("write_bytes_per_second");
  }
  EXPECT_TRUE(wrote);
  // Everything is where it was.
  EXPECT_THAT(ReadFileOrDie(library + "/state/elements.json"),
              HasSubstr("1025"));
}

TEST_F(CliTest, DoctorHasItsExitCodes) {
  TempDir dir;
  const std::string library = dir.Sub("library");
  ASSERT_EQ(Run({"init", library, "--slots", "4", "--media", "1", "--drives",
                 "1", "--capacity", "16Mi"}),
            kExitOk);
  EXPECT_EQ(Run({"doctor", library, "--write-test", "V00009"}), kExitFailed);
  EXPECT_THAT(err_.str(), HasSubstr("V00009"));
  EXPECT_EQ(Run({"doctor", dir.path()}), kExitFailed);
  EXPECT_EQ(Run({"doctor", library, "--clear"}), kExitUsage);
  {
    ASSERT_OK_AND_ASSIGN(const LibraryLock lock, LibraryLock::Take(library));
    EXPECT_EQ(Run({"doctor", library}), kExitFailed);
    EXPECT_THAT(err_.str(), HasSubstr("is served by process"));
  }
  std::filesystem::resize_file(library + "/media/V00001.img", 4096);
  EXPECT_EQ(Run({"doctor", library}), kExitDifferences);
  EXPECT_THAT(out_.str(), HasSubstr("V00001"));
  ASSERT_EQ(Run({"init", dir.Sub("scsi"), "--changer", dir.Sub("none")}),
            kExitOk);
  EXPECT_EQ(Run({"doctor", dir.Sub("scsi")}), kExitFailed);
  EXPECT_THAT(err_.str(), HasSubstr(dir.Sub("none")));
}

TEST_F(CliTest, InitWritesDownTheDevicesOfAScsiLibrary) {
  TempDir dir;
  const std::string library = dir.Sub("library");
  EXPECT_EQ(Run({"init", library, "--changer", "/dev/sg3", "--drive",
                 "256=/dev/sg4", "--drive", "257=/dev/sg5"}),
            kExitOk)
      << err_.str();
  ASSERT_OK_AND_ASSIGN(const LibraryConfig config, ReadLibraryConfig(library));
  const auto& options = std::get<ScsiLibraryOptions>(config.devices);
  EXPECT_EQ(options.changer, "/dev/sg3");
  ASSERT_EQ(options.drives.size(), 2u);
  EXPECT_EQ(options.drives[1].element.value, 257);
  EXPECT_EQ(options.drives[1].device, "/dev/sg5");
}

}  // namespace
}  // namespace vellum
