// SPDX-License-Identifier: Apache-2.0
// File entries (ECMA-167 4/14.9 and 4/14.17): inodes.
#include <fmt/format.h>

#include <algorithm>
#include <limits>

#include "media/udf/allocation.h"
#include "media/udf/bytes.h"
#include "media/udf/codec.h"
#include "media/udf/extended_attributes.h"
#include "media/udf/path_components.h"
#include "media/udf/tag.h"

namespace vellum::udf {
namespace {

constexpr size_t kEfeHeader = 216;
constexpr size_t kFeHeader = 176;
constexpr size_t kEfeRoom = kSectorSize - kEfeHeader;
// Always left beside the extended attributes, for 8 descriptors.
constexpr size_t kDescriptorRoom = 64;
constexpr size_t kMaxXattrName = 255;
// Of a symlink that another system wrote.
constexpr uint64_t kMaxPathData = 64 * 1024;

constexpr uint16_t kAdTypeMask = 7;
constexpr uint16_t kAdShort = 0;
constexpr uint16_t kAdLong = 1;
constexpr uint16_t kAdInline = 3;
constexpr uint16_t kSetUid = 1 << 6;
constexpr uint16_t kSetGid = 1 << 7;
constexpr uint16_t kSticky = 1 << 8;

constexpr uint32_t kMayChangeAttributes = 1 << 3;
constexpr uint32_t kMayDelete = 1 << 4;

uint16_t FlagsOfMode(uint32_t mode) {
  return static_cast<uint16_t>(((mode & 04000) != 0 ? kSetUid : 0) |
                               ((mode & 02000) != 0 ? kSetGid : 0) |
                               ((mode & 01000) != 0 ? kSticky : 0));
}

// Five bits for each of other, group, owner; read, write and execute have the
// places that POSIX gives them.
uint32_t PermissionsOfMode(uint32_t mode) {
  uint32_t permissions =
      (mode & 7) | ((mode >> 3 & 7) << 5) | ((mode >> 6 & 7) << 10);
  if ((mode & 0200) != 0) {
    permissions |= (kMayChangeAttributes | kMayDelete) << 10;
  }
  return permissions;
}

uint32_t ModeOf(uint32_t permissions, uint16_t flags) {
  return (permissions & 7) | ((permissions >> 5 & 7) << 3) |
         ((permissions >> 10 & 7) << 6) | ((flags & kSetUid) != 0 ? 04000 : 0) |
         ((flags & kSetGid) != 0 ? 02000 : 0) |
         ((flags & kSticky) != 0 ? 01000 : 0);
}

bool IsKnown(FileType type) {
  switch (type) {
    case FileType::kDirectory:
    case FileType::kRegular:
    case FileType::kBlockDevice:
    case FileType::kCharDevice:
    case FileType::kFifo:
    case FileType::kSocket:
    case FileType::kSymlink:
      return true;
  }
  return false;
}

size_t DescriptorsInEntry(size_t attributes) {
  return (kEfeRoom - attributes) / kShortAdSize;
}

std::optional<std::string> TrueTarget(const std::string& target,
                                      const EncodedPath& path) {
  if (path.exact) return std::nullopt;
  return target;
}

// The body of an entry: what stands behind the extended attributes.
struct Body {
  uint64_t size = 0;  // information length
  uint16_t ad_type = kAdShort;
  Bytes area;
  std::vector<Sector> aeds;
  uint64_t recorded_blocks = 0;
};

Status FillExtents(const FileEntry& entry, size_t attributes, Body* body) {
  ASSIGN_OR_RETURN(const std::vector<AllocationDescriptor> ads,
                   DescribeExtents(entry.extents, body->size));
  const size_t in_entry = DescriptorsInEntry(attributes);
  if (entry.aed_blocks.size() != AedCount(ads.size(), in_entry)) {
    return Status(
        Errc::kInvalidArgument,
        fmt::format("{} descriptors need {} AEDs, not {}", ads.size(),
                    AedCount(ads.size(), in_entry), entry.aed_blocks.size()));
  }
  for (const Extent& extent : entry.extents) {
    if (!extent.unwritten) body->recorded_blocks += extent.count;
  }
  EncodeAllocation(ads, in_entry, entry.aed_blocks, &body->area, &body->aeds);
  return Status::Ok();
}

Status CheckDirectory(const FileEntry& entry) {
  if (entry.attr.size > kMaxDirectorySize) {
    return Status(Errc::kTooLarge,
                  fmt::format("directory of {} bytes: it has at most {}",
                              entry.attr.size, kMaxDirectorySize));
  }
  const uint64_t sectors = (entry.attr.size + kSectorSize - 1) / kSectorSize;
  if (entry.extents.size() != 1 || entry.extents[0].unwritten ||
      entry.extents[0].file_sector != 0 || entry.extents[0].count != sectors) {
    return Status(Errc::kInvalidArgument,
                  "a directory is exactly one recorded extent");
  }
  return Status::Ok();
}

Result<Body> MakeBody(const FileEntry& entry, const EncodedPath& path,
                      size_t attributes) {
  Body body;
  body.size = entry.attr.size;
  const size_t room = kEfeRoom - attributes;
  const auto put_inline = [&body, room](ConstByteSpan data) {
    if (data.size() > room) return false;
    body.ad_type = kAdInline;
    body.area.assign(data.begin(), data.end());
    return true;
  };
  switch (entry.attr.type) {
    case FileType::kDirectory:
      RETURN_IF_ERROR(CheckDirectory(entry));
      RETURN_IF_ERROR(FillExtents(entry, attributes, &body));
      break;
    case FileType::kRegular:
      if (!entry.inline_data) {
        RETURN_IF_ERROR(FillExtents(entry, attributes, &body));
      } else if (entry.inline_data->size() != entry.attr.size) {
        return Error{Errc::kInvalidArgument,
                     "inline data and size of a file differ"};
      } else if (!put_inline(*entry.inline_data)) {
        return Error{Errc::kTooLarge,
                     fmt::format("{} bytes of inline data, room for {}",
                                 entry.inline_data->size(), room)};
      }
      break;
    case FileType::kSymlink:
      body.size = path.data.size();
      if (!entry.extents.empty()) {
        RETURN_IF_ERROR(FillExtents(entry, attributes, &body));
      } else if (!put_inline(path.data)) {
        return Error{Errc::kTooLarge,
                     fmt::format("symlink target of {} bytes is too long",
                                 entry.symlink_target.size())};
      }
      break;
    default:
      body.size = 0;
      put_inline({});
      break;
  }
  return body;
}

Result<uint16_t> LinksOnMedium(const InodeAttr& attr) {
  uint32_t links = attr.links;
  if (attr.type == FileType::kDirectory) {
    if (links < 2) {
      return Error{Errc::kInvalidArgument,
                   fmt::format("directory with link count {}", links)};
    }
    --links;  // UDF has no "."
  }
  if (links > std::numeric_limits<uint16_t>::max()) {
    return Error{Errc::kTooManyLinks, fmt::format("link count {}", links)};
  }
  return static_cast<uint16_t>(links);
}

}  // namespace

Bytes EncodeSymlinkData(const std::string& target) {
  return EncodePath(target).data;
}

bool SymlinkNeedsExtent(const std::string& target) {
  const EncodedPath path = EncodePath(target);
  // The largest that the attributes get without xattrs.
  InodeAttr attr;
  attr.type = FileType::kSymlink;
  attr.atime.sec = attr.mtime.sec = attr.ctime.sec = attr.btime.sec =
      std::numeric_limits<int64_t>::max();
  return path.data.size() +
             ExtendedAttributesLength(attr, TrueTarget(target, path)) >
         kEfeRoom;
}

size_t InlineCapacity(const InodeAttr& attr) {
  const size_t attributes = ExtendedAttributesLength(attr, std::nullopt);
  return attributes >= kEfeRoom ? 0 : kEfeRoom - attributes;
}

Status CheckXattrsFit(const InodeAttr& attr,
                      const std::string& symlink_target) {
  for (const auto& [name, value] : attr.xattrs) {
    if (name.empty() || name.size() > kMaxXattrName) {
      return Status(
          Errc::kInvalidArgument,
          fmt::format("extended attribute name of {} bytes", name.size()));
    }
  }
  size_t needed = kDescriptorRoom;
  std::optional<std::string> true_target;
  if (attr.type == FileType::kSymlink) {
    const EncodedPath path = EncodePath(symlink_target);
    true_target = TrueTarget(symlink_target, path);
    if (!SymlinkNeedsExtent(symlink_target)) needed = path.data.size();
  }
  const size_t attributes = ExtendedAttributesLength(attr, true_target);
  if (attributes + needed <= kEfeRoom) return Status::Ok();
  InodeAttr bare = attr;
  bare.xattrs.clear();
  const size_t taken = ExtendedAttributesLength(bare, true_target) + needed;
  return Status(Errc::kNoSpace,
                fmt::format("extended attributes of an inode share {} bytes",
                            taken >= kEfeRoom ? 0 : kEfeRoom - taken));
}

size_t AedsNeeded(const FileEntry& entry) {
  if (entry.inline_data) return 0;
  uint64_t size = entry.attr.size;
  std::optional<std::string> true_target;
  if (entry.attr.type == FileType::kSymlink) {
    const EncodedPath path = EncodePath(entry.symlink_target);
    true_target = TrueTarget(entry.symlink_target, path);
    if (entry.extents.empty()) return 0;
    size = path.data.size();
  } else if (entry.attr.type != FileType::kRegular &&
             entry.attr.type != FileType::kDirectory) {
    return 0;
  }
  const size_t attributes = ExtendedAttributesLength(entry.attr, true_target);
  if (attributes + kDescriptorRoom > kEfeRoom) return 0;  // cannot be encoded
  const auto ads = DescribeExtents(entry.extents, size);
  return ads.ok() ? AedCount(ads->size(), DescriptorsInEntry(attributes)) : 0;
}

Result<EncodedEntry> EncodeFileEntry(const FileEntry& entry, uint32_t block) {
  const InodeAttr& attr = entry.attr;
  EncodedPath path;
  std::optional<std::string> true_target;
  if (attr.type == FileType::kSymlink) {
    path = EncodePath(entry.symlink_target);
    true_target = TrueTarget(entry.symlink_target, path);
  }
  const size_t attributes = ExtendedAttributesLength(attr, true_target);
  const bool with_descriptors =
      !entry.inline_data &&
      (attr.type == FileType::kRegular || attr.type == FileType::kDirectory);
  if (attributes + (with_descriptors ? kDescriptorRoom : 0) > kEfeRoom) {
    return Error{
        Errc::kTooLarge,
        fmt::format("attributes of {} bytes do not fit an entry", attributes)};
  }
  ASSIGN_OR_RETURN(const uint16_t links, LinksOnMedium(attr));
  ASSIGN_OR_RETURN(Body body, MakeBody(entry, path, attributes));

  EncodedEntry encoded;
  encoded.aeds = std::move(body.aeds);
  Sector& s = encoded.icb;
  s.fill(std::byte{0});
  Store16(s, 20, 4);  // strategy type
  Store16(s, 24, 1);  // maximum number of entries
  Store8(s, 27, static_cast<uint8_t>(attr.type));
  Store16(s, 34, static_cast<uint16_t>(body.ad_type | FlagsOfMode(attr.mode)));
  Store32(s, 36, attr.uid);
  Store32(s, 40, attr.gid);
  Store32(s, 44, PermissionsOfMode(attr.mode));
  Store16(s, 48, links);
  Store64(s, 56, body.size);
  Store64(s, 64, body.size);  // object size: there are no streams
  Store64(s, 72, body.recorded_blocks);
  StoreTimestamp(s, 80, attr.atime);
  StoreTimestamp(s, 92, attr.mtime);
  StoreTimestamp(s, 104, attr.btime);
  StoreTimestamp(s, 116, attr.ctime);
  Store32(s, 128, 1);  // checkpoint
  StoreRegid(s, 168, kImplementationId, RegidSuffix::kImplementation);
  Store64(s, 200, attr.unique_id);
  Bytes tail;
  tail.reserve(attributes + body.area.size());
  EncodeExtendedAttributes(attr, true_target, block, &tail);
  Store32(s, 208, static_cast<uint32_t>(tail.size()));
  Store32(s, 212, static_cast<uint32_t>(body.area.size()));
  tail.insert(tail.end(), body.area.begin(), body.area.end());
  StoreBytes(s, kEfeHeader, tail);
  SealTag(s, kTagExtendedFileEntry, block, kEfeHeader + tail.size() - kTagSize);
  return encoded;
}

namespace {

// Where the fields stand that the two kinds of entry have at different places.
struct EntryLayout {
  size_t header = 0;
  size_t blocks_recorded = 0;
  size_t atime = 0;
  size_t mtime = 0;
  size_t btime = 0;  // 0: the entry has none
  size_t ctime = 0;
  size_t unique_id = 0;
  size_t attributes_length = 0;  // that of the descriptors follows it
};
constexpr EntryLayout kEfeLayout = {kEfeHeader, 72, 80, 92, 104, 116, 200, 208};
constexpr EntryLayout kFeLayout = {kFeHeader, 64, 72, 84, 0, 96, 160, 168};

Status WrongEntry(uint32_t block, const std::string& what) {
  return Status(Errc::kCorruption,
                fmt::format("file entry in block {}: {}", block, what));
}

// The path components of a symlink, wherever they stand.
Result<Bytes> SymlinkData(const FileEntry& entry, uint64_t size, uint32_t block,
                          const ReadBlock& read_block) {
  if (entry.inline_data) return *entry.inline_data;
  if (size > kMaxPathData) {
    return WrongEntry(block, fmt::format("symlink of {} bytes", size)).error();
  }
  Bytes data(size);
  for (const Extent& extent : entry.extents) {
    for (uint32_t i = 0; i < extent.count && !extent.unwritten; ++i) {
      Sector sector;
      RETURN_IF_ERROR(read_block(extent.block + i, &sector));
      const size_t at = (extent.file_sector + i) * kSectorSize;
      if (at >= size) break;
      StoreBytes(data, at,
                 ConstByteSpan(sector).first(
                     std::min<uint64_t>(kSectorSize, size - at)));
    }
  }
  return data;
}

Result<EntryLayout> CheckHeader(const Sector& icb, uint32_t block) {
  const bool extended = TagIdOf(icb) == kTagExtendedFileEntry;
  RETURN_IF_ERROR(
      CheckTag(icb, extended ? kTagExtendedFileEntry : kTagFileEntry, block));
  const EntryLayout layout = extended ? kEfeLayout : kFeLayout;
  const uint64_t tail = uint64_t{Load32(icb, layout.attributes_length)} +
                        Load32(icb, layout.attributes_length + 4);
  if (tail > kSectorSize - layout.header) {
    return WrongEntry(block, fmt::format("{} bytes do not fit", tail)).error();
  }
  if (TagCrcLengthOf(icb) != layout.header + tail - kTagSize) {
    return WrongEntry(block, "CRC does not cover the entry").error();
  }
  if (Load16(icb, 20) != 4) {
    return WrongEntry(block, fmt::format("strategy {}", Load16(icb, 20)))
        .error();
  }
  if (!IsKnown(static_cast<FileType>(Load8(icb, 27)))) {
    return WrongEntry(block, fmt::format("file type {}", Load8(icb, 27)))
        .error();
  }
  return layout;
}

InodeAttr LoadAttr(const Sector& icb, const EntryLayout& layout) {
  InodeAttr attr;
  attr.type = static_cast<FileType>(Load8(icb, 27));
  attr.mode = ModeOf(Load32(icb, 44), Load16(icb, 34));
  attr.uid = Load32(icb, 36);
  attr.gid = Load32(icb, 40);
  attr.links = Load16(icb, 48);
  if (attr.type == FileType::kDirectory) ++attr.links;
  attr.size = Load64(icb, 56);
  attr.atime = LoadTimestamp(icb, layout.atime);
  attr.mtime = LoadTimestamp(icb, layout.mtime);
  attr.ctime = LoadTimestamp(icb, layout.ctime);
  attr.btime =
      layout.btime != 0 ? LoadTimestamp(icb, layout.btime) : attr.ctime;
  attr.unique_id = Load64(icb, layout.unique_id);
  return attr;
}

Status LoadBody(const Sector& icb, ConstByteSpan area,
                const EntryLayout& layout, const AllocationContext& context,
                const ReadBlock& read_block, FileEntry* entry) {
  const uint32_t block = context.block;
  uint64_t recorded = 0;
  if (context.descriptor_size == 0) {
    if (area.size() != context.size) {
      return WrongEntry(block, fmt::format("{} bytes inline, size {}",
                                           area.size(), context.size));
    }
    entry->inline_data = Bytes(area.begin(), area.end());
  } else {
    ASSIGN_OR_RETURN(DecodedAllocation allocation,
                     DecodeAllocation(area, context, read_block));
    entry->extents = std::move(allocation.extents);
    entry->aed_blocks = std::move(allocation.aed_blocks);
    recorded = allocation.recorded_blocks;
  }
  if (Load64(icb, layout.blocks_recorded) != recorded) {
    return WrongEntry(
        block, fmt::format("says {} recorded blocks, has {}",
                           Load64(icb, layout.blocks_recorded), recorded));
  }
  return Status::Ok();
}

}  // namespace

Result<FileEntry> DecodeFileEntry(const Sector& icb, uint32_t block,
                                  uint32_t partition_blocks,
                                  const ReadBlock& read_block,
                                  size_t max_aeds) {
  ASSIGN_OR_RETURN(const EntryLayout layout, CheckHeader(icb, block));
  FileEntry entry;
  entry.attr = LoadAttr(icb, layout);
  const size_t attributes = Load32(icb, layout.attributes_length);
  const ConstByteSpan tail = ConstByteSpan(icb).subspan(layout.header);
  const ConstByteSpan area =
      tail.subspan(attributes, Load32(icb, layout.attributes_length + 4));
  std::optional<std::string> true_target;
  RETURN_IF_ERROR(DecodeExtendedAttributes(tail.first(attributes), block,
                                           &entry.attr, &true_target));
  AllocationContext context;
  context.block = block;
  context.size = entry.attr.size;
  context.partition_blocks = partition_blocks;
  context.max_aeds = max_aeds;
  switch (Load16(icb, 34) & kAdTypeMask) {
    case kAdShort:
      context.descriptor_size = kShortAdSize;
      break;
    case kAdLong:
      context.descriptor_size = kLongAdSize;
      break;
    case kAdInline:
      context.descriptor_size = 0;
      break;
    default:
      return WrongEntry(block, "kind of descriptors is unknown").error();
  }
  RETURN_IF_ERROR(LoadBody(icb, area, layout, context, read_block, &entry));
  if (entry.attr.type == FileType::kSymlink) {
    ASSIGN_OR_RETURN(const Bytes data,
                     SymlinkData(entry, entry.attr.size, block, read_block));
    Result<std::string> target = DecodePath(data);
    if (!target.ok()) return WrongEntry(block, target.error().message).error();
    entry.symlink_target =
        true_target ? *std::move(true_target) : *std::move(target);
    entry.attr.size = entry.symlink_target.size();
    entry.inline_data.reset();
  } else if (entry.attr.type != FileType::kRegular &&
             entry.attr.type != FileType::kDirectory) {
    if (entry.attr.size != 0) {
      return WrongEntry(block, "special file with content").error();
    }
    entry.inline_data.reset();
  }
  return entry;
}

}  // namespace vellum::udf
