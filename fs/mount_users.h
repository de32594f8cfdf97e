// SPDX-License-Identifier: Apache-2.0
// Who stands on a mount without having a file open there.
#pragma once

#include <string>
#include <vector>

namespace vellum {

// A process whose working directory or root is on one of the mount points (or
// below it), as "PATH: process 12 (bash) has its working directory there"; ""
// when none is known: only root sees the processes of other users. Processes in
// another mount namespace do not count, as they do not for umount(2). Asks
// nothing of the mounts themselves. Thread-safety: a function.
std::string ProcessStandingOn(const std::vector<std::string>& mount_points);

}  // namespace vellum
