// SPDX-License-Identifier: Apache-2.0
// A volume that is closed because its medium is wanted elsewhere.
#pragma once

#include <cstdint>
#include <memory>
#include <stop_token>

#include "index/volumes.h"
#include "media/error.h"

namespace vellum {

// Move only; the volume stays closed as long as it lives.
struct ClosedVolume {
  // kDeviceError, naming the volume: closing it has lost changes, as they could
  // not be committed. For when the medium is where it was wanted: a volume that
  // cannot be committed must not hold it in the drive.
  Status Lost() const;

  std::shared_ptr<Volume> volume;  // null: there was nothing to close
  uint64_t losses = 0;             // before it was closed
  Volumes::Exclusion exclusion;
};

// For somebody else to close: the volume of the medium if it is loaded, open.
ClosedVolume VolumeToClose(Volumes& volumes, const MediumId& medium);

// Commits and closes the volume of the medium if it is loaded. kBusy (in use),
// kAborted (`stop`): nothing was closed.
Result<ClosedVolume> CloseVolumeOn(Volumes& volumes, const MediumId& medium,
                                   const std::stop_token& stop);

}  // namespace vellum
