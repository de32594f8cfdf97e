// SPDX-License-Identifier: Apache-2.0
// Symlink targets as path components (ECMA-167 4/14.16). Private to media/udf.
#pragma once

#include <string>
#include <string_view>

#include "media/error.h"
#include "media/types.h"

namespace vellum::udf {

struct EncodedPath {
  Bytes data;
  bool exact = true;  // false: decoding does not give the target back
};
EncodedPath EncodePath(std::string_view target);

// What other systems make of the components: names joined by '/'. kCorruption.
Result<std::string> DecodePath(ConstByteSpan data);

}  // namespace vellum::udf
