// SPDX-License-Identifier: Apache-2.0
// A fixed number of threads that run tasks in order of arrival, urgent ones
// first. Private to index/.
//
// Thread-safety: every method may be called concurrently, with other locks
// held: the pool's lock is a leaf and no task runs in the caller's thread.
#pragma once

#include <deque>
#include <functional>
#include <thread>
#include <vector>

#include "media/mutex.h"

namespace vellum {

class WorkerPool {
 public:
  using Task = std::function<void()>;
  enum class Urgency : bool { kNormal = false, kUrgent = true };

  explicit WorkerPool(size_t threads);
  ~WorkerPool();  // Stop
  WorkerPool(const WorkerPool&) = delete;
  WorkerPool& operator=(const WorkerPool&) = delete;

  // REQUIRES: Stop was not called.
  void Post(Urgency urgency, Task task);
  // Runs what is queued, then ends the threads. Not from a task.
  void Stop();

 private:
  void Main();

  Mutex mu_;  // a leaf: nothing is called with it held
  CondVar work_;
  std::deque<Task> urgent_ GUARDED_BY(mu_);
  std::deque<Task> normal_ GUARDED_BY(mu_);
  bool stopped_ GUARDED_BY(mu_) = false;
  std::vector<std::jthread> threads_;  // last: they use all of the above
};

}  // namespace vellum
