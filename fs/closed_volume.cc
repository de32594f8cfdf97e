// SPDX-License-Identifier: Apache-2.0
#include "fs/closed_volume.h"

#include <fmt/format.h>

namespace vellum {

Status ClosedVolume::Lost() const {
  if (volume == nullptr || volume->losses() == losses) return Status::Ok();
  return Status(Errc::kDeviceError,
                fmt::format("volume {} was closed, and what was not committed "
                            "is lost: it could not be written to medium {}",
                            volume->id(), volume->record().medium));
}

ClosedVolume VolumeToClose(Volumes& volumes, const MediumId& medium) {
  ClosedVolume found;
  const std::shared_ptr<Volume> volume = volumes.FindByMedium(medium);
  if (volume == nullptr || !volumes.loaded(*volume)) return found;
  found.losses = volume->losses();
  found.volume = volume;
  return found;
}

Result<ClosedVolume> CloseVolumeOn(Volumes& volumes, const MediumId& medium,
                                   const std::stop_token& stop) {
  ClosedVolume closed = VolumeToClose(volumes, medium);
  if (closed.volume != nullptr) {
    ASSIGN_OR_RETURN(closed.exclusion, volumes.Exclude(closed.volume, stop));
  }
  return closed;
}

}  // namespace vellum
