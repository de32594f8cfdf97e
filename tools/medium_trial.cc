// SPDX-License-Identifier: Apache-2.0
#include "tools/medium_trial.h"

#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <cstring>
#include <random>
#include <vector>

namespace vellum {

namespace {

using Clock = std::chrono::steady_clock;

constexpr uint64_t kTrialSectors = 512;  // in one call: 1 MiB

double SecondsSince(Clock::time_point start) {
  return std::chrono::duration<double>(Clock::now() - start).count();
}

// Calls `use` for the range, piece by piece.
template <typename Use>
Status InPieces(SectorRange range, Use use) {
  for (uint64_t at = range.first; at < range.end(); at += kTrialSectors) {
    RETURN_IF_ERROR(use(at, std::min(kTrialSectors, range.end() - at)));
  }
  return Status::Ok();
}

// Each sector says where it belongs, so that a transfer that went elsewhere is
// seen, and holds no two equal words, so that a shifted one is.
void FillPattern(uint64_t lba, uint64_t seed, ByteSpan sector) {
  std::mt19937_64 words(seed ^ (lba * 0x9E3779B97F4A7C15ull));
  for (size_t at = 0; at < sector.size(); at += sizeof(uint64_t)) {
    const uint64_t word = at == 0 ? lba : words();
    std::memcpy(sector.data() + at, &word, sizeof(word));
  }
}

Bytes Pattern(uint64_t lba, uint64_t count, uint64_t seed) {
  Bytes data(count * kSectorSize);
  for (uint64_t i = 0; i < count; ++i) {
    FillPattern(lba + i, seed,
                ByteSpan(data).subspan(i * kSectorSize, kSectorSize));
  }
  return data;
}

Status ComparePattern(Medium& medium, uint64_t lba, uint64_t count,
                      uint64_t seed) {
  Bytes data(count * kSectorSize);
  medium.DropReadCache(lba, count);
  RETURN_IF_ERROR(medium.Read(lba, data));
  const Bytes wanted = Pattern(lba, count, seed);
  if (data == wanted) return Status::Ok();
  const auto wrong = std::mismatch(data.begin(), data.end(), wanted.begin());
  const uint64_t sector =
      lba + static_cast<uint64_t>(wrong.first - data.begin()) / kSectorSize;
  return Status(Errc::kCorruption,
                fmt::format("{}: sector {} is not what was written",
                            medium.Info().name, sector));
}

std::vector<SectorRange> TrialRanges(const Medium& medium, uint64_t bytes) {
  const uint64_t sectors = medium.Info().sectors;
  const SectorRange begin{
      0, std::min(sectors, std::max<uint64_t>(bytes / kSectorSize, 1))};
  const uint64_t tail = std::max(
      begin.end(), sectors - std::min<uint64_t>(sectors, kRegionSectors));
  return {begin, {tail, sectors - tail}};
}

}  // namespace

Result<TrialTimes> TryReading(Medium& medium, uint64_t bytes) {
  const std::vector<SectorRange> ranges = TrialRanges(medium, bytes);
  TrialTimes times;
  times.bytes = ranges[0].count * kSectorSize;
  Bytes buffer(kTrialSectors * kSectorSize);
  const auto start = Clock::now();
  RETURN_IF_ERROR(InPieces(ranges[0], [&](uint64_t lba, uint64_t count) {
    return medium.Read(lba, ByteSpan(buffer).first(count * kSectorSize));
  }));
  times.read_seconds = SecondsSince(start);
  RETURN_IF_ERROR(medium.Read(medium.Info().sectors - 1,
                              ByteSpan(buffer).first(kSectorSize)));
  return times;
}

Result<TrialTimes> TryWritingPattern(Medium& medium, uint64_t bytes,
                                     uint64_t seed) {
  const std::vector<SectorRange> ranges = TrialRanges(medium, bytes);
  TrialTimes times;
  auto start = Clock::now();
  for (const SectorRange& range : ranges) {
    times.bytes += range.count * kSectorSize;
    RETURN_IF_ERROR(InPieces(range, [&](uint64_t lba, uint64_t count) {
      return medium.Write(lba, Pattern(lba, count, seed));
    }));
  }
  RETURN_IF_ERROR(medium.Flush());
  times.write_seconds = SecondsSince(start);
  start = Clock::now();
  for (const SectorRange& range : ranges) {
    RETURN_IF_ERROR(InPieces(range, [&](uint64_t lba, uint64_t count) {
      return ComparePattern(medium, lba, count, seed);
    }));
  }
  times.read_seconds = SecondsSince(start);
  for (const SectorRange& range : ranges) {
    RETURN_IF_ERROR(medium.Discard(range.first, range.count));
  }
  RETURN_IF_ERROR(medium.Flush());
  return times;
}

}  // namespace vellum
