// SPDX-License-Identifier: Apache-2.0
#include "media/virtual_drive.h"

#include <fmt/format.h>

#include <chrono>
#include <utility>

#include "media/image_medium.h"
#include "media/virtual_medium.h"

namespace vellum {
namespace {

// How long a medium may take to become ready.
constexpr std::chrono::minutes kReadyTimeout{5};

}  // namespace

VirtualDrive::~VirtualDrive() {
  if (open_) state_->EndUse(address_);
}

Result<DriveIdentity> VirtualDrive::Identify() {
  DriveIdentity identity;
  identity.vendor = "VELLUM";
  identity.product = "VIRTUAL DRIVE";
  identity.revision = VELLUM_VERSION;
  identity.serial =
      fmt::format("VD{:06}-{}", state_->config().lib_num, address_.value);
  identity.device = fmt::format("virtual drive {} of {}", address_.value,
                                state_->config().directory);
  return identity;
}

Result<std::unique_ptr<Medium>> VirtualDrive::Open() {
  ASSIGN_OR_RETURN(const VirtualPlace place, state_->BeginUse(address_));
  const std::string& directory = state_->config().directory;
  std::string name = place.tag;
  std::string image = VirtualImagePath(directory, place.tag);
  if (IsTwoSided(directory, place.tag)) {
    name += place.turned ? 'B' : 'A';
    if (place.turned) image = VirtualSideBPath(directory, place.tag);
  }
  ImageMediumOptions options;
  options.capacity = state_->geometry().capacity;
  options.atomic_sectors =
      state_->geometry().atomic_unit / uint32_t{kSectorSize};
  options.name = fmt::format("{} in drive {}", name, address_.value);
  options.lock_timeout = kReadyTimeout;
  Result<std::unique_ptr<Medium>> medium = OpenVirtualMedium(image, options);
  if (!medium.ok()) {
    state_->EndUse(address_);
    Error error = medium.error();
    // To the library a tray without its file is a tray without a medium.
    if (error.code == Errc::kNotFound) error.code = Errc::kNoMedium;
    error.message = options.name + ": " + error.message;
    return error;
  }
  open_ = true;
  return medium;
}

Status VirtualDrive::Close() {
  if (open_) state_->EndUse(address_);
  open_ = false;
  return Status::Ok();
}

}  // namespace vellum
