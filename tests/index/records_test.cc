// SPDX-License-Identifier: Apache-2.0
#include "index/records.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <random>
#include <string>
#include <vector>

#include "index/catalog.h"
#include "index/change_map.h"
#include "index/coding.h"
#include "index/keys.h"
#include "tests/support/status_matchers.h"

namespace vellum {
namespace {

class Random {
 public:
  explicit Random(uint64_t seed) : engine_(seed) {}
  // 0..limit-1
  uint64_t Below(uint64_t limit) { return engine_() % limit; }
  // Small, large and extreme numbers are all likely.
  uint64_t Number(uint64_t max) {
    switch (Below(4)) {
      case 0:
        return 0;
      case 1:
        return max;
      default:
        return engine_() >> Below(64) & max;
    }
  }
  std::string String(size_t max) {
    std::string out(Below(max + 1), '\0');
    for (char& c : out) c = static_cast<char>(Below(256));
    return out;
  }
  TimeSpec Time() {
    return {static_cast<int64_t>(engine_()),
            static_cast<uint32_t>(Below(1'000'000'000))};
  }

 private:
  std::mt19937_64 engine_;
};

VolumeRecord RandomVolume(Random* random) {
  VolumeRecord record;
  record.index = static_cast<uint32_t>(random->Number(UINT32_MAX));
  record.id = random->String(30);
  record.medium = random->String(12);
  record.medium_uuid = random->String(32);
  record.format_uuid = random->String(32);
  record.role =
      random->Below(2) != 0 ? udf::Role::kPrimary : udf::Role::kBackup;
  record.state = static_cast<udf::SlotState>(1 + random->Below(5));
  record.owner_id = random->String(30);
  record.owner_uuid = random->String(32);
  record.generation = {random->Number(UINT64_MAX), random->Number(UINT64_MAX)};
  record.record_crc = static_cast<uint32_t>(random->Number(UINT32_MAX));
  record.change_floor = random->Number(UINT64_MAX);
  record.tree = static_cast<TreeState>(random->Below(3));
  record.threshold = static_cast<uint32_t>(random->Below(101));
  record.geometry.sectors = random->Number(UINT64_MAX);
  uint32_t* const fields[] = {
      &record.geometry.ring_first,       &record.geometry.ring_sectors,
      &record.geometry.log_first,        &record.geometry.log_sectors,
      &record.geometry.partition_first,  &record.geometry.partition_blocks,
      &record.geometry.bitmap_blocks,    &record.geometry.root_block,
      &record.geometry.first_free_block,
  };
  for (uint32_t* field : fields) {
    *field = static_cast<uint32_t>(random->Number(UINT32_MAX));
  }
  record.used_blocks = random->Number(UINT64_MAX);
  record.files = random->Number(UINT64_MAX);
  record.directories = random->Number(UINT64_MAX);
  record.next_unique_id = random->Number(UINT64_MAX);
  record.copied = random->Time();
  record.location = random->String(40);
  record.forgotten = random->Below(2) != 0;
  return record;
}

constexpr udf::FileType kTypes[] = {
    udf::FileType::kDirectory,   udf::FileType::kRegular,
    udf::FileType::kBlockDevice, udf::FileType::kCharDevice,
    udf::FileType::kFifo,        udf::FileType::kSocket,
    udf::FileType::kSymlink};

InodeRecord RandomInode(Random* random) {
  InodeRecord record;
  udf::InodeAttr& attr = record.attr;
  attr.type = kTypes[random->Below(std::size(kTypes))];
  attr.mode = static_cast<uint32_t>(random->Number(07777));
  attr.uid = static_cast<uint32_t>(random->Number(UINT32_MAX));
  attr.gid = static_cast<uint32_t>(random->Number(UINT32_MAX));
  attr.links = static_cast<uint32_t>(random->Number(UINT32_MAX));
  attr.size = random->Number(UINT64_MAX);
  attr.unique_id = random->Number(UINT64_MAX);
  attr.mtime = random->Time();
  attr.atime = random->Below(2) != 0 ? attr.mtime : random->Time();
  attr.ctime = random->Below(2) != 0 ? attr.mtime : random->Time();
  attr.btime = random->Below(2) != 0 ? attr.mtime : random->Time();
  if (random->Below(3) == 0) {
    attr.major = static_cast<uint32_t>(random->Number(UINT32_MAX));
    attr.minor = static_cast<uint32_t>(random->Number(UINT32_MAX));
  }
  for (uint64_t i = random->Below(4); i > 0; --i) {
    attr.xattrs[random->String(20)] = random->String(60);
  }
  uint64_t sector = 0;
  for (uint64_t i = random->Below(6); i > 0; --i) {
    udf::Extent extent;
    extent.file_sector = sector + random->Number(UINT32_MAX);
    extent.block = static_cast<uint32_t>(random->Number(UINT32_MAX));
    extent.count = static_cast<uint32_t>(random->Number(UINT32_MAX));
    extent.unwritten = random->Below(2) != 0;
    sector = extent.file_end();
    record.extents.push_back(extent);
  }
  for (uint64_t i = random->Below(4); i > 0; --i) {
    record.aed_blocks.push_back(
        static_cast<uint32_t>(random->Number(UINT32_MAX)));
  }
  record.symlink_target = random->String(random->Below(2) * 100);
  record.inline_data = random->Below(2) != 0;
  record.parent = static_cast<InodeNumber>(random->Number(UINT32_MAX));
  return record;
}

DirentRecord RandomDirent(Random* random) {
  DirentRecord record;
  record.cookie = random->Number(UINT64_MAX >> 1);
  record.name = random->String(255);
  record.ino = static_cast<InodeNumber>(random->Number(UINT32_MAX));
  record.type = kTypes[random->Below(std::size(kTypes))];
  record.fid_offset = static_cast<uint32_t>(random->Number(UINT32_MAX));
  return record;
}

// A few bytes changed, inserted or removed, or the end cut off.
std::string Mutate(std::string bytes, Random* random) {
  for (uint64_t i = 1 + random->Below(3); i > 0; --i) {
    const size_t at = bytes.empty() ? 0 : random->Below(bytes.size());
    const auto value =
        static_cast<char>(random->Below(2) != 0 ? random->Below(256) : 0xFF);
    switch (random->Below(4)) {
      case 0:
        bytes.resize(at);
        break;
      case 1:
        bytes.insert(bytes.begin() + static_cast<ptrdiff_t>(at), value);
        break;
      default:
        if (!bytes.empty()) bytes[at] = value;
    }
  }
  return bytes;
}

// Runs `decode` over mutations of `bytes`: it answers a value or kCorruption.
template <typename Decode>
void ExpectSurvivesMutations(const std::string& bytes, const Decode& decode,
                             Random* random) {
  for (int i = 0; i < 200; ++i) {
    const auto result = decode(Mutate(bytes, random));
    if (!result.ok()) {
      EXPECT_THAT(result, HasErrc(Errc::kCorruption));
    }
  }
}

TEST(RecordsTest, VolumeRoundTrip) {
  EXPECT_EQ(*DecodeVolumeRecord(Encode(VolumeRecord())), VolumeRecord());
  Random random(1);
  for (int i = 0; i < 500; ++i) {
    const VolumeRecord record = RandomVolume(&random);
    ASSERT_OK_AND_ASSIGN(const auto decoded,
                         DecodeVolumeRecord(Encode(record)));
    EXPECT_EQ(decoded, record);
  }
}

TEST(RecordsTest, InodeRoundTrip) {
  EXPECT_EQ(*DecodeInodeRecord(Encode(InodeRecord())), InodeRecord());
  Random random(2);
  for (int i = 0; i < 2000; ++i) {
    const InodeRecord record = RandomInode(&random);
    ASSERT_OK_AND_ASSIGN(const auto decoded, DecodeInodeRecord(Encode(record)));
    EXPECT_EQ(decoded, record);
  }
}

TEST(RecordsTest, DirentRoundTrip) {
  Random random(3);
  for (int i = 0; i < 500; ++i) {
    const DirentRecord record = RandomDirent(&random);
    ASSERT_OK_AND_ASSIGN(const auto decoded,
                         DecodeDirentRecord(record.cookie, Encode(record)));
    EXPECT_EQ(decoded, record);
  }
}

TEST(RecordsTest, DecodersSurviveHostileBytes) {
  Random random(4);
  for (int i = 0; i < 100; ++i) {
    ExpectSurvivesMutations(Encode(RandomVolume(&random)), DecodeVolumeRecord,
                            &random);
    ExpectSurvivesMutations(Encode(RandomInode(&random)), DecodeInodeRecord,
                            &random);
    ExpectSurvivesMutations(
        Encode(RandomDirent(&random)),
        [](const std::string& bytes) { return DecodeDirentRecord(1, bytes); },
        &random);
    CatalogBatch batch;
    batch.PutInode(1, 2, RandomInode(&random));
    batch.DeleteInode(3, 4);
    batch.PutRow("job", random.String(9), random.String(9));
    ExpectSurvivesMutations(batch.Serialize(), CatalogBatch::Parse, &random);
    std::vector<uint64_t> numbers(kChunkRegions);
    for (uint64_t& number : numbers) number = random.Below(3);
    ExpectSurvivesMutations(EncodeChunk(numbers), DecodeChunk, &random);
  }
}

TEST(RecordsTest, DecodersRefuseWhatIsNotTheirs) {
  EXPECT_THAT(DecodeInodeRecord(""), HasErrc(Errc::kCorruption));
  const std::string good = Encode(InodeRecord());
  EXPECT_THAT(DecodeInodeRecord(good + "x"), MessageHas("too many"));
  std::string newer = good;
  newer[0] = 2;
  EXPECT_THAT(DecodeInodeRecord(newer), MessageHas("encoding version 2"));
  for (size_t size = 1; size < good.size(); ++size) {
    EXPECT_THAT(DecodeInodeRecord(good.substr(0, size)),
                HasErrc(Errc::kCorruption));
  }
}

TEST(RecordsTest, HostileCountsAllocateNothing) {
  // An inode that announces 2^60 extents in three bytes.
  InodeRecord record;
  record.extents.push_back({0, 5, 1, false});
  std::string bytes = Encode(record);
  ASSERT_GE(bytes.size(), 4u);
  bytes.resize(bytes.size() - 4);  // the count and its only extent
  PutVarint(&bytes, 1ull << 60);
  bytes += std::string(3, '\0');
  EXPECT_THAT(DecodeInodeRecord(bytes), HasErrc(Errc::kCorruption));
}

TEST(RecordsTest, OverlappingExtentsAreRefused) {
  InodeRecord record;
  record.extents.push_back({UINT64_MAX - 4, 5, 10, false});
  EXPECT_THAT(DecodeInodeRecord(Encode(record)), HasErrc(Errc::kCorruption));
}

TEST(RecordsTest, NameHashHas56BitsAndIsStable) {
  // A catalog written by an older build must be found again.
  EXPECT_EQ(NameHash("README.md"), NameHash(std::string("README.md")));
  for (int i = 0; i < 1000; ++i) {
    const uint64_t hash = NameHash("file" + std::to_string(i));
    EXPECT_NE(hash, 0u);
    EXPECT_EQ(hash >> 56, 0u);
  }
  // XXH3_64bits of no bytes is 2d06800538d394c2.
  EXPECT_EQ(NameHash(""), 0x2d06800538d394u);
}

TEST(KeysTest, SortAsTheirNumbers) {
  EXPECT_LT(std::string(InodeKey(1, 255)), std::string(InodeKey(1, 256)));
  EXPECT_LT(std::string(InodeKey(1, UINT32_MAX)), std::string(InodeKey(2, 0)));
  Random random(5);
  for (int i = 0; i < 1000; ++i) {
    const uint64_t a = 1 + random.Number((UINT64_MAX >> 1) - 1);
    const uint64_t b = 1 + random.Number((UINT64_MAX >> 1) - 1);
    const std::string key_a(DirentKey(7, 9, a));
    EXPECT_EQ(a < b, key_a < std::string(DirentKey(7, 9, b)));
    EXPECT_EQ(ParseDirentKey(key_a), a);
    EXPECT_EQ(key_a.substr(0, kDirentHashPrefix),
              std::string_view(DirentsPrefix(7, 9, a >> 7)));
  }
}

TEST(KeysTest, PrefixEndIsBehindAllKeysOfThePrefix) {
  EXPECT_EQ(PrefixEnd("ab"), "ac");
  EXPECT_EQ(PrefixEnd("a\xFF\xFF"), "b");
  const std::string end = PrefixEnd(DirentsPrefix(UINT32_MAX, UINT32_MAX));
  EXPECT_LT(std::string(DirentKey(UINT32_MAX, UINT32_MAX, UINT64_MAX >> 1)),
            end);
}

TEST(KeysTest, RebaseChangesOnlyTheVolume) {
  EXPECT_EQ(RebaseKey(InodeKey(1, 77), 2), std::string(InodeKey(2, 77)));
  EXPECT_EQ(RebaseKey(DirentKey(1, 77, 128), 2),
            std::string(DirentKey(2, 77, 128)));
}

TEST(KeysTest, DescriptionsNameTheObject) {
  EXPECT_EQ(DescribeKey(VolumeKey(3)), "volume index 3");
  EXPECT_EQ(DescribeKey(InodeKey(3, 77)), "inode 77 of volume index 3");
  EXPECT_EQ(DescribeKey(DirentKey(3, 77, 129)),
            "name 0x81 in directory 77 of volume index 3");
  EXPECT_EQ(DescribeKey(ChangeChunkKey(3, 5)),
            "change map chunk 5 of volume index 3");
  EXPECT_EQ(DescribeKey(PendingKey(3)), "pending batch of volume index 3");
  EXPECT_EQ(DescribeKey(RowKey("job", "a\x01")), "row \"a\\x01\" of table job");
  EXPECT_EQ(DescribeKey("\x01\x02"), "key 0102");
}

}  // namespace
}  // namespace vellum
