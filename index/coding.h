// SPDX-License-Identifier: Apache-2.0
// Bytes of the catalog's encodings: varints (LEB128, at most 10 bytes), zigzag
// for signed numbers, length-prefixed strings.
//
// Thread-safety: values; no shared state.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

namespace vellum {

inline void PutByte(std::string* out, uint8_t value) {
  out->push_back(static_cast<char>(value));
}

inline void PutVarint(std::string* out, uint64_t value) {
  while (value >= 0x80) {
    PutByte(out, static_cast<uint8_t>(value | 0x80));
    value >>= 7;
  }
  PutByte(out, static_cast<uint8_t>(value));
}

inline uint64_t ZigZag(int64_t value) {
  return static_cast<uint64_t>(value) << 1 ^ static_cast<uint64_t>(value >> 63);
}
inline int64_t UnZigZag(uint64_t value) {
  return static_cast<int64_t>(value >> 1 ^ (~(value & 1) + 1));
}

inline void PutString(std::string* out, std::string_view value) {
  PutVarint(out, value.size());
  out->append(value);
}

// Reads what the functions above wrote. Never reads outside its bytes: the
// first thing that does not fit makes ok() false for good, and everything read
// from then on is 0 or empty.
class ByteReader {
 public:
  explicit ByteReader(std::string_view data) : data_(data) {}

  bool ok() const { return ok_; }
  // Everything was there, and nothing is left over.
  bool Complete() const { return ok_ && data_.empty(); }
  size_t left() const { return data_.size(); }
  void Fail() {
    ok_ = false;
    data_ = {};
  }

  uint8_t Byte() {
    if (data_.empty()) {
      Fail();
      return 0;
    }
    const auto value = static_cast<uint8_t>(data_.front());
    data_.remove_prefix(1);
    return value;
  }

  uint64_t Varint() {
    uint64_t value = 0;
    for (unsigned shift = 0; shift < 64; shift += 7) {
      const uint8_t byte = Byte();
      if (!ok_) return 0;
      if (shift == 63 && byte > 1) break;
      value |= static_cast<uint64_t>(byte & 0x7F) << shift;
      if (byte < 0x80) return value;
    }
    Fail();
    return 0;
  }

  // A varint of at most `max`.
  uint64_t Varint(uint64_t max) {
    const uint64_t value = Varint();
    if (value <= max) return value;
    Fail();
    return 0;
  }
  uint32_t Varint32() { return static_cast<uint32_t>(Varint(UINT32_MAX)); }
  int64_t Signed() { return UnZigZag(Varint()); }

  // Points into the bytes that were given.
  std::string_view String() { return Raw(Varint()); }
  std::string_view Raw(uint64_t size) {
    if (size > data_.size()) {
      Fail();
      return {};
    }
    const std::string_view value = data_.substr(0, size);
    data_.remove_prefix(size);
    return value;
  }

 private:
  std::string_view data_;
  bool ok_ = true;
};

}  // namespace vellum
