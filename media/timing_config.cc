// SPDX-License-Identifier: Apache-2.0
// The table [timing] of library.toml.
#include <fmt/format.h>

#include "media/timing_model.h"

namespace vellum {

namespace {

constexpr ConfigBounds kTimingMs{0, 3'600'000};
constexpr ConfigBounds kTimingRate{0, 1ull << 50};
constexpr ConfigBounds kTimingBuffer{0, 1ull << 40};
constexpr ConfigBounds kTimingScale{1, 1'000'000};

struct TimingProfile {
  const char* name;
  TimingModel model;
};

// Rounded from what makers of such devices publish, measured on none.
constexpr TimingProfile kProfiles[] = {
    // Single layer, read at 4x, written at 2x with verification by the drive.
    {"bluray-jukebox",
     {6000, 12'000, 4000, 20, 350, 18'000'000, 9'000'000, 4u << 20}},
    // Read at 5x, written at 3x with verification by the drive.
    {"dvdram-jukebox",
     {6000, 15'000, 4000, 20, 300, 6'750'000, 2'000'000, 2u << 20}},
    // A 5.25 inch magneto-optical library.
    {"mo-jukebox", {4000, 5000, 3000, 5, 60, 6'000'000, 3'000'000, 2u << 20}},
    // Everything at once, but for what the keys say.
    {"custom", {}},
};

}  // namespace

Status ReadTimingConfig(ConfigTable* root, TimingOptions* timing) {
  ASSIGN_OR_RETURN(ConfigTable table, root->Table("timing"));
  RETURN_IF_ERROR(table.String("profile", &timing->profile));
  std::string known;
  bool found = timing->profile.empty();
  for (const TimingProfile& profile : kProfiles) {
    known += fmt::format(", \"{}\"", profile.name);
    if (timing->profile != profile.name) continue;
    timing->model = profile.model;
    found = true;
  }
  if (!found) {
    return table.At("profile", fmt::format("\"{}\" is none of \"\"{}",
                                           timing->profile, known));
  }
  RETURN_IF_ERROR(table.Integer("scale", kTimingScale, &timing->scale));
  TimingModel& m = timing->model;
  RETURN_IF_ERROR(table.Integer("move_ms", kTimingMs, &m.move_ms));
  RETURN_IF_ERROR(table.Integer("load_ms", kTimingMs, &m.load_ms));
  RETURN_IF_ERROR(table.Integer("unload_ms", kTimingMs, &m.unload_ms));
  RETURN_IF_ERROR(table.Integer("seek_min_ms", kTimingMs, &m.seek_min_ms));
  RETURN_IF_ERROR(table.Integer("seek_max_ms", kTimingMs, &m.seek_max_ms));
  RETURN_IF_ERROR(table.Integer("read_rate", kTimingRate, &m.read_rate));
  RETURN_IF_ERROR(table.Integer("write_rate", kTimingRate, &m.write_rate));
  RETURN_IF_ERROR(table.Integer("read_ahead", kTimingBuffer, &m.read_ahead));
  for (const char* key :
       {"move_ms", "load_ms", "unload_ms", "seek_min_ms", "seek_max_ms",
        "read_rate", "write_rate", "read_ahead"}) {
    if (!timing->enabled() && table.Has(key)) {
      return table.At(key, "there is no profile that it could change");
    }
  }
  if (m.seek_max_ms < m.seek_min_ms) {
    return table.At("seek_max_ms",
                    fmt::format("{} is less than seek_min_ms, {}",
                                m.seek_max_ms, m.seek_min_ms));
  }
  return table.RejectUnknown();
}

std::string TimingConfigText(const TimingOptions& timing) {
  return fmt::format(R"([timing]
# Makes the devices as slow as real ones: "bluray-jukebox", "dvdram-jukebox",
# "mo-jukebox", "custom"; "" does not. Keys that change a profile (move_ms,
# load_ms, unload_ms, seek_min_ms, seek_max_ms, read_rate, write_rate,
# read_ahead) are in library.toml(5).
profile = "{}"
# How many times faster than the model. 1 to {}.
scale = {}
)",
                     timing.profile, kTimingScale.max, timing.scale);
}

}  // namespace vellum
