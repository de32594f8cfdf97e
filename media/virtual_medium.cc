// SPDX-License-Identifier: Apache-2.0
#include "media/virtual_medium.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <nlohmann/json.hpp>
#include <utility>
#include <variant>

#include "media/file_util.h"
#include "media/library_config.h"
#include "media/library_directory.h"
#include "media/virtual_state.h"

namespace vellum {

namespace {

using nlohmann::json;

constexpr int kTraitsVersion = 1;
constexpr uint64_t kMinCapacity = 8u << 20;
// Sector numbers are 32-bit on the medium.
constexpr uint64_t kMaxCapacity = ((1ull << 32) - kRegionSectors) * kSectorSize;

std::string TraitsPath(const std::string& image) {
  return image.substr(0, image.rfind(".img")) + ".json";
}

const char* WrittenName(WrittenState written) {
  switch (written) {
    case WrittenState::kBlank:
      return "blank";
    case WrittenState::kOpen:
      return "open";
    case WrittenState::kClosed:
      return "closed";
  }
  return "";
}

std::optional<WrittenState> WrittenFrom(const std::string& name) {
  for (const WrittenState state :
       {WrittenState::kBlank, WrittenState::kOpen, WrittenState::kClosed}) {
    if (name == WrittenName(state)) return state;
  }
  return std::nullopt;
}

Status CheckCapacity(uint64_t bytes) {
  if (bytes >= kMinCapacity && bytes <= kMaxCapacity) return Status::Ok();
  return Status(Errc::kInvalidArgument,
                fmt::format("capacity: {} bytes is not between {} and {}",
                            bytes, kMinCapacity, kMaxCapacity));
}

VolumeTag NextTag(const VirtualPlaces& places, const std::string& directory) {
  for (uint32_t n = 1;; ++n) {
    const VolumeTag tag = fmt::format("V{:05}", n);
    const bool used = std::any_of(
        places.begin(), places.end(),
        [&tag](const auto& place) { return place.second.tag == tag; });
    struct stat st {};
    if (!used && stat(VirtualImagePath(directory, tag).c_str(), &st) != 0) {
      return tag;
    }
  }
}

Result<ElementAddress> ChooseElement(const VirtualPlaces& places,
                                     const ElementMap& map,
                                     std::optional<ElementAddress> wanted) {
  if (wanted) {
    if (!map.storage.Contains(*wanted) &&
        !map.import_export.Contains(*wanted)) {
      return Error{Errc::kInvalidArgument,
                   fmt::format("element {} is no slot", wanted->value)};
    }
    const auto it = places.find(*wanted);
    if (it == places.end()) return *wanted;
    return Error{Errc::kExists, fmt::format("element {} holds {}",
                                            wanted->value, it->second.tag)};
  }
  for (uint32_t i = 0; i < map.storage.count; ++i) {
    const ElementAddress slot{
        static_cast<uint16_t>(map.storage.first.value + i)};
    // The slot of a medium that is in a drive is kept for it.
    const bool kept = std::any_of(
        places.begin(), places.end(),
        [slot](const auto& place) { return place.second.source == slot; });
    if (places.count(slot) == 0 && !kept) return slot;
  }
  return Error{Errc::kNoSpace, "no slot is empty"};
}

Status MakeNewImage(const std::string& path, uint64_t bytes,
                    bool write_protected) {
  UniqueFd fd(open(path.c_str(), O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600));
  if (!fd.valid()) return ErrnoError("make image " + path, errno);
  if (ftruncate(fd.get(), static_cast<off_t>(bytes)) != 0 ||
      (write_protected && fchmod(fd.get(), 0400) != 0) ||
      fsync(fd.get()) != 0) {
    return ErrnoError(fmt::format("make image {} of {} bytes", path, bytes),
                      errno);
  }
  return Status::Ok();
}

}  // namespace

Result<std::optional<VirtualMediumTraits>> ReadMediumTraits(
    const std::string& image) {
  if (!image.ends_with(".img")) return std::optional<VirtualMediumTraits>();
  const std::string path = TraitsPath(image);
  const Result<std::string> text = ReadWholeFile(path);
  if (!text.ok()) {
    if (text.error().code != Errc::kNotFound) return text.error();
    return std::optional<VirtualMediumTraits>();
  }
  const json root = json::parse(*text, nullptr, /*allow_exceptions=*/false);
  const auto word = [&root](const char* key) {
    return root.contains(key) && root[key].is_string()
               ? root[key].get<std::string>()
               : std::string();
  };
  if (!root.is_object() || root.value("version", json()) != kTraitsVersion ||
      !root.contains("capacity") || !root["capacity"].is_number_unsigned()) {
    return Error{Errc::kCorruption,
                 fmt::format("{}: not the description of a medium, version {}",
                             path, kTraitsVersion)};
  }
  VirtualMediumTraits traits;
  traits.capacity = root["capacity"].get<uint64_t>();
  const std::string name = word("class");
  if (name != "rewritable" && name != "write-once") {
    return Error{Errc::kCorruption,
                 fmt::format("{}: class \"{}\" is neither \"rewritable\" nor "
                             "\"write-once\"",
                             path, name)};
  }
  if (name == "write-once") {
    const std::optional<WrittenState> written = WrittenFrom(word("written"));
    if (!written) {
      return Error{Errc::kCorruption,
                   path + ": written is none of blank, open, closed"};
    }
    traits.medium_class = MediumClass::kWriteOnce;
    traits.written = *written;
  }
  return std::optional<VirtualMediumTraits>(traits);
}

Status WriteMediumTraits(const std::string& image,
                         const VirtualMediumTraits& traits) {
  const bool once = traits.medium_class == MediumClass::kWriteOnce;
  json root = {{"version", kTraitsVersion},
               {"capacity", traits.capacity},
               {"class", once ? "write-once" : "rewritable"}};
  if (once) root["written"] = WrittenName(traits.written);
  return ReplaceFile(TraitsPath(image), root.dump() + "\n");
}

Result<std::unique_ptr<Medium>> OpenVirtualMedium(
    const std::string& image, const ImageMediumOptions& given) {
  ASSIGN_OR_RETURN(const std::optional<VirtualMediumTraits> traits,
                   ReadMediumTraits(image));
  ImageMediumOptions options = given;
  if (traits) options.capacity = traits->capacity;
  ASSIGN_OR_RETURN(std::unique_ptr<ImageMedium> medium,
                   ImageMedium::Open(image, options));
  if (!traits || traits->medium_class != MediumClass::kWriteOnce) {
    return std::unique_ptr<Medium>(std::move(medium));
  }
  return std::unique_ptr<Medium>(std::make_unique<WriteOnceMedium>(
      std::move(medium), traits->written,
      [image, traits = *traits](WrittenState written) {
        VirtualMediumTraits next = traits;
        next.written = written;
        return WriteMediumTraits(image, next);
      }));
}

std::string DescribeMediumProblem(const std::string& image, uint64_t capacity) {
  const auto traits = ReadMediumTraits(image);
  if (!traits.ok()) return traits.error().message;
  return DescribeImageProblem(image, *traits ? (*traits)->capacity : capacity);
}

Result<std::pair<VolumeTag, ElementAddress>> MakeVirtualMedium(
    const LibraryConfig& config, const NewVirtualMedium& medium,
    VirtualPlaces* places) {
  const auto& geometry = std::get<VirtualLibraryOptions>(config.devices);
  const VolumeTag tag =
      medium.tag.empty() ? NextTag(*places, config.directory) : medium.tag;
  if (!IsVolumeTag(tag)) {
    return Error{Errc::kInvalidArgument,
                 fmt::format("\"{}\" is no volume tag: 1 to 32 of A-Z a-z 0-9 "
                             "- _",
                             tag)};
  }
  for (const auto& [element, place] : *places) {
    // The sides of a two-sided medium are known by their tags, too.
    for (const std::string side : {"", "A", "B"}) {
      const bool same = place.tag + side == tag || place.tag == tag + side;
      const bool two = place.tag + side == tag
                           ? IsTwoSided(config.directory, place.tag)
                           : medium.two_sided;
      if (!same || !(side.empty() || two)) continue;
      return Error{Errc::kExists, fmt::format("medium {} is in element {}",
                                              place.tag, element.value)};
    }
  }
  ASSIGN_OR_RETURN(
      const ElementAddress element,
      ChooseElement(*places, VirtualElementMap(geometry), medium.element));
  VirtualMediumTraits traits;
  const uint64_t capacity = medium.capacity.value_or(geometry.capacity);
  RETURN_IF_ERROR(CheckCapacity(capacity));
  traits.capacity = RoundCapacity(capacity);
  if (medium.write_once) traits.medium_class = MediumClass::kWriteOnce;
  std::vector<std::string> images = {VirtualImagePath(config.directory, tag)};
  if (medium.two_sided) {
    images.push_back(VirtualSideBPath(config.directory, tag));
  }
  Status made;
  std::vector<std::string> done;
  for (const std::string& image : images) {
    made = MakeNewImage(image, traits.capacity, medium.write_protected);
    if (!made.ok()) break;
    done.push_back(image);
    made = WriteMediumTraits(image, traits);
    if (!made.ok()) break;
  }
  if (made.ok()) made = SyncDirectory(config.directory + "/media");
  if (made.ok()) {
    (*places)[element].tag = tag;
    return std::make_pair(tag, element);
  }
  for (const std::string& image : done) {
    unlink(image.c_str());
    unlink(TraitsPath(image).c_str());
  }
  return made.error();
}

void UnmakeVirtualMedium(const LibraryConfig& config, const VolumeTag& tag) {
  for (const std::string& image : {VirtualImagePath(config.directory, tag),
                                   VirtualSideBPath(config.directory, tag)}) {
    unlink(image.c_str());
    unlink(TraitsPath(image).c_str());
  }
}

Result<std::pair<VolumeTag, ElementAddress>> AddVirtualMedium(
    const std::string& directory, const NewVirtualMedium& medium) {
  ASSIGN_OR_RETURN(const LibraryConfig config, ReadLibraryConfig(directory));
  const auto* geometry = std::get_if<VirtualLibraryOptions>(&config.devices);
  if (geometry == nullptr) {
    return Error{Errc::kNotSupported,
                 directory + " is no virtual library: its media are real"};
  }
  ASSIGN_OR_RETURN(const LibraryLock lock, LibraryLock::Take(config.directory));
  ASSIGN_OR_RETURN(VirtualPlaces places,
                   ReadVirtualPlaces(config.directory, *geometry));
  ASSIGN_OR_RETURN(const auto made, MakeVirtualMedium(config, medium, &places));
  const Status written = WriteVirtualPlaces(config.directory, places);
  if (written.ok()) return made;
  UnmakeVirtualMedium(config, made.first);
  return written.error();
}

}  // namespace vellum
