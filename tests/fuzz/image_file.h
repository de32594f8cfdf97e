// SPDX-License-Identifier: Apache-2.0
// Media in memory from image files and back.
#pragma once

#include <memory>
#include <string>

#include "tests/support/memory_medium.h"

namespace vellum::fuzz {

// Both end the process when they cannot.
std::unique_ptr<MemoryMedium> ReadImage(const std::string& path);
// Replaces the file; blank regions are holes of it.
void WriteImage(const MemoryMedium& medium, const std::string& path);

}  // namespace vellum::fuzz
