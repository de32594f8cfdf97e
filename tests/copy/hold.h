// SPDX-License-Identifier: Apache-2.0
// Keeps an operation of a device from coming back until somebody lets it go.
#pragma once

#include "media/mutex.h"

namespace vellum {

// Thread-safety: all methods may be called concurrently.
class Hold {
 public:
  // By the operation: returns when all are let go.
  void Stay() {
    const MutexLock lock(&mu_);
    stays_ = true;
    changed_.NotifyAll();
    while (!let_go_) changed_.Wait(&mu_);
  }
  // By what causes the operation: it has ended.
  void End() {
    const MutexLock lock(&mu_);
    ended_ = true;
    changed_.NotifyAll();
  }
  // Waits until an operation stays. False: what causes it ended before.
  bool AwaitStay() {
    const MutexLock lock(&mu_);
    while (!stays_ && !ended_) changed_.Wait(&mu_);
    return stays_;
  }
  // From now on nothing stays.
  void LetGo() {
    const MutexLock lock(&mu_);
    let_go_ = true;
    changed_.NotifyAll();
  }

 private:
  Mutex mu_;  // a leaf
  CondVar changed_;
  bool stays_ GUARDED_BY(mu_) = false;
  bool ended_ GUARDED_BY(mu_) = false;
  bool let_go_ GUARDED_BY(mu_) = false;
};

}  // namespace vellum
