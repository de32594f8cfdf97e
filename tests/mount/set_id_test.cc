// SPDX-License-Identifier: Apache-2.0
// Set-id bits, which the kernel leaves to us to clear, and what it saves for
// that.
#include <fcntl.h>
#include <fmt/format.h>
#include <grp.h>
#include <sys/stat.h>
#include <unistd.h>

#include <fstream>
#include <string>
#include <vector>

#include "tests/mount/mount_fixture.h"

namespace vellum {
namespace {

constexpr uid_t kSomebody = 1234;

struct FileChange {
  const char* name;
  std::function<long(int fd)> run;
};

std::vector<FileChange> FileChanges() {
  return {
      {"write", [](int fd) { return write(fd, "x", 1); }},
      {"write nothing", [](int fd) { return write(fd, "x", 0); }},
      {"ftruncate", [](int fd) { return long{ftruncate(fd, 10)}; }},
      {"fallocate", [](int fd) { return long{fallocate(fd, 0, 0, 100)}; }},
      {"fchown", [](int fd) { return long{fchown(fd, -1, kSomebody)}; }},
      {"fchown of nothing", [](int fd) { return long{fchown(fd, -1, -1)}; }},
      {"fchown and fchmod",
       [](int fd) {
         return fchown(fd, -1, kSomebody) < 0 ? -1L : fchmod(fd, 06711);
       }},
      {"futimens", [](int fd) { return long{futimens(fd, nullptr)}; }},
  };
}

class SetIdTest : public MountFixture {
 protected:
  // The mode of a new file behind the change. `user`: who makes it.
  static std::string ModeAfter(const std::string& path,
                               const FileChange& change, mode_t mode, gid_t gid,
                               uid_t user) {
    const int fd = open(path.c_str(), O_CREAT | O_RDWR | O_CLOEXEC, 0600);
    EXPECT_GE(fd, 0) << path;
    EXPECT_EQ(write(fd, "1234", 4), 4);
    EXPECT_EQ(fchown(fd, kSomebody, gid), 0);
    EXPECT_EQ(fchmod(fd, mode), 0);
    // What the kernel knows of it now it must not know for ever.
    struct stat st {};
    EXPECT_EQ(stat(path.c_str(), &st), 0);
    EXPECT_EQ(st.st_mode & 07777, mode);
    const int err = InChild([&] {
      if (user != 0 && (setgroups(0, nullptr) != 0 || setgid(user) != 0 ||
                        setuid(user) != 0)) {
        return 255;
      }
      return ErrnoAfter(change.run(fd));
    });
    close(fd);
    EXPECT_EQ(stat(path.c_str(), &st), 0);
    EXPECT_EQ(unlink(path.c_str()), 0);
    return fmt::format("{:o} errno {}", st.st_mode & 07777, err);
  }

  uint64_t DaemonReads() const {
    std::ifstream in(fmt::format("/proc/{}/io", DaemonPid()));
    std::string key;
    uint64_t value = 0;
    while (in >> key >> value) {
      if (key == "syscr:") return value;
    }
    return 0;
  }
};

TEST_F(SetIdTest, BitsGoAsOnANativeDirectory) {
  Run("format V00001 name=VOL");
  const std::string native = NewDirectory("native") + "/f";
  for (const FileChange& change : FileChanges()) {
    for (const mode_t mode : {06755, 04755, 02755, 06644, 02664, 0755}) {
      for (const gid_t gid : {gid_t{0}, gid_t{kSomebody}}) {
        for (const uid_t user : {uid_t{0}, kSomebody}) {
          EXPECT_EQ(ModeAfter(At("VOL/f"), change, mode, gid, user),
                    ModeAfter(native, change, mode, gid, user))
              << fmt::format("{} of {:o} group {} by {}", change.name, mode,
                             gid, user);
        }
      }
    }
  }
}

TEST_F(SetIdTest, AWriteIsOneRequest) {
  Run("format V00001 name=VOL");
  const int fd =
      open(At("VOL/f").c_str(), O_CREAT | O_WRONLY | O_CLOEXEC, 0644);
  ASSERT_GE(fd, 0);
  const std::string block(4096, 'b');
  ASSERT_EQ(write(fd, block.data(), block.size()), 4096);
  const uint64_t before = DaemonReads();
  ASSERT_GT(before, 0u);
  for (int i = 0; i < 200; ++i) {
    ASSERT_EQ(write(fd, block.data(), block.size()), 4096);
  }
  EXPECT_LT(DaemonReads() - before, 300u);
  close(fd);
}

}  // namespace
}  // namespace vellum
