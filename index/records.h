// SPDX-License-Identifier: Apache-2.0
// What the catalog stores, as values, with their encodings (index/SCHEMA.md).
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "media/error.h"
#include "media/library.h"
#include "media/types.h"
#include "media/udf/codec.h"
#include "media/udf/control.h"
#include "media/udf/layout.h"

namespace vellum {

// Number of a volume within one catalog: 1, 2, …; never reused.
using VolumeIndex = uint32_t;
// An inode of a volume is the block of its ICB: pinned for life.
using InodeNumber = uint32_t;

enum class TreeState : uint8_t {
  kNone = 0,  // no entries in the catalog (never scanned, incomplete backup)
  kScanning = 1,  // a scan was broken off: entries are not to be trusted
  kValid = 2,     // entries are those of `generation`
};

struct VolumeRecord {
  VolumeIndex index = 0;
  std::string id;           // volume id
  MediumId medium;          // the medium that carries it
  std::string medium_uuid;  // as in the control slot
  std::string format_uuid;
  udf::Role role = udf::Role::kPrimary;
  udf::SlotState state = udf::SlotState::kClean;
  std::string owner_id;  // backup: its primary
  std::string owner_uuid;
  Generation generation;  // primary: last commit that the catalog has applied;
                          // backup: the one that it holds
  uint32_t record_crc = 0;    // of that commit's redo record; 0 = not known
  uint64_t change_floor = 0;  // change map is unbroken for (floor, number]
  TreeState tree = TreeState::kNone;
  uint32_t threshold = 100;
  udf::Geometry geometry;
  uint64_t used_blocks = 0;
  uint64_t files = 0;
  uint64_t directories = 0;
  uint64_t next_unique_id = 16;
  TimeSpec copied;         // backup: when its generation was copied
  std::string location;    // shelf location of an exported medium
  bool forgotten = false;  // removed from the mount, index kept
  bool operator==(const VolumeRecord&) const = default;
};

struct InodeRecord {
  udf::InodeAttr attr;
  std::vector<udf::Extent> extents;
  std::vector<uint32_t> aed_blocks;
  std::string symlink_target;
  bool inline_data = false;  // content is in the file entry on the medium
  InodeNumber parent = 0;    // directories only
  bool operator==(const InodeRecord&) const = default;
};

// One name in a directory. `cookie` orders the names of a directory, stays with
// the name for life, is unique within it and is never 0: the readdir offset.
// cookie = 56-bit hash of the name << 7 | ordinal among equal hashes.
struct DirentRecord {
  uint64_t cookie = 0;
  std::string name;
  InodeNumber ino = 0;
  udf::FileType type = udf::FileType::kRegular;
  uint32_t fid_offset = 0;  // in the directory's content, bytes
  bool operator==(const DirentRecord&) const = default;
};
uint64_t NameHash(std::string_view name);  // 56 bits, never 0
inline uint64_t MakeCookie(uint64_t hash56, uint32_t ordinal) {
  return hash56 << 7 | ordinal;
}

// Encodings: a version byte, then varints and length-prefixed strings. Decoders
// accept any bytes: kCorruption.
std::string Encode(const VolumeRecord& record);
std::string Encode(const InodeRecord& record);
std::string Encode(const DirentRecord& record);  // without the cookie
Result<VolumeRecord> DecodeVolumeRecord(std::string_view data);
Result<InodeRecord> DecodeInodeRecord(std::string_view data);
Result<DirentRecord> DecodeDirentRecord(uint64_t cookie, std::string_view data);

}  // namespace vellum
