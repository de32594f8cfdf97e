// SPDX-License-Identifier: Apache-2.0
// What passes between the kernel and libfuse, where we know more than this
// libfuse does.
#pragma once

#include "media/error.h"

struct fuse_session;

namespace vellum {

// Agrees with the kernel that it is ours to clear set-id bits when a file is
// changed (FUSE_HANDLE_KILLPRIV_V2, fuse_ops_privileges.cc), which libfuse 3.14
// has no name for. Otherwise the kernel asks for "security.capability" before
// each write(2), which makes two requests of one. Kernels before 5.11 do not
// offer it, and clear the bits themselves.
// REQUIRES: mounted, the loop does not run yet.
Status TakeOverSetIdBits(fuse_session* session);

}  // namespace vellum
