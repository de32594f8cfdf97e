// SPDX-License-Identifier: Apache-2.0
// File entries with their chains of allocation extent descriptors, extended
// attributes and symlink targets.
#include <string>

#include "media/udf/bytes.h"
#include "media/udf/codec.h"
#include "tests/fuzz/patches.h"
#include "tests/fuzz/targets.h"

namespace vellum::fuzz {
namespace {

constexpr uint32_t kPartition = 2048;  // blocks; block = sector here
constexpr uint32_t kFirstAed = 50;

// Too long for an entry.
std::string LongTarget() {
  std::string target = "y";
  for (int i = 0; i < 20; ++i) target += "/" + std::string(190, 'y');
  return target;
}

udf::FileEntry EntryOf(uint32_t kind) {
  udf::FileEntry entry;
  entry.attr.unique_id = 20;
  entry.attr.xattrs = {{"user.a", "b"}, {"user.c", std::string(50, 'd')}};
  entry.attr.mtime = {1700000000, 123456789};
  switch (kind) {
    case 0:
      entry.attr.size = 300;
      entry.inline_data = Bytes(300);
      break;
    case 1:
      for (uint32_t i = 0; i < 400; ++i) {
        entry.extents.push_back({2 * i, 200 + 2 * i, 1, i % 5 == 0});
      }
      entry.attr.size = 800 * kSectorSize;
      for (uint32_t i = 0; i < 8; ++i) {
        entry.aed_blocks.push_back(kFirstAed + i);
      }
      entry.aed_blocks.resize(udf::AedsNeeded(entry));
      break;
    case 2:
      entry.attr.type = udf::FileType::kSymlink;
      entry.symlink_target = "a//" + std::string(300, 'x');
      entry.attr.size = entry.symlink_target.size();
      break;
    case 3:
      entry.attr.type = udf::FileType::kBlockDevice;
      entry.attr.major = 3;
      break;
    case 4:
      entry.attr.type = udf::FileType::kDirectory;
      entry.attr.links = 2;
      entry.attr.size = 40;
      entry.extents = {{0, 60, 1, false}};
      break;
    default:
      entry.attr.type = udf::FileType::kSymlink;
      entry.symlink_target = LongTarget();
      entry.attr.size = entry.symlink_target.size();
      entry.extents = {{0, 70, 2, false}};
      break;
  }
  return entry;
}
constexpr uint32_t kKinds = 6;

void CheckMade(const Status& status) {
  if (status.ok()) return;
  std::fprintf(stderr, "file entry target: %s\n", status.ToString().c_str());
  std::abort();
}

struct Entries {
  std::unique_ptr<MemoryMedium> medium =
      std::make_unique<MemoryMedium>(kPartition);
  PatchPlaces places;
};

const Entries& TheEntries() {
  static const Entries kEntries = [] {
    Entries entries;
    entries.medium->AbortOutside();
    for (uint32_t kind = 0; kind < kKinds; ++kind) {
      const Result<udf::EncodedEntry> encoded =
          udf::EncodeFileEntry(EntryOf(kind), kind);
      CheckMade(encoded.status());
      entries.medium->Poke(kind * uint64_t{kSectorSize}, encoded->icb);
      entries.places.interesting.push_back(kind);
      for (uint32_t i = 0; i < encoded->aeds.size(); ++i) {
        entries.medium->Poke((kFirstAed + i) * uint64_t{kSectorSize},
                             encoded->aeds[i]);
        entries.places.interesting.push_back(kFirstAed + i);
      }
    }
    entries.medium->Poke(70 * uint64_t{kSectorSize},
                         udf::EncodeSymlinkData(LongTarget()));
    entries.places.interesting.push_back(70);
    return entries;
  }();
  return kEntries;
}

void CheckEntry(const udf::FileEntry& entry) {
  uint64_t end = 0;
  for (const udf::Extent& extent : entry.extents) {
    VELLUM_CHECK(extent.count > 0 && extent.file_sector >= end);
    VELLUM_CHECK(uint64_t{extent.block} + extent.count <= kPartition);
    end = extent.file_end();
  }
  for (const uint32_t block : entry.aed_blocks)
    VELLUM_CHECK(block < kPartition);
  VELLUM_CHECK(!entry.inline_data ||
               entry.inline_data->size() == entry.attr.size);
  // Writing it again: as many AEDs as it needs, which may be refused.
  udf::FileEntry next = entry;
  next.aed_blocks.assign(udf::AedsNeeded(next), kFirstAed);
  CheckReported(udf::EncodeFileEntry(next, 1).status());
  CheckReported(udf::CheckXattrsFit(next.attr, next.symlink_target));
}

}  // namespace

void RunFileEntry(ConstByteSpan data) {
  Input input(data);
  const Entries& entries = TheEntries();
  const std::unique_ptr<MemoryMedium> medium = entries.medium->Clone();
  const uint32_t kind = input.Byte() % kKinds;
  ApplyPatches(&input, entries.places, medium.get());
  udf::Sector icb;
  medium->Peek(kind * uint64_t{kSectorSize}, icb);
  uint32_t reads = 0;
  const Result<udf::FileEntry> entry = udf::DecodeFileEntry(
      icb, kind, kPartition, [&](uint32_t block, udf::Sector* out) {
        VELLUM_CHECK(block < kPartition);
        VELLUM_CHECK(++reads <= kPartition);
        return medium->Read(block, *out);
      });
  CheckReported(entry.status());
  if (entry.ok()) CheckEntry(*entry);
}

std::vector<Bytes> FileEntrySeeds() {
  std::vector<Bytes> seeds;
  for (uint8_t kind = 0; kind < kKinds; ++kind) {
    Bytes seed = {std::byte{kind}};
    seeds.push_back(seed);
    AppendPatch(kind, true, 56, udf::AsBytes("\x29\x01\x02"), &seed);
    seeds.push_back(seed);
  }
  return seeds;
}

}  // namespace vellum::fuzz
