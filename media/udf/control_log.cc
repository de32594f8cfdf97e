// SPDX-License-Identifier: Apache-2.0
// Control log: entries one behind the other, each starting on a multiple of 512
// bytes and padded to one with zeros. Little-endian.
//
//   offset  bytes
//        0      4  magic "VLOG"
//        4      4  CRC32C of header and text with these four bytes zero
//        8      8  log id: the upper 48 bits are random, chosen when the log
//        gets
//                  its first entry; the lower 16 count the laps
//       16      4  length of the text   20  4  time, nanoseconds
//       24      8  time, seconds
//       32         text
//
// The log is a ring: an entry that does not fit behind the last one begins the
// next lap at offset 0, and takes the place of the oldest ones. It is what a
// scan finds: valid entries with the random bits of the first valid one, of the
// newest lap and of the one before. What cannot be read, is torn or was written
// over in part is skipped in steps of 512 bytes, so it hides no other.
#include <fmt/format.h>

#include <algorithm>
#include <limits>
#include <optional>

#include "media/udf/bytes.h"
#include "media/udf/codec.h"
#include "media/udf/control.h"

namespace vellum::udf {
namespace {

constexpr uint32_t kEntryMagic = 0x474F4C56;  // "VLOG"
constexpr size_t kEntryHeader = 32;
constexpr uint64_t kEntryAlign = 512;
constexpr uint64_t kReadSectors = 512;  // 1 MiB

uint64_t PaddedSize(size_t text) {
  return (kEntryHeader + text + kEntryAlign - 1) / kEntryAlign * kEntryAlign;
}

uint64_t LogBytes(const Geometry& geometry) {
  return uint64_t{geometry.log_sectors} * kSectorSize;
}

void AppendEntry(const LogEntry& entry, uint64_t log_id, Bytes* out) {
  const size_t start = out->size();
  out->resize(start + PaddedSize(entry.text.size()));
  const ByteSpan whole = ByteSpan(*out).subspan(start);
  Store32(whole, 0, kEntryMagic);
  Store64(whole, 8, log_id);
  Store32(whole, 16, static_cast<uint32_t>(entry.text.size()));
  Store32(whole, 20, entry.time.nsec);
  Store64(whole, 24, static_cast<uint64_t>(entry.time.sec));
  StoreBytes(whole, kEntryHeader, AsBytes(entry.text));
  Store32(whole, 4, Crc32c(whole.first(kEntryHeader + entry.text.size())));
}

struct FoundEntry {
  LogEntry entry;
  uint64_t log_id = 0;
  uint64_t size = 0;
};

std::optional<FoundEntry> ParseEntry(ConstByteSpan data) {
  if (data.size() < kEntryAlign || Load32(data, 0) != kEntryMagic) {
    return std::nullopt;
  }
  const size_t length = Load32(data, 16);
  if (length > data.size() - kEntryHeader) return std::nullopt;
  const ConstByteSpan whole = data.first(kEntryHeader + length);
  std::array<std::byte, kEntryHeader> header;
  std::copy_n(whole.begin(), kEntryHeader, header.begin());
  Store32(header, 4, 0);
  const uint32_t crc = Crc32c(whole.subspan(kEntryHeader), Crc32c(header));
  if (crc != Load32(data, 4)) return std::nullopt;
  FoundEntry found;
  found.entry.time = {static_cast<int64_t>(Load64(data, 24)), Load32(data, 20)};
  found.entry.text = ToText(whole.subspan(kEntryHeader));
  found.log_id = Load64(data, 8);
  found.size = PaddedSize(length);
  return found;
}

struct LogScan {
  std::vector<LogEntry> entries;   // oldest first
  std::optional<uint64_t> log_id;  // of the newest lap; none: the log is empty
  uint64_t end = 0;                // behind the last entry of that lap
  // Where the oldest entry of the lap before begins, behind `end`.
  std::optional<uint64_t> next_old;
};

constexpr uint64_t kLapMask = 0xffff;

// The log id of the lap behind this one.
uint64_t NextLap(uint64_t log_id) {
  return (log_id & ~kLapMask) | ((log_id + 1) & kLapMask);
}

// A part that the device cannot read stays zero.
Result<Bytes> ReadArea(Medium& medium, const Geometry& geometry) {
  Bytes area(LogBytes(geometry));
  for (uint64_t at = 0; at < geometry.log_sectors; at += kReadSectors) {
    const uint64_t count =
        std::min<uint64_t>(kReadSectors, geometry.log_sectors - at);
    const ByteSpan part =
        ByteSpan(area).subspan(at * kSectorSize, count * kSectorSize);
    const Status status = medium.Read(geometry.log_first + at, part);
    if (status.ok()) continue;
    if (!status.Is(Errc::kDeviceError)) {
      return status.WithContext("control log");
    }
    for (uint64_t i = 0; i < count; ++i) {
      const ByteSpan one = part.subspan(i * kSectorSize, kSectorSize);
      const Status again = medium.Read(geometry.log_first + at + i, one);
      if (again.Is(Errc::kDeviceError)) {
        std::fill(one.begin(), one.end(), std::byte{0});
      } else {
        RETURN_IF_ERROR(again.WithContext("control log"));
      }
    }
  }
  return area;
}

LogScan ScanArea(const Bytes& area) {
  struct Placed {
    uint64_t at = 0;
    int16_t lap = 0;  // seen from the first entry's
    FoundEntry found;
  };
  std::vector<Placed> all;
  int16_t newest = 0;
  for (uint64_t at = 0; at < area.size();) {
    std::optional<FoundEntry> found =
        ParseEntry(ConstByteSpan(area).subspan(at));
    const uint64_t log = all.empty() ? 0 : all.front().found.log_id;
    if (!found || (!all.empty() && (found->log_id ^ log) > kLapMask)) {
      at += kEntryAlign;
      continue;
    }
    Placed placed;
    placed.at = at;
    if (!all.empty()) placed.lap = static_cast<int16_t>(found->log_id - log);
    newest = std::max(newest, placed.lap);
    at += found->size;
    placed.found = std::move(*found);
    all.push_back(std::move(placed));
  }
  LogScan scan;
  for (const int lap : {newest - 1, int{newest}}) {
    for (Placed& placed : all) {
      if (placed.lap != lap) continue;
      const uint64_t end = placed.at + placed.found.size;
      scan.entries.push_back(std::move(placed.found.entry));
      if (lap != newest) continue;
      scan.log_id = placed.found.log_id;
      scan.end = end;
    }
  }
  for (const Placed& placed : all) {
    if (placed.lap == newest || placed.at < scan.end) continue;
    scan.next_old = placed.at;
    break;
  }
  return scan;
}

}  // namespace

uint64_t ControlLogBytes(const std::vector<LogEntry>& entries) {
  uint64_t total = 0;
  for (const LogEntry& entry : entries) total += PaddedSize(entry.text.size());
  return total;
}

Status AppendControlLog(Medium& medium, const Geometry& geometry, uint64_t* end,
                        const std::vector<LogEntry>& entries) {
  ASSIGN_OR_RETURN(Bytes area, ReadArea(medium, geometry));
  const LogScan scan = ScanArea(area);
  uint64_t at = scan.end;
  // Behind the last entry that can be read there may be others that cannot. Not
  // so where those of the lap before are: there the hint is of that lap, too.
  const uint64_t hint = (*end + kEntryAlign - 1) / kEntryAlign * kEntryAlign;
  if (hint <= area.size() && (!scan.next_old || hint <= *scan.next_old)) {
    at = std::max(at, hint);
  }
  const uint64_t needed = ControlLogBytes(entries);
  uint64_t largest = 0;
  for (const LogEntry& entry : entries) {
    largest = std::max(largest, PaddedSize(entry.text.size()));
  }
  // What the end of the log has no room for leaves a gap there: the newest
  // entries must not reach the first of them.
  if (needed > area.size() - at && needed + largest > area.size()) {
    return Status(Errc::kNoSpace,
                  fmt::format("{} bytes at once are too much for the control "
                              "log of {}, which has {}",
                              needed, medium.Info().name, area.size()));
  }
  *end = at;
  if (entries.empty()) return Status::Ok();
  uint64_t log_id = scan.log_id.value_or(NewLineage() & ~kLapMask);
  // Whole sectors are written; what else is in them keeps its bytes: a torn
  // write changes 512-byte pieces to what they are already.
  uint64_t first = at;
  const auto write = [&](uint64_t behind) -> Status {
    const uint64_t sector = first / kSectorSize;
    const uint64_t count = (behind + kSectorSize - 1) / kSectorSize - sector;
    if (count == 0 || behind == first) return Status::Ok();
    return medium
        .Write(geometry.log_first + sector,
               ConstByteSpan(area).subspan(sector * kSectorSize,
                                           count * kSectorSize))
        .WithContext("control log");
  };
  for (const LogEntry& entry : entries) {
    Bytes encoded;
    AppendEntry(entry, log_id, &encoded);
    if (encoded.size() > area.size() - at) {
      RETURN_IF_ERROR(write(at));
      first = at = 0;
      log_id = NextLap(log_id);
      encoded.clear();
      AppendEntry(entry, log_id, &encoded);
    }
    std::copy(encoded.begin(), encoded.end(),
              area.begin() + static_cast<ptrdiff_t>(at));
    at += encoded.size();
  }
  RETURN_IF_ERROR(write(at));
  *end = at;
  return Status::Ok();
}

Result<std::vector<LogEntry>> ReadControlLog(Medium& medium,
                                             const Geometry& geometry) {
  ASSIGN_OR_RETURN(const Bytes area, ReadArea(medium, geometry));
  return ScanArea(area).entries;
}

Status ClearControlLog(Medium& medium, const Geometry& geometry) {
  return medium.Discard(geometry.log_first, geometry.log_sectors)
      .WithContext("control log");
}

}  // namespace vellum::udf
