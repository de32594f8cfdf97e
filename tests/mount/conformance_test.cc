// SPDX-License-Identifier: Apache-2.0
// What POSIX says of names, owners, modes and times: every call on every kind
// of path, by every kind of user, on a volume and on a native directory. The
// errno, and the tree that is left, must be the same.
#include <dirent.h>
#include <fcntl.h>
#include <grp.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <cstring>
#include <filesystem>
#include <set>
#include <string>
#include <string_view>
#include <system_error>
#include <utility>
#include <vector>

#include "tests/mount/conformance_cases.h"
#include "tests/mount/mount_fixture.h"

namespace vellum {
namespace {

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

// ---- cases

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
  const timespec times[2] = {{kPast, 0}, {kPast, 0}};
  ASSERT_EQ(utimensat(AT_FDCWD, path.c_str(), times, AT_SYMLINK_NOFOLLOW), 0);
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
    for (const Place& place : Places()) {
      Case native(native_ + "/case", place), volume(At("VOL/case"), place);
      for (const Call& call : Calls()) {
        const std::string expected = native.Outcome(call, user);
        const std::string got = volume.Outcome(call, user);
        ASSERT_FALSE(HasFatalFailure())
            << call.name << ", " << place.name << ", " << user.name;
        ++cases;
        refused += expected.rfind("done", 0) != 0;
        if (got == expected) continue;
        // As README.md says: with set-id bits EPERM elsewhere, here nothing
        // changes either.
        if (std::string_view(call.name) == "chown of nothing" &&
            expected.starts_with("EPERM\n") &&
            got == "done" + expected.substr(5)) {
          continue;
        }
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
    for (const Call& call : Calls()) {
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
    const auto place = std::find_if(
        Places().begin(), Places().end(),
        [&](const Place& p) { return std::strcmp(p.name, name) == 0; });
    ASSERT_NE(place, Places().end()) << name;
    for (const Call& call : Calls()) {
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
