// SPDX-License-Identifier: Apache-2.0
// The commands of the control tree that run now, for the table `running`.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "copy/work_meter.h"
#include "media/mutex.h"
#include "media/types.h"

namespace vellum {

// Thread-safety: every method may be called concurrently.
class RunningCommands {
 public:
  struct Command {
    uint64_t id = 0;
    std::string text;  // without the line's end
    TimeSpec since;
    std::shared_ptr<WorkMeter> meter;
  };

  // A command is listed as long as this lives. The list outlives it.
  class Entry {
   public:
    Entry(RunningCommands* list, const std::string& text);
    ~Entry();
    Entry(const Entry&) = delete;
    Entry& operator=(const Entry&) = delete;

    WorkMeter* meter() const { return meter_.get(); }

   private:
    RunningCommands* const list_;
    const std::shared_ptr<WorkMeter> meter_;
    uint64_t id_ = 0;
  };

  // In the order in which they began.
  std::vector<Command> List() const EXCLUDES(mu_);

 private:
  mutable Mutex mu_;  // a leaf
  uint64_t next_ GUARDED_BY(mu_) = 1;
  std::map<uint64_t, Command> running_ GUARDED_BY(mu_);
};

}  // namespace vellum
