// SPDX-License-Identifier: Apache-2.0
// OSTA Compressed Unicode (UDF 2.01, 2.1.1) and how a POSIX name becomes one.
// Private to media/udf.
#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "media/error.h"
#include "media/types.h"

namespace vellum::udf {

// UTF-16 units of well-formed UTF-8; nullopt for anything else, and for the
// code points that UDF excludes (U+FEFF, U+FFFE, U+FFFF).
std::optional<std::u16string> Utf16FromUtf8(std::string_view text);
// nullopt when a surrogate stands alone.
std::optional<std::string> Utf8FromUtf16(std::u16string_view units);

// Compression id 8 (a byte each) when all units are below 256, else 16
// (big-endian). Empty stays empty.
Bytes EncodeCs0(std::u16string_view units);
// kCorruption: unknown compression id, odd length, lone surrogate.
Result<std::string> DecodeCs0(ConstByteSpan data);

// Longest name that a file identifier or path component takes, its compression
// id included.
inline constexpr size_t kMaxCs0Name = 255;

// What a file identifier or path component holds for a POSIX name.
struct StoredName {
  Bytes cs0;
  bool exact = true;  // false: shortened or altered; the truth goes elsewhere
};
// A name that fits is stored as it is. Any other becomes "prefix~hash", where
// hash is 16 hex digits of XXH64 of the true bytes. A true name of that very
// form is treated as unfit too, so that two names never share a stored form.
StoredName MakeStoredName(std::string_view name);

// dstring: CS0, padding, the used length in the last byte. Text that does not
// fit is cut.
void StoreDstring(ByteSpan data, size_t offset, size_t length,
                  std::string_view text);
Result<std::string> LoadDstring(ConstByteSpan data, size_t offset,
                                size_t length);

}  // namespace vellum::udf
