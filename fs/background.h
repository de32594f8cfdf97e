// SPDX-License-Identifier: Apache-2.0
// Running in the background, with start-up errors that still reach the caller.
#pragma once

#include <functional>

#include "media/error.h"

namespace vellum {

// Forks. The child leads a session of its own and runs `serve`, which calls its
// argument once it works; the child ends with `serve`, and never returns from
// here. The parent returns Ok at that call, or the error with which `serve`
// returned before it. REQUIRES: no other threads.
Status RunInBackground(
    const std::function<Status(const std::function<void()>& ready)>& serve);

}  // namespace vellum
