// SPDX-License-Identifier: Apache-2.0
#include "media/virtual_library.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <unistd.h>

#include <cerrno>
#include <memory>

#include "media/changer_controls.h"
#include "media/device_clock.h"
#include "media/device_faults.h"
#include "media/file_util.h"
#include "media/library_directory.h"
#include "media/timed_devices.h"
#include "media/virtual_changer.h"
#include "media/virtual_controls.h"
#include "media/virtual_drive.h"
#include "media/virtual_state.h"

namespace vellum {

namespace {

std::string MakeTag(uint32_t number) { return fmt::format("V{:05}", number); }

// A sparse file of the full size: no byte of it takes space yet.
Status MakeImage(const std::string& path, uint64_t bytes) {
  UniqueFd fd(open(path.c_str(), O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600));
  if (!fd.valid()) return ErrnoError("make image " + path, errno);
  if (ftruncate(fd.get(), static_cast<off_t>(bytes)) != 0) {
    return ErrnoError(fmt::format("make image {} of {} bytes", path, bytes),
                      errno);
  }
  if (fsync(fd.get()) != 0) return ErrnoError("fsync " + path, errno);
  return Status::Ok();
}

// REQUIRES: `directory` and its folders exist and are empty.
Status MakeMedia(const std::string& directory,
                 const VirtualLibraryOptions& geometry) {
  VirtualPlaces places;
  const ElementMap map = VirtualElementMap(geometry);
  for (uint32_t i = 0; i < geometry.media; ++i) {
    const VolumeTag tag = MakeTag(i + 1);
    RETURN_IF_ERROR(
        MakeImage(VirtualImagePath(directory, tag), geometry.capacity));
    const ElementAddress slot{
        static_cast<uint16_t>(map.storage.first.value + i)};
    places[slot].tag = tag;
  }
  RETURN_IF_ERROR(SyncDirectory(directory + "/media"));
  return WriteVirtualPlaces(directory, places);
}

}  // namespace

Status InitVirtualLibrary(const std::string& directory,
                          const VirtualLibraryOptions& options) {
  RETURN_IF_ERROR(CheckGeometry(options).WithContext("init " + directory));
  VirtualLibraryOptions geometry = options;
  geometry.capacity = RoundCapacity(options.capacity);
  LibraryConfig config;
  config.devices = geometry;
  return InitLibraryDirectory(directory, config, {"media"},
                              [&] { return MakeMedia(directory, geometry); });
}

Result<LibraryDevices> OpenVirtualLibrary(const LibraryConfig& config) {
  ASSIGN_OR_RETURN(const std::shared_ptr<VirtualState> state,
                   VirtualState::Load(config));
  const auto controls = std::make_shared<VirtualControls>(state);
  LibraryDevices devices;
  devices.virtual_controls = controls;
  devices.changer = std::make_unique<FaultyChanger>(
      std::make_unique<VirtualChanger>(state), controls->faults());
  const auto tag_of = [state](ElementAddress drive) {
    const VirtualPlaces places = state->Places();
    const auto it = places.find(drive);
    return it == places.end() ? VolumeTag() : it->second.tag;
  };
  const ElementRange drives = state->map().data_transfer;
  for (uint32_t i = 0; i < drives.count; ++i) {
    devices.drives.push_back(std::make_unique<FaultyDrive>(
        std::make_unique<VirtualDrive>(
            state,
            ElementAddress{static_cast<uint16_t>(drives.first.value + i)}),
        tag_of, controls->faults()));
  }
  const TimingOptions& timing = state->geometry().timing;
  if (timing.enabled()) {
    const auto clock = std::make_shared<ScaledClock>(timing.scale);
    devices.changer = std::make_unique<TimedChanger>(std::move(devices.changer),
                                                     timing.model, clock);
    for (std::unique_ptr<Drive>& drive : devices.drives) {
      drive =
          std::make_unique<TimedDrive>(std::move(drive), timing.model, clock);
    }
  }
  devices.changer_controls = std::make_shared<ChangerControls>(
      [state](const std::optional<ElementRange>&) { return state->Reload(); },
      [state](bool lock) {
        state->LockDoor(lock);
        return Status::Ok();
      });
  devices.changer = std::make_unique<ControlledChanger>(
      std::move(devices.changer), devices.changer_controls);
  return devices;
}

}  // namespace vellum
