// SPDX-License-Identifier: Apache-2.0
#include "media/virtual_controls.h"

#include <fmt/format.h>

#include <algorithm>
#include <filesystem>
#include <system_error>

#include "media/library_config.h"

namespace vellum {

namespace {

bool HoldsTag(const VirtualPlaces& places, const VolumeTag& tag) {
  return std::any_of(places.begin(), places.end(), [&tag](const auto& entry) {
    return entry.second.tag == tag;
  });
}

// An import/export element that is empty: the one that is named, or the first.
Result<ElementAddress> EmptyDoor(const VirtualPlaces& places,
                                 const ElementRange& doors,
                                 std::optional<ElementAddress> wanted) {
  if (wanted) {
    if (!doors.Contains(*wanted)) {
      return Error{
          Errc::kInvalidArgument,
          fmt::format("element {} is no import/export element", wanted->value)};
    }
    const auto it = places.find(*wanted);
    if (it == places.end()) return *wanted;
    return Error{Errc::kExists, fmt::format("element {} holds {}",
                                            wanted->value, it->second.tag)};
  }
  for (uint32_t i = 0; i < doors.count; ++i) {
    const ElementAddress element{static_cast<uint16_t>(doors.first.value + i)};
    if (places.count(element) == 0) return element;
  }
  return Error{Errc::kNoSpace, doors.count == 0
                                   ? "the library has no import/export element"
                                   : "no import/export element is empty"};
}

Status CheckDoor(const VirtualState& state) {
  if (!state.door_locked()) return Status::Ok();
  return Status(Errc::kBusy, "the door is locked (`vellum door unlock`)");
}

}  // namespace

Result<std::vector<VolumeTag>> VirtualControls::Outside() const {
  namespace stdfs = std::filesystem;
  const VirtualPlaces places = state_->Places();
  const std::string media = state_->config().directory + "/media";
  std::vector<VolumeTag> tags;
  std::error_code ec;
  for (stdfs::directory_iterator it(media, ec), end; !ec && it != end;
       it.increment(ec)) {
    const VolumeTag tag = it->path().stem().string();
    if (it->path().extension() == ".img" && IsVolumeTag(tag) &&
        !HoldsTag(places, tag)) {
      tags.push_back(tag);
    }
  }
  if (ec) return ErrnoError("read " + media, ec.value());
  std::sort(tags.begin(), tags.end());
  return tags;
}

Result<ElementAddress> VirtualControls::PutIn(
    const VolumeTag& tag, std::optional<ElementAddress> element) {
  RETURN_IF_ERROR(CheckDoor(*state_));
  ASSIGN_OR_RETURN(const std::vector<VolumeTag> outside, Outside());
  ElementAddress chosen;
  RETURN_IF_ERROR(state_->Edit([&](VirtualPlaces* places) -> Status {
    if (HoldsTag(*places, tag)) {
      return Status(Errc::kExists, "medium " + tag + " is in the library");
    }
    if (std::find(outside.begin(), outside.end(), tag) == outside.end()) {
      return Status(Errc::kNotFound,
                    fmt::format("there is no medium {} outside: {} has no "
                                "image of it",
                                tag, state_->config().directory + "/media"));
    }
    ASSIGN_OR_RETURN(chosen,
                     EmptyDoor(*places, state_->map().import_export, element));
    VirtualPlace& place = (*places)[chosen];
    place.tag = tag;
    place.imported = true;
    return Status::Ok();
  }));
  return chosen;
}

Result<std::pair<VolumeTag, ElementAddress>> VirtualControls::PutNew(
    const NewVirtualMedium& medium) {
  RETURN_IF_ERROR(CheckDoor(*state_));
  std::pair<VolumeTag, ElementAddress> made;
  bool image = false;
  const Status put = state_->Edit([&](VirtualPlaces* places) -> Status {
    NewVirtualMedium wanted = medium;
    ASSIGN_OR_RETURN(
        wanted.element,
        EmptyDoor(*places, state_->map().import_export, medium.element));
    ASSIGN_OR_RETURN(made, MakeVirtualMedium(state_->config(), wanted, places));
    image = true;
    (*places)[made.second].imported = true;
    return Status::Ok();
  });
  if (put.ok()) return made;
  if (image && !HoldsTag(state_->Places(), made.first)) {
    UnmakeVirtualMedium(state_->config(), made.first);
  }
  return put.error();
}

Result<VolumeTag> VirtualControls::TakeOut(ElementAddress element) {
  RETURN_IF_ERROR(CheckDoor(*state_));
  VolumeTag tag;
  RETURN_IF_ERROR(state_->Edit([&](VirtualPlaces* places) -> Status {
    if (!state_->map().import_export.Contains(element)) {
      return Status(
          Errc::kInvalidArgument,
          fmt::format("element {} is no import/export element", element.value));
    }
    const auto it = places->find(element);
    if (it == places->end()) {
      return Status(Errc::kNoMedium,
                    fmt::format("element {} is empty", element.value));
    }
    tag = it->second.tag;
    places->erase(it);
    return Status::Ok();
  }));
  return tag;
}

Status VirtualControls::Swap(const VolumeTag& a, const VolumeTag& b) {
  return state_->Edit([&](VirtualPlaces* places) -> Status {
    VirtualPlace* found[2] = {nullptr, nullptr};
    const VolumeTag* tags[2] = {&a, &b};
    for (auto& [element, place] : *places) {
      for (int i = 0; i < 2; ++i) {
        if (place.tag != *tags[i]) continue;
        if (state_->map().data_transfer.Contains(element)) {
          return Status(Errc::kBusy, fmt::format("medium {} is in drive {}",
                                                 place.tag, element.value));
        }
        found[i] = &place;
      }
    }
    for (int i = 0; i < 2; ++i) {
      if (found[i] != nullptr) continue;
      return Status(Errc::kNotFound,
                    "medium " + *tags[i] + " is not in the library");
    }
    std::swap(found[0]->tag, found[1]->tag);
    return Status::Ok();
  });
}

}  // namespace vellum
