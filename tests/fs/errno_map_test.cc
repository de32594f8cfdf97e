// SPDX-License-Identifier: Apache-2.0
#include "fs/errno_map.h"

#include <gtest/gtest.h>

#include <cerrno>
#include <string>

namespace vellum {
namespace {

TEST(ErrnoMapTest, SaysWhatSystemCallsSay) {
  EXPECT_EQ(ErrnoOf(Errc::kNotFound), ENOENT);
  EXPECT_EQ(ErrnoOf(Errc::kReadOnly), EROFS);
  EXPECT_EQ(ErrnoOf(Errc::kWriteProtected), EROFS);
  EXPECT_EQ(ErrnoOf(Errc::kAccessDenied), EACCES);
  EXPECT_EQ(ErrnoOf(Errc::kNotPermitted), EPERM);
  EXPECT_EQ(ErrnoOf(Errc::kNoMedium), ENOMEDIUM);
  EXPECT_EQ(ErrnoOf(Errc::kCorruption), EUCLEAN);
  EXPECT_EQ(ErrnoOf(Errc::kDeviceError), EIO);
  EXPECT_EQ(ErrnoOf(Errc::kNoAttribute), ENODATA);
  EXPECT_EQ(ErrnoOf(Errc::kCrossVolume), EXDEV);
  EXPECT_EQ(ErrnoOf(Errc::kInterrupted), EINTR);
  EXPECT_EQ(ErrnoOf(Errc::kOffline), EAGAIN);
  EXPECT_EQ(ErrnoOf(Errc::kNoSpace), ENOSPC);
  EXPECT_EQ(ErrnoOf(Errc::kTooLarge), EFBIG);
  EXPECT_EQ(CommandErrnoOf(Errc::kTooLarge), E2BIG);
  EXPECT_STREQ(ErrnoName(E2BIG), "E2BIG");
}

TEST(ErrnoMapTest, EveryCodeHasANamedErrno) {
  for (int i = 0; i <= static_cast<int>(Errc::kInternal); ++i) {
    const int err = ErrnoOf(static_cast<Errc>(i));
    EXPECT_GT(err, 0);
    // Only what is EIO may be called EIO: a missing name would be, too.
    EXPECT_EQ(std::string(ErrnoName(err)) == "EIO", err == EIO) << err;
  }
}

}  // namespace
}  // namespace vellum
