// SPDX-License-Identifier: Apache-2.0
// find and which: answered from the catalog, whatever shelf the media are on.
#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <set>
#include <string>
#include <vector>

#include "tests/fs/service_fixture.h"

namespace vellum {
namespace {

using testing::ElementsAre;
using testing::UnorderedElementsAre;

class CatalogCommandsTest : public ServiceFixture {
 protected:
  // Makes a file, and the directories that lead to it.
  void Make(const std::string& volume, const std::string& path) {
    const Result<VolumeUse> use =
        service_->volumes().Use(service_->volumes().Find(volume));
    ASSERT_OK(use);
    InodeNumber dir = (*use)->root();
    size_t begin = 0;
    for (;;) {
      const size_t end = path.find('/', begin);
      const std::string name = path.substr(begin, end - begin);
      NewInode inode;
      if (end == std::string::npos) {
        ASSERT_OK((*use)->Create(dir, name, inode));
        return;
      }
      inode.type = udf::FileType::kDirectory;
      inode.mode = 0755;
      Result<Attr> attr = (*use)->Lookup(dir, name);
      if (!attr.ok()) attr = (*use)->Create(dir, name, inode);
      ASSERT_OK(attr);
      dir = attr->ino;
      begin = end + 1;
    }
  }
  uint64_t Loads() {
    uint64_t loads = 0;
    for (const DriveState& drive : service_->library().Drives()) {
      loads += drive.loads;
    }
    return loads;
  }
  // All pages of a search, each of `limit` names.
  std::vector<std::string> Find(const std::string& words, int limit = 1000) {
    std::vector<std::string> paths;
    std::string after;
    do {
      const Json page =
          Run(fmt::format("find {} limit={}{}", words, limit,
                          after.empty() ? "" : " after=" + after));
      EXPECT_LE(page["found"].size(), static_cast<size_t>(limit));
      for (const Json& row : page["found"]) paths.push_back(row["path"]);
      after = page["next"].is_null() ? "" : page["next"];
    } while (!after.empty());
    return paths;
  }
};

TEST_F(CatalogCommandsTest, X4_FindSearchesEveryShelfWithoutMovingAMedium) {
  Run("format V00001 name=PHOTOS");
  Run("format V00002 name=DOCS");
  Make("PHOTOS", "2024/June/IMG1.jpg");
  Make("PHOTOS", "2024/img2.JPG");
  Make("DOCS", "letters/img.txt");
  ASSERT_OK(service_->jobs().Wait(Run("copy PHOTOS to=V00003")["job"]));
  Make("PHOTOS", "new/IMG3.jpg");  // not on any medium yet
  Run("export DOCS location=\"bank, box 7\"");
  const uint64_t loads = Loads();

  EXPECT_THAT(
      Find("IMG case=no"),
      UnorderedElementsAre("PHOTOS/2024/June/IMG1.jpg", "PHOTOS/2024/img2.JPG",
                           "PHOTOS/new/IMG3.jpg", "V00003/2024/June/IMG1.jpg",
                           "V00003/2024/img2.JPG", "DOCS/letters/img.txt"));
  EXPECT_THAT(
      Find("*.jpg role=primary"),
      UnorderedElementsAre("PHOTOS/2024/June/IMG1.jpg", "PHOTOS/new/IMG3.jpg"));
  EXPECT_THAT(Find("IMG?.jpg volume=V00003"),
              ElementsAre("V00003/2024/June/IMG1.jpg"));
  EXPECT_THAT(Find("*/June/*"),
              UnorderedElementsAre("PHOTOS/2024/June/IMG1.jpg",
                                   "V00003/2024/June/IMG1.jpg"));
  EXPECT_THAT(Find("img.txt"), ElementsAre("DOCS/letters/img.txt"));
  EXPECT_THAT(Find("IMG.txt"), ElementsAre());
  const Json row = Run("find img.txt")["found"][0];
  EXPECT_EQ(row["volume"], "DOCS");
  EXPECT_EQ(row["medium"], "V00002");
  EXPECT_EQ(row["state"], "exported");
  EXPECT_EQ(row["location"], "bank, box 7");
  EXPECT_EQ(row["type"], "file");
  EXPECT_EQ(Loads(), loads);
  EXPECT_THAT(service_->Execute("find x volume=NONE"),
              HasErrc(Errc::kNotFound));
  for (const char* after : {"PHOTOS/zz", "PHOTOS", "garbage", "/1"}) {
    EXPECT_THAT(service_->Execute(std::string("find x after=") + after),
                HasErrc(Errc::kInvalidArgument))
        << after;
  }
  EXPECT_THAT(service_->Execute("find x limit=1001"),
              MessageHas("from 1 to 1000"));
}

TEST_F(CatalogCommandsTest, WhichNamesWhatItDoesNotFind) {
  Run("format V00001 name=PHOTOS");
  Make("PHOTOS", "d/file");
  const auto missing = service_->Execute("which PHOTOS/d/nope/x");
  EXPECT_THAT(missing, HasErrc(Errc::kNotFound));
  EXPECT_THAT(missing, MessageHas("volume PHOTOS holds no d/nope"));
  EXPECT_THAT(service_->Execute("which PHOTOS/d/file/x"),
              MessageHas("volume PHOTOS holds no d/file/x"));
  for (const char* elsewhere : {"/etc/passwd", "\"\""}) {
    const auto none = service_->Execute(std::string("which ") + elsewhere);
    EXPECT_THAT(none, HasErrc(Errc::kInvalidArgument)) << elsewhere;
    EXPECT_THAT(none, MessageHas("neither VOL[/PATH] nor a path below"));
  }
}

TEST_F(CatalogCommandsTest, X4_PagesOfAnySizeGiveEachNameOnce) {
  Run("format V00001 name=ONE");
  Run("format V00002 name=TWO");
  std::set<std::string> made;
  for (const char* volume : {"ONE", "TWO"}) {
    for (int dir = 0; dir < 7; ++dir) {
      for (int file = 0; file < dir * 3; ++file) {
        const std::string path = fmt::format("d{}/e/f{}", dir, file);
        Make(volume, path);
        made.insert(std::string(volume) + "/" + path);
        made.insert(fmt::format("{}/d{}", volume, dir));
        made.insert(fmt::format("{}/d{}/e", volume, dir));
      }
    }
  }
  for (const int limit : {1, 2, 3, 10, 1000}) {
    const std::vector<std::string> found = Find("\"*\"", limit);
    EXPECT_EQ(std::set<std::string>(found.begin(), found.end()), made) << limit;
    EXPECT_EQ(found.size(), made.size()) << limit;
  }
}

TEST_F(CatalogCommandsTest, X4_APageGoesOnWhenItsDirectoryIsGone) {
  Run("format V00001 name=ONE");
  Make("ONE", "a/x");
  Make("ONE", "b/x");
  Make("ONE", "c/x");
  const Json first = Run("find x limit=1");
  const std::string path = first["found"][0]["path"];
  {
    ASSERT_OK_AND_ASSIGN(VolumeUse use, service_->volumes().Use(
                                            service_->volumes().Find("ONE")));
    const std::string dir = path.substr(4, 1);
    ASSERT_OK_AND_ASSIGN(const Attr attr, use->Lookup(use->root(), dir));
    ASSERT_OK(use->Unlink(attr.ino, "x"));
    ASSERT_OK(use->Rmdir(use->root(), dir));
  }
  const Json rest = Run("find x after=" + first["next"].get<std::string>());
  EXPECT_EQ(rest["found"].size(), 2u) << rest.dump();
  EXPECT_TRUE(rest["next"].is_null());
}

TEST_F(CatalogCommandsTest, X4_WhichNamesVolumesMediaAndShelves) {
  Run("format V00001 name=PHOTOS");
  Make("PHOTOS", "a/old");
  ASSERT_OK(service_->jobs().Wait(Run("copy PHOTOS to=V00003")["job"]));
  Make("PHOTOS", "a/new");
  Run("export V00003 location=safe");
  const uint64_t loads = Loads();
  const Json rows = Run("which PHOTOS/a/old");
  ASSERT_EQ(rows.size(), 2u) << rows.dump(1);
  EXPECT_EQ(rows[0]["volume"], "PHOTOS");
  EXPECT_EQ(rows[0]["medium"], "V00001");
  EXPECT_EQ(rows[0]["path"], "PHOTOS/a/old");
  EXPECT_EQ(rows[1]["volume"], "V00003");
  EXPECT_EQ(rows[1]["state"], "exported");
  EXPECT_EQ(rows[1]["location"], "safe");
  EXPECT_EQ(rows[1]["current"], true);
  EXPECT_EQ(Run("which PHOTOS/a/new").size(), 1u);
  // Asked of the copy, the primary is named, too.
  EXPECT_EQ(Run("which V00003/a/old").size(), 2u);
  EXPECT_EQ(Run("which PHOTOS")[0]["type"], "directory");
  EXPECT_EQ(Loads(), loads);
  EXPECT_THAT(service_->Execute("which PHOTOS/none"), HasErrc(Errc::kNotFound));
  EXPECT_THAT(service_->Execute("which NONE/x"), MessageHas("NONE"));
}

TEST_F(CatalogCommandsTest, I13_ExportAndImportAreCommands) {
  Run("format V00001 name=PHOTOS");
  const Json exported = Run("export PHOTOS location=\"shelf 9\"");
  EXPECT_EQ(exported["element"], 768);
  EXPECT_EQ(exported["medium"], "V00001");
  EXPECT_EQ(CatJson("volumes/PHOTOS/info.json")["location"], "shelf 9");
  EXPECT_EQ(CatJson("volumes/PHOTOS/info.json")["medium_state"], "exported");
  EXPECT_EQ(CatJson("media.json")[0]["state"], "exported");
  const Json imported = Run("import PHOTOS");
  ASSERT_EQ(imported.size(), 1u);
  EXPECT_EQ(imported[0]["from"], 768);
  EXPECT_EQ(imported[0]["element"], 1024);
  EXPECT_EQ(imported[0]["found"], "PHOTOS");
  EXPECT_TRUE(CatJson("volumes/PHOTOS/info.json")["location"].is_null());
  EXPECT_TRUE(Run("import").empty());
}

}  // namespace
}  // namespace vellum
