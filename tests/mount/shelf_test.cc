// SPDX-License-Identifier: Apache-2.0
// Volumes whose medium is not in the library: shown, but not read.
#include <fcntl.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <filesystem>
#include <string>

#include "tests/mount/mount_fixture.h"

namespace vellum {
namespace {

class ShelfTest : public MountFixture {
 protected:
  void SetUp() override {
    MountFixture::SetUp();
    if (HasFatalFailure()) return;
    Run("format V00001 name=VOL");
    WriteFileOrDie(At("VOL/file"), "content");
    Stop();
  }
  // Somebody takes the medium out of its slot.
  void TakeOut(const std::string& tag) {
    const std::string path = library() + "/state/elements.json";
    Json state = Json::parse(ReadFileOrDie(path));
    Json left = Json::array();
    for (const Json& element : state["elements"]) {
      if (element["volume_tag"] != tag) left.push_back(element);
    }
    ASSERT_EQ(left.size() + 1, state["elements"].size());
    state["elements"] = left;
    WriteFileOrDie(path, state.dump());
  }
  void ExpectItIsShownOnly() {
    struct stat st {};
    ASSERT_EQ(stat(At("VOL/file").c_str(), &st), 0);
    EXPECT_EQ(st.st_size, 7);
    EXPECT_EQ(access(At("VOL/file").c_str(), R_OK), 0);
    for (const int flags : {O_RDONLY, O_RDWR, O_WRONLY | O_TRUNC}) {
      EXPECT_EQ(ErrnoAfter(open(At("VOL/file").c_str(), flags)), ENOMEDIUM)
          << flags;
    }
    EXPECT_EQ(ErrnoAfter(open(At("VOL/new").c_str(), O_CREAT | O_WRONLY, 0644)),
              ENOMEDIUM);
    EXPECT_EQ(ErrnoAfter(unlink(At("VOL/file").c_str())), ENOMEDIUM);
    // Who does not wait for a medium learns it when reading.
    const int fd = open(At("VOL/file").c_str(), O_RDONLY | O_NONBLOCK);
    ASSERT_GE(fd, 0);
    char byte = 0;
    EXPECT_EQ(ErrnoAfter(pread(fd, &byte, 1, 0)), ENOMEDIUM);
    close(fd);
  }
};

TEST_F(ShelfTest, O15_OpenOfAVolumeWhoseMediumIsGoneIsENOMEDIUM) {
  TakeOut("V00001");
  ASSERT_OK(Start());
  ExpectItIsShownOnly();
  char state[16] = {};
  EXPECT_GT(getxattr(At("VOL").c_str(), "user.vellum.state", state, 15), 0);
  EXPECT_STREQ(state, "removed");
  const Answer fsck = Tell("fsck VOL");
  EXPECT_EQ(fsck.err, ENOMEDIUM);
  const std::string message = fsck.json["error"]["message"];
  EXPECT_NE(message.find("medium V00001"), std::string::npos) << message;
  EXPECT_NE(message.find("volume VOL"), std::string::npos) << message;
}

TEST_F(ShelfTest, AnEmptyCartridgeIsENOMEDIUM) {
  const std::string image = library() + "/media/V00001.img";
  ASSERT_EQ(std::rename(image.c_str(), dir_.Sub("kept").c_str()), 0);
  ASSERT_OK(Start());
  ExpectItIsShownOnly();
  // It is tried again each time: the medium may have come back.
  ASSERT_EQ(std::rename(dir_.Sub("kept").c_str(), image.c_str()), 0);
  EXPECT_EQ(ReadFileOrDie(At("VOL/file")), "content");
}

TEST_F(ShelfTest, WhatTheKernelKeepsOfAVolumeEndsWhenItsMediumHoldsAnother) {
  const std::string image = library() + "/media/V00001.img";
  const std::string kept = dir_.Sub("kept");
  std::filesystem::copy_file(image, kept);
  ASSERT_OK(Start());
  ASSERT_EQ(mkdir(At("VOL/dir").c_str(), 0755), 0);
  WriteFileOrDie(At("VOL/dir/later"), "later");
  WriteFileOrDie(At("VOL/file"), "longer content");
  Stop();
  ASSERT_EQ(std::remove(image.c_str()), 0);
  ASSERT_OK(Start());
  // The kernel now keeps what the catalog says of the missing medium.
  struct stat st {};
  ASSERT_EQ(stat(At("VOL/dir/later").c_str(), &st), 0);
  ASSERT_EQ(stat(At("VOL/file").c_str(), &st), 0);
  EXPECT_EQ(st.st_size, 14);
  // The medium comes back as it was before. Somebody reads a file; no command
  // is given and no job runs.
  ASSERT_EQ(std::rename(kept.c_str(), image.c_str()), 0);
  const int fd = open(At("VOL/file").c_str(), O_RDONLY);
  ASSERT_GE(fd, 0);
  EXPECT_EQ(fstat(fd, &st), 0);
  EXPECT_EQ(st.st_size, 7);
  close(fd);
  EXPECT_EQ(ReadFileOrDie(At("VOL/file")), "content");
  EXPECT_TRUE(Eventually([&] {
    return ErrnoAfter(stat(At("VOL/dir/later").c_str(), &st)) == ENOENT;
  }));
}

}  // namespace
}  // namespace vellum
