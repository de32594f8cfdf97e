// SPDX-License-Identifier: Apache-2.0
#include "tests/support/environment.h"

#include <algorithm>
#include <cstdlib>
#include <numeric>

namespace vellum {

uint64_t FromEnvironment(const char* name, uint64_t otherwise) {
  const char* const value = std::getenv(name);
  return value == nullptr ? otherwise : std::strtoull(value, nullptr, 0);
}

std::vector<uint64_t> Seeds(uint64_t count, uint64_t first) {
  if (const uint64_t only = FromEnvironment("VELLUM_SEED", 0); only != 0) {
    return {only};
  }
  std::vector<uint64_t> seeds(
      std::min(count, FromEnvironment("VELLUM_SEEDS", count)));
  std::iota(seeds.begin(), seeds.end(), first);
  return seeds;
}

}  // namespace vellum
