// SPDX-License-Identifier: Apache-2.0
// A volume at a place of its own, and an image without any library (D3).
#include <dirent.h>
#include <fcntl.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/xattr.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <set>
#include <string>

#include "media/library_directory.h"
#include "tests/mount/mount_fixture.h"

namespace vellum {
namespace {

class ViewsTest : public MountFixture {
 protected:
  void SetUp() override {
    MountFixture::SetUp();
    if (HasFatalFailure()) return;
    Run("format V00001 name=VOL");
    ASSERT_EQ(mkdir(At("VOL/d").c_str(), 0755), 0);
    WriteFileOrDie(At("VOL/d/file"), big_);
    WriteFileOrDie(At("VOL/small"), "small");
    ASSERT_EQ(symlink("d/file", At("VOL/link").c_str()), 0);
    ASSERT_EQ(setxattr(At("VOL/small").c_str(), "user.a", "b", 1, 0), 0);
    view_ = NewDirectory("view");
  }
  void TearDown() override {
    umount2(view_.c_str(), MNT_DETACH);
    MountFixture::TearDown();
  }
  void ExpectTheTree() const {
    EXPECT_EQ(ReadFileOrDie(view_ + "/d/file"), big_);
    EXPECT_EQ(ReadFileOrDie(view_ + "/link"), big_);
    EXPECT_EQ(ReadFileOrDie(view_ + "/small"), "small");
    std::set<std::string> names;
    DIR* dir = opendir(view_.c_str());
    ASSERT_NE(dir, nullptr);
    while (const dirent* entry = readdir(dir)) names.insert(entry->d_name);
    closedir(dir);
    EXPECT_EQ(names, (std::set<std::string>{".", "..", "d", "link", "small"}));
    char value[4] = {};
    EXPECT_EQ(getxattr((view_ + "/small").c_str(), "user.a", value, 4), 1);
    EXPECT_EQ(ErrnoAfter(access((view_ + "/none").c_str(), F_OK)), ENOENT);
    EXPECT_EQ(ErrnoAfter(open((view_ + "/small").c_str(), O_WRONLY)), EROFS);
    EXPECT_EQ(ErrnoAfter(mkdir((view_ + "/x").c_str(), 0755)), EROFS);
    EXPECT_EQ(ErrnoAfter(unlink((view_ + "/small").c_str())), EROFS);
    struct statvfs st {};
    ASSERT_EQ(statvfs(view_.c_str(), &st), 0);
    EXPECT_GT(st.f_blocks, 0u);
    EXPECT_NE(st.f_flag & ST_RDONLY, 0u);
  }
  const std::string big_ = std::string(300000, 'b');
  std::string view_;
};

class OneDriveViewsTest : public ViewsTest {
 protected:
  Geometry geometry() const override {
    Geometry geometry;
    geometry.drives = 1;
    return geometry;
  }
};

TEST_F(OneDriveViewsTest, AMountTakesNoDriveFromOthers) {
  const std::string backup = Backup("VOL", "V00002");
  Run("format V00003 name=OTHER");
  Run("mount " + backup + " dir=" + view_);
  EXPECT_EQ(ReadFileOrDie(view_ + "/small"), "small");
  const int fd = open((view_ + "/d/file").c_str(), O_RDONLY | O_CLOEXEC);
  ASSERT_GE(fd, 0);
  // Other volumes get the drive, although a file is open there.
  WriteFileOrDie(At("OTHER/new"), "other");
  EXPECT_EQ(ReadFileOrDie(At("VOL/small")), "small");
  EXPECT_EQ(ReadFileOrDie(At("OTHER/new")), "other");
  char byte = 0;
  EXPECT_EQ(pread(fd, &byte, 1, 299999), 1);
  EXPECT_EQ(byte, 'b');
  close(fd);
  ExpectTheTree();
  // Loaded or not, nothing overwrites it.
  ASSERT_EQ(ReadFileOrDie(At("VOL/small")), "small");
  EXPECT_EQ(Tell("format V00002 name=NEW clear=yes").err, EBUSY);
  ExpectTheTree();
  Run("unmount dir=" + view_);
  EXPECT_EQ(Tell("format V00002 name=NEW clear=yes").err, 0);
}

TEST_F(ViewsTest, D3_ABackupIsMountedReadOnly) {
  const std::string backup = Backup("VOL", "V00002");
  const Json answer = Run("mount " + backup + " dir=" + view_);
  EXPECT_EQ(answer["dir"], view_);
  ExpectTheTree();
  EXPECT_EQ(ReadControlJson("status.json")["volume_mounts"][0]["volume"],
            backup);
  // The library's mount still refuses it.
  EXPECT_EQ(ErrnoAfter(open(At(backup + "/small").c_str(), O_RDONLY)), EACCES);
  // A copy onto it waits, or fails if it is told so.
  EXPECT_EQ(Tell("mount VOL dir=" + view_).err, EBUSY);
  const int fd = open((view_ + "/small").c_str(), O_RDONLY | O_CLOEXEC);
  EXPECT_EQ(Tell("unmount dir=" + view_).err, EBUSY);
  close(fd);
  Run("unmount dir=" + view_);
  EXPECT_NE(access((view_ + "/small").c_str(), F_OK), 0);
  EXPECT_EQ(Tell("unmount dir=" + view_).err, ENOENT);
  EXPECT_EQ(ReadControlJson("status.json")["volume_mounts"].size(), 0u);
}

TEST_F(ViewsTest, D3_AMountMayBeClosedToOtherUsers) {
  const auto as_other = [this] {
    return InChild([this] {
      if (setgid(1234) != 0 || setuid(1234) != 0) return 255;
      return ErrnoAfter(access(view_.c_str(), R_OK));
    });
  };
  Run("mount VOL dir=" + view_ + " only-me=yes");
  ExpectTheTree();
  EXPECT_EQ(as_other(), EACCES);
  Run("unmount dir=" + view_);
  Run("mount VOL dir=" + view_);
  EXPECT_EQ(as_other(), 0);
}

TEST_F(ViewsTest, ItEndsWhenItIsUnmountedByOthers) {
  Run("mount VOL dir=" + view_);
  ExpectTheTree();
  ASSERT_EQ(umount2(view_.c_str(), 0), 0);
  EXPECT_TRUE(Eventually([this] {
    return ReadControlJson("status.json")["volume_mounts"].empty();
  }));
  // The medium is free again: a format may have it.
  EXPECT_TRUE(Eventually(
      [this] { return Tell("format V00001 name=NEW clear=yes").err == 0; }));
}

TEST_F(ViewsTest, ItEndsWithTheDaemon) {
  Run("mount VOL dir=" + view_);
  Stop();
  EXPECT_EQ(rmdir(view_.c_str()), 0) << "still mounted";
}

TEST_F(ViewsTest, D3_APrimaryIsShownAsItIsAtEachCall) {
  Run("mount VOL dir=" + view_);
  ExpectTheTree();
  const int fd = open((view_ + "/small").c_str(), O_RDONLY | O_CLOEXEC);
  ASSERT_GE(fd, 0);
  EXPECT_EQ(ErrnoAfter(access((view_ + "/new").c_str(), F_OK)), ENOENT);
  // Longer, shorter, and of the same length and time.
  for (const char* text : {"changed, and longer", "ab", "cd"}) {
    WriteFileOrDie(At("VOL/small"), text);
    const timespec times[2] = {{1, 0}, {1, 0}};
    ASSERT_EQ(utimensat(AT_FDCWD, At("VOL/small").c_str(), times, 0), 0);
    EXPECT_EQ(ReadFileOrDie(view_ + "/small"), text);
    char buffer[64] = {};
    ASSERT_GE(pread(fd, buffer, sizeof(buffer) - 1, 0), 0);
    EXPECT_STREQ(buffer, text);
    struct stat st {};
    ASSERT_EQ(stat((view_ + "/small").c_str(), &st), 0);
    EXPECT_EQ(st.st_size, static_cast<off_t>(std::strlen(text)));
  }
  close(fd);
  WriteFileOrDie(At("VOL/new"), "new");
  EXPECT_EQ(ReadFileOrDie(view_ + "/new"), "new");
  ASSERT_EQ(unlink(At("VOL/new").c_str()), 0);
  EXPECT_EQ(ErrnoAfter(access((view_ + "/new").c_str(), F_OK)), ENOENT);
  WriteFileOrDie(At("VOL/small"), "small");
  ExpectTheTree();
}

TEST_F(ViewsTest, NothingIsUnmountedUnderSomebodysFeet) {
  Run("mount VOL dir=" + view_);
  for (const std::string& place : {view_ + "/d", At("VOL/d")}) {
    ASSERT_EQ(chdir(place.c_str()), 0);
    const Answer busy = Tell("shutdown");
    EXPECT_EQ(busy.err, EBUSY) << place;
    EXPECT_NE(busy.json.dump().find("has its working directory there"),
              std::string::npos)
        << busy.json;
    if (place.starts_with(view_)) {
      EXPECT_EQ(Tell("unmount dir=" + view_).err, EBUSY);
    }
    ASSERT_EQ(chdir("/"), 0);
  }
  // Beside it, not on it.
  ASSERT_EQ(chdir(NewDirectory("mount2").c_str()), 0);
  EXPECT_EQ(Tell("shutdown").err, 0);
  ASSERT_EQ(chdir("/"), 0);
  EXPECT_TRUE(Eventually([this] { return LibraryLock::Take(library()).ok(); }));
  running_ = false;
}

TEST_F(ViewsTest, WrongPlacesAreRefused) {
  for (const std::string& dir : {library(), library() + "/media"}) {
    const Answer refused = Tell("mount VOL dir=" + dir);
    EXPECT_EQ(refused.err, EINVAL);
    EXPECT_NE(refused.json.dump().find("inside the library " + library()),
              std::string::npos)
        << refused.json;
  }
  EXPECT_EQ(Tell("mount VOL dir=" + dir_.Sub("missing")).err, ENOENT);
  EXPECT_EQ(Tell("mount VOL dir=" + mount()).err, EBUSY);
  EXPECT_EQ(Tell("mount VOL dir=" + At("VOL/d")).err, EINVAL);
  EXPECT_EQ(Tell("mount NOPE dir=" + view_).err, ENOENT);
  EXPECT_EQ(Tell("mount VOL").err, EINVAL);
}

TEST_F(ViewsTest, D3_AnImageThatADriveHasIsNotMounted) {
  ImageMountOptions options;
  options.image = library() + "/media/V00001.img";
  options.mount_point = view_;
  EXPECT_EQ(ReadFileOrDie(At("VOL/d/file")), big_);  // it is in a drive
  const Status busy = MountImage(options);
  EXPECT_THAT(busy, HasErrc(Errc::kBusy));
  EXPECT_THAT(busy, MessageHas(options.image));
  Stop();
  ASSERT_OK(MountImage(options));
  ExpectTheTree();
  ASSERT_EQ(umount2(view_.c_str(), 0), 0);
}

TEST_F(ViewsTest, ARefusedMountSaysHowToDoWithoutAllowOther) {
  Stop();
  ImageMountOptions options;
  options.image = library() + "/media/V00001.img";
  options.mount_point = view_;
  ASSERT_EQ(chmod(library().c_str(), 0755), 0);
  ASSERT_EQ(chmod((library() + "/media").c_str(), 0755), 0);
  ASSERT_EQ(chmod(options.image.c_str(), 0644), 0);
  const auto mentions = [&options](bool allow_other) {
    options.allow_other = allow_other;
    return InChild([&options] {
      // No helper may mount for it, whatever /etc/fuse.conf says.
      if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0) return 255;
      if (setgid(1234) != 0 || setuid(1234) != 0) return 254;
      const Status status = MountImage(options);
      if (status.ok()) return 253;
      if (!status.error().message.starts_with("FUSE refuses")) return 252;
      return status.error().message.find("--only-me") != std::string::npos ? 1
                                                                           : 0;
    });
  };
  EXPECT_EQ(mentions(true), 1);
  EXPECT_EQ(mentions(false), 0);
}

TEST_F(ViewsTest, D3_AnImageAloneIsMounted) {
  Stop();
  ImageMountOptions options;
  options.image = library() + "/media/V00001.img";
  options.mount_point = view_;
  ASSERT_OK(MountImage(options));
  ExpectTheTree();
  EXPECT_THAT(MountImage(options), HasErrc(Errc::kBusy));
  ASSERT_EQ(umount2(view_.c_str(), 0), 0);
  options.image = library() + "/media/V00002.img";
  EXPECT_FALSE(MountImage(options).ok());  // blank
  options.image = dir_.Sub("none");
  EXPECT_THAT(MountImage(options), HasErrc(Errc::kNotFound));
}

TEST_F(ViewsTest, AnImageWithAPendingRecordIsReplayedInMemory) {
  // Committed, but the daemon dies before anything is closed.
  const int fd =
      open(At("VOL/late").c_str(), O_CREAT | O_WRONLY | O_CLOEXEC, 0644);
  ASSERT_GE(fd, 0);
  ASSERT_EQ(write(fd, "late", 4), 4);
  ASSERT_EQ(fsync(fd), 0);
  close(fd);
  Kill();
  const std::string before = ReadFileOrDie(library() + "/media/V00001.img");
  ImageMountOptions options;
  options.image = library() + "/media/V00001.img";
  options.mount_point = view_;
  ASSERT_OK(MountImage(options));
  EXPECT_EQ(ReadFileOrDie(view_ + "/late"), "late");
  EXPECT_EQ(ReadFileOrDie(view_ + "/d/file"), big_);
  ASSERT_EQ(umount2(view_.c_str(), 0), 0);
  EXPECT_TRUE(before == ReadFileOrDie(library() + "/media/V00001.img"))
      << "the image was written";
  ASSERT_OK(Start());
}

}  // namespace
}  // namespace vellum
