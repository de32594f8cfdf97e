// SPDX-License-Identifier: Apache-2.0
// CopySource: one generation of a volume as something to copy from: a pinned
// snapshot, or its image in the spool.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "copy/region_pump.h"
#include "copy/sector_map.h"
#include "index/change_map.h"
#include "index/snapshot.h"
#include "media/error.h"
#include "media/types.h"

namespace vellum {

// What a copy takes over from its source into the backup's control slot.
struct SourceIdentity {
  std::string volume_id;    // of the primary
  std::string medium_uuid;  // of its medium
  std::string format_uuid;
  Generation generation;
};

struct CopySource {
  SourceIdentity identity;
  std::shared_ptr<const SectorMap> map;
  // What is to be copied; `read` answers for these regions.
  RegionSet regions;
  // Whole regions. Called from one thread at a time.
  std::function<Status(uint64_t lba, ByteSpan out)> read;
  // Asked when everything was read: was all of it the same generation?
  std::function<Status()> check_whole;
  // Hashes of `regions` in order, when they are known already: what `read`
  // answers must match them.
  std::shared_ptr<const std::vector<uint64_t>> expected;

  // Fills the chunk from `read`, normalised and hashed. kCorruption names
  // volume, region and sector when it is not what is expected.
  Status Fill(RegionChunk* chunk) const;
};

// `snapshot` outlives the source. `regions` may be a part of what is used.
CopySource SourceOf(const VolumeSnapshot& snapshot,
                    std::shared_ptr<const SectorMap> map, RegionSet regions);
SourceIdentity IdentityOf(const VolumeSnapshot& snapshot);

}  // namespace vellum
