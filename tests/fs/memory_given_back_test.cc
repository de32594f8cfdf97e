// SPDX-License-Identifier: Apache-2.0
// With the C library's malloc: those of the sanitizers keep what was freed.
#include <gtest/gtest.h>

#include <cstdint>
#include <cstring>
#include <memory>
#include <vector>

#include "fs/memory_keeper.h"

namespace vellum {
namespace {

TEST(MemoryKeeperOptionsTest, GiveBackWhatLiesBetweenPiecesInUse) {
  constexpr size_t kPieces = 128 << 10;
  constexpr size_t kBytes = 1024;
  std::vector<std::unique_ptr<char[]>> pieces;
  for (size_t i = 0; i < kPieces; ++i) {
    pieces.push_back(std::make_unique<char[]>(kBytes));
    std::memset(pieces.back().get(), 1, kBytes);
  }
  // The last one stays, too.
  for (size_t i = 0; i < kPieces; ++i) {
    if (i % 64 != 63) pieces[i].reset();
  }
  const MemoryKeeperOptions options;
  const uint64_t before = options.resident();
  options.give_back();
  EXPECT_LT(options.resident(), before - (64u << 20));
}

}  // namespace
}  // namespace vellum
