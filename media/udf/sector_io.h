// SPDX-License-Identifier: Apache-2.0
// Single sectors of a medium. Private to media/udf.
#pragma once

#include <cstdint>

#include "media/error.h"
#include "media/medium.h"
#include "media/types.h"
#include "media/udf/codec.h"

namespace vellum::udf {

inline Result<Sector> ReadSector(Medium& medium, uint64_t lba) {
  Sector sector;
  RETURN_IF_ERROR(medium.Read(lba, sector));
  return sector;
}

inline Status WriteSector(Medium& medium, uint64_t lba, const Sector& sector) {
  return medium.Write(lba, sector);
}

}  // namespace vellum::udf
