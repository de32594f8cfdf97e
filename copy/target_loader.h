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

  // Chooses from what the catalog knows and claims the medium for the job. A
  // medium that somebody has defers the job, or is kBusy, as it wants.
  Result<MediumId> Choose(const VolumeRecord& source);
  // Takes the volume on `medium`, if one is known, out of use, for the Load of
  // that medium.
  Status Reserve(const MediumId& medium);
  // Loads `medium`; with `with_source` the source's medium too, both together.
  // What an automatic choice finds to be unsuitable is made known, and the next
  // medium of the pool is tried. kExists, kNoSpace, kWriteProtected,
  // kIncompatible name what is in the way: nothing was written.
  Result<LoadedTarget> Load(MediumId medium, const VolumeRecord& source,
                            bool with_source);
  // The same of a write-once medium that was written, whatever it holds: to
  // look at it.
  Result<LoadedTarget> LoadWritten(const MediumId& medium,
                                   const VolumeRecord& source,
                                   bool with_source);

 private:
  // What the kBusy error about the target means for the job.
  Error Busy(const std::shared_ptr<Volume>& volume, const Error& busy);
  // Loads it and looks what it is.
  Result<LoadedTarget> Acquire(const MediumId& medium,
                               const VolumeRecord& source, bool with_source);
  Result<LoadedTarget> LoadOne(const MediumId& medium,
                               const VolumeRecord& source, bool with_source);
  Status Check(const VolumeRecord& source, LoadedTarget* target);
  Status CheckNotElsewhere(const LoadedTarget& target) const;
  // The backup that the catalog has on the medium is not there any more: for
  // who looks at the alerts (O16).
  Status NoteReplaced(const LoadedTarget& target);
  Status CheckSlot(const VolumeRecord& source, LoadedTarget* target);

  JobSteps* const steps_;
  std::set<MediumId>* const avoid_;
  std::shared_ptr<Volume> reserved_;
  Volumes::Exclusion reservation_;  // of `reserved_`
};

}  // namespace vellum
