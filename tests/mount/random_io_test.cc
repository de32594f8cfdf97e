// SPDX-License-Identifier: Apache-2.0
// Random I/O on a few files of a volume, the same on native files: what is read
// must be the same. Every way to read and write takes its turn on the same
// bytes: through the page cache, past it (O_DIRECT), by shared mappings, by
// fallocate(2); with truncation, reopening and new daemons in between.
//
// VELLUM_SECONDS (20) is how long it goes on, for a thousand steps at least;
// VELLUM_SEED repeats a run.
#include <fcntl.h>
#include <linux/falloc.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <map>
#include <memory>
#include <random>
#include <string>

#include "tests/mount/mount_fixture.h"
#include "tests/support/environment.h"

namespace vellum {
namespace {

constexpr size_t kMaxSize = 700'000;
constexpr size_t kMaxPiece = 150'000;
constexpr size_t kPage = 4096;
constexpr size_t kFewest = 1000;  // steps of a run

// Memory that O_DIRECT takes.
class Aligned {
 public:
  explicit Aligned(size_t size)
      : memory_(static_cast<char*>(std::aligned_alloc(
                    kPage, (size + kPage - 1) / kPage * kPage)),
                &std::free) {}
  char* data() { return memory_.get(); }

 private:
  std::unique_ptr<char, decltype(&std::free)> memory_;
};

// One file twice.
struct Pair {
  std::string path;         // on the volume
  std::string native_path;  // and beside it
  int fd = -1;
  int direct = -1;
  int native = -1;
  size_t size = 0;

  void Open() {
    fd = open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0644);
    direct = open(path.c_str(), O_RDWR | O_DIRECT | O_CLOEXEC);
    native = open(native_path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0644);
    ASSERT_GE(fd, 0) << errno;
    ASSERT_GE(direct, 0) << errno;
    ASSERT_GE(native, 0) << errno;
  }
  void Close() {
    for (int* each : {&fd, &direct, &native}) {
      if (*each >= 0) {
        EXPECT_EQ(close(*each), 0);
      }
      *each = -1;
    }
  }
};

class RandomIoTest : public MountFixture {
 protected:
  void SetUp() override {
    MountFixture::SetUp();
    if (HasFatalFailure()) return;
    Run("format V00001 name=VOL");
    NewDirectory("native");
    for (int i = 0; i < 3; ++i) {
      pairs_[i].path = At("VOL/f" + std::to_string(i));
      pairs_[i].native_path = dir_.Sub("native/f" + std::to_string(i));
      pairs_[i].Open();
    }
  }
  void TearDown() override {
    for (Pair& pair : pairs_) pair.Close();
    MountFixture::TearDown();
  }

  size_t Below(size_t bound) {
    return std::uniform_int_distribution<size_t>(0, bound - 1)(random_);
  }
  // Small and large, at and beside the boundaries of sectors and pages.
  size_t Length(size_t limit) {
    static constexpr size_t kSpecial[] = {1, 2047, 2048, 2049, 4096, 65536};
    const size_t length =
        Below(3) == 0 ? kSpecial[Below(6)] : 1 + Below(kMaxPiece);
    return std::min(length, limit);
  }
  size_t Offset(size_t bound) {
    const size_t offset = Below(bound);
    return Below(3) == 0 ? offset / 2048 * 2048 : offset;
  }
  void Note(const char* what, const Pair& pair, size_t offset, size_t length) {
    ++counts_[what];
    char line[160];
    std::snprintf(line, sizeof(line), "%s %s %zu+%zu (size %zu)\n", what,
                  pair.path.c_str() + pair.path.size() - 2, offset, length,
                  pair.size);
    trace_ += line;
    if (trace_.size() > 8000) trace_.erase(0, 4000);
  }

  void Compare(const Pair& pair, const char* got, ssize_t count, size_t offset,
               size_t length) {
    std::string expected(length, '\0');
    const ssize_t want =
        pread(pair.native, expected.data(), length, static_cast<off_t>(offset));
    ASSERT_EQ(count, want) << errno;
    const auto end = expected.begin() + want;
    const auto wrong = std::mismatch(expected.begin(), end, got);
    ASSERT_TRUE(wrong.first == end)
        << pair.path << ": at " << offset + (wrong.first - expected.begin())
        << " stands " << int{*wrong.second} << " instead of "
        << int{*wrong.first};
  }
  void CompareWhole(const Pair& pair) {
    struct stat st {};
    ASSERT_EQ(fstat(pair.fd, &st), 0);
    ASSERT_EQ(static_cast<size_t>(st.st_size), pair.size) << pair.path;
    std::string got(pair.size + 1, '\0');
    Compare(pair, got.data(), pread(pair.fd, got.data(), got.size(), 0), 0,
            got.size());
  }

  std::string Data(size_t length) {
    std::string data(length, '\0');
    const auto base = static_cast<char>(random_());
    for (size_t i = 0; i < length; ++i) {
      data[i] = static_cast<char>(base + static_cast<char>(i * 7 / 3));
    }
    return data;
  }
  // After the volume took `data`.
  void WroteNative(Pair* pair, size_t offset, const std::string& data) {
    ASSERT_EQ(pwrite(pair->native, data.data(), data.size(),
                     static_cast<off_t>(offset)),
              static_cast<ssize_t>(data.size()));
    pair->size = std::max(pair->size, offset + data.size());
  }

  void Read(Pair* pair) {
    const size_t offset = Offset(pair->size + 5000), length = Length(kMaxSize);
    Note("read", *pair, offset, length);
    std::string got(length, '\0');
    Compare(*pair, got.data(),
            pread(pair->fd, got.data(), length, static_cast<off_t>(offset)),
            offset, length);
  }
  void Write(Pair* pair) {
    const bool append = Below(5) == 0;
    const size_t offset = append ? pair->size : Offset(kMaxSize);
    if (offset >= kMaxSize) return;
    const std::string data = Data(Length(kMaxSize - offset));
    Note("write", *pair, offset, data.size());
    ASSERT_EQ(
        pwrite(pair->fd, data.data(), data.size(), static_cast<off_t>(offset)),
        static_cast<ssize_t>(data.size()))
        << errno;
    WroteNative(pair, offset, data);
  }
  void DirectRead(Pair* pair) {
    const size_t offset = Below(pair->size + 5000) / kPage * kPage;
    const size_t length = (Length(kMaxSize) + kPage - 1) / kPage * kPage;
    Note("direct read", *pair, offset, length);
    Aligned got(length);
    Compare(*pair, got.data(),
            pread(pair->direct, got.data(), length, static_cast<off_t>(offset)),
            offset, length);
  }
  void DirectWrite(Pair* pair) {
    const size_t offset = Below(kMaxSize - 2 * kPage) / kPage * kPage;
    const size_t length = std::max(
        Length(kMaxSize - offset - kPage) / kPage * kPage, size_t{kPage});
    Note("direct write", *pair, offset, length);
    const std::string data = Data(length);
    Aligned memory(length);
    std::memcpy(memory.data(), data.data(), length);
    ASSERT_EQ(
        pwrite(pair->direct, memory.data(), length, static_cast<off_t>(offset)),
        static_cast<ssize_t>(length))
        << errno;
    WroteNative(pair, offset, data);
  }
  void Mapped(Pair* pair, bool write) {
    if (pair->size == 0) return;
    const size_t offset = Offset(pair->size);
    const size_t length = Length(pair->size - offset);
    Note(write ? "mapped write" : "mapped read", *pair, offset, length);
    const size_t begin = offset / kPage * kPage;
    const size_t span = offset + length - begin;
    void* const map = mmap(nullptr, span, PROT_READ | (write ? PROT_WRITE : 0),
                           MAP_SHARED, pair->fd, static_cast<off_t>(begin));
    ASSERT_NE(map, MAP_FAILED) << errno;
    char* const bytes = static_cast<char*>(map) + (offset - begin);
    if (write) {
      const std::string data = Data(length);
      std::memcpy(bytes, data.data(), length);
      ASSERT_EQ(msync(map, span, MS_SYNC), 0) << errno;
      WroteNative(pair, offset, data);
    } else {
      Compare(*pair, bytes, static_cast<ssize_t>(length), offset, length);
    }
    ASSERT_EQ(munmap(map, span), 0);
  }
  void Truncate(Pair* pair) {
    const size_t size = Below(4) == 0 ? 0 : Offset(kMaxSize);
    Note("truncate", *pair, size, 0);
    ASSERT_EQ(ftruncate(pair->fd, static_cast<off_t>(size)), 0) << errno;
    ASSERT_EQ(ftruncate(pair->native, static_cast<off_t>(size)), 0);
    pair->size = size;
  }
  void Allocate(Pair* pair) {
    static constexpr int kModes[] = {
        0, FALLOC_FL_KEEP_SIZE, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE,
        FALLOC_FL_ZERO_RANGE, FALLOC_FL_ZERO_RANGE | FALLOC_FL_KEEP_SIZE};
    static constexpr const char* kNames[] = {"allocate", "allocate beyond",
                                             "punch", "zero", "zero beyond"};
    const size_t which = Below(5);
    const auto offset = static_cast<off_t>(Offset(kMaxSize));
    const auto length =
        static_cast<off_t>(Length(kMaxSize - static_cast<size_t>(offset)));
    Note(kNames[which], *pair, static_cast<size_t>(offset),
         static_cast<size_t>(length));
    const bool keep = which == 1 || which == 4;
    if (keep && static_cast<size_t>(offset + length) > pair->size &&
        fallocate(pair->fd, kModes[which], offset, length) != 0) {
      // Nothing is reserved behind the last sector, and nothing was changed.
      ASSERT_EQ(errno, EOPNOTSUPP);
      ASSERT_GT(static_cast<size_t>(offset + length), pair->size);
      return;
    }
    ASSERT_EQ(fallocate(pair->fd, kModes[which], offset, length), 0) << errno;
    ASSERT_EQ(fallocate(pair->native, kModes[which], offset, length), 0)
        << errno << ": the native file system";
    if ((kModes[which] & FALLOC_FL_KEEP_SIZE) == 0) {
      pair->size = std::max(pair->size, static_cast<size_t>(offset + length));
    }
  }
  void Reopen(Pair* pair) {
    Note("reopen", *pair, 0, 0);
    if (Below(2) == 0) {
      ASSERT_EQ(fsync(pair->fd), 0);
    }
    pair->Close();
    pair->Open();
  }
  void NewDaemon() {
    ++counts_["new daemon"];
    trace_ += "new daemon\n";
    for (Pair& pair : pairs_) pair.Close();
    Stop();
    ASSERT_OK(Start());
    for (Pair& pair : pairs_) {
      pair.Open();
      CompareWhole(pair);
    }
  }
  void Step() {
    Pair* const pair = &pairs_[Below(3)];
    const size_t choice = Below(1000);
    if (choice < 200) {
      Read(pair);
    } else if (choice < 400) {
      Write(pair);
    } else if (choice < 500) {
      DirectRead(pair);
    } else if (choice < 600) {
      DirectWrite(pair);
    } else if (choice < 700) {
      Mapped(pair, false);
    } else if (choice < 800) {
      Mapped(pair, true);
    } else if (choice < 880) {
      Truncate(pair);
    } else if (choice < 960) {
      Allocate(pair);
    } else if (choice < 998) {
      Reopen(pair);
    } else {
      NewDaemon();
    }
  }

  std::mt19937_64 random_;
  Pair pairs_[3];
  std::map<std::string, size_t> counts_;
  std::string trace_;
};

TEST_F(RandomIoTest, ReadsWhatANativeFileReads) {
  const uint64_t seed = FromEnvironment("VELLUM_SEED", std::random_device()());
  const uint64_t seconds = FromEnvironment("VELLUM_SECONDS", 20);
  std::printf("VELLUM_SEED=%llu\n", static_cast<unsigned long long>(seed));
  random_.seed(seed);
  const auto end =
      std::chrono::steady_clock::now() + std::chrono::seconds(seconds);
  size_t steps = 0;
  // On a slow machine longer, so that there are some of each step.
  while ((std::chrono::steady_clock::now() < end || steps < kFewest) &&
         !HasFailure()) {
    Step();
    if (++steps % 500 == 0 && !HasFailure()) {
      for (const Pair& pair : pairs_) CompareWhole(pair);
    }
    if (steps % kFewest == 0 && !HasFailure()) NewDaemon();
  }
  if (HasFailure()) std::printf("the last steps:\n%s", trace_.c_str());
  for (const auto& [what, count] : counts_) {
    std::printf("%zu %s, ", count, what.c_str());
  }
  std::printf("%zu steps\n", steps);
  // Nothing that it is there for stays away unnoticed.
  if (!HasFailure()) {
    for (const char* what :
         {"read", "write", "direct read", "direct write", "mapped read",
          "mapped write", "truncate", "allocate", "allocate beyond", "punch",
          "zero", "zero beyond", "reopen", "new daemon"}) {
      EXPECT_GT(counts_[what], 0u) << what;
    }
  }
  for (Pair& pair : pairs_) pair.Close();
  EXPECT_EQ(Run("fsck VOL data=yes")["clean"], true);
}

}  // namespace
}  // namespace vellum
