// SPDX-License-Identifier: Apache-2.0
// What a background job is: values only.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "copy/file_selection.h"
#include "media/error.h"
#include "media/types.h"

namespace vellum {

using JobId = uint64_t;

enum class JobKind : uint8_t { kCopy, kCompare, kRestore };
const char* JobKindName(JobKind kind);  // "copy", …

// How many drives at once, and so whether data is staged: O1, O3.
enum class CopyMode : uint8_t {
  kImage,        // one drive: whole image staged in the spool, then written
  kStreaming,    // two drives: read and write overlapped, nothing staged
  kIncremental,  // changed regions only; two drives if online, else staged
  kFiles,        // file by file; two drives if online, else staged
};

const char* CopyModeName(CopyMode mode);  // "image", "streaming", …

// V5: what to do when only a full copy is possible.
enum class CopyPolicy : uint8_t {
  kOptional,  // incremental falls back to a full copy and says so
  kMinicopy,  // incremental or fail
  kFull,      // every region, always
};

// What becomes of the tracking of the pair when the copy is done.
enum class TrackWish : uint8_t {
  kKeep,  // as it was; a pair that is new is tracked
  kYes,   // tracked, also if that was ended before the copy began
  kNo,    // not tracked: the next incremental copy is a full one
};

struct CopyRequest {
  std::string source;  // volume id of a PRIMARY
  CopyMode mode = CopyMode::kImage;
  CopyPolicy policy = CopyPolicy::kOptional;  // of kIncremental only
  std::string target;  // element address, volume tag or volume id
                       // of a BACKUP; empty: the medium bound to
                       // the source, else the first unused one of
                       // the pool; with kFiles also a PRIMARY
  bool verify = true;
  bool whole = false;           // every sector, not only the used regions;
                                // not of kIncremental
  bool overwrite_last = false;  // go on where no atomic commit has room
  bool wipe = true;             // discard what another owner left
  bool wait_mounted = true;     // target mounted read-only: wait, else kBusy
  TrackWish track = TrackWish::kKeep;
  FileSelection files;  // of kFiles
};

enum class JobState : uint8_t {
  kQueued,
  kStagingIn,  // reading the source into the spool
  kStreaming,  // reading the source, writing the target
  kLoadTarget,
  kWriting,
  kVerifying,
  kCommitting,
  kReturning,  // media go home
  kDone,
  kFailed,
  kCancelled,
};
const char* JobStateName(JobState state);  // "queued", "staging-in", …
inline bool JobEnded(JobState s) { return s >= JobState::kDone; }

struct JobRecord {
  JobId id = 0;
  JobKind kind = JobKind::kCopy;
  // Compare: source and target. Restore: `source` is the primary that is
  // written, `target` the backup that is read.
  CopyRequest request;
  JobState state = JobState::kQueued;
  bool cancel_requested = false;
  std::string method;          // "full" | "incremental" | "files", once decided
  std::string target_medium;   // MediumId, once chosen
  std::string target_volume;   // volume id of the backup
  Generation generation;       // that is copied, once pinned
  uint64_t regions_total = 0;  // to read or write, once known
  uint64_t regions_done = 0;   // of the present state
  uint64_t bytes_copied = 0;
  uint64_t bytes_verified = 0;
  // Of a comparison: regions that both volumes should have alike and that were
  // compared, and those that were not, for the first volume changed them.
  uint64_t regions_compared = 0;
  uint64_t regions_changed = 0;
  bool differs = false;  // it came to its end and found differences
  TimeSpec created, started, state_since, ended;
  Errc error = Errc::kInternal;  // kFailed, kCancelled
  std::string message;           // for a person: what happened; before the
                                 // end: what it waits for, empty: nothing
  std::vector<std::string> log;  // one line per event, with times
  // The operator's program that failed, and with which exit code; empty: none.
  std::string hook;
  int hook_exit = 0;
};

// Encoding for the catalog's "job" table (JSON).
std::string EncodeJob(const JobRecord& job);
Result<JobRecord> DecodeJob(std::string_view data);

}  // namespace vellum
