// SPDX-License-Identifier: Apache-2.0
// Paths that a user types, as the daemon wants them: it knows no working
// directory.
#pragma once

#include <optional>
#include <string>

namespace vellum {

// "VOL/PATH" of a path, relative to the working directory or not, that leads
// below the mount point; "" is the mount point itself. nullopt: it leads
// elsewhere. A symlink on the way is followed, the last name is not.
std::optional<std::string> PathBelowMount(const std::string& mount,
                                          const std::string& path);
// The same, or the words as they are where they lead elsewhere: VOL/PATH.
std::string VolumePathOf(const std::string& mount, const std::string& path);

}  // namespace vellum
