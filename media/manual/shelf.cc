// SPDX-License-Identifier: Apache-2.0
#include "media/manual/shelf.h"

#include <fmt/format.h>

#include <algorithm>
#include <nlohmann/json.hpp>
#include <utility>

#include "media/file_util.h"

namespace vellum {

namespace {

using nlohmann::json;

constexpr int kShelfVersion = 1;

std::optional<ElementAddress> ShelfAddress(const json& value) {
  if (!value.is_number_unsigned() || value.get<uint64_t>() > 0xFFFF) {
    return std::nullopt;
  }
  return ElementAddress{value.get<uint16_t>()};
}

bool IsUuid(const std::string& text) {
  return text.size() == 32 && std::all_of(text.begin(), text.end(), [](char c) {
           return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f');
         });
}

// One medium of the array; the message without the file's name.
Status ReadMedium(const json& entry, const ElementMap& map, Shelf* shelf) {
  const auto text = [&entry](const char* key) {
    return entry.contains(key) && entry[key].is_string()
               ? entry[key].get<std::string>()
               : std::string();
  };
  if (!entry.is_object() || !entry.contains("element")) {
    return Status(Errc::kCorruption, "a medium without element");
  }
  const std::optional<ElementAddress> address = ShelfAddress(entry["element"]);
  if (!address) {
    return Status(Errc::kCorruption, "an element that is no 16-bit number");
  }
  const std::string where = "element " + ToString(*address);
  if (!map.storage.Contains(*address) &&
      !map.data_transfer.Contains(*address)) {
    return Status(Errc::kCorruption,
                  where +
                      " holds a medium, but library.toml has no such "
                      "element");
  }
  ShelfMedium medium;
  medium.tag = text("volume_tag");
  if (!IsVolumeTag(medium.tag)) {
    return Status(Errc::kCorruption, where + ": bad volume_tag");
  }
  if (entry.contains("source")) {
    medium.source = ShelfAddress(entry["source"]);
    if (!medium.source || !map.storage.Contains(*medium.source)) {
      return Status(Errc::kCorruption, where + ": bad source");
    }
  }
  medium.medium_uuid = text("medium_uuid");
  if (entry.contains("medium_uuid") && !IsUuid(medium.medium_uuid)) {
    return Status(Errc::kCorruption, where + ": bad medium_uuid");
  }
  if (const auto other = FindTag(*shelf, medium.tag)) {
    return Status(Errc::kCorruption,
                  fmt::format("volume tag {} is in elements {} and {}",
                              medium.tag, other->value, address->value));
  }
  if (!shelf->emplace(*address, std::move(medium)).second) {
    return Status(Errc::kCorruption, where + " is listed twice");
  }
  return Status::Ok();
}

}  // namespace

ElementMap ManualElementMap(const ManualConfig& config) {
  ElementMap map;
  map.transport = {{1}, 1};  // the operator
  map.data_transfer = {{256}, static_cast<uint16_t>(config.docks.size())};
  map.import_export = {{768}, 0};
  map.storage = {{1024}, config.slots};
  return map;
}

std::string ShelfPath(const std::string& directory) {
  return directory + "/state/shelf.json";
}

Status WriteShelf(const std::string& directory, const Shelf& shelf) {
  std::string text =
      fmt::format("{{\"version\": {}, \"media\": [", kShelfVersion);
  const char* separator = "\n  ";
  for (const auto& [address, medium] : shelf) {
    json entry = {{"element", address.value}, {"volume_tag", medium.tag}};
    if (medium.source) entry["source"] = medium.source->value;
    if (!medium.medium_uuid.empty()) entry["medium_uuid"] = medium.medium_uuid;
    text += separator + entry.dump();
    separator = ",\n  ";
  }
  text += "\n]}\n";
  return ReplaceFile(ShelfPath(directory), text);
}

Result<Shelf> ReadShelf(const std::string& directory, const ElementMap& map) {
  const std::string path = ShelfPath(directory);
  ASSIGN_OR_RETURN(const std::string text, ReadWholeFile(path));
  const json root = json::parse(text, nullptr, /*allow_exceptions=*/false);
  if (!root.is_object() || root.value("version", json()) != kShelfVersion ||
      !root.contains("media") || !root["media"].is_array()) {
    return Error{Errc::kCorruption,
                 fmt::format("{}: not a list of media of version {}", path,
                             kShelfVersion)};
  }
  Shelf shelf;
  for (const json& entry : root["media"]) {
    RETURN_IF_ERROR(ReadMedium(entry, map, &shelf).WithContext(path));
  }
  if (shelf.size() > map.storage.count) {
    return Error{Errc::kCorruption,
                 fmt::format("{}: {} media, but library.toml has {} shelf "
                             "places",
                             path, shelf.size(), map.storage.count)};
  }
  return shelf;
}

std::optional<ElementAddress> FindTag(const Shelf& shelf,
                                      const VolumeTag& tag) {
  for (const auto& [address, medium] : shelf) {
    if (medium.tag == tag) return address;
  }
  return std::nullopt;
}

std::optional<ElementAddress> FirstFree(const Shelf& shelf,
                                        const ElementRange& places) {
  for (uint32_t i = 0; i < places.count; ++i) {
    const ElementAddress place{static_cast<uint16_t>(places.first.value + i)};
    // The place of a medium that is in a dock is kept for it.
    const bool kept = std::any_of(
        shelf.begin(), shelf.end(),
        [place](const auto& entry) { return entry.second.source == place; });
    if (shelf.count(place) == 0 && !kept) return place;
  }
  return std::nullopt;
}

DockFinding Recognise(const Shelf& shelf, ElementAddress dock,
                      const DockSight& sight) {
  DockFinding finding;
  if (!sight.present) return finding;
  finding.full = true;
  const auto thought = shelf.find(dock);
  if (!sight.problem.empty()) {
    finding.problem = sight.problem;
    if (thought != shelf.end()) finding.tag = thought->second.tag;
    return finding;
  }
  if (sight.medium_uuid.empty()) {
    if (thought != shelf.end() && thought->second.medium_uuid.empty()) {
      finding.tag = thought->second.tag;
    } else {
      finding.problem = fmt::format(
          "dock {} holds a medium without a volume, which nothing tells from "
          "others",
          dock.value);
    }
    return finding;
  }
  for (const auto& [element, medium] : shelf) {
    if (medium.medium_uuid == sight.medium_uuid) {
      finding.tag = medium.tag;
      return finding;
    }
  }
  finding.problem = fmt::format(
      "dock {} holds a medium with volume {}, which this library does not know",
      dock.value, sight.volume_id);
  return finding;
}

void SetDock(Shelf* shelf, const ElementMap& map, ElementAddress dock,
             const VolumeTag& tag) {
  const auto thought = shelf->find(dock);
  if (thought != shelf->end()) {
    if (thought->second.tag == tag) return;
    ShelfMedium medium = std::move(thought->second);
    shelf->erase(thought);
    std::optional<ElementAddress> home = medium.source;
    if (!home || shelf->count(*home) != 0)
      home = FirstFree(*shelf, map.storage);
    // There are never more media than shelf places.
    VELLUM_CHECK(home.has_value());
    medium.source.reset();
    shelf->emplace(*home, std::move(medium));
  }
  if (tag.empty()) return;
  const std::optional<ElementAddress> from = FindTag(*shelf, tag);
  VELLUM_CHECK(from.has_value());
  ShelfMedium medium = std::move(shelf->at(*from));
  shelf->erase(*from);
  if (map.storage.Contains(*from)) medium.source = *from;
  shelf->emplace(dock, std::move(medium));
}

}  // namespace vellum
