// SPDX-License-Identifier: Apache-2.0
// What can be had of a catalog that cannot be opened: the records of volumes
// and the rows of the layers above, as far as they can be read. They may be
// older than what was written last, and rows that were deleted may be back.
// Trees, change maps and undecided generations are never taken over: every
// volume counts as not read (TreeState::kNone), so that its next load reads its
// medium, and a primary begins a new lineage then.
//
// Thread-safety: functions; nothing else may use the directory.
#pragma once

#include <cstdint>
#include <functional>
#include <string>

#include "index/catalog.h"
#include "media/error.h"

namespace vellum {

struct CatalogSalvage {
  std::string kept;      // the damaged directory, under its new name
  uint64_t volumes = 0;  // records of volumes that were taken over
  uint64_t rows = 0;     // of the layers above
  std::string unread;    // what could not be read, and why; empty: nothing
};

// A new catalog takes the place of the one at `path`, which becomes
// PATH.damaged; what was kept under that name becomes PATH.damaged.old, whose
// predecessor is deleted. `prepare` is called with the new one before it takes
// the place: what it changes is there whenever the new one is. Cut anywhere,
// either the damaged catalog is at `path` still, or FinishSalvage completes it.
// kIncompatible: a newer version wrote it. Other errors (kNoSpace, …) are of
// the disk: nothing has changed, it may be repeated.
Result<CatalogSalvage> SalvageCatalog(
    const std::string& path, const Catalog::Options& options,
    const std::function<Status(Catalog*, const CatalogSalvage&)>& prepare);

// Completes a salvage that was cut, and removes what one that was cut earlier
// has left. To be called before the catalog is opened.
Status FinishSalvage(const std::string& path);

}  // namespace vellum
