// SPDX-License-Identifier: Apache-2.0
// Runs a program of the operator's before or after a job (A9).
//
// Thread-safety: functions; may be called concurrently.
#pragma once

#include <chrono>
#include <stop_token>
#include <string>
#include <utility>
#include <vector>

#include "media/error.h"

namespace vellum {

struct HookProgram {
  std::string name;  // "before_copy", for messages
  std::string path;
  // Added to the daemon's own environment.
  std::vector<std::pair<std::string, std::string>> environment;
  std::chrono::milliseconds timeout{300'000};
};

struct HookOutcome {
  // Of the program; 128 + N when signal N ended it, 124 when its time was up.
  int exit_code = 0;
  std::string output;  // the end of what it wrote, at most 4 KiB
  Status status;       // kAborted names hook, program, exit code and last line
};

// Waits for its end; its whole process group is killed when its time is up or
// `stop` is requested (kInterrupted). Without a controlling terminal, stdin is
// /dev/null.
HookOutcome RunHookProgram(const HookProgram& hook, std::stop_token stop = {});

}  // namespace vellum
