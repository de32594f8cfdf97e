// SPDX-License-Identifier: Apache-2.0
// Control log: entries one behind the other, each starting on a multiple of 512
// bytes and padded to one with zeros. Little-endian.
//
//   offset  bytes
//        0      4  magic "VLOG"
//        4      4  CRC32C of header and text with these four bytes zero
//        8      8  log id: random, chosen when the log gets its first entry
//       16      4  length of the text   20  4  time, nanoseconds
//       24      8  time, seconds
//       32         text
//
// The log is what a scan finds: valid entries that carry the log id of the
// first valid one. What cannot be read or is torn is skipped in steps of 512
// bytes, so a damaged entry hides no other.
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
  std::vector<LogEntry> entries;
  uint64_t log_id = 0;  // 0: the log is empty
  uint64_t end = 0;     // behind the last entry
};

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
  LogScan scan;
  uint64_t at = 0;
  while (at < area.size()) {
    std::optional<FoundEntry> found =
        ParseEntry(ConstByteSpan(area).subspan(at));
    if (!found || (scan.log_id != 0 && found->log_id != scan.log_id)) {
      at += kEntryAlign;
      continue;
    }
    scan.log_id = found->log_id;
    scan.entries.push_back(std::move(found->entry));
    at += found->size;
    scan.end = at;
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
  ASSIGN_OR_RETURN(const Bytes area, ReadArea(medium, geometry));
  const LogScan scan = ScanArea(area);
  const uint64_t size = LogBytes(geometry);
  const uint64_t hint = (*end + kEntryAlign - 1) / kEntryAlign * kEntryAlign;
  const uint64_t start = std::max(std::min(hint, size), scan.end);
  const uint64_t needed = ControlLogBytes(entries);
  if (needed > size - start) {
    return Status(
        Errc::kNoSpace,
        fmt::format("control log of {} is full: {} bytes needed, {} of {} used",
                    medium.Info().name, needed, start, size));
  }
  *end = start;
  if (entries.empty()) return Status::Ok();
  const uint64_t log_id = scan.log_id != 0 ? scan.log_id : NewLineage();
  // The sector in which the log ends keeps what it holds: a torn write changes
  // 512-byte pieces to what they are already.
  const uint64_t first = start / kSectorSize;
  Bytes out(area.begin() + static_cast<ptrdiff_t>(first * kSectorSize),
            area.begin() + static_cast<ptrdiff_t>(start));
  for (const LogEntry& entry : entries) AppendEntry(entry, log_id, &out);
  out.resize((out.size() + kSectorSize - 1) / kSectorSize * kSectorSize);
  RETURN_IF_ERROR(
      medium.Write(geometry.log_first + first, out).WithContext("control log"));
  *end = start + needed;
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
