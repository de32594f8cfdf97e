// SPDX-License-Identifier: Apache-2.0
#include "index/extent_map.h"

#include <algorithm>
#include <iterator>

namespace vellum {

ExtentMap::ExtentMap(const std::vector<udf::Extent>& extents) {
  for (const udf::Extent& e : extents) {
    pieces_.emplace(e.file_sector, Piece{e.block, e.count, e.unwritten, 0});
    mapped_ += e.count;
  }
}

std::vector<Segment> ExtentMap::Segments(uint64_t first, uint64_t count) const {
  std::vector<Segment> out;
  const uint64_t end = first + count;
  uint64_t at = first;
  auto it = pieces_.upper_bound(first);
  if (it != pieces_.begin()) --it;
  auto hole = [&out](uint64_t from, uint64_t to) {
    while (from < to) {
      const uint64_t n = std::min<uint64_t>(to - from, UINT32_MAX);
      Segment s;
      s.file_sector = from;
      s.count = static_cast<uint32_t>(n);
      out.push_back(s);
      from += n;
    }
  };
  for (; it != pieces_.end() && at < end && it->first < end; ++it) {
    const uint64_t piece_end = it->first + it->second.count;
    if (piece_end <= at) continue;
    if (it->first > at) {
      hole(at, it->first);
      at = it->first;
    }
    const uint64_t skip = at - it->first;
    const uint64_t n = std::min(piece_end, end) - at;
    Segment s;
    s.file_sector = at;
    s.count = static_cast<uint32_t>(n);
    s.mapped = true;
    s.block = it->second.block + static_cast<uint32_t>(skip);
    s.unwritten = it->second.unwritten;
    s.born = it->second.born;
    out.push_back(s);
    at += n;
  }
  hole(at, end);
  return out;
}

std::vector<udf::BlockRun> ExtentMap::Remove(uint64_t first, uint64_t count) {
  std::vector<udf::BlockRun> out;
  const uint64_t end = first + count;
  auto it = pieces_.upper_bound(first);
  if (it != pieces_.begin()) --it;
  while (it != pieces_.end() && it->first < end) {
    const uint64_t piece_first = it->first;
    const Piece piece = it->second;
    const uint64_t piece_end = piece_first + piece.count;
    if (piece_end <= first) {
      ++it;
      continue;
    }
    const uint64_t cut_first = std::max(first, piece_first);
    const uint64_t cut_end = std::min(end, piece_end);
    const auto skip = static_cast<uint32_t>(cut_first - piece_first);
    const auto cut = static_cast<uint32_t>(cut_end - cut_first);
    out.push_back({piece.block + skip, cut});
    mapped_ -= cut;
    it = pieces_.erase(it);
    if (skip > 0) {
      pieces_.emplace(piece_first,
                      Piece{piece.block, skip, piece.unwritten, piece.born});
    }
    if (cut_end < piece_end) {
      it = pieces_
               .emplace(cut_end, Piece{piece.block + skip + cut,
                                       piece.count - skip - cut,
                                       piece.unwritten, piece.born})
               .first;
      ++it;
    }
  }
  return out;
}

void ExtentMap::Insert(const Segment& segment) {
  mapped_ += segment.count;
  auto next = pieces_.lower_bound(segment.file_sector);
  if (next != pieces_.begin()) {
    auto prev = std::prev(next);
    Piece& p = prev->second;
    if (prev->first + p.count == segment.file_sector &&
        p.block + p.count == segment.block &&
        p.unwritten == segment.unwritten && p.born == segment.born &&
        uint64_t{p.count} + segment.count < UINT32_MAX) {
      p.count += segment.count;
      return;
    }
  }
  pieces_.emplace_hint(
      next, segment.file_sector,
      Piece{segment.block, segment.count, segment.unwritten, segment.born});
}

void ExtentMap::Settle() {
  for (auto it = pieces_.begin(); it != pieces_.end();) {
    Piece& piece = it->second;
    const uint64_t first = it->first;
    piece.born = 0;
    ++it;
    while (it != pieces_.end() && first + piece.count == it->first &&
           piece.block + piece.count == it->second.block &&
           piece.unwritten == it->second.unwritten &&
           uint64_t{piece.count} + it->second.count < UINT32_MAX) {
      piece.count += it->second.count;
      it = pieces_.erase(it);
    }
  }
}

std::vector<udf::BlockRun> ExtentMap::Blocks() const {
  std::vector<udf::BlockRun> out;
  out.reserve(pieces_.size());
  for (const auto& [sector, piece] : pieces_) {
    out.push_back({piece.block, piece.count});
  }
  return out;
}

std::vector<udf::Extent> ExtentMap::Extents() const {
  std::vector<udf::Extent> out;
  for (const auto& [sector, piece] : pieces_) {
    if (!out.empty()) {
      udf::Extent& last = out.back();
      if (last.file_end() == sector && last.block + last.count == piece.block &&
          last.unwritten == piece.unwritten &&
          uint64_t{last.count} + piece.count < UINT32_MAX) {
        last.count += piece.count;
        continue;
      }
    }
    out.push_back({sector, piece.block, piece.count, piece.unwritten});
  }
  return out;
}

uint32_t ExtentMap::BlockBefore(uint64_t file_sector) const {
  auto it = pieces_.lower_bound(file_sector);
  if (it == pieces_.begin()) return 0;
  --it;
  return it->second.block + it->second.count;
}

}  // namespace vellum
