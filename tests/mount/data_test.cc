// SPDX-License-Identifier: Apache-2.0
// File data through the mount, and what a new daemon finds of it.
#include <dirent.h>
#include <fcntl.h>
#include <linux/falloc.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>

#include <cerrno>
#include <cstdlib>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "tests/mount/mount_fixture.h"

namespace vellum {
namespace {

class DataTest : public MountFixture {
 protected:
  void SetUp() override {
    MountFixture::SetUp();
    if (!HasFatalFailure()) Run("format V00001 name=VOL");
  }
  // Ends the daemon and starts a new one: page cache and memory are gone.
  void Remount() {
    Stop();
    ASSERT_OK(Start());
  }
  std::string Path(const std::string& name) const { return At("VOL/" + name); }
  int OpenFile(const std::string& name, int flags) const {
    const int fd = open(Path(name).c_str(), flags | O_CLOEXEC, 0644);
    EXPECT_GE(fd, 0) << name << ": " << errno;
    return fd;
  }
};

TEST_F(DataTest, WritesOverwritesAndAppends) {
  std::string expected(3 << 20, 'a');
  WriteFileOrDie(Path("f"), expected);
  int fd = OpenFile("f", O_RDWR);
  ASSERT_EQ(pwrite(fd, "middle", 6, 1234567), 6);
  expected.replace(1234567, 6, "middle");
  close(fd);
  fd = OpenFile("f", O_WRONLY | O_APPEND);
  ASSERT_EQ(write(fd, "end", 3), 3);
  expected += "end";
  close(fd);
  EXPECT_EQ(ReadFileOrDie(Path("f")), expected);
  Remount();
  EXPECT_EQ(ReadFileOrDie(Path("f")), expected);
}

TEST_F(DataTest, AppendsOfManyThreadsLoseNothing) {
  constexpr int kThreads = 4, kLines = 200;
  std::vector<std::thread> threads;
  for (int t = 0; t < kThreads; ++t) {
    threads.emplace_back([this] {
      const int fd = OpenFile("log", O_CREAT | O_WRONLY | O_APPEND);
      for (int i = 0; i < kLines; ++i)
        EXPECT_EQ(write(fd, "0123456789", 10), 10);
      close(fd);
    });
  }
  for (std::thread& thread : threads) thread.join();
  const std::string text = ReadFileOrDie(Path("log"));
  EXPECT_EQ(text.size(), size_t{kThreads} * kLines * 10);
  EXPECT_EQ(text.find_first_not_of("0123456789"), std::string::npos);
}

TEST_F(DataTest, HolesTruncationAndAllocation) {
  int fd = OpenFile("holes", O_CREAT | O_RDWR);
  ASSERT_EQ(pwrite(fd, "end", 3, 1 << 20), 3);
  struct stat st {};
  ASSERT_EQ(fstat(fd, &st), 0);
  EXPECT_EQ(st.st_size, (1 << 20) + 3);
  EXPECT_LT(st.st_blocks, 1024);
  EXPECT_EQ(lseek(fd, 0, SEEK_HOLE), 0);
  EXPECT_EQ(lseek(fd, 0, SEEK_DATA), 1 << 20);
  ASSERT_EQ(ftruncate(fd, 5000), 0);
  ASSERT_EQ(ftruncate(fd, 9000), 0);
  ASSERT_EQ(pwrite(fd, "xyz", 3, 0), 3);
  ASSERT_EQ(fallocate(fd, 0, 0, 100000), 0);
  ASSERT_EQ(fstat(fd, &st), 0);
  EXPECT_EQ(st.st_size, 100000);
  ASSERT_EQ(fallocate(fd, FALLOC_FL_KEEP_SIZE, 0, 100000), 0);
  EXPECT_EQ(ErrnoAfter(fallocate(fd, FALLOC_FL_KEEP_SIZE, 0, 200000)),
            EOPNOTSUPP);
  ASSERT_EQ(fstat(fd, &st), 0);
  EXPECT_EQ(st.st_size, 100000);
  ASSERT_EQ(pwrite(fd, "kept", 4, 50000), 4);
  ASSERT_EQ(
      fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 40000, 8192),
      0);
  close(fd);
  std::string expected(100000, '\0');
  expected.replace(0, 3, "xyz");
  expected.replace(50000, 4, "kept");
  EXPECT_EQ(ReadFileOrDie(Path("holes")), expected);
  Remount();
  EXPECT_EQ(ReadFileOrDie(Path("holes")), expected);
}

TEST_F(DataTest, UnlinkedFilesLiveUntilTheyAreClosed) {
  const int fd = OpenFile("temp", O_CREAT | O_RDWR);
  ASSERT_EQ(unlink(Path("temp").c_str()), 0);
  const std::string text(1 << 20, 't');
  ASSERT_EQ(write(fd, text.data(), text.size()), 1 << 20);
  ASSERT_EQ(fsync(fd), 0);
  // New files must not get its blocks.
  WriteFileOrDie(Path("other"), std::string(1 << 20, 'o'));
  std::string back(1 << 20, '\0');
  ASSERT_EQ(pread(fd, back.data(), back.size(), 0), 1 << 20);
  EXPECT_EQ(back, text);
  struct stat st {};
  ASSERT_EQ(fstat(fd, &st), 0);
  EXPECT_EQ(st.st_nlink, 0u);
  close(fd);
  Remount();
  EXPECT_EQ(Run("fsck VOL data=yes")["clean"], true);
}

TEST_F(DataTest, RemovedDirectoriesLiveWhileSomebodyIsInThem) {
  struct Removed {
    int fd = -1;
    ino_t ino = 0;
  };
  std::vector<Removed> removed;
  // Removed, and replaced by another one; committed before and not.
  for (const bool committed : {true, false}) {
    for (const bool replaced : {false, true}) {
      ASSERT_EQ(mkdir(Path("d").c_str(), 0750), 0);
      WriteFileOrDie(Path("d/file"), "content");
      if (committed) Run("sync");
      ASSERT_EQ(unlink(Path("d/file").c_str()), 0);
      Removed dir;
      dir.fd = open(Path("d").c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
      ASSERT_GE(dir.fd, 0);
      struct stat st {};
      ASSERT_EQ(fstat(dir.fd, &st), 0);
      dir.ino = st.st_ino;
      if (replaced) {
        ASSERT_EQ(mkdir(Path("e").c_str(), 0750), 0);
        ASSERT_EQ(rename(Path("e").c_str(), Path("d").c_str()), 0);
      }
      ASSERT_TRUE(replaced || rmdir(Path("d").c_str()) == 0);
      removed.push_back(dir);
      ASSERT_TRUE(!replaced || rmdir(Path("d").c_str()) == 0);
    }
  }
  Run("sync");
  // New ones must not get their inodes.
  for (int i = 0; i < 50; ++i) {
    ASSERT_EQ(mkdir(Path("n" + std::to_string(i)).c_str(), 0755), 0);
  }
  Run("sync");
  for (const Removed& dir : removed) {
    struct stat st {};
    ASSERT_EQ(fstat(dir.fd, &st), 0);
    EXPECT_EQ(st.st_ino, dir.ino);
    EXPECT_EQ(st.st_nlink, 0u);
    EXPECT_EQ(st.st_mode & 07777, 0750u);
    EXPECT_EQ(fstatat(dir.fd, ".", &st, 0), 0);
    EXPECT_EQ(ErrnoAfter(openat(dir.fd, "new", O_CREAT | O_WRONLY, 0644)),
              ENOENT);
    EXPECT_EQ(ErrnoAfter(mkdirat(dir.fd, "new", 0755)), ENOENT);
    EXPECT_EQ(ErrnoAfter(fstatat(dir.fd, "file", &st, 0)), ENOENT);
    DIR* const listing = fdopendir(dir.fd);
    ASSERT_NE(listing, nullptr);
    EXPECT_EQ(readdir(listing), nullptr);
    closedir(listing);
  }
  // A name that is used again is another directory.
  ASSERT_EQ(mkdir(Path("d").c_str(), 0755), 0);
  WriteFileOrDie(Path("d/file"), "again");
  Remount();
  EXPECT_EQ(ReadFileOrDie(Path("d/file")), "again");
  EXPECT_EQ(Run("fsck VOL data=yes")["clean"], true);
}

TEST_F(DataTest, SharedMappings) {
  const int fd = OpenFile("map", O_CREAT | O_RDWR);
  ASSERT_EQ(ftruncate(fd, 100000), 0);
  void* map = mmap(nullptr, 100000, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
  ASSERT_NE(map, MAP_FAILED);
  auto* bytes = static_cast<char*>(map);
  for (int i = 0; i < 100000; i += 1000) bytes[i] = 'm';
  ASSERT_EQ(msync(map, 100000, MS_SYNC), 0);
  bytes[1] = 'n';  // written at munmap or close at the latest
  ASSERT_EQ(munmap(map, 100000), 0);
  close(fd);
  Remount();
  const std::string text = ReadFileOrDie(Path("map"));
  ASSERT_EQ(text.size(), 100000u);
  EXPECT_EQ(text[0], 'm');
  EXPECT_EQ(text[1], 'n');
  EXPECT_EQ(text[99000], 'm');
}

TEST_F(DataTest, DirectIo) {
  const int fd = OpenFile("direct", O_CREAT | O_RDWR | O_DIRECT);
  void* memory = nullptr;
  ASSERT_EQ(posix_memalign(&memory, 4096, 65536), 0);
  const std::unique_ptr<void, decltype(&std::free)> buffer(memory, &std::free);
  std::fill_n(static_cast<char*>(memory), 65536, 'd');
  ASSERT_EQ(pwrite(fd, memory, 65536, 0), 65536);
  ASSERT_EQ(pwrite(fd, memory, 4096, 1 << 20), 4096);
  std::fill_n(static_cast<char*>(memory), 65536, ' ');
  ASSERT_EQ(pread(fd, memory, 65536, 0), 65536);
  EXPECT_EQ(static_cast<char*>(memory)[65535], 'd');
  close(fd);
  EXPECT_EQ(ReadFileOrDie(Path("direct")).size(), (1u << 20) + 4096);
}

TEST_F(DataTest, EverythingIsThereAfterANewStart) {
  ASSERT_EQ(mkdir(Path("d").c_str(), 0750), 0);
  ASSERT_EQ(mkdir(Path("d/e").c_str(), 0700), 0);
  WriteFileOrDie(Path("d/e/f"), "deep");
  ASSERT_EQ(link(Path("d/e/f").c_str(), Path("hard").c_str()), 0);
  ASSERT_EQ(symlink("d/e/f", Path("soft").c_str()), 0);
  ASSERT_EQ(mkfifo(Path("fifo").c_str(), 0640), 0);
  ASSERT_EQ(setxattr(Path("hard").c_str(), "user.note", "hello", 5, 0), 0);
  ASSERT_EQ(chown(Path("d").c_str(), 12, 34), 0);
  const std::string odd = "n\xc3\xa4me \xff\x01 end";
  WriteFileOrDie(Path(odd), "odd");
  constexpr int kFiles = 300;
  for (int i = 0; i < kFiles; ++i) {
    WriteFileOrDie(Path("d/file" + std::to_string(i)), std::to_string(i));
  }
  struct stat before {
  }, after{};
  ASSERT_EQ(stat(Path("hard").c_str(), &before), 0);
  Remount();
  EXPECT_EQ(ReadFileOrDie(Path("soft")), "deep");
  EXPECT_EQ(ReadFileOrDie(Path(odd)), "odd");
  ASSERT_EQ(stat(Path("hard").c_str(), &after), 0);
  EXPECT_EQ(after.st_nlink, 2u);
  EXPECT_EQ(after.st_ino, before.st_ino);
  EXPECT_EQ(after.st_mtim.tv_nsec, before.st_mtim.tv_nsec);
  EXPECT_EQ(after.st_ctim.tv_nsec, before.st_ctim.tv_nsec);
  ASSERT_EQ(stat(Path("d").c_str(), &after), 0);
  EXPECT_EQ(after.st_mode, static_cast<mode_t>(S_IFDIR | 0750));
  EXPECT_EQ(after.st_uid, 12u);
  EXPECT_EQ(after.st_nlink, 3u);
  ASSERT_EQ(lstat(Path("fifo").c_str(), &after), 0);
  EXPECT_EQ(after.st_mode, static_cast<mode_t>(S_IFIFO | 0640));
  char value[8] = {};
  EXPECT_EQ(getxattr(Path("d/e/f").c_str(), "user.note", value, 8), 5);
  EXPECT_STREQ(value, "hello");
  int seen = 0;
  DIR* dir = opendir(Path("d").c_str());
  ASSERT_NE(dir, nullptr);
  while (const dirent* entry = readdir(dir)) {
    const std::string name = entry->d_name;
    if (name.rfind("file", 0) == 0) {
      ++seen;
      EXPECT_EQ(entry->d_type, DT_REG);
      EXPECT_EQ(ReadFileOrDie(Path("d/" + name)), name.substr(4));
    }
  }
  closedir(dir);
  EXPECT_EQ(seen, kFiles);
  EXPECT_EQ(Run("fsck VOL data=yes")["clean"], true);
}

TEST_F(DataTest, ListingWhileNamesChange) {
  for (int i = 0; i < 200; ++i) {
    WriteFileOrDie(Path("f" + std::to_string(i)), "");
  }
  // Names that stay are seen once, whatever else comes and goes.
  std::vector<int> seen(200);
  DIR* dir = opendir(At("VOL").c_str());
  ASSERT_NE(dir, nullptr);
  int count = 0;
  while (const dirent* entry = readdir(dir)) {
    const std::string name = entry->d_name;
    if (name[0] == 'f') ++seen[static_cast<size_t>(std::stoi(name.substr(1)))];
    if (++count % 10 == 0) {
      WriteFileOrDie(Path("g" + std::to_string(count)), "");
      unlink(Path("g" + std::to_string(count - 10)).c_str());
    }
  }
  closedir(dir);
  for (const int times : seen) EXPECT_EQ(times, 1);
}

class OneDriveDataTest : public MountFixture {
 protected:
  Geometry geometry() const override {
    Geometry geometry;
    geometry.drives = 1;
    return geometry;
  }
};

// As Linux does with pages that it could not write.
TEST_F(OneDriveDataTest, FsyncAndSyncTellOnceWhatWasLost) {
  Run("format V00001 name=ALPHA");
  Run("format V00002 name=BETA");
  WriteFileOrDie(At("ALPHA/file"), "old");
  Run("sync");
  const int fd = open(At("ALPHA/file").c_str(), O_RDWR | O_CLOEXEC);
  ASSERT_GE(fd, 0) << errno;
  const int second = open(At("ALPHA/file").c_str(), O_RDONLY | O_CLOEXEC);
  ASSERT_GE(second, 0) << errno;
  const int directory =
      open(At("ALPHA").c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  ASSERT_GE(directory, 0) << errno;
  Run("fault medium-error V00001 first=352 count=256 access=write");
  ASSERT_EQ(pwrite(fd, "new", 3, 0), 3);
  EXPECT_EQ(ErrnoAfter(fsync(fd)), EIO);
  EXPECT_NE(Tell("sync ALPHA").err, 0);
  Run("fault clear");
  // The only drive is needed for another volume.
  WriteFileOrDie(At("BETA/file"), "other");
  // That is nobody else's, and is not told to whoever asks for another volume.
  EXPECT_EQ(Tell("sync BETA").err, 0);
  const Answer told = Tell("sync ALPHA");
  EXPECT_EQ(told.err, EIO);
  const std::string message = told.json.dump();
  EXPECT_NE(
      message.find("volume ALPHA: changes since its last commit are lost"),
      std::string::npos)
      << message;
  EXPECT_NE(message.find("medium V00001 has nothing newer"), std::string::npos)
      << message;
  EXPECT_EQ(Tell("sync ALPHA").err, 0);
  EXPECT_EQ(Tell("sync").err, 0);
  // Each that was open hears of it, once; one that is opened now does not.
  const int later = open(At("ALPHA/file").c_str(), O_RDONLY | O_CLOEXEC);
  ASSERT_GE(later, 0) << errno;
  EXPECT_EQ(ErrnoAfter(fsync(later)), 0);
  close(later);
  for (const int each : {fd, second, directory}) {
    EXPECT_EQ(ErrnoAfter(fsync(each)), EIO) << each;
    EXPECT_EQ(ErrnoAfter(fsync(each)), 0) << each;
    close(each);
  }
  EXPECT_EQ(ReadFileOrDie(At("ALPHA/file")), "old");
}

}  // namespace
}  // namespace vellum
