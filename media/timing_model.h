// SPDX-License-Identifier: Apache-2.0
// How long a changer and its drives take, as numbers: the table [timing] of
// library.toml (H7). Pure data.
#pragma once

#include <chrono>
#include <cstdint>
#include <string>

#include "media/config_table.h"
#include "media/error.h"

namespace vellum {

struct TimingModel {
  uint32_t move_ms = 0;      // one move of the transport, wherever to
  uint32_t load_ms = 0;      // from the tray to a medium that is ready
  uint32_t unload_ms = 0;    // until the tray can be emptied
  uint32_t seek_min_ms = 0;  // to the next track
  uint32_t seek_max_ms = 0;  // across the whole medium
  uint64_t read_rate = 0;    // bytes per second; 0: no time at all
  uint64_t write_rate = 0;
  // Bytes that the drive reads on by itself while nobody asks: who comes back
  // soon enough for what follows has lost no time.
  uint64_t read_ahead = 0;
  bool operator==(const TimingModel&) const = default;

  // From behind the last sector that was transferred to `to`, on a medium of
  // `sectors`. Nothing where it goes on; forward never longer than reading what
  // lies between; else it grows with the distance.
  std::chrono::nanoseconds Seek(uint64_t from, uint64_t to,
                                uint64_t sectors) const;
  static std::chrono::nanoseconds Transfer(uint64_t bytes, uint64_t rate);
};

struct TimingOptions {
  std::string profile;  // empty: devices take the time that files take
  TimingModel model;
  uint32_t scale = 1;  // how many times faster than the model
  bool enabled() const { return !profile.empty(); }
  bool operator==(const TimingOptions&) const = default;
};

// The table [timing]: a profile, and what differs from it.
Status ReadTimingConfig(ConfigTable* root, TimingOptions* timing);
std::string TimingConfigText(const TimingOptions& timing);

}  // namespace vellum
