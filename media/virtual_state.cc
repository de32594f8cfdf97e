// SPDX-License-Identifier: Apache-2.0
#include "media/virtual_state.h"

#include <fmt/format.h>
#include <spdlog/spdlog.h>

#include <filesystem>
#include <nlohmann/json.hpp>
#include <set>
#include <system_error>
#include <utility>

#include "media/file_util.h"

namespace vellum {

namespace {

using nlohmann::json;

constexpr int kStateVersion = 1;

bool IsHome(const ElementMap& map, ElementAddress address) {
  return map.storage.Contains(address) || map.import_export.Contains(address);
}

std::optional<ElementAddress> ReadAddress(const json& value) {
  if (!value.is_number_unsigned()) return std::nullopt;
  const auto number = value.get<uint64_t>();
  if (number > 0xFFFF) return std::nullopt;
  return ElementAddress{static_cast<uint16_t>(number)};
}

// One element of the array; the message without the file's name.
Status ReadPlace(const json& entry, const ElementMap& map,
                 VirtualPlaces* places) {
  if (!entry.is_object() || !entry.contains("address") ||
      !entry.contains("volume_tag")) {
    return Status(Errc::kCorruption, "without address or volume_tag");
  }
  const std::optional<ElementAddress> address = ReadAddress(entry["address"]);
  if (!address) {
    return Status(Errc::kCorruption, "an address that is no 16-bit number");
  }
  const std::string where = "element " + ToString(*address);
  if (!IsHome(map, *address) && !map.data_transfer.Contains(*address) &&
      !map.transport.Contains(*address)) {
    return Status(Errc::kCorruption,
                  where +
                      " holds a medium, but library.toml has no such "
                      "element");
  }
  if (!entry["volume_tag"].is_string() ||
      !IsVolumeTag(entry["volume_tag"].get<std::string>())) {
    return Status(Errc::kCorruption, where + ": bad volume_tag");
  }
  VirtualPlace place;
  place.tag = entry["volume_tag"].get<std::string>();
  if (entry.contains("source")) {
    place.source = ReadAddress(entry["source"]);
    if (!place.source) return Status(Errc::kCorruption, where + ": bad source");
  }
  if (entry.contains("imported")) {
    if (!entry["imported"].is_boolean()) {
      return Status(Errc::kCorruption, where + ": bad imported");
    }
    place.imported = entry["imported"].get<bool>();
  }
  if (entry.contains("turned")) {
    if (!entry["turned"].is_boolean()) {
      return Status(Errc::kCorruption, where + ": bad turned");
    }
    place.turned = entry["turned"].get<bool>();
  }
  for (const auto& [other, held] : *places) {
    if (held.tag == place.tag) {
      return Status(Errc::kCorruption,
                    fmt::format("volume tag {} is in elements {} and {}",
                                place.tag, other.value, address->value));
    }
  }
  if (!places->emplace(*address, std::move(place)).second) {
    return Status(Errc::kCorruption, where + " is listed twice");
  }
  return Status::Ok();
}

}  // namespace

ElementMap VirtualElementMap(const VirtualLibraryOptions& geometry) {
  ElementMap map;
  map.transport = {{1}, 1};
  map.data_transfer = {{256}, geometry.drives};
  map.import_export = {{768}, geometry.import_export};
  map.storage = {{1024}, geometry.slots};
  return map;
}

std::string VirtualImagePath(const std::string& directory,
                             const VolumeTag& tag) {
  return directory + "/media/" + tag + ".img";
}

std::string VirtualSideBPath(const std::string& directory,
                             const VolumeTag& tag) {
  return directory + "/media/" + tag + ".B.img";
}

bool IsTwoSided(const std::string& directory, const VolumeTag& tag) {
  std::error_code ec;
  return std::filesystem::exists(VirtualSideBPath(directory, tag), ec);
}

std::string VirtualElementsPath(const std::string& directory) {
  return directory + "/state/elements.json";
}

Status WriteVirtualPlaces(const std::string& directory,
                          const VirtualPlaces& places) {
  std::string text =
      fmt::format("{{\"version\": {}, \"elements\": [", kStateVersion);
  // One line per element, so that the file can be read by people and diff.
  const char* separator = "\n  ";
  for (const auto& [address, place] : places) {
    json entry = {{"address", address.value}, {"volume_tag", place.tag}};
    if (place.source) entry["source"] = place.source->value;
    if (place.imported) entry["imported"] = true;
    if (place.turned) entry["turned"] = true;
    text += separator + entry.dump();
    separator = ",\n  ";
  }
  text += "\n]}\n";
  return ReplaceFile(VirtualElementsPath(directory), text);
}

namespace {

// REQUIRES: `path` is that of elements.json.
Result<VirtualPlaces> ParsePlaces(const std::string& path,
                                  const std::string& text,
                                  const VirtualLibraryOptions& geometry) {
  const json root = json::parse(text, nullptr, /*allow_exceptions=*/false);
  if (root.is_discarded()) {
    return Error{Errc::kCorruption, path + ": not JSON"};
  }
  if (!root.is_object() || root.value("version", json()) != kStateVersion ||
      !root.contains("elements") || !root["elements"].is_array()) {
    return Error{Errc::kCorruption,
                 fmt::format("{}: not an element list of version {}", path,
                             kStateVersion)};
  }
  const ElementMap map = VirtualElementMap(geometry);
  VirtualPlaces places;
  size_t number = 0;
  for (const json& entry : root["elements"]) {
    RETURN_IF_ERROR(
        ReadPlace(entry, map, &places)
            .WithContext(fmt::format("{}: entry {}", path, ++number)));
  }
  return places;
}

// The media as init places them: every image in a slot, by name.
Result<VirtualPlaces> PlaceInSlots(const std::string& directory,
                                   const VirtualLibraryOptions& geometry) {
  std::set<VolumeTag> tags;
  std::error_code ec;
  for (std::filesystem::directory_iterator it(directory + "/media", ec), end;
       !ec && it != end; it.increment(ec)) {
    const std::filesystem::path path = it->path();
    if (path.extension() == ".img" && IsVolumeTag(path.stem().string())) {
      tags.insert(path.stem());
    }
  }
  if (ec) return ErrnoError("read " + directory + "/media", ec.value());
  if (tags.size() > geometry.slots) {
    return Error{Errc::kCorruption,
                 fmt::format("{} is missing, and {}/media holds {} images for "
                             "{} slots: move some elsewhere",
                             VirtualElementsPath(directory), directory,
                             tags.size(), geometry.slots)};
  }
  VirtualPlaces places;
  uint16_t slot = VirtualElementMap(geometry).storage.first.value;
  for (const VolumeTag& tag : tags) places[ElementAddress{slot++}].tag = tag;
  return places;
}

}  // namespace

Result<VirtualPlaces> ReadVirtualPlaces(const std::string& directory,
                                        const VirtualLibraryOptions& geometry) {
  const std::string path = VirtualElementsPath(directory);
  ASSIGN_OR_RETURN(const std::string text, ReadWholeFile(path));
  Result<VirtualPlaces> places = ParsePlaces(path, text, geometry);
  if (places.ok()) return places;
  Error error = places.error();
  error.message +=
      "; if it cannot be mended, delete it: the next start puts all media of "
      "media/ into the slots, in the order of their names";
  return error;
}

VirtualState::VirtualState(const LibraryConfig& config)
    : config_(config),
      geometry_(std::get<VirtualLibraryOptions>(config.devices)),
      map_(VirtualElementMap(geometry_)) {}

Result<std::shared_ptr<VirtualState>> VirtualState::Load(
    const LibraryConfig& config) {
  std::shared_ptr<VirtualState> state(new VirtualState(config));
  const Status loaded = state->Reload();
  if (!loaded.Is(Errc::kNotFound)) {
    RETURN_IF_ERROR(loaded);
    return state;
  }
  ASSIGN_OR_RETURN(const VirtualPlaces places,
                   PlaceInSlots(config.directory, state->geometry_));
  spdlog::warn("{} is missing: all {} media are in the slots now, by name",
               VirtualElementsPath(config.directory), places.size());
  RETURN_IF_ERROR(WriteVirtualPlaces(config.directory, places));
  RETURN_IF_ERROR(state->Reload());
  return state;
}

VirtualPlaces VirtualState::Places() const {
  MutexLock lock(&mu_);
  return places_;
}

std::set<ElementAddress> VirtualState::DrivesInUse() const {
  MutexLock lock(&mu_);
  return in_use_;
}

bool VirtualState::IsElement(ElementAddress address) const {
  return IsHome(map_, address) || map_.data_transfer.Contains(address);
}

Status VirtualState::CheckMoveLocked(ElementAddress from, ElementAddress to,
                                     bool turn) const {
  const auto source = places_.find(from);
  const std::string what = fmt::format(
      "move {} from {} to {}",
      source == places_.end() ? std::string("a medium") : source->second.tag,
      from.value, to.value);
  for (const ElementAddress address : {from, to}) {
    // What a file says that it holds, the transport puts down.
    const bool held = address == from && source != places_.end();
    if (!held && !IsElement(address)) {
      return Status(Errc::kNotFound,
                    fmt::format("{}: the library has no storage, import/export "
                                "or data transfer element {}",
                                what, address.value));
    }
  }
  if (!moving_.empty()) {
    return Status(Errc::kBusy, what + ": the transport is moving a medium");
  }
  for (const auto& [address, place] : places_) {
    if (map_.transport.Contains(address) && address != from) {
      return Status(Errc::kDeviceError,
                    fmt::format("{}: the transport holds {}", what, place.tag));
    }
  }
  if (source == places_.end()) {
    return Status(Errc::kNoMedium,
                  fmt::format("{}: element {} is empty", what, from.value));
  }
  const auto target = places_.find(to);
  if (target != places_.end() && !(turn && from == to)) {
    return Status(Errc::kExists, fmt::format("{}: element {} holds {}", what,
                                             to.value, target->second.tag));
  }
  if (in_use_.count(from) != 0) {
    return Status(Errc::kBusy,
                  fmt::format("{}: drive {} is in use and prevents the removal "
                              "of its medium",
                              what, from.value));
  }
  return Status::Ok();
}

Status VirtualState::Move(ElementAddress from, ElementAddress to, bool turn) {
  VirtualPlaces next;
  {
    MutexLock lock(&mu_);
    while (editing_) idle_.Wait(&mu_);
    RETURN_IF_ERROR(CheckMoveLocked(from, to, turn));
    moving_ = {from, to};
    next = places_;
  }
  VirtualPlace place = std::move(next[from]);
  next.erase(from);
  if (IsHome(map_, from)) place.source = from;
  if (from != to) place.imported = false;
  if (turn) place.turned = !place.turned;
  const VolumeTag tag = place.tag;
  next[to] = std::move(place);

  return Store(std::move(next))
      .WithContext(
          fmt::format("move {} from {} to {}", tag, from.value, to.value));
}

Status VirtualState::Edit(const std::function<Status(VirtualPlaces*)>& change) {
  VirtualPlaces next;
  {
    MutexLock lock(&mu_);
    while (editing_ || !moving_.empty()) idle_.Wait(&mu_);
    editing_ = true;
    next = places_;
  }
  const Status changed = change(&next);
  if (changed.ok()) return Store(std::move(next));
  MutexLock lock(&mu_);
  editing_ = false;
  idle_.NotifyAll();
  return changed;
}

Status VirtualState::Store(VirtualPlaces next) {
  Status result = WriteVirtualPlaces(config_.directory, next);
  if (!result.ok()) {
    // The rename may have happened before what failed: only the file knows.
    Result<VirtualPlaces> truth =
        ReadVirtualPlaces(config_.directory, geometry_);
    if (truth.ok()) {
      next = std::move(*truth);
    } else {
      result = Status(result.code(), result.error().message + "; then " +
                                         truth.error().message);
      next = Places();
    }
  }
  MutexLock lock(&mu_);
  places_ = std::move(next);
  moving_.clear();
  editing_ = false;
  idle_.NotifyAll();
  return result;
}

Status VirtualState::Reload() {
  ASSIGN_OR_RETURN(VirtualPlaces places,
                   ReadVirtualPlaces(config_.directory, geometry_));
  MutexLock lock(&mu_);
  places_ = std::move(places);
  return Status::Ok();
}

Result<VirtualPlace> VirtualState::BeginUse(ElementAddress drive) {
  MutexLock lock(&mu_);
  if (in_use_.count(drive) != 0 || moving_.count(drive) != 0) {
    return Error{Errc::kBusy,
                 fmt::format("drive {}: already in use", drive.value)};
  }
  const auto it = places_.find(drive);
  if (it == places_.end()) {
    return Error{Errc::kNoMedium, fmt::format("drive {}: empty", drive.value)};
  }
  in_use_.insert(drive);
  return it->second;
}

void VirtualState::EndUse(ElementAddress drive) {
  MutexLock lock(&mu_);
  in_use_.erase(drive);
}

}  // namespace vellum
