// SPDX-License-Identifier: Apache-2.0
#include <fmt/format.h>

#include <charconv>
#include <optional>
#include <string>
#include <system_error>

#include "copy/operations.h"

namespace vellum {
namespace {

// "1024", "0x400" -> element 1024.
std::optional<ElementAddress> ParseElement(const std::string& text) {
  const bool hex =
      text.size() > 2 && text[0] == '0' && (text[1] == 'x' || text[1] == 'X');
  const char* const first = text.data() + (hex ? 2 : 0);
  const char* const last = text.data() + text.size();
  uint16_t value = 0;
  const auto [end, error] = std::from_chars(first, last, value, hex ? 16 : 10);
  if (error != std::errc() || end != last || first == last) {
    return std::nullopt;
  }
  return ElementAddress{value};
}

}  // namespace

Result<MediumId> ResolveMedium(const Archive& archive,
                               const std::string& name) {
  MediumId by_tag;
  if (const auto place = archive.library->FindMedium(name); place.ok()) {
    by_tag = place->id;
  }
  MediumId by_volume;
  if (const auto volume = archive.volumes->Find(name)) {
    by_volume = volume->record().medium;
    // One that is on no medium is not meant beside a medium that is there.
    if (!by_tag.empty() && !DisplacedFrom(by_volume).empty()) by_volume.clear();
  }
  if (!by_tag.empty() && !by_volume.empty() && by_tag != by_volume) {
    return Error{
        Errc::kInvalidArgument,
        fmt::format("{} is the volume tag of one medium and the id of the "
                    "volume on medium {}: give the element address",
                    name, by_volume)};
  }
  if (!by_tag.empty()) return by_tag;
  if (!by_volume.empty()) {
    if (archive.library->FindMedium(by_volume).ok()) return by_volume;
    if (const MediumId former = DisplacedFrom(by_volume); !former.empty()) {
      return Error{
          Errc::kNoMedium,
          fmt::format("volume {} is not on medium {} any more", name, former)};
    }
    return Error{
        Errc::kNoMedium,
        fmt::format("volume {} is on medium {}, which is not in the library",
                    name, by_volume)};
  }
  if (const auto side = archive.library->FindMedium(name + "A");
      side.ok() && side->two_sided()) {
    return Error{Errc::kInvalidArgument,
                 fmt::format("medium {} has two sides: say {} or {}", name,
                             side->id, side->other_side)};
  }
  const std::optional<ElementAddress> element = ParseElement(name);
  if (!element) {
    return Error{
        Errc::kNotFound,
        fmt::format("no element, medium or volume is called {}", name)};
  }
  const Result<MediumPlace> place = archive.library->MediumAt(*element);
  if (place.ok()) return place->id;
  // Its medium may be in a drive just now.
  for (const MediumPlace& medium : archive.library->Media()) {
    if (medium.home == *element) return medium.id;
  }
  for (const ElementStatus& status : archive.library->ElementStatuses()) {
    if (status.address == *element && !status.full) {
      return Error{Errc::kNoMedium, fmt::format("element {} is empty", name)};
    }
  }
  return place.error();
}

}  // namespace vellum
