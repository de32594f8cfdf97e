// SPDX-License-Identifier: Apache-2.0
#include "tools/human.h"

#include <gtest/gtest.h>

#include "tests/support/status_matchers.h"

namespace vellum {
namespace {

uint64_t Size(const std::string& text) {
  const Result<uint64_t> size = ParseSize(text);
  return size.ok() ? *size : 0;
}

TEST(ParseSize, KnowsDecimalAndBinaryUnits) {
  EXPECT_EQ(Size("1048576"), 1048576u);
  EXPECT_EQ(Size("25G"), 25'000'000'000u);
  EXPECT_EQ(Size("25GB"), 25'000'000'000u);
  EXPECT_EQ(Size("64Ki"), 65536u);
  EXPECT_EQ(Size("64KiB"), 65536u);
  EXPECT_EQ(Size("1.5M"), 1'500'000u);
  EXPECT_EQ(Size("2T"), 2'000'000'000'000u);
  EXPECT_EQ(Size("2g"), 2'000'000'000u);
}

TEST(ParseSize, RefusesWhatIsNoSize) {
  for (const char* text :
       {"", "G", "-1", "12X", "1GG", "1 G", "1Kib2", "99999999999T"}) {
    EXPECT_THAT(ParseSize(text), HasErrc(Errc::kInvalidArgument)) << text;
    EXPECT_THAT(ParseSize(text), MessageHas(std::string("'") + text + "'"));
  }
}

TEST(FormatBytes, PicksTheUnit) {
  EXPECT_EQ(FormatBytes(0), "0 B");
  EXPECT_EQ(FormatBytes(999), "999 B");
  EXPECT_EQ(FormatBytes(1000), "1.0 kB");
  EXPECT_EQ(FormatBytes(999'960), "1.0 MB");
  EXPECT_EQ(FormatBytes(25'000'000'000), "25.0 GB");
}

TEST(FormatSeconds, PicksTheUnit) {
  EXPECT_EQ(FormatSeconds(-3), "0 s");
  EXPECT_EQ(FormatSeconds(59.4), "59 s");
  EXPECT_EQ(FormatSeconds(245), "4:05 min");
  EXPECT_EQ(FormatSeconds(7800), "2:10:00 h");
}

}  // namespace
}  // namespace vellum
