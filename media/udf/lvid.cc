// SPDX-License-Identifier: Apache-2.0
// Logical volume integrity descriptor (ECMA-167 3/10.10, UDF 2.01 2.2.6).
#include <fmt/format.h>

#include "media/udf/bytes.h"
#include "media/udf/codec.h"
#include "media/udf/tag.h"

namespace vellum::udf {
namespace {

constexpr uint16_t kLvidRevision = 0x0201;
constexpr uint32_t kImplementationUseSize = 46;
constexpr size_t kImplementationUseAt = 88;  // with one partition
constexpr size_t kCrcLength =
    kImplementationUseAt + kImplementationUseSize - kTagSize;

}  // namespace

Sector EncodeLvid(const Lvid& lvid) {
  Sector sector{};
  StoreTimestamp(sector, 16, lvid.time);
  Store32(sector, 28, lvid.closed ? 1 : 0);
  Store64(sector, 40, lvid.next_unique_id);
  Store32(sector, 72, 1);  // partitions
  Store32(sector, 76, kImplementationUseSize);
  Store32(sector, 80, lvid.free_blocks);
  Store32(sector, 84, lvid.partition_blocks);
  StoreRegid(sector, kImplementationUseAt, kImplementationId,
             RegidSuffix::kImplementation);
  Store32(sector, kImplementationUseAt + 32, lvid.files);
  Store32(sector, kImplementationUseAt + 36, lvid.directories);
  Store16(sector, kImplementationUseAt + 40, kLvidRevision);  // least to read
  Store16(sector, kImplementationUseAt + 42, kLvidRevision);  // least to write
  Store16(sector, kImplementationUseAt + 44, kLvidRevision);  // most to write
  SealTag(sector, kTagIntegrity, kLvidSector, kCrcLength);
  return sector;
}

Result<DecodedLvid> DecodeLvid(const Sector& sector) {
  RETURN_IF_ERROR(CheckTag(sector, kTagIntegrity, kLvidSector));
  if (TagCrcLengthOf(sector) < kCrcLength || Load32(sector, 72) != 1 ||
      Load32(sector, 76) < kImplementationUseSize ||
      Load32(sector, 76) > kSectorSize - kImplementationUseAt) {
    return Error{
        Errc::kCorruption,
        fmt::format("integrity descriptor in sector {}: lengths are wrong",
                    kLvidSector)};
  }
  DecodedLvid decoded;
  Lvid& lvid = decoded.lvid;
  lvid.time = LoadTimestamp(sector, 16);
  lvid.closed = Load32(sector, 28) == 1;
  lvid.next_unique_id = Load64(sector, 40);
  lvid.free_blocks = Load32(sector, 80);
  lvid.partition_blocks = Load32(sector, 84);
  lvid.files = Load32(sector, kImplementationUseAt + 32);
  lvid.directories = Load32(sector, kImplementationUseAt + 36);
  decoded.foreign =
      LoadRegid(sector, kImplementationUseAt) != kImplementationId ||
      !IsOurOs(sector, kImplementationUseAt);
  return decoded;
}

}  // namespace vellum::udf
