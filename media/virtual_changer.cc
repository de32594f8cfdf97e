// SPDX-License-Identifier: Apache-2.0
#include "media/virtual_changer.h"

#include <fmt/format.h>

#include <set>
#include <string>

#include "media/virtual_medium.h"

namespace vellum {

Result<ChangerIdentity> VirtualChanger::Identify() {
  ChangerIdentity identity;
  identity.vendor = "VELLUM";
  identity.product = "VIRTUAL LIBRARY";
  identity.revision = VELLUM_VERSION;
  identity.serial = fmt::format("VL{:06}", state_->config().lib_num);
  identity.device = "virtual library " + state_->config().directory;
  return identity;
}

Result<std::vector<ElementStatus>> VirtualChanger::ReadElementStatus() {
  const VirtualPlaces places = state_->Places();
  const std::set<ElementAddress> in_use = state_->DrivesInUse();
  std::vector<ElementStatus> result;
  const auto append = [&](ElementType type, const ElementRange& range) {
    for (uint32_t i = 0; i < range.count; ++i) {
      ElementStatus element;
      element.address.value = static_cast<uint16_t>(range.first.value + i);
      element.type = type;
      // A drive lets go of its medium only after Close.
      element.accessible = in_use.count(element.address) == 0;
      const auto it = places.find(element.address);
      if (it != places.end()) {
        const VirtualPlace& place = it->second;
        element.full = true;
        element.volume_tag = place.tag;
        element.source = place.source;
        element.imported = place.imported;
        const std::string& directory = state_->config().directory;
        element.note =
            DescribeMediumProblem(VirtualImagePath(directory, place.tag),
                                  state_->geometry().capacity);
        if (IsTwoSided(directory, place.tag)) {
          element.sides = 2;
          element.turned = place.turned;
          if (element.note.empty()) {
            element.note =
                DescribeMediumProblem(VirtualSideBPath(directory, place.tag),
                                      state_->geometry().capacity);
          }
        }
        element.exception = !element.note.empty();
      }
      result.push_back(std::move(element));
    }
  };
  const ElementMap& map = state_->map();
  append(ElementType::kTransport, map.transport);
  append(ElementType::kStorage, map.storage);
  append(ElementType::kImportExport, map.import_export);
  append(ElementType::kDataTransfer, map.data_transfer);
  return result;
}

Status VirtualChanger::MoveMedium(ElementAddress from, ElementAddress to) {
  return state_->Move(from, to);
}

Status VirtualChanger::MoveMediumTurned(ElementAddress from,
                                        ElementAddress to) {
  const VirtualPlaces places = state_->Places();
  const auto place = places.find(from);
  // Of an empty element Move says so.
  if (place != places.end() &&
      !IsTwoSided(state_->config().directory, place->second.tag)) {
    return Status(Errc::kNotSupported,
                  fmt::format("turn {} over, from {} to {}: it has one side",
                              place->second.tag, from.value, to.value));
  }
  return state_->Move(from, to, /*turn=*/true);
}

}  // namespace vellum
