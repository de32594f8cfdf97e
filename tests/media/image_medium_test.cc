// SPDX-License-Identifier: Apache-2.0
// What an image file does beyond the contract of every Medium.
#include "media/image_medium.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <linux/magic.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <unistd.h>

#include <chrono>
#include <vector>

#include "media/borrowed_medium.h"
#include "media/virtual_library.h"
#include "tests/support/status_matchers.h"
#include "tests/support/temp_dir.h"

namespace vellum {
namespace {

constexpr uint64_t kSectors = 1024;

class ImageMediumTest : public testing::Test {
 protected:
  void SetUp() override { Make(kSectors * kSectorSize); }

  void Make(uint64_t bytes) {
    WriteFileOrDie(path_, "");
    ASSERT_EQ(truncate(path_.c_str(), static_cast<off_t>(bytes)), 0);
  }
  Result<std::unique_ptr<Medium>> Open(bool read_only = false) {
    return OpenImageFile(path_, read_only);
  }
  uint64_t AllocatedBytes() {
    struct stat st {};
    EXPECT_EQ(stat(path_.c_str(), &st), 0);
    return static_cast<uint64_t>(st.st_blocks) * 512;
  }

  // Of the file, what the page cache has.
  uint64_t CachedBytes() {
    const int fd = open(path_.c_str(), O_RDONLY);
    EXPECT_GE(fd, 0);
    constexpr size_t kBytes = kSectors * kSectorSize;
    void* const at = mmap(nullptr, kBytes, PROT_READ, MAP_SHARED, fd, 0);
    EXPECT_NE(at, MAP_FAILED);
    std::vector<unsigned char> pages(kBytes / 4096);
    EXPECT_EQ(mincore(at, kBytes, pages.data()), 0);
    munmap(at, kBytes);
    close(fd);
    uint64_t cached = 0;
    for (const unsigned char page : pages) cached += (page & 1) * 4096;
    return cached;
  }

  TempDir dir_;
  const std::string path_ = dir_.Sub("V1.img");
  const Bytes data_ = Bytes(4 * kSectorSize, std::byte{7});
};

TEST_F(ImageMediumTest, TheFileIsByteForByteTheMedium) {
  ASSERT_OK_AND_ASSIGN(auto medium, Open());
  EXPECT_EQ(medium->Info().sectors, kSectors);
  ASSERT_OK(medium->Write(3, data_));
  ASSERT_OK(medium->Flush());
  const std::string file = ReadFileOrDie(path_);
  ASSERT_EQ(file.size(), kSectors * kSectorSize);
  EXPECT_EQ(file.substr(3 * kSectorSize, 4 * kSectorSize),
            std::string(4 * kSectorSize, 7));
  EXPECT_EQ(file[3 * kSectorSize - 1], 0);
  EXPECT_EQ(file[7 * kSectorSize], 0);
}

TEST_F(ImageMediumTest, ALockThatIsNotToBeHadIsNamed) {
  const int fd = open(path_.c_str(), O_RDONLY);
  ASSERT_GE(fd, 0);
  ASSERT_EQ(flock(fd, LOCK_EX), 0);
  ImageMediumOptions options;
  options.lock_timeout = std::chrono::milliseconds(20);
  const auto refused = ImageMedium::Open(path_, options);
  EXPECT_THAT(refused, HasErrc(Errc::kTimedOut));
  EXPECT_THAT(refused, MessageHas(path_));
  EXPECT_OK(Open());  // who does not ask for a lock
  close(fd);
  EXPECT_OK(ImageMedium::Open(path_, options));
}

TEST_F(ImageMediumTest, DirectFdReadsTheSameBytes) {
  ASSERT_OK_AND_ASSIGN(auto medium, Open());
  ASSERT_OK(medium->Write(3, data_));
  char byte = 0;
  ASSERT_GE(medium->DirectFd(), 0);
  ASSERT_EQ(pread(medium->DirectFd(), &byte, 1, 3 * kSectorSize), 1);
  EXPECT_EQ(byte, 7);
  EXPECT_EQ(BorrowedMedium(medium.get()).DirectFd(), medium->DirectFd());
}

TEST_F(ImageMediumTest, StreamedDataStaysOutOfThePageCache) {
  ASSERT_OK_AND_ASSIGN(auto medium, Open());
  const AlignedBytes data(512 * kSectorSize, std::byte{7});
  ASSERT_OK(medium->Write(0, data));
  EXPECT_EQ(CachedBytes(), data.size());
  ASSERT_OK(medium->WriteStream(0, data));
  struct statfs fs {};
  ASSERT_EQ(statfs(path_.c_str(), &fs), 0);
  // A file system in memory has its files nowhere else.
  const bool in_memory = fs.f_type == TMPFS_MAGIC;
  EXPECT_EQ(CachedBytes(), in_memory ? data.size() : 0);
  EXPECT_EQ(ReadFileOrDie(path_).substr(0, data.size()),
            std::string(data.size(), 7));
}

TEST_F(ImageMediumTest, DiscardGivesTheSpaceBack) {
  ASSERT_OK_AND_ASSIGN(auto medium, Open());
  const Bytes full(kSectors * kSectorSize, std::byte{1});
  ASSERT_OK(medium->Write(0, full));
  ASSERT_OK(medium->Flush());
  const uint64_t before = AllocatedBytes();
  ASSERT_OK(medium->Discard(0, kSectors));
  ASSERT_OK(medium->Flush());
  EXPECT_LT(AllocatedBytes(), before);
  ASSERT_OK_AND_ASSIGN(const SectorRange run,
                       medium->NextAllocated({0, kSectors}));
  EXPECT_EQ(run.count, 0u);
  EXPECT_EQ(ReadFileOrDie(path_).size(), kSectors * kSectorSize);
}

TEST_F(ImageMediumTest, ReadOnlyAndFilesWithoutWriteBitsAreProtected) {
  for (const bool by_mode : {false, true}) {
    ASSERT_EQ(chmod(path_.c_str(), by_mode ? 0444 : 0644), 0);
    ASSERT_OK_AND_ASSIGN(auto medium, Open(/*read_only=*/!by_mode));
    EXPECT_TRUE(medium->Info().write_protected);
    EXPECT_THAT(medium->Write(0, data_), HasErrc(Errc::kWriteProtected));
    EXPECT_THAT(medium->Discard(0, 1), HasErrc(Errc::kWriteProtected));
    EXPECT_OK(medium->Flush());
    Bytes back(kSectorSize);
    EXPECT_OK(medium->Read(0, back));
  }
}

TEST_F(ImageMediumTest, RefusesWhatIsNoMedium) {
  EXPECT_THAT(OpenImageFile(dir_.Sub("none"), false), HasErrc(Errc::kNotFound));
  EXPECT_THAT(OpenImageFile(dir_.Sub("none"), false), MessageHas("none"));
  EXPECT_THAT(OpenImageFile(dir_.path(), false), HasErrc(Errc::kDeviceError));
  Make(kSectorSize + 1);
  EXPECT_THAT(Open(), HasErrc(Errc::kIncompatible));
  EXPECT_THAT(Open(), MessageHas("2049"));
  Make(0);
  EXPECT_THAT(Open(), HasErrc(Errc::kIncompatible));
}

TEST_F(ImageMediumTest, AFileCutShortInUseIsADeviceErrorWithItsAddress) {
  ASSERT_OK_AND_ASSIGN(auto medium, Open());
  ASSERT_EQ(truncate(path_.c_str(), 10 * kSectorSize), 0);
  Bytes back(4 * kSectorSize);
  const Status status = medium->Read(8, back);
  EXPECT_THAT(status, HasErrc(Errc::kDeviceError));
  EXPECT_THAT(status, MessageHas("sector 10"));
}

}  // namespace
}  // namespace vellum
