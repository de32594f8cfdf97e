// SPDX-License-Identifier: Apache-2.0
// The entry point of one libFuzzer target: FUZZ_TARGET names it.
#include <spdlog/spdlog.h>

#include <cstdint>
#include <cstdlib>

#include "tests/fuzz/targets.h"

extern "C" int LLVMFuzzerInitialize(int*, char***) {
  spdlog::set_level(spdlog::level::off);
  return 0;
}

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  static const vellum::fuzz::Target* const kTarget =
      vellum::fuzz::FindTarget(FUZZ_TARGET);
  kTarget->run({reinterpret_cast<const std::byte*>(data), size});
  return 0;
}
