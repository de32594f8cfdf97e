// SPDX-License-Identifier: Apache-2.0
#include "media/scsi/element_status.h"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

namespace vellum::scsi {

namespace {

using ElementBytes = std::span<const uint8_t>;

constexpr size_t kHeaderSize = 8;
constexpr size_t kPageHeaderSize = 8;
constexpr size_t kTagSize = 36;
constexpr size_t kTagTextSize = 32;  // the rest is a sequence number
constexpr size_t kDescriptorBase = 12;
// Address and flags: what a descriptor must have to say anything.
constexpr size_t kSmallestDescriptor = 3;

// What lies behind the end reads as 0.
class Field {
 public:
  explicit Field(ElementBytes bytes) : bytes_(bytes) {}

  uint8_t Byte(size_t at) const { return at < bytes_.size() ? bytes_[at] : 0; }
  bool Bit(size_t at, int bit) const { return (Byte(at) >> bit & 1) != 0; }
  uint16_t Word(size_t at) const {
    return static_cast<uint16_t>(Byte(at) << 8 | Byte(at + 1));
  }
  uint32_t Three(size_t at) const {
    return uint32_t{Byte(at)} << 16 | uint32_t{Byte(at + 1)} << 8 |
           Byte(at + 2);
  }
  ElementBytes Part(size_t at, size_t length) const {
    if (at >= bytes_.size()) return {};
    return bytes_.subspan(at, std::min(length, bytes_.size() - at));
  }

 private:
  const ElementBytes bytes_;
};

bool IsPrintable(uint8_t byte) { return byte >= 0x20 && byte < 0x7F; }

std::string Trimmed(const std::string& text) {
  const size_t first = text.find_first_not_of(' ');
  if (first == std::string::npos) return {};
  return text.substr(first, text.find_last_not_of(' ') - first + 1);
}

// Up to the first NUL; empty when there is anything that no text contains.
std::string PrintableText(ElementBytes bytes) {
  std::string text;
  for (const uint8_t byte : bytes) {
    if (byte == 0) break;
    if (!IsPrintable(byte)) return {};
    text.push_back(static_cast<char>(byte));
  }
  return Trimmed(text);
}

std::optional<ElementIdentifier> ParseIdentifier(const Field& field,
                                                 size_t at) {
  const size_t length = field.Byte(at + 3);
  const ElementBytes bytes = field.Part(at + 4, length);
  ElementIdentifier id;
  id.code_set = field.Byte(at) & 0x0F;
  id.type = field.Byte(at + 1) & 0x0F;
  id.text = PrintableText(bytes);
  if (id.code_set == 1 || id.text.empty()) {
    // A field of nothing but padding names nobody.
    if (std::all_of(bytes.begin(), bytes.end(),
                    [](uint8_t b) { return b == 0 || b == ' '; })) {
      return std::nullopt;
    }
    id.text.clear();
    for (const uint8_t byte : bytes) id.text += fmt::format("{:02x}", byte);
    return id;
  }
  if (id.type == 1) {
    const Field text(bytes);
    id.vendor = PrintableText(text.Part(0, 8));
    id.product = PrintableText(text.Part(8, 16));
    id.serial = PrintableText(text.Part(24, length));
  } else {
    id.serial = id.text;
  }
  return id;
}

ElementRecord ParseDescriptor(ElementType type, uint8_t page_flags,
                              ElementBytes bytes, size_t length) {
  const Field field(bytes);
  ElementRecord record;
  record.type = type;
  record.cut = bytes.size() < length;
  record.address.value = field.Word(0);
  record.full = field.Bit(2, 0);
  record.exception = field.Bit(2, 2);
  if (record.exception) {
    record.asc = field.Byte(4);
    record.ascq = field.Byte(5);
  }
  if (type != ElementType::kTransport) record.access = field.Bit(2, 3);
  if (type == ElementType::kImportExport) {
    record.imported = field.Bit(2, 1);
    record.can_export = field.Bit(2, 4);
    record.can_import = field.Bit(2, 5);
  }
  record.disabled = field.Bit(9, 3);
  record.medium_type = field.Byte(9) & 0x07;
  if (field.Bit(9, 7)) {
    record.source = ElementAddress{field.Word(10)};
    record.inverted = field.Bit(9, 6);
  }
  size_t at = kDescriptorBase;
  if ((page_flags & 0x80) != 0) {
    record.volume_tag = ParseVolumeTag(field.Part(at, kTagSize));
    at += kTagSize;
  }
  if ((page_flags & 0x40) != 0) {
    record.alternate_tag = ParseVolumeTag(field.Part(at, kTagSize));
    at += kTagSize;
  }
  if (bytes.size() > at + 4) record.identifier = ParseIdentifier(field, at);
  return record;
}

}  // namespace

VolumeTag ParseVolumeTag(std::span<const uint8_t> field) {
  return PrintableText(field.first(std::min(field.size(), kTagTextSize)));
}

Result<ElementReport> ParseElementStatus(std::span<const uint8_t> data) {
  if (data.size() < kHeaderSize) {
    return Error{Errc::kDeviceError,
                 fmt::format("element status of {} bytes only", data.size())};
  }
  const Field header(data);
  ElementReport report;
  report.first = header.Word(0);
  report.count = header.Word(2);
  report.available = kHeaderSize + header.Three(5);
  ElementBytes rest = data.subspan(kHeaderSize);
  rest = rest.first(std::min(rest.size(), report.available - kHeaderSize));
  while (rest.size() > kPageHeaderSize) {
    const Field page(rest);
    const uint8_t type = page.Byte(0) & 0x0F;
    const uint8_t flags = page.Byte(1);
    const size_t length = page.Word(2);
    ElementBytes body = page.Part(kPageHeaderSize, page.Three(5));
    rest = rest.subspan(kPageHeaderSize + body.size());
    if (type < 1 || type > 4 || length < kSmallestDescriptor) continue;
    while (body.size() >= kSmallestDescriptor &&
           report.records.size() < report.count) {
      const ElementBytes descriptor = body.first(std::min(length, body.size()));
      report.records.push_back(ParseDescriptor(static_cast<ElementType>(type),
                                               flags, descriptor, length));
      body = body.subspan(descriptor.size());
    }
  }
  return report;
}

}  // namespace vellum::scsi
