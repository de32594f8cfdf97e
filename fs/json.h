// SPDX-License-Identifier: Apache-2.0
// JSON values of the control tree. Keys keep the order in which they are
// documented (docs/control.md).
#pragma once

#include <nlohmann/json.hpp>

namespace vellum {

using Json = nlohmann::ordered_json;

}  // namespace vellum
