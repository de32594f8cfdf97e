// SPDX-License-Identifier: Apache-2.0
// Names and file identifiers.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <random>
#include <set>

#include "media/udf/bytes.h"
#include "media/udf/codec.h"
#include "media/udf/cs0.h"
#include "tests/support/status_matchers.h"

namespace vellum::udf {
namespace {

constexpr uint32_t kBlock = 300;

Fid Named(const std::string& name) {
  Fid fid;
  fid.name = name;
  fid.icb_block = 77;
  fid.unique_id = 99;
  return fid;
}

std::string Repeat(const std::string& text, size_t times) {
  std::string out;
  for (size_t i = 0; i < times; ++i) out += text;
  return out;
}

// The name as another system sees it.
std::string StoredForm(const std::string& name) {
  return DecodeCs0(MakeStoredName(name).cs0).value();
}

void ExpectRoundTrip(const Fid& fid) {
  ASSERT_OK_AND_ASSIGN(const size_t length, FidLength(fid));
  EXPECT_EQ(length % 4, 0u);
  for (const size_t extra : {size_t{0}, size_t{32}, size_t{1000}}) {
    Bytes data(3);  // appended, wherever that is
    ASSERT_OK(EncodeFid(fid, kBlock, extra, &data));
    EXPECT_EQ(data.size(), 3 + length + extra);
    data.resize(data.size() + 50);
    ASSERT_OK_AND_ASSIGN(const DecodedFid back,
                         DecodeFid(ConstByteSpan(data).subspan(3), kBlock));
    EXPECT_EQ(back.fid.name, fid.name);
    EXPECT_EQ(back.fid.icb_block, fid.icb_block);
    EXPECT_EQ(back.fid.unique_id, fid.unique_id);
    EXPECT_EQ(back.fid.directory, fid.directory);
    EXPECT_EQ(back.fid.parent, fid.parent);
    EXPECT_EQ(back.length, length + extra);
    EXPECT_EQ(back.needed, length);
  }
}

TEST(Names, ThatFitAreStoredAsTheyAre) {
  for (const std::string& name :
       {std::string("a"), std::string("README.txt"), std::string("a\\b"),
        std::string("with space \x01 and control"), std::string(254, 'x'),
        Repeat("\xC3\xA9", 127),              // 127 e-acute
        Repeat("\xE6\x97\xA5", 85),           // 255 bytes of CJK
        std::string("\xF0\x9F\x98\x80.png"),  // emoji
        std::string("a~0123456789abcde"), std::string("...")}) {
    EXPECT_TRUE(MakeStoredName(name).exact) << name;
    EXPECT_EQ(StoredForm(name), name);
    ExpectRoundTrip(Named(name));
  }
}

TEST(Names, ThatDoNotFitAreShortenedAndKept) {
  for (const std::string& name :
       {std::string(255, 'x'), std::string(200, 'x') + "\xE6\x97\xA5",
        std::string("bad \xFF\xC3 bytes"), std::string("\xED\xA0\x80"),
        std::string("\xEF\xBB\xBFmark"),  // U+FEFF
        std::string("\xC0\xAF"),          // overlong '/'
        std::string("a~0123456789abcdef"),
        Repeat("\xF0\x9F\x98\x80", 63) + "abc"}) {
    const StoredName stored = MakeStoredName(name);
    if (name.size() == 255 && name[0] == '\xF0') {
      // 129 units, one too many for 16 bits.
      ASSERT_FALSE(stored.exact);
    }
    EXPECT_FALSE(stored.exact) << name;
    EXPECT_LE(stored.cs0.size(), kMaxCs0Name);
    EXPECT_NE(StoredForm(name), name);
    ExpectRoundTrip(Named(name));
  }
}

TEST(Names, AShortenedNameKeepsItsBeginning) {
  const std::string stored = StoredForm("bad\xFFname");
  EXPECT_THAT(stored, testing::StartsWith("bad_name~"));
  EXPECT_EQ(stored.size(), 9u + 16u);
  EXPECT_EQ(StoredForm(std::string(255, 'x')).size(), 254u);
}

TEST(Names, NoTwoShareAStoredForm) {
  // A file that is really called like the shortened form of another one.
  const std::string odd("a\xFF", 2);
  const std::string impostor = StoredForm(odd);
  const std::string twice = StoredForm(impostor);
  std::set<std::string> stored;
  for (const std::string& name : {odd, impostor, twice, StoredForm(twice),
                                  std::string("a\xFE", 2), std::string("a_")}) {
    EXPECT_TRUE(stored.insert(StoredForm(name)).second) << name;
    ExpectRoundTrip(Named(name));
  }
}

TEST(Names, LimitsAndNonsenseAreRefused) {
  EXPECT_THAT(FidLength(Named(std::string(256, 'x'))),
              HasErrc(Errc::kNameTooLong));
  for (const std::string& name :
       {std::string(), std::string("."), std::string(".."), std::string("a/b"),
        std::string("a\0b", 3)}) {
    EXPECT_THAT(FidLength(Named(name)), HasErrc(Errc::kInvalidArgument));
  }
  Bytes out;
  for (const size_t extra : {4, 28, 33}) {
    EXPECT_THAT(EncodeFid(Named("a"), kBlock, extra, &out),
                HasErrc(Errc::kInvalidArgument));
  }
  EXPECT_THAT(EncodeFid(Named("a"), kBlock, 2012, &out),
              HasErrc(Errc::kTooLarge));
  EXPECT_TRUE(out.empty());
}

TEST(Names, RandomBytesComeBack) {
  std::mt19937 random(7);
  for (int round = 0; round < 3000; ++round) {
    std::string name(1 + random() % 255, ' ');
    for (char& c : name) {
      do {
        c = static_cast<char>(random() % (round % 2 == 0 ? 256 : 128));
      } while (c == '/' || c == '\0');
    }
    if (name == "." || name == "..") continue;
    ExpectRoundTrip(Named(name));
    if (HasFailure()) return;
  }
}

TEST(Fid, OfTheParent) {
  Fid parent;
  parent.parent = true;
  parent.directory = true;
  parent.icb_block = 64;
  Bytes data;
  ASSERT_OK(EncodeFid(parent, kBlock, 0, &data));
  EXPECT_EQ(data.size(), 40u);
  EXPECT_EQ(Load8(data, 18), 10);
  EXPECT_EQ(Load8(data, 19), 0);
  EXPECT_EQ(Load16(data, 10), 24) << "CRC covers the padding";
  ExpectRoundTrip(parent);
  parent.name = "x";
  EXPECT_THAT(FidLength(parent), HasErrc(Errc::kInvalidArgument));
}

TEST(Fid, MovedWithoutANewTagIsFound) {
  Bytes data;
  ASSERT_OK(EncodeFid(Named("a"), kBlock, 0, &data));
  EXPECT_THAT(
      DecodeFid(data, kBlock + 1),
      testing::AllOf(HasErrc(Errc::kCorruption), MessageHas("location")));
  data[50 % data.size()] ^= std::byte{1};
  EXPECT_THAT(DecodeFid(data, kBlock), HasErrc(Errc::kCorruption));
}

TEST(ForEachFid, VisitsEveryEntryAndCountsBlocks) {
  Bytes content;
  std::vector<std::string> names;
  for (int i = 0; i < 500; ++i) {
    names.push_back("file number " + std::to_string(i));
    const auto block =
        kBlock + static_cast<uint32_t>(content.size() / kSectorSize);
    ASSERT_OK(EncodeFid(Named(names.back()), block, 0, &content));
  }
  size_t i = 0;
  size_t expected = 0;
  ASSERT_OK(ForEachFid(content, kBlock,
                       [&](size_t offset, const DecodedFid& decoded) {
                         EXPECT_EQ(offset, expected);
                         EXPECT_EQ(decoded.fid.name, names[i]);
                         expected = offset + decoded.length;
                         ++i;
                         return Status::Ok();
                       }));
  EXPECT_EQ(i, names.size());
  const Status stopped =
      ForEachFid(content, kBlock, [](size_t, const DecodedFid&) {
        return Status(Errc::kAborted, "enough");
      });
  EXPECT_THAT(stopped, HasErrc(Errc::kAborted));
  content.pop_back();
  EXPECT_THAT(
      ForEachFid(content, kBlock,
                 [](size_t, const DecodedFid&) { return Status::Ok(); }),
      HasErrc(Errc::kCorruption));
}

// Anything worse than linear does not end within the test's time limit.
TEST(ForEachFid, TakesAMillionEntries) {
  constexpr uint32_t kEntries = 1'000'000;
  Bytes content;
  Fid fid = Named("");
  for (uint32_t i = 0; i < kEntries; ++i) {
    fid.name = "some file name " + std::to_string(i);
    ASSERT_OK(EncodeFid(
        fid, kBlock + static_cast<uint32_t>(content.size() / kSectorSize), 0,
        &content));
  }
  uint32_t found = 0;
  ASSERT_OK(ForEachFid(content, kBlock, [&](size_t, const DecodedFid&) {
    ++found;
    return Status::Ok();
  }));
  EXPECT_EQ(found, kEntries);
}

TEST(Dstring, CutsWhatDoesNotFit) {
  Bytes field(36);
  StoreDstring(field, 4, 32, std::string(100, 'v'));
  EXPECT_EQ(LoadDstring(field, 4, 32).value(), std::string(30, 'v'));
  StoreDstring(field, 4, 32, "\xE6\x97\xA5");
  EXPECT_EQ(LoadDstring(field, 4, 32).value(), "\xE6\x97\xA5");
  Bytes empty(32);
  StoreDstring(empty, 0, 32, "");
  EXPECT_EQ(empty, Bytes(32));
  EXPECT_EQ(LoadDstring(empty, 0, 32).value(), "");
  Store8(empty, 31, 32);
  EXPECT_THAT(LoadDstring(empty, 0, 32), HasErrc(Errc::kCorruption));
}

}  // namespace
}  // namespace vellum::udf
