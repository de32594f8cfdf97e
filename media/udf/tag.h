// SPDX-License-Identifier: Apache-2.0
// Descriptor tags (ECMA-167 3/7.2) and the primitive encodings that several
// descriptors share: regid, timestamp, charspec. Private to media/udf.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "media/error.h"
#include "media/types.h"

namespace vellum::udf {

enum TagId : uint16_t {
  kTagPrimaryVolume = 1,
  kTagAnchor = 2,
  kTagImplementationUse = 4,
  kTagPartition = 5,
  kTagLogicalVolume = 6,
  kTagUnallocatedSpace = 7,
  kTagTerminator = 8,
  kTagIntegrity = 9,
  kTagFileSet = 256,
  kTagFileIdentifier = 257,
  kTagAllocationExtent = 258,
  kTagFileEntry = 261,
  kTagExtendedAttributeHeader = 262,
  kTagSpaceBitmap = 264,
  kTagExtendedFileEntry = 266,
};

inline constexpr size_t kTagSize = 16;
inline constexpr size_t kRegidSize = 32;
inline constexpr size_t kTimestampSize = 12;
// CRC length of every descriptor that is 512 bytes long.
inline constexpr size_t kCrcLength512 = 496;

// Our implementation identifier, and those of our private structures.
inline constexpr std::string_view kImplementationId = "*Vellum";
inline constexpr std::string_view kVolumeControlId = "*Vellum VolCtl";
inline constexpr std::string_view kInodeAttributesId = "*Vellum Inode";
inline constexpr std::string_view kFileNameId = "*Vellum Name";
inline constexpr std::string_view kDomainId = "*OSTA UDF Compliant";
inline constexpr std::string_view kLvInfoId = "*UDF LV Info";

// Writes the tag in front of a descriptor whose bytes [16, 16 + crc_length)
// are final. `location`: absolute in the volume descriptors, a block inside the
// partition.
void SealTag(ByteSpan descriptor, TagId id, uint32_t location,
             size_t crc_length);

// Checks version, checksum, CRC, identifier and location. kCorruption says
// which is wrong; `descriptor` is everything that may be read.
Status CheckTag(ConstByteSpan descriptor, TagId id, uint32_t location);

// Identifier and CRC length as they stand there. REQUIRES: 16 bytes.
uint16_t TagIdOf(ConstByteSpan descriptor);
uint16_t TagCrcLengthOf(ConstByteSpan descriptor);

// A terminating descriptor for `sector` (512 bytes of it used).
void StoreTerminator(ByteSpan sector, uint32_t location);

enum class RegidSuffix : uint8_t {
  kNone,
  kDomain,          // revision 2.01, soft write protect
  kUdf,             // revision 2.01, OS class and id
  kImplementation,  // OS class and id
};
void StoreRegid(ByteSpan data, size_t offset, std::string_view identifier,
                RegidSuffix suffix);
// The identifier without its padding. REQUIRES: 32 bytes at offset.
std::string LoadRegid(ConstByteSpan data, size_t offset);
// True when the suffix says the OS class and id that we write.
bool IsOurOs(ConstByteSpan data, size_t offset);

// Microseconds, UTC. A year outside 1..9999 is stored as the nearest time
// inside; TimestampHolds tells.
void StoreTimestamp(ByteSpan data, size_t offset, const TimeSpec& time);
bool TimestampHolds(const TimeSpec& time);
// A timestamp that is no date reads as the epoch. REQUIRES: 12 bytes.
TimeSpec LoadTimestamp(ConstByteSpan data, size_t offset);

// "OSTA Compressed Unicode", 64 bytes.
void StoreCharspec(ByteSpan data, size_t offset);

}  // namespace vellum::udf
