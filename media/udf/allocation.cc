// SPDX-License-Identifier: Apache-2.0
#include "media/udf/allocation.h"

#include <fmt/format.h>

#include <algorithm>
#include <unordered_set>

#include "media/udf/bytes.h"
#include "media/udf/tag.h"

namespace vellum::udf {
namespace {

constexpr uint32_t kMaxDescriptorLength = 0x3FFFF800;
constexpr uint64_t kMaxDescriptorSectors = kMaxDescriptorLength / kSectorSize;
constexpr size_t kAedHeaderSize = 24;
constexpr size_t kAedCapacity = (kSectorSize - kAedHeaderSize) / kShortAdSize;

// Appends descriptors for `count` sectors of the file from file_sector on, the
// last of them cut to the file's size.
void AppendRun(AllocationType type, uint32_t block, uint64_t file_sector,
               uint64_t count, uint64_t size,
               std::vector<AllocationDescriptor>* out) {
  while (count > 0) {
    const uint64_t sectors = std::min(count, kMaxDescriptorSectors);
    const uint64_t bytes =
        std::min(sectors * kSectorSize, size - file_sector * kSectorSize);
    out->push_back({static_cast<uint32_t>(bytes), type, block});
    if (type != kHole) block += static_cast<uint32_t>(sectors);
    file_sector += sectors;
    count -= sectors;
  }
}

// Joins neighbours, so that the descriptors do not depend on how the extents
// came about.
std::vector<Extent> Joined(const std::vector<Extent>& extents) {
  std::vector<Extent> joined;
  joined.reserve(extents.size());
  for (const Extent& extent : extents) {
    if (extent.count == 0) continue;
    if (!joined.empty()) {
      Extent& last = joined.back();
      if (last.file_end() == extent.file_sector &&
          last.unwritten == extent.unwritten &&
          uint64_t{last.block} + last.count == extent.block &&
          uint64_t{last.count} + extent.count <= UINT32_MAX) {
        last.count += extent.count;
        continue;
      }
    }
    joined.push_back(extent);
  }
  return joined;
}

void StoreDescriptor(ByteSpan area, size_t index,
                     const AllocationDescriptor& ad) {
  Store32(area, index * kShortAdSize,
          ad.length | (static_cast<uint32_t>(ad.type) << 30));
  Store32(area, index * kShortAdSize + 4, ad.block);
}

}  // namespace

Result<std::vector<AllocationDescriptor>> DescribeExtents(
    const std::vector<Extent>& extents, uint64_t size) {
  if (size > kMaxFileSize) {
    return Error{Errc::kTooLarge,
                 fmt::format("file of {} bytes: a file has at most {}", size,
                             kMaxFileSize)};
  }
  const uint64_t sectors = (size + kSectorSize - 1) / kSectorSize;
  std::vector<AllocationDescriptor> ads;
  uint64_t next = 0;
  for (const Extent& extent : Joined(extents)) {
    if (extent.file_sector < next || extent.file_end() > sectors) {
      return Error{Errc::kInvalidArgument,
                   fmt::format("extent of file sectors {}+{} overlaps another "
                               "or ends behind sector {}",
                               extent.file_sector, extent.count, sectors)};
    }
    AppendRun(kHole, 0, next, extent.file_sector - next, size, &ads);
    AppendRun(extent.unwritten ? kUnrecorded : kRecorded, extent.block,
              extent.file_sector, extent.count, size, &ads);
    next = extent.file_end();
  }
  AppendRun(kHole, 0, next, sectors - next, size, &ads);
  return ads;
}

size_t AedCount(size_t descriptors, size_t in_entry) {
  if (descriptors <= in_entry) return 0;
  // The last place of the entry and of each AED but the last continues.
  const size_t rest = descriptors - (in_entry - 1);
  if (rest <= kAedCapacity) return 1;
  return 1 + (rest - kAedCapacity + kAedCapacity - 2) / (kAedCapacity - 1);
}

void EncodeAllocation(const std::vector<AllocationDescriptor>& descriptors,
                      size_t in_entry, const std::vector<uint32_t>& aed_blocks,
                      Bytes* entry_area, std::vector<Sector>* aeds) {
  size_t done = 0;
  // The descriptors from `done` on that one list of `room` takes, followed by
  // the continuation if that is not all.
  const auto fill = [&](size_t room, size_t next_aed) {
    std::vector<AllocationDescriptor> list;
    const size_t left = descriptors.size() - done;
    const size_t take = left <= room ? left : room - 1;
    list.assign(descriptors.begin() + static_cast<ptrdiff_t>(done),
                descriptors.begin() + static_cast<ptrdiff_t>(done + take));
    done += take;
    if (done < descriptors.size()) {
      VELLUM_CHECK(next_aed < aed_blocks.size());
      list.push_back({kSectorSize, kContinuation, aed_blocks[next_aed]});
    }
    return list;
  };
  const std::vector<AllocationDescriptor> first = fill(in_entry, 0);
  entry_area->assign(first.size() * kShortAdSize, std::byte{0});
  for (size_t i = 0; i < first.size(); ++i) {
    StoreDescriptor(*entry_area, i, first[i]);
  }
  for (size_t aed = 0; aed < aed_blocks.size(); ++aed) {
    const std::vector<AllocationDescriptor> list = fill(kAedCapacity, aed + 1);
    Sector& sector = aeds->emplace_back();
    sector.fill(std::byte{0});
    const size_t length = list.size() * kShortAdSize;
    Store32(sector, 20, static_cast<uint32_t>(length));
    for (size_t i = 0; i < list.size(); ++i) {
      StoreDescriptor(ByteSpan(sector).subspan(kAedHeaderSize), i, list[i]);
    }
    SealTag(sector, kTagAllocationExtent, aed_blocks[aed],
            kAedHeaderSize - kTagSize + length);
  }
  VELLUM_CHECK(done == descriptors.size());
}

namespace {

// Collects extents while descriptors come in.
class Collector {
 public:
  explicit Collector(const AllocationContext& context) : context_(context) {}

  Status Wrong(const std::string& what) const {
    return Status(Errc::kCorruption,
                  fmt::format("allocation of the entry in block {}: {}",
                              context_.block, what));
  }

  // One list of descriptors. Sets *next when it ends with a continuation.
  Status AddList(ConstByteSpan area, std::optional<uint32_t>* next) {
    const size_t step = context_.descriptor_size;
    if (area.size() % step != 0) return Wrong("half a descriptor");
    for (size_t at = 0; at < area.size(); at += step) {
      const uint32_t word = Load32(area, at);
      const uint32_t length = word & 0x3FFFFFFF;
      const auto type = static_cast<AllocationType>(word >> 30);
      const uint32_t block = Load32(area, at + 4);
      if (length == 0) return Status::Ok();  // ends the list
      if (step == kLongAdSize && type != kHole && Load16(area, at + 8) != 0) {
        return Wrong("names another partition");
      }
      if (type == kContinuation) {
        if (block >= context_.partition_blocks) {
          return Wrong(
              fmt::format("continues in block {}, outside the "
                          "partition",
                          block));
        }
        *next = block;
        return Status::Ok();
      }
      RETURN_IF_ERROR(AddExtent(length, type, block));
    }
    return Status::Ok();
  }

  Result<DecodedAllocation> Finish() && {
    if (bytes_ < context_.size) {
      return Wrong(
                 fmt::format("describes {} bytes of {}", bytes_, context_.size))
          .error();
    }
    return std::move(decoded_);
  }

  DecodedAllocation& decoded() { return decoded_; }

 private:
  Status AddExtent(uint32_t length, AllocationType type, uint32_t block) {
    if (bytes_ % kSectorSize != 0) return Wrong("a gap inside a block");
    const uint64_t rounded_size =
        (context_.size + kSectorSize - 1) / kSectorSize * kSectorSize;
    // bytes_ <= rounded_size, so nothing overflows.
    if (context_.size > kMaxFileSize || length > rounded_size - bytes_) {
      return Wrong(fmt::format("describes more than {} bytes", context_.size));
    }
    const uint64_t file_sector = bytes_ / kSectorSize;
    const uint32_t count = (length + kSectorSize - 1) / kSectorSize;
    bytes_ += length;
    if (type == kHole) return Status::Ok();
    if (uint64_t{block} + count > context_.partition_blocks) {
      return Wrong(
          fmt::format("blocks {}+{} leave the partition", block, count));
    }
    if (type == kRecorded) decoded_.recorded_blocks += count;
    const bool unwritten = type == kUnrecorded;
    if (!decoded_.extents.empty()) {
      Extent& last = decoded_.extents.back();
      if (last.file_end() == file_sector && last.unwritten == unwritten &&
          uint64_t{last.block} + last.count == block) {
        last.count += count;
        return Status::Ok();
      }
    }
    decoded_.extents.push_back({file_sector, block, count, unwritten});
    return Status::Ok();
  }

  const AllocationContext& context_;
  DecodedAllocation decoded_;
  uint64_t bytes_ = 0;
};

}  // namespace

Result<DecodedAllocation> DecodeAllocation(ConstByteSpan entry_area,
                                           const AllocationContext& context,
                                           const ReadBlock& read_block) {
  Collector collector(context);
  std::unordered_set<uint32_t> seen;
  std::optional<uint32_t> next;
  RETURN_IF_ERROR(collector.AddList(entry_area, &next));
  while (next) {
    const uint32_t block = *next;
    next.reset();
    if (!seen.insert(block).second) {
      return collector.Wrong(fmt::format("loops through block {}", block));
    }
    if (seen.size() > context.max_aeds) {
      return collector.Wrong(
          fmt::format("has more than {} blocks", context.max_aeds));
    }
    collector.decoded().aed_blocks.push_back(block);
    Sector sector;
    RETURN_IF_ERROR(read_block(block, &sector));
    const Status tag = CheckTag(sector, kTagAllocationExtent, block);
    if (!tag.ok()) return collector.Wrong(tag.error().message);
    const uint32_t length = Load32(sector, 20);
    if (length > kSectorSize - kAedHeaderSize ||
        TagCrcLengthOf(sector) != kAedHeaderSize - kTagSize + length) {
      return collector.Wrong(
          fmt::format("length of the part in block {} is wrong", block));
    }
    RETURN_IF_ERROR(collector.AddList(
        ConstByteSpan(sector).subspan(kAedHeaderSize, length), &next));
  }
  return std::move(collector).Finish();
}

}  // namespace vellum::udf
