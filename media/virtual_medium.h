// SPDX-License-Identifier: Apache-2.0
// Media of a virtual library that are not as library.toml says of all: of
// another capacity, or write-once. media/TAG.json beside the image tells:
//
//   {"version": 1, "capacity": 4700372992, "class": "write-once",
//    "written": "blank"}
//
// capacity is the exact size of the image; class "rewritable" or "write-once";
// written (write-once only) "blank", "open" or "closed". An image without such
// a file is rewritable and has the capacity of library.toml. A medium is
// write-protected when its image has no write permission bit.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <utility>

#include "media/error.h"
#include "media/image_medium.h"
#include "media/medium.h"
#include "media/types.h"
#include "media/virtual_state.h"
#include "media/write_once_medium.h"

namespace vellum {

struct VirtualMediumTraits {
  uint64_t capacity = 0;  // bytes
  MediumClass medium_class = MediumClass::kRewritable;
  WrittenState written = WrittenState::kBlank;
  bool operator==(const VirtualMediumTraits&) const = default;
};

// The file for an image; nullopt: it has none. kCorruption names the file.
Result<std::optional<VirtualMediumTraits>> ReadMediumTraits(
    const std::string& image);
// Replaces the file atomically and durably.
Status WriteMediumTraits(const std::string& image,
                         const VirtualMediumTraits& traits);

// The image as the medium that it stands for. options.capacity counts where
// the image has no such file. Errors as ImageMedium::Open, and kCorruption.
Result<std::unique_ptr<Medium>> OpenVirtualMedium(
    const std::string& image, const ImageMediumOptions& options);
// What is wrong with the image, for the note of an element; empty: nothing.
std::string DescribeMediumProblem(const std::string& image, uint64_t capacity);

// `vellum medium add`.
struct NewVirtualMedium {
  VolumeTag tag;                          // empty: the next free V00001, …
  std::optional<ElementAddress> element;  // none: the first empty slot
  std::optional<uint64_t> capacity;       // none: the library's
  bool write_once = false;
  bool write_protected = false;
  bool two_sided = false;  // TAG + "A" and TAG + "B" are media of their own
};

// Makes the image of a new medium, and adds it to `places`: its tag and where
// it is. kExists (tag, element), kNoSpace (no empty slot), kInvalidArgument
// (tag, capacity, element). REQUIRES: config.devices holds
// VirtualLibraryOptions.
Result<std::pair<VolumeTag, ElementAddress>> MakeVirtualMedium(
    const LibraryConfig& config, const NewVirtualMedium& medium,
    VirtualPlaces* places);
// Takes back what it made. REQUIRES: the medium is in no element.
void UnmakeVirtualMedium(const LibraryConfig& config, const VolumeTag& tag);

// Puts a new medium into a virtual library that no daemon serves; its place.
// kBusy (served), kNotSupported (no virtual library), kExists (tag, element),
// kNoSpace (no empty slot), kInvalidArgument (tag, capacity, element).
Result<std::pair<VolumeTag, ElementAddress>> AddVirtualMedium(
    const std::string& directory, const NewVirtualMedium& medium);

}  // namespace vellum
