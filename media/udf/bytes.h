// SPDX-License-Identifier: Apache-2.0
// Little-endian numbers in byte spans. Out of range aborts: decoders check
// their bounds first.
#pragma once

#include <cstring>
#include <string>
#include <string_view>

#include "media/error.h"
#include "media/types.h"

namespace vellum::udf {

template <typename T>
T LoadLe(ConstByteSpan data, size_t offset) {
  VELLUM_CHECK(offset <= data.size() && data.size() - offset >= sizeof(T));
  T value = 0;
  for (size_t i = 0; i < sizeof(T); ++i) {
    value = static_cast<T>(
        value | (static_cast<T>(std::to_integer<uint8_t>(data[offset + i]))
                 << (8 * i)));
  }
  return value;
}

inline uint8_t Load8(ConstByteSpan data, size_t offset) {
  return LoadLe<uint8_t>(data, offset);
}
inline uint16_t Load16(ConstByteSpan data, size_t offset) {
  return LoadLe<uint16_t>(data, offset);
}
inline uint32_t Load32(ConstByteSpan data, size_t offset) {
  return LoadLe<uint32_t>(data, offset);
}
inline uint64_t Load64(ConstByteSpan data, size_t offset) {
  return LoadLe<uint64_t>(data, offset);
}

template <typename T>
void StoreLe(ByteSpan data, size_t offset, T value) {
  VELLUM_CHECK(offset <= data.size() && data.size() - offset >= sizeof(T));
  for (size_t i = 0; i < sizeof(T); ++i) {
    data[offset + i] = static_cast<std::byte>((value >> (8 * i)) & 0xFF);
  }
}

inline void Store8(ByteSpan data, size_t offset, uint8_t value) {
  StoreLe<uint8_t>(data, offset, value);
}
inline void Store16(ByteSpan data, size_t offset, uint16_t value) {
  StoreLe<uint16_t>(data, offset, value);
}
inline void Store32(ByteSpan data, size_t offset, uint32_t value) {
  StoreLe<uint32_t>(data, offset, value);
}
inline void Store64(ByteSpan data, size_t offset, uint64_t value) {
  StoreLe<uint64_t>(data, offset, value);
}

inline void StoreBytes(ByteSpan data, size_t offset, ConstByteSpan source) {
  VELLUM_CHECK(offset <= data.size() && data.size() - offset >= source.size());
  if (!source.empty()) {
    std::memcpy(data.data() + offset, source.data(), source.size());
  }
}

inline ConstByteSpan AsBytes(std::string_view text) {
  return {reinterpret_cast<const std::byte*>(text.data()), text.size()};
}

inline std::string ToText(ConstByteSpan data) {
  return std::string(reinterpret_cast<const char*>(data.data()), data.size());
}

inline constexpr size_t PadTo4(size_t length) {
  return (length + 3) & ~size_t{3};
}

}  // namespace vellum::udf
