// SPDX-License-Identifier: Apache-2.0
// How many complete backups of a volume are kept, where that is not what
// library.toml says for all (A8): rows of the catalog, by the medium uuid of
// the primary.
//
// Thread-safety: functions; may be called concurrently.
#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "index/catalog.h"
#include "index/records.h"
#include "media/error.h"

namespace vellum {

inline constexpr uint32_t kMaxGenerations = 1000;

// kCorruption names the volume.
Result<std::optional<uint32_t>> OwnGenerations(const Catalog& catalog,
                                               const VolumeRecord& primary);
// nullopt: as many as the library's default from now on. Counts from the next
// copy on, that of a job that runs included; what is there already is released
// by ReleaseGenerations (old_generations.h).
Status SetOwnGenerations(Catalog* catalog, const VolumeRecord& primary,
                         std::optional<uint32_t> generations);
// Its own number, else the library's.
Result<uint32_t> KeptGenerations(const Catalog& catalog,
                                 const VolumeRecord& primary,
                                 uint32_t library_default);

}  // namespace vellum
