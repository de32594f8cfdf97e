// SPDX-License-Identifier: Apache-2.0
// RestoreRunner: writes a whole backup over its primary (A6). From the first
// write to the end the primary's medium holds an INCOMPLETE volume that is its
// own owner: nobody takes it for anything else, and a restore that broke off is
// run again. Then it is a PRIMARY as before, with its name, medium uuid and
// threshold, so that its backups stay its own, and with a new lineage: the next
// copies are full ones.
//
// Thread-safety: the job's own thread.
#pragma once

#include <memory>
#include <optional>

#include "copy/full_copy.h"
#include "copy/job_steps.h"
#include "copy/spool_image.h"
#include "index/records.h"
#include "index/volumes.h"
#include "media/error.h"

namespace vellum {

// A restore that broke off left it behind.
bool IsBrokenRestore(const VolumeRecord& record);

class RestoreRunner {
 public:
  explicit RestoreRunner(JobSteps* steps) : steps_(steps) {}

  // Up to and with kReturning; the caller ends the job.
  Status Run();

 private:
  // What is taken from the backup, as a generation of the primary.
  CopySource SourceFrom(const VolumeSnapshot& snapshot) const;
  Status RunStaged();
  Status RunStreaming();
  Status StageIn();
  // The primary for this job alone. The medium with it, and with `with_backup`
  // the backup's, loaded together.
  struct Target {
    // In this order: the leases go first.
    Volumes::Exclusion exclusion;
    std::vector<MediumLease> leases;  // the primary's is the last one
    Medium& medium() const { return leases.back().medium(); }
  };
  Result<Target> Take(bool with_backup);
  Status WriteTo(Target* target, const CopySource& source);
  Status MarkIncomplete(const udf::ControlSlot& slot);
  Status MakePrimary(Target* target, const CopySource& source);

  JobSteps* const steps_;
  std::shared_ptr<Volume> primary_, backup_;
  VolumeRecord primary_record_, backup_record_;
  std::unique_ptr<SpoolImage> image_;
};

}  // namespace vellum
