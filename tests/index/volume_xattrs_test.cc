// SPDX-License-Identifier: Apache-2.0
// Extended attributes that are set together with other attributes.
#include "index/volume.h"
#include "tests/index/volume_fixture.h"

namespace vellum {
namespace {

class VolumeXattrsTest : public VolumeTest {
 protected:
  void SetUp() override { Make(8192); }
  void TearDown() override {
    ASSERT_OK(volume_->Detach());
    EXPECT_EQ(FsckText(*medium_), "");
  }
};

TEST_F(VolumeXattrsTest, AnInodeIsMadeWithThem) {
  NewInode inode;
  inode.xattrs["user.a"] = "1";
  ASSERT_OK_AND_ASSIGN(const Attr file,
                       volume_->Create(volume_->root(), "file", inode));
  EXPECT_EQ(file.attr.xattrs, inode.xattrs);
  ASSERT_OK(volume_->Sync());
  EXPECT_EQ(volume_->GetAttr(file.ino)->attr.xattrs, inode.xattrs);
  // What does not fit makes nothing.
  const uint64_t free = volume_->Space().free_blocks;
  inode.xattrs["user.a"] = std::string(3000, 'x');
  EXPECT_THAT(volume_->Create(volume_->root(), "other", inode),
              HasErrc(Errc::kNoSpace));
  EXPECT_THAT(volume_->Lookup(volume_->root(), "other"),
              HasErrc(Errc::kNotFound));
  EXPECT_EQ(volume_->Space().free_blocks, free);
}

TEST_F(VolumeXattrsTest, AChangeTakesThemAlongOrChangesNothing) {
  NewInode inode;
  inode.xattrs["user.old"] = "1";
  ASSERT_OK_AND_ASSIGN(const Attr file,
                       volume_->Create(volume_->root(), "file", inode));
  AttrChange change;
  change.mode = 0600;
  change.xattrs["user.new"] = std::string(3000, 'x');
  EXPECT_THAT(volume_->SetAttr(file.ino, change), HasErrc(Errc::kNoSpace));
  EXPECT_EQ(volume_->GetAttr(file.ino)->attr.mode, 0644u);

  change.xattrs["user.new"] = "2";
  change.xattrs["user.old"] = std::nullopt;
  change.xattrs["user.never"] = std::nullopt;
  ASSERT_OK_AND_ASSIGN(const Attr changed, volume_->SetAttr(file.ino, change));
  EXPECT_EQ(changed.attr.mode, 0600u);
  const std::map<std::string, std::string> expected = {{"user.new", "2"}};
  EXPECT_EQ(changed.attr.xattrs, expected);
  EXPECT_GE(changed.attr.ctime, file.attr.ctime);
}

TEST_F(VolumeXattrsTest, TheContentMakesRoomForThem) {
  ASSERT_OK_AND_ASSIGN(const Attr file,
                       volume_->Create(volume_->root(), "file", NewInode()));
  const Bytes content(1500, std::byte{7});
  ASSERT_OK(volume_->Write(file.ino, 0, ConstByteSpan(content)));
  AttrChange change;
  change.xattrs["user.some"] = std::string(900, 'x');
  ASSERT_OK(volume_->SetAttr(file.ino, change));
  Bytes back(content.size());
  ASSERT_OK(volume_->Read(file.ino, 0, ByteSpan(back)));
  EXPECT_EQ(back, content);
}

// Times before the year 1 and behind 9999 stand in the entry as well, beside
// the content of a small file: a commit must not find them too much for it.
TEST_F(VolumeXattrsTest, TheContentMakesRoomForLongTimes) {
  ASSERT_OK_AND_ASSIGN(const Attr file,
                       volume_->Create(volume_->root(), "file", NewInode()));
  const Bytes content(1740, std::byte{7});
  ASSERT_OK(volume_->Write(file.ino, 0, ConstByteSpan(content)));
  ASSERT_EQ(volume_->GetAttr(file.ino)->allocated, kSectorSize);
  AttrChange change;
  change.mtime = TimeSpec{int64_t{1} << 50, 7};
  ASSERT_OK(volume_->SetAttr(file.ino, change));
  ASSERT_OK(volume_->Sync());
  EXPECT_EQ(volume_->GetAttr(file.ino)->attr.mtime, *change.mtime);
  Bytes back(content.size());
  ASSERT_OK(volume_->Read(file.ino, 0, ByteSpan(back)));
  EXPECT_EQ(back, content);
}

TEST_F(VolumeXattrsTest, TheContentMakesRoomForALongCreationTime) {
  ASSERT_OK_AND_ASSIGN(const Attr file,
                       volume_->Create(volume_->root(), "file", NewInode()));
  const Bytes content(1740, std::byte{7});
  ASSERT_OK(volume_->Write(file.ino, 0, ConstByteSpan(content)));
  AttrChange change;
  change.btime = TimeSpec{int64_t{1} << 50, 7};
  ASSERT_OK(volume_->SetAttr(file.ino, change));
  ASSERT_OK(volume_->Sync());
  EXPECT_EQ(volume_->GetAttr(file.ino)->attr.btime, *change.btime);
}

TEST_F(VolumeXattrsTest, LongTimesThatFindNoRoomChangeNothing) {
  NewInode inode;
  inode.type = udf::FileType::kFifo;
  ASSERT_OK_AND_ASSIGN(const Attr pipe,
                       volume_->Create(volume_->root(), "pipe", inode));
  // As much as there is room for.
  for (size_t left = 1700; left > 0;) {
    const Status set =
        volume_->SetXattr(pipe.ino, "user.all", std::string(left, 'x'), 0);
    if (set.ok()) break;
    ASSERT_THAT(set, HasErrc(Errc::kNoSpace));
    --left;
  }
  AttrChange change;
  change.mode = 0600;
  change.atime = change.mtime = TimeSpec{-(int64_t{1} << 50), 0};
  EXPECT_THAT(volume_->SetAttr(pipe.ino, change), HasErrc(Errc::kNoSpace));
  EXPECT_EQ(volume_->GetAttr(pipe.ino)->attr.mode, 0644u);
  ASSERT_OK(volume_->Sync());
}

}  // namespace
}  // namespace vellum
