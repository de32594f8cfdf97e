// SPDX-License-Identifier: Apache-2.0
// Volumes whose medium holds something else than what the catalog says.
#include <fmt/format.h>
#include <spdlog/spdlog.h>

#include <utility>

#include "index/volumes_impl.h"
#include "media/udf/control.h"
#include "media/udf/format.h"
#include "media/udf/slot_error.h"

namespace vellum {
namespace {

constexpr char kFormerMark = '?';

}  // namespace

MediumId FormerMedium(const MediumId& medium) {
  return DisplacedFrom(medium).empty() ? kFormerMark + medium : medium;
}

MediumId DisplacedFrom(const MediumId& medium) {
  if (medium.empty() || medium.front() != kFormerMark) return "";
  return medium.substr(1);
}

Status Volumes::Displace(const std::shared_ptr<Volume>& volume) {
  VolumeRecord record = volume->record();
  spdlog::error(
      "medium {}: it does not hold volume {} any more, which counts as removed "
      "until an inventory finds it",
      record.medium, record.id);
  record.medium = FormerMedium(record.medium);
  return Put(std::move(record)).status();
}

void Volumes::Impl::SetMedium(const SlotPtr& slot, Volume* volume,
                              const VolumeRecord& record) {
  volume->SetRecord(record);
  MutexLock lock(&mu_);
  EraseLocked(slot);
  slot->medium = record.medium;
  slot->compared = false;  // elsewhere it may have become another one
  InsertLocked(slot);
  ++change_count_;
}

Error Volumes::Impl::CheckDisplaced(const SlotPtr& slot, const Error& error) {
  std::shared_ptr<Volume> volume;
  {
    MutexLock lock(&mu_);
    volume = slot->volume;
  }
  Medium& medium = slot->lease.medium();
  VolumeRecord record = volume->record();
  const MediumId id = record.medium;
  const auto content = udf::ProbeMedium(medium);
  if (!content.ok()) return error;
  std::string found = "holds no volume, it is blank";
  if (*content == udf::MediumContent::kForeign) {
    found = "holds no volume, but data that Vellum did not write";
  } else if (*content == udf::MediumContent::kVellum) {
    const auto control = udf::ReadControlSlot(medium);
    if (!control.ok() || (control->medium_uuid == record.medium_uuid &&
                          control->format_uuid == record.format_uuid)) {
      return error;
    }
    found = "holds another volume " + control->volume_id;
  }
  record.medium = FormerMedium(id);
  const Status stored = StoreRecord(&record);
  if (!stored.ok()) {
    spdlog::error("volume {}: {}", record.id, stored.ToString());
    return error;
  }
  SetMedium(slot, volume.get(), record);
  const Error said{
      Errc::kNoMedium,
      fmt::format("medium {} {}: volume {} is not there any more (the medium "
                  "was replaced or written elsewhere); `vellum inventory "
                  "--all` looks for it on all media",
                  id, found, record.id)};
  spdlog::error("{}", said.message);
  if (options.on_displaced) {
    options.on_displaced(id, *content, medium.Info());
  }
  return said;
}

MediumId Volumes::Impl::MayBeBackOn(const VolumeRecord& record) const {
  const MediumId former = DisplacedFrom(record.medium);
  if (former.empty() || !record.location.empty()) return "";
  const Result<MediumPlace> place = library->FindMedium(former);
  if (!place.ok() || (library->Identity().manual && !place->loaded)) return "";
  for (const DriveState& drive : library->Drives()) {
    if (drive.medium == former && drive.activity == "exclusive") return "";
  }
  MutexLock lock(&mu_);
  return by_medium_.count(former) == 0 ? former : "";
}

Result<bool> Volumes::Impl::TakeBack(const SlotPtr& slot) {
  std::shared_ptr<Volume> volume;
  {
    MutexLock lock(&mu_);
    volume = slot->volume;
  }
  VolumeRecord record = volume->record();
  const MediumId former = DisplacedFrom(record.medium);
  if (former.empty()) return true;
  Medium& medium = slot->lease.medium();
  const auto control = udf::ReadControlSlot(medium);
  if (!control.ok() && !udf::SaysNoSlot(control.error().code)) {
    return control.status().WithContext("medium " + former);
  }
  if (!control.ok() || control->medium_uuid != record.medium_uuid ||
      control->format_uuid != record.format_uuid) {
    return false;
  }
  // First what is known of the medium: a crash in between costs one more look.
  if (options.on_displaced) {
    options.on_displaced(former, udf::MediumContent::kVellum, medium.Info());
  }
  record.medium = former;
  RETURN_IF_ERROR(
      StoreRecord(&record).WithContext(fmt::format("volume {}", record.id)));
  SetMedium(slot, volume.get(), record);
  spdlog::info("medium {}: it holds volume {} again", former, record.id);
  return true;
}

}  // namespace vellum
