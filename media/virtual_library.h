// SPDX-License-Identifier: Apache-2.0
// The virtual library: a directory that serves as changer, drives, slots and
// media, the embedded default (H1).
//
//   media/TAG.img  sparse; byte for byte what would be on the medium
//   media/TAG.json of media unlike the rest (virtual_medium.h)
//   state/elements.json  which medium is in which element; replaced atomically
//                  (write, fsync, rename, fsync of the directory)
// and what every library has (library_directory.h).
#pragma once

#include <memory>
#include <string>

#include "media/error.h"
#include "media/library_config.h"
#include "media/library_devices.h"
#include "media/medium.h"
#include "media/virtual_config.h"

namespace vellum {

// Makes the library. kExists when DIR holds a library already or is not empty;
// kInvalidArgument with the bound for options out of range; kNoSpace. On error
// nothing that was there is changed.
Status InitVirtualLibrary(const std::string& directory,
                          const VirtualLibraryOptions& options);

// The devices of the virtual library. An image that is missing, or whose size
// is not a whole number of sectors or not the capacity, does not fail here: its
// element is shown with `exception` and a note; a load of it fails with
// kNoMedium / kIncompatible naming the file.
// REQUIRES: config.devices holds VirtualLibraryOptions.
Result<LibraryDevices> OpenVirtualLibrary(const LibraryConfig& config);

// One image file as a medium, without any library (vellum mount --image).
// kNotFound, kAccessDenied; kIncompatible when the size is not a whole number
// of sectors.
Result<std::unique_ptr<Medium>> OpenImageFile(const std::string& path,
                                              bool read_only);

}  // namespace vellum
