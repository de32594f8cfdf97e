// SPDX-License-Identifier: Apache-2.0
// MODE SENSE, and the pages of a media changer (SMC-3 7.3).
#pragma once

#include <array>
#include <cstdint>
#include <span>
#include <vector>

#include "media/element.h"
#include "media/error.h"
#include "media/scsi/device.h"

namespace vellum::scsi {

// What a MODE SENSE answered about one page.
struct ModePage {
  uint8_t medium_type = 0;      // of the header
  uint8_t device_specific = 0;  // of the header: bit 7 is WP of a disk
  std::vector<uint8_t> page;    // with its two bytes of header
};

// Reads one page: MODE SENSE (6) without block descriptors, with them, then
// MODE SENSE (10). kNotSupported where the device has no such page.
Result<ModePage> ReadModePage(Device* device, uint8_t page);

// The page in the data of a MODE SENSE; counts are bounded by `data`.
// kNotSupported: it is not there. Pure.
Result<ModePage> FindModePage(std::span<const uint8_t> data, bool ten_bytes,
                              uint8_t page);

// Page 1Dh, element address assignment. kDeviceError: too short. Pure.
Result<ElementMap> ParseElementAddressPage(std::span<const uint8_t> page);

// Page 1Fh, device capabilities; indexes are ElementType, 0 is not used. What
// a page without these bytes does not tell is false.
struct ChangerCapabilities {
  bool known = false;  // the changer has the page
  std::array<bool, 5> stores{};
  std::array<std::array<bool, 5>, 5> moves{};      // [from][to]
  std::array<std::array<bool, 5>, 5> exchanges{};  // [from][to]
  // Page 1Eh: a transport element can turn media over.
  bool turns = false;
};
ChangerCapabilities ParseCapabilitiesPage(std::span<const uint8_t> page);

}  // namespace vellum::scsi
