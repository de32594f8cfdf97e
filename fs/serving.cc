// SPDX-License-Identifier: Apache-2.0
#include "fs/serving.h"

#include <poll.h>
#include <pthread.h>
#include <sys/eventfd.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include <cerrno>
#include <cstdint>
#include <memory>

namespace vellum {
namespace {

sigset_t EndSignals() {
  sigset_t set;
  sigemptyset(&set);
  sigaddset(&set, SIGTERM);
  sigaddset(&set, SIGINT);
  sigaddset(&set, SIGHUP);
  return set;
}

}  // namespace

Result<std::unique_ptr<Serving>> Serving::Start() {
  const sigset_t set = EndSignals();
  const int signals = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
  if (signals < 0) return ErrnoError("signalfd", errno);
  const int events = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
  if (events < 0) {
    const int err = errno;
    close(signals);
    return ErrnoError("eventfd", err);
  }
  std::unique_ptr<Serving> serving(new Serving(signals, events));
  pthread_sigmask(SIG_BLOCK, &set, &serving->old_mask_);
  struct sigaction ignore {};
  ignore.sa_handler = SIG_IGN;
  sigaction(SIGPIPE, &ignore, &serving->old_pipe_);
  return serving;
}

Serving::~Serving() {
  sigaction(SIGPIPE, &old_pipe_, nullptr);
  pthread_sigmask(SIG_SETMASK, &old_mask_, nullptr);
  close(events_);
  close(signals_);
}

void Serving::Note(Bit bit) {
  noted_ |= bit;
  const uint64_t one = 1;
  // Fails only when the counter is full, and then Wait wakes up anyway.
  if (write(events_, &one, sizeof(one)) < 0) return;
}

Serving::Reason Serving::Wait(const std::function<void()>& on_ready) {
  bool told = false;
  while (true) {
    pollfd fds[2] = {{signals_, POLLIN, 0}, {events_, POLLIN, 0}};
    if (poll(fds, 2, -1) < 0) continue;  // EINTR
    uint64_t count = 0;
    if ((fds[1].revents & POLLIN) != 0 &&
        read(events_, &count, sizeof(count)) < 0 && errno != EAGAIN) {
      continue;
    }
    const unsigned noted = noted_;
    if ((noted & kReady) != 0 && !told) {
      told = true;
      if (on_ready) on_ready();
    }
    if ((noted & kEnded) != 0) return Reason::kUnmounted;
    if ((noted & kShutdown) != 0) return Reason::kShutdown;
    if ((fds[0].revents & POLLIN) != 0) {
      signalfd_siginfo info{};
      if (read(signals_, &info, sizeof(info)) == sizeof(info)) {
        return Reason::kSignal;
      }
    }
  }
}

}  // namespace vellum
