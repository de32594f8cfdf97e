// SPDX-License-Identifier: Apache-2.0
#include "media/udf/free_map.h"

#include <algorithm>
#include <bit>

#include "media/error.h"

namespace vellum::udf {
namespace {

constexpr uint32_t kChunk = 1024;
constexpr uint32_t kWordsPerChunk = kChunk / 64;

size_t ChunkCount(uint32_t blocks) {
  return std::max<size_t>(1, (uint64_t{blocks} + kChunk - 1) / kChunk);
}

// Bits [bit, bit + count) of a word. REQUIRES: count > 0, bit + count <= 64.
uint64_t Mask(uint32_t bit, uint32_t count) {
  return (count == 64 ? ~uint64_t{0} : (uint64_t{1} << count) - 1) << bit;
}

// Calls visit(word index, mask) for the words of a range while it says true.
template <typename Visit>
bool ForEachWord(uint32_t block, uint32_t count, Visit visit) {
  uint64_t at = block;
  const uint64_t end = at + count;
  while (at < end) {
    const uint32_t bit = static_cast<uint32_t>(at % 64);
    const uint32_t n =
        static_cast<uint32_t>(std::min<uint64_t>(64 - bit, end - at));
    if (!visit(static_cast<size_t>(at / 64), Mask(bit, n))) return false;
    at += n;
  }
  return true;
}

}  // namespace

// A search in progress: the free run that ends where the search stands.
struct FreeMap::Search {
  uint64_t from = 0;
  uint64_t want = 0;
  uint64_t run_first = 0;
  uint64_t run = 0;
};

FreeMap::FreeMap(uint32_t blocks)
    : blocks_(blocks),
      leaves_(std::bit_ceil(ChunkCount(blocks))),
      words_(ChunkCount(blocks) * kWordsPerChunk),
      nodes_(2 * leaves_) {}

bool FreeMap::AllFree(uint32_t block, uint32_t count) const {
  return ForEachWord(block, count, [this](size_t word, uint64_t mask) {
    return (words_[word] & mask) == mask;
  });
}

bool FreeMap::NoneFree(uint32_t block, uint32_t count) const {
  return ForEachWord(block, count, [this](size_t word, uint64_t mask) {
    return (words_[word] & mask) == 0;
  });
}

void FreeMap::Add(uint32_t block, uint32_t count) {
  Assign(block, count, true);
  free_count_ += count;
}

void FreeMap::Remove(uint32_t block, uint32_t count) {
  Assign(block, count, false);
  free_count_ -= count;
}

void FreeMap::Assign(uint32_t block, uint32_t count, bool free) {
  VELLUM_CHECK(block <= blocks_ && blocks_ - block >= count);
  ForEachWord(block, count, [this, free](size_t word, uint64_t mask) {
    VELLUM_CHECK((words_[word] & mask) == (free ? 0 : mask));
    words_[word] ^= mask;
    return true;
  });
  if (count > 0) Update(block, count);
}

FreeMap::Node FreeMap::Summarise(uint32_t chunk) const {
  const uint64_t* words = &words_[size_t{chunk} * kWordsPerChunk];
  Node node;
  uint32_t run = 0;
  bool at_start = true;
  for (uint32_t i = 0; i < kWordsPerChunk; ++i) {
    uint64_t word = words[i];
    uint32_t left = 64;
    while (left > 0) {
      const uint32_t ones =
          std::min(left, static_cast<uint32_t>(std::countr_one(word)));
      run += ones;
      left -= ones;
      if (left == 0) break;
      // A used block ends the run.
      word >>= ones;
      if (at_start) node.prefix = run;
      at_start = false;
      node.longest = std::max(node.longest, run);
      run = 0;
      const uint32_t zeros =
          std::min(left, static_cast<uint32_t>(std::countr_zero(word)));
      left -= zeros;
      if (left > 0) word >>= zeros;
    }
  }
  if (at_start) node.prefix = run;
  node.suffix = run;
  node.longest = std::max(node.longest, run);
  return node;
}

void FreeMap::Update(uint32_t block, uint32_t count) {
  uint32_t first = block / kChunk;
  uint32_t last = static_cast<uint32_t>((uint64_t{block} + count - 1) / kChunk);
  for (uint32_t c = first; c <= last; ++c) nodes_[leaves_ + c] = Summarise(c);
  size_t low = leaves_ + first;
  size_t high = leaves_ + last;
  uint64_t half = kChunk;
  while (low > 1) {
    low /= 2;
    high /= 2;
    for (size_t n = low; n <= high; ++n) {
      const Node& a = nodes_[2 * n];
      const Node& b = nodes_[2 * n + 1];
      Node& out = nodes_[n];
      out.prefix = a.prefix == half ? a.prefix + b.prefix : a.prefix;
      out.suffix = b.suffix == half ? b.suffix + a.suffix : b.suffix;
      out.longest = std::max({a.longest, b.longest, a.suffix + b.prefix});
    }
    half *= 2;
  }
}

uint32_t FreeMap::RunAt(uint32_t block, uint32_t limit) const {
  const uint64_t end = std::min<uint64_t>(blocks_, uint64_t{block} + limit);
  uint64_t at = block;
  while (at < end) {
    const uint32_t bit = static_cast<uint32_t>(at % 64);
    const uint32_t ones =
        static_cast<uint32_t>(std::countr_one(words_[at / 64] >> bit));
    at += std::min(ones, 64 - bit);
    if (ones < 64 - bit) break;
  }
  return static_cast<uint32_t>(std::min(at, end) - block);
}

bool FreeMap::Scan(uint64_t first, uint64_t end, Search* search) const {
  uint64_t at = first;
  while (at < end) {
    const uint32_t bit = static_cast<uint32_t>(at % 64);
    const uint32_t left = 64 - bit;
    const uint64_t word = words_[at / 64] >> bit;
    if ((word & 1) != 0) {
      const uint32_t ones =
          std::min(left, static_cast<uint32_t>(std::countr_one(word)));
      if (search->run == 0) search->run_first = at;
      search->run += ones;
      if (search->run >= search->want) return true;
      at += ones;
    } else {
      search->run = 0;
      at += std::min(left, static_cast<uint32_t>(std::countr_zero(word)));
    }
  }
  return false;
}

bool FreeMap::Visit(size_t node, uint64_t first, uint64_t length,
                    Search* search) const {
  if (first + length <= search->from || first >= blocks_) return false;
  const Node& here = nodes_[node];
  if (first >= search->from) {
    if (search->run == 0) search->run_first = first;
    if (search->run + here.prefix >= search->want) return true;
    if (here.longest < search->want) {
      if (here.prefix == length) {
        search->run += length;
      } else {
        search->run = here.suffix;
        search->run_first = first + length - here.suffix;
      }
      return false;
    }
  }
  if (node >= leaves_) {
    return Scan(std::max(first, search->from), first + length, search);
  }
  return Visit(2 * node, first, length / 2, search) ||
         Visit(2 * node + 1, first + length / 2, length / 2, search);
}

std::optional<uint32_t> FreeMap::Find(uint32_t from, uint32_t want) const {
  Search search;
  search.from = from;
  search.want = want;
  if (!Visit(1, 0, uint64_t{leaves_} * kChunk, &search)) return std::nullopt;
  return static_cast<uint32_t>(search.run_first);
}

std::optional<uint32_t> FreeMap::FindUnit(uint32_t from_unit) const {
  constexpr uint32_t kUnitsPerChunk = kChunk / 32;
  const uint32_t units = blocks_ / 32;
  uint32_t unit = from_unit;
  while (unit < units) {
    const uint32_t chunk = unit / kUnitsPerChunk;
    const uint32_t end =
        std::min<uint32_t>(units, (chunk + 1) * kUnitsPerChunk);
    if (nodes_[leaves_ + chunk].longest >= 32) {
      for (; unit < end; ++unit) {
        if (Unit(unit) == 0xFFFFFFFF) return unit;
      }
    }
    unit = end;
  }
  return std::nullopt;
}

}  // namespace vellum::udf
