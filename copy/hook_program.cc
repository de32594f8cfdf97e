// SPDX-License-Identifier: Apache-2.0
#include "copy/hook_program.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cerrno>

#include "media/file_util.h"

namespace vellum {
namespace {

using HookClock = std::chrono::steady_clock;

constexpr size_t kKeptOutput = 4096;
constexpr int kPollMs = 20;
constexpr int kTimeoutCode = 124;
constexpr int kCannotRunCode = 126;

std::vector<std::string> EnvironmentOf(const HookProgram& hook) {
  std::vector<std::string> all;
  for (char** entry = environ; *entry != nullptr; ++entry) {
    const std::string text = *entry;
    bool replaced = false;
    for (const auto& [key, value] : hook.environment) {
      replaced = replaced || text.rfind(key + "=", 0) == 0;
    }
    if (!replaced) all.push_back(text);
  }
  for (const auto& [key, value] : hook.environment) {
    all.push_back(key + "=" + value);
  }
  return all;
}

// Its own process group, no signal blocked, nothing open but the pipe.
int Spawn(const HookProgram& hook, int output, pid_t* pid) {
  posix_spawn_file_actions_t files;
  posix_spawn_file_actions_init(&files);
  posix_spawn_file_actions_addopen(&files, 0, "/dev/null", O_RDONLY, 0);
  posix_spawn_file_actions_adddup2(&files, output, 1);
  posix_spawn_file_actions_adddup2(&files, output, 2);
  posix_spawn_file_actions_addclosefrom_np(&files, 3);
  posix_spawnattr_t attributes;
  posix_spawnattr_init(&attributes);
  sigset_t none, all;
  sigemptyset(&none);
  sigfillset(&all);
  posix_spawnattr_setsigmask(&attributes, &none);
  posix_spawnattr_setsigdefault(&attributes, &all);
  posix_spawnattr_setpgroup(&attributes, 0);
  posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETPGROUP |
                                            POSIX_SPAWN_SETSIGMASK |
                                            POSIX_SPAWN_SETSIGDEF);
  std::vector<std::string> environment = EnvironmentOf(hook);
  std::vector<char*> pointers;
  for (std::string& entry : environment) pointers.push_back(entry.data());
  pointers.push_back(nullptr);
  std::string path = hook.path;
  std::array<char*, 2> arguments = {path.data(), nullptr};
  const int error = posix_spawn(pid, hook.path.c_str(), &files, &attributes,
                                arguments.data(), pointers.data());
  posix_spawnattr_destroy(&attributes);
  posix_spawn_file_actions_destroy(&files);
  return error;
}

// False at the end of the output.
bool Drain(int fd, std::string* output) {
  std::array<char, 1024> buffer;
  ssize_t count = 0;
  while ((count = read(fd, buffer.data(), buffer.size())) > 0) {
    output->append(buffer.data(), static_cast<size_t>(count));
    if (output->size() > 2 * kKeptOutput) {
      output->erase(0, output->size() - kKeptOutput);
    }
  }
  return count < 0;
}

std::string LastLine(std::string text) {
  while (!text.empty() && (text.back() == '\n' || text.back() == ' ')) {
    text.pop_back();
  }
  const size_t line = text.rfind('\n');
  return line == std::string::npos ? text : text.substr(line + 1);
}

Status Failed(const HookProgram& hook, const std::string& how,
              const std::string& output) {
  const std::string last = LastLine(output);
  return Status(Errc::kAborted,
                fmt::format("hook {} ({}) {}{}{}", hook.name, hook.path, how,
                            last.empty() ? "" : ": ", last));
}

}  // namespace

HookOutcome RunHookProgram(const HookProgram& hook, std::stop_token stop) {
  HookOutcome outcome;
  int ends[2];
  if (pipe2(ends, O_CLOEXEC | O_NONBLOCK) != 0) {
    outcome.exit_code = kCannotRunCode;
    outcome.status = ErrnoError("hook " + hook.name + ": pipe", errno);
    return outcome;
  }
  const UniqueFd reader(ends[0]);
  pid_t pid = 0;
  int error = 0;
  {
    const UniqueFd writer(ends[1]);
    // What the program gets must not be non-blocking.
    fcntl(writer.get(), F_SETFL, 0);
    error = Spawn(hook, writer.get(), &pid);
  }
  if (error != 0) {
    outcome.exit_code = kCannotRunCode;
    outcome.status =
        Failed(hook, "cannot be run", ErrnoError(hook.path, error).message);
    return outcome;
  }
  const auto deadline = HookClock::now() + hook.timeout;
  bool late = false, stopped = false, open = true;
  int status = 0;
  for (;;) {
    pollfd wait{reader.get(), POLLIN, 0};
    poll(&wait, open ? 1 : 0, kPollMs);
    open = open && Drain(reader.get(), &outcome.output);
    if (waitpid(pid, &status, WNOHANG) == pid) break;
    stopped = stop.stop_requested();
    late = HookClock::now() >= deadline;
    if (!late && !stopped) continue;
    kill(-pid, SIGKILL);
    while (waitpid(pid, &status, 0) < 0 && errno == EINTR) {
    }
    break;
  }
  Drain(reader.get(), &outcome.output);
  if (outcome.output.size() > kKeptOutput) {
    outcome.output.erase(0, outcome.output.size() - kKeptOutput);
  }
  if (late) {
    outcome.exit_code = kTimeoutCode;
    outcome.status = Failed(
        hook, fmt::format("was killed after {} s", hook.timeout.count() / 1000),
        outcome.output);
  } else if (stopped) {
    outcome.exit_code = 128 + SIGKILL;
    outcome.status = Status(Errc::kInterrupted,
                            fmt::format("hook {} was given up", hook.name));
  } else if (WIFSIGNALED(status)) {
    outcome.exit_code = 128 + WTERMSIG(status);
    outcome.status =
        Failed(hook, fmt::format("was ended by signal {}", WTERMSIG(status)),
               outcome.output);
  } else if (WEXITSTATUS(status) != 0) {
    outcome.exit_code = WEXITSTATUS(status);
    outcome.status =
        Failed(hook, fmt::format("ended with exit code {}", outcome.exit_code),
               outcome.output);
  }
  return outcome;
}

}  // namespace vellum
