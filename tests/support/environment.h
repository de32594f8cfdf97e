// SPDX-License-Identifier: Apache-2.0
// What variables tell a run of a test program; tests/README.md has them.
#pragma once

#include <cstdint>
#include <vector>

namespace vellum {

// The number in the variable; `otherwise` if it is not set.
uint64_t FromEnvironment(const char* name, uint64_t otherwise);

// The seeds that a test of `count` of them runs: `first` upwards, at most
// VELLUM_SEEDS; VELLUM_SEED alone if that is set.
std::vector<uint64_t> Seeds(uint64_t count, uint64_t first = 1);

}  // namespace vellum
