// SPDX-License-Identifier: Apache-2.0
// How far an inventory of all media is, in the catalog: so it can be resumed,
// over a restart too.
//
// Thread-safety: functions; two inventories at once share one record, and what
// either has read counts as read.
#pragma once

#include <optional>
#include <set>

#include "index/catalog.h"
#include "media/error.h"
#include "media/library.h"

namespace vellum {

// Forgets what was read before. `reset`: the trees are read anew, too.
Status BeginInventory(Catalog* catalog, bool reset);
// Nothing to do where no inventory of all media is under way.
Status NoteMediumRead(Catalog* catalog, const MediumId& medium);
Status EndInventory(Catalog* catalog);

// `reset` of the one that has not ended; nullopt: there is none.
Result<std::optional<bool>> UnfinishedInventory(const Catalog& catalog);
Result<std::set<MediumId>> MediaReadAlready(const Catalog& catalog);

}  // namespace vellum
