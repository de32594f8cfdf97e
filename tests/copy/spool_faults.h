// SPDX-License-Identifier: Apache-2.0
// Faults of the file system under the spool: the calls that copy/spool*.cc,
// copy/file_source.cc and media/file_util.cc make on files below one directory
// are counted, fail, and lose what was not synced. A program that uses it is
// linked with --wrap for these calls (tests/copy/CMakeLists.txt).
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <string>
#include <vector>

#include "media/mutex.h"

namespace vellum {

// One at a time in a process. Opens, reads, writes, allocations, syncs and
// renames count; unlink(2) and close(2) do not; renames and removals are
// durable at once. Thread-safety: all methods may be called concurrently.
class SpoolFaults {
 public:
  enum class Act : uint8_t {
    kFail,    // once, with EIO
    kBroken,  // from then on all of them, with EIO
    kFull,    // from then on all that take space, with ENOSPC
    kCut,     // the power goes: `cut` is called
  };

  // `power` says whether there is any; without it all calls fail.
  SpoolFaults(std::string directory, std::function<bool()> power,
              std::function<void()> cut);
  ~SpoolFaults();

  // The `n`th call from now on (1: the next). With kCut only calls that change
  // something are counted.
  void At(uint64_t n, Act act);
  // What At has asked for has come.
  bool reached() const;
  // And some call has failed of it.
  bool struck() const;
  void Clear();
  // After a power cut, all files closed: by the seed all or some of what was
  // not synced are zeros.
  void LoseUnsynced(uint64_t seed);

  // For the wrapped calls.
  enum class Call : uint8_t { kOpen, kRead, kWrite, kAllocate, kSync, kRename };
  struct Verdict {
    int error = 0;       // errno, or 0
    bool first = false;  // fails only after it was carried out
  };
  bool Watches(int fd) const;
  bool Watches(const char* path) const;
  Verdict Judge(Call call);
  bool power() const { return power_(); }
  void Opened(int fd, const char* path);
  void Closed(int fd);
  void Written(int fd, uint64_t offset, uint64_t bytes);
  void Synced(int fd);
  void Renamed(const char* from, const char* to);

 private:
  struct Range {
    uint64_t offset = 0;
    uint64_t bytes = 0;
  };

  const std::string directory_;
  const std::function<bool()> power_;
  const std::function<void()> cut_;
  mutable Mutex mu_;  // a leaf
  std::map<int, std::string> open_ GUARDED_BY(mu_);
  std::map<std::string, std::vector<Range>> unsynced_ GUARDED_BY(mu_);
  uint64_t left_ GUARDED_BY(mu_) = 0;  // calls until the act; 0: none
  Act act_ GUARDED_BY(mu_) = Act::kFail;
  bool reached_ GUARDED_BY(mu_) = false;
  bool struck_ GUARDED_BY(mu_) = false;
};

}  // namespace vellum
