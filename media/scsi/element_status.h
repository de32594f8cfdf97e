// SPDX-License-Identifier: Apache-2.0
// The data of READ ELEMENT STATUS (SMC-3 6.11), taken apart. Pure.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "media/element.h"
#include "media/error.h"
#include "media/types.h"

namespace vellum::scsi {

// Who a drive says it is (DVCID): an SPC designator.
struct ElementIdentifier {
  uint8_t code_set = 0;  // 1 binary, 2 ASCII
  uint8_t type = 0;      // 0 vendor specific, 1 T10 vendor identification, …
  std::string vendor;    // of type 1
  std::string product;
  // Of type 1 what follows the product, of type 0 all of it.
  std::string serial;
  // All of it: text, or hexadecimal digits of a binary one.
  std::string text;

  bool operator==(const ElementIdentifier&) const = default;
};

// One element descriptor.
struct ElementRecord {
  ElementType type = ElementType::kStorage;
  ElementAddress address;
  bool full = false;
  bool access = false;  // of a transport element always false: it has no such
  bool exception = false;
  uint8_t asc = 0;  // reason of an exception
  uint8_t ascq = 0;
  // Import/export elements: IMPEXP, EXENAB, INENAB.
  bool imported = false;
  bool can_export = false;
  bool can_import = false;
  bool inverted = false;  // the medium was turned over on its way here
  bool disabled = false;
  uint8_t medium_type = 0;  // 1 data, 2 cleaning, 3 diagnostics; 0 not told
  std::optional<ElementAddress> source;
  // Without padding; empty: none, or not printable.
  VolumeTag volume_tag;
  VolumeTag alternate_tag;
  std::optional<ElementIdentifier> identifier;
  // The data ended inside this descriptor; what is missing reads as 0.
  bool cut = false;
};

// What one command answered.
struct ElementReport {
  uint16_t first = 0;    // of the header; several changers put anything there
  uint16_t count = 0;    // of the header: elements that it speaks of
  size_t available = 0;  // bytes with the header that there are to read
  std::vector<ElementRecord> records;  // in the order of the data
};

// Decodes what one READ ELEMENT STATUS transferred. Counts in the data bound
// what is read, and the end of the data bounds the counts; nothing outside
// `data` is touched, whatever it says. Pages of unknown element types and pages
// whose descriptors are too short to hold an address are passed over. More
// records than `count` are dropped. kDeviceError: no header.
Result<ElementReport> ParseElementStatus(std::span<const uint8_t> data);

// A volume tag field of 36 bytes (SMC-3 6.11.4.3), or what there is of it.
VolumeTag ParseVolumeTag(std::span<const uint8_t> field);

}  // namespace vellum::scsi
