// SPDX-License-Identifier: Apache-2.0
// Media that leave the library and come back (I13). An exported volume stays in
// the catalog, is shown and searched, and is never loaded, not even while its
// medium still stands in the import/export element.
//
// Thread-safety: functions; may be called concurrently.
#pragma once

#include <stop_token>
#include <string>
#include <vector>

#include "copy/operations.h"
#include "index/records.h"
#include "media/error.h"
#include "media/library.h"

namespace vellum {

// What an export without a location records.
inline constexpr char kNoLocation[] = "not given";

// "loaded", "resident", "exported" or "removed": where a volume's medium is.
std::string MediumState(const Result<MediumPlace>& place,
                        const std::string& location);

// kNoMedium, with the shelf, for an exported volume.
Status CheckNotExported(const VolumeRecord& record);

struct Exported {
  VolumeRecord record;
  // Where an operator finds the medium; 0: it was not in the library.
  ElementAddress element;
};
// Commits and detaches the volume, moves its medium to a free import/export
// element (in a library without any it stays where it is) and records the
// location. A volume whose medium is gone already only gets the location.
// kNotFound, kBusy (in use, or files are open), kNoSpace (every import/export
// element is full: names what is in them); what the commit returned: nothing
// has moved then.
Result<Exported> Export(const Archive& archive, const std::string& volume,
                        const std::string& location, std::stop_token stop = {});

struct ImportRow {
  MediumId medium;
  ElementAddress from, to;
  std::string found;  // volume id, "blank", "foreign"; or the error
  bool failed = false;
};
// Moves the medium `what` (element, volume tag or volume id; empty: every one
// in an import/export element, and exported ones that are back in a slot) to a
// free storage element. A volume that is known by its volume tag is not loaded:
// its label is checked when it is; others are, and read. With `what` empty an
// error of one medium stands in its row. kNotFound, kNoMedium (names the shelf
// location), kNoSpace (no free slot), kInvalidArgument (nothing to import).
Result<std::vector<ImportRow>> Import(const Archive& archive,
                                      const std::string& what,
                                      std::stop_token stop = {});

}  // namespace vellum
