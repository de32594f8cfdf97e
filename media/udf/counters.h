// SPDX-License-Identifier: Apache-2.0
// Bound of the numbers on a medium that only ever grow by one. Private to
// media/udf.
#pragma once

#include <cstdint>

namespace vellum::udf {

// Epochs, sequence and generation numbers are below this. A larger one was not
// counted but made up, and nothing that is written later could be newer.
inline constexpr uint64_t kCounterLimit = uint64_t{1} << 63;

}  // namespace vellum::udf
