// SPDX-License-Identifier: Apache-2.0
// CopyRunner: runs one copy job from its present state to its end.
//
// Staged (one drive): kStagingIn: a pinned generation of the source is read
// into the spool; kLoadTarget; kWriting; kVerifying; kCommitting; kReturning.
// Streaming (two drives): kStreaming in place of the first three.
//
// Full or incremental, atomic or not, is decided when the target is loaded, by
// what its control slot says; the catalog only decides what is staged.
//
// Thread-safety: the job's own thread.
#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <set>
#include <string>

#include "copy/backup_medium.h"
#include "copy/copy_source.h"
#include "copy/job_steps.h"
#include "copy/spool_image.h"
#include "copy/target_loader.h"
#include "index/snapshot.h"
#include "media/error.h"

namespace vellum {

class CopyRunner {
 public:
  explicit CopyRunner(JobSteps* steps);

  // Up to and with kReturning; the caller ends the job. After an error media
  // may be loaded still: JobSteps::SendAllHome. After JobSteps::Defer it is
  // called again and goes on with what it has.
  Status Run();

 private:
  // Whether an attempt that did not fail has to be followed by another one,
  // with what it has learnt.
  enum class Again { kNo, kYes };

  // Looks what an operator did to the media since, before anything is read.
  Status CheckMedia();
  Result<Again> Attempt();
  Result<Again> RunStaged();
  Result<Again> RunStreaming();
  Status StageIn();
  // The regions to read: used ones, or those changed since `base`. Falls back
  // to full as the policy allows.
  Result<CopySource> MakeSource(const VolumeSnapshot& snapshot,
                                const std::optional<Generation>& base);
  // The generation of the backup on `medium` that an incremental copy could
  // start from, as the catalog knows it; else falls back to full, as the policy
  // allows.
  Result<std::optional<Generation>> KnownBase(const MediumId& medium);
  // Why what changed since the backup with this medium uuid does not do:
  // somebody ended the tracking of the pair, or the backup is known to be
  // damaged. Empty: it does.
  Result<std::string> WhyNotUpdated(const std::string& backup_uuid,
                                    const std::string& backup_id) const;
  bool WantsIncremental() const;
  Status FallBackToFull(const std::string& why);

  // copy_runner_target.cc: with the target loaded. `read_done` is called when
  // nothing more is read from the source.
  Result<Again> CopyTo(LoadedTarget* target, const CopySource& source,
                       const std::function<void()>& read_done);
  Status OpenTarget(LoadedTarget* target, std::optional<OpenedBackup>* opened);
  Result<Again> CopyFull(LoadedTarget* target, const CopySource& source,
                         const std::function<void()>& read_done);
  // Onto a blank write-once medium. A failure leaves it spoiled, and says so.
  Result<Again> CopyOnce(LoadedTarget* target, const CopySource& source,
                         const std::function<void()>& read_done);
  Result<Again> CopyAtomic(LoadedTarget* target, OpenedBackup opened,
                           const CopySource& source, bool incremental,
                           const std::function<void()>& read_done);
  // What to do when no atomic commit is possible onto a complete backup.
  Result<Again> NoAtomicCommit(LoadedTarget* target, const CopySource& source,
                               const Status& why, bool covers_all,
                               const std::function<void()>& read_done);
  Result<Again> AnotherMedium(const LoadedTarget& target, const Status& why);
  // copy_runner_disc.cc: the job was ended between the closing of a write-once
  // medium and the catalog's record. True: it is recorded now, after it was
  // verified. False: there is none, or it does not do; the log says why.
  Result<bool> TakeUpDisc();
  // Compares it with the image or the primary; else checks it for itself.
  Status VerifyDisc(const LoadedTarget& disc, CopySource* source);
  // Whoever reads the disc later finds a complete backup.
  Status NoteBadDisc(const std::string& medium_uuid, const std::string& why);
  // Errors are of the disc, or end the job. False: what it shall be the same as
  // cannot be read, which the log says, or is not that any more.
  Result<bool> CompareDisc(const LoadedTarget& disc, const CopySource& with);
  Result<bool> CompareWithPrimary(const LoadedTarget& disc,
                                  const std::shared_ptr<const SectorMap>& map);
  Result<bool> CannotCompare(const LoadedTarget& disc, const Error& why);
  // Nothing was written on it although the catalog has a backup there: the
  // catalog is told, and a copy may take it.
  Status ForgetBlank(LoadedTarget* disc);
  void SetMethod(bool incremental, const SourceIdentity& identity);
  CopyNote Note(const SourceIdentity& identity, bool incremental) const;

  // copy_runner_catalog.cc
  Result<VolumeRecord> RecordOf(LoadedTarget* target, const CopySource& source,
                                const udf::ControlSlot& slot);
  Status Store(LoadedTarget* target, VolumeRecord* record);
  Status Bind(LoadedTarget* target, const CopySource& source,
              const udf::ControlSlot& slot);
  Status Record(LoadedTarget* target, const CopySource& source,
                const udf::ControlSlot& slot, uint32_t record_crc);
  // As the request wishes; the end of the message.
  Result<std::string> SettleTracking(const VolumeRecord& backup);
  Status FreeOldBackup();
  // More complete backups than the policy keeps: the oldest ones are given up,
  // now that the new one is complete and verified (A8).
  Status ReleaseOldGenerations();

  JobSteps* const steps_;
  const CopyRequest request_;
  std::shared_ptr<Volume> source_;
  VolumeRecord source_record_;  // as of the generation once it is pinned
  std::set<MediumId> avoid_;
  MediumId target_medium_;
  bool staged_ = true;
  bool read_back_ = true;    // all that was written is verified
  bool resumed_ = false;     // from a spool image of an earlier start
  bool force_full_ = false;  // an incremental copy proved impossible
  std::string full_reason_;  // why
  std::unique_ptr<SpoolImage> image_;
  std::optional<Generation> staged_since_;  // the image holds changes only
  std::optional<Generation> real_base_;  // what the backup turned out to hold
  std::shared_ptr<const CatalogSnapshot> tree_;  // of the generation
  // An old backup that is free once the copy is done, and why it is given up.
  MediumId give_up_medium_;
  std::string give_up_volume_;
  std::string give_up_reason_;
};

}  // namespace vellum
