// SPDX-License-Identifier: Apache-2.0
// Figures of a library for a monitoring system (X9): the control file
// `metrics`, in the text format 0.0.4 of Prometheus. docs/control.md names all
// of them.
#pragma once

#include <string>

#include "media/error.h"

namespace vellum {

class Service;

// Moves and reads no medium. Errors as BuildTable.
Result<std::string> MetricsText(const Service& service);

}  // namespace vellum
