// SPDX-License-Identifier: Apache-2.0
// Checksums, file entries with their allocation and attributes, integrity.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <random>

#include "media/udf/bytes.h"
#include "media/udf/codec.h"
#include "tests/support/status_matchers.h"

namespace vellum::udf {
namespace {

constexpr uint32_t kPartition = 1u << 30;
constexpr uint32_t kBlock = 4711;

Bytes BytesOf(std::string_view text) {
  const ConstByteSpan span = AsBytes(text);
  return Bytes(span.begin(), span.end());
}

TEST(Crc16, KnowsTheExampleOfTheStandard) {
  EXPECT_EQ(Crc16(BytesOf("\x70\x6A\x77")), 0x3299);
  EXPECT_EQ(Crc16({}), 0);
}

TEST(Crc16, DoesNotDependOnTheStepWidth) {
  Bytes data(300);
  for (size_t i = 0; i < data.size(); ++i) {
    data[i] = std::byte(static_cast<uint8_t>(i * 37 + i / 7));
  }
  for (size_t length = 0; length < data.size(); ++length) {
    unsigned slow = 0;
    for (size_t i = 0; i < length; ++i) {
      slow ^= std::to_integer<unsigned>(data[i]) << 8;
      for (int bit = 0; bit < 8; ++bit) {
        slow = (slow & 0x8000) != 0 ? (slow << 1) ^ 0x1021 : slow << 1;
      }
      slow &= 0xFFFF;
    }
    ASSERT_EQ(Crc16(ConstByteSpan(data).first(length)), slow) << length;
  }
}

TEST(Crc32c, KnowsPublishedValuesAndChains) {
  EXPECT_EQ(Crc32c(BytesOf("123456789")), 0xE3069283u);
  EXPECT_EQ(Crc32c(Bytes(32)), 0x8A9136AAu);  // RFC 3720 B.4
  Bytes data(1000);
  std::mt19937 random(1);
  for (std::byte& b : data) b = std::byte(static_cast<uint8_t>(random()));
  for (size_t cut = 0; cut <= data.size(); cut += 13) {
    const ConstByteSpan all(data);
    EXPECT_EQ(Crc32c(all.subspan(cut), Crc32c(all.first(cut))), Crc32c(all));
    EXPECT_EQ(Crc32cPortable(all.first(cut)), Crc32c(all.first(cut)));
  }
}

// Encodes, decodes through the AEDs that came out, and checks that nothing
// else was asked for.
Result<FileEntry> RoundTrip(const FileEntry& entry) {
  ASSIGN_OR_RETURN(const EncodedEntry encoded, EncodeFileEntry(entry, kBlock));
  return DecodeFileEntry(
      encoded.icb, kBlock, kPartition, [&](uint32_t block, Sector* out) {
        for (size_t i = 0; i < entry.aed_blocks.size(); ++i) {
          if (entry.aed_blocks[i] != block) continue;
          *out = encoded.aeds[i];
          return Status::Ok();
        }
        return Status(Errc::kInternal, "reads something else");
      });
}

void ExpectSame(const FileEntry& a, const FileEntry& b) {
  EXPECT_EQ(a.attr, b.attr);
  EXPECT_EQ(a.extents, b.extents);
  EXPECT_EQ(a.inline_data, b.inline_data);
  EXPECT_EQ(a.symlink_target, b.symlink_target);
  EXPECT_EQ(a.aed_blocks, b.aed_blocks);
}

FileEntry File(uint64_t size) {
  FileEntry entry;
  entry.attr.size = size;
  entry.attr.unique_id = 16;
  entry.attr.mode = 0644;
  return entry;
}

void GiveAeds(FileEntry* entry) {
  entry->aed_blocks.clear();
  const size_t needed = AedsNeeded(*entry);
  for (size_t i = 0; i < needed; ++i) {
    entry->aed_blocks.push_back(static_cast<uint32_t>(900000 + 7 * i));
  }
}

TEST(FileEntry, KeepsEveryModeOfEveryType) {
  for (const FileType type :
       {FileType::kDirectory, FileType::kRegular, FileType::kBlockDevice,
        FileType::kCharDevice, FileType::kFifo, FileType::kSocket,
        FileType::kSymlink}) {
    for (uint32_t mode = 0; mode < 010000; mode += 1 + mode % 5) {
      FileEntry entry;
      entry.attr.type = type;
      entry.attr.mode = mode;
      entry.attr.unique_id = 1234567890123;
      entry.attr.uid = 0xFFFFFFFE;
      entry.attr.gid = 70000;
      if (type == FileType::kDirectory) {
        entry.attr.links = 7;
        entry.attr.size = 40;
        entry.extents = {{0, 99, 1, false}};
      } else if (type == FileType::kSymlink) {
        entry.symlink_target = "a/b";
        entry.attr.size = 3;
      } else if (type != FileType::kRegular && type != FileType::kFifo &&
                 type != FileType::kSocket) {
        entry.attr.major = 259;
        entry.attr.minor = 0xFFFFF;
      }
      ASSERT_OK_AND_ASSIGN(const FileEntry back, RoundTrip(entry));
      ExpectSame(entry, back);
    }
  }
}

TEST(FileEntry, HasTheBytesOfTheStandard) {
  FileEntry entry;
  entry.attr.type = FileType::kDirectory;
  entry.attr.mode = 07751;
  entry.attr.links = 5;
  entry.attr.size = 80;
  entry.attr.unique_id = 0x1122334455;
  entry.attr.mtime = {1700000000, 123456789};
  entry.extents = {{0, 77, 1, false}};
  ASSERT_OK_AND_ASSIGN(const EncodedEntry encoded,
                       EncodeFileEntry(entry, kBlock));
  const Sector& s = encoded.icb;
  EXPECT_EQ(Load16(s, 0), 266);
  EXPECT_EQ(Load32(s, 12), kBlock);
  EXPECT_EQ(Load16(s, 20), 4);  // strategy
  EXPECT_EQ(Load8(s, 27), 4);   // directory
  EXPECT_EQ(Load16(s, 34), 0x1C0) << "short descriptors, setuid, setgid, "
                                     "sticky";
  // x for other; r x for group; r w x, attributes, delete for the owner.
  EXPECT_EQ(Load32(s, 44), 1u | (5u << 5) | (0x1Fu << 10));
  EXPECT_EQ(Load16(s, 48), 4) << "UDF counts 1 + subdirectories";
  EXPECT_EQ(Load64(s, 56), 80u);
  EXPECT_EQ(Load64(s, 64), 80u);
  EXPECT_EQ(Load64(s, 72), 1u);
  // 2023-11-14 22:13:20.123456 UTC
  EXPECT_EQ(Load16(s, 92), 0x1000);
  EXPECT_EQ(Load16(s, 94), 2023);
  EXPECT_EQ(Load8(s, 96), 11);
  EXPECT_EQ(Load8(s, 97), 14);
  EXPECT_EQ(Load8(s, 98), 22);
  EXPECT_EQ(Load8(s, 99), 13);
  EXPECT_EQ(Load8(s, 100), 20);
  EXPECT_EQ(Load8(s, 101), 12);
  EXPECT_EQ(Load8(s, 102), 34);
  EXPECT_EQ(Load8(s, 103), 56);
  EXPECT_EQ(Load64(s, 200), 0x1122334455u);
  const size_t attributes = Load32(s, 208);
  EXPECT_EQ(attributes % 4, 0u);
  EXPECT_EQ(Load32(s, 212), 8u);
  EXPECT_EQ(Load16(s, 216), 262);
  EXPECT_EQ(Load16(s, 10), 216 + attributes + 8 - 16) << "CRC length";
  EXPECT_EQ(Load32(s, 216 + attributes), 80u);
  EXPECT_EQ(Load32(s, 216 + attributes + 4), 77u);
}

TEST(FileEntry, WritesTheStandardDeviceSpecification) {
  FileEntry entry;
  entry.attr.type = FileType::kCharDevice;
  entry.attr.major = 5;
  entry.attr.minor = 1;
  ASSERT_OK_AND_ASSIGN(const EncodedEntry encoded,
                       EncodeFileEntry(entry, kBlock));
  const ConstByteSpan spec = ConstByteSpan(encoded.icb).subspan(216 + 24);
  EXPECT_EQ(Load32(spec, 0), 12u);
  EXPECT_EQ(Load8(spec, 4), 1);
  EXPECT_EQ(Load32(spec, 8), 56u);
  EXPECT_EQ(Load32(spec, 12), 32u);
  EXPECT_EQ(Load32(spec, 16), 5u);
  EXPECT_EQ(Load32(spec, 20), 1u);
  EXPECT_EQ(Load32(encoded.icb, 216 + 16), 24u + 56u)
      << "where implementation attributes begin";
}

TEST(FileEntry, KeepsEveryTime) {
  for (const TimeSpec time :
       {TimeSpec{0, 0}, TimeSpec{0, 1}, TimeSpec{-1, 999999999},
        TimeSpec{951782400, 999},  // 2000-02-29
        TimeSpec{-62135596800, 5}, TimeSpec{253402300799, 999999999},
        TimeSpec{-62135596801, 7}, TimeSpec{253402300800, 123456789},
        TimeSpec{INT64_MAX, 999999999}, TimeSpec{INT64_MIN, 0}}) {
    FileEntry entry = File(0);
    entry.inline_data = Bytes();
    entry.attr.atime = time;
    entry.attr.mtime = {1, 2};
    entry.attr.ctime = {time.sec, 3};
    entry.attr.btime = {4, time.nsec};
    ASSERT_OK_AND_ASSIGN(const FileEntry back, RoundTrip(entry));
    ExpectSame(entry, back);
  }
}

TEST(FileEntry, HoldsInlineDataUpToItsCapacity) {
  FileEntry entry = File(0);
  entry.attr.xattrs["user.colour"] = "blue";
  const size_t capacity = InlineCapacity(entry.attr);
  EXPECT_GT(capacity, 1700u);
  for (const size_t size : {size_t{0}, size_t{1}, size_t{2}, capacity}) {
    entry.attr.size = size;
    entry.inline_data = Bytes(size, std::byte{0x5A});
    EXPECT_EQ(AedsNeeded(entry), 0u);
    ASSERT_OK_AND_ASSIGN(const FileEntry back, RoundTrip(entry));
    ExpectSame(entry, back);
  }
  entry.attr.size = capacity + 1;
  entry.inline_data = Bytes(capacity + 1);
  EXPECT_THAT(EncodeFileEntry(entry, kBlock), HasErrc(Errc::kTooLarge));
  entry.attr.size = 3;
  EXPECT_THAT(EncodeFileEntry(entry, kBlock), HasErrc(Errc::kInvalidArgument));
}

TEST(FileEntry, KeepsXattrsAndSaysWhenTheyDoNotFit) {
  FileEntry entry = File(5000);
  entry.extents = {{0, 100, 3, false}};
  std::string raw;
  for (int i = 0; i < 256; ++i) raw.push_back(static_cast<char>(i));
  entry.attr.xattrs = {{"user.empty", ""},
                       {"system.posix_acl_access", raw},
                       {std::string(255, 'n'), "v"}};
  ASSERT_OK(CheckXattrsFit(entry.attr, ""));
  ASSERT_OK_AND_ASSIGN(const FileEntry back, RoundTrip(entry));
  ExpectSame(entry, back);

  entry.attr.xattrs = {{"user.big", ""}};
  size_t largest = 0;
  while (CheckXattrsFit(entry.attr, "").ok()) {
    largest = entry.attr.xattrs["user.big"].size();
    entry.attr.xattrs["user.big"] += "xxxx";
  }
  EXPECT_GT(largest, 1500u);
  EXPECT_THAT(CheckXattrsFit(entry.attr, ""),
              testing::AllOf(HasErrc(Errc::kNoSpace), MessageHas("share")));
  EXPECT_EQ(EncodeFileEntry(entry, kBlock).error().code, Errc::kTooLarge);
  entry.attr.xattrs["user.big"].resize(largest);
  GiveAeds(&entry);
  ASSERT_OK_AND_ASSIGN(const FileEntry full, RoundTrip(entry));
  ExpectSame(entry, full);
  entry.attr.xattrs = {{std::string(256, 'n'), "v"}};
  EXPECT_THAT(CheckXattrsFit(entry.attr, ""), HasErrc(Errc::kInvalidArgument));
}

TEST(FileEntry, ChainsDescriptorsThatDoNotFit) {
  // 218 descriptors stand in an entry without xattrs, 253 in an AED; each list
  // that goes on gives one of them for it.
  const struct {
    uint32_t extents;
    size_t aeds;
  } cases[] = {{1, 0},   {218, 0}, {219, 1}, {470, 1},
               {471, 2}, {722, 2}, {723, 3}, {100000, 396}};
  for (const auto& c : cases) {
    FileEntry entry = File(0);
    for (uint32_t i = 0; i < c.extents; ++i) {
      entry.extents.push_back({i, 10 + 2 * i, 1, false});
    }
    entry.attr.size = c.extents * uint64_t{kSectorSize} - 100;
    GiveAeds(&entry);
    EXPECT_EQ(entry.aed_blocks.size(), c.aeds) << c.extents;
    ASSERT_OK_AND_ASSIGN(const FileEntry back, RoundTrip(entry));
    ExpectSame(entry, back);
  }
}

TEST(FileEntry, AGrowingChainChangesItsLastAedOnly) {
  FileEntry entry = File(0);
  for (uint32_t i = 0; i < 600; ++i) {
    entry.extents.push_back({i, 10 + 2 * i, 1, false});
  }
  entry.attr.size = 600 * kSectorSize;
  GiveAeds(&entry);
  ASSERT_EQ(entry.aed_blocks.size(), 2u);
  ASSERT_OK_AND_ASSIGN(const EncodedEntry before,
                       EncodeFileEntry(entry, kBlock));
  entry.extents.push_back({600, 5000, 1, false});
  entry.attr.size += kSectorSize;
  ASSERT_OK_AND_ASSIGN(const EncodedEntry after,
                       EncodeFileEntry(entry, kBlock));
  EXPECT_EQ(before.aeds[0], after.aeds[0]);
  EXPECT_NE(before.aeds[1], after.aeds[1]);
}

TEST(FileEntry, SplitsLongRunsAndKeepsHoles) {
  constexpr uint32_t kLong = 3 * 524287 + 5;  // sectors, over 3 GiB
  FileEntry entry = File(0);
  entry.extents = {{700000, 1000, kLong, false},
                   {700000 + kLong, 1000 + kLong, 9, true},
                   {3000000, 5, 1, true}};
  entry.attr.size = uint64_t{4000000} * kSectorSize + 1;
  GiveAeds(&entry);
  ASSERT_OK_AND_ASSIGN(const EncodedEntry encoded,
                       EncodeFileEntry(entry, kBlock));
  EXPECT_EQ(Load64(encoded.icb, 72), kLong) << "only recorded blocks count";
  ASSERT_OK_AND_ASSIGN(const FileEntry back, RoundTrip(entry));
  ExpectSame(entry, back);

  FileEntry hole = File(kMaxFileSize);
  GiveAeds(&hole);
  EXPECT_EQ(hole.aed_blocks.size(), 65u);
  ASSERT_OK_AND_ASSIGN(const FileEntry hole_back, RoundTrip(hole));
  ExpectSame(hole, hole_back);
  EXPECT_THAT(EncodeFileEntry(File(kMaxFileSize + 1), kBlock),
              HasErrc(Errc::kTooLarge));
}

TEST(FileEntry, RefusesExtentsThatCannotBe) {
  FileEntry entry = File(3 * kSectorSize);
  entry.extents = {{0, 10, 4, false}};  // behind the end
  EXPECT_THAT(EncodeFileEntry(entry, kBlock), HasErrc(Errc::kInvalidArgument));
  entry.extents = {{0, 10, 2, false}, {1, 20, 1, false}};  // overlap
  EXPECT_THAT(EncodeFileEntry(entry, kBlock), HasErrc(Errc::kInvalidArgument));
  entry.extents = {{0, 10, 3, false}};
  entry.aed_blocks = {7};  // not needed
  EXPECT_THAT(EncodeFileEntry(entry, kBlock), HasErrc(Errc::kInvalidArgument));
}

TEST(FileEntry, ADirectoryIsExactlyOneRecordedExtent) {
  FileEntry entry;
  entry.attr.type = FileType::kDirectory;
  entry.attr.links = 2;
  entry.attr.size = 3000;
  for (const std::vector<Extent>& extents :
       {std::vector<Extent>{}, std::vector<Extent>{{0, 10, 2, true}},
        std::vector<Extent>{{0, 10, 1, false}, {1, 20, 1, false}},
        std::vector<Extent>{{0, 10, 3, false}},
        std::vector<Extent>{{1, 10, 2, false}}}) {
    entry.extents = extents;
    EXPECT_THAT(EncodeFileEntry(entry, kBlock),
                HasErrc(Errc::kInvalidArgument));
  }
  entry.extents = {{0, 10, 2, false}};
  ASSERT_OK(EncodeFileEntry(entry, kBlock));
  entry.attr.size = kMaxDirectorySize + 1;
  entry.extents[0].count = 524288;
  EXPECT_THAT(EncodeFileEntry(entry, kBlock), HasErrc(Errc::kTooLarge));
}

TEST(FileEntry, LimitsLinks) {
  FileEntry entry = File(0);
  entry.attr.links = 65535;
  ASSERT_OK_AND_ASSIGN(const FileEntry back, RoundTrip(entry));
  EXPECT_EQ(back.attr.links, 65535u);
  entry.attr.links = 65536;
  EXPECT_THAT(EncodeFileEntry(entry, kBlock), HasErrc(Errc::kTooManyLinks));
  entry.attr.type = FileType::kDirectory;
  entry.attr.size = 40;
  entry.extents = {{0, 10, 1, false}};
  ASSERT_OK_AND_ASSIGN(const FileEntry directory, RoundTrip(entry));
  EXPECT_EQ(directory.attr.links, 65536u) << "65534 subdirectories";
  entry.attr.links = 1;
  EXPECT_THAT(EncodeFileEntry(entry, kBlock), HasErrc(Errc::kInvalidArgument));
}

FileEntry Symlink(const std::string& target) {
  FileEntry entry;
  entry.attr.type = FileType::kSymlink;
  entry.attr.mode = 0777;
  entry.attr.size = target.size();
  entry.symlink_target = target;
  return entry;
}

TEST(FileEntry, KeepsEverySymlinkTarget) {
  for (const std::string target :
       {"a", "/", "/a", "../..", "./a/../b", "a//b", "a/", "/a/", "//", ".",
        "\xFF\xFE", "\xE6\x97\xA5/\xF0\x9F\x98\x80", "x~0123456789abcdef",
        "a\\b"}) {
    ASSERT_OK_AND_ASSIGN(const FileEntry back, RoundTrip(Symlink(target)));
    ExpectSame(Symlink(target), back);
  }
  // A component longer than a name, kept by the extended attribute.
  const std::string component(600, 'c');
  ASSERT_OK_AND_ASSIGN(const FileEntry back, RoundTrip(Symlink(component)));
  ExpectSame(Symlink(component), back);
}

TEST(FileEntry, PutsLongSymlinkTargetsIntoExtents) {
  std::string target;
  while (target.size() < 4000) target += "/" + std::string(200, 'd');
  ASSERT_TRUE(SymlinkNeedsExtent(target));
  EXPECT_FALSE(SymlinkNeedsExtent(target.substr(0, 1500)));
  FileEntry entry = Symlink(target);
  EXPECT_THAT(EncodeFileEntry(entry, kBlock), HasErrc(Errc::kTooLarge));
  Bytes data = EncodeSymlinkData(target);
  const uint32_t sectors =
      static_cast<uint32_t>((data.size() + kSectorSize - 1) / kSectorSize);
  entry.extents = {{0, 50, sectors, false}};
  EXPECT_EQ(AedsNeeded(entry), 0u);
  ASSERT_OK_AND_ASSIGN(const EncodedEntry encoded,
                       EncodeFileEntry(entry, kBlock));
  data.resize(sectors * kSectorSize);
  ASSERT_OK_AND_ASSIGN(
      const FileEntry back,
      DecodeFileEntry(
          encoded.icb, kBlock, kPartition, [&](uint32_t block, Sector* out) {
            const auto from = data.begin() + (block - 50) * kSectorSize;
            std::copy_n(from, kSectorSize, out->begin());
            return Status::Ok();
          }));
  ExpectSame(entry, back);
}

TEST(FileEntry, RandomEntriesComeBackAsTheyWere) {
  std::mt19937_64 random(42);
  const auto upto = [&random](uint64_t n) { return random() % (n + 1); };
  for (int round = 0; round < 400; ++round) {
    FileEntry entry = File(0);
    entry.attr.mode = static_cast<uint32_t>(upto(07777));
    entry.attr.uid = static_cast<uint32_t>(random());
    entry.attr.gid = static_cast<uint32_t>(random());
    entry.attr.links = static_cast<uint32_t>(upto(65535));
    entry.attr.unique_id = random();
    for (TimeSpec* time : {&entry.attr.atime, &entry.attr.mtime,
                           &entry.attr.ctime, &entry.attr.btime}) {
      time->sec = static_cast<int64_t>(random()) >> upto(40);
      time->nsec = static_cast<uint32_t>(upto(999999999));
    }
    for (uint64_t i = upto(4); i > 0; --i) {
      entry.attr.xattrs["user." + std::to_string(random())] =
          std::string(upto(300), static_cast<char>(random()));
    }
    ASSERT_OK(CheckXattrsFit(entry.attr, ""));
    uint64_t sector = 0;
    uint32_t block = 20;
    for (uint64_t i = upto(900); i > 0; --i) {
      sector += upto(3) == 0 ? upto(2000000) : 0;
      block += 1 + static_cast<uint32_t>(upto(10));
      const auto count = static_cast<uint32_t>(1 + upto(50));
      entry.extents.push_back({sector, block, count, upto(9) == 0});
      sector += count;
      block += count;
    }
    if (!entry.extents.empty()) {
      entry.attr.size = sector * kSectorSize - upto(kSectorSize - 1);
    }
    entry.attr.size += upto(1) * upto(1u << 31);
    GiveAeds(&entry);
    ASSERT_OK_AND_ASSIGN(const FileEntry back, RoundTrip(entry));
    ExpectSame(entry, back);
    if (HasFailure()) return;
  }
}

TEST(DecodeFileEntry, ReadsAPlainFileEntryOfAnotherSystem) {
  // FE (261) with long descriptors, as other implementations write them.
  Sector s{};
  Store16(s, 20, 4);
  Store16(s, 24, 1);
  Store8(s, 27, 5);
  Store16(s, 34, 1);  // long descriptors
  Store32(s, 44, 0x1084);
  Store16(s, 48, 1);
  Store64(s, 56, 3000);
  Store64(s, 64, 2);
  Store64(s, 160, 21);
  Store32(s, 172, 16);
  Store32(s, 176, 3000);
  Store32(s, 180, 55);
  Store16(s, 0, 261);
  Store16(s, 2, 3);
  Store16(s, 6, 1);
  Store16(s, 8, Crc16(ConstByteSpan(s).subspan(16, 176)));
  Store16(s, 10, 176);
  Store32(s, 12, kBlock);
  uint8_t sum = 0;
  for (int i = 0; i < 16; ++i) sum = static_cast<uint8_t>(sum + Load8(s, i));
  Store8(s, 4, sum);
  const ReadBlock none = [](uint32_t, Sector*) { return Status::Ok(); };
  ASSERT_OK_AND_ASSIGN(const FileEntry entry,
                       DecodeFileEntry(s, kBlock, kPartition, none));
  EXPECT_EQ(entry.attr.mode, 0444u);
  EXPECT_EQ(entry.attr.unique_id, 21u);
  EXPECT_THAT(entry.extents, testing::ElementsAre(Extent{0, 55, 2, false}));
}

TEST(DecodeFileEntry, FindsChainsThatLoop) {
  FileEntry entry = File(0);
  for (uint32_t i = 0; i < 1000; ++i) {
    entry.extents.push_back({i, 10 + 2 * i, 1, false});
  }
  entry.attr.size = 1000 * kSectorSize;
  GiveAeds(&entry);
  ASSERT_GT(entry.aed_blocks.size(), 1u);
  ASSERT_OK_AND_ASSIGN(EncodedEntry encoded, EncodeFileEntry(entry, kBlock));
  // An empty list that continues in itself.
  entry.aed_blocks[0] = 900000;
  Sector loop{};
  Store32(loop, 20, 8);
  Store32(loop, 24, (3u << 30) | kSectorSize);
  Store32(loop, 28, 900000);
  Store16(loop, 0, 258);
  Store16(loop, 2, 3);
  Store16(loop, 8, Crc16(ConstByteSpan(loop).subspan(16, 16)));
  Store16(loop, 10, 16);
  Store32(loop, 12, 900000);
  uint8_t sum = 0;
  for (int i = 0; i < 16; ++i) {
    sum = static_cast<uint8_t>(sum + Load8(loop, i));
  }
  Store8(loop, 4, sum);
  int reads = 0;
  const ReadBlock read = [&](uint32_t, Sector* out) {
    ++reads;
    *out = loop;
    return Status::Ok();
  };
  EXPECT_THAT(DecodeFileEntry(encoded.icb, kBlock, kPartition, read),
              testing::AllOf(HasErrc(Errc::kCorruption), MessageHas("loops")));
  EXPECT_EQ(reads, 1);
  EXPECT_THAT(DecodeFileEntry(encoded.icb, kBlock, kPartition, read, 0),
              MessageHas("more than 0"));
  EXPECT_THAT(DecodeFileEntry(encoded.icb, kBlock, 899999, read),
              MessageHas("outside the partition"));
}

TEST(Lvid, ComesBackAsItWas) {
  Lvid lvid;
  lvid.closed = false;
  lvid.time = {1700000000, 123456000};
  lvid.next_unique_id = 0x123456789ABCDEF;
  lvid.free_blocks = 17;
  lvid.partition_blocks = 0xFFFFFFE0;
  lvid.files = 5;
  lvid.directories = 6;
  const Sector sector = EncodeLvid(lvid);
  EXPECT_EQ(Load16(sector, 10), 118) << "CRC length";
  EXPECT_EQ(Load32(sector, 12), kLvidSector);
  ASSERT_OK_AND_ASSIGN(const DecodedLvid back, DecodeLvid(sector));
  EXPECT_FALSE(back.foreign);
  EXPECT_EQ(back.lvid.closed, lvid.closed);
  EXPECT_EQ(back.lvid.time, lvid.time);
  EXPECT_EQ(back.lvid.next_unique_id, lvid.next_unique_id);
  EXPECT_EQ(back.lvid.free_blocks, lvid.free_blocks);
  EXPECT_EQ(back.lvid.partition_blocks, lvid.partition_blocks);
  EXPECT_EQ(back.lvid.files, lvid.files);
  EXPECT_EQ(back.lvid.directories, lvid.directories);
  Sector broken = sector;
  broken[100] ^= std::byte{1};
  EXPECT_THAT(DecodeLvid(broken), HasErrc(Errc::kCorruption));
}

TEST(Lvid, ShowsAnotherWriter) {
  Sector sector = EncodeLvid(Lvid());
  // Linux sets OS class and id to 4, 5 and leaves the name.
  Store8(sector, 88 + 25, 5);
  Store16(sector, 8, Crc16(ConstByteSpan(sector).subspan(16, 118)));
  uint8_t sum = 0;
  for (size_t i = 0; i < 16; ++i) {
    if (i != 4) sum = static_cast<uint8_t>(sum + Load8(sector, i));
  }
  Store8(sector, 4, sum);
  ASSERT_OK_AND_ASSIGN(const DecodedLvid decoded, DecodeLvid(sector));
  EXPECT_TRUE(decoded.foreign);
}

}  // namespace
}  // namespace vellum::udf
