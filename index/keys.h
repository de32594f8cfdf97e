// SPDX-License-Identifier: Apache-2.0
// Keys of the catalog (index/SCHEMA.md): a type byte, then big-endian numbers,
// so that keys sort as their numbers do. Pure; knows nothing of RocksDB.
//
// Thread-safety: values; no shared state.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "index/records.h"

namespace vellum {

// The column families. The values are stored in pending batches: never reuse
// one.
enum class Family : uint8_t {
  kMain = 0,  // schema version, volumes, rows of the layers above
  kInodes = 1,
  kDirents = 2,
  kChanges = 3,  // chunks of the change maps
  kPending = 4,
};
inline constexpr size_t kFamilies = 5;

// A short key without heap allocation.
class Key {
 public:
  explicit Key(char type) { Append(static_cast<uint8_t>(type)); }
  Key& U8(uint8_t value) {
    Append(value);
    return *this;
  }
  Key& U32(uint32_t value) { return BigEndian(value, 4); }
  Key& U56(uint64_t value) { return BigEndian(value, 7); }

  const char* data() const { return bytes_.data(); }
  size_t size() const { return size_; }
  operator std::string_view() const {  // NOLINT: implicit
    return std::string_view(bytes_.data(), size_);
  }

 private:
  Key& BigEndian(uint64_t value, int bytes) {
    for (int i = bytes - 1; i >= 0; --i) {
      Append(static_cast<uint8_t>(value >> (8 * i)));
    }
    return *this;
  }
  void Append(uint8_t byte) { bytes_[size_++] = static_cast<char>(byte); }

  std::array<char, 23> bytes_{};
  uint8_t size_ = 0;
};

Key SchemaVersionKey();
Key NextVolumeIndexKey();
Key VolumeKey(VolumeIndex volume);
Key InodeKey(VolumeIndex volume, InodeNumber ino);
// The 7-byte hash and the ordinal are bytes of their own, so that all names
// with one hash share the first kDirentHashPrefix bytes (the prefix of the
// family's Bloom filter). REQUIRES: 0 < cookie < 2^63
Key DirentKey(VolumeIndex volume, InodeNumber dir, uint64_t cookie);
inline constexpr size_t kDirentHashPrefix = 16;
Key ChangeChunkKey(VolumeIndex volume, uint32_t chunk);
Key PendingKey(VolumeIndex volume);
// REQUIRES: `table` is not empty and holds no NUL.
std::string RowKey(std::string_view table, std::string_view key);

// What all keys of some kind start with.
Key VolumesPrefix();
Key InodesPrefix(VolumeIndex volume);
Key DirentsPrefix(VolumeIndex volume);
Key DirentsPrefix(VolumeIndex volume, InodeNumber dir);
Key DirentsPrefix(VolumeIndex volume, InodeNumber dir, uint64_t hash56);
Key ChangeChunksPrefix(VolumeIndex volume);
std::string RowsPrefix(std::string_view table);
Key AllRowsPrefix();  // of all tables

// The first key behind all keys with this prefix. REQUIRES: `prefix` has a byte
// that is not 0xFF (type bytes are letters).
std::string PrefixEnd(std::string_view prefix);

// What a key names; nothing when it has not the right shape.
std::optional<VolumeIndex> ParseVolumeKey(std::string_view key);
std::optional<InodeNumber> ParseInodeKey(std::string_view key);
std::optional<uint64_t> ParseDirentKey(std::string_view key);  // the cookie
// REQUIRES: ParseDirentKey takes it.
InodeNumber DirectoryOfDirentKey(std::string_view key);
std::optional<uint32_t> ParseChangeChunkKey(std::string_view key);

// The same key of another volume. REQUIRES: an inode or dirent key.
std::string RebaseKey(std::string_view key, VolumeIndex volume);

// For messages: "inode 77 of volume index 3"; unknown ones in hexadecimal.
std::string DescribeKey(std::string_view key);

}  // namespace vellum
