// SPDX-License-Identifier: Apache-2.0
#include "index/keys.h"

#include <fmt/format.h>

#include "media/error.h"

namespace vellum {
namespace {

constexpr char kSchemaType = 'S';
constexpr char kNextIndexType = 'N';
constexpr char kVolumeType = 'V';
constexpr char kRowType = 'R';
constexpr char kInodeType = 'I';
constexpr char kDirentType = 'D';
constexpr char kChangeType = 'C';
constexpr char kPendingType = 'P';

constexpr size_t kVolumeKeySize = 5;
constexpr size_t kInodeKeySize = 9;
constexpr size_t kDirentKeySize = 17;

uint64_t BigEndian(std::string_view bytes) {
  uint64_t value = 0;
  for (const char byte : bytes) value = value << 8 | static_cast<uint8_t>(byte);
  return value;
}

bool HasShape(std::string_view key, char type, size_t size) {
  return key.size() == size && key[0] == type;
}

}  // namespace

Key SchemaVersionKey() { return Key(kSchemaType); }
Key NextVolumeIndexKey() { return Key(kNextIndexType); }
Key VolumeKey(VolumeIndex volume) { return Key(kVolumeType).U32(volume); }

Key InodeKey(VolumeIndex volume, InodeNumber ino) {
  return Key(kInodeType).U32(volume).U32(ino);
}

Key DirentKey(VolumeIndex volume, InodeNumber dir, uint64_t cookie) {
  VELLUM_CHECK(cookie != 0 && cookie >> 63 == 0);
  return DirentsPrefix(volume, dir, cookie >> 7)
      .U8(static_cast<uint8_t>(cookie & 0x7F));
}

Key ChangeChunkKey(VolumeIndex volume, uint32_t chunk) {
  return Key(kChangeType).U32(volume).U32(chunk);
}

Key PendingKey(VolumeIndex volume) { return Key(kPendingType).U32(volume); }

std::string RowKey(std::string_view table, std::string_view key) {
  return RowsPrefix(table).append(key);
}

Key VolumesPrefix() { return Key(kVolumeType); }
Key InodesPrefix(VolumeIndex volume) { return Key(kInodeType).U32(volume); }
Key DirentsPrefix(VolumeIndex volume) { return Key(kDirentType).U32(volume); }
Key DirentsPrefix(VolumeIndex volume, InodeNumber dir) {
  return DirentsPrefix(volume).U32(dir);
}
Key DirentsPrefix(VolumeIndex volume, InodeNumber dir, uint64_t hash56) {
  return DirentsPrefix(volume, dir).U56(hash56);
}
Key ChangeChunksPrefix(VolumeIndex volume) {
  return Key(kChangeType).U32(volume);
}

std::string RowsPrefix(std::string_view table) {
  VELLUM_CHECK(!table.empty() && table.find('\0') == std::string_view::npos);
  std::string prefix(1, kRowType);
  prefix.append(table).push_back('\0');
  return prefix;
}

Key AllRowsPrefix() { return Key(kRowType); }

std::string PrefixEnd(std::string_view prefix) {
  std::string end(prefix);
  while (!end.empty() && static_cast<uint8_t>(end.back()) == 0xFF) {
    end.pop_back();
  }
  VELLUM_CHECK(!end.empty());
  end.back() = static_cast<char>(static_cast<uint8_t>(end.back()) + 1);
  return end;
}

std::optional<VolumeIndex> ParseVolumeKey(std::string_view key) {
  if (!HasShape(key, kVolumeType, kVolumeKeySize)) return std::nullopt;
  return static_cast<VolumeIndex>(BigEndian(key.substr(1)));
}

std::optional<InodeNumber> ParseInodeKey(std::string_view key) {
  if (!HasShape(key, kInodeType, kInodeKeySize)) return std::nullopt;
  return static_cast<InodeNumber>(BigEndian(key.substr(5)));
}

std::optional<uint64_t> ParseDirentKey(std::string_view key) {
  if (!HasShape(key, kDirentType, kDirentKeySize)) return std::nullopt;
  const uint64_t hash = BigEndian(key.substr(9, 7));
  const auto ordinal = static_cast<uint8_t>(key.back());
  if (ordinal > 0x7F) return std::nullopt;
  return hash << 7 | ordinal;
}

InodeNumber DirectoryOfDirentKey(std::string_view key) {
  return static_cast<InodeNumber>(BigEndian(key.substr(5, 4)));
}

std::optional<uint32_t> ParseChangeChunkKey(std::string_view key) {
  if (!HasShape(key, kChangeType, kInodeKeySize)) return std::nullopt;
  return static_cast<uint32_t>(BigEndian(key.substr(5)));
}

std::string RebaseKey(std::string_view key, VolumeIndex volume) {
  VELLUM_CHECK(key.size() >= kVolumeKeySize);
  std::string rebased(Key(key[0]).U32(volume));
  return rebased.append(key.substr(kVolumeKeySize));
}

std::string DescribeKey(std::string_view key) {
  if (key == SchemaVersionKey()) return "schema version";
  if (key == NextVolumeIndexKey()) return "next volume index";
  if (const auto volume = ParseVolumeKey(key)) {
    return fmt::format("volume index {}", *volume);
  }
  if (HasShape(key, kPendingType, kVolumeKeySize)) {
    return fmt::format("pending batch of volume index {}",
                       BigEndian(key.substr(1)));
  }
  if (key.size() >= kInodeKeySize) {
    const uint64_t volume = BigEndian(key.substr(1, 4));
    const uint64_t second = BigEndian(key.substr(5, 4));
    if (ParseInodeKey(key)) {
      return fmt::format("inode {} of volume index {}", second, volume);
    }
    if (ParseChangeChunkKey(key)) {
      return fmt::format("change map chunk {} of volume index {}", second,
                         volume);
    }
    if (const auto cookie = ParseDirentKey(key)) {
      return fmt::format("name {:#x} in directory {} of volume index {}",
                         *cookie, second, volume);
    }
  }
  const size_t nul = key.find('\0');
  if (key.size() > 1 && key[0] == kRowType && nul != std::string_view::npos) {
    std::string row;
    for (const char c : key.substr(nul + 1)) {
      const bool plain = c >= ' ' && c <= '~';
      row += plain ? std::string(1, c)
                   : fmt::format("\\x{:02x}", static_cast<uint8_t>(c));
    }
    return fmt::format("row \"{}\" of table {}", row, key.substr(1, nul - 1));
  }
  std::string hex;
  for (const char c : key)
    hex += fmt::format("{:02x}", static_cast<uint8_t>(c));
  return "key " + hex;
}

}  // namespace vellum
