// SPDX-License-Identifier: Apache-2.0
#include "tools/human.h"

#include <fmt/format.h>

#include <cctype>
#include <charconv>
#include <cmath>

namespace vellum {

Result<uint64_t> ParseSize(const std::string& text) {
  const Error bad{Errc::kInvalidArgument,
                  fmt::format("'{}' is no size: write a number with K, M, G, "
                              "T (powers of 1000) or Ki, Mi, Gi, Ti (1024)",
                              text)};
  if (text.empty() || std::isdigit(static_cast<unsigned char>(text[0])) == 0) {
    return bad;
  }
  double number = 0;
  const char* end = text.data() + text.size();
  const auto [rest, ec] = std::from_chars(text.data(), end, number);
  if (ec != std::errc()) return bad;
  std::string unit(rest, end);
  if (!unit.empty() && (unit.back() == 'B' || unit.back() == 'b')) {
    unit.pop_back();
  }
  double factor = 1;
  if (!unit.empty()) {
    const std::string letters = "KMGT";
    const size_t power = letters.find(
        static_cast<char>(std::toupper(static_cast<unsigned char>(unit[0]))));
    if (power == std::string::npos) return bad;
    const bool binary = unit.size() == 2 && unit[1] == 'i';
    if (unit.size() > 1 && !binary) return bad;
    factor = std::pow(binary ? 1024.0 : 1000.0, static_cast<double>(power + 1));
  }
  const double bytes = std::round(number * factor);
  if (!(bytes < 9.0e18)) return bad;
  return static_cast<uint64_t>(bytes);
}

std::string FormatBytes(uint64_t bytes) {
  if (bytes < 1000) return fmt::format("{} B", bytes);
  const char* units[] = {"kB", "MB", "GB", "TB", "PB", "EB"};
  double value = static_cast<double>(bytes) / 1000;
  size_t unit = 0;
  // 999.95 would be printed as 1000.0: the next unit says it better.
  while (value >= 999.95 && unit + 1 < std::size(units)) {
    value /= 1000;
    ++unit;
  }
  return fmt::format("{:.1f} {}", value, units[unit]);
}

std::string FormatSeconds(double seconds) {
  const auto whole =
      static_cast<uint64_t>(std::llround(std::max(0.0, seconds)));
  if (whole < 60) return fmt::format("{} s", whole);
  if (whole < 3600) {
    return fmt::format("{}:{:02} min", whole / 60, whole % 60);
  }
  return fmt::format("{}:{:02}:{:02} h", whole / 3600, whole / 60 % 60,
                     whole % 60);
}

}  // namespace vellum
