// SPDX-License-Identifier: Apache-2.0
// Allocation descriptors: how the extents of a file stand in its file entry and
// in its allocation extent descriptors. Private to media/udf.
#pragma once

#include <cstdint>
#include <vector>

#include "media/error.h"
#include "media/types.h"
#include "media/udf/codec.h"

namespace vellum::udf {

enum AllocationType : uint8_t {  // ECMA-167 4/14.14.1.1
  kRecorded = 0,
  kUnrecorded = 1,  // allocated
  kHole = 2,
  kContinuation = 3,
};

inline constexpr size_t kShortAdSize = 8;
inline constexpr size_t kLongAdSize = 16;

struct AllocationDescriptor {
  uint32_t length = 0;  // bytes
  AllocationType type = kRecorded;
  uint32_t block = 0;
};

// Descriptors that cover exactly `size` bytes. kInvalidArgument: extents out of
// order, or beyond the size; kTooLarge: size.
Result<std::vector<AllocationDescriptor>> DescribeExtents(
    const std::vector<Extent>& extents, uint64_t size);

// AEDs that `descriptors` need when the entry itself has room for `in_entry`.
size_t AedCount(size_t descriptors, size_t in_entry);

// Encodes the descriptors: up to `in_entry` into `entry_area`, the rest into
// one sector for each of aed_blocks. REQUIRES: aed_blocks.size() == AedCount.
void EncodeAllocation(const std::vector<AllocationDescriptor>& descriptors,
                      size_t in_entry, const std::vector<uint32_t>& aed_blocks,
                      Bytes* entry_area, std::vector<Sector>* aeds);

// What a list of descriptors says, chain of AEDs included.
struct DecodedAllocation {
  std::vector<Extent> extents;  // neighbours joined
  std::vector<uint32_t> aed_blocks;
  uint64_t recorded_blocks = 0;
};
struct AllocationContext {
  uint32_t block = 0;  // of the file entry, for messages
  uint64_t size = 0;   // of the file: what the descriptors have to cover
  uint32_t partition_blocks = 0;
  size_t descriptor_size = kShortAdSize;
  size_t max_aeds = 0;
};
Result<DecodedAllocation> DecodeAllocation(ConstByteSpan entry_area,
                                           const AllocationContext& context,
                                           const ReadBlock& read_block);

}  // namespace vellum::udf
