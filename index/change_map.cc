// SPDX-License-Identifier: Apache-2.0
#include "index/change_map.h"

#include <fmt/format.h>

#include <algorithm>
#include <iterator>
#include <optional>
#include <utility>

#include "index/coding.h"

namespace vellum {

void RegionSet::InsertRange(uint64_t first, uint64_t count) {
  if (count == 0) return;
  VELLUM_CHECK(count <= UINT64_MAX - first);
  uint64_t end = first + count;
  // `next` is the first run that begins behind `first`; only the one before it
  // can begin earlier and touch the new run.
  auto next = runs_.upper_bound(first);
  if (next != runs_.begin()) {
    const auto before = std::prev(next);
    if (before->second >= first) {
      if (before->second >= end) return;
      first = before->first;
      next = runs_.erase(before);
    }
  }
  while (next != runs_.end() && next->first <= end) {
    end = std::max(end, next->second);
    next = runs_.erase(next);
  }
  runs_.emplace_hint(next, first, end);
}

void RegionSet::InsertSectors(uint64_t sector, uint64_t count) {
  if (count == 0) return;
  VELLUM_CHECK(count - 1 <= UINT64_MAX - sector);
  const uint64_t first = RegionOf(sector);
  const uint64_t last = RegionOf(sector + (count - 1));
  InsertRange(first, last - first + 1);
}

void RegionSet::Merge(const RegionSet& other) {
  for (const auto& [first, end] : other.runs_) InsertRange(first, end - first);
}

bool RegionSet::Contains(uint64_t region) const {
  const auto next = runs_.upper_bound(region);
  return next != runs_.begin() && std::prev(next)->second > region;
}

uint64_t RegionSet::count() const {
  uint64_t count = 0;
  for (const auto& [first, end] : runs_) count += end - first;
  return count;
}

std::vector<RegionSet::Run> RegionSet::Runs() const {
  std::vector<Run> runs;
  runs.reserve(runs_.size());
  for (const auto& [first, end] : runs_) runs.push_back({first, end - first});
  return runs;
}

std::string EncodeChunk(const std::vector<uint64_t>& numbers) {
  VELLUM_CHECK(numbers.size() <= kChunkRegions);
  size_t used = numbers.size();
  while (used > 0 && numbers[used - 1] == 0) --used;
  std::string out;
  for (size_t i = 0; i < used;) {
    size_t end = i + 1;
    while (end < used && numbers[end] == numbers[i]) ++end;
    PutVarint(&out, end - i);
    PutVarint(&out, numbers[i]);
    i = end;
  }
  return out;
}

Result<std::vector<uint64_t>> DecodeChunk(std::string_view data) {
  std::vector<uint64_t> numbers;
  numbers.reserve(kChunkRegions);
  ByteReader in(data);
  while (in.ok() && in.left() > 0) {
    const uint64_t length = in.Varint(kChunkRegions - numbers.size());
    const uint64_t number = in.Varint();
    if (length == 0) in.Fail();
    if (in.ok()) numbers.insert(numbers.end(), length, number);
  }
  if (!in.ok()) {
    return Error{Errc::kCorruption, "change map chunk is malformed"};
  }
  numbers.resize(kChunkRegions);
  return numbers;
}

Status MarkChanged(const Catalog& catalog, VolumeIndex volume,
                   const RegionSet& changed, uint64_t number,
                   CatalogBatch* batch) {
  std::optional<uint32_t> current;
  std::vector<uint64_t> numbers;
  const auto store = [&] {
    if (current) batch->PutChangeChunk(volume, *current, EncodeChunk(numbers));
  };
  for (const RegionSet::Run& run : changed.Runs()) {
    const uint64_t end = run.first + run.count;
    for (uint64_t first = run.first; first < end;) {
      const uint64_t chunk = first / kChunkRegions;
      if (chunk > UINT32_MAX) {
        return Status(Errc::kInvalidArgument,
                      fmt::format("change map of volume index {}: region {} "
                                  "is beyond any medium",
                                  volume, first));
      }
      if (current != chunk) {
        store();
        current = static_cast<uint32_t>(chunk);
        ASSIGN_OR_RETURN(const std::string data,
                         catalog.GetChangeChunk(volume, *current));
        auto decoded = DecodeChunk(data);
        if (!decoded) {
          return decoded.status().WithContext(fmt::format(
              "change map chunk {} of volume index {}", chunk, volume));
        }
        numbers = std::move(*decoded);
      }
      const uint64_t base = chunk * kChunkRegions;
      const uint64_t stop = std::min(end, base + kChunkRegions);
      std::fill(numbers.begin() + static_cast<ptrdiff_t>(first - base),
                numbers.begin() + static_cast<ptrdiff_t>(stop - base), number);
      first = stop;
    }
  }
  store();
  return Status::Ok();
}

Result<RegionSet> ChangedBetween(const Catalog& catalog, VolumeIndex volume,
                                 uint64_t since, uint64_t upto,
                                 const CatalogSnapshot* snapshot) {
  RegionSet changed;
  Status malformed;
  RETURN_IF_ERROR(catalog.ForEachChangeChunk(
      volume,
      [&](uint32_t chunk, std::string_view value) {
        const auto numbers = DecodeChunk(value);
        if (!numbers) {
          malformed = numbers.status().WithContext(fmt::format(
              "change map chunk {} of volume index {}", chunk, volume));
          return false;
        }
        for (size_t i = 0; i < numbers->size(); ++i) {
          const uint64_t number = (*numbers)[i];
          if (number > since && number <= upto) {
            changed.Insert(uint64_t{chunk} * kChunkRegions + i);
          }
        }
        return true;
      },
      snapshot));
  RETURN_IF_ERROR(malformed);
  return changed;
}

}  // namespace vellum
