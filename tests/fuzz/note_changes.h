// SPDX-License-Identifier: Apache-2.0
// What a catalog knows of a volume, and hostile changes of it: for notes of
// redo records that somebody else wrote.
#pragma once

#include <string>
#include <utility>
#include <vector>

#include "index/catalog.h"
#include "index/records.h"
#include "tests/fuzz/input.h"

namespace vellum::fuzz {

// What a catalog knows of one volume.
struct Known {
  VolumeRecord record;
  std::vector<std::pair<InodeNumber, InodeRecord>> inodes;
  std::vector<std::pair<InodeNumber, DirentRecord>> names;
  std::vector<std::pair<uint32_t, std::string>> changes;
};

// Aborts the process when it cannot be read.
Known Recall(const Catalog& catalog, const VolumeRecord& record);
// All of it, under this index.
CatalogBatch BatchOf(const Known& known, VolumeIndex index);
// One change that the input says. REQUIRES: the volume has a name.
void ChangeBatch(Input* input, const Known& known, VolumeIndex index,
                 CatalogBatch* batch);

}  // namespace vellum::fuzz
