// SPDX-License-Identifier: Apache-2.0
#include "media/udf/reader.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <random>
#include <set>

#include "tests/support/memory_medium.h"
#include "tests/support/status_matchers.h"
#include "tests/udf/volume_builder.h"

namespace vellum::udf {
namespace {

Bytes Pattern(size_t size) {
  std::mt19937 random(static_cast<uint32_t>(size));
  Bytes data(size);
  for (std::byte& b : data) b = std::byte(static_cast<uint8_t>(random()));
  return data;
}

class ReaderTest : public testing::Test {
 protected:
  ReaderTest() : medium_(12000), builder_(&medium_, "READER") {}

  std::unique_ptr<Reader> Open() {
    Result<std::unique_ptr<Reader>> reader = Reader::Open(&medium_);
    EXPECT_OK(reader);
    return *std::move(reader);
  }

  MemoryMedium medium_;
  VolumeBuilder builder_;
};

TEST_F(ReaderTest, ReadsAnyPieceOfAnyShape) {
  const std::pair<const char*, Shape> shapes[] = {
      {"inline", Shape::kInline},
      {"extent", Shape::kOneExtent},
      {"scattered", Shape::kScattered},
      {"sparse", Shape::kSparse}};
  std::vector<uint32_t> icbs;
  for (const auto& [name, shape] : shapes) {
    icbs.push_back(builder_.AddFile(
        builder_.root(), name,
        Pattern(shape == Shape::kInline ? 1700 : 1'200'345), shape));
  }
  builder_.Finish();
  const auto reader = Open();
  std::mt19937 random(1);
  for (size_t i = 0; i < icbs.size(); ++i) {
    ASSERT_OK_AND_ASSIGN(const FileEntry entry, reader->ReadEntry(icbs[i]));
    const Bytes& content =
        builder_.files().at(std::string("/") + shapes[i].first);
    for (int round = 0; round < 300; ++round) {
      const uint64_t offset = random() % (content.size() + 10);
      Bytes out(random() % (round % 10 == 0 ? content.size() : 5000));
      ASSERT_OK_AND_ASSIGN(const size_t got,
                           reader->ReadFile(entry, offset, out));
      const size_t expected =
          offset >= content.size()
              ? 0
              : std::min<size_t>(out.size(), content.size() - offset);
      ASSERT_EQ(got, expected);
      ASSERT_TRUE(std::equal(
          out.begin(), out.begin() + static_cast<ptrdiff_t>(got),
          content.begin() + static_cast<ptrdiff_t>(got == 0 ? 0 : offset)))
          << shapes[i].first << " at " << offset;
    }
  }
}

TEST_F(ReaderTest, ListsWhereEntriesStand) {
  builder_.AddFile(builder_.root(), "a", {}, Shape::kInline);
  builder_.AddFile(builder_.root(), "b", {}, Shape::kInline);
  builder_.AddFile(builder_.root(), "c", {}, Shape::kInline);
  builder_.Swallow(builder_.root(), "b");
  builder_.Finish();
  const auto reader = Open();
  ASSERT_OK_AND_ASSIGN(const FileEntry root,
                       reader->ReadEntry(reader->root_block()));
  ASSERT_OK_AND_ASSIGN(const auto entries, reader->ReadDirectory(root));
  ASSERT_EQ(entries.size(), 2u);
  EXPECT_EQ(entries[0].fid.name, "a");
  EXPECT_EQ(entries[0].offset, 40u);
  EXPECT_EQ(entries[0].length, 80u) << "with the one that it swallowed";
  EXPECT_EQ(entries[1].fid.name, "c");
  EXPECT_EQ(entries[1].offset, 120u);
  EXPECT_EQ(entries[1].length, 40u);
  ASSERT_OK_AND_ASSIGN(const FileEntry file,
                       reader->ReadEntry(entries[0].fid.icb_block));
  EXPECT_THAT(reader->ReadDirectory(file), HasErrc(Errc::kNotDirectory));
  EXPECT_THAT(reader->ReadEntry(0xFFFFFF), HasErrc(Errc::kCorruption));
}

TEST_F(ReaderTest, WalksParentsFirstAndInodesOnce) {
  const uint32_t a = builder_.AddDirectory(builder_.root(), "a");
  const uint32_t b = builder_.AddDirectory(a, "b");
  const uint32_t file = builder_.AddFile(b, "file", {}, Shape::kInline);
  builder_.AddLink(a, "again", file);
  builder_.AddLink(builder_.root(), "and again", file);
  builder_.AddSymlink(b, "symlink", "file");
  builder_.Finish();
  const auto reader = Open();
  std::set<uint32_t> inodes;
  int links = 0;
  Reader::Visitor visitor;
  visitor.inode = [&](uint32_t icb, const FileEntry&) {
    EXPECT_TRUE(inodes.insert(icb).second);
    return Status::Ok();
  };
  visitor.link = [&](uint32_t parent, const DirEntry&) {
    EXPECT_TRUE(inodes.contains(parent));
    ++links;
    return Status::Ok();
  };
  ASSERT_OK(reader->Walk(visitor));
  EXPECT_EQ(inodes.size(), 5u);
  EXPECT_EQ(links, 6);
  visitor.link = [](uint32_t, const DirEntry&) {
    return Status(Errc::kAborted, "enough");
  };
  inodes.clear();
  EXPECT_THAT(reader->Walk(visitor), HasErrc(Errc::kAborted));
}

TEST_F(ReaderTest, AChainThatTwoEntriesShareIsCorruption) {
  const Bytes content(600 * kSectorSize, std::byte{7});
  builder_.AddFile(builder_.root(), "a", content, Shape::kScattered);
  const uint32_t b =
      builder_.AddFile(builder_.root(), "b", content, Shape::kScattered);
  std::vector<uint32_t> chain;
  VolumeBuilder::Hooks hooks;
  hooks.entry = [&](uint32_t icb, FileEntry* entry) {
    if (entry->aed_blocks.empty()) return;
    if (chain.empty()) chain = entry->aed_blocks;
    if (icb == b) entry->aed_blocks = chain;
  };
  builder_.Finish(hooks);
  ASSERT_FALSE(chain.empty());
  const auto reader = Reader::Open(&medium_);
  ASSERT_OK(reader);
  EXPECT_THAT((*reader)->Walk({}), HasErrc(Errc::kCorruption));
}

TEST_F(ReaderTest, FindsDirectoryLoops) {
  const uint32_t a = builder_.AddDirectory(builder_.root(), "a");
  const uint32_t b = builder_.AddDirectory(a, "b");
  builder_.AddDirectory(b, "c");
  VolumeBuilder::Hooks hooks;
  hooks.fid = [&](uint32_t directory, Fid* fid) {
    if (directory == b && !fid->parent) fid->icb_block = a;
  };
  builder_.Finish(hooks);
  EXPECT_THAT(Open()->Walk({}), testing::AllOf(HasErrc(Errc::kCorruption),
                                               MessageHas("has two parents")));
}

TEST_F(ReaderTest, ABadSectorDoesNotHideItsNeighbours) {
  const uint32_t bad =
      builder_.AddFile(builder_.root(), "unused", {}, Shape::kInline);
  builder_.AddFile(builder_.root(), "good", {}, Shape::kInline);
  builder_.Swallow(builder_.root(), "unused");
  builder_.Finish();
  medium_.MakeUnreadable({builder_.geometry().Sector(bad), 1});
  ASSERT_OK(Open()->Walk({}));
}

TEST_F(ReaderTest, SaysWhenAnEntryCannotBeRead) {
  const uint32_t bad =
      builder_.AddFile(builder_.root(), "bad", {}, Shape::kInline);
  builder_.Finish();
  medium_.MakeUnreadable({builder_.geometry().Sector(bad), 1});
  EXPECT_THAT(Open()->Walk({}), HasErrc(Errc::kDeviceError));
}

}  // namespace
}  // namespace vellum::udf
