// SPDX-License-Identifier: Apache-2.0
#include "media/health_flags.h"

#include <cstdlib>

#include "media/error.h"

namespace vellum {

namespace {

constexpr FlagSeverity kInfo = FlagSeverity::kInformation;
constexpr FlagSeverity kWarn = FlagSeverity::kWarning;
constexpr FlagSeverity kCrit = FlagSeverity::kCritical;

constexpr HealthFlag kHealthFlags[] = {
    {1, "read-warning", kWarn, "reading is becoming difficult"},
    {2, "write-warning", kWarn, "writing is becoming difficult"},
    {3, "hard-error", kWarn, "an error that could not be corrected"},
    {4, "media", kCrit, "the medium can no longer be relied on"},
    {kFlagReadFailure, "read-failure", kCrit, "data could not be read"},
    {kFlagWriteFailure, "write-failure", kCrit, "data could not be written"},
    {7, "media-life", kWarn, "the medium is at the end of its life"},
    {9, "write-protect", kCrit, "a write to a write-protected medium"},
    {11, "cleaning-media", kInfo, "the medium cleans drives"},
    {kFlagUnsupportedFormat, "unsupported-format", kInfo,
     "the drive cannot use the medium"},
    {19, "nearing-media-life", kInfo, "the medium nears the end of its life"},
    {20, "clean-now", kCrit, "the drive needs cleaning"},
    {21, "clean-periodic", kWarn, "the drive is due for cleaning"},
    {kFlagHardware, "hardware", kCrit, "the drive is broken"},
    {33, "eject", kCrit, "the medium has to be taken out and put in again"},
    {36, "drive-temperature", kWarn, "the drive is too hot"},
    {50, "lost-statistics", kWarn, "what was counted is not complete"},
    {kFlagLoadingFailure, "loading-failure", kCrit,
     "the medium could not be loaded"},
    {56, "unloading-failure", kCrit, "the medium could not be unloaded"},
    {60, "worm-overwrite", kWarn, "a write to what may be written once only"},
};

}  // namespace

const char* FlagSeverityName(FlagSeverity severity) {
  switch (severity) {
    case FlagSeverity::kInformation:
      return "information";
    case FlagSeverity::kWarning:
      return "warning";
    case FlagSeverity::kCritical:
      return "error";
  }
  return "";
}

std::span<const HealthFlag> HealthFlags() { return kHealthFlags; }

const HealthFlag* FindHealthFlag(const std::string& name) {
  char* end = nullptr;
  const unsigned long number = std::strtoul(name.c_str(), &end, 0);
  const bool numeric = !name.empty() && *end == '\0';
  for (const HealthFlag& flag : kHealthFlags) {
    if (name == flag.name || (numeric && number == flag.number)) return &flag;
  }
  return nullptr;
}

const HealthFlag& HealthFlagOf(uint32_t number) {
  for (const HealthFlag& flag : kHealthFlags) {
    if (flag.number == number) return flag;
  }
  VELLUM_CHECK(false);
  return kHealthFlags[0];
}

}  // namespace vellum
