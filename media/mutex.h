// SPDX-License-Identifier: Apache-2.0
// Mutex, MutexLock and CondVar with clang's thread-safety annotations.
// libstdc++'s std::mutex carries none, hence the wrapper.
//
// Rule of the project: no lock is held across device I/O or a FUSE reply; the
// lock order is written at each mutex.
#pragma once

#include <chrono>
#include <condition_variable>
#include <mutex>

#if defined(__clang__)
#define VELLUM_TSA(x) __attribute__((x))
#else
#define VELLUM_TSA(x)
#endif

#define CAPABILITY(x) VELLUM_TSA(capability(x))
#define SCOPED_CAPABILITY VELLUM_TSA(scoped_lockable)
#define GUARDED_BY(x) VELLUM_TSA(guarded_by(x))
#define PT_GUARDED_BY(x) VELLUM_TSA(pt_guarded_by(x))
#define REQUIRES(...) VELLUM_TSA(requires_capability(__VA_ARGS__))
#define EXCLUDES(...) VELLUM_TSA(locks_excluded(__VA_ARGS__))
#define ACQUIRE(...) VELLUM_TSA(acquire_capability(__VA_ARGS__))
#define RELEASE(...) VELLUM_TSA(release_capability(__VA_ARGS__))
#define TRY_ACQUIRE(...) VELLUM_TSA(try_acquire_capability(__VA_ARGS__))
#define NO_THREAD_SAFETY_ANALYSIS VELLUM_TSA(no_thread_safety_analysis)

namespace vellum {

class CAPABILITY("mutex") Mutex {
 public:
  Mutex() = default;
  Mutex(const Mutex&) = delete;
  Mutex& operator=(const Mutex&) = delete;

  void Lock() ACQUIRE() { mu_.lock(); }
  void Unlock() RELEASE() { mu_.unlock(); }
  bool TryLock() TRY_ACQUIRE(true) { return mu_.try_lock(); }

 private:
  friend class CondVar;
  std::mutex mu_;
};

class SCOPED_CAPABILITY MutexLock {
 public:
  explicit MutexLock(Mutex* mu) ACQUIRE(mu) : mu_(mu) { mu_->Lock(); }
  ~MutexLock() RELEASE() {
    if (held_) mu_->Unlock();
  }
  MutexLock(const MutexLock&) = delete;
  MutexLock& operator=(const MutexLock&) = delete;

  // For the stretch of a function that does I/O.
  void Unlock() RELEASE() {
    mu_->Unlock();
    held_ = false;
  }
  void Lock() ACQUIRE() {
    mu_->Lock();
    held_ = true;
  }

 private:
  Mutex* const mu_;
  bool held_ = true;
};

// Wait() gives up the mutex while it sleeps and holds it again on return.
// Wake-ups may be spurious: wait in a loop.
class CondVar {
 public:
  void Wait(Mutex* mu) REQUIRES(mu) {
    std::unique_lock<std::mutex> lock(mu->mu_, std::adopt_lock);
    cv_.wait(lock);
    lock.release();
  }
  // False when the time ran out.
  bool WaitFor(Mutex* mu, std::chrono::nanoseconds timeout) REQUIRES(mu) {
    std::unique_lock<std::mutex> lock(mu->mu_, std::adopt_lock);
    const auto result = cv_.wait_for(lock, timeout);
    lock.release();
    return result == std::cv_status::no_timeout;
  }
  void NotifyOne() { cv_.notify_one(); }
  void NotifyAll() { cv_.notify_all(); }

 private:
  std::condition_variable cv_;
};

}  // namespace vellum
