// SPDX-License-Identifier: Apache-2.0
#include "media/udf/tag.h"

#include <fmt/format.h>

#include <algorithm>
#include <chrono>

#include "media/udf/bytes.h"
#include "media/udf/codec.h"

namespace vellum::udf {
namespace {

constexpr uint8_t kOsClassUnix = 4;
// Not 5 (Linux): its driver writes 5, so a change shows a foreign writer.
constexpr uint8_t kOsIdGeneric = 0;
constexpr uint16_t kRevision = 0x0201;
constexpr uint8_t kSoftWriteProtect = 2;

// 0001-01-01T00:00:00 and the last second of the year 9999.
constexpr int64_t kFirstSecond = -62135596800;
constexpr int64_t kLastSecond = 253402300799;

uint8_t TagChecksum(ConstByteSpan tag) {
  uint8_t sum = 0;
  for (size_t i = 0; i < kTagSize; ++i) {
    if (i != 4) sum = static_cast<uint8_t>(sum + Load8(tag, i));
  }
  return sum;
}

}  // namespace

void SealTag(ByteSpan descriptor, TagId id, uint32_t location,
             size_t crc_length) {
  VELLUM_CHECK(descriptor.size() >= kTagSize + crc_length);
  Store16(descriptor, 0, id);
  Store16(descriptor, 2, 3);  // descriptor version
  Store8(descriptor, 5, 0);
  Store16(descriptor, 6, 1);  // serial number
  Store16(descriptor, 8, Crc16(descriptor.subspan(kTagSize, crc_length)));
  Store16(descriptor, 10, static_cast<uint16_t>(crc_length));
  Store32(descriptor, 12, location);
  Store8(descriptor, 4, TagChecksum(descriptor));
}

Status CheckTag(ConstByteSpan descriptor, TagId id, uint32_t location) {
  const auto wrong = [id, location](const std::string& what) {
    // Those of a partition have numbers from 256 on, and its blocks as places.
    return Status(
        Errc::kCorruption,
        fmt::format("descriptor {} in {} {}: {}", static_cast<unsigned>(id),
                    id < kTagFileSet ? "sector" : "block", location, what));
  };
  if (descriptor.size() < kTagSize) return wrong("cut off");
  if (Load8(descriptor, 4) != TagChecksum(descriptor)) {
    return wrong("tag checksum is wrong");
  }
  if (TagIdOf(descriptor) != id) {
    return wrong(fmt::format("tag says {}", TagIdOf(descriptor)));
  }
  const uint16_t version = Load16(descriptor, 2);
  if ((version != 2 && version != 3) || Load8(descriptor, 5) != 0) {
    return wrong(fmt::format("tag version {} is unknown", version));
  }
  if (Load32(descriptor, 12) != location) {
    return wrong(fmt::format("tag says location {}", Load32(descriptor, 12)));
  }
  const size_t crc_length = TagCrcLengthOf(descriptor);
  if (crc_length > descriptor.size() - kTagSize) {
    return wrong(fmt::format("CRC length {} is too large", crc_length));
  }
  if (Crc16(descriptor.subspan(kTagSize, crc_length)) !=
      Load16(descriptor, 8)) {
    return wrong("CRC is wrong");
  }
  return Status::Ok();
}

uint16_t TagIdOf(ConstByteSpan descriptor) { return Load16(descriptor, 0); }

uint16_t TagCrcLengthOf(ConstByteSpan descriptor) {
  return Load16(descriptor, 10);
}

void StoreTerminator(ByteSpan sector, uint32_t location) {
  SealTag(sector, kTagTerminator, location, kCrcLength512);
}

void StoreRegid(ByteSpan data, size_t offset, std::string_view identifier,
                RegidSuffix suffix) {
  VELLUM_CHECK(identifier.size() <= 23);
  StoreBytes(data, offset + 1, AsBytes(identifier));
  const size_t at = offset + 24;
  switch (suffix) {
    case RegidSuffix::kNone:
      break;
    case RegidSuffix::kDomain:
      Store16(data, at, kRevision);
      Store8(data, at + 2, kSoftWriteProtect);
      break;
    case RegidSuffix::kUdf:
      Store16(data, at, kRevision);
      Store8(data, at + 2, kOsClassUnix);
      Store8(data, at + 3, kOsIdGeneric);
      break;
    case RegidSuffix::kImplementation:
      Store8(data, at, kOsClassUnix);
      Store8(data, at + 1, kOsIdGeneric);
      break;
  }
}

std::string LoadRegid(ConstByteSpan data, size_t offset) {
  std::string identifier = ToText(data.subspan(offset + 1, 23));
  const size_t end = identifier.find('\0');
  if (end != std::string::npos) identifier.resize(end);
  return identifier;
}

bool IsOurOs(ConstByteSpan data, size_t offset) {
  return Load8(data, offset + 24) == kOsClassUnix &&
         Load8(data, offset + 25) == kOsIdGeneric;
}

bool TimestampHolds(const TimeSpec& time) {
  return time.sec >= kFirstSecond && time.sec <= kLastSecond;
}

void StoreTimestamp(ByteSpan data, size_t offset, const TimeSpec& time) {
  namespace chrono = std::chrono;
  const int64_t seconds = std::clamp(time.sec, kFirstSecond, kLastSecond);
  const chrono::sys_seconds point{chrono::seconds(seconds)};
  const auto midnight = chrono::floor<chrono::days>(point);
  const chrono::year_month_day date{midnight};
  const int64_t of_day = (point - midnight).count();
  const uint32_t micros = time.nsec / 1000;
  Store16(data, offset, 1 << 12);  // type 1, offset 0: UTC
  Store16(data, offset + 2,
          static_cast<uint16_t>(static_cast<int>(date.year())));
  Store8(data, offset + 4,
         static_cast<uint8_t>(static_cast<unsigned>(date.month())));
  Store8(data, offset + 5,
         static_cast<uint8_t>(static_cast<unsigned>(date.day())));
  Store8(data, offset + 6, static_cast<uint8_t>(of_day / 3600));
  Store8(data, offset + 7, static_cast<uint8_t>(of_day / 60 % 60));
  Store8(data, offset + 8, static_cast<uint8_t>(of_day % 60));
  Store8(data, offset + 9, static_cast<uint8_t>(micros / 10000));
  Store8(data, offset + 10, static_cast<uint8_t>(micros / 100 % 100));
  Store8(data, offset + 11, static_cast<uint8_t>(micros % 100));
}

TimeSpec LoadTimestamp(ConstByteSpan data, size_t offset) {
  namespace chrono = std::chrono;
  const uint16_t zone = Load16(data, offset);
  const chrono::year_month_day date{
      chrono::year{static_cast<int16_t>(Load16(data, offset + 2))},
      chrono::month{Load8(data, offset + 4)},
      chrono::day{Load8(data, offset + 5)}};
  const unsigned hour = Load8(data, offset + 6);
  const unsigned minute = Load8(data, offset + 7);
  const unsigned second = Load8(data, offset + 8);
  const unsigned centi = Load8(data, offset + 9);
  const unsigned hundreds = Load8(data, offset + 10);
  const unsigned micros = Load8(data, offset + 11);
  if (!date.ok() || hour > 23 || minute > 59 || second > 60 || centi > 99 ||
      hundreds > 99 || micros > 99) {
    return {};
  }
  int64_t seconds = chrono::duration_cast<chrono::seconds>(
                        chrono::sys_days{date}.time_since_epoch())
                        .count() +
                    hour * 3600 + minute * 60 + second;
  // The low 12 bits are a signed offset in minutes; -2047 means none given.
  int minutes = zone & 0xFFF;
  if (minutes >= 0x800) minutes -= 0x1000;
  if (zone >> 12 == 1 && minutes != -2047) seconds -= minutes * 60;
  return {seconds, (centi * 10000 + hundreds * 100 + micros) * 1000};
}

void StoreCharspec(ByteSpan data, size_t offset) {
  StoreBytes(data, offset + 1, AsBytes("OSTA Compressed Unicode"));
}

}  // namespace vellum::udf
