// SPDX-License-Identifier: Apache-2.0
#include "media/manual/manual_library.h"

#include <fmt/format.h>

#include <memory>
#include <utility>
#include <variant>

#include "media/library_directory.h"
#include "media/manual/manual_changer.h"
#include "media/manual/manual_drive.h"
#include "media/manual/manual_state.h"

namespace vellum {

namespace {

ManualConfig DevicesOf(const LibraryConfig& config) {
  const auto& options = std::get<ManualLibraryOptions>(config.devices);
  ManualConfig manual;
  manual.directory = config.directory;
  manual.lib_num = config.lib_num;
  manual.docks = options.docks;
  manual.slots = options.slots;
  manual.atomic_unit = options.atomic_unit;
  return manual;
}

}  // namespace

Status InitManualLibrary(const std::string& directory,
                         const ManualLibraryOptions& options) {
  RETURN_IF_ERROR(CheckManualOptions(options).WithContext("init " + directory));
  LibraryConfig config;
  config.devices = options;
  const ElementMap map = ManualElementMap(DevicesOf(config));
  return InitLibraryDirectory(directory, config, {}, [&] {
    Shelf shelf;
    for (uint32_t i = 0; i < options.media; ++i) {
      const ElementAddress place{
          static_cast<uint16_t>(map.storage.first.value + i)};
      shelf[place].tag = fmt::format("V{:05}", i + 1);
    }
    return WriteShelf(directory, shelf);
  });
}

Result<LibraryDevices> OpenManualLibrary(const LibraryConfig& config) {
  ASSIGN_OR_RETURN(const std::shared_ptr<ManualState> state,
                   ManualState::Load(DevicesOf(config)));
  LibraryDevices devices;
  devices.changer = std::make_unique<ManualChanger>(state);
  const ElementRange docks = state->map().data_transfer;
  for (uint32_t i = 0; i < docks.count; ++i) {
    devices.drives.push_back(std::make_unique<ManualDrive>(
        state, ElementAddress{static_cast<uint16_t>(docks.first.value + i)}));
  }
  devices.manual = state;
  return devices;
}

}  // namespace vellum
