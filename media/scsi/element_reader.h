// SPDX-License-Identifier: Apache-2.0
// READ ELEMENT STATUS against changers as they are: which form of the command
// this one understands, and how its answers are put together.
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <vector>

#include "media/element.h"
#include "media/error.h"
#include "media/scsi/device.h"
#include "media/scsi/element_status.h"

namespace vellum::scsi {

const ElementRange& RangeOf(const ElementMap& map, ElementType type);
// Nothing: no element of the map has this address.
std::optional<ElementType> TypeOf(const ElementMap& map,
                                  ElementAddress address);

// The elements of `map` in its order, from what the changer reported: the first
// record of each; one that was not reported is not accessible and says so. The
// ACCESS bits count only if any element of the records has one (several
// changers never set them). `two_sided`: every medium but cleaning ones is, and
// lies turned where the changer has turned it. Pure.
std::vector<ElementStatus> StatusesOf(const ElementMap& map,
                                      const std::vector<ElementRecord>& records,
                                      bool two_sided = false);

// Ownership: keeps `device`, which outlives it. Thread-safety: none. It learns
// what the changer refuses, and does not ask for that again.
class ElementReader {
 public:
  ElementReader(Device* device, std::chrono::milliseconds timeout)
      : device_(device), timeout_(timeout) {}

  // Records of all elements of the map: type by type, which every changer is
  // used to and answers best; all types with one command only where that is
  // refused. Types that are refused both ways are left out.
  Result<std::vector<ElementRecord>> ReadAll(const ElementMap& map);

  // One type; `identify` asks for DVCID. More commands follow where one cannot
  // carry all.
  Result<std::vector<ElementRecord>> ReadType(ElementType type,
                                              const ElementRange& range,
                                              bool identify);

  // One element; nothing: the changer does not report it. REQUIRES: it is in
  // the map.
  Result<std::optional<ElementRecord>> ReadOne(const ElementMap& map,
                                               ElementAddress address);

  // The data transfer elements, with DVCID where it can be had.
  Result<std::vector<ElementRecord>> ReadDrives(const ElementMap& map);

  // The map, for a changer that does not tell it (page 1Dh): from the least to
  // the greatest address of each type.
  Result<ElementMap> Discover();

  bool has_volume_tags() const { return volume_tags_; }
  bool has_identifiers() const { return identifiers_; }
  bool reads_by_type() const { return by_type_; }

 private:
  struct Answer {
    ElementReport report;
    bool whole = true;  // all that is available was transferred
  };

  struct Form {
    bool tags = true;       // VOLTAG
    bool identify = false;  // DVCID
  };

  // All types with one command. kNotSupported also when the answer does not
  // hold each element of the map once.
  Result<std::vector<ElementRecord>> ReadAtOnce(const ElementMap& map);
  // `type` 0: all. `expected`: for the first guess of the length.
  Result<Answer> Ask(uint8_t type, uint16_t first, uint16_t count,
                     size_t expected, bool identify);
  Result<Answer> AskOnce(uint8_t type, uint16_t first, uint16_t count,
                         size_t length, Form form, Sense* sense);

  Device* const device_;
  const std::chrono::milliseconds timeout_;
  bool volume_tags_ = true;
  bool identifiers_ = true;
  bool by_type_ = true;
};

}  // namespace vellum::scsi
