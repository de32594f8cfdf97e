// SPDX-License-Identifier: Apache-2.0
#include "tests/mount/conformance_cases.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>

#include "tests/mount/mount_fixture.h"

namespace vellum {
namespace {

void MakeFile(const std::string& path, mode_t mode, uid_t uid) {
  const int fd = open(path.c_str(), O_CREAT | O_WRONLY | O_CLOEXEC, 0600);
  ASSERT_GE(fd, 0) << path << errno;
  ASSERT_EQ(write(fd, "content", 7), 7);
  close(fd);
  ASSERT_EQ(chown(path.c_str(), uid, kGroup), 0);
  ASSERT_EQ(chmod(path.c_str(), mode), 0);
}
void MakeDir(const std::string& path, mode_t mode, uid_t uid) {
  ASSERT_EQ(mkdir(path.c_str(), 0700), 0) << path << errno;
  ASSERT_EQ(chown(path.c_str(), uid, kGroup), 0);
  ASSERT_EQ(chmod(path.c_str(), mode), 0);
}
void MakeLink(const std::string& path, const char* target) {
  ASSERT_EQ(symlink(target, path.c_str()), 0);
  ASSERT_EQ(lchown(path.c_str(), kOwner, kGroup), 0);
}

const Place kPlaces[] = {
    {"a file", "x", [](auto& r) { MakeFile(r + "/x", 0644, kOwner); }},
    {"a file of root", "x", [](auto& r) { MakeFile(r + "/x", 0644, 0); }},
    {"a file that nobody may use", "x",
     [](auto& r) { MakeFile(r + "/x", 0, kOwner); }},
    {"a file that everybody may use", "x",
     [](auto& r) { MakeFile(r + "/x", 0777, kOwner); }},
    {"a file with set-id bits", "x",
     [](auto& r) { MakeFile(r + "/x", 06777, kOwner); }},
    // Who is in the group leaves this set-group-id bit.
    {"a file with a lock bit", "x",
     [](auto& r) { MakeFile(r + "/x", 02666, kOwner); }},
    {"a sticky file", "x", [](auto& r) { MakeFile(r + "/x", 01666, kOwner); }},
    {"one of two links", "x",
     [](auto& r) {
       MakeFile(r + "/x", 0644, kOwner);
       ASSERT_EQ(link((r + "/x").c_str(), (r + "/y").c_str()), 0);
     }},
    {"a link of the source", "x",
     [](auto& r) {
       ASSERT_EQ(link((r + "/source").c_str(), (r + "/x").c_str()), 0);
     }},
    {"a directory", "x", [](auto& r) { MakeDir(r + "/x", 0755, kOwner); }},
    {"a directory of root", "x", [](auto& r) { MakeDir(r + "/x", 0755, 0); }},
    {"a set-group-id directory", "x",
     [](auto& r) { MakeDir(r + "/x", 02777, kOwner); }},
    {"a full directory", "x",
     [](auto& r) {
       MakeDir(r + "/x", 0755, kOwner);
       MakeFile(r + "/x/y", 0644, kOwner);
     }},
    {"a fifo", "x",
     [](auto& r) {
       ASSERT_EQ(mkfifo((r + "/x").c_str(), 0644), 0);
       ASSERT_EQ(chown((r + "/x").c_str(), kOwner, kGroup), 0);
     }},
    {"a socket", "x",
     [](auto& r) {
       ASSERT_EQ(mknod((r + "/x").c_str(), S_IFSOCK | 0644, 0), 0);
       ASSERT_EQ(chown((r + "/x").c_str(), kOwner, kGroup), 0);
     }},
    {"a symlink to a file", "x",
     [](auto& r) {
       MakeFile(r + "/f", 0644, kOwner);
       MakeLink(r + "/x", "f");
     }},
    {"a symlink to a directory", "x",
     [](auto& r) {
       MakeDir(r + "/d", 0755, kOwner);
       MakeLink(r + "/x", "d");
     }},
    {"a symlink to nothing", "x", [](auto& r) { MakeLink(r + "/x", "none"); }},
    {"a symlink to itself", "x", [](auto& r) { MakeLink(r + "/x", "x"); }},
    {"below a symlink to itself", "s/x",
     [](auto& r) { MakeLink(r + "/s", "s"); }},
    {"nothing", "x", [](auto&) {}},
    {"below nothing", "none/x", [](auto&) {}},
    {"below a file", "f/x", [](auto& r) { MakeFile(r + "/f", 0644, kOwner); }},
    {"below a fifo", "p/x",
     [](auto& r) { ASSERT_EQ(mkfifo((r + "/p").c_str(), 0644), 0); }},
    {"in a directory without search", "d/x",
     [](auto& r) {
       MakeDir(r + "/d", 0600, kOwner);
       MakeFile(r + "/d/x", 0644, kOwner);
     }},
    {"nothing in a directory without search", "d/x",
     [](auto& r) { MakeDir(r + "/d", 0600, kOwner); }},
    {"a file in a directory without write", "d/x",
     [](auto& r) {
       MakeDir(r + "/d", 0555, kOwner);
       MakeFile(r + "/d/x", 0644, kOwner);
     }},
    {"nothing in a directory without write", "d/x",
     [](auto& r) { MakeDir(r + "/d", 0555, kOwner); }},
    {"a directory in a directory of root", "d/x",
     [](auto& r) {
       MakeDir(r + "/d", 0755, 0);
       MakeDir(r + "/d/x", 0755, kOwner);
     }},
    {"a file of root in a sticky directory of root", "d/x",
     [](auto& r) {
       MakeDir(r + "/d", 01777, 0);
       MakeFile(r + "/d/x", 0666, 0);
     }},
    {"a file of the owner in a sticky directory of root", "d/x",
     [](auto& r) {
       MakeDir(r + "/d", 01777, 0);
       MakeFile(r + "/d/x", 0666, kOwner);
     }},
    {"a file of root in a sticky directory of the owner", "d/x",
     [](auto& r) {
       MakeDir(r + "/d", 01777, kOwner);
       MakeFile(r + "/d/x", 0666, 0);
     }},
    {"a directory of root in a sticky directory of root", "d/x",
     [](auto& r) {
       MakeDir(r + "/d", 01777, 0);
       MakeDir(r + "/d/x", 0777, 0);
     }},
    {"nothing in a set-group-id directory", "d/x",
     [](auto& r) { MakeDir(r + "/d", 02777, kOwner); }},
    {"a file with a slash", "x/",
     [](auto& r) { MakeFile(r + "/x", 0644, kOwner); }},
    {"a directory with a slash", "x/",
     [](auto& r) { MakeDir(r + "/x", 0755, kOwner); }},
    {"nothing with a slash", "x/", [](auto&) {}},
    {"dot", "x/.", [](auto& r) { MakeDir(r + "/x", 0755, kOwner); }},
    {"dot dot", "x/..", [](auto& r) { MakeDir(r + "/x", 0755, kOwner); }},
};

long OpenIt(const char* path, int flags) {
  const int fd = open(path, flags | O_NONBLOCK | O_CLOEXEC, 0666);
  if (fd < 0) return fd;
  close(fd);
  return 0;
}
long Utimens(const char* path, timespec a, timespec m, int flags = 0) {
  const timespec times[2] = {a, m};
  return utimensat(AT_FDCWD, path, times, flags);
}
long WriteTo(const char* path, int flags) {
  const int fd = open(path, flags | O_WRONLY | O_NONBLOCK | O_CLOEXEC);
  if (fd < 0) return fd;
  const ssize_t n = write(fd, "x", 1);
  const int err = errno;
  close(fd);
  errno = err;
  return n;
}

const Call kCalls[] = {
    {"open", [](auto p, auto&) { return OpenIt(p, O_RDONLY); }},
    {"open to write", [](auto p, auto&) { return OpenIt(p, O_WRONLY); }},
    {"open truncating",
     [](auto p, auto&) { return OpenIt(p, O_RDWR | O_TRUNC); }},
    {"open creating",
     [](auto p, auto&) { return OpenIt(p, O_CREAT | O_RDWR); }},
    {"open creating anew",
     [](auto p, auto&) { return OpenIt(p, O_CREAT | O_EXCL | O_WRONLY); }},
    {"open a directory",
     [](auto p, auto&) { return OpenIt(p, O_RDONLY | O_DIRECTORY); }},
    {"open no symlink",
     [](auto p, auto&) { return OpenIt(p, O_RDONLY | O_NOFOLLOW); }},
    {"write", [](auto p, auto&) { return WriteTo(p, 0); }},
    {"append", [](auto p, auto&) { return WriteTo(p, O_APPEND); }},
    {"chmod 0640", [](auto p, auto&) { return long{chmod(p, 0640)}; }},
    {"chmod 07777", [](auto p, auto&) { return long{chmod(p, 07777)}; }},
    {"chmod 02755", [](auto p, auto&) { return long{chmod(p, 02755)}; }},
    {"chown to the stranger",
     [](auto p, auto&) { return long{chown(p, kStranger, -1)}; }},
    {"chown of the group",
     [](auto p, auto&) { return long{chown(p, -1, kGroup)}; }},
    {"chown to another group",
     [](auto p, auto&) { return long{chown(p, kOwner, 99)}; }},
    {"chown of nothing", [](auto p, auto&) { return long{chown(p, -1, -1)}; }},
    {"lchown", [](auto p, auto&) { return long{lchown(p, -1, 99)}; }},
    {"link of it",
     [](auto p, auto& r) { return long{link(p, (r + "/new").c_str())}; }},
    {"link to it",
     [](auto p, auto& r) { return long{link((r + "/source").c_str(), p)}; }},
    {"mkdir", [](auto p, auto&) { return long{mkdir(p, 0777)}; }},
    {"mkfifo", [](auto p, auto&) { return long{mkfifo(p, 0666)}; }},
    {"mknod of a file",
     [](auto p, auto&) { return long{mknod(p, S_IFREG | 0666, 0)}; }},
    {"mknod of a device",
     [](auto p, auto&) { return long{mknod(p, S_IFCHR | 0666, 0x103)}; }},
    {"mknod of a socket",
     [](auto p, auto&) { return long{mknod(p, S_IFSOCK | 0666, 0)}; }},
    {"rename of it",
     [](auto p, auto& r) { return long{rename(p, (r + "/new").c_str())}; }},
    {"rename of a file to it",
     [](auto p, auto& r) { return long{rename((r + "/source").c_str(), p)}; }},
    {"rename of a directory to it",
     [](auto p, auto& r) { return long{rename((r + "/dir").c_str(), p)}; }},
    {"rename onto a file",
     [](auto p, auto& r) { return long{rename(p, (r + "/source").c_str())}; }},
    {"rename onto a directory",
     [](auto p, auto& r) { return long{rename(p, (r + "/dir").c_str())}; }},
    {"rename into a directory",
     [](auto p, auto& r) { return long{rename(p, (r + "/dir/n").c_str())}; }},
    {"rename into itself",
     [](auto p, auto&) {
       return long{rename(p, (std::string(p) + "/n").c_str())};
     }},
    {"exchange",
     [](auto p, auto& r) {
       return long{renameat2(AT_FDCWD, p, AT_FDCWD, (r + "/dir").c_str(),
                             RENAME_EXCHANGE)};
     }},
    {"rmdir", [](auto p, auto&) { return long{rmdir(p)}; }},
    {"unlink", [](auto p, auto&) { return long{unlink(p)}; }},
    {"symlink", [](auto p, auto&) { return long{symlink("target", p)}; }},
    {"readlink",
     [](auto p, auto&) {
       char text[8];
       return static_cast<long>(readlink(p, text, sizeof(text)));
     }},
    {"truncate", [](auto p, auto&) { return long{truncate(p, 3)}; }},
    {"truncate to more", [](auto p, auto&) { return long{truncate(p, 9999)}; }},
    {"truncate to less than nothing",
     [](auto p, auto&) { return long{truncate(p, -1)}; }},
    {"utimensat to now",
     [](auto p, auto&) { return long{utimensat(AT_FDCWD, p, nullptr, 0)}; }},
    {"utimensat",
     [](auto p, auto&) {
       return Utimens(p, {77, 5}, {88, 999999999});
     }},
    {"utimensat of a symlink",
     [](auto p, auto&) {
       return Utimens(p, {77, 5}, {88, 6}, AT_SYMLINK_NOFOLLOW);
     }},
    {"utimensat of the access time",
     [](auto p, auto&) {
       return Utimens(p, {77, 5}, {0, UTIME_OMIT});
     }},
    {"utimensat of both to now",
     [](auto p, auto&) {
       return Utimens(p, {0, UTIME_NOW}, {0, UTIME_NOW});
     }},
    {"utimensat of nothing",
     [](auto p, auto&) {
       return Utimens(p, {0, UTIME_OMIT}, {0, UTIME_OMIT});
     }},
    {"utimensat of no time",
     [](auto p, auto&) {
       return Utimens(p, {77, 1000000000}, {88, 6});
     }},
    {"stat",
     [](auto p, auto&) {
       struct stat st {};
       return long{stat(p, &st)};
     }},
    {"access",
     [](auto p, auto&) {
       return long{faccessat(AT_FDCWD, p, R_OK | W_OK, AT_EACCESS)};
     }},
    {"access to run",
     [](auto p, auto&) {
       return long{faccessat(AT_FDCWD, p, X_OK, AT_EACCESS)};
     }},
    {"setxattr",
     [](auto p, auto&) { return long{setxattr(p, "user.a", "b", 1, 0)}; }},
    {"chdir",
     [](auto p, auto&) {
       const int err = ErrnoAfter(chdir(p));
       if (chdir("/") != 0) return -1L;
       errno = err;
       return err == 0 ? 0L : -1L;
     }},
};

}  // namespace

std::span<const Place> Places() { return kPlaces; }
std::span<const Call> Calls() { return kCalls; }

void Prepare(const std::string& r, const Place& place) {
  MakeDir(r, 0777, kOwner);
  MakeFile(r + "/source", 0644, kOwner);
  MakeDir(r + "/dir", 0777, kOwner);
  place.make(r);
}

}  // namespace vellum
