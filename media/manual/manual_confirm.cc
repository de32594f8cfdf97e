// SPDX-License-Identifier: Apache-2.0
#include "media/manual/manual_confirm.h"

#include <fmt/format.h>
#include <spdlog/spdlog.h>

#include <optional>
#include <utility>

namespace vellum {

namespace {

Status AddMedium(const ManualState& state, const Confirmation& said,
                 Shelf* shelf) {
  if (!IsVolumeTag(said.tag)) {
    return Status(Errc::kInvalidArgument,
                  fmt::format("\"{}\" is no volume tag: 1 to 32 of A-Z a-z 0-9 "
                              "- _",
                              said.tag));
  }
  if (FindTag(*shelf, said.tag)) {
    return Status(Errc::kInvalidArgument,
                  said.tag + " is no new medium: the library has it");
  }
  const std::optional<ElementAddress> place =
      FirstFree(*shelf, state.map().storage);
  if (!place) {
    return Status(Errc::kNoSpace,
                  "no shelf place is free for a new medium " + said.tag);
  }
  (*shelf)[*place].tag = said.tag;
  return Status::Ok();
}

}  // namespace

Status ConfirmMedium(ManualState& state, const Confirmation& said) {
  const std::string context =
      fmt::format("confirm {} in dock {}", said.tag, said.dock.value);
  if (!state.map().data_transfer.Contains(said.dock)) {
    return Status(Errc::kNotFound, context + ": the library has no such dock");
  }
  if (state.InUse(said.dock)) {
    return Status(Errc::kBusy, context + ": it is in use");
  }
  const DockSight sight = state.Look(said.dock);
  if (!sight.present) {
    return Status(Errc::kNoMedium, context + ": the dock is empty");
  }
  if (!sight.problem.empty()) {
    return Status(Errc::kDeviceError, context + ": " + sight.problem);
  }
  const Status edited = state.Edit([&](Shelf* shelf) {
    if (said.is_new) RETURN_IF_ERROR(AddMedium(state, said, shelf));
    const std::optional<ElementAddress> element = FindTag(*shelf, said.tag);
    if (!element) {
      return Status(Errc::kNotFound,
                    said.tag + ": the library has no such medium; is it new?");
    }
    if (state.InUse(*element)) {
      return Status(Errc::kBusy, fmt::format("{} is in use in dock {}",
                                             said.tag, element->value));
    }
    if (!sight.medium_uuid.empty()) {
      for (const auto& [other, medium] : *shelf) {
        if (medium.medium_uuid != sight.medium_uuid || medium.tag == said.tag) {
          continue;
        }
        return Status(Errc::kExists,
                      fmt::format("its label says that it is {}, volume {}",
                                  medium.tag, sight.volume_id));
      }
    }
    ShelfMedium& medium = shelf->at(*element);
    if (!medium.medium_uuid.empty() &&
        medium.medium_uuid != sight.medium_uuid && !said.relabelled) {
      const std::string there =
          sight.volume_id.empty() ? "holds no volume"
                                  : "holds another volume, " + sight.volume_id;
      return Status(Errc::kIncompatible,
                    fmt::format("{} is known to hold a volume, and what is in "
                                "the dock {}; if it was erased or written "
                                "elsewhere, say so (--relabelled)",
                                said.tag, there));
    }
    medium.medium_uuid = sight.medium_uuid;
    SetDock(shelf, state.map(), said.dock, said.tag);
    return Status::Ok();
  });
  RETURN_IF_ERROR(edited.WithContext(context));
  spdlog::info("{}: done", context);
  state.desk().Wake();
  return Status::Ok();
}

Status ConfirmRequest(ManualState& state, uint64_t number, bool relabelled) {
  ASSIGN_OR_RETURN(const OperatorRequest request, state.desk().Find(number));
  if (!request.load) {
    return Status(Errc::kInvalidArgument,
                  fmt::format("request {} is done when the medium is out of "
                              "dock {}: there is nothing to confirm",
                              number, request.dock.value));
  }
  Confirmation said;
  said.dock = request.dock;
  said.tag = request.medium;
  said.relabelled = relabelled;
  return ConfirmMedium(state, said)
      .WithContext(fmt::format("request {}", number));
}

}  // namespace vellum
