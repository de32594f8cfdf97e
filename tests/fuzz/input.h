// SPDX-License-Identifier: Apache-2.0
// Taking an input apart, and what every target demands of an error.
#pragma once

#include <algorithm>
#include <cstdint>
#include <string>
#include <string_view>

#include "media/error.h"
#include "media/types.h"

namespace vellum::fuzz {

// Numbers and runs of bytes from the front; zeros and nothing past the end.
class Input {
 public:
  explicit Input(ConstByteSpan data) : data_(data) {}

  bool empty() const { return data_.empty(); }
  uint8_t Byte() {
    if (data_.empty()) return 0;
    const auto value = std::to_integer<uint8_t>(data_.front());
    data_ = data_.subspan(1);
    return value;
  }
  uint16_t Word() {
    const uint8_t low = Byte();
    return static_cast<uint16_t>(low | Byte() << 8);
  }
  ConstByteSpan Take(size_t count) {
    const ConstByteSpan taken = data_.first(std::min(count, data_.size()));
    data_ = data_.subspan(taken.size());
    return taken;
  }
  ConstByteSpan Rest() { return Take(data_.size()); }

 private:
  ConstByteSpan data_;
};

inline std::string_view AsText(ConstByteSpan data) {
  return {reinterpret_cast<const char*>(data.data()), data.size()};
}
inline Bytes ToBytes(std::string_view text) {
  const auto* data = reinterpret_cast<const std::byte*>(text.data());
  return Bytes(data, data + text.size());
}

// A word for a place, then its number: "sector 64", "blocks 70 to 72".
bool NamesPlace(std::string_view text);

// What hostile bytes may cause: it says something, and does not mean a mistake
// of ours. For what takes one value apart, whose caller knows where it stands.
void CheckSaid(const Status& status);
// The same, and damage says where it is.
void CheckReported(const Status& status);

}  // namespace vellum::fuzz
