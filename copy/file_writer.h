// SPDX-License-Identifier: Apache-2.0
// FileWriter: brings the files of a plan onto a volume that is in use.
//
// A file is written into a directory of its own in the root of the target
// (IncomingName), committed, read back from the medium and only then renamed to
// its place: at any instant, after a crash too, each name of the target is the
// old file or the new one, and a new one that does not read back replaces
// nothing. Files go in batches, as a commit costs several flushes.
//
// Thread-safety: one thread at a time. The volume may be used by others.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <stop_token>
#include <string>
#include <unordered_map>
#include <vector>

#include "copy/copy_hooks.h"
#include "copy/file_plan.h"
#include "copy/file_results.h"
#include "copy/file_source.h"
#include "index/volume.h"
#include "media/error.h"
#include "media/medium.h"
#include "media/udf/reader.h"

namespace vellum {

struct FileWriterOptions {
  uint64_t job = 0;
  FilePurpose purpose = FilePurpose::kPrimary;
  bool verify = true;
  bool replace = true;  // off: what the plan thinks is new must be new
  // The job acts as if the daemon had died: nothing more is touched.
  std::function<bool()> dead;
  uint64_t batch_bytes = 64ull << 20;
  size_t batch_files = 512;
};

struct FileCounts {
  uint64_t copied = 0, failed = 0, unchanged = 0, not_selected = 0;
  uint64_t directories = 0;         // made, or whose attributes were set
  uint64_t failed_directories = 0;  // that could not be made
  std::string first_failure;
};

class FileWriter {
 public:
  // Told of results that are on the medium. An error ends the work.
  using Told = std::function<Status(const std::vector<FileResult>&)>;

  // All but the options outlive it. `medium`: that the target is attached to.
  FileWriter(Volume* target, Medium* medium, const FileTree* source,
             FileSource* content, const FilePlan* plan,
             FileWriterOptions options, CopyHooks hooks, Told told);

  // Removes what a run that was killed has left behind, then does everything.
  // What concerns one file is in the counts, and the others are copied all the
  // same; an error is about the whole: no space, a device, cancelled. Then what
  // was not placed is removed, and what was placed stays.
  Status Run();
  const FileCounts& counts() const { return counts_; }

 private:
  struct Piece {
    uint64_t offset = 0;
    uint32_t bytes = 0;
    uint64_t hash = 0;
  };
  // A file on its way to its place.
  struct Incoming {
    size_t directory = 0;
    size_t file = 0;
    InodeNumber ino = 0;
    std::string name;  // in the incoming directory; empty: none (a link)
    TreeNode node;     // of the source
    std::vector<Piece> pieces;
    uint64_t bytes = 0;
    Status failure;  // it is not placed
  };
  struct DirectoryState {
    InodeNumber ino = 0;  // 0: not made
    bool made = false;
    bool touched = false;
    bool told = false;
    Status failure;
    uint64_t copied = 0, failed = 0;
  };

  Status RemoveLeftOvers();
  Status RemoveIncoming(InodeNumber directory, const std::string& name);
  Status MakeIncoming();
  // The root keeps the time of its last change: the directory is nobody's.
  Status KeepRootTime(const std::function<Status()>& change);

  Status CopyAll();
  Status AddToBatch(size_t directory, size_t file);
  Status WriteIncoming(Incoming* incoming);
  Status WriteContent(Incoming* incoming);
  Status FinishBatch();
  Status Verify(Incoming* incoming);
  Status Place(Incoming* incoming);
  Status PlaceLink(Incoming* incoming);
  Status Drop(const Incoming& incoming);
  Result<InodeNumber> EnsureDirectory(size_t index);
  Status FinishDirectories(bool make);
  Status SetDirectory(size_t index);
  Status SetTimes(InodeNumber ino, const TreeNode& node);

  const PlannedFile& FileOf(const Incoming& incoming) const {
    return plan_->directories[incoming.directory].files[incoming.file];
  }
  // The whole job ends with this error, not the file alone.
  bool IsFatal(const Status& status) const;
  void NoteFile(const Incoming& incoming, const Status& status);
  void NoteFailure(size_t directory, const std::string& path,
                   const Status& status);
  FileResult ResultOf(size_t directory) const;
  Status Tell(bool all_directories);
  void Progress(uint64_t bytes, uint64_t files);

  Volume* const target_;
  Medium* const medium_;
  const FileTree* const source_;
  FileSource* const content_;
  const FilePlan* const plan_;
  const FileWriterOptions options_;
  const CopyHooks hooks_;
  const Told told_;

  InodeNumber incoming_ = 0;  // the directory
  uint64_t next_name_ = 0;
  std::unique_ptr<udf::Reader> reader_;
  std::vector<Incoming> batch_;
  uint64_t batch_bytes_ = 0;
  std::vector<DirectoryState> states_;
  // Hard links: inode of the source -> of its copy.
  std::unordered_map<InodeNumber, InodeNumber> copies_;
  std::vector<FileResult> results_;  // waiting for the next commit
  std::vector<size_t> complete_;  // directories all of whose files are placed
  uint64_t done_bytes_ = 0, done_files_ = 0;
  FileCounts counts_;
};

}  // namespace vellum
