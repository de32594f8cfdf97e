// SPDX-License-Identifier: Apache-2.0
#include "fs/command_line.h"

#include <gtest/gtest.h>

#include <string>

#include "tests/support/status_matchers.h"

namespace vellum {
namespace {

TEST(CommandLineTest, WordsAndOptions) {
  ASSERT_OK_AND_ASSIGN(
      const CommandLine line,
      ParseCommandLine("  copy\tVOL-1 mode=image to=1024  verify=no\n"));
  EXPECT_EQ(line.verb, "copy");
  EXPECT_EQ(line.args, std::vector<std::string>{"VOL-1"});
  EXPECT_EQ(line.options.size(), 3u);
  EXPECT_EQ(line.options.at("mode"), "image");
  EXPECT_EQ(line.options.at("verify"), "no");
}

TEST(CommandLineTest, QuotesAndEscapes) {
  ASSERT_OK_AND_ASSIGN(
      const CommandLine line,
      ParseCommandLine(R"(mount VOL dir="/a b/\"c\"" "x=y" d\ e "")"));
  EXPECT_EQ(line.options.at("dir"), "/a b/\"c\"");
  EXPECT_EQ(line.args, (std::vector<std::string>{"VOL", "x=y", "d e", ""}));
}

TEST(CommandLineTest, OnlyLowerCaseKeysMakeOptions) {
  ASSERT_OK_AND_ASSIGN(const CommandLine line,
                       ParseCommandLine("info A=B c=d=e"));
  EXPECT_EQ(line.args, std::vector<std::string>{"A=B"});
  EXPECT_EQ(line.options.at("c"), "d=e");
}

TEST(CommandLineTest, Mistakes) {
  EXPECT_THAT(ParseCommandLine(""), HasErrc(Errc::kInvalidArgument));
  EXPECT_THAT(ParseCommandLine(" \n"), HasErrc(Errc::kInvalidArgument));
  EXPECT_THAT(ParseCommandLine("mount \"A"), MessageHas("not closed"));
  EXPECT_THAT(ParseCommandLine("mount A\\"), MessageHas("backslash"));
  EXPECT_THAT(ParseCommandLine("copy A b=1 b=2"), MessageHas("twice"));
  EXPECT_THAT(ParseCommandLine("info A\ninfo B"), MessageHas("one command"));
  EXPECT_THAT(ParseCommandLine(std::string("in\0fo", 5)), MessageHas("NUL"));
  EXPECT_THAT(ParseCommandLine("a=b c"), MessageHas("not a command"));
}

TEST(CommandLineTest, QuoteWordIsReadBack) {
  for (const char* word : {"A", "", "a b", "x\"y", "back\\slash", "k=v"}) {
    ASSERT_OK_AND_ASSIGN(const CommandLine line,
                         ParseCommandLine("verb " + QuoteWord(word)));
    EXPECT_EQ(line.args, std::vector<std::string>{word});
  }
}

TEST(CommandLineTest, NumbersAreWholeWords) {
  EXPECT_EQ(ParseNumber("1024"), 1024u);
  EXPECT_EQ(ParseNumber("0x400"), 1024u);
  for (const char* text :
       {"", "0x", "12a", "-1", " 1", "1.5", "99999999999999999999"}) {
    EXPECT_EQ(ParseNumber(text), std::nullopt) << text;
  }
}

TEST(OptionReaderTest, ReadsWhatIsGiven) {
  ASSERT_OK_AND_ASSIGN(const CommandLine line,
                       ParseCommandLine("v A mode=b flag=yes number=7 text=x"));
  OptionReader options(line);
  options.Args(1, 1, "v A");
  EXPECT_EQ(options.Choice("mode", {"a", "b"}, 0), 1u);
  EXPECT_TRUE(options.Flag("flag", false));
  EXPECT_TRUE(options.Flag("absent", true));
  EXPECT_EQ(options.Number("number", 1, 1, 10), 7u);
  EXPECT_EQ(options.Text("text"), "x");
  EXPECT_OK(options.Finish());
}

TEST(OptionReaderTest, NamesTheMistake) {
  const auto check = [](const std::string& text, auto&& read) {
    const Result<CommandLine> line = ParseCommandLine(text);
    OptionReader options(*line);
    read(&options);
    return options.Finish();
  };
  EXPECT_THAT(check("v x=1", [](OptionReader*) {}),
              MessageHas("unknown option \"x\""));
  EXPECT_THAT(check("v mode=c",
                    [](OptionReader* o) {
                      o->Choice("mode", {"a", "b"}, 0);
                    }),
              MessageHas("mode=c: expected one of a, b"));
  EXPECT_THAT(check("v f=maybe", [](OptionReader* o) { o->Flag("f", false); }),
              MessageHas("expected yes or no"));
  EXPECT_THAT(
      check("v n=11", [](OptionReader* o) { o->Number("n", 1, 1, 10); }),
      MessageHas("from 1 to 10"));
  EXPECT_THAT(check("v t=", [](OptionReader* o) { o->Text("t"); }),
              MessageHas("no value"));
  EXPECT_THAT(check("v A B", [](OptionReader* o) { o->Args(1, 1, "v A"); }),
              MessageHas("usage: v A"));
}

}  // namespace
}  // namespace vellum
