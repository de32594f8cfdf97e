// SPDX-License-Identifier: Apache-2.0
#include "media/medium_range.h"

#include <fmt/format.h>

namespace vellum {

Status CheckSectorRange(const MediumInfo& info, const char* operation,
                        uint64_t lba, uint64_t count) {
  // Written so that no sum can overflow.
  if (lba <= info.sectors && count <= info.sectors - lba) return Status::Ok();
  return Status(
      Errc::kInvalidArgument,
      fmt::format("{}: {} of {} sectors at {}: outside the medium, which has "
                  "{} sectors",
                  info.name, operation, count, lba, info.sectors));
}

Status CheckTransfer(const MediumInfo& info, const char* operation,
                     uint64_t lba, size_t bytes) {
  if (bytes % kSectorSize != 0) {
    return Status(Errc::kInvalidArgument,
                  fmt::format("{}: {} of {} bytes at sector {}: not whole "
                              "sectors of {} bytes",
                              info.name, operation, bytes, lba, kSectorSize));
  }
  return CheckSectorRange(info, operation, lba, bytes / kSectorSize);
}

Status CheckWritable(const MediumInfo& info, const char* operation) {
  if (!info.write_protected) return Status::Ok();
  return Status(Errc::kWriteProtected,
                fmt::format("{}: {}: the medium is write-protected", info.name,
                            operation));
}

}  // namespace vellum
