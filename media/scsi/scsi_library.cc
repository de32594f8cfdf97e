// SPDX-License-Identifier: Apache-2.0
#include "media/scsi/scsi_library.h"

#include <fmt/format.h>

#include "media/library_directory.h"
#include "media/scsi/scsi_drive.h"
#include "media/scsi/tagged_changer.h"

namespace vellum {

Status InitScsiLibrary(const std::string& directory,
                       const ScsiLibraryOptions& options) {
  RETURN_IF_ERROR(CheckScsiOptions(options).WithContext("init " + directory));
  LibraryConfig config;
  config.devices = options;
  return InitLibraryDirectory(directory, config, {}, nullptr);
}

LibraryDevices JoinScsiDevices(
    std::unique_ptr<Changer> changer,
    std::vector<std::pair<ElementAddress, std::shared_ptr<scsi::Device>>>
        drives) {
  const auto book = std::make_shared<scsi::TagBook>();
  LibraryDevices devices;
  devices.changer =
      std::make_unique<scsi::TaggedChanger>(std::move(changer), book);
  for (auto& [element, device] : drives) {
    scsi::ScsiDriveOptions options;
    options.volume_tag = [book, at = element] { return book->At(at); };
    devices.drives.push_back(std::make_unique<scsi::ScsiDrive>(
        element, std::move(device), std::move(options)));
  }
  return devices;
}

Result<LibraryDevices> OpenScsiLibrary(const LibraryConfig& config) {
  return Error{Errc::kNotSupported,
               fmt::format("library {}: this program does not drive SCSI "
                           "devices yet",
                           config.directory)};
}

}  // namespace vellum
