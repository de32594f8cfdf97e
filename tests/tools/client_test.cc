// SPDX-License-Identifier: Apache-2.0
#include "tools/client.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>

#include "tests/support/status_matchers.h"
#include "tests/support/temp_dir.h"

namespace vellum {
namespace {

TEST(Words, QuoteOnlyWhatNeedsIt) {
  EXPECT_EQ(Argument("VOL"), "VOL");
  EXPECT_EQ(Argument(""), "\"\"");
  EXPECT_EQ(Argument("a b"), "\"a b\"");
  EXPECT_EQ(Argument("a\"b\\c"), "\"a\\\"b\\\\c\"");
  EXPECT_EQ(Option("mode", "image"), "mode=image");
}

TEST(Words, OptionsAndArgumentsAreNotMixedUp) {
  // The daemon takes a word for an option only if its `=` is not quoted.
  EXPECT_EQ(Argument("mode=image"), "\"mode=image\"");
  EXPECT_EQ(Option("dir", "/a b"), "dir=\"/a b\"");
  EXPECT_EQ(Option("dir", "/a=b"), "dir=/a=b");
}

TEST(ParseAnswer, GivesTheResult) {
  ASSERT_OK_AND_ASSIGN(const Json result,
                       ParseAnswer("{\"ok\":true,\"result\":{\"job\":7}}\n"));
  EXPECT_EQ(result["job"], 7);
}

TEST(ParseAnswer, GivesTheErrorWithItsCode) {
  const Result<Json> result =
      ParseAnswer(R"({"ok":false,"error":{"code":"NO_SPACE","errno":"ENOSPC",)"
                  R"("message":"spool: 5 needed, 3 free"}})");
  EXPECT_THAT(result, HasErrc(Errc::kNoSpace));
  EXPECT_THAT(result, MessageHas("5 needed, 3 free"));
}

TEST(ParseAnswer, RefusesWhatIsNoAnswer) {
  for (const char* text : {"", "{", "[]", "{\"ok\":3}", "{\"result\":{}}"}) {
    EXPECT_THAT(ParseAnswer(text), HasErrc(Errc::kInternal)) << text;
  }
}

TEST(VellumMounts, FindsItsOwnAndDecodesNames) {
  const std::vector<VellumMount> mounts = VellumMounts(
      "proc /proc proc rw 0 0\n"
      "/lib/a /m/my\\040lib fuse.vellum rw,nosuid 0 0\n"
      "sshfs /m/x fuse.sshfs rw 0 0\n"
      "/lib/b /m/back\\134slash fuse.vellum rw 0 0\n");
  ASSERT_EQ(mounts.size(), 2u);
  EXPECT_EQ(mounts[0].source, "/lib/a");
  EXPECT_EQ(mounts[0].target, "/m/my lib");
  EXPECT_EQ(mounts[1].target, "/m/back\\slash");
}

// Directories that look like mount points.
class FindMountTest : public testing::Test {
 protected:
  std::string MakeMount(const std::string& name) {
    const std::string mount = dir_.Sub(name);
    std::filesystem::create_directories(mount + "/.vellum");
    WriteFileOrDie(mount + "/.vellum/command", "");
    return mount;
  }
  DaemonAddress Address(const std::string& mounts) {
    WriteFileOrDie(dir_.Sub("mounts"), mounts);
    DaemonAddress address;
    address.mounts_file = dir_.Sub("mounts");
    return address;
  }
  static std::string Line(const std::string& target) {
    return "/lib " + target + " fuse.vellum rw 0 0\n";
  }

  TempDir dir_;
};

TEST_F(FindMountTest, GivenMountComesFirst) {
  DaemonAddress address = Address(Line(MakeMount("a")));
  address.mount = MakeMount("b");
  address.library_default = dir_.Sub("lib");
  ASSERT_OK_AND_ASSIGN(const std::string mount, FindMount(address));
  EXPECT_EQ(mount, dir_.Sub("b"));
}

TEST_F(FindMountTest, MountAndLibraryMustAgree) {
  const std::string library = dir_.Sub("lib");
  std::filesystem::create_directories(library + "/state");
  WriteFileOrDie(library + "/state/mount", MakeMount("a") + "\n");
  DaemonAddress address = Address("");
  address.library = library;
  address.mount = dir_.Sub("a") + "/.";
  EXPECT_OK(FindMount(address));
  address.mount = MakeMount("b");
  EXPECT_THAT(FindMount(address), HasErrc(Errc::kInvalidArgument));
  EXPECT_THAT(FindMount(address), MessageHas("mounted at " + dir_.Sub("a")));
}

TEST_F(FindMountTest, OptionsComeBeforeTheEnvironment) {
  const std::string library = dir_.Sub("lib");
  std::filesystem::create_directories(library + "/state");
  WriteFileOrDie(library + "/state/mount", MakeMount("a") + "\n");
  DaemonAddress address = Address("");
  address.mount_default = MakeMount("b");
  ASSERT_OK_AND_ASSIGN(std::string mount, FindMount(address));
  EXPECT_EQ(mount, dir_.Sub("b"));
  address.library = library;
  ASSERT_OK_AND_ASSIGN(mount, FindMount(address));
  EXPECT_EQ(mount, dir_.Sub("a"));
}

TEST_F(FindMountTest, GivenMountWithoutDaemonIsOffline) {
  DaemonAddress address = Address("");
  address.mount = dir_.Sub("nothing");
  EXPECT_THAT(FindMount(address), HasErrc(Errc::kOffline));
  EXPECT_THAT(FindMount(address), MessageHas(address.mount));
}

TEST_F(FindMountTest, LibraryNamesItsMount) {
  const std::string library = dir_.Sub("lib");
  std::filesystem::create_directories(library + "/state");
  WriteFileOrDie(library + "/state/mount", MakeMount("a") + "\n");
  DaemonAddress address = Address("");
  address.library = library;
  ASSERT_OK_AND_ASSIGN(const std::string mount, FindMount(address));
  EXPECT_EQ(mount, dir_.Sub("a"));
}

TEST_F(FindMountTest, LibraryThatIsNotMounted) {
  DaemonAddress address = Address("");
  address.library = dir_.Sub("lib");
  EXPECT_THAT(FindMount(address), HasErrc(Errc::kOffline));
  EXPECT_THAT(FindMount(address), MessageHas("is not mounted"));
}

TEST_F(FindMountTest, OnlyMountIsFoundAmongVolumeMounts) {
  const std::string plain = dir_.Sub("backup");
  std::filesystem::create_directories(plain);
  const DaemonAddress address = Address(Line(plain) + Line(MakeMount("a")));
  ASSERT_OK_AND_ASSIGN(const std::string mount, FindMount(address));
  EXPECT_EQ(mount, dir_.Sub("a"));
}

TEST_F(FindMountTest, TwoMountsAreAmbiguous) {
  const DaemonAddress address =
      Address(Line(MakeMount("a")) + Line(MakeMount("b")));
  EXPECT_THAT(FindMount(address), HasErrc(Errc::kOffline));
  EXPECT_THAT(FindMount(address), MessageHas("--mount"));
}

TEST_F(FindMountTest, NoMountSaysHowToStart) {
  EXPECT_THAT(FindMount(Address("")), MessageHas("vellum mount"));
}

TEST_F(FindMountTest, ClientReadsTablesAndNamesWhatIsMissing) {
  const std::string mount = MakeMount("a");
  WriteFileOrDie(mount + "/.vellum/media.json", "[{\"tag\":\"V00001\"}]");
  WriteFileOrDie(mount + "/.vellum/broken.json", "[{");
  const Client client(mount);
  ASSERT_OK_AND_ASSIGN(const Json media, client.ReadJson("media.json"));
  EXPECT_EQ(media[0]["tag"], "V00001");
  EXPECT_THAT(client.ReadJson("broken.json"), HasErrc(Errc::kInternal));
  EXPECT_THAT(client.ReadControl("jobs/9/log"), HasErrc(Errc::kNotFound));
}

TEST_F(FindMountTest, ClientWithoutDaemonIsOffline) {
  const Client client(dir_.Sub("nothing"));
  EXPECT_THAT(client.Send({"sync"}), HasErrc(Errc::kOffline));
  EXPECT_THAT(client.ReadControl("media"), HasErrc(Errc::kOffline));
}

}  // namespace
}  // namespace vellum
