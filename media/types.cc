// SPDX-License-Identifier: Apache-2.0
#include "media/types.h"

#include <fmt/format.h>

#include <ctime>

namespace vellum {

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
