// SPDX-License-Identifier: Apache-2.0
// The main thread of a daemon: it waits for the first request, for signals and
// for the end.
#pragma once

#include <signal.h>

#include <atomic>
#include <functional>
#include <memory>

#include "media/error.h"

namespace vellum {

// While it lives, SIGTERM, SIGINT and SIGHUP are blocked in this thread and in
// all threads that it starts, and Wait sees them; SIGPIPE is ignored. One at a
// time in a process. Notes may be called from any thread.
class Serving {
 public:
  static Result<std::unique_ptr<Serving>> Start();
  ~Serving();

  void NoteReady() { Note(kReady); }
  void NoteEnded() { Note(kEnded); }        // no more requests come
  void NoteShutdown() { Note(kShutdown); }  // asked for by a command

  enum class Reason { kUnmounted, kSignal, kShutdown };
  // `on_ready` is called once, from this thread, behind NoteReady.
  Reason Wait(const std::function<void()>& on_ready);

 private:
  enum Bit : unsigned { kReady = 1, kEnded = 2, kShutdown = 4 };
  Serving(int signal_fd, int event_fd)
      : signals_(signal_fd), events_(event_fd) {}
  void Note(Bit bit);

  const int signals_;
  const int events_;
  std::atomic<unsigned> noted_{0};
  sigset_t old_mask_{};
  struct sigaction old_pipe_ {};
};

}  // namespace vellum
