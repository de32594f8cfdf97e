// SPDX-License-Identifier: Apache-2.0
#include "media/udf/extended_attributes.h"

#include <fmt/format.h>

#include <array>
#include <limits>

#include "media/udf/bytes.h"
#include "media/udf/tag.h"

namespace vellum::udf {
namespace {

constexpr size_t kSpaceHeaderSize = 24;
constexpr size_t kAttributeHeaderSize = 12;  // type, subtype, length
constexpr uint32_t kDeviceSpecification = 12;
constexpr uint32_t kImplementationUse = 2048;

// Device specification: lengths, major, minor, implementation use (a regid).
constexpr size_t kDeviceSize = 24 + kRegidSize;

// Implementation use attribute: length, regid; then checksum and version; then
// the items.
constexpr size_t kUseHeaderSize = 16 + kRegidSize;
constexpr size_t kPrivateHeaderSize = 4;
constexpr uint8_t kPrivateVersion = 1;

constexpr size_t kItemHeaderSize = 4;  // kind, index, u16 length
enum ItemKind : uint8_t {
  kNanoseconds = 1,
  kTrueTime = 2,
  kXattr = 3,
  kSymlinkTarget = 4,
};
constexpr size_t kNanosecondsSize = 8;  // 4 * u16
constexpr size_t kTrueTimeSize = 12;    // i64 seconds, u32 nanoseconds

bool IsDevice(const InodeAttr& attr) {
  return attr.type == FileType::kBlockDevice ||
         attr.type == FileType::kCharDevice;
}

std::array<const TimeSpec*, 4> Times(const InodeAttr& attr) {
  return {&attr.atime, &attr.mtime, &attr.ctime, &attr.btime};
}

std::array<TimeSpec*, 4> Times(InodeAttr* attr) {
  return {&attr->atime, &attr->mtime, &attr->ctime, &attr->btime};
}

size_t ItemSize(size_t length) { return kItemHeaderSize + PadTo4(length); }

size_t PrivateSize(const InodeAttr& attr,
                   const std::optional<std::string>& true_target) {
  size_t size =
      kUseHeaderSize + kPrivateHeaderSize + ItemSize(kNanosecondsSize);
  for (const TimeSpec* time : Times(attr)) {
    if (!TimestampHolds(*time)) size += ItemSize(kTrueTimeSize);
  }
  for (const auto& [name, value] : attr.xattrs) {
    size += ItemSize(name.size() + value.size());
  }
  if (true_target) size += ItemSize(true_target->size());
  return size;
}

// The bytes of an item that is appended to `out`, zero.
ByteSpan AppendItem(ItemKind kind, uint8_t index, size_t length, Bytes* out) {
  const size_t at = out->size();
  out->resize(at + ItemSize(length));
  const ByteSpan item = ByteSpan(*out).subspan(at);
  Store8(item, 0, kind);
  Store8(item, 1, index);
  Store16(item, 2, static_cast<uint16_t>(length));
  return item.subspan(kItemHeaderSize);
}

void AppendPrivate(const InodeAttr& attr,
                   const std::optional<std::string>& true_target, Bytes* out) {
  const size_t at = out->size();
  const size_t size = PrivateSize(attr, true_target);
  out->resize(at + kUseHeaderSize + kPrivateHeaderSize);
  {
    const ByteSpan header = ByteSpan(*out).subspan(at);
    Store32(header, 0, kImplementationUse);
    Store8(header, 4, 1);  // subtype
    Store32(header, 8, static_cast<uint32_t>(size));
    Store32(header, 12, static_cast<uint32_t>(size - kUseHeaderSize));
    StoreRegid(header, 16, kInodeAttributesId, RegidSuffix::kImplementation);
    uint16_t sum = 0;  // the header checksum of UDF 2.01, 3.3.4.5
    for (size_t i = 0; i < kUseHeaderSize; ++i) {
      sum = static_cast<uint16_t>(sum + Load8(header, i));
    }
    Store16(header, kUseHeaderSize, sum);
    Store8(header, kUseHeaderSize + 2, kPrivateVersion);
  }
  const ByteSpan remainders =
      AppendItem(kNanoseconds, 0, kNanosecondsSize, out);
  const auto times = Times(attr);
  for (size_t i = 0; i < times.size(); ++i) {
    Store16(remainders, 2 * i, static_cast<uint16_t>(times[i]->nsec % 1000));
  }
  for (size_t i = 0; i < times.size(); ++i) {
    if (TimestampHolds(*times[i])) continue;
    const ByteSpan item =
        AppendItem(kTrueTime, static_cast<uint8_t>(i), kTrueTimeSize, out);
    Store64(item, 0, static_cast<uint64_t>(times[i]->sec));
    Store32(item, 8, times[i]->nsec);
  }
  for (const auto& [name, value] : attr.xattrs) {
    const ByteSpan item = AppendItem(kXattr, static_cast<uint8_t>(name.size()),
                                     name.size() + value.size(), out);
    StoreBytes(item, 0, AsBytes(name));
    StoreBytes(item, name.size(), AsBytes(value));
  }
  if (true_target) {
    const ByteSpan item =
        AppendItem(kSymlinkTarget, 0, true_target->size(), out);
    StoreBytes(item, 0, AsBytes(*true_target));
  }
  VELLUM_CHECK(out->size() == at + size);
}

Status WrongAttribute(uint32_t block, const std::string& what) {
  return Status(Errc::kCorruption,
                fmt::format("extended attributes of the entry in block {}: {}",
                            block, what));
}

Status DecodeItem(uint8_t kind, uint8_t index, ConstByteSpan data,
                  uint32_t block, InodeAttr* attr,
                  std::optional<std::string>* true_target) {
  const auto times = Times(attr);
  switch (kind) {
    case kNanoseconds:
      if (data.size() != kNanosecondsSize) break;
      for (size_t i = 0; i < times.size(); ++i) {
        const uint32_t remainder = Load16(data, 2 * i);
        if (remainder > 999)
          return WrongAttribute(block, "nanoseconds out of range");
        times[i]->nsec = times[i]->nsec / 1000 * 1000 + remainder;
      }
      return Status::Ok();
    case kTrueTime:
      if (data.size() != kTrueTimeSize || index >= times.size() ||
          Load32(data, 8) > 999999999) {
        break;
      }
      times[index]->sec = static_cast<int64_t>(Load64(data, 0));
      times[index]->nsec = Load32(data, 8);
      return Status::Ok();
    case kXattr:
      if (index == 0 || index > data.size()) break;
      attr->xattrs[ToText(data.first(index))] = ToText(data.subspan(index));
      return Status::Ok();
    case kSymlinkTarget:
      if (attr->type != FileType::kSymlink || data.empty()) break;
      *true_target = ToText(data);
      return Status::Ok();
    default:
      return Status::Ok();  // of a later minor version
  }
  return WrongAttribute(block,
                        fmt::format("item of kind {} is malformed", kind));
}

Status DecodePrivate(ConstByteSpan data, uint32_t block, InodeAttr* attr,
                     std::optional<std::string>* true_target) {
  if (data.size() < kPrivateHeaderSize) return WrongAttribute(block, "cut off");
  if (Load8(data, 2) != kPrivateVersion) {
    return WrongAttribute(block,
                          fmt::format("version {} is unknown", Load8(data, 2)));
  }
  for (size_t at = kPrivateHeaderSize; at < data.size();) {
    if (data.size() - at < kItemHeaderSize)
      return WrongAttribute(block, "cut off");
    const size_t length = Load16(data, at + 2);
    if (ItemSize(length) > data.size() - at)
      return WrongAttribute(block, "cut off");
    RETURN_IF_ERROR(DecodeItem(Load8(data, at), Load8(data, at + 1),
                               data.subspan(at + kItemHeaderSize, length),
                               block, attr, true_target));
    at += ItemSize(length);
  }
  return Status::Ok();
}

Status DecodeAttribute(ConstByteSpan data, uint32_t block, InodeAttr* attr,
                       std::optional<std::string>* true_target) {
  const uint32_t type = Load32(data, 0);
  if (type == kDeviceSpecification) {
    if (data.size() < 24)
      return WrongAttribute(block, "device numbers are cut off");
    attr->major = Load32(data, 16);
    attr->minor = Load32(data, 20);
  } else if (type == kImplementationUse) {
    if (data.size() < kUseHeaderSize ||
        Load32(data, 12) > data.size() - kUseHeaderSize) {
      return WrongAttribute(block, "implementation use is cut off");
    }
    if (LoadRegid(data, 16) == kInodeAttributesId) {
      return DecodePrivate(data.subspan(kUseHeaderSize, Load32(data, 12)),
                           block, attr, true_target);
    }
  }
  return Status::Ok();
}

}  // namespace

size_t ExtendedAttributesLength(const InodeAttr& attr,
                                const std::optional<std::string>& true_target) {
  return kSpaceHeaderSize + (IsDevice(attr) ? kDeviceSize : 0) +
         PrivateSize(attr, true_target);
}

void EncodeExtendedAttributes(const InodeAttr& attr,
                              const std::optional<std::string>& true_target,
                              uint32_t block, Bytes* out) {
  const size_t start = out->size();
  const size_t length = ExtendedAttributesLength(attr, true_target);
  VELLUM_CHECK(length <= kSectorSize);
  const size_t device = IsDevice(attr) ? kDeviceSize : 0;
  out->resize(start + kSpaceHeaderSize + device);
  const ByteSpan space = ByteSpan(*out).subspan(start);
  Store32(space, 16, static_cast<uint32_t>(kSpaceHeaderSize + device));
  // No application attributes: behind the end, as the standard has it.
  Store32(space, 20, static_cast<uint32_t>(length));
  SealTag(space, kTagExtendedAttributeHeader, block, 8);
  if (device != 0) {
    const ByteSpan spec = space.subspan(kSpaceHeaderSize);
    Store32(spec, 0, kDeviceSpecification);
    Store8(spec, 4, 1);  // subtype
    Store32(spec, 8, kDeviceSize);
    Store32(spec, 12, kRegidSize);
    Store32(spec, 16, attr.major);
    Store32(spec, 20, attr.minor);
    StoreRegid(spec, 24, kImplementationId, RegidSuffix::kImplementation);
  }
  AppendPrivate(attr, true_target, out);
  VELLUM_CHECK(out->size() == start + length);
}

Status DecodeExtendedAttributes(ConstByteSpan space, uint32_t block,
                                InodeAttr* attr,
                                std::optional<std::string>* true_target) {
  if (space.empty()) return Status::Ok();
  if (space.size() < kSpaceHeaderSize) return WrongAttribute(block, "cut off");
  const Status tag = CheckTag(space, kTagExtendedAttributeHeader, block);
  if (!tag.ok()) return WrongAttribute(block, tag.error().message);
  for (size_t at = kSpaceHeaderSize; at < space.size();) {
    if (space.size() - at < kAttributeHeaderSize) {
      return WrongAttribute(block, "cut off");
    }
    const uint32_t length = Load32(space, at + 8);
    if (length < kAttributeHeaderSize || length > space.size() - at) {
      return WrongAttribute(block,
                            fmt::format("attribute of {} bytes", length));
    }
    RETURN_IF_ERROR(
        DecodeAttribute(space.subspan(at, length), block, attr, true_target));
    at += length;
  }
  return Status::Ok();
}

}  // namespace vellum::udf
