// SPDX-License-Identifier: Apache-2.0
// Gets the target medium of a copy into a drive, for the job alone, and makes
// sure that the copy may overwrite what is on it.
#pragma once

#include <memory>
#include <set>
#include <string>
#include <vector>

#include "copy/backup_medium.h"
#include "copy/job_steps.h"
#include "index/records.h"
#include "index/volumes.h"
#include "media/error.h"
#include "media/library.h"

namespace vellum {

struct LoadedTarget {
  // In this order: the leases go first.
  Volumes::Exclusion exclusion;
  std::vector<MediumLease> leases;  // the target's is the last one
  MediumId medium;
  std::shared_ptr<Volume> volume;  // as the catalog knows it; null: it does not
  TargetContent content;
  bool ours = false;      // the slot says: backup of the source
  bool freed = false;     // a backup that the pool may overwrite
  std::string volume_id;  // that the backup has or gets

  Medium& target() const { return leases.back().medium(); }
};

class TargetLoader {
 public:
  // `avoid`: media that are not to be chosen again; found unsuitable ones are
  // added.
  TargetLoader(JobSteps* steps, std::set<MediumId>* avoid)
      : steps_(steps), avoid_(avoid) {}

  // Chooses from what the catalog knows and claims the medium for the job.
  Result<MediumId> Choose(const VolumeRecord& source);
  // Loads `medium`; with `with_source` the source's medium too, both together.
  // What an automatic choice finds to be unsuitable is made known, and the next
  // medium of the pool is tried. kExists, kNoSpace, kWriteProtected,
  // kIncompatible name what is in the way: nothing was written.
  Result<LoadedTarget> Load(MediumId medium, const VolumeRecord& source,
                            bool with_source);

 private:
  Result<LoadedTarget> LoadOne(const MediumId& medium,
                               const VolumeRecord& source, bool with_source);
  Result<Volumes::Exclusion> ExcludeTarget(
      const std::shared_ptr<Volume>& volume);
  Status Check(const VolumeRecord& source, LoadedTarget* target);
  Status CheckSlot(const VolumeRecord& source, LoadedTarget* target);

  JobSteps* const steps_;
  std::set<MediumId>* const avoid_;
};

}  // namespace vellum
