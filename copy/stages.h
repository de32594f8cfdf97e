// SPDX-License-Identifier: Apache-2.0
// Bulk recall (X5): the data of many files through the drives once, volume by
// volume and in the order in which it lies on each medium. What was read is
// known to be readable, and where media are files or block devices it is in the
// page cache; it is not kept anywhere else.
//
// A stage keeps a volume for kStageTurn at most while others wait for a drive,
// and comes back to it then. It is not kept over a restart of the daemon.
#pragma once

#include <chrono>
#include <cstdint>
#include <map>
#include <memory>
#include <stop_token>
#include <string>
#include <vector>

#include "index/volumes.h"
#include "media/error.h"
#include "media/library.h"
#include "media/mutex.h"
#include "media/types.h"

namespace vellum {

using StageId = uint64_t;
inline constexpr std::chrono::seconds kStageTurn{30};

enum class StageState : uint8_t { kRunning, kDone, kCancelled };
const char* StageStateName(StageState state);

struct StageRecord {
  StageId id = 0;
  StageState state = StageState::kRunning;
  uint64_t files = 0, files_done = 0, files_failed = 0;
  uint64_t bytes = 0, bytes_done = 0;
  uint64_t volumes = 0, volumes_done = 0;
  std::vector<std::string> reading;  // volumes that are read now
  // For how long volumes were read, added up over the drives, robots excluded.
  std::chrono::milliseconds reading_time{0};
  std::chrono::milliseconds elapsed{0};
  TimeSpec started, ended;
};

struct StageFile {
  std::string path;  // VOLUME/PATH
  uint64_t bytes = 0;
  bool done = false;  // also when it failed
  Status status;
};

// Thread-safety: every method may be called concurrently. Library and Volumes
// outlive it.
class Stages {
 public:
  Stages(Library* library, Volumes* volumes);
  ~Stages();  // Shutdown

  // Looks all paths (VOLUME/PATH; a directory stands for the files below it) up
  // in the catalog and begins to read; moves no medium itself. A path that does
  // not name a file of a primary fails by itself. kInvalidArgument: none was
  // given; kBusy: too many stages run; kNotReady: no thread can be started;
  // kAborted after Shutdown.
  Result<StageRecord> Start(const std::vector<std::string>& paths);
  // kNotFound.
  Result<StageRecord> Get(StageId id) const;
  // The newest kKept, by number.
  std::vector<StageRecord> List() const;
  // The files from number `first` on, at most `limit`. kNotFound.
  Result<std::vector<StageFile>> Files(StageId id, size_t first,
                                       size_t limit) const;
  // It ends soon, what was read stays so. kNotFound; kBusy: it has ended.
  Status Cancel(StageId id);
  // kNotFound; kInterrupted when `stop` is requested first.
  Result<StageRecord> Wait(StageId id, std::stop_token stop = {}) const;
  void Shutdown();  // cancels all and waits

  static constexpr size_t kKept = 20;
  static constexpr size_t kRunning = 8;

 private:
  struct Stage;
  using StagePtr = std::shared_ptr<Stage>;
  Result<StagePtr> Find(StageId id) const;

  Library* const library_;
  Volumes* const volumes_;
  mutable Mutex mu_;  // before Stage::mu
  std::map<StageId, StagePtr> stages_ GUARDED_BY(mu_);
  StageId next_ GUARDED_BY(mu_) = 1;
  bool shutdown_ GUARDED_BY(mu_) = false;
};

}  // namespace vellum
