// SPDX-License-Identifier: Apache-2.0
// Sizes, rates and times as people write and read them.
//
// Thread-safety: pure functions.
#pragma once

#include <cstdint>
#include <string>

#include "media/error.h"

namespace vellum {

// "25G", "700M", "64Ki", "1.5T", "1048576": bytes. K M G T are powers of 1000,
// Ki Mi Gi Ti powers of 1024; a B may follow. kInvalidArgument shows the form.
Result<uint64_t> ParseSize(const std::string& text);

// "512 B", "1.4 MB", "25.0 GB": powers of 1000, as media are sold.
std::string FormatBytes(uint64_t bytes);

// "59 s", "4:05 min", "2:10:00 h".
std::string FormatSeconds(double seconds);

}  // namespace vellum
