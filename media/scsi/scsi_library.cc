// SPDX-License-Identifier: Apache-2.0
#include "media/scsi/scsi_library.h"

#include <fmt/format.h>

#include "media/library_directory.h"

namespace vellum {

Status InitScsiLibrary(const std::string& directory,
                       const ScsiLibraryOptions& options) {
  RETURN_IF_ERROR(CheckScsiOptions(options).WithContext("init " + directory));
  LibraryConfig config;
  config.devices = options;
  return InitLibraryDirectory(directory, config, {}, nullptr);
}

Result<LibraryDevices> OpenScsiLibrary(const LibraryConfig& config) {
  return Error{Errc::kNotSupported,
               fmt::format("library {}: this program does not drive SCSI "
                           "devices yet",
                           config.directory)};
}

}  // namespace vellum
