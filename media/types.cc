// SPDX-License-Identifier: Apache-2.0
#include "media/types.h"

#include <fmt/format.h>

#include <ctime>

namespace vellum {

bool IsVolumeTag(const VolumeTag& tag) {
  if (tag.empty() || tag.size() > 32) return false;
  for (const char c : tag) {
    const bool good = (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') ||
                      (c >= '0' && c <= '9') || c == '-' || c == '_';
    if (!good) return false;
  }
  return true;
}

std::string ToString(ElementAddress address) {
  return std::to_string(address.value);
}

std::string ToString(const Generation& generation) {
  return fmt::format("{:016x}/{}", generation.lineage, generation.number);
}

TimeSpec Now() {
  timespec ts{};
  clock_gettime(CLOCK_REALTIME, &ts);
  return TimeSpec{ts.tv_sec, static_cast<uint32_t>(ts.tv_nsec)};
}

}  // namespace vellum
