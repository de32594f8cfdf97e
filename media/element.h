// SPDX-License-Identifier: Apache-2.0
// What READ ELEMENT STATUS tells about each element (SMC-3 6.11).
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "media/types.h"

namespace vellum {

struct ElementStatus {
  bool operator==(const ElementStatus&) const = default;
  ElementAddress address;
  ElementType type = ElementType::kStorage;
  bool full = false;       // holds a medium
  bool accessible = true;  // ACCESS: the transport can reach it
  bool exception = false;  // EXCEPT: see `note`
  bool imported = false;   // IMPEXP: an operator put the medium there
  VolumeTag volume_tag;    // empty: none or unreadable
  // Of the medium: 2 where it is used on both, one at a time.
  uint8_t sides = 1;
  // It lies upside down: a drive reads its side B. Only with two sides.
  bool turned = false;
  std::optional<ElementAddress> source;  // SVALID: where the medium came from
  std::string note;  // reason of an exception, drive identifier
};

// A contiguous range of element addresses of one type (mode page 1Dh).
struct ElementRange {
  ElementAddress first;
  uint16_t count = 0;
  bool Contains(ElementAddress a) const {
    return a.value >= first.value && a.value - first.value < count;
  }
};

struct ElementMap {
  ElementRange transport;
  ElementRange storage;
  ElementRange import_export;
  ElementRange data_transfer;
};

struct ChangerIdentity {
  std::string vendor;
  std::string product;
  std::string revision;
  std::string serial;
  std::string device;  // what serves it: "/dev/sg3", "virtual library DIR"
  // A move is a request to a person: it may take for ever, so nothing is moved
  // that need not be.
  bool manual = false;
};

}  // namespace vellum
