// SPDX-License-Identifier: Apache-2.0
// What can be done to a virtual library while it is served that no changer
// does: by hand at its door (H3), and to its devices (H6, H7).
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "media/device_faults.h"
#include "media/error.h"
#include "media/types.h"
#include "media/virtual_medium.h"
#include "media/virtual_state.h"

namespace vellum {

// Thread-safety: all methods may be called concurrently. The library has to
// read its element status anew after each change.
class VirtualControls {
 public:
  explicit VirtualControls(std::shared_ptr<VirtualState> state)
      : state_(std::move(state)), faults_(std::make_shared<DeviceFaults>()) {}

  const std::shared_ptr<DeviceFaults>& faults() const { return faults_; }
  const std::shared_ptr<VirtualState>& state() const { return state_; }

  // Media whose image is there and that are in no element, by tag.
  Result<std::vector<VolumeTag>> Outside() const;
  // Lays a medium from outside into an import/export element; the first empty
  // one when none is named. kNotFound no such medium outside; kNoSpace;
  // kExists; kInvalidArgument no import/export element; kBusy the door is
  // locked, as of all three.
  Result<ElementAddress> PutIn(const VolumeTag& tag,
                               std::optional<ElementAddress> element);
  // The same with a medium that is made for it.
  Result<std::pair<VolumeTag, ElementAddress>> PutNew(
      const NewVirtualMedium& medium);
  // Takes the medium out of an import/export element; its image stays where it
  // is. kNoMedium empty; kInvalidArgument no import/export element.
  Result<VolumeTag> TakeOut(ElementAddress element);
  // Somebody exchanges two media that are in slots. kNotFound, kBusy.
  Status Swap(const VolumeTag& a, const VolumeTag& b);

 private:
  const std::shared_ptr<VirtualState> state_;
  const std::shared_ptr<DeviceFaults> faults_;
};

}  // namespace vellum
