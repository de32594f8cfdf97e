// SPDX-License-Identifier: Apache-2.0
// The changer of a manual library: a person. A move into or out of a dock is a
// request that stays open until the docks show that it was done; between shelf
// places the word of whoever commands the move is enough.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "media/changer.h"
#include "media/manual/manual_state.h"

namespace vellum {

// Thread-safety: all methods may be called concurrently.
class ManualChanger : public Changer {
 public:
  explicit ManualChanger(std::shared_ptr<ManualState> state)
      : state_(std::move(state)) {}

  Result<ChangerIdentity> Identify() override;
  Result<ElementMap> Elements() override { return state_->map(); }
  // Looks into the docks: what was put in or taken out without a request is
  // known afterwards.
  Result<std::vector<ElementStatus>> ReadElementStatus() override;
  // Waits for the operator, without end. A dock that holds another medium is
  // no error: the request says which one is there.
  Status MoveMedium(ElementAddress from, ElementAddress to) override {
    return MoveMediumUntil(from, to, {});
  }
  // Also kNoMedium when the operator refused.
  Status MoveMediumUntil(ElementAddress from, ElementAddress to,
                         std::stop_token stop) override;
  Status InitializeElementStatus() override { return state_->Reload(); }

 private:
  struct Move;
  Status Begin(Move* move);
  Status AskFor(const Move& move, const std::stop_token& stop);
  // Is it done? Else what stands in the way, in *found.
  Result<bool> Done(const Move& move, std::string* found);
  bool IsDock(ElementAddress address) const {
    return state_->map().data_transfer.Contains(address);
  }

  const std::shared_ptr<ManualState> state_;
};

}  // namespace vellum
