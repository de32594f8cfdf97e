// SPDX-License-Identifier: Apache-2.0
#include "media/udf/unit_map.h"

#include <algorithm>
#include <bit>

#include "media/error.h"

namespace vellum::udf {
namespace {

constexpr uint32_t kWordBlocks = 32;

// Calls visit(block, count) for the runs of ones in a word.
template <typename Visit>
void ForEachRunOf(uint32_t first, uint32_t word, Visit visit) {
  uint32_t bit = 0;
  while (bit < kWordBlocks && (word >> bit) != 0) {
    bit += static_cast<uint32_t>(std::countr_zero(word >> bit));
    const uint32_t count = static_cast<uint32_t>(std::countr_one(word >> bit));
    visit(first + bit, count);
    bit += count;
  }
}

}  // namespace

UnitMap::UnitMap(uint32_t blocks, uint32_t unit, const Bytes& bitmap)
    : unit_(unit),
      committed_((uint64_t{blocks} + kWordBlocks - 1) / kWordBlocks),
      clean_(blocks) {
  VELLUM_CHECK(std::has_single_bit(unit) && unit > 1 && unit <= kWordBlocks);
  for (uint32_t block = 0; block < blocks; ++block) {
    const bool is_free =
        (std::to_integer<uint32_t>(bitmap[block / 8]) >> (block % 8) & 1) != 0;
    if (!is_free) committed_[block / kWordBlocks] |= 1u << block % kWordBlocks;
  }
  before_ = committed_;
}

uint32_t UnitMap::UnitMask(uint32_t block) const {
  const uint32_t ones = unit_ == kWordBlocks ? ~0u : (1u << unit_) - 1;
  return ones << (block % kWordBlocks / unit_ * unit_);
}

// Calls visit(first block of the unit) for all units that the run touches.
template <typename Visit>
void UnitMap::ForEachUnit(uint32_t block, uint32_t count, Visit visit) const {
  const uint64_t end = uint64_t{block} + count;
  for (uint64_t at = block / unit_ * unit_; at < end; at += unit_) {
    visit(static_cast<uint32_t>(at));
  }
}

// Calls visit(block, count) for the parts of the run in units that are not
// shared, neighbours in one piece.
template <typename Visit>
void UnitMap::ForEachCleanPart(uint32_t block, uint32_t count,
                               Visit visit) const {
  const uint64_t end = uint64_t{block} + count;
  uint64_t first = block;
  uint64_t last = block;  // [first, last) is clean
  ForEachUnit(block, count, [&](uint32_t unit) {
    const uint64_t from = std::max<uint64_t>(unit, block);
    const uint64_t to = std::min<uint64_t>(uint64_t{unit} + unit_, end);
    if (!Shared(unit)) {
      if (last != from) first = from;
      last = to;
      return;
    }
    if (last > first) {
      visit(static_cast<uint32_t>(first), static_cast<uint32_t>(last - first));
    }
    first = last = to;
  });
  if (last > first) {
    visit(static_cast<uint32_t>(first), static_cast<uint32_t>(last - first));
  }
}

void UnitMap::SetBits(Words* words, uint32_t block, uint32_t count,
                      bool value) {
  uint64_t at = block;
  const uint64_t end = at + count;
  while (at < end) {
    const uint32_t bit = static_cast<uint32_t>(at % kWordBlocks);
    const uint32_t n =
        static_cast<uint32_t>(std::min<uint64_t>(kWordBlocks - bit, end - at));
    const uint32_t mask = (n == kWordBlocks ? ~0u : (1u << n) - 1) << bit;
    uint32_t& word = (*words)[at / kWordBlocks];
    word = value ? word | mask : word & ~mask;
    at += n;
  }
}

void UnitMap::Added(uint32_t block, uint32_t count) {
  ForEachCleanPart(block, count,
                   [this](uint32_t b, uint32_t n) { clean_.Add(b, n); });
}

void UnitMap::Removed(uint32_t block, uint32_t count) {
  ForEachCleanPart(block, count,
                   [this](uint32_t b, uint32_t n) { clean_.Remove(b, n); });
}

void UnitMap::Used(uint32_t block, uint32_t count) {
  if (!used_.empty() && used_.back().block + used_.back().count == block) {
    used_.back().count += count;
  } else {
    used_.push_back({block, count});
  }
}

void UnitMap::Freeze(const FreeMap& free) {
  before_ = committed_;
  for (const Run& run : used_) {
    ForEachUnit(run.block, run.count, [this, &free](uint32_t unit) {
      if (Shared(unit)) return;
      const uint32_t bits = free.Unit(unit / kWordBlocks) & UnitMask(unit);
      ForEachRunOf(unit / kWordBlocks * kWordBlocks, bits,
                   [this](uint32_t b, uint32_t n) { clean_.Remove(b, n); });
    });
    SetBits(&committed_, run.block, run.count, true);
  }
  used_.clear();
}

void UnitMap::Reclaimed(uint32_t block, uint32_t count, const FreeMap& free) {
  ForEachUnit(block, count, [&](uint32_t unit) {
    const bool shared = Shared(unit);
    const uint64_t from = std::max(unit, block);
    const uint64_t to =
        std::min<uint64_t>(uint64_t{unit} + unit_, uint64_t{block} + count);
    SetBits(&committed_, static_cast<uint32_t>(from),
            static_cast<uint32_t>(to - from), false);
    if (!shared || Shared(unit)) return;
    const uint32_t bits = free.Unit(unit / kWordBlocks) & UnitMask(unit);
    ForEachRunOf(unit / kWordBlocks * kWordBlocks, bits,
                 [this](uint32_t b, uint32_t n) { clean_.Add(b, n); });
  });
}

}  // namespace vellum::udf
