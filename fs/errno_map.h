// SPDX-License-Identifier: Apache-2.0
// The one place that turns an Errc into an errno.
#pragma once

#include "media/error.h"

namespace vellum {

// The errno that system calls on the mount fail with. Two codes mean different
// things to different calls, and their callers say so themselves: kOutOfRange
// is ENXIO for lseek(2), kTooLarge is E2BIG for setxattr(2).
int ErrnoOf(Errc code);
// Of the write of a command: kTooLarge is E2BIG, a command that is too long.
int CommandErrnoOf(Errc code);

// "ENOSPC"; "EIO" for a number that these never answer.
const char* ErrnoName(int err);

}  // namespace vellum
