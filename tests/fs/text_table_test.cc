// SPDX-License-Identifier: Apache-2.0
#include "fs/text_table.h"

#include <gtest/gtest.h>

namespace vellum {
namespace {

TEST(TextTableTest, ColumnsAreAligned) {
  Table table;
  table.columns = {{"name", "Name"}, {"bytes", "Bytes"}, {"note", "Note"}};
  table.rows.push_back({{"name", "V1"}, {"bytes", 7}, {"note", nullptr}});
  table.rows.push_back(
      {{"name", "LONGER"}, {"bytes", 123456}, {"note", "two\nlines"}});
  EXPECT_EQ(RenderText(table),
            "Name     Bytes  Note\n"
            "V1           7  -\n"
            "LONGER  123456  two lines\n");
}

TEST(TextTableTest, EmptyTableHasItsHeader) {
  Table table;
  table.columns = {{"a", "A"}, {"b", "B"}};
  EXPECT_EQ(RenderText(table), "A  B\n");
}

TEST(TextTableTest, MissingValuesListsAndFlags) {
  Table table;
  table.columns = {{"a", "A"}, {"b", "B"}, {"c", "C"}};
  table.rows.push_back({{"a", true}, {"b", {"x", "y"}}});
  EXPECT_EQ(RenderText(table),
            "A    B    C\n"
            "yes  x,y  -\n");
}

TEST(TextTableTest, PairsFlattenObjects) {
  const Json object = {{"version", "1"}, {"changer", {{"vendor", "X"}}}};
  EXPECT_EQ(RenderPairs(object),
            "version         1\n"
            "changer.vendor  X\n");
}

TEST(TextTableTest, JsonTakesBytesThatAreNoText) {
  const Json rows = Json::array({{{"name", "bad\xff"}}});
  const std::string text = RenderJson(rows);
  EXPECT_EQ(text.back(), '\n');
  EXPECT_TRUE(Json::accept(text));
}

}  // namespace
}  // namespace vellum
