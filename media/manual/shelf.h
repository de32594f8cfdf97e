// SPDX-License-Identifier: Apache-2.0
// Which medium of a manual library belongs in which shelf place, which one is
// in which dock, and by what each is known: state/shelf.json.
//
//   {"version": 1, "media": [
//     {"element": 1024, "volume_tag": "V00001", "medium_uuid": "9f3a…"},
//     {"element": 256, "volume_tag": "V00002", "source": 1025}]}
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "media/element.h"
#include "media/error.h"
#include "media/manual/dock.h"
#include "media/types.h"

namespace vellum {

struct ManualConfig {
  std::string directory;  // of the library
  uint32_t lib_num = 0;
  std::vector<std::string> docks;  // paths; element addresses from 256
  uint16_t slots = 0;              // shelf places, from 1024
  // What a drive may destroy when it loses power while it writes one sector, in
  // bytes: a power of two, 2048 to 65536.
  uint32_t atomic_unit = 2048;
};
ElementMap ManualElementMap(const ManualConfig& config);

// What an element holds, as far as is known.
struct ShelfMedium {
  VolumeTag tag;
  // The shelf place that it came from.
  std::optional<ElementAddress> source;
  // Of the volume on it when it was last seen; empty: none was.
  std::string medium_uuid;
  bool operator==(const ShelfMedium&) const = default;
};
using Shelf = std::map<ElementAddress, ShelfMedium>;

std::string ShelfPath(const std::string& directory);
// Replaces shelf.json atomically and durably.
Status WriteShelf(const std::string& directory, const Shelf& shelf);
// kCorruption naming the file and the mistake.
Result<Shelf> ReadShelf(const std::string& directory, const ElementMap& map);

std::optional<ElementAddress> FindTag(const Shelf& shelf, const VolumeTag& tag);
std::optional<ElementAddress> FirstFree(const Shelf& shelf,
                                        const ElementRange& places);

// Who is in the dock, to go by what was seen there.
struct DockFinding {
  bool full = false;
  VolumeTag tag;        // empty: empty dock, or nobody knows that medium
  std::string problem;  // why `tag` is empty, or is what was thought and not
                        // seen
};

// A medium is known by its medium UUID. Media without a volume all look alike:
// one is taken for another only when an operator said so (the shelf has it in
// the dock already).
DockFinding Recognise(const Shelf& shelf, ElementAddress dock,
                      const DockSight& sight);

// Puts `tag` into the dock (empty: nobody), and whoever was thought to be there
// back to where it came from.
void SetDock(Shelf* shelf, const ElementMap& map, ElementAddress dock,
             const VolumeTag& tag);

}  // namespace vellum
