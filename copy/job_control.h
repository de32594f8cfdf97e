// SPDX-License-Identifier: Apache-2.0
// JobControl: one job as the threads share it: its record, its progress, and
// how it is stopped.
//
// Thread-safety: every method may be called concurrently.
#pragma once

#include <stop_token>
#include <string>

#include "copy/copy_hooks.h"
#include "copy/job.h"
#include "media/error.h"
#include "media/mutex.h"

namespace vellum {

class JobControl {
 public:
  explicit JobControl(JobRecord record);

  // The record with the progress as of now.
  JobRecord Record() const;
  JobState state() const;
  JobId id() const { return id_; }

  // Changes members of the record; not the state.
  template <typename Edit>
  void Update(const Edit& edit) {
    MutexLock lock(&mu_);
    edit(&record_);
  }
  // Appends a line, with the time, to the job's log.
  void Log(const std::string& line);
  // Says what the job waits for, until it enters its next state. True when that
  // is news.
  bool SetWaiting(const std::string& text);

  // Enters `state`. kAborted instead when the job was cancelled and the state
  // is not an end (nor kReturning, which an ended copy enters).
  Status Enter(JobState state);
  // Ends the job.
  void End(JobState state, Errc error, const std::string& message);

  // kBusy once the copy commits or has ended.
  Status Cancel();
  bool cancel_requested() const;
  // The daemon stops: the job stops, but does not end.
  void Interrupt() { stop_.request_stop(); }
  std::stop_token stop_token() const { return stop_.get_token(); }

  CopyCounters counters;

 private:
  void EnterLocked(JobState state) REQUIRES(mu_);

  const JobId id_;
  std::stop_source stop_;
  mutable Mutex mu_;  // leaf
  JobRecord record_ GUARDED_BY(mu_);
};

}  // namespace vellum
