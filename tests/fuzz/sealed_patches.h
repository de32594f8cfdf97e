// SPDX-License-Identifier: Apache-2.0
// Patches of structures, with right checksums, by numbers that lengths, counts
// and places are wrong with.
#pragma once

#include <string_view>

#include "media/udf/bytes.h"
#include "tests/fuzz/mutator.h"
#include "tests/fuzz/patches.h"

namespace vellum::fuzz {

// One or two, as ApplyPatches takes them.
inline Bytes SealedPatches(Mutator* mutator) {
  constexpr std::string_view kNumbers[] = {std::string_view("\0\0\0\0", 4),
                                           "\xFF\xFF\xFF\xFF",
                                           "\xFF\xFF\xFF\x7F",
                                           std::string_view("\1\0\0\0", 4),
                                           std::string_view("\xFF\x0F\0", 3),
                                           "\1\1\1\1"};
  Bytes patches;
  for (size_t i = 1 + mutator->Below(2); i > 0; --i) {
    const auto place = static_cast<uint8_t>(mutator->Below(60));
    const auto offset = static_cast<uint16_t>(mutator->Below(128) * 4);
    AppendPatch(place, true, offset,
                udf::AsBytes(kNumbers[mutator->Below(std::size(kNumbers))]),
                &patches);
  }
  return patches;
}

}  // namespace vellum::fuzz
