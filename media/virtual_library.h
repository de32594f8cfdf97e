// SPDX-License-Identifier: Apache-2.0
// The virtual library: a directory that serves as changer, drives, slots and
// media, the embedded default (H1).
//
//   library.toml   geometry, media, policies (written once by Init; the
//                  operator may edit it while no daemon runs)
//   media/TAG.img  sparse; byte for byte what would be on the medium
//   state/elements.json  which medium is in which element; replaced atomically
//                  (write, fsync, rename, fsync of the directory)
//   state/lock     flock'ed by the daemon: one daemon per library
//   catalog/       RocksDB         spool/  staging space of copies
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "media/changer.h"
#include "media/drive.h"
#include "media/error.h"
#include "media/types.h"

namespace vellum {

// `vellum init`.
struct VirtualLibraryOptions {
  uint16_t slots = 12;         // storage elements, from address 1024
  uint16_t drives = 2;         // data transfer elements, from 256
  uint16_t import_export = 1;  // from 768; the transport is 1
  uint16_t media = 8;          // tags V00001, V00002, … in slots 1024, …
  uint64_t capacity = 25'000'000'000;  // bytes per medium, rounded down to
                                       // whole regions; at least 8 MiB
  // Bytes of what the drives may destroy when power goes while they write one
  // sector (MediumInfo::atomic_sectors): 2048 to 65536, a power of two.
  uint32_t atomic_unit = 2048;
};

// What library.toml says. Paths are absolute.
struct LibraryConfig {
  std::string directory;
  uint32_t lib_num = 0;
  VirtualLibraryOptions geometry;
  uint64_t spool_limit = 0;  // bytes of staging space; 0 = what is free
  uint64_t overlay_limit = 1ull << 30;  // bytes a snapshot may keep
  uint32_t checkpoint_interval_ms = 5000;
  uint16_t copy_start = 0;  // pool range; 0,0 = every storage element
  uint16_t copy_end = 0;
};

// Makes the library. kExists when DIR holds a library already or is not empty;
// kInvalidArgument with the bound for options out of range; kNoSpace. On error
// nothing that was there is changed.
Status InitVirtualLibrary(const std::string& directory,
                          const VirtualLibraryOptions& options);

// Reads and checks library.toml: errors carry file and line. kNotFound when
// `directory` is no library.
Result<LibraryConfig> ReadLibraryConfig(const std::string& directory);

// Held for the daemon's life. kBusy names the process that serves the library.
class LibraryLock {
 public:
  static Result<LibraryLock> Take(const std::string& directory);
  LibraryLock(LibraryLock&& other) noexcept;
  LibraryLock& operator=(LibraryLock&& other) noexcept;
  ~LibraryLock();

  // Writes the pid of the calling process into the lock file, for the message
  // above: call it after a fork that leaves the lock to the child.
  Status UpdateOwner();

 private:
  explicit LibraryLock(int fd) : fd_(fd) {}
  int fd_ = -1;
};

struct VirtualDevices {
  std::unique_ptr<Changer> changer;
  std::vector<std::unique_ptr<Drive>> drives;
};
// The devices of the virtual library. An image that is missing, or whose size
// is not a whole number of sectors or not the capacity, does not fail here: its
// element is shown with `exception` and a note; a load of it fails with
// kNoMedium / kIncompatible naming the file.
Result<VirtualDevices> OpenVirtualLibrary(const LibraryConfig& config);

// One image file as a medium, without any library (vellum mount --image).
// kNotFound, kAccessDenied; kIncompatible when the size is not a whole number
// of sectors.
Result<std::unique_ptr<Medium>> OpenImageFile(const std::string& path,
                                              bool read_only);

}  // namespace vellum
