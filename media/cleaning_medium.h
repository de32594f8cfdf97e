// SPDX-License-Identifier: Apache-2.0
// Cartridges that clean drives: no place for data, and each load uses one up.
#pragma once

#include <string_view>

#include "media/element.h"

namespace vellum {

// ElementStatus::note and MediumPlace::problem of such a medium.
inline constexpr std::string_view kCleaningMedium = "cleaning medium";

// As the changer says, or by the bar code that makers give them (CLN…).
inline bool IsCleaningMedium(const ElementStatus& status) {
  return status.full && (status.note == kCleaningMedium ||
                         status.volume_tag.starts_with("CLN"));
}

}  // namespace vellum
