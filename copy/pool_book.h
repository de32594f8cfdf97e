// SPDX-License-Identifier: Apache-2.0
// Which media are the copy pool. As long as nobody has set a range, all that
// stand in the configured one; then those that stood in its slots when it was
// set (O6), as the catalog's table "pool" says. A slot whose medium somebody
// swapped by hand is reported, and what is in it is not used, until it is freed
// (O16). Decided from catalog and element status alone.
//
// Thread-safety: functions; may be called concurrently.
#pragma once

#include <map>
#include <optional>
#include <stop_token>
#include <string>
#include <vector>

#include "copy/operations.h"
#include "media/error.h"
#include "media/library.h"
#include "media/types.h"

namespace vellum {

class Jobs;

// Storage elements whose media are the pool; 0..0 = all.
struct PoolRange {
  ElementAddress first, last;
  bool Contains(ElementAddress element) const;
};

struct PoolBook {
  PoolRange range;
  // Set by a command: only media that are written down belong to the pool.
  bool set = false;
  std::map<MediumId, ElementAddress> media;  // -> its slot

  bool Contains(const MediumPlace& place) const;
};
// `configured`: the range while none was set. kCorruption names the row.
Result<PoolBook> ReadPool(const Catalog& catalog, const PoolRange& configured);

// Reads the element status, and nothing else moves or is loaded: the media in
// the full slots from `first` to `last` are the pool. What was in the pool
// stays in it if it holds a backup. Survives restarts, and touches nothing else
// in the catalog. kInvalidArgument names the valid range.
Result<PoolBook> SetPoolRange(const Archive& archive, ElementAddress first,
                              ElementAddress last, std::stop_token stop = {});

// Does the medium hold no copy, as far as anybody has looked? Media of the pool
// that hold something else are not unused either.
struct PoolRow {
  ElementAddress slot;
  MediumId medium;
  std::string volume;  // that it holds; empty: none
  std::string owner;   // the primary, if it holds a backup
  // "unused", "used", "unsuitable" (holds something else, or cannot be loaded),
  // "removed" (not in the library), "swapped" (and another medium is in its
  // slot).
  std::string state;
  MediumId found;  // swapped: what is in the slot now
};
// By slot.
Result<std::vector<PoolRow>> ListPool(const Archive& archive,
                                      const PoolRange& configured);

struct FreedMedium {
  ElementAddress slot;
  MediumId medium;
  std::string volume;  // the backup that was given up; empty: none
  std::string owner;
  bool last = false;  // it was the last complete backup of the owner
};
// The pool may overwrite what is in the slot. A medium that took the place of
// one of the pool belongs to it from now on. Nothing is loaded. kNotFound (no
// such slot: names the range), kNoMedium (empty), kInvalidArgument (not in the
// pool), kExists (a PRIMARY, or foreign data), kBusy (a job or a mount has it).
// Of a two-sided medium side A.
Result<FreedMedium> FreePoolSlot(const Archive& archive, const Jobs& jobs,
                                 const PoolRange& configured,
                                 ElementAddress slot,
                                 std::stop_token stop = {});
// The same of a medium that is named, or of one side of it.
Result<FreedMedium> FreePoolMedium(const Archive& archive, const Jobs& jobs,
                                   const PoolRange& configured,
                                   const MediumId& medium,
                                   std::stop_token stop = {});

// Marks the backup on the medium as one that the pool may overwrite and takes
// it out of the catalog. Someone who has it keeps it listed until it is
// overwritten.
Status GiveUpBackup(const Archive& archive, const MediumId& medium,
                    const std::string& volume, std::stop_token stop = {});

}  // namespace vellum
