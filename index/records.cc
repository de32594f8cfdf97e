// SPDX-License-Identifier: Apache-2.0
#include "index/records.h"

#include <fmt/format.h>
#include <xxhash.h>

#include "index/coding.h"

namespace vellum {
namespace {

constexpr uint8_t kVolumeVersion = 1;
constexpr uint8_t kInodeVersion = 1;
constexpr uint8_t kDirentVersion = 1;

// Parts of an inode that most inodes do not have, and times that are mostly
// equal: one flag each instead of a zero.
enum InodeFlag : uint64_t {
  kHasExtents = 1 << 0,
  kHasAeds = 1 << 1,
  kHasSymlink = 1 << 2,
  kInlineData = 1 << 3,
  kHasDevice = 1 << 4,
  kHasXattrs = 1 << 5,
  kHasParent = 1 << 6,
  kAtimeIsMtime = 1 << 7,
  kCtimeIsMtime = 1 << 8,
  kBtimeIsMtime = 1 << 9,
  kAllInodeFlags = (1 << 10) - 1,
};

void PutTime(std::string* out, const TimeSpec& time) {
  PutVarint(out, ZigZag(time.sec));
  PutVarint(out, time.nsec);
}

TimeSpec GetTime(ByteReader* in) {
  TimeSpec time;
  time.sec = in->Signed();
  time.nsec = static_cast<uint32_t>(in->Varint(999'999'999));
  return time;
}

bool GetBool(ByteReader* in) { return in->Varint(1) != 0; }

// An enumerator of `first`..`last` with all values in between valid.
template <typename E>
E GetEnum(ByteReader* in, E first, E last) {
  const uint64_t value = in->Varint(static_cast<uint64_t>(last));
  if (value < static_cast<uint64_t>(first)) in->Fail();
  return in->ok() ? static_cast<E>(value) : first;
}

udf::FileType GetFileType(ByteReader* in) {
  const auto type = static_cast<udf::FileType>(in->Varint(UINT8_MAX));
  switch (type) {
    case udf::FileType::kDirectory:
    case udf::FileType::kRegular:
    case udf::FileType::kBlockDevice:
    case udf::FileType::kCharDevice:
    case udf::FileType::kFifo:
    case udf::FileType::kSocket:
    case udf::FileType::kSymlink:
      return type;
  }
  in->Fail();
  return udf::FileType::kRegular;
}

Status CheckVersion(ByteReader* in, uint8_t known, const char* what) {
  const uint8_t version = in->Byte();
  if (!in->ok())
    return Status(Errc::kCorruption, fmt::format("empty {}", what));
  if (version == known) return Status::Ok();
  return Status(Errc::kCorruption,
                fmt::format("{} has encoding version {}, only {} is known",
                            what, version, known));
}

Status CheckComplete(const ByteReader& in, const char* what) {
  if (in.Complete()) return Status::Ok();
  return Status(Errc::kCorruption,
                in.ok()
                    ? fmt::format("{} has {} bytes too many", what, in.left())
                    : fmt::format("{} is cut short or malformed", what));
}

// Extents follow each other mostly, in the file and on the medium: distances
// from the end of the one before are small numbers.
void PutExtents(std::string* out, const std::vector<udf::Extent>& extents) {
  PutVarint(out, extents.size());
  uint64_t file_end = 0;
  int64_t block_end = 0;
  for (const udf::Extent& extent : extents) {
    PutVarint(out, extent.file_sector - file_end);
    PutVarint(out, ZigZag(int64_t{extent.block} - block_end));
    PutVarint(out, uint64_t{extent.count} << 1 | (extent.unwritten ? 1 : 0));
    file_end = extent.file_end();
    block_end = int64_t{extent.block} + extent.count;
  }
}

void GetExtents(ByteReader* in, std::vector<udf::Extent>* extents) {
  constexpr uint64_t kBytesPerExtent = 3;
  const uint64_t count = in->Varint(in->left() / kBytesPerExtent);
  extents->reserve(count);
  uint64_t file_end = 0;
  int64_t block_end = 0;
  for (uint64_t i = 0; i < count && in->ok(); ++i) {
    udf::Extent extent;
    extent.file_sector = file_end + in->Varint();
    const int64_t distance = in->Signed();
    if (distance < -2 * int64_t{UINT32_MAX} || distance > int64_t{UINT32_MAX}) {
      in->Fail();
      return;
    }
    const int64_t block = block_end + distance;
    const uint64_t sectors = in->Varint(uint64_t{UINT32_MAX} << 1 | 1);
    extent.count = static_cast<uint32_t>(sectors >> 1);
    extent.unwritten = (sectors & 1) != 0;
    // Ordered, not overlapping, not wrapped around.
    if (extent.file_sector < file_end ||
        extent.file_end() < extent.file_sector || block < 0 ||
        block > int64_t{UINT32_MAX}) {
      in->Fail();
      return;
    }
    extent.block = static_cast<uint32_t>(block);
    file_end = extent.file_end();
    block_end = block + extent.count;
    extents->push_back(extent);
  }
}

void PutGeometry(std::string* out, const udf::Geometry& geometry) {
  PutVarint(out, geometry.sectors);
  PutVarint(out, geometry.ring_first);
  PutVarint(out, geometry.ring_sectors);
  PutVarint(out, geometry.log_first);
  PutVarint(out, geometry.log_sectors);
  PutVarint(out, geometry.partition_first);
  PutVarint(out, geometry.partition_blocks);
  PutVarint(out, geometry.bitmap_blocks);
  PutVarint(out, geometry.root_block);
  PutVarint(out, geometry.first_free_block);
}

udf::Geometry GetGeometry(ByteReader* in) {
  udf::Geometry geometry;
  geometry.sectors = in->Varint();
  geometry.ring_first = in->Varint32();
  geometry.ring_sectors = in->Varint32();
  geometry.log_first = in->Varint32();
  geometry.log_sectors = in->Varint32();
  geometry.partition_first = in->Varint32();
  geometry.partition_blocks = in->Varint32();
  geometry.bitmap_blocks = in->Varint32();
  geometry.root_block = in->Varint32();
  geometry.first_free_block = in->Varint32();
  return geometry;
}

uint64_t InodeFlags(const InodeRecord& record) {
  const udf::InodeAttr& attr = record.attr;
  uint64_t flags = 0;
  if (!record.extents.empty()) flags |= kHasExtents;
  if (!record.aed_blocks.empty()) flags |= kHasAeds;
  if (!record.symlink_target.empty()) flags |= kHasSymlink;
  if (record.inline_data) flags |= kInlineData;
  if (attr.major != 0 || attr.minor != 0) flags |= kHasDevice;
  if (!attr.xattrs.empty()) flags |= kHasXattrs;
  if (record.parent != 0) flags |= kHasParent;
  if (attr.atime == attr.mtime) flags |= kAtimeIsMtime;
  if (attr.ctime == attr.mtime) flags |= kCtimeIsMtime;
  if (attr.btime == attr.mtime) flags |= kBtimeIsMtime;
  return flags;
}

}  // namespace

uint64_t NameHash(std::string_view name) {
  const uint64_t hash = XXH3_64bits(name.data(), name.size()) >> 8;
  return hash != 0 ? hash : 1;
}

std::string Encode(const VolumeRecord& record) {
  std::string out;
  PutByte(&out, kVolumeVersion);
  PutVarint(&out, record.index);
  PutString(&out, record.id);
  PutString(&out, record.medium);
  PutString(&out, record.medium_uuid);
  PutString(&out, record.format_uuid);
  PutVarint(&out, static_cast<uint64_t>(record.role));
  PutVarint(&out, static_cast<uint64_t>(record.state));
  PutString(&out, record.owner_id);
  PutString(&out, record.owner_uuid);
  PutVarint(&out, record.generation.lineage);
  PutVarint(&out, record.generation.number);
  PutVarint(&out, record.record_crc);
  PutVarint(&out, record.change_floor);
  PutVarint(&out, static_cast<uint64_t>(record.tree));
  PutVarint(&out, record.threshold);
  PutGeometry(&out, record.geometry);
  PutVarint(&out, record.used_blocks);
  PutVarint(&out, record.files);
  PutVarint(&out, record.directories);
  PutVarint(&out, record.next_unique_id);
  PutTime(&out, record.copied);
  PutString(&out, record.location);
  PutVarint(&out, record.forgotten ? 1 : 0);
  return out;
}

Result<VolumeRecord> DecodeVolumeRecord(std::string_view data) {
  ByteReader in(data);
  RETURN_IF_ERROR(CheckVersion(&in, kVolumeVersion, "volume record"));
  VolumeRecord record;
  record.index = in.Varint32();
  record.id = in.String();
  record.medium = in.String();
  record.medium_uuid = in.String();
  record.format_uuid = in.String();
  record.role = GetEnum(&in, udf::Role::kPrimary, udf::Role::kBackup);
  record.state = GetEnum(&in, udf::SlotState::kClean, udf::SlotState::kFiles);
  record.owner_id = in.String();
  record.owner_uuid = in.String();
  record.generation.lineage = in.Varint();
  record.generation.number = in.Varint();
  record.record_crc = in.Varint32();
  record.change_floor = in.Varint();
  record.tree = GetEnum(&in, TreeState::kNone, TreeState::kValid);
  record.threshold = in.Varint32();
  record.geometry = GetGeometry(&in);
  record.used_blocks = in.Varint();
  record.files = in.Varint();
  record.directories = in.Varint();
  record.next_unique_id = in.Varint();
  record.copied = GetTime(&in);
  record.location = in.String();
  record.forgotten = GetBool(&in);
  RETURN_IF_ERROR(CheckComplete(in, "volume record"));
  return record;
}

std::string Encode(const InodeRecord& record) {
  const udf::InodeAttr& attr = record.attr;
  const uint64_t flags = InodeFlags(record);
  std::string out;
  out.reserve(96);
  PutByte(&out, kInodeVersion);
  PutVarint(&out, flags);
  PutVarint(&out, static_cast<uint64_t>(attr.type));
  PutVarint(&out, attr.mode);
  PutVarint(&out, attr.uid);
  PutVarint(&out, attr.gid);
  PutVarint(&out, attr.links);
  PutVarint(&out, attr.size);
  PutVarint(&out, attr.unique_id);
  PutTime(&out, attr.mtime);
  if ((flags & kAtimeIsMtime) == 0) PutTime(&out, attr.atime);
  if ((flags & kCtimeIsMtime) == 0) PutTime(&out, attr.ctime);
  if ((flags & kBtimeIsMtime) == 0) PutTime(&out, attr.btime);
  if ((flags & kHasDevice) != 0) {
    PutVarint(&out, attr.major);
    PutVarint(&out, attr.minor);
  }
  if ((flags & kHasParent) != 0) PutVarint(&out, record.parent);
  if ((flags & kHasExtents) != 0) PutExtents(&out, record.extents);
  if ((flags & kHasAeds) != 0) {
    PutVarint(&out, record.aed_blocks.size());
    for (const uint32_t block : record.aed_blocks) PutVarint(&out, block);
  }
  if ((flags & kHasSymlink) != 0) PutString(&out, record.symlink_target);
  if ((flags & kHasXattrs) != 0) {
    PutVarint(&out, attr.xattrs.size());
    for (const auto& [name, value] : attr.xattrs) {
      PutString(&out, name);
      PutString(&out, value);
    }
  }
  return out;
}

Result<InodeRecord> DecodeInodeRecord(std::string_view data) {
  ByteReader in(data);
  RETURN_IF_ERROR(CheckVersion(&in, kInodeVersion, "inode record"));
  InodeRecord record;
  udf::InodeAttr& attr = record.attr;
  const uint64_t flags = in.Varint(kAllInodeFlags);
  attr.type = GetFileType(&in);
  attr.mode = static_cast<uint32_t>(in.Varint(07777));
  attr.uid = in.Varint32();
  attr.gid = in.Varint32();
  attr.links = in.Varint32();
  attr.size = in.Varint();
  attr.unique_id = in.Varint();
  attr.mtime = GetTime(&in);
  const auto time = [&](InodeFlag is_mtime) {
    return (flags & is_mtime) != 0 ? attr.mtime : GetTime(&in);
  };
  attr.atime = time(kAtimeIsMtime);
  attr.ctime = time(kCtimeIsMtime);
  attr.btime = time(kBtimeIsMtime);
  if ((flags & kHasDevice) != 0) {
    attr.major = in.Varint32();
    attr.minor = in.Varint32();
  }
  if ((flags & kHasParent) != 0) record.parent = in.Varint32();
  if ((flags & kHasExtents) != 0) GetExtents(&in, &record.extents);
  if ((flags & kHasAeds) != 0) {
    const uint64_t count = in.Varint(in.left());  // one byte each at least
    record.aed_blocks.reserve(count);
    for (uint64_t i = 0; i < count && in.ok(); ++i) {
      record.aed_blocks.push_back(in.Varint32());
    }
  }
  if ((flags & kHasSymlink) != 0) record.symlink_target = in.String();
  record.inline_data = (flags & kInlineData) != 0;
  if ((flags & kHasXattrs) != 0) {
    const uint64_t count = in.Varint();
    for (uint64_t i = 0; i < count && in.ok(); ++i) {
      std::string name(in.String());
      attr.xattrs.insert_or_assign(std::move(name), std::string(in.String()));
    }
  }
  RETURN_IF_ERROR(CheckComplete(in, "inode record"));
  return record;
}

std::string Encode(const DirentRecord& record) {
  std::string out;
  out.reserve(record.name.size() + 16);
  PutByte(&out, kDirentVersion);
  PutVarint(&out, record.ino);
  PutVarint(&out, static_cast<uint64_t>(record.type));
  PutVarint(&out, record.fid_offset);
  PutString(&out, record.name);
  return out;
}

Result<DirentRecord> DecodeDirentRecord(uint64_t cookie,
                                        std::string_view data) {
  ByteReader in(data);
  RETURN_IF_ERROR(CheckVersion(&in, kDirentVersion, "directory entry"));
  DirentRecord record;
  record.cookie = cookie;
  record.ino = in.Varint32();
  record.type = GetFileType(&in);
  record.fid_offset = in.Varint32();
  record.name = in.String();
  RETURN_IF_ERROR(CheckComplete(in, "directory entry"));
  return record;
}

}  // namespace vellum
