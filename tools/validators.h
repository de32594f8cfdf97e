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

// "1024-1035", or one address.
inline CLI::Validator ElementNumbers() {
  return CLI::Validator(
      [](const std::string& text) {
        const size_t dash = text.find('-');
        const auto first = ParseNumber(text.substr(0, dash));
        const auto last = dash == std::string::npos
                              ? first
                              : ParseNumber(text.substr(dash + 1));
        if (first && last && *first <= *last && *last <= UINT16_MAX) {
          return std::string();
        }
        return fmt::format(
            "'{}' is not FIRST-LAST, two element addresses from 0 to {}", text,
            UINT16_MAX);
      },
      "");
}

}  // namespace vellum
