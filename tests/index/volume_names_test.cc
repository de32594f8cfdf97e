// SPDX-License-Identifier: Apache-2.0
// Directories, and what an entry can hold beside a name.
#include <fmt/format.h>
#include <gmock/gmock.h>

#include "index/volume.h"
#include "media/udf/codec.h"
#include "media/udf/reader.h"
#include "tests/index/volume_fixture.h"

namespace vellum {
namespace {

TEST_F(VolumeTest, LargeDirectoriesGrowAndShrink) {
  Make(65536);
  NewInode directory;
  directory.type = udf::FileType::kDirectory;
  const Result<Attr> dir = volume_->Create(volume_->root(), "d", directory);
  ASSERT_OK(dir);
  for (int i = 0; i < 20000; ++i) {
    ASSERT_OK(volume_->Create(dir->ino, fmt::format("name-{}", i), {}));
  }
  EXPECT_THAT(volume_->Rmdir(volume_->root(), "d"), HasErrc(Errc::kNotEmpty));
  for (int i = 0; i < 20000; i += 2) {
    ASSERT_OK(volume_->Unlink(dir->ino, fmt::format("name-{}", i)));
  }
  ASSERT_OK(volume_->Sync());
  for (int i = 1; i < 20000; i += 2) {
    ASSERT_OK(volume_->Unlink(dir->ino, fmt::format("name-{}", i)));
  }
  ASSERT_OK(volume_->Rmdir(volume_->root(), "d"));
  ASSERT_OK(volume_->Detach());
  EXPECT_EQ(FsckText(*medium_), "");
}

// A name that the committed directory has must leave it, however often it was
// removed and made since; one that it never had must not be looked for.
TEST_F(VolumeTest, NamesMadeAndRemovedWithinAGenerationStandOnce) {
  Make(8192);
  NewInode directory;
  directory.type = udf::FileType::kDirectory;
  const Result<Attr> dir = volume_->Create(volume_->root(), "d", directory);
  ASSERT_OK(dir);
  const auto make = [&](const std::string& name) {
    ASSERT_OK(volume_->Create(dir->ino, name, {}));
    EXPECT_THAT(volume_->Create(dir->ino, name, {}), HasErrc(Errc::kExists));
  };
  const auto remove = [&](const std::string& name) {
    ASSERT_OK(volume_->Unlink(dir->ino, name));
    EXPECT_THAT(volume_->Unlink(dir->ino, name), HasErrc(Errc::kNotFound));
    EXPECT_THAT(volume_->Lookup(dir->ino, name), HasErrc(Errc::kNotFound));
  };
  for (int generation = 0; generation < 3; ++generation) {
    if (generation > 0) remove("kept");
    make("kept");
    remove("kept");
    make("kept");
    make("passing");
    remove("passing");
    if (generation > 0) remove("renamed");
    make("other");
    ASSERT_OK(volume_->Rename(dir->ino, "other", dir->ino, "renamed",
                              RenameMode::kReplace));
    ASSERT_OK(volume_->Sync());
    std::vector<std::string> names;
    ASSERT_OK(volume_->ReadDir(dir->ino, 0, [&](const DirItem& item) {
      names.push_back(item.name);
      return true;
    }));
    EXPECT_THAT(names, testing::UnorderedElementsAre("kept", "renamed"));
  }
  ASSERT_OK(volume_->Detach());
  EXPECT_EQ(FsckText(*medium_), "");
  ASSERT_OK_AND_ASSIGN(const udf::FsckReport report,
                       udf::CheckVolume(*medium_, {}));
  EXPECT_EQ(report.files, 2u);
}

TEST_F(VolumeTest, XattrsBeyondTheEntryAreRefused) {
  Make(8192);
  const Attr file = MakeFile("a", "hello");
  EXPECT_THAT(
      volume_->SetXattr(file.ino, "user.big", std::string(4000, 'x'), 0),
      HasErrc(Errc::kNoSpace));
  ASSERT_OK(volume_->SetXattr(file.ino, "user.some", std::string(900, 'x'), 0));
  // The content makes room for them.
  ASSERT_OK(volume_->Write(file.ino, 0, AsBytes(std::string(1500, 'c'))));
  EXPECT_EQ(ReadAll(file.ino), std::string(1500, 'c'));
  ASSERT_OK(volume_->Detach());
  EXPECT_EQ(FsckText(*medium_), "");
}

TEST_F(VolumeTest, SymlinkTargetsThatFitNowhereAreTooLong) {
  Make(8192);
  NewInode link;
  link.type = udf::FileType::kSymlink;
  for (int i = 0; i < 900; ++i) link.symlink_target += "x/";
  EXPECT_THAT(volume_->Create(volume_->root(), "odd", link),
              HasErrc(Errc::kNameTooLong));
  link.symlink_target += "x";  // components say it exactly
  const Result<Attr> attr = volume_->Create(volume_->root(), "long", link);
  ASSERT_OK(attr);
  ASSERT_OK(volume_->Detach());
  EXPECT_EQ(*volume_->ReadLink(attr->ino), link.symlink_target);
  EXPECT_EQ(FsckText(*medium_), "");
}

// It was cut to 32 bits before it was compared, and then read whole.
TEST_F(VolumeTest, ADirectoryLargerThanItsBlocksIsReported) {
  Make(8192);
  MakeFile("old", "");
  ASSERT_OK(volume_->Detach());
  ASSERT_OK_AND_ASSIGN(InodeRecord root,
                       catalog_->GetInode(1, volume_->root()));
  root.attr.size = uint64_t{1} << 43;
  CatalogBatch batch;
  batch.PutInode(1, volume_->root(), root);
  ASSERT_OK(catalog_->Write(batch, Sync::kNo));
  ASSERT_OK(volume_->Attach(medium_.get()));
  volume_->Create(volume_->root(), "new", {})
      .status()
      .IgnoreError("a commit may be needed first");
  const Status refused = volume_->Sync();
  EXPECT_THAT(refused, HasErrc(Errc::kCorruption));
  EXPECT_THAT(refused, MessageHas("of 8796093022208 bytes has 1 blocks"));
}

// The catalog says another size than the entry.
class InlineSizeTest : public VolumeTest {
 protected:
  void Make(uint64_t size) {
    VolumeTest::Make(8192);
    file_ = MakeFile("file", "inline").ino;
    ASSERT_OK(volume_->Detach());
    ASSERT_OK_AND_ASSIGN(InodeRecord record, catalog_->GetInode(1, file_));
    ASSERT_TRUE(record.inline_data);
    record.attr.size = size;
    CatalogBatch batch;
    batch.PutInode(1, file_, record);
    ASSERT_OK(catalog_->Write(batch, Sync::kNo));
    ASSERT_OK(volume_->Attach(medium_.get()));
  }

  InodeNumber file_ = 0;
};

TEST_F(InlineSizeTest, AnInlineFileLargerThanItsEntryIsReported) {
  Make(uint64_t{1} << 43);
  Bytes out(10);
  const auto read = volume_->Read(file_, 0, out);
  EXPECT_THAT(read, HasErrc(Errc::kCorruption));
  EXPECT_THAT(read, MessageHas("holds 8796093022208 bytes"));
}

// What it holds is not overwritten unseen.
TEST_F(InlineSizeTest, AnInlineFileThatCountsAsEmptyAndIsNotIsReported) {
  Make(0);
  const auto written = volume_->Write(file_, 0, AsBytes("i"));
  EXPECT_THAT(written, HasErrc(Errc::kCorruption));
  EXPECT_THAT(written, MessageHas("holds 0 bytes, it holds 6"));
}

}  // namespace
}  // namespace vellum
