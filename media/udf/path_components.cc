// SPDX-License-Identifier: Apache-2.0
#include "media/udf/path_components.h"

#include <fmt/format.h>

#include <algorithm>

#include "media/udf/bytes.h"
#include "media/udf/cs0.h"

namespace vellum::udf {
namespace {

constexpr size_t kHeaderSize = 4;  // type, length, u16 version
enum ComponentType : uint8_t {
  kForeignRoot = 1,  // what Linux writes
  kRoot = 2,
  kParent = 3,
  kCurrent = 4,
  kName = 5,
};

void Append(ComponentType type, ConstByteSpan name, Bytes* out) {
  const size_t at = out->size();
  out->resize(at + kHeaderSize + name.size());
  Store8(*out, at, type);
  Store8(*out, at + 1, static_cast<uint8_t>(name.size()));
  StoreBytes(*out, at + kHeaderSize, name);
}

Status WrongPath(const std::string& what) {
  return Status(Errc::kCorruption, "symlink target: " + what);
}

}  // namespace

EncodedPath EncodePath(std::string_view target) {
  EncodedPath encoded;
  if (!target.empty() && target[0] == '/') Append(kRoot, {}, &encoded.data);
  for (size_t at = 0; at < target.size();) {
    const size_t end = std::min(target.find('/', at), target.size());
    const std::string_view part = target.substr(at, end - at);
    at = end + 1;
    if (part.empty()) continue;
    if (part == "..") {
      Append(kParent, {}, &encoded.data);
    } else if (part == ".") {
      Append(kCurrent, {}, &encoded.data);
    } else {
      Append(kName, MakeStoredName(part).cs0, &encoded.data);
    }
  }
  const Result<std::string> back = DecodePath(encoded.data);
  encoded.exact = back.ok() && *back == target;
  return encoded;
}

Result<std::string> DecodePath(ConstByteSpan data) {
  std::string target;
  for (size_t at = 0; at < data.size();) {
    if (data.size() - at < kHeaderSize) return WrongPath("cut off");
    const uint8_t type = Load8(data, at);
    const size_t length = Load8(data, at + 1);
    if (length > data.size() - at - kHeaderSize) return WrongPath("cut off");
    const ConstByteSpan name = data.subspan(at + kHeaderSize, length);
    at += kHeaderSize + length;
    if (type == kRoot || (type == kForeignRoot && length == 0)) {
      target.assign(1, '/');
      continue;
    }
    if (!target.empty() && target.back() != '/') target.push_back('/');
    if (type == kParent) {
      target += "..";
    } else if (type == kCurrent) {
      target += ".";
    } else if (type == kName) {
      Result<std::string> text = DecodeCs0(name);
      if (!text.ok()) return WrongPath(text.error().message);
      if (text->empty() || text->find('/') != std::string::npos ||
          text->find('\0') != std::string::npos) {
        return WrongPath("a component is no name");
      }
      target += *text;
    } else {
      return WrongPath(fmt::format("component of type {}", type));
    }
  }
  return target;
}

}  // namespace vellum::udf
