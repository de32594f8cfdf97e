// SPDX-License-Identifier: Apache-2.0
// The catalog as text: lines of JSON in an order that depends on nothing but
// what is in it.
#pragma once

#include <functional>
#include <string>

#include "fs/json.h"
#include "index/catalog.h"
#include "media/error.h"

namespace vellum {

struct DumpOptions {
  // Also what no medium says: each volume's number in this catalog, state of
  // the tree, shelf location, lineage, commit and change map.
  bool all = false;
};

// Calls `line` for each volume, by volume id, then for each of its names, by
// path: everything that a volume's medium says of it, so that a catalog that
// was made again from the media gives the same lines. Rows of the layers above
// (jobs, history, notes) are not shown. Names, targets and values of attributes
// that are no UTF-8 are written as {"hex": "…"}.
// Nothing may write to the catalog meanwhile. kCorruption when names and inodes
// do not fit each other.
Status DumpCatalog(const Catalog& catalog, const DumpOptions& options,
                   const std::function<void(const Json&)>& line);

}  // namespace vellum
