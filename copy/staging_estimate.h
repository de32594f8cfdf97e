// SPDX-License-Identifier: Apache-2.0
// How much staging space a copy will need, from the catalog alone.
#pragma once

#include <cstdint>
#include <optional>

#include "index/catalog.h"
#include "index/records.h"
#include "media/types.h"

namespace vellum {

// Bytes in the spool for a copy of the volume as the catalog knows it: all of
// it, or (when the change map reaches back to `base`) what changed since; with
// some room for what is committed before the copy pins its generation. `whole`:
// every sector.
uint64_t EstimateStaging(const Catalog& catalog, const VolumeRecord& volume,
                         const std::optional<Generation>& base, bool whole);

}  // namespace vellum
