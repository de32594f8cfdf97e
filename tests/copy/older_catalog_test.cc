// SPDX-License-Identifier: Apache-2.0
// The catalog is from an older day, or gone, while volumes were converted and
// restored, with backups of several generations: what is read, copied and
// restored then is what the media hold.
#include <gtest/gtest.h>

#include <filesystem>
#include <string>

#include "tests/copy/fault_lab.h"
#include "tests/support/status_matchers.h"

namespace vellum {
namespace {

class OlderCatalogTest : public testing::Test {
 protected:
  static FaultLabOptions Options() {
    FaultLabOptions options;
    options.drives = 2;
    options.media = 4;
    return options;
  }
  Status Copy(const std::string& source, CopyMode mode,
              const std::string& target) {
    CopyRequest request;
    request.source = source;
    request.mode = mode;
    request.target = target;
    return lab_.Finish(lab_.jobs().Submit(request));
  }
  // Three generations of PRIM: "one" on V00002, "two" on V00003, "three" on
  // V00004 and on itself.
  void SetUp() override {
    ASSERT_OK(lab_.Open());
    FormatRequest request;
    request.medium = "V00001";
    request.volume_id = "PRIM";
    ASSERT_OK(Format(lab_.archive(), request));
    ASSERT_OK(lab_.Put("PRIM", "/stays", std::string(90'000, 's')));
    int medium = 2;
    for (const char* generation : {"one", "two", "three"}) {
      ASSERT_OK(lab_.Put("PRIM", "/file", generation));
      ASSERT_OK(lab_.Put("PRIM", std::string("/d/") + generation,
                         std::string(70'000, *generation)));
      ASSERT_OK(Copy("PRIM", CopyMode::kStreaming, FaultLab::Tag(medium++)));
    }
    lab_.SaveStart();
  }
  // "one" becomes a primary, "two" is restored, both go on.
  void GoOn() {
    ASSERT_OK(lab_.Open());
    ASSERT_OK(Convert(lab_.archive(), "V00002", "SECOND"));
    ASSERT_OK(lab_.Put("SECOND", "/d/second", "goes on"));
    ASSERT_OK(lab_.Finish(lab_.jobs().SubmitRestore("PRIM", "V00003")));
    ASSERT_OK(lab_.Put("PRIM", "/d/again", "goes on, too"));
    lab_.Close();
    want_ = {{"V00001", ReadTree(lab_.content("V00001")).value()},
             {"V00002", ReadTree(lab_.content("V00002")).value()},
             {"V00003", ReadTree(lab_.content("V00003")).value()},
             {"V00004", ReadTree(lab_.content("V00004")).value()}};
    EXPECT_EQ(want_["V00001"]["/file"], "two");
    EXPECT_EQ(want_["V00001"].count("/d/again"), 1u);
    EXPECT_EQ(want_["V00002"]["/file"], "one");
    EXPECT_EQ(want_["V00002"].count("/d/second"), 1u);
  }
  // What the volume says of itself, without its medium where that is possible.
  std::string TextOf(const std::string& volume, const std::string& path) {
    const auto use = lab_.volumes().Use(lab_.volumes().Find(volume));
    EXPECT_OK(use);
    if (!use.ok()) return "";
    Result<Attr> attr = (*use)->GetAttr((*use)->root());
    for (const auto& part : std::filesystem::path(path)) {
      if (attr.ok()) attr = (*use)->Lookup(attr->ino, part.string());
    }
    if (!attr.ok()) return attr.error().message;
    std::string text(attr->attr.size, '\0');
    EXPECT_OK(
        (*use)->Read(attr->ino, 0, std::as_writable_bytes(std::span(text))));
    return text;
  }
  void ExpectTrue() {
    EXPECT_EQ(lab_.FindLeaks(), "");
    EXPECT_EQ(lab_.CompareCatalog(""), "");
    EXPECT_EQ(TextOf("PRIM", "file"), "two");
    EXPECT_EQ(TextOf("SECOND", "file"), "one");
    // Of "three", which is of another history now; and of "two", which the
    // primary was made from.
    for (const char* target : {"V00004", "V00003"}) {
      EXPECT_OK(Copy("PRIM", CopyMode::kIncremental, target)) << target;
    }
    EXPECT_EQ(lab_.FindLeaks(), "");
    EXPECT_EQ(lab_.CompareCatalog(""), "");
    lab_.Close();
    for (const char* target : {"V00003", "V00004"}) {
      EXPECT_EQ(lab_.CompareSectors("V00001", target), "") << target;
      EXPECT_EQ(ReadTree(lab_.content(target)).value(), want_["V00001"]);
    }
    for (const char* primary : {"V00001", "V00002"}) {
      EXPECT_EQ(ReadTree(lab_.content(primary)).value(), want_[primary]);
    }
  }

  std::map<VolumeTag, FileTreeText> want_;
  FaultLab lab_{Options()};
};

TEST_F(OlderCatalogTest, X8_OfAnOlderDay) {
  GoOn();
  lab_.GoToStartOfCatalog();
  ASSERT_OK(lab_.Open());
  // What it knows of V00002 is a backup, and of V00001 a later generation.
  ASSERT_OK(Reindex(lab_.archive(), ReindexMode::kReset));
  ExpectTrue();
}

TEST_F(OlderCatalogTest, X8_OfAnOlderDayWithoutAReindex) {
  GoOn();
  lab_.GoToStartOfCatalog();
  ASSERT_OK(lab_.Open());
  EXPECT_EQ(TextOf("PRIM", "file"), "two");
  // So is SECOND, by the name that the catalog has for its medium; the load
  // finds its own, and that it is no backup.
  EXPECT_EQ(TextOf("V00002", "file"), "one");
  EXPECT_EQ(lab_.volumes().Find("V00002"), nullptr);
  EXPECT_EQ(TextOf("SECOND", "d/second"), "goes on");
  EXPECT_OK(lab_.Put("SECOND", "/d/second", "and on"));
  want_["V00002"]["/d/second"] = "and on";
  // Nobody takes it for the backup that it was.
  EXPECT_FALSE(Copy("PRIM", CopyMode::kIncremental, "V00002").ok());
  EXPECT_OK(Copy("PRIM", CopyMode::kIncremental, "V00004"));
  lab_.Close();
  EXPECT_EQ(lab_.CompareSectors("V00001", "V00004"), "");
  for (const char* medium : {"V00001", "V00002", "V00003"}) {
    EXPECT_EQ(ReadTree(lab_.content(medium)).value(), want_[medium]) << medium;
  }
}

// A slot that could not be read says nothing: the next load looks at it.
TEST_F(OlderCatalogTest, X8_OfAnOlderDayWithASlotThatCannotBeReadAtFirst) {
  GoOn();
  lab_.GoToStartOfCatalog();
  ASSERT_OK(lab_.Open());
  lab_.media().BadSectors(
      "V00002", {udf::kSlotASector, udf::kSlotBSector - udf::kSlotASector + 1});
  EXPECT_THAT(lab_.volumes().Use(lab_.volumes().Find("V00002")),
              HasErrc(Errc::kDeviceError));
  ASSERT_TRUE(lab_.media().reached());
  ASSERT_OK(lab_.Heal());
  EXPECT_EQ(TextOf("V00002", "file"), "one");
  EXPECT_EQ(lab_.volumes().Find("V00002"), nullptr);
  EXPECT_OK(lab_.Put("SECOND", "/d/second", "and on"));
  lab_.Close();
}

TEST_F(OlderCatalogTest, X8_ThatIsGone) {
  GoOn();
  lab_.RemoveCatalog();
  ASSERT_OK(lab_.RebuildCatalog());
  ExpectTrue();
}

}  // namespace
}  // namespace vellum
