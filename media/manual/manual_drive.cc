// SPDX-License-Identifier: Apache-2.0
#include "media/manual/manual_drive.h"

#include <fmt/format.h>
#include <spdlog/spdlog.h>

#include <utility>

#include "media/manual/dock_medium.h"
#include "media/udf/control.h"

namespace vellum {

ManualDrive::~ManualDrive() {
  Close().IgnoreError("nobody is left to tell; the file closes anyway");
}

Result<DriveIdentity> ManualDrive::Identify() {
  DriveIdentity identity;
  identity.vendor = "VELLUM";
  identity.product = "MANUAL DOCK";
  identity.revision = VELLUM_VERSION;
  identity.serial =
      fmt::format("MD{:06}-{}", state_->config().lib_num, address_.value);
  identity.device = state_->DockPath(address_);
  return identity;
}

Result<std::unique_ptr<Medium>> ManualDrive::Open() {
  const std::string context = fmt::format("drive {}", address_.value);
  ASSIGN_OR_RETURN(const DockFinding finding, state_->Settle(address_));
  if (!finding.full) {
    return Error{Errc::kNoMedium, fmt::format("{}: dock {} is empty", context,
                                              state_->DockPath(address_))};
  }
  if (finding.tag.empty() || !finding.problem.empty()) {
    return Error{Errc::kIncompatible, context + ": " + finding.problem};
  }
  const DockSight sight = state_->Look(address_);
  DockMediumOptions options;
  options.path = sight.path;
  options.fingerprint = sight.fingerprint;
  options.name = fmt::format("{} in dock {}", finding.tag, address_.value);
  options.atomic_sectors = state_->config().atomic_unit / kSectorSize;
  options.on_label = [state = state_,
                      tag = finding.tag](const std::string& uuid) {
    const Status kept = state->SetLabel(tag, uuid);
    // The operator will be asked who it is.
    if (!kept.ok()) spdlog::warn("label of {}: {}", tag, kept.ToString());
  };
  RETURN_IF_ERROR(state_->BeginUse(address_, sight.fingerprint));
  Result<std::unique_ptr<DockMedium>> medium = DockMedium::Open(options);
  if (!medium.ok()) {
    state_->EndUse(address_);
    return medium.status().WithContext(context);
  }
  // Whoever was there a moment ago: this is the one that will be used.
  const Result<udf::ControlSlot> slot = udf::ReadControlSlot(**medium);
  const std::string uuid = slot.ok() ? slot->medium_uuid : "";
  const Shelf shelf = state_->shelf();
  const auto held = shelf.find(address_);
  if (held == shelf.end() || held->second.tag != finding.tag ||
      held->second.medium_uuid != uuid) {
    medium->reset();
    state_->EndUse(address_);
    return Error{Errc::kNotReady,
                 fmt::format("{}: the medium in dock {} was changed just now",
                             context, state_->DockPath(address_))};
  }
  open_ = true;
  return std::unique_ptr<Medium>(std::move(*medium));
}

Status ManualDrive::Close() {
  if (!open_) return Status::Ok();
  open_ = false;
  state_->EndUse(address_);
  return Status::Ok();
}

}  // namespace vellum
