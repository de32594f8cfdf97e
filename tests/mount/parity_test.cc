// SPDX-License-Identifier: Apache-2.0
// The same calls on a volume and on a native directory must end in the same
// errno.
#include <fcntl.h>
#include <linux/falloc.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/xattr.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <string>
#include <vector>

#include "tests/mount/mount_fixture.h"

namespace vellum {
namespace {

struct Step {
  const char* name;
  // `r`: the directory. Answers < 0 with errno for failure.
  std::function<long(const std::string& r)> run;
};

int OpenClose(const std::string& path, int flags, mode_t mode = 0644) {
  const int fd = open(path.c_str(), flags | O_CLOEXEC, mode);
  if (fd >= 0) close(fd);
  return fd;
}

// Runs `body` on an open file.
long WithFile(const std::string& path, int flags,
              const std::function<long(int)>& body) {
  const int fd = open(path.c_str(), flags | O_CLOEXEC, 0644);
  if (fd < 0) return fd;
  const long result = body(fd);
  const int err = errno;
  close(fd);
  errno = err;
  return result;
}

long Rename2(const std::string& from, const std::string& to, unsigned flags) {
  return renameat2(AT_FDCWD, from.c_str(), AT_FDCWD, to.c_str(), flags);
}

// In this order: later steps find what earlier ones made.
std::vector<Step> Steps() {
  const std::string long_name(256, 'n');
  const std::string max_name(255, 'n');
  return {
      {"create",
       [](auto& r) { return OpenClose(r + "/f", O_CREAT | O_WRONLY); }},
      {"create exclusive again",
       [](auto& r) {
         return OpenClose(r + "/f", O_CREAT | O_EXCL | O_WRONLY);
       }},
      {"open missing",
       [](auto& r) { return OpenClose(r + "/none", O_RDONLY); }},
      {"open below a file",
       [](auto& r) { return OpenClose(r + "/f/x", O_RDONLY); }},
      {"mkdir", [](auto& r) { return mkdir((r + "/d").c_str(), 0755); }},
      {"mkdir again", [](auto& r) { return mkdir((r + "/d").c_str(), 0755); }},
      {"mkdir over a file",
       [](auto& r) { return mkdir((r + "/f").c_str(), 0755); }},
      {"mkdir in nothing",
       [](auto& r) { return mkdir((r + "/none/d").c_str(), 0755); }},
      {"open directory for writing",
       [](auto& r) { return OpenClose(r + "/d", O_WRONLY); }},
      {"open file as directory",
       [](auto& r) { return OpenClose(r + "/f", O_RDONLY | O_DIRECTORY); }},
      {"name of 255 bytes",
       [=](auto& r) {
         return OpenClose(r + "/" + max_name, O_CREAT | O_WRONLY);
       }},
      {"name of 256 bytes",
       [=](auto& r) {
         return OpenClose(r + "/" + long_name, O_CREAT | O_WRONLY);
       }},
      {"stat of 256 bytes",
       [=](auto& r) { return access((r + "/" + long_name).c_str(), F_OK); }},
      {"rename to 256 bytes",
       [=](auto& r) {
         return std::rename((r + "/" + max_name).c_str(),
                            (r + "/" + long_name).c_str());
       }},
      {"rmdir of a file", [](auto& r) { return rmdir((r + "/f").c_str()); }},
      {"unlink of a directory",
       [](auto& r) { return unlink((r + "/d").c_str()); }},
      {"file in the directory",
       [](auto& r) { return OpenClose(r + "/d/f", O_CREAT | O_WRONLY); }},
      {"rmdir of a full directory",
       [](auto& r) { return rmdir((r + "/d").c_str()); }},
      {"rmdir of dot", [](auto& r) { return rmdir((r + "/d/.").c_str()); }},
      {"rmdir of nothing",
       [](auto& r) { return rmdir((r + "/none").c_str()); }},
      {"unlink of nothing",
       [](auto& r) { return unlink((r + "/none").c_str()); }},
      {"link",
       [](auto& r) { return link((r + "/f").c_str(), (r + "/l").c_str()); }},
      {"link onto a name",
       [](auto& r) { return link((r + "/f").c_str(), (r + "/d").c_str()); }},
      {"link of a directory",
       [](auto& r) { return link((r + "/d").c_str(), (r + "/dl").c_str()); }},
      {"link of nothing",
       [](auto& r) { return link((r + "/none").c_str(), (r + "/x").c_str()); }},
      {"symlink", [](auto& r) { return symlink("f", (r + "/s").c_str()); }},
      {"symlink again",
       [](auto& r) { return symlink("f", (r + "/s").c_str()); }},
      {"symlink loop",
       [](auto& r) { return symlink("loop", (r + "/loop").c_str()); }},
      {"open a loop", [](auto& r) { return OpenClose(r + "/loop", O_RDONLY); }},
      {"open a symlink itself",
       [](auto& r) { return OpenClose(r + "/s", O_RDONLY | O_NOFOLLOW); }},
      {"readlink of a file",
       [](auto& r) {
         char buffer[8];
         return readlink((r + "/f").c_str(), buffer, sizeof(buffer));
       }},
      {"mkfifo", [](auto& r) { return mkfifo((r + "/p").c_str(), 0644); }},
      {"fifo without a reader",
       [](auto& r) { return OpenClose(r + "/p", O_WRONLY | O_NONBLOCK); }},
      {"mknod of a socket",
       [](auto& r) {
         return mknod((r + "/sock").c_str(), S_IFSOCK | 0644, 0);
       }},
      {"rename file to directory",
       [](auto& r) {
         return std::rename((r + "/f").c_str(), (r + "/d").c_str());
       }},
      {"rename directory to file",
       [](auto& r) {
         return std::rename((r + "/d").c_str(), (r + "/f").c_str());
       }},
      {"rename into itself",
       [](auto& r) {
         return std::rename((r + "/d").c_str(), (r + "/d/inside").c_str());
       }},
      {"second directory",
       [](auto& r) { return mkdir((r + "/e").c_str(), 0755); }},
      {"rename over a full directory",
       [](auto& r) {
         return std::rename((r + "/e").c_str(), (r + "/d").c_str());
       }},
      {"rename over an empty directory",
       [](auto& r) {
         return std::rename((r + "/d").c_str(), (r + "/e").c_str());
       }},
      {"rename no replace onto a name",
       [](auto& r) { return Rename2(r + "/f", r + "/l", RENAME_NOREPLACE); }},
      {"rename no replace",
       [](auto& r) { return Rename2(r + "/f", r + "/g", RENAME_NOREPLACE); }},
      {"exchange",
       [](auto& r) { return Rename2(r + "/g", r + "/e", RENAME_EXCHANGE); }},
      {"exchange with nothing",
       [](auto& r) { return Rename2(r + "/g", r + "/none", RENAME_EXCHANGE); }},
      {"g is a directory now",
       [](auto& r) { return OpenClose(r + "/g", O_RDONLY | O_DIRECTORY); }},
      {"rename to its own hard link",
       [](auto& r) {
         return std::rename((r + "/e").c_str(), (r + "/l").c_str());
       }},
      {"rename nothing",
       [](auto& r) {
         return std::rename((r + "/none").c_str(), (r + "/x").c_str());
       }},
      {"truncate a directory",
       [](auto& r) { return truncate((r + "/g").c_str(), 0); }},
      {"truncate to less than nothing",
       [](auto& r) { return truncate((r + "/l").c_str(), -1); }},
      {"truncate",
       [](auto& r) { return truncate((r + "/l").c_str(), 100000); }},
      {"read of a write-only file",
       [](auto& r) {
         return WithFile(r + "/l", O_WRONLY, [](int fd) {
           char c;
           return static_cast<long>(read(fd, &c, 1));
         });
       }},
      {"write to a read-only file",
       [](auto& r) {
         return WithFile(r + "/l", O_RDONLY, [](int fd) {
           return static_cast<long>(write(fd, "x", 1));
         });
       }},
      {"seek data in a hole",
       [](auto& r) {
         return WithFile(r + "/l", O_RDONLY, [](int fd) {
           return static_cast<long>(lseek(fd, 200000, SEEK_DATA));
         });
       }},
      {"seek hole behind the end",
       [](auto& r) {
         return WithFile(r + "/l", O_RDONLY, [](int fd) {
           return static_cast<long>(lseek(fd, 100001, SEEK_HOLE));
         });
       }},
      {"allocate",
       [](auto& r) {
         return WithFile(r + "/l", O_RDWR, [](int fd) {
           return static_cast<long>(fallocate(fd, 0, 0, 50000));
         });
       }},
      {"allocate nothing",
       [](auto& r) {
         return WithFile(r + "/l", O_RDWR, [](int fd) {
           return static_cast<long>(fallocate(fd, 0, 0, 0));
         });
       }},
      {"punch a hole",
       [](auto& r) {
         return WithFile(r + "/l", O_RDWR, [](int fd) {
           return static_cast<long>(fallocate(
               fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 4096, 8192));
         });
       }},
      {"fsync of a file",
       [](auto& r) {
         return WithFile(r + "/l", O_RDWR,
                         [](int fd) { return static_cast<long>(fsync(fd)); });
       }},
      {"fsync of a directory",
       [](auto& r) {
         return WithFile(r + "/g", O_RDONLY | O_DIRECTORY,
                         [](int fd) { return static_cast<long>(fsync(fd)); });
       }},
      {"fsync of a read-only file",
       [](auto& r) {
         return WithFile(r + "/l", O_RDONLY, [](int fd) {
           return static_cast<long>(fdatasync(fd));
         });
       }},
      {"lock",
       [](auto& r) {
         return WithFile(r + "/l", O_RDWR, [&](int fd) {
           if (flock(fd, LOCK_EX) != 0) return -1L;
           return WithFile(r + "/l", O_RDWR, [](int other) {
             return static_cast<long>(flock(other, LOCK_EX | LOCK_NB));
           });
         });
       }},
      {"setxattr",
       [](auto& r) {
         return setxattr((r + "/l").c_str(), "user.a", "value", 5,
                         XATTR_CREATE);
       }},
      {"setxattr create again",
       [](auto& r) {
         return setxattr((r + "/l").c_str(), "user.a", "value", 5,
                         XATTR_CREATE);
       }},
      {"setxattr replace nothing",
       [](auto& r) {
         return setxattr((r + "/l").c_str(), "user.b", "v", 1, XATTR_REPLACE);
       }},
      {"getxattr into too little",
       [](auto& r) {
         char c;
         return getxattr((r + "/l").c_str(), "user.a", &c, 1);
       }},
      {"getxattr of nothing",
       [](auto& r) {
         char c;
         return getxattr((r + "/l").c_str(), "user.none", &c, 1);
       }},
      {"removexattr",
       [](auto& r) { return removexattr((r + "/l").c_str(), "user.a"); }},
      {"removexattr again",
       [](auto& r) { return removexattr((r + "/l").c_str(), "user.a"); }},
      {"user xattr of a fifo",
       [](auto& r) {
         return setxattr((r + "/p").c_str(), "user.a", "v", 1, 0);
       }},
      {"chmod of nothing",
       [](auto& r) { return chmod((r + "/none").c_str(), 0); }},
      {"open without permission",
       [](auto& r) {
         if (chmod((r + "/l").c_str(), 0600) != 0) return -1L;
         errno = InChild([&] {
           if (setgid(1234) != 0 || setuid(1234) != 0) return 255;
           return ErrnoAfter(OpenClose(r + "/l", O_RDONLY));
         });
         return errno == 0 ? 0L : -1L;
       }},
      {"create without permission",
       [](auto& r) {
         errno = InChild([&] {
           if (setgid(1234) != 0 || setuid(1234) != 0) return 255;
           return ErrnoAfter(OpenClose(r + "/mine", O_CREAT | O_WRONLY));
         });
         return errno == 0 ? 0L : -1L;
       }},
      {"sticky directory",
       [](auto& r) {
         if (mkdir((r + "/t").c_str(), 0755) != 0 ||
             chmod((r + "/t").c_str(), 01777) != 0 ||
             OpenClose(r + "/t/roots", O_CREAT | O_WRONLY) < 0) {
           return -1L;
         }
         errno = InChild([&] {
           if (setgid(1234) != 0 || setuid(1234) != 0) return 255;
           return ErrnoAfter(unlink((r + "/t/roots").c_str()));
         });
         return errno == 0 ? 0L : -1L;
       }},
  };
}

class ParityTest : public MountFixture {};

TEST_F(ParityTest, D1_ErrnosAreThoseOfANativeDirectory) {
  Run("format V00001 name=VOL");
  const std::string volume = At("VOL/parity");
  const std::string native = NewDirectory("native");
  ASSERT_EQ(mkdir(volume.c_str(), 0755), 0);
  for (const Step& step : Steps()) {
    const int expected = ErrnoAfter(step.run(native));
    const int got = ErrnoAfter(step.run(volume));
    EXPECT_EQ(got, expected) << step.name;
  }
}

TEST_F(ParityTest, WhatVellumRefusesByDesign) {
  Run("format V00001 name=ONE");
  Run("format V00002 name=TWO");
  WriteFileOrDie(At("ONE/f"), "x");
  EXPECT_EQ(ErrnoAfter(std::rename(At("ONE/f").c_str(), At("TWO/f").c_str())),
            EXDEV);
  EXPECT_EQ(ErrnoAfter(link(At("ONE/f").c_str(), At("TWO/f").c_str())), EXDEV);
  EXPECT_EQ(ErrnoAfter(open(At("ONE").c_str(), O_TMPFILE | O_RDWR, 0644)),
            EOPNOTSUPP);
}

TEST_F(ParityTest, AttributesThatOtherCallsChange) {
  Run("format V00001 name=VOL");
  struct stat before {
  }, after{};
  const std::string f = At("VOL/f"), g = At("VOL/g"), d = At("VOL/d");
  WriteFileOrDie(f, "x");
  // Each is cached by the kernel, and changed by a call on another name.
  ASSERT_EQ(stat(f.c_str(), &before), 0);
  ASSERT_EQ(link(f.c_str(), g.c_str()), 0);
  ASSERT_EQ(stat(f.c_str(), &after), 0);
  EXPECT_EQ(after.st_nlink, 2u);
  EXPECT_EQ(after.st_ino, before.st_ino);
  ASSERT_EQ(unlink(g.c_str()), 0);
  ASSERT_EQ(stat(f.c_str(), &after), 0);
  EXPECT_EQ(after.st_nlink, 1u);
  ASSERT_EQ(stat(At("VOL").c_str(), &before), 0);
  ASSERT_EQ(mkdir(d.c_str(), 0755), 0);
  ASSERT_EQ(stat(At("VOL").c_str(), &after), 0);
  EXPECT_EQ(after.st_nlink, before.st_nlink + 1);
  EXPECT_GT(after.st_mtim.tv_sec * 1000000000 + after.st_mtim.tv_nsec,
            before.st_mtim.tv_sec * 1000000000 + before.st_mtim.tv_nsec);
  ASSERT_EQ(rmdir(d.c_str()), 0);
  ASSERT_EQ(stat(At("VOL").c_str(), &after), 0);
  EXPECT_EQ(after.st_nlink, before.st_nlink);
  // A name that replaces another: the replaced file, still open, has no name.
  WriteFileOrDie(g, "replaced");
  const int fd = open(g.c_str(), O_RDONLY | O_CLOEXEC);
  ASSERT_GE(fd, 0);
  ASSERT_EQ(std::rename(f.c_str(), g.c_str()), 0);
  ASSERT_EQ(fstat(fd, &after), 0);
  EXPECT_EQ(after.st_nlink, 0u);
  char text[16] = {};
  EXPECT_EQ(read(fd, text, sizeof(text)), 8);
  EXPECT_STREQ(text, "replaced");
  close(fd);
}

TEST_F(ParityTest, D1_ModesOwnersAndTimes) {
  Run("format V00001 name=VOL");
  const std::string f = At("VOL/f");
  WriteFileOrDie(f, "x");
  struct stat st {};
  ASSERT_EQ(chown(f.c_str(), 1234, 5678), 0);
  ASSERT_EQ(chmod(f.c_str(), 06755), 0);
  ASSERT_EQ(stat(f.c_str(), &st), 0);
  EXPECT_EQ(st.st_mode, static_cast<mode_t>(S_IFREG | 06755));
  EXPECT_EQ(st.st_uid, 1234u);
  EXPECT_EQ(st.st_gid, 5678u);
  // A write by someone else than root clears the set-id bits, truncation too.
  for (const bool by_open : {false, true}) {
    ASSERT_EQ(chmod(f.c_str(), 06777), 0);
    EXPECT_EQ(
        InChild([&] {
          if (setgid(1) != 0 || setuid(1) != 0) return 255;
          const int fd = open(f.c_str(), O_WRONLY | (by_open ? O_TRUNC : 0));
          return fd < 0 ? errno : ErrnoAfter(by_open ? 0 : write(fd, "y", 1));
        }),
        0);
    ASSERT_EQ(stat(f.c_str(), &st), 0);
    EXPECT_EQ(st.st_mode & 07777, 0777u) << by_open;
  }
  ASSERT_EQ(chmod(f.c_str(), 04755), 0);
  ASSERT_EQ(chown(f.c_str(), 4321, 5678), 0);
  ASSERT_EQ(stat(f.c_str(), &st), 0);
  EXPECT_EQ(st.st_mode & 07777, 0755u);
  const timespec times[2] = {{1111111111, 111111111}, {-1000, 999999999}};
  ASSERT_EQ(utimensat(AT_FDCWD, f.c_str(), times, 0), 0);
  ASSERT_EQ(stat(f.c_str(), &st), 0);
  EXPECT_EQ(st.st_atim.tv_nsec, 111111111);
  EXPECT_EQ(st.st_mtim.tv_sec, -1000);
  EXPECT_EQ(st.st_mtim.tv_nsec, 999999999);
  // Groups and the bit are handed on.
  ASSERT_EQ(mkdir(At("VOL/d").c_str(), 0755), 0);
  ASSERT_EQ(chown(At("VOL/d").c_str(), 0, 5678), 0);
  ASSERT_EQ(chmod(At("VOL/d").c_str(), 02755), 0);
  WriteFileOrDie(At("VOL/d/f"), "x");
  ASSERT_EQ(mkdir(At("VOL/d/sub").c_str(), 0755), 0);
  ASSERT_EQ(stat(At("VOL/d/f").c_str(), &st), 0);
  EXPECT_EQ(st.st_gid, 5678u);
  ASSERT_EQ(stat(At("VOL/d/sub").c_str(), &st), 0);
  EXPECT_EQ(st.st_gid, 5678u);
  EXPECT_EQ(st.st_mode & 07777, 02755u);
}

TEST_F(ParityTest, SpaceOfAVolume) {
  Run("format V00001 name=VOL threshold=50");
  struct statvfs before {
  }, after{};
  ASSERT_EQ(statvfs(At("VOL").c_str(), &before), 0);
  EXPECT_EQ(before.f_namemax, 255u);
  EXPECT_EQ(before.f_frsize, 2048u);
  EXPECT_LE(before.f_bavail, before.f_blocks / 2);
  WriteFileOrDie(At("VOL/f"), std::string(4 << 20, 'x'));
  ASSERT_EQ(statvfs(At("VOL/f").c_str(), &after), 0);
  EXPECT_LE(after.f_bavail + 2048, before.f_bavail);
  // Filled up: ENOSPC from the write, and the volume stays usable.
  const int fd =
      open(At("VOL/big").c_str(), O_CREAT | O_WRONLY | O_CLOEXEC, 0644);
  ASSERT_GE(fd, 0);
  const std::string block(1 << 20, 'y');
  int err = 0;
  for (int i = 0; i < 64 && err == 0; ++i) {
    err = ErrnoAfter(write(fd, block.data(), block.size()));
  }
  EXPECT_EQ(err, ENOSPC);
  close(fd);
  EXPECT_EQ(unlink(At("VOL/big").c_str()), 0);
  Run("sync VOL");
  EXPECT_EQ(Run("fsck VOL data=yes")["clean"], true);
}

}  // namespace
}  // namespace vellum
