// SPDX-License-Identifier: Apache-2.0
// What POSIX says of names, owners, modes and times: every call on every kind
// of path, by every kind of user, on a volume and on a native directory. The
// errno, and the tree that is left, must be the same.
#include <dirent.h>
#include <fcntl.h>
#include <grp.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <time.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <cstring>
#include <filesystem>
#include <set>
#include <string>
#include <system_error>
#include <utility>
#include <vector>

#include "tests/mount/mount_fixture.h"

namespace vellum {
namespace {

constexpr uid_t kOwner = 1234;  // owns most of what a case has
constexpr uid_t kStranger = 5678;
constexpr gid_t kGroup = 4321;  // of what a case has
constexpr time_t kPast = 1000000000;

// ---- users

struct User {
  const char* name;
  uid_t uid;
  gid_t gid;
  bool in_group;  // has kGroup as one more group
};
constexpr User kUsers[] = {{"root", 0, 0, false},
                           {"owner", kOwner, kGroup, false},
                           {"owner of another group", kOwner, 99, false},
                           {"stranger", kStranger, 99, false},
                           {"group member", kStranger, 99, true}};

// Acts as another user until it is destroyed.
class As {
 public:
  explicit As(const User& user) {
    const gid_t groups[] = {kGroup};
    failed_ = setgroups(user.in_group ? 1 : 0, groups) != 0 ||
              setegid(user.gid) != 0 || seteuid(user.uid) != 0;
  }
  ~As() {
    if (seteuid(0) != 0 || setegid(0) != 0 || setgroups(0, nullptr) != 0) {
      std::abort();
    }
  }
  bool failed() const { return failed_; }

 private:
  bool failed_ = false;
};

// ---- paths

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

struct Place {
  const char* name;
  const char* path;  // below the case's directory
  void (*make)(const std::string& r);
  bool group_only = false;  // not for users that are not in kGroup
};

const Place kPlaces[] = {
    {"a file", "x", [](auto& r) { MakeFile(r + "/x", 0644, kOwner); }},
    {"a file of root", "x", [](auto& r) { MakeFile(r + "/x", 0644, 0); }},
    {"a file that nobody may use", "x",
     [](auto& r) { MakeFile(r + "/x", 0, kOwner); }},
    {"a file that everybody may use", "x",
     [](auto& r) { MakeFile(r + "/x", 0777, kOwner); }},
    {"a file with set-id bits", "x",
     [](auto& r) { MakeFile(r + "/x", 06777, kOwner); }},
    // Linux takes this set-group-id bit from who is not in the group, and does
    // not tell a FUSE file system.
    {"a file with a lock bit", "x",
     [](auto& r) { MakeFile(r + "/x", 02666, kOwner); }, true},
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

// ---- calls

struct Call {
  const char* name;
  long (*run)(const char* p, const std::string& r);
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

// ---- cases

// In one directory: what the calls name, and what `place` is about.
void Prepare(const std::string& r, const Place& place) {
  MakeDir(r, 0777, kOwner);
  MakeFile(r + "/source", 0644, kOwner);
  MakeDir(r + "/dir", 0777, kOwner);
  place.make(r);
}

std::vector<std::string> Names(const std::string& directory) {
  std::vector<std::string> names;
  DIR* dir = opendir(directory.c_str());
  if (dir == nullptr) return names;
  while (const dirent* entry = readdir(dir)) {
    const std::string name = entry->d_name;
    if (name != "." && name != "..") names.push_back(name);
  }
  closedir(dir);
  std::sort(names.begin(), names.end());
  return names;
}

// Every object's times are long ago, so that each change shows.
void Age(const std::string& path) {
  struct stat st {};
  ASSERT_EQ(lstat(path.c_str(), &st), 0) << path;
  if (S_ISDIR(st.st_mode)) {
    for (const std::string& name : Names(path)) Age(path + "/" + name);
  }
  ASSERT_EQ(Utimens(path.c_str(), {kPast, 0}, {kPast, 0}, AT_SYMLINK_NOFOLLOW),
            0);
}

std::string TimeText(const timespec& time) {
  // What is not one of ours is the present.
  if (time.tv_sec > kPast) return "now";
  return std::to_string(time.tv_sec) + "." + std::to_string(time.tv_nsec);
}

// The tree below `path`, one object a line.
void Describe(const std::string& path, const std::string& name,
              std::string* text) {
  struct stat st {};
  ASSERT_EQ(lstat(path.c_str(), &st), 0) << path;
  char line[256];
  std::snprintf(line, sizeof(line), "%s: %o %u:%u %lu links, ", name.c_str(),
                st.st_mode, st.st_uid, st.st_gid,
                static_cast<unsigned long>(st.st_nlink));
  *text += line;
  if (S_ISREG(st.st_mode)) *text += std::to_string(st.st_size) + " bytes, ";
  if (S_ISCHR(st.st_mode)) *text += std::to_string(st.st_rdev) + ", ";
  *text += "mtime " + TimeText(st.st_mtim);
  // A look at a directory or a symlink may change its access time.
  if (S_ISREG(st.st_mode)) *text += ", atime " + TimeText(st.st_atim);
  *text += "\n";
  if (S_ISDIR(st.st_mode)) {
    for (const std::string& child : Names(path)) {
      Describe(path + "/" + child, name + "/" + child, text);
    }
  }
}

// One directory with one place in it, made anew when a call has changed it.
class Case {
 public:
  Case(std::string r, const Place& place) : r_(std::move(r)), place_(place) {}
  ~Case() { Remove(); }

  // The errno of the call and what it leaves.
  std::string Outcome(const Call& call, const User& user) {
    if (before_.empty()) {
      Prepare(r_, place_);
      Age(r_);
      Describe(r_, ".", &before_);
    }
    const std::string path = r_ + "/" + place_.path;
    int err = 0;
    {
      const As as(user);
      if (as.failed()) return "the user cannot be changed";
      err = ErrnoAfter(call.run(path.c_str(), r_));
    }
    std::string after;
    Describe(r_, ".", &after);
    if (after != before_) Remove();
    return std::string(err == 0 ? "done" : strerrorname_np(err)) + "\n" + after;
  }

 private:
  void Remove() {
    if (before_.empty()) return;
    std::error_code error;
    std::filesystem::remove_all(r_, error);
    EXPECT_FALSE(error) << r_ << ": " << error.message();
    before_.clear();
  }

  const std::string r_;
  const Place& place_;
  std::string before_;
};

class ConformanceTest : public MountFixture {
 protected:
  void SetUp() override {
    MountFixture::SetUp();
    if (HasFatalFailure()) return;
    Run("format V00001 name=VOL");
    ASSERT_EQ(chmod(At("VOL").c_str(), 0755), 0);
    native_ = NewDirectory("native");
    old_mask_ = umask(022);
  }
  void TearDown() override {
    umask(old_mask_);
    MountFixture::TearDown();
  }
  std::string native_;
  mode_t old_mask_ = 0;
};

TEST_F(ConformanceTest, EveryCallOnEveryPathByEveryUser) {
  size_t cases = 0, refused = 0;
  std::set<std::string> wrong;
  for (const User& user : kUsers) {
    for (const Place& place : kPlaces) {
      const bool member = user.uid == 0 || user.gid == kGroup || user.in_group;
      if (place.group_only && !member) continue;
      Case native(native_ + "/case", place), volume(At("VOL/case"), place);
      for (const Call& call : kCalls) {
        const std::string expected = native.Outcome(call, user);
        const std::string got = volume.Outcome(call, user);
        ASSERT_FALSE(HasFatalFailure())
            << call.name << ", " << place.name << ", " << user.name;
        ++cases;
        refused += expected.rfind("done", 0) != 0;
        if (got == expected) continue;
        const std::string what = std::string(call.name) + " on " + place.name;
        if (!wrong.insert(what).second) continue;  // told of another user
        ADD_FAILURE() << what << " by the " << user.name << "\n--- expected\n"
                      << expected << "--- got\n"
                      << got;
        ASSERT_LT(wrong.size(), 40u) << "and more";
      }
    }
  }
  std::printf("%zu cases, %zu of them refused\n", cases, refused);
  EXPECT_EQ(Run("fsck VOL data=yes")["clean"], true);
}

// ---- names that are too long

TEST_F(ConformanceTest, NamesAndPathsThatAreTooLong) {
  // Native names have 255 bytes at most, paths 4096 with the end.
  const std::string names[] = {std::string(255, 'n'), std::string(256, 'n')};
  for (const std::string& name : names) {
    const Place place{"a long name", name.c_str(), [](auto&) {}};
    Case native(native_ + "/case", place), volume(At("VOL/case"), place);
    for (const Call& call : kCalls) {
      const std::string expected = native.Outcome(call, kUsers[0]);
      EXPECT_EQ(volume.Outcome(call, kUsers[0]), expected) << call.name;
      if (name.size() > 255 && std::strcmp(call.name, "mkdir") == 0) {
        EXPECT_EQ(expected.rfind("ENAMETOOLONG", 0), 0u) << expected;
      }
    }
  }
  for (const std::string& root : {native_, At("VOL")}) {
    for (const size_t length : {4095u, 4096u}) {
      std::string path = root;
      while (path.size() + 4 <= length) path += "/.";
      path += std::string(length - path.size() - 1, '/') + "x";
      ASSERT_EQ(path.size(), length);
      const int err = ErrnoAfter(mkdir(path.c_str(), 0755));
      EXPECT_EQ(err, length < 4096 ? 0 : ENAMETOOLONG) << length;
    }
    EXPECT_EQ(ErrnoAfter(symlink(std::string(4096, 't').c_str(),
                                 (root + "/soft").c_str())),
              ENAMETOOLONG);
    EXPECT_EQ(ErrnoAfter(mkdir("", 0755)), ENOENT);
  }
}

// ---- times of change

// Waits until the clock that file systems take their times from goes on.
void NextTick() {
  timespec before{}, now{};
  clock_gettime(CLOCK_REALTIME_COARSE, &before);
  do {
    clock_gettime(CLOCK_REALTIME_COARSE, &now);
  } while (now.tv_nsec == before.tv_nsec);
}

bool Changed(const timespec& a, const timespec& b) {
  return a.tv_sec != b.tv_sec || a.tv_nsec != b.tv_nsec;
}

// Whether a call changed the ctime of the file, its other link, its directory.
std::string ChangeTimes(const std::string& r, const Place& place,
                        const Call& call) {
  Prepare(r, place);
  Age(r);
  const std::string x = r + "/" + place.path;
  const std::string objects[] = {x, r + "/source", r, r + "/dir",
                                 x.substr(0, x.rfind('/'))};
  std::vector<struct stat> before(std::size(objects));
  std::vector<bool> there;
  for (size_t i = 0; i < before.size(); ++i) {
    there.push_back(lstat(objects[i].c_str(), &before[i]) == 0);
  }
  NextTick();
  std::string text = call.run(x.c_str(), r) < 0 ? "failed:" : "done:";
  NextTick();
  for (size_t i = 0; i < before.size(); ++i) {
    struct stat after {};
    if (!there[i] || lstat(objects[i].c_str(), &after) != 0) {
      text += " absent";
    } else {
      text += Changed(before[i].st_ctim, after.st_ctim) ? " changed" : " same";
    }
  }
  std::error_code error;
  std::filesystem::remove_all(r, error);
  EXPECT_FALSE(error) << error.message();
  return text;
}

TEST_F(ConformanceTest, CallsChangeTheSameChangeTimes) {
  size_t wrong = 0;
  for (const char* name :
       {"a file", "one of two links", "a link of the source", "a directory",
        "a full directory", "a symlink to a file", "nothing", "a fifo"}) {
    const Place* const place = std::find_if(
        std::begin(kPlaces), std::end(kPlaces),
        [&](const Place& p) { return std::strcmp(p.name, name) == 0; });
    ASSERT_NE(place, std::end(kPlaces)) << name;
    for (const Call& call : kCalls) {
      const std::string expected = ChangeTimes(native_ + "/case", *place, call);
      const std::string got = ChangeTimes(At("VOL/case"), *place, call);
      ASSERT_FALSE(HasFatalFailure());
      if (got == expected) continue;
      ADD_FAILURE() << call.name << " on " << name
                    << "\n(it, source, its directory, dir, above it)\n"
                    << "expected " << expected << "\ngot      " << got;
      ASSERT_LT(++wrong, 40u);
    }
  }
}

}  // namespace
}  // namespace vellum
