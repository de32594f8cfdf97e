// SPDX-License-Identifier: Apache-2.0
#include "media/udf/cs0.h"

#include <fmt/format.h>
#include <xxhash.h>

#include <algorithm>

#include "media/udf/bytes.h"

namespace vellum::udf {
namespace {

constexpr size_t kMax8BitUnits = 254;
constexpr size_t kMax16BitUnits = 127;
constexpr size_t kHashDigits = 16;
// Stands for each byte of a name that is no character.
constexpr char16_t kReplacement = u'_';

bool IsHighSurrogate(char16_t unit) { return (unit & 0xFC00) == 0xD800; }
bool IsLowSurrogate(char16_t unit) { return (unit & 0xFC00) == 0xDC00; }

// The code point at text[*pos], advancing *pos; nullopt (one byte on) when the
// bytes there are not well-formed UTF-8 or UDF excludes the character.
std::optional<uint32_t> NextCodePoint(std::string_view text, size_t* pos) {
  const auto byte = [&text](size_t i) {
    return i < text.size() ? static_cast<uint8_t>(text[i]) : uint8_t{0};
  };
  const size_t at = (*pos)++;
  const uint8_t lead = byte(at);
  if (lead < 0x80) return lead;
  size_t more = 0;
  uint32_t code = 0;
  uint32_t least = 0;
  if ((lead & 0xE0) == 0xC0) {
    more = 1, code = lead & 0x1F, least = 0x80;
  } else if ((lead & 0xF0) == 0xE0) {
    more = 2, code = lead & 0x0F, least = 0x800;
  } else if ((lead & 0xF8) == 0xF0) {
    more = 3, code = lead & 0x07, least = 0x10000;
  } else {
    return std::nullopt;
  }
  for (size_t i = 1; i <= more; ++i) {
    if ((byte(at + i) & 0xC0) != 0x80) return std::nullopt;
    code = (code << 6) | (byte(at + i) & 0x3F);
  }
  if (code < least || code > 0x10FFFF || (code >= 0xD800 && code < 0xE000) ||
      code == 0xFEFF || code == 0xFFFE || code == 0xFFFF) {
    return std::nullopt;
  }
  *pos = at + 1 + more;
  return code;
}

void AppendUtf16(uint32_t code, std::u16string* units) {
  if (code < 0x10000) {
    units->push_back(static_cast<char16_t>(code));
    return;
  }
  units->push_back(static_cast<char16_t>(0xD800 + ((code - 0x10000) >> 10)));
  units->push_back(static_cast<char16_t>(0xDC00 + ((code - 0x10000) & 0x3FF)));
}

void AppendUtf8(uint32_t code, std::string* text) {
  const auto push = [text](uint32_t byte) {
    text->push_back(static_cast<char>(static_cast<uint8_t>(byte)));
  };
  if (code < 0x80) {
    push(code);
  } else if (code < 0x800) {
    push(0xC0 | (code >> 6));
    push(0x80 | (code & 0x3F));
  } else if (code < 0x10000) {
    push(0xE0 | (code >> 12));
    push(0x80 | ((code >> 6) & 0x3F));
    push(0x80 | (code & 0x3F));
  } else {
    push(0xF0 | (code >> 18));
    push(0x80 | ((code >> 12) & 0x3F));
    push(0x80 | ((code >> 6) & 0x3F));
    push(0x80 | (code & 0x3F));
  }
}

bool FitsEightBits(std::u16string_view units) {
  return std::all_of(units.begin(), units.end(),
                     [](char16_t unit) { return unit < 256; });
}

size_t MaxUnits(std::u16string_view units) {
  return FitsEightBits(units) ? kMax8BitUnits : kMax16BitUnits;
}

// Cuts to `limit` units, never between the two halves of a pair.
void Truncate(size_t limit, std::u16string* units) {
  if (units->size() <= limit) return;
  if (limit > 0 && IsHighSurrogate((*units)[limit - 1])) --limit;
  units->resize(limit);
}

bool LooksShortened(std::string_view name) {
  if (name.size() < kHashDigits + 1) return false;
  const std::string_view tail = name.substr(name.size() - kHashDigits - 1);
  return tail[0] == '~' && tail.find_first_not_of("0123456789abcdef", 1) ==
                               std::string_view::npos;
}

}  // namespace

std::optional<std::u16string> Utf16FromUtf8(std::string_view text) {
  std::u16string units;
  units.reserve(text.size());
  for (size_t pos = 0; pos < text.size();) {
    const std::optional<uint32_t> code = NextCodePoint(text, &pos);
    if (!code) return std::nullopt;
    AppendUtf16(*code, &units);
  }
  return units;
}

std::optional<std::string> Utf8FromUtf16(std::u16string_view units) {
  std::string text;
  text.reserve(units.size());
  for (size_t i = 0; i < units.size(); ++i) {
    uint32_t code = units[i];
    if (IsHighSurrogate(units[i])) {
      if (i + 1 >= units.size() || !IsLowSurrogate(units[i + 1])) {
        return std::nullopt;
      }
      code = 0x10000 + ((code - 0xD800) << 10) + (units[++i] - 0xDC00u);
    } else if (IsLowSurrogate(units[i])) {
      return std::nullopt;
    }
    AppendUtf8(code, &text);
  }
  return text;
}

Bytes EncodeCs0(std::u16string_view units) {
  Bytes out;
  if (units.empty()) return out;
  if (FitsEightBits(units)) {
    out.reserve(1 + units.size());
    out.push_back(std::byte{8});
    for (const char16_t unit : units) out.push_back(std::byte(unit));
    return out;
  }
  out.reserve(1 + 2 * units.size());
  out.push_back(std::byte{16});
  for (const char16_t unit : units) {
    out.push_back(std::byte(unit >> 8));
    out.push_back(std::byte(unit & 0xFF));
  }
  return out;
}

Result<std::string> DecodeCs0(ConstByteSpan data) {
  if (data.empty()) return std::string();
  const uint8_t compression = Load8(data, 0);
  std::u16string units;
  if (compression == 8) {
    units.reserve(data.size() - 1);
    for (size_t i = 1; i < data.size(); ++i) units.push_back(Load8(data, i));
  } else if (compression == 16) {
    if (data.size() % 2 != 1) {
      return Error{Errc::kCorruption, "16-bit name has half a character"};
    }
    units.reserve(data.size() / 2);
    for (size_t i = 1; i < data.size(); i += 2) {
      units.push_back(
          static_cast<char16_t>((Load8(data, i) << 8) | Load8(data, i + 1)));
    }
  } else {
    return Error{Errc::kCorruption,
                 fmt::format("name has compression id {}", compression)};
  }
  std::optional<std::string> text = Utf8FromUtf16(units);
  if (!text) return Error{Errc::kCorruption, "name has half a surrogate pair"};
  return *std::move(text);
}

StoredName MakeStoredName(std::string_view name) {
  StoredName stored;
  if (std::optional<std::u16string> units = Utf16FromUtf8(name);
      units && units->size() <= MaxUnits(*units) && !LooksShortened(name)) {
    stored.cs0 = EncodeCs0(*units);
    return stored;
  }
  std::u16string prefix;
  for (size_t pos = 0; pos < name.size();) {
    AppendUtf16(NextCodePoint(name, &pos).value_or(kReplacement), &prefix);
  }
  // The cut may remove what needs 16 bits; the limit stays the smaller one.
  Truncate(MaxUnits(prefix) - kHashDigits - 1, &prefix);
  const std::string hash =
      fmt::format("~{:016x}", XXH64(name.data(), name.size(), 0));
  prefix.append(hash.begin(), hash.end());
  stored.cs0 = EncodeCs0(prefix);
  stored.exact = false;
  return stored;
}

void StoreDstring(ByteSpan data, size_t offset, size_t length,
                  std::string_view text) {
  std::u16string units = Utf16FromUtf8(text).value_or(std::u16string());
  Truncate(FitsEightBits(units) ? length - 2 : (length - 2) / 2, &units);
  const Bytes cs0 = EncodeCs0(units);
  StoreBytes(data, offset, cs0);
  Store8(data, offset + length - 1, static_cast<uint8_t>(cs0.size()));
}

Result<std::string> LoadDstring(ConstByteSpan data, size_t offset,
                                size_t length) {
  const size_t used = Load8(data, offset + length - 1);
  if (used >= length) {
    return Error{Errc::kCorruption,
                 fmt::format("string of {} bytes says {}", length, used)};
  }
  return DecodeCs0(data.subspan(offset, used));
}

}  // namespace vellum::udf
