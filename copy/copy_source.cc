// SPDX-License-Identifier: Apache-2.0
#include "copy/copy_source.h"

#include <fmt/format.h>

#include <utility>

namespace vellum {

Status CopySource::Fill(RegionChunk* chunk) const {
  RETURN_IF_ERROR(read(chunk->sectors.first, chunk->data)
                      .WithContext("volume " + identity.volume_id));
  RETURN_IF_ERROR(map->Normalise(chunk->sectors, chunk->data)
                      .WithContext("volume " + identity.volume_id));
  HashChunk(chunk);
  if (expected == nullptr) return Status::Ok();
  for (uint64_t i = 0; i < chunk->regions; ++i) {
    if (chunk->hashes[i] == (*expected)[chunk->index + i]) continue;
    const uint64_t region = chunk->first_region + i;
    return Status(
        Errc::kCorruption,
        fmt::format("image of volume {} in the spool is damaged: "
                    "region {} (sector {}) is not what was read "
                    "from the volume",
                    identity.volume_id, region, region * kRegionSectors));
  }
  return Status::Ok();
}

SourceIdentity IdentityOf(const VolumeSnapshot& snapshot) {
  const VolumeRecord& record = snapshot.record();
  SourceIdentity identity;
  identity.volume_id = record.id;
  identity.medium_uuid = record.medium_uuid;
  identity.format_uuid = record.format_uuid;
  identity.generation = snapshot.generation();
  return identity;
}

CopySource SourceOf(const VolumeSnapshot& snapshot,
                    std::shared_ptr<const SectorMap> map, RegionSet regions) {
  CopySource source;
  source.identity = IdentityOf(snapshot);
  source.map = std::move(map);
  source.regions = std::move(regions);
  source.read = [&snapshot](uint64_t lba, ByteSpan out) {
    return snapshot.Read(lba, out);
  };
  source.check_whole = [&snapshot] { return snapshot.CheckWhole(); };
  return source;
}

}  // namespace vellum
