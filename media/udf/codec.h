// SPDX-License-Identifier: Apache-2.0
// Pure encoders and decoders of the UDF structures that change in the life of a
// volume: file entries, allocation extent descriptors, file identifiers, space
// bitmap, logical volume integrity. No I/O, no state. Decoders accept any
// bytes, never read outside them, and answer kCorruption saying what is wrong.
// Sources: ECMA-167 3rd edition part 4, UDF 2.01; media/udf/FORMAT.md.
#pragma once

#include <array>
#include <cstdint>
#include <functional>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "media/error.h"
#include "media/types.h"
#include "media/udf/layout.h"

namespace vellum::udf {

using Sector = std::array<std::byte, kSectorSize>;

// CCITT polynomial 0x1021, initial value 0 (ECMA-167 3/7.2.6): "70 6A 77" ->
// 0x3299.
uint16_t Crc16(ConstByteSpan data);
// CRC32C (Castagnoli) of the private structures; hardware where it exists.
// Chains: Crc32c(b, Crc32c(a)) is that of a followed by b.
uint32_t Crc32c(ConstByteSpan data, uint32_t seed = 0);
// The same without hardware.
uint32_t Crc32cPortable(ConstByteSpan data, uint32_t seed = 0);

// Largest file, holes included: 16 TiB. A hole of that size takes 65 AEDs.
inline constexpr uint64_t kMaxFileSize = uint64_t{1} << 44;
// Largest directory: what one allocation descriptor describes.
inline constexpr uint64_t kMaxDirectorySize = 0x3FFFF800;

enum class FileType : uint8_t {  // ECMA-167 4/14.6.6 values
  kDirectory = 4,
  kRegular = 5,
  kBlockDevice = 6,
  kCharDevice = 7,
  kFifo = 9,
  kSocket = 10,
  kSymlink = 12,
};

// A run of blocks that holds file content. Extents of a file are ordered by
// file_sector and do not overlap; what lies between them is a hole.
struct Extent {
  uint64_t file_sector = 0;  // first sector of the file that it holds
  uint32_t block = 0;        // partition-relative
  uint32_t count = 0;        // sectors
  bool unwritten = false;    // allocated, not recorded (reads as zeros)
  uint64_t file_end() const { return file_sector + count; }
  bool operator==(const Extent&) const = default;
};

// Attributes of one inode, as in the file entry plus its private extended
// attribute (nanoseconds, xattrs, true symlink target).
struct InodeAttr {
  FileType type = FileType::kRegular;
  uint32_t mode = 0;  // permission bits 07777
  uint32_t uid = 0;
  uint32_t gid = 0;
  uint32_t links = 1;  // POSIX link count: a directory has 2 + subdirectories
  uint64_t size =
      0;  // bytes (directories: length of the FIDs; symlinks: of the target)
  uint64_t unique_id = 0;  // root 0, others >= 16
  uint32_t major = 0;      // device numbers
  uint32_t minor = 0;
  TimeSpec atime, mtime, ctime, btime;
  std::map<std::string, std::string> xattrs;
  bool operator==(const InodeAttr&) const = default;
};

struct FileEntry {
  InodeAttr attr;
  // Regular files and directories; symlinks whose EncodeSymlinkData the caller
  // wrote there because it does not fit the entry.
  std::vector<Extent> extents;
  std::optional<Bytes> inline_data;  // regular files only; size() == attr.size
  std::string symlink_target;        // symlinks (always kept whole)
  std::vector<uint32_t> aed_blocks;  // blocks of the AEDs, in chain order
};

// Bytes of inline file data that fit beside these attributes; 0 if even none.
size_t InlineCapacity(const InodeAttr& attr);
// kNoSpace when the xattrs do not fit the entry ("extended attributes of an
// inode share N bytes").
Status CheckXattrsFit(const InodeAttr& attr, const std::string& symlink_target);
// How many AED blocks the extents need (0 when they fit the entry).
size_t AedsNeeded(const FileEntry& entry);

// Encodes the entry into the sector of its ICB at `block`, and its AEDs into
// one sector for each of entry.aed_blocks (REQUIRES: as many as AedsNeeded).
// Holes between extents and at the end become type-2 descriptors; a run longer
// than 0x3FFFF800 bytes is split. blocksRecorded, objectSize, link count of a
// directory (UDF: 1 + subdirectories) follow from the entry.
// kTooLarge: a symlink target or xattrs that do not fit, a size beyond
// kMaxFileSize or kMaxDirectorySize; kTooManyLinks; kInvalidArgument: extents
// behind the size or out of order, a directory that is not one recorded extent,
// wrong aed_blocks.
struct EncodedEntry {
  Sector icb;
  std::vector<Sector> aeds;
};
Result<EncodedEntry> EncodeFileEntry(const FileEntry& entry, uint32_t block);

// Content of a symlink on the medium: path components. A target that they do
// not say exactly (a "//", bytes that are no UTF-8) stands in the extended
// attributes too and then must fit the entry (EncodeFileEntry: kTooLarge).
Bytes EncodeSymlinkData(const std::string& target);
// Does it have to stand in extents (more than about 1,600 bytes)? Then the
// caller writes it there; otherwise it stands in the entry.
bool SymlinkNeedsExtent(const std::string& target);

// Decodes an (extended) file entry at `block`. `read_block` fetches the AEDs.
// Follows at most `max_aeds`; a chain that loops or leaves the partition
// (partition_blocks) is kCorruption. Accepts FE (261) too.
using ReadBlock = std::function<Status(uint32_t block, Sector* out)>;
Result<FileEntry> DecodeFileEntry(const Sector& icb, uint32_t block,
                                  uint32_t partition_blocks,
                                  const ReadBlock& read_block,
                                  size_t max_aeds = 1u << 20);

// One file identifier descriptor (a directory entry).
struct Fid {
  std::string name;  // UTF-8 or raw POSIX bytes, never '/' or NUL;
                     // empty for the parent entry
  uint32_t icb_block = 0;
  uint32_t unique_id = 0;  // low 32 bits of the inode's unique id
  bool directory = false;
  bool parent = false;
  bool deleted = false;  // never written by us; foreign writers leave them
};
// A POSIX name that is valid UTF-8 without U+FEFF, U+FFFE and U+FFFF and fits
// 254 Latin-1 or 127 UTF-16 units is stored as it is; any other, and any that
// looks like one of these itself, gets a unique shortened name ("prefix~hash")
// and the true bytes in the implementation use. kNameTooLong beyond 255 bytes.
// The encoded length, a multiple of 4, at most 2048.
Result<size_t> FidLength(const Fid& fid);
// Appends the FID to `out`. `block` is the partition block in which the FID
// starts (its tag location); `extra_iu` bytes (multiple of 4, 0 or >= 32) of
// padding are added to the implementation use to swallow what followed.
Status EncodeFid(const Fid& fid, uint32_t block, size_t extra_iu, Bytes* out);

struct DecodedFid {
  Fid fid;
  size_t length = 0;  // bytes that it takes, swallowed ones included
  size_t needed = 0;  // bytes that it would take without padding
};
// Decodes the FID at data[0]; `block` is where it starts, for the tag check.
Result<DecodedFid> DecodeFid(ConstByteSpan data, uint32_t block);
// All FIDs of a directory's content that starts at `first_block`.
// `visit(offset, fid)`; stops at the first error of either.
Status ForEachFid(
    ConstByteSpan content, uint32_t first_block,
    const std::function<Status(size_t, const DecodedFid&)>& visit);

// Logical volume integrity descriptor (sector 64).
struct Lvid {
  bool closed = true;
  TimeSpec time;
  uint64_t next_unique_id = 16;
  uint32_t free_blocks = 0;
  uint32_t partition_blocks = 0;
  uint32_t files = 0;        // FIDs of non-directories
  uint32_t directories = 1;  // root included
};
Sector EncodeLvid(const Lvid& lvid);
// Also says whether another implementation wrote it last.
struct DecodedLvid {
  Lvid lvid;
  bool foreign = false;
};
Result<DecodedLvid> DecodeLvid(const Sector& sector);

}  // namespace vellum::udf
