// SPDX-License-Identifier: Apache-2.0
// Volumes of ours in the eyes of independent readers: udfinfo, 7-Zip and
// libudfread. A missing tool is a failure, never a skip.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <openssl/evp.h>
#include <sys/wait.h>

#include <cstdlib>
#include <map>
#include <random>
#include <sstream>

#include "media/udf/bytes.h"
#include "media/udf/fsck.h"
#include "media/udf/reader.h"
#include "tests/support/memory_medium.h"
#include "tests/support/status_matchers.h"
#include "tests/support/temp_dir.h"
#include "tests/udf/volume_builder.h"

namespace vellum::udf {
namespace {

using testing::IsEmpty;

struct Outcome {
  int exit_status = -1;
  std::string out;
  std::string err;
};

// `command` may use $IMAGE.
Outcome RunCommand(const TempDir& dir, const std::string& command) {
  const std::string line = "IMAGE='" + dir.Sub("volume.udf") +
                           "'; PATH=\"$PATH:/usr/sbin:/sbin\"; (" + command +
                           ") >'" + dir.Sub("out") + "' 2>'" + dir.Sub("err") +
                           "' </dev/null";
  const int status = std::system(line.c_str());
  Outcome outcome;
  if (WIFEXITED(status)) outcome.exit_status = WEXITSTATUS(status);
  outcome.out = ReadFileOrDie(dir.Sub("out"));
  outcome.err = ReadFileOrDie(dir.Sub("err"));
  return outcome;
}

void WriteImage(Medium& medium, const TempDir& dir) {
  std::string bytes(medium.Info().sectors * kSectorSize, '\0');
  ASSERT_OK(medium.Read(
      0, {reinterpret_cast<std::byte*>(bytes.data()), bytes.size()}));
  WriteFileOrDie(dir.Sub("volume.udf"), bytes);
}

std::string Sha256(const Bytes& data) {
  unsigned char digest[EVP_MAX_MD_SIZE];
  unsigned int length = 0;
  EVP_Digest(data.data(), data.size(), digest, &length, EVP_sha256(), nullptr);
  std::string hex;
  for (unsigned int i = 0; i < length; ++i) {
    char text[3];
    std::snprintf(text, sizeof(text), "%02x", digest[i]);
    hex += text;
  }
  return hex;
}

Bytes Pattern(size_t size, uint32_t seed) {
  std::mt19937 random(seed);
  Bytes data(size);
  for (std::byte& b : data) b = std::byte(static_cast<uint8_t>(random()));
  return data;
}

Bytes ReadAll(const Reader& reader, const FileEntry& entry) {
  Bytes data(entry.attr.size);
  const Result<size_t> got = reader.ReadFile(entry, 0, data);
  EXPECT_OK(got);
  EXPECT_EQ(*got, data.size());
  return data;
}

// Path -> content, as our own reader sees it.
std::map<std::string, Bytes> FilesOf(Medium& medium) {
  std::map<std::string, Bytes> files;
  const auto reader = Reader::Open(&medium);
  EXPECT_OK(reader);
  std::map<uint32_t, std::string> paths = {{(*reader)->root_block(), ""}};
  Reader::Visitor visitor;
  visitor.link = [&](uint32_t parent, const DirEntry& link) -> Status {
    const std::string path = paths.at(parent) + "/" + link.fid.name;
    if (link.fid.directory) {
      paths[link.fid.icb_block] = path;
      return Status::Ok();
    }
    ASSIGN_OR_RETURN(const FileEntry entry,
                     (*reader)->ReadEntry(link.fid.icb_block));
    if (entry.attr.type == FileType::kRegular) {
      files[path] = ReadAll(**reader, entry);
    }
    return Status::Ok();
  };
  EXPECT_OK((*reader)->Walk(visitor));
  return files;
}

// The names that libudfread reports for what the builder put there.
std::map<std::string, std::string> Digests(const VolumeBuilder& builder) {
  std::map<std::string, std::string> digests;
  for (const auto& [path, content] : builder.files()) {
    digests[path] = Sha256(content);
  }
  return digests;
}

std::map<std::string, std::string> UdfreadDigests(const TempDir& dir) {
  const Outcome outcome = RunCommand(dir, UDFREAD_SHA256 " \"$IMAGE\"");
  EXPECT_EQ(outcome.exit_status, 0) << outcome.err;
  EXPECT_THAT(outcome.err, IsEmpty());
  std::map<std::string, std::string> digests;
  std::istringstream lines(outcome.out);
  for (std::string line; std::getline(lines, line);) {
    const size_t space = line.find("  ");
    if (line.substr(0, space) == "directory") continue;
    digests[line.substr(space + 2)] = line.substr(0, space);
  }
  return digests;
}

void ExpectUdfinfoContent(const TempDir& dir) {
  const Outcome outcome = RunCommand(dir, "udfinfo \"$IMAGE\"");
  EXPECT_EQ(outcome.exit_status, 0);
  EXPECT_THAT(outcome.err, IsEmpty());
  EXPECT_THAT(outcome.out, testing::HasSubstr("udfrev=2.01"));
  EXPECT_THAT(outcome.out, testing::HasSubstr("softwriteprotect=yes"));
  EXPECT_THAT(outcome.out, testing::HasSubstr("integrity=closed"));
}

void ExpectSevenZipContent(const TempDir& dir) {
  const Outcome outcome = RunCommand(dir, "7z t \"$IMAGE\"");
  EXPECT_EQ(outcome.exit_status, 0) << outcome.out << outcome.err;
  EXPECT_THAT(outcome.out, testing::HasSubstr("Everything is Ok"));
  EXPECT_THAT(outcome.out, testing::Not(testing::HasSubstr("Warning")));
}

void ExpectFsckClean(Medium& medium) {
  FsckOptions options;
  options.check_data = true;
  ASSERT_OK_AND_ASSIGN(const FsckReport report, CheckVolume(medium, options));
  EXPECT_FALSE(report.replay_pending);
  for (const FsckFinding& finding : report.errors) {
    ADD_FAILURE() << "sector " << finding.sector << ": " << finding.text;
  }
}

// Files and directories only: what 7-Zip reads.
void BuildPlainTree(VolumeBuilder* builder) {
  const uint32_t root = builder->root();
  builder->AddFile(root, "empty-inline", {}, Shape::kInline);
  builder->AddFile(root, "empty-extents", {}, Shape::kOneExtent);
  builder->AddFile(root, "one-byte", Pattern(1, 1), Shape::kInline);
  builder->AddFile(root, "inline-full", Pattern(1744, 2), Shape::kInline);
  builder->AddFile(root, "block", Pattern(2048, 3), Shape::kOneExtent);
  builder->AddFile(root, "large", Pattern(3'000'001, 4), Shape::kOneExtent);
  builder->AddFile(root, "scattered", Pattern(200 * 2048 - 7, 5),
                   Shape::kScattered);
  const uint32_t names = builder->AddDirectory(root, "names");
  builder->AddFile(names, std::string(254, 'n'), Pattern(10, 6),
                   Shape::kInline);
  builder->AddFile(names, "caf\xC3\xA9", Pattern(11, 7), Shape::kInline);
  std::string cjk;
  for (int i = 0; i < 85; ++i) cjk += "\xE6\x97\xA5";
  builder->AddFile(names, cjk, Pattern(12, 8), Shape::kInline);
  const uint32_t linked =
      builder->AddFile(root, "link-1", Pattern(5000, 9), Shape::kOneExtent);
  builder->AddLink(names, "link-2", linked);
  builder->attr(linked).xattrs["user.note"] = "kept by Vellum";
  builder->attr(linked).mode = 06755;
  // Deep, wide, and wide enough to need several blocks.
  uint32_t at = root;
  for (int i = 0; i < 20; ++i) {
    at = builder->AddDirectory(at, "level" + std::to_string(i));
  }
  const uint32_t wide = builder->AddDirectory(root, "wide");
  for (uint32_t i = 0; i < 600; ++i) {
    builder->AddFile(wide, "a file with a name, number " + std::to_string(i),
                     Pattern(i % 60, i), Shape::kInline);
  }
  builder->AddDirectory(root, "empty");
}

TEST(Readers, AnEmptyVolume) {
  MemoryMedium medium(4096);
  FormatOptions options;
  options.volume_id = "EMPTY";
  ASSERT_OK(FormatVolume(medium, options));
  ExpectFsckClean(medium);
  TempDir dir;
  WriteImage(medium, dir);
  ExpectUdfinfoContent(dir);
  ExpectSevenZipContent(dir);
  EXPECT_THAT(UdfreadDigests(dir), IsEmpty());
}

TEST(Readers, FilesAndDirectories) {
  MemoryMedium medium(12000);
  VolumeBuilder builder(&medium, "V00001");
  BuildPlainTree(&builder);
  builder.Finish();
  ExpectFsckClean(medium);
  EXPECT_EQ(FilesOf(medium), builder.files());
  TempDir dir;
  WriteImage(medium, dir);
  ExpectUdfinfoContent(dir);
  ExpectSevenZipContent(dir);
  EXPECT_EQ(UdfreadDigests(dir), Digests(builder));
}

TEST(Readers, ShortenedNamesAreTheSameEverywhere) {
  MemoryMedium medium(8192);
  VolumeBuilder builder(&medium, "V00002");
  const uint32_t root = builder.root();
  const std::map<std::string, std::string> prefixes = {
      {std::string(255, 'x'), std::string(237, 'x') + "~"},
      {"bad\xFF"
       "byte",
       "bad_byte~"},
      {std::string(200, 'y') + "\xE6\x97\xA5", std::string(110, 'y') + "~"},
      {"twin~0123456789abcdef", "twin~0123456789abcdef~"}};
  uint32_t seed = 0;
  std::map<std::string, std::string> digest_of_prefix;
  for (const auto& [name, prefix] : prefixes) {
    const Bytes content = Pattern(100, ++seed);
    digest_of_prefix[prefix] = Sha256(content);
    builder.AddFile(root, name, content, Shape::kInline);
  }
  builder.Finish();
  ExpectFsckClean(medium);
  EXPECT_EQ(FilesOf(medium), builder.files()) << "the true names are ours";
  TempDir dir;
  WriteImage(medium, dir);
  ExpectUdfinfoContent(dir);
  ExpectSevenZipContent(dir);
  const auto digests = UdfreadDigests(dir);
  EXPECT_EQ(digests.size(), prefixes.size());
  for (const auto& [path, digest] : digests) {
    // "/" + prefix + 16 digits
    const std::string prefix = path.substr(1, path.size() - 17);
    EXPECT_EQ(digest_of_prefix[prefix], digest) << path;
  }
}

TEST(Readers, EveryKindOfInode) {
  // 7-Zip refuses volumes with symlinks or special files (media/udf/FORMAT.md).
  MemoryMedium medium(12000);
  VolumeBuilder builder(&medium, "V00003");
  BuildPlainTree(&builder);
  const uint32_t all = builder.AddDirectory(builder.root(), "kinds");
  builder.AddFile(all, "chain", Pattern(700 * 2048 + 5, 1), Shape::kScattered);
  builder.AddFile(all, "sparse", Pattern(20 * 2048 + 9, 2), Shape::kSparse);
  builder.Finish();
  ExpectFsckClean(medium);
  EXPECT_EQ(FilesOf(medium), builder.files());
  TempDir dir;
  WriteImage(medium, dir);
  ExpectUdfinfoContent(dir);
  EXPECT_EQ(UdfreadDigests(dir), Digests(builder));
  // What FORMAT.md says about 7-Zip: these files it cannot, all others it can.
  const Outcome test = RunCommand(dir, "7z t \"$IMAGE\"");
  EXPECT_EQ(test.exit_status, 2);
  EXPECT_THAT(test.err, testing::HasSubstr("Unsupported Method : kinds/chain"));
  EXPECT_THAT(test.err,
              testing::HasSubstr("Unsupported Method : kinds/sparse"));
  EXPECT_THAT(test.out, testing::HasSubstr("Sub items Errors: 2"));

  MemoryMedium special_medium(8192);
  VolumeBuilder special(&special_medium, "V00004");
  const uint32_t root = special.root();
  special.AddFile(root, "plain", Pattern(3000, 3), Shape::kOneExtent);
  const auto symlink = special.AddSymlink(root, "symlink", "a//b");
  std::string target;
  while (target.size() < 3000) target += "/" + std::string(99, 't');
  const auto long_symlink = special.AddSymlink(root, "long", target);
  const auto device =
      special.AddDevice(root, "block", FileType::kBlockDevice, 8, 17);
  special.AddDevice(root, "char", FileType::kCharDevice, 1, 3);
  special.AddDevice(root, "fifo", FileType::kFifo, 0, 0);
  special.AddDevice(root, "socket", FileType::kSocket, 0, 0);
  special.Finish();
  ExpectFsckClean(special_medium);
  ASSERT_OK_AND_ASSIGN(const auto reader, Reader::Open(&special_medium));
  EXPECT_EQ(reader->ReadEntry(symlink)->symlink_target, "a//b");
  EXPECT_EQ(reader->ReadEntry(long_symlink)->symlink_target, target);
  EXPECT_EQ(reader->ReadEntry(device)->attr.major, 8u);
  EXPECT_EQ(reader->ReadEntry(device)->attr.minor, 17u);
  WriteImage(special_medium, dir);
  ExpectUdfinfoContent(dir);
  const auto digests = UdfreadDigests(dir);
  EXPECT_EQ(digests.size(), 7u);
  EXPECT_EQ(digests.at("/plain"), Digests(special).at("/plain"));
  EXPECT_EQ(RunCommand(dir, "7z t \"$IMAGE\"").exit_status, 2)
      << "FORMAT.md says that 7-Zip refuses these";
}

TEST(Readers, AcceptSwallowedEntries) {
  MemoryMedium medium(8192);
  VolumeBuilder builder(&medium, "V00005");
  const uint32_t root = builder.root();
  const uint32_t first = builder.AddDirectory(root, "first-gone");
  const uint32_t middle = builder.AddDirectory(root, "middle-gone");
  const uint32_t only = builder.AddDirectory(root, "all-gone");
  for (const uint32_t directory : {first, middle, only}) {
    for (uint32_t i = 0; i < (directory == only ? 1 : 100); ++i) {
      builder.AddFile(directory, "file" + std::to_string(i), Pattern(i, i),
                      Shape::kInline);
    }
  }
  // Behind the parent's entry, which then carries an implementation use.
  builder.Swallow(first, "file0");
  builder.Swallow(first, "file1");
  builder.Swallow(only, "file0");
  for (const char* name : {"file50", "file51", "file52", "file99"}) {
    builder.Swallow(middle, name);
  }
  builder.Finish();
  ExpectFsckClean(medium);
  EXPECT_EQ(FilesOf(medium), builder.files());
  TempDir dir;
  WriteImage(medium, dir);
  ExpectUdfinfoContent(dir);
  ExpectSevenZipContent(dir);
  const Outcome list =
      RunCommand(dir, "7z l -slt \"$IMAGE\" | grep -c '^Path = '");
  EXPECT_EQ(list.out, std::to_string(builder.files().size() + 3 + 1) + "\n")
      << "files, directories and the archive itself";
  EXPECT_EQ(UdfreadDigests(dir), Digests(builder));
}

}  // namespace
}  // namespace vellum::udf
