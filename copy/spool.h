// SPDX-License-Identifier: Apache-2.0
// Spool: staging space that jobs share. A reservation is taken before any
// medium moves and holds real disk blocks, so that a job cannot run out of
// space in the middle.
//
//   DIR/job-ID.img   staged sectors, allocated when reserved
//   DIR/job-ID.meta  made when the image is complete and durable
//
// Thread-safety: every method may be called concurrently.
#pragma once

#include <cstdint>
#include <map>
#include <set>
#include <string>

#include "copy/job.h"
#include "media/error.h"
#include "media/mutex.h"

namespace vellum {

class Spool {
 public:
  // Makes the directory if there is none. `limit`: bytes of all reservations
  // together; 0: what the disk has free.
  Spool(std::string directory, uint64_t limit);

  // Makes the job's reservation at least `bytes`. kNoSpace names needed and
  // free; the reservation is then as before.
  Status Reserve(JobId job, uint64_t bytes);
  // Gives the reservation back and removes the job's files.
  void Release(JobId job);
  // Bytes that a new reservation could take.
  Result<uint64_t> Free() const;
  // Removes the files of all jobs but these.
  Status RemoveOthers(const std::set<JobId>& keep);
  // Counts what a kept file holds as reserved.
  void Adopt(JobId job);

  const std::string& directory() const { return directory_; }
  std::string ImagePath(JobId job) const;
  std::string MetaPath(JobId job) const;

 private:
  Result<uint64_t> FreeLocked() const REQUIRES(mu_);

  const std::string directory_;
  const uint64_t limit_;
  mutable Mutex mu_;  // leaf; held over statvfs only
  std::map<JobId, uint64_t> reserved_ GUARDED_BY(mu_);
  // Of `reserved_`, not yet allocated on the disk.
  std::map<JobId, uint64_t> promised_ GUARDED_BY(mu_);
};

}  // namespace vellum
