// SPDX-License-Identifier: Apache-2.0
#include "media/leased_medium.h"

#include <utility>

namespace vellum {

Status LeasedMedium::Seen(Status status) const {
  if (!status.Is(Errc::kNoMedium) && !status.Is(Errc::kOffline)) return status;
  lost_(status.error());
  return Status(Errc::kNoMedium, status.error().message);
}

Status LeasedMedium::Read(uint64_t lba, ByteSpan out) {
  return Seen(below().Read(lba, out));
}

Status LeasedMedium::WriteBy(Writer write, uint64_t lba, ConstByteSpan data) {
  return Seen(ForwardingMedium::WriteBy(write, lba, data));
}

Status LeasedMedium::Flush() { return Seen(below().Flush()); }

Status LeasedMedium::Discard(uint64_t lba, uint64_t count) {
  return Seen(below().Discard(lba, count));
}

Status LeasedMedium::Finalize() { return Seen(below().Finalize()); }

Result<SectorRange> LeasedMedium::NextAllocated(SectorRange from) {
  Result<SectorRange> range = below().NextAllocated(from);
  if (range.ok()) return range;
  return Seen(range.status()).error();
}

}  // namespace vellum
