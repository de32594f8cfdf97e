// SPDX-License-Identifier: Apache-2.0
// Programs that the daemon runs around copies and restores (A9).
#pragma once

#include <cstdint>
#include <string>

namespace vellum {

// Absolute paths; empty: none.
struct HookCommands {
  std::string before_copy;
  std::string after_copy;
  std::string before_restore;
  std::string after_restore;
  uint32_t timeout_s = 300;
};

}  // namespace vellum
