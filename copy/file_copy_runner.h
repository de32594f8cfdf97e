// SPDX-License-Identifier: Apache-2.0
// FileCopyRunner: runs one copy by file (I9-I12), or a restore of files, from
// its present state to its end.
//
// With one drive: kStagingIn (a pinned generation of the source is planned, and
// what is to be copied read into the spool), kLoadTarget, kWriting. With two:
// kStreaming. Then kCommitting (how it ended is noted) and kReturning. Files
// are read back as they are written. A job that is taken up again after a
// restart begins anew and copies what is missing.
//
// Thread-safety: the job's own thread.
#pragma once

#include <memory>
#include <set>
#include <string>
#include <vector>

#include "copy/file_backup.h"
#include "copy/file_plan.h"
#include "copy/file_source.h"
#include "copy/file_writer.h"
#include "copy/job_steps.h"
#include "copy/target_loader.h"
#include "index/snapshot.h"
#include "index/volumes.h"
#include "media/error.h"

namespace vellum {

class FileCopyRunner {
 public:
  explicit FileCopyRunner(JobSteps* steps);

  // Up to and with kReturning; the caller ends the job. An error when any file
  // could not be copied, too.
  Status Run();

 private:
  Status FindVolumes();
  bool ToBackup() const { return purpose_ == FilePurpose::kBackup; }
  // The source's generation, pinned: [leases, where both sides are loaded].
  Status Pin();
  Status Unpin();
  Status StageIn();
  Status RunStaged();
  // With what is staged, onto the target, which is loaded for it.
  Status WriteStaged();
  // Does the target need what is not staged? It lost it since, with a commit
  // that failed: once, the job stages again.
  bool NeedsMore(const FilePlan& plan);
  Status RunStreaming();
  Status WriteToPrimary(Medium* medium);
  Status WriteToBackup(LoadedTarget* target);
  // What is there already is planned against; null: nothing.
  Result<FilePlan> Plan(const FileTree* target) const;
  // Copies of this very job are not made again when it is taken up.
  Status LeaveOutDone(FilePlan* plan, const FileTree& target) const;
  FileWriterOptions WriterOptions() const;
  Status Write(Volume* volume, Medium* medium, const FilePlan& plan,
               FileBackup* backup);
  Status Judge(const FilePlan& plan, const Status& written);
  void NoteTarget(const std::string& medium, const std::string& volume);

  JobSteps* const steps_;
  const CopyRequest request_;
  FilePurpose purpose_ = FilePurpose::kPrimary;
  bool resumed_ = false;
  std::shared_ptr<Volume> source_;
  std::shared_ptr<Volume> primary_;  // the target; null: a backup
  VolumeRecord source_record_;
  std::set<MediumId> avoid_;

  // In this order: the snapshot goes before the use.
  VolumeUse use_;
  std::unique_ptr<VolumeSnapshot> snapshot_;
  std::shared_ptr<const CatalogSnapshot> names_;
  std::unique_ptr<FileTree> tree_;
  std::unique_ptr<FileSource> content_;
  const StagedFiles* staged_ = nullptr;  // content_, where that is staged
  std::set<InodeNumber> unreadable_;     // could not be staged
  bool stage_again_ = false;
  bool staged_again_ = false;
  FileCounts counts_;
  std::string message_;
};

}  // namespace vellum
