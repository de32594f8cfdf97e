// SPDX-License-Identifier: Apache-2.0
#include "media/timing_model.h"

#include <algorithm>

#include "media/types.h"

namespace vellum {

using std::chrono::nanoseconds;

nanoseconds TimingModel::Transfer(uint64_t bytes, uint64_t rate) {
  if (rate == 0) return nanoseconds(0);
  return nanoseconds(static_cast<int64_t>(static_cast<double>(bytes) * 1e9 /
                                          static_cast<double>(rate)));
}

nanoseconds TimingModel::Seek(uint64_t from, uint64_t to,
                              uint64_t sectors) const {
  if (from == to || sectors == 0) return nanoseconds(0);
  const uint64_t distance = from < to ? to - from : from - to;
  const double part = std::min(
      1.0, static_cast<double>(distance) / static_cast<double>(sectors));
  const double spread =
      static_cast<double>(std::max(seek_max_ms, seek_min_ms) - seek_min_ms);
  const nanoseconds seek(static_cast<int64_t>(
      (static_cast<double>(seek_min_ms) + part * spread) * 1e6));
  if (to < from || read_rate == 0) return seek;
  return std::min(seek, Transfer(distance * kSectorSize, read_rate));
}

}  // namespace vellum
