// SPDX-License-Identifier: Apache-2.0
// File identifier descriptors (ECMA-167 4/14.4): the entries of a directory.
#include <fmt/format.h>

#include <algorithm>

#include "media/udf/bytes.h"
#include "media/udf/codec.h"
#include "media/udf/cs0.h"
#include "media/udf/tag.h"

namespace vellum::udf {
namespace {

constexpr size_t kFidHeaderSize = 38;
constexpr size_t kMaxFidSize = kSectorSize;
constexpr size_t kMaxNameBytes = 255;  // POSIX NAME_MAX
constexpr uint8_t kDirectoryBit = 2;
constexpr uint8_t kDeletedBit = 4;
constexpr uint8_t kParentBit = 8;

// Implementation use: regid, u16 length of the true name, the name, zeros.
constexpr size_t kTrueNameAt = kRegidSize + 2;

size_t TrueNameUseSize(std::string_view name) {
  return PadTo4(kTrueNameAt + name.size());
}

Status CheckName(const Fid& fid) {
  if (fid.parent) {
    if (fid.name.empty()) return Status::Ok();
    return Status(Errc::kInvalidArgument, "the parent entry has no name");
  }
  if (fid.name.size() > kMaxNameBytes) {
    return Status(Errc::kNameTooLong,
                  fmt::format("name of {} bytes", fid.name.size()));
  }
  if (fid.name.empty() || fid.name == "." || fid.name == ".." ||
      fid.name.find('/') != std::string::npos ||
      fid.name.find('\0') != std::string::npos) {
    return Status(Errc::kInvalidArgument,
                  fmt::format("'{}' is no name", fid.name));
  }
  return Status::Ok();
}

// What a FID takes without padding that swallows.
struct FidShape {
  StoredName stored;
  size_t use = 0;  // implementation use
  size_t total() const {
    return PadTo4(kFidHeaderSize + use + stored.cs0.size());
  }
};

Result<FidShape> ShapeOf(const Fid& fid) {
  RETURN_IF_ERROR(CheckName(fid));
  FidShape shape;
  if (!fid.parent) {
    shape.stored = MakeStoredName(fid.name);
    if (!shape.stored.exact) shape.use = TrueNameUseSize(fid.name);
  }
  return shape;
}

Status WrongFid(uint32_t block, const std::string& what) {
  return Status(Errc::kCorruption,
                fmt::format("directory entry in block {}: {}", block, what));
}

// The true name in the implementation use, when there is one.
Result<std::optional<std::string>> TrueName(ConstByteSpan use, uint32_t block) {
  if (use.size() < kTrueNameAt || LoadRegid(use, 0) != kFileNameId) {
    return std::optional<std::string>();
  }
  const size_t length = Load16(use, kRegidSize);
  if (length == 0) return std::optional<std::string>();
  if (length > use.size() - kTrueNameAt) {
    return WrongFid(block, "the true name is cut off");
  }
  return std::optional<std::string>(ToText(use.subspan(kTrueNameAt, length)));
}

}  // namespace

Result<size_t> FidLength(const Fid& fid) {
  ASSIGN_OR_RETURN(const FidShape shape, ShapeOf(fid));
  return shape.total();
}

Status EncodeFid(const Fid& fid, uint32_t block, size_t extra_iu, Bytes* out) {
  ASSIGN_OR_RETURN(FidShape shape, ShapeOf(fid));
  if (extra_iu % 4 != 0 || (extra_iu != 0 && extra_iu < kRegidSize)) {
    return Status(
        Errc::kInvalidArgument,
        fmt::format("cannot pad a directory entry by {} bytes", extra_iu));
  }
  const size_t use = shape.use + extra_iu;
  const size_t total = shape.total() + extra_iu;
  if (total > kMaxFidSize) {
    return Status(Errc::kTooLarge,
                  fmt::format("directory entry of {} bytes", total));
  }
  const size_t start = out->size();
  out->resize(start + total);
  const ByteSpan data = ByteSpan(*out).subspan(start);
  Store16(data, 16, 1);  // file version number
  Store8(data, 18,
         static_cast<uint8_t>((fid.directory ? kDirectoryBit : 0) |
                              (fid.deleted ? kDeletedBit : 0) |
                              (fid.parent ? kParentBit : 0)));
  Store8(data, 19, static_cast<uint8_t>(shape.stored.cs0.size()));
  Store32(data, 20, kSectorSize);
  Store32(data, 24, fid.icb_block);
  Store16(data, 28, 0);  // partition
  Store32(data, 32, fid.unique_id);
  Store16(data, 36, static_cast<uint16_t>(use));
  if (use != 0) {
    const ByteSpan area = data.subspan(kFidHeaderSize, use);
    StoreRegid(area, 0, kFileNameId, RegidSuffix::kImplementation);
    if (!fid.parent && !shape.stored.exact) {
      Store16(area, kRegidSize, static_cast<uint16_t>(fid.name.size()));
      StoreBytes(area, kTrueNameAt, AsBytes(fid.name));
    }
  }
  StoreBytes(data, kFidHeaderSize + use, shape.stored.cs0);
  SealTag(data, kTagFileIdentifier, block, total - kTagSize);
  return Status::Ok();
}

Result<DecodedFid> DecodeFid(ConstByteSpan data, uint32_t block) {
  if (data.size() < kFidHeaderSize) return WrongFid(block, "cut off");
  const size_t name_length = Load8(data, 19);
  const size_t use = Load16(data, 36);
  DecodedFid decoded;
  decoded.length = PadTo4(kFidHeaderSize + use + name_length);
  if (decoded.length > data.size() || decoded.length > kMaxFidSize) {
    return WrongFid(block, fmt::format("{} bytes long", decoded.length));
  }
  RETURN_IF_ERROR(
      CheckTag(data.first(decoded.length), kTagFileIdentifier, block));
  if (TagCrcLengthOf(data) != decoded.length - kTagSize) {
    return WrongFid(block, "CRC does not cover the padding");
  }
  Fid& fid = decoded.fid;
  const uint8_t bits = Load8(data, 18);
  fid.directory = (bits & kDirectoryBit) != 0;
  fid.deleted = (bits & kDeletedBit) != 0;
  fid.parent = (bits & kParentBit) != 0;
  fid.icb_block = Load32(data, 24);
  fid.unique_id = Load32(data, 32);
  decoded.needed = PadTo4(kFidHeaderSize + name_length);
  if (fid.deleted) return decoded;  // the rest may be anything
  if (Load32(data, 20) != kSectorSize) {
    return WrongFid(block, "file entry is not one block");
  }
  if (Load16(data, 28) != 0) return WrongFid(block, "names another partition");
  const ConstByteSpan stored = data.subspan(kFidHeaderSize + use, name_length);
  ASSIGN_OR_RETURN(std::optional<std::string> true_name,
                   TrueName(data.subspan(kFidHeaderSize, use), block));
  if (true_name) {
    fid.name = *std::move(true_name);
    const StoredName expected = MakeStoredName(fid.name);
    if (expected.exact ||
        !std::equal(stored.begin(), stored.end(), expected.cs0.begin(),
                    expected.cs0.end())) {
      return WrongFid(block, "the true name does not belong to the stored one");
    }
    // Another writer may have padded less.
    decoded.needed = std::min(
        decoded.length,
        PadTo4(kFidHeaderSize + TrueNameUseSize(fid.name) + name_length));
  } else {
    Result<std::string> name = DecodeCs0(stored);
    if (!name.ok())
      return name.status().WithContext(
          fmt::format("directory entry in block {}", block));
    fid.name = *std::move(name);
  }
  const Status usable = CheckName(fid);
  if (!usable.ok()) return WrongFid(block, usable.error().message);
  return decoded;
}

Status ForEachFid(
    ConstByteSpan content, uint32_t first_block,
    const std::function<Status(size_t, const DecodedFid&)>& visit) {
  for (size_t offset = 0; offset < content.size();) {
    const uint32_t block =
        first_block + static_cast<uint32_t>(offset / kSectorSize);
    ASSIGN_OR_RETURN(const DecodedFid decoded,
                     DecodeFid(content.subspan(offset), block));
    RETURN_IF_ERROR(visit(offset, decoded));
    offset += decoded.length;
  }
  return Status::Ok();
}

}  // namespace vellum::udf
