// SPDX-License-Identifier: Apache-2.0
// FileBackup: a backup medium that takes files one by one (I11). The backup is
// a volume in the state FILES: role, owner and threshold (99 %) are those of a
// backup, and its own journal makes each commit atomic. It has a lineage of its
// own, so that nobody takes it for a generation of its primary.
//
// Order: room for the control information is checked; the log says that a copy
// began (flush); the catalog learns of the new state; the slot (flush); then
// files. At the end the volume is closed, and only then the log says how the
// copy ended.
//
// Thread-safety: one thread at a time.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "copy/file_notes.h"
#include "copy/file_plan.h"
#include "copy/file_tree.h"
#include "copy/job_steps.h"
#include "copy/target_loader.h"
#include "index/volume.h"
#include "media/error.h"

namespace vellum {

class FileBackup {
 public:
  // `target` as TargetLoader left it; both outlive it.
  FileBackup(JobSteps* steps, LoadedTarget* target, VolumeRecord source)
      : steps_(steps), target_(target), source_(std::move(source)) {}
  ~FileBackup();
  FileBackup(const FileBackup&) = delete;
  FileBackup& operator=(const FileBackup&) = delete;

  // The files that are on the backup; null: there are none, and nothing on the
  // medium is to be kept. kCorruption: another system has written to it. Valid
  // until Open.
  Result<const FileTree*> Look();
  // kNoSpace: the files (I5) or the control information (I7) have no room.
  // Nothing was touched.
  Status Check(const FilePlan& plan, const FileWriterOptions& options);
  // From here on the backup takes changes.
  Status Open();
  Volume* volume() { return volume_.get(); }
  // Directories whose files are on the medium.
  Status Note(const std::vector<FileResult>& results);
  // Closes the volume. `state`, `message`: how the copy ended.
  Status Close(const FileCounts& counts, const std::string& state,
               const std::string& message);

 private:
  bool Keeps() const;
  bool Verifies() const;
  Status StopLooking();
  Status MakeVolume();
  Status Bind();
  Status AddToLog(const std::vector<udf::LogEntry>& entries);
  Medium& medium() const { return target_->target(); }

  JobSteps* const steps_;
  LoadedTarget* const target_;
  const VolumeRecord source_;

  std::unique_ptr<Volume> view_;  // before Open: as others see it
  std::unique_ptr<FileTree> tree_;
  udf::ControlSlot slot_;
  udf::Geometry geometry_;
  uint64_t log_end_ = 0;
  std::unique_ptr<Volume> volume_;
};

}  // namespace vellum
