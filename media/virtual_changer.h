// SPDX-License-Identifier: Apache-2.0
// The robot of a virtual library: moves names in elements.json.
#pragma once

#include <memory>
#include <vector>

#include "media/changer.h"
#include "media/virtual_state.h"

namespace vellum {

// Thread-safety: as Changer says.
class VirtualChanger : public Changer {
 public:
  explicit VirtualChanger(std::shared_ptr<VirtualState> state)
      : state_(std::move(state)) {}

  Result<ChangerIdentity> Identify() override;
  Result<ElementMap> Elements() override { return state_->map(); }
  Result<std::vector<ElementStatus>> ReadElementStatus() override;
  Status MoveMedium(ElementAddress from, ElementAddress to) override;
  // kNotSupported for a medium with one side.
  Status MoveMediumTurned(ElementAddress from, ElementAddress to) override;
  Status InitializeElementStatus() override { return state_->Reload(); }

 private:
  const std::shared_ptr<VirtualState> state_;
};

}  // namespace vellum
