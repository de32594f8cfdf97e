// SPDX-License-Identifier: Apache-2.0
// Decoders on bytes that nobody meant to write: structures of ours with random
// changes, checksums made right again so that the changes get past the tag.
// Passing means: no crash, no endless work (and no finding of a sanitizer).
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <random>

#include "media/udf/bytes.h"
#include "media/udf/codec.h"
#include "media/udf/cs0.h"
#include "media/udf/descriptors.h"
#include "media/udf/fsck.h"
#include "media/udf/reader.h"
#include "media/udf/sector_io.h"
#include "media/udf/tag.h"
#include "tests/support/memory_medium.h"
#include "tests/support/status_matchers.h"
#include "tests/udf/volume_builder.h"

namespace vellum::udf {
namespace {

constexpr uint32_t kBlock = 100;
constexpr uint32_t kPartition = 1000;

class Mutator {
 public:
  explicit Mutator(uint32_t seed) : random_(seed) {}

  // Changes a few bytes of the descriptor, mostly to values that lengths and
  // counts like to be wrong with; then seals it again, mostly.
  void Mutate(ByteSpan descriptor) {
    for (size_t i = 1 + random_() % 4; i > 0; --i) {
      const size_t at = random_() % std::min<size_t>(descriptor.size(), 512);
      switch (random_() % 4) {
        case 0:
          descriptor[at] = std::byte{0xFF};
          break;
        case 1:
          descriptor[at] = std::byte{0};
          break;
        case 2:
          descriptor[at] ^= std::byte(static_cast<uint8_t>(1 << random_() % 8));
          break;
        default:
          descriptor[at] = std::byte(static_cast<uint8_t>(random_()));
          break;
      }
    }
    if (random_() % 8 != 0) Reseal(descriptor);
  }

  uint32_t Next() { return static_cast<uint32_t>(random_()); }

 private:
  static void Reseal(ByteSpan descriptor) {
    const size_t crc_length = std::min<size_t>(TagCrcLengthOf(descriptor),
                                               descriptor.size() - kTagSize);
    SealTag(descriptor, static_cast<TagId>(TagIdOf(descriptor)),
            Load32(descriptor, 12), crc_length);
  }

  std::mt19937 random_;
};

FileEntry RichEntry(int kind) {
  FileEntry entry;
  entry.attr.unique_id = 20;
  entry.attr.xattrs = {{"user.a", "b"}, {"user.c", std::string(50, 'd')}};
  entry.attr.mtime = {INT64_MAX, 5};
  switch (kind) {
    case 0:
      entry.attr.size = 300;
      entry.inline_data = Bytes(300);
      break;
    case 1:
      for (uint32_t i = 0; i < 400; ++i) {
        entry.extents.push_back({2 * i, 200 + 2 * i, 1, false});
      }
      entry.attr.size = 800 * kSectorSize;
      entry.aed_blocks = {50, 51, 52, 53, 54, 55, 56};
      entry.aed_blocks.resize(AedsNeeded(entry));
      break;
    case 2:
      entry.attr.type = FileType::kSymlink;
      entry.symlink_target = "a//" + std::string(300, 'x');
      entry.attr.size = entry.symlink_target.size();
      break;
    default:
      entry.attr.type = FileType::kBlockDevice;
      entry.attr.major = 3;
      break;
  }
  return entry;
}

TEST(Hostile, FileEntries) {
  Mutator mutator(1);
  int decoded = 0;
  for (int round = 0; round < 40000; ++round) {
    const FileEntry entry = RichEntry(round % 4);
    static const EncodedEntry kEncoded[] = {
        EncodeFileEntry(RichEntry(0), kBlock).value(),
        EncodeFileEntry(RichEntry(1), kBlock).value(),
        EncodeFileEntry(RichEntry(2), kBlock).value(),
        EncodeFileEntry(RichEntry(3), kBlock).value()};
    EncodedEntry encoded = kEncoded[round % 4];
    const bool in_aed = !encoded.aeds.empty() && round % 8 == 1;
    mutator.Mutate(in_aed ? encoded.aeds[0] : encoded.icb);
    int reads = 0;
    const Result<FileEntry> back = DecodeFileEntry(
        encoded.icb, kBlock, kPartition, [&](uint32_t block, Sector* out) {
          EXPECT_LT(block, kPartition);
          ++reads;
          const size_t i = block - 50;
          *out = i < encoded.aeds.size() ? encoded.aeds[i] : encoded.icb;
          return Status::Ok();
        });
    ASSERT_LE(reads, static_cast<int>(kPartition));
    if (!back.ok()) {
      EXPECT_THAT(back, HasErrc(Errc::kCorruption));
      continue;
    }
    ++decoded;
    for (const Extent& extent : back->extents) {
      EXPECT_LE(uint64_t{extent.block} + extent.count, kPartition);
    }
  }
  EXPECT_GT(decoded, 1000) << "the mutations never get past the tag";
}

TEST(Hostile, DirectoryEntries) {
  Mutator mutator(2);
  Bytes original;
  for (const std::string& name :
       {std::string("short"), std::string(255, 'x'), std::string("b\xFF"),
        std::string("\xE6\x97\xA5")}) {
    Fid fid;
    fid.name = name;
    fid.icb_block = 5;
    ASSERT_OK(EncodeFid(fid, kBlock, 0, &original));
  }
  int visited = 0;
  for (int round = 0; round < 40000; ++round) {
    Bytes content = original;
    const size_t length = Load16(content, 10) + kTagSize;
    mutator.Mutate(ByteSpan(content).first(length));
    content.resize(content.size() - mutator.Next() % 3 * 17);
    const Status status = ForEachFid(
        content, kBlock, [&](size_t offset, const DecodedFid& decoded) {
          EXPECT_LE(offset + decoded.length, content.size());
          EXPECT_LE(decoded.needed, decoded.length);
          EXPECT_LE(decoded.fid.name.size(), 255u);
          EXPECT_EQ(decoded.fid.name.find('/'), std::string::npos);
          ++visited;
          return Status::Ok();
        });
    if (!status.ok()) {
      EXPECT_THAT(status, HasErrc(Errc::kCorruption));
    }
  }
  EXPECT_GT(visited, 1000);
}

TEST(Hostile, RandomBytesAsAnything) {
  std::mt19937 random(3);
  for (int round = 0; round < 20000; ++round) {
    Sector sector;
    for (std::byte& b : sector) b = std::byte(static_cast<uint8_t>(random()));
    const ReadBlock read = [&sector](uint32_t, Sector* out) {
      *out = sector;
      return Status::Ok();
    };
    EXPECT_FALSE(DecodeFileEntry(sector, kBlock, kPartition, read).ok());
    EXPECT_FALSE(DecodeFid(sector, kBlock).ok());
    EXPECT_FALSE(DecodeLvid(sector).ok());
    const size_t length = random() % 40;
    const Result<std::string> text =
        DecodeCs0(ConstByteSpan(sector).first(length));
    EXPECT_TRUE(!text.ok() || text->size() <= 3 * length);
  }
}

TEST(Hostile, IntegrityDescriptors) {
  Mutator mutator(4);
  const Sector original = EncodeLvid(Lvid());
  int decoded = 0;
  for (int round = 0; round < 20000; ++round) {
    Sector sector = original;
    mutator.Mutate(sector);
    if (DecodeLvid(sector).ok()) ++decoded;
  }
  EXPECT_GT(decoded, 100);
}

// Whole volumes: whatever is changed, description, walk, file reads and fsck
// come back.
TEST(Hostile, Volumes) {
  MemoryMedium base(4096);
  VolumeBuilder builder(&base, "HOSTILE");
  const uint32_t root = builder.root();
  const uint32_t directory = builder.AddDirectory(root, "directory");
  Bytes content(300 * kSectorSize - 5, std::byte{7});
  const uint32_t file =
      builder.AddFile(directory, "chain", content, Shape::kScattered);
  const uint32_t symlink = builder.AddSymlink(root, "symlink", "x//y");
  for (int i = 0; i < 60; ++i) {
    builder.AddFile(root, "file " + std::to_string(i), {}, Shape::kInline);
  }
  builder.Finish();
  ASSERT_OK_AND_ASSIGN(const auto good, Reader::Open(&base));
  ASSERT_OK_AND_ASSIGN(const FileEntry chain, good->ReadEntry(file));
  ASSERT_OK_AND_ASSIGN(const FileEntry root_entry, good->ReadEntry(root));
  const Geometry& g = builder.geometry();
  const std::vector<uint64_t> targets = {kMainVdsSector + 1,
                                         kMainVdsSector + 2,
                                         kMainVdsSector + 5,
                                         kAnchorSector,
                                         kLvidSector,
                                         g.Sector(0),
                                         g.Sector(kBitmapBlock),
                                         g.Sector(root),
                                         g.Sector(directory),
                                         g.Sector(file),
                                         g.Sector(symlink),
                                         g.Sector(chain.aed_blocks.at(0)),
                                         g.Sector(root_entry.extents[0].block)};
  Mutator mutator(5);
  int found = 0;
  for (int round = 0; round < 1500; ++round) {
    const auto medium = base.Clone();
    const uint64_t target = targets[mutator.Next() % targets.size()];
    ASSERT_OK_AND_ASSIGN(Sector sector, ReadSector(*medium, target));
    mutator.Mutate(sector);
    ASSERT_OK(WriteSector(*medium, target, sector));
    const auto reader = Reader::Open(medium.get());
    if (reader.ok()) {
      Reader::Visitor visitor;
      Bytes buffer(64 * 1024);
      visitor.inode = [&](uint32_t, const FileEntry& entry) {
        for (uint64_t at : {uint64_t{0}, entry.attr.size / 2}) {
          const auto got = (*reader)->ReadFile(entry, at, buffer);
          EXPECT_TRUE(got.ok() || got.error().code != Errc::kInternal);
        }
        return Status::Ok();
      };
      (*reader)->Walk(visitor).IgnoreError("may well be corrupt");
    }
    const Result<FsckReport> report = CheckVolume(*medium, FsckOptions());
    if (report.ok() && !report->clean()) ++found;
  }
  EXPECT_GT(found, 500);
}

// One recorded extent, and a hole of almost 1 GiB behind it: refused before any
// memory is taken for it.
TEST(Hostile, ADirectoryLargerThanItsExtent) {
  MemoryMedium medium(4096);
  VolumeBuilder builder(&medium, "HOSTILE");
  builder.Finish();
  const uint64_t root = builder.geometry().Sector(builder.root());
  ASSERT_OK_AND_ASSIGN(Sector icb, ReadSector(medium, root));
  const uint32_t attributes = Load32(icb, 208);
  ASSERT_EQ(Load32(icb, 212), 8u);
  const size_t ads = 216 + size_t{attributes};
  constexpr uint32_t kHole = 0x3FFFF000;
  Store32(icb, ads, kSectorSize);
  Store32(icb, ads + 8, kHole | 2u << 30);
  Store32(icb, ads + 12, 0);
  Store32(icb, 212, 16);
  Store64(icb, 56, uint64_t{kHole} + kSectorSize);
  Store64(icb, 64, uint64_t{kHole} + kSectorSize);
  SealTag(icb, kTagExtendedFileEntry, builder.root(), ads + 16 - kTagSize);
  ASSERT_OK(WriteSector(medium, root, icb));
  ASSERT_OK_AND_ASSIGN(const auto reader, Reader::Open(&medium));
  ASSERT_OK_AND_ASSIGN(const FileEntry entry,
                       reader->ReadEntry(builder.root()));
  const auto entries = reader->ReadDirectory(entry);
  ASSERT_THAT(entries, HasErrc(Errc::kCorruption));
  EXPECT_NE(entries.error().message.find("does not hold"), std::string::npos)
      << entries.error().message;
}

}  // namespace
}  // namespace vellum::udf
