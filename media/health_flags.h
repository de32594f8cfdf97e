// SPDX-License-Identifier: Apache-2.0
// The health flags of media and drives: numbers, names and severities are those
// of TapeAlert (SSC-4 annex A), of which these are the ones that mean something
// for media of any kind.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>

namespace vellum {

enum class FlagSeverity : uint8_t { kInformation, kWarning, kCritical };
const char* FlagSeverityName(FlagSeverity severity);

struct HealthFlag {
  uint32_t number;  // 1 to 64
  const char* name;
  FlagSeverity severity;
  const char* meaning;
};

// Those that the system sets by itself.
inline constexpr uint32_t kFlagReadFailure = 5;
inline constexpr uint32_t kFlagWriteFailure = 6;
inline constexpr uint32_t kFlagUnsupportedFormat = 12;
inline constexpr uint32_t kFlagHardware = 30;
inline constexpr uint32_t kFlagLoadingFailure = 55;

// By number.
std::span<const HealthFlag> HealthFlags();
// By name or number ("5", "0x05"); null: there is none.
const HealthFlag* FindHealthFlag(const std::string& name);
// REQUIRES: there is one of that number.
const HealthFlag& HealthFlagOf(uint32_t number);

}  // namespace vellum
