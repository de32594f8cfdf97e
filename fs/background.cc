// SPDX-License-Identifier: Apache-2.0
// What the child writes into the pipe: one byte kReady, or the number of an
// Errc as a byte kError + code, then the message, until end of file.
#include "fs/background.h"

#include <fcntl.h>
#include <spdlog/spdlog.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <cstdint>
#include <string>
#include <string_view>

namespace vellum {
namespace {

constexpr uint8_t kReady = 1;
constexpr uint8_t kError = 2;

// Pipes take messages of this size whole or not at all.
void Send(int fd, std::string_view text) {
  while (!text.empty()) {
    const ssize_t n = write(fd, text.data(), text.size());
    if (n < 0 && errno == EINTR) continue;
    if (n <= 0) return;  // the parent is gone: nobody to tell
    text.remove_prefix(static_cast<size_t>(n));
  }
}

std::string ReceiveAll(int fd) {
  std::string text;
  char buffer[4096];
  while (true) {
    const ssize_t n = read(fd, buffer, sizeof(buffer));
    if (n < 0 && errno == EINTR) continue;
    if (n <= 0) return text;
    text.append(buffer, static_cast<size_t>(n));
  }
}

void DetachStdio() {
  const int null = open("/dev/null", O_RDWR | O_CLOEXEC);
  if (null < 0) return;
  for (int fd = 0; fd <= 2; ++fd) dup2(null, fd);
  close(null);
}

[[noreturn]] void RunChild(
    int fd,
    const std::function<Status(const std::function<void()>& ready)>& serve) {
  setsid();
  // The daemon must not keep the caller's directory from being unmounted.
  if (chdir("/") != 0) spdlog::warn("chdir(\"/\") failed");
  bool told = false;
  const Status status = serve([&] {
    if (told) return;
    told = true;
    DetachStdio();
    const char byte = static_cast<char>(kReady);
    Send(fd, std::string_view(&byte, 1));
    close(fd);
  });
  if (!status.ok() && told) {
    spdlog::error("{}", status.ToString());
  } else if (!told) {
    std::string text(
        1, static_cast<char>(
               kError + static_cast<uint8_t>(status.ok() ? Errc::kAborted
                                                         : status.code())));
    text += status.ok() ? "ended before it served" : status.error().message;
    Send(fd, text);
  }
  spdlog::shutdown();
  _exit(status.ok() ? 0 : 1);
}

}  // namespace

Status RunInBackground(
    const std::function<Status(const std::function<void()>& ready)>& serve) {
  int ends[2];
  if (pipe2(ends, O_CLOEXEC) != 0) return ErrnoError("pipe", errno);
  const pid_t pid = fork();
  if (pid < 0) {
    const int err = errno;
    close(ends[0]);
    close(ends[1]);
    return ErrnoError("fork", err);
  }
  if (pid == 0) {
    close(ends[0]);
    RunChild(ends[1], serve);
  }
  close(ends[1]);
  const std::string text = ReceiveAll(ends[0]);
  close(ends[0]);
  const uint8_t first = text.empty() ? 0 : static_cast<uint8_t>(text[0]);
  if (first == kReady) return Status::Ok();
  while (waitpid(pid, nullptr, 0) < 0 && errno == EINTR) {
  }
  if (first < kError) {
    return Status(Errc::kAborted, "the daemon ended before it served");
  }
  return Status(static_cast<Errc>(first - kError), text.substr(1));
}

}  // namespace vellum
