// SPDX-License-Identifier: Apache-2.0
#include "copy/old_generations.h"

#include <fmt/format.h>

#include <utility>

#include "copy/damage_notes.h"
#include "copy/medium_notes.h"
#include "copy/pool.h"
#include "copy/verified.h"

namespace vellum {
namespace {

// The job that reads or writes the backup, as a sentence; empty: none.
std::string JobWith(const Jobs& jobs, const VolumeRecord& backup) {
  for (const JobRecord& job : jobs.List()) {
    if (JobEnded(job.state)) continue;
    if (job.target_medium == backup.medium || job.request.target == backup.id ||
        job.request.source == backup.id) {
      return fmt::format("job {} has it", job.id);
    }
  }
  return std::string();
}

}  // namespace

Result<std::vector<VolumeRecord>> SurplusGenerations(
    const Archive& archive, const PoolRange& configured,
    const VolumeRecord& primary, uint32_t kept) {
  const TargetChooser chooser(archive, /*claims=*/nullptr, configured);
  ASSIGN_OR_RETURN(const std::vector<VolumeRecord> complete,
                   chooser.Generations(primary));
  std::vector<VolumeRecord> surplus;
  uint32_t whole = 0, verified = 0;  // of those that are newer
  for (auto it = complete.rbegin(); it != complete.rend(); ++it) {
    ASSIGN_OR_RETURN(const bool good, IsVerified(*archive.catalog, *it));
    ASSIGN_OR_RETURN(const MediumNote note,
                     ReadMediumNote(*archive.catalog, it->medium));
    // A medium that takes nothing else is not given up for nothing.
    const bool reusable = !note.write_once && !note.write_protected;
    if (reusable && (good ? verified : whole) >= kept) surplus.push_back(*it);
    ASSIGN_OR_RETURN(const std::string damage,
                     ReadDamage(*archive.catalog, it->medium_uuid));
    whole += damage.empty() ? 1 : 0;
    verified += good ? 1 : 0;
  }
  return std::vector<VolumeRecord>(surplus.rbegin(), surplus.rend());
}

Result<ReleasedGenerations> ReleaseGenerations(
    const Archive& archive, const Jobs& jobs, const PoolRange& configured,
    const VolumeRecord& primary, uint32_t kept, std::stop_token stop) {
  ASSIGN_OR_RETURN(const std::vector<VolumeRecord> surplus,
                   SurplusGenerations(archive, configured, primary, kept));
  ReleasedGenerations result;
  for (const VolumeRecord& old : surplus) {
    const auto volume = archive.volumes->FindByMedium(old.medium);
    if (volume == nullptr) continue;  // another command was quicker
    std::string user = JobWith(jobs, old);
    if (user.empty()) {
      const Status free = archive.volumes->CheckExcludable(*volume);
      if (!free.ok()) user = free.error().message;
    }
    if (user.empty()) {
      const Status given_up = GiveUpBackup(archive, old.medium, old.id, stop);
      if (given_up.ok()) {
        result.released.push_back(old);
        continue;
      }
      if (given_up.code() != Errc::kBusy) return given_up;
      user = given_up.error().message;
    }
    result.in_use.push_back(
        fmt::format("{} on medium {}: {}", old.id, old.medium, user));
  }
  return result;
}

}  // namespace vellum
