// SPDX-License-Identifier: Apache-2.0
#include "index/worker_pool.h"

#include <utility>

#include "media/error.h"

namespace vellum {

WorkerPool::WorkerPool(size_t threads) {
  for (size_t i = 0; i < threads; ++i) {
    threads_.emplace_back([this] { Main(); });
  }
}

WorkerPool::~WorkerPool() { Stop(); }

void WorkerPool::Post(Urgency urgency, Task task) {
  MutexLock lock(&mu_);
  VELLUM_CHECK(!stopped_);
  auto& queue = urgency == Urgency::kUrgent ? urgent_ : normal_;
  queue.push_back(std::move(task));
  work_.NotifyOne();
}

void WorkerPool::Stop() {
  {
    MutexLock lock(&mu_);
    stopped_ = true;
    work_.NotifyAll();
  }
  for (std::jthread& thread : threads_) {
    if (thread.joinable()) thread.join();
  }
}

void WorkerPool::Main() {
  for (;;) {
    Task task;
    {
      MutexLock lock(&mu_);
      while (urgent_.empty() && normal_.empty()) {
        if (stopped_) return;
        work_.Wait(&mu_);
      }
      auto& queue = urgent_.empty() ? normal_ : urgent_;
      task = std::move(queue.front());
      queue.pop_front();
    }
    task();
  }
}

}  // namespace vellum
