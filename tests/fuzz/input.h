// SPDX-License-Identifier: Apache-2.0
// Taking an input apart, and what every target demands of an error.
#pragma once

#include <algorithm>
#include <cstdint>
#include <string>

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

// An error that hostile bytes may cause: it says something, and it is not one
// that means a mistake of ours.
inline void CheckReported(const Error& error) {
  VELLUM_CHECK(!error.message.empty());
  VELLUM_CHECK(error.code != Errc::kInternal);
}
inline void CheckReported(const Status& status) {
  if (!status.ok()) CheckReported(status.error());
}
// The same, and a corruption names a place: a sector, a block, a line.
inline void CheckLocated(const Status& status) {
  CheckReported(status);
  if (!status.Is(Errc::kCorruption)) return;
  const std::string& text = status.error().message;
  const bool located = std::any_of(text.begin(), text.end(),
                                   [](char c) { return c >= '0' && c <= '9'; });
  if (!located) std::fprintf(stderr, "where? %s\n", text.c_str());
  VELLUM_CHECK(located);
}

}  // namespace vellum::fuzz
