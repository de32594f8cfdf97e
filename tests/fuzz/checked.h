// SPDX-License-Identifier: Apache-2.0
// What the targets' own material is made with: no error is expected there, so
// one ends the process, with what it says.
#pragma once

#include <cstdio>
#include <cstdlib>
#include <utility>

#include "media/error.h"

namespace vellum::fuzz {

inline void Check(const Status& status) {
  if (status.ok()) return;
  std::fprintf(stderr, "fuzz: %s\n", status.ToString().c_str());
  std::abort();
}

template <typename T>
T Value(Result<T> result) {
  Check(result.status());
  return std::move(*result);
}

}  // namespace vellum::fuzz
