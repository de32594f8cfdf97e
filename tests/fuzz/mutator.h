// SPDX-License-Identifier: Apache-2.0
// Seeded mutations of inputs.
#pragma once

#include <cstddef>
#include <cstdint>
#include <iterator>
#include <random>
#include <vector>

#include "media/types.h"

namespace vellum::fuzz {

// Thread-safety: none. The same seed and pool: the same inputs.
class Mutator {
 public:
  explicit Mutator(uint32_t seed) : random_(seed) {}

  size_t Below(size_t bound) { return random_() % bound; }

  // One of the pool, which is not empty, with up to 5 changes.
  Bytes Mutate(const std::vector<Bytes>& pool) {
    Bytes input = pool[Below(pool.size())];
    for (size_t i = 1 + Below(5); i > 0; --i) {
      const size_t at = Below(input.size() + 1);
      const auto where = input.begin() + static_cast<ptrdiff_t>(at);
      switch (Below(6)) {
        case 0:
          input.insert(where, Byte());
          break;
        case 1:
          if (where != input.end()) input.erase(where);
          break;
        case 2:
          if (where != input.end()) *where ^= std::byte{1} << Below(8);
          break;
        case 3:  // all of another one behind it, its first byte aside
          Splice(pool[Below(pool.size())], &input);
          break;
        default:
          if (where != input.end()) *where = Byte();
          break;
      }
    }
    if (input.size() > kMaxInput) input.resize(kMaxInput);
    return input;
  }

 private:
  static constexpr size_t kMaxInput = 4096;

  // Values that lengths and counts are often wrong with, or any.
  std::byte Byte() {
    constexpr uint8_t kOften[] = {0, 1, 0x7F, 0x80, 0xFE, 0xFF};
    const bool often = Below(2) == 0;
    return std::byte(often ? kOften[Below(std::size(kOften))]
                           : static_cast<uint8_t>(random_()));
  }
  static void Splice(const Bytes& from, Bytes* input) {
    if (from.size() > 1) {
      input->insert(input->end(), from.begin() + 1, from.end());
    }
  }

  std::mt19937 random_;
};

}  // namespace vellum::fuzz
