// SPDX-License-Identifier: Apache-2.0
// Files whose every byte says whose it is, for readers of volumes that were
// never closed: a file named "ID-…" consists of records of 64 bytes, each of
// them zeros (never written) or the text "file ID at OFFSET" and zeros.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <string>

namespace vellum {

class StampCheck {
 public:
  // `name`: the last component of the path.
  explicit StampCheck(const std::string& name)
      : id_(name.substr(0, name.find('-'))) {}

  // The next bytes of the file; all but the last call give whole records.
  void Update(const unsigned char* data, size_t size) {
    for (size_t at = 0; at < size; at += kRecord) {
      char want[kRecord] = {};
      const std::string text =
          "file " + id_ + " at " + std::to_string(offset_ + at);
      std::memcpy(want, text.data(), text.size());
      const size_t length = size - at < kRecord ? size - at : kRecord;
      static constexpr char kZeros[kRecord] = {};
      if (std::memcmp(data + at, want, length) != 0 &&
          std::memcmp(data + at, kZeros, length) != 0) {
        ok_ = false;
      }
    }
    offset_ += size;
  }

  bool ok() const { return ok_; }

 private:
  static constexpr size_t kRecord = 64;
  const std::string id_;
  uint64_t offset_ = 0;
  bool ok_ = true;
};

}  // namespace vellum
