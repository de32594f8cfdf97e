// SPDX-License-Identifier: Apache-2.0
#include "fs/control_handle.h"

#include <gtest/gtest.h>

#include <string>

namespace vellum {
namespace {

TEST(ControlHandleTest, ContentBeforeAnyWrite) {
  ControlHandle handle("abcdef");
  EXPECT_EQ(handle.Read(0, 3), "abc");
  EXPECT_EQ(handle.Read(3, 100), "def");
  EXPECT_EQ(handle.Read(6, 100), "");
  EXPECT_EQ(handle.Read(1000, 100), "");
}

TEST(ControlHandleTest, AnswerBehindTheWrite) {
  ControlHandle handle("");
  handle.SetAnswer("0123456789", 5);  // a shell: the write was 5 bytes long
  EXPECT_EQ(handle.Read(5, 4), "0123");
  EXPECT_EQ(handle.Read(9, 100), "456789");
  EXPECT_EQ(handle.Read(15, 100), "");
}

TEST(ControlHandleTest, AnswerFromTheStart) {
  ControlHandle handle("");
  handle.SetAnswer("0123456789", 5);  // a program with pread(2)
  EXPECT_EQ(handle.Read(0, 5), "01234");
  EXPECT_EQ(handle.Read(5, 100), "56789");
}

TEST(ControlHandleTest, StartAgainAfterReadingBehindTheWrite) {
  ControlHandle handle("");
  handle.SetAnswer("0123456789", 5);
  EXPECT_EQ(handle.Read(5, 100), "0123456789");
  EXPECT_EQ(handle.Read(0, 100), "0123456789");
}

TEST(ControlHandleTest, EachWriteHasItsOwnAnswer) {
  ControlHandle handle("");
  handle.SetAnswer("first", 3);
  EXPECT_EQ(handle.Read(3, 100), "first");
  handle.SetAnswer("second", 20);
  EXPECT_EQ(handle.Read(20, 100), "second");
}

}  // namespace
}  // namespace vellum
