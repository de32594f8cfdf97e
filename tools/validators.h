// SPDX-License-Identifier: Apache-2.0
// Checks of arguments that need no daemon: what fails them is wrong usage.
#pragma once

#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <cstdint>
#include <optional>
#include <string>

#include "fs/command_line.h"

namespace vellum {

// A number as control commands take it: decimal, or hexadecimal behind 0x.
inline CLI::Validator NumberFrom(uint64_t min, uint64_t max,
                                 const std::string& what = "a number") {
  return CLI::Validator(
      [min, max, what](const std::string& text) {
        const std::optional<uint64_t> number = ParseNumber(text);
        if (number && *number >= min && *number <= max) return std::string();
        return fmt::format("'{}' is not {} from {} to {}", text, what, min,
                           max);
      },
      "");
}

inline CLI::Validator ElementNumber() {
  return NumberFrom(0, UINT16_MAX, "an element address, a number");
}

}  // namespace vellum
