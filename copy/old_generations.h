// SPDX-License-Identifier: Apache-2.0
// Backups that the policy of generations keeps no more (A8).
//
// Thread-safety: functions; may be called concurrently.
#pragma once

#include <cstdint>
#include <stop_token>
#include <string>
#include <vector>

#include "copy/jobs.h"
#include "copy/operations.h"
#include "copy/pool_book.h"
#include "index/records.h"
#include "media/error.h"

namespace vellum {

// The complete backups of the primary in the pool, oldest first, for which
// `kept` newer ones stand in: not known to be damaged and, where the old one
// was read back whole, read back whole themselves. So a backup that is known to
// be good never goes for one that is not.
Result<std::vector<VolumeRecord>> SurplusGenerations(
    const Archive& archive, const PoolRange& configured,
    const VolumeRecord& primary, uint32_t kept);

struct ReleasedGenerations {
  std::vector<VolumeRecord> released;
  // Those that somebody has: a sentence each, which says who.
  std::vector<std::string> in_use;
};
// Lets the pool overwrite the surplus ones, but for what a job or a mount has.
// Moves nothing. REQUIRES: kept > 0.
Result<ReleasedGenerations> ReleaseGenerations(
    const Archive& archive, const Jobs& jobs, const PoolRange& configured,
    const VolumeRecord& primary, uint32_t kept, std::stop_token stop = {});

}  // namespace vellum
