// SPDX-License-Identifier: Apache-2.0
// The range checks that every Medium makes before it transfers anything.
#pragma once

#include <cstddef>
#include <cstdint>

#include "media/error.h"
#include "media/medium.h"

namespace vellum {

// kInvalidArgument, naming the medium, unless [lba, lba + count) lies inside
// it.
Status CheckSectorRange(const MediumInfo& info, const char* operation,
                        uint64_t lba, uint64_t count);

// The same for a buffer of `bytes` bytes, which must be whole sectors.
Status CheckTransfer(const MediumInfo& info, const char* operation,
                     uint64_t lba, size_t bytes);

// kWriteProtected, naming the medium, when it is.
Status CheckWritable(const MediumInfo& info, const char* operation);

}  // namespace vellum
