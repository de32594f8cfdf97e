// SPDX-License-Identifier: Apache-2.0
// What an error of ReadControlSlot (media/udf/control.h) says of the medium.
// Thread-safety: a function of its argument.
#pragma once

#include "media/error.h"

namespace vellum::udf {

// Whether the medium was read, and holds no control slot that this program
// knows: it is blank, foreign, damaged or newer. After any other error nobody
// knows what it holds.
inline bool SaysNoSlot(Errc code) {
  return code == Errc::kNotFound || code == Errc::kCorruption ||
         code == Errc::kIncompatible;
}

}  // namespace vellum::udf
