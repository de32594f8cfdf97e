// SPDX-License-Identifier: Apache-2.0
// What is known of media themselves, whatever volume is on them, in the
// catalog's tables "medium" and "write-protected".
//
// Thread-safety: functions; the catalog's rules.
#pragma once

#include <cstdint>
#include <string>

#include "index/catalog.h"
#include "media/error.h"
#include "media/library.h"
#include "media/udf/format.h"

namespace vellum {

struct MediumNote {
  std::string found;     // "blank", "foreign", "volume", "unfinished"; or ""
  uint64_t sectors = 0;  // capacity; 0: not known
  // Why the volume on it is not in the catalog: another medium carries it, too.
  // Empty: nothing is wrong.
  std::string problem;
  // What it holds was written once, or is to be; it takes nothing more.
  bool write_once = false;
  // Why the last look at it failed. Empty: it worked, or nobody looked.
  std::string unreadable;
  // A copy found it blank where a backup should have been: says which one.
  std::string replaced;
  // The same, and a copy has made it a backup since. An inventory that reads it
  // ends both.
  std::string was_replaced;
  // Volume id of a backup that was given up: the pool may overwrite it.
  std::string freed;
  // Volume id of what a format with clear is wiping: it counts as displaced
  // (index/volumes.h) until the format is done, or somebody looks.
  std::string clearing;
  // It took no writes when it was last in a drive. Kept apart, by
  // NoteWriteProtection: WriteMediumNote leaves it as it is.
  bool write_protected = false;
};

Result<MediumNote> ReadMediumNote(const Catalog& catalog, const MediumId& id);
Status WriteMediumNote(Catalog* catalog, const MediumId& id,
                       const MediumNote& note);
// A look at the medium failed; NoteMediumContent ends that.
Status NoteUnreadable(Catalog* catalog, const MediumId& id,
                      const std::string& why);
// Of a medium that is in a drive. A write-once one that was written takes no
// writes either, which is another matter.
Status NoteWriteProtection(Catalog* catalog, const MediumId& id,
                           const MediumInfo& info);
// What somebody has to do where a medium was write-protected: the end of a
// message that names it.
std::string WriteProtectionText(const MediumId& id);
// Keeps `freed` and `clearing`, sets the rest; no problem is known. `info` is
// of the medium; its write protection is noted, too.
Status NoteMediumContent(Catalog* catalog, const MediumId& id,
                         udf::MediumContent content, const MediumInfo& info);

}  // namespace vellum
