// SPDX-License-Identifier: Apache-2.0
// From what is on a medium to a volume with a record and a tree.
#include <fmt/format.h>
#include <spdlog/spdlog.h>

#include <utility>

#include "index/volumes_impl.h"
#include "media/udf/control.h"
#include "media/udf/format.h"

namespace vellum {
namespace {

// Media without a volume tag are named after their element.
bool NamedByElement(const MediumId& id) {
  return !id.empty() && id.front() == '@';
}

// Puts what the control slot says over `record`. The catalog's own knowledge
// (generation, tree, change map) stays unless the medium holds something else
// than that: then the tree has to be read anew.
void ApplyControlSlot(const udf::ControlSlot& control, VolumeRecord* record) {
  const bool backup = control.role == udf::Role::kBackup;
  const bool same = record->format_uuid == control.format_uuid &&
                    record->medium_uuid == control.medium_uuid &&
                    record->role == control.role &&
                    (!backup || record->generation == control.generation);
  record->id = control.volume_id;
  record->medium_uuid = control.medium_uuid;
  record->format_uuid = control.format_uuid;
  record->role = control.role;
  record->state = control.state;
  record->owner_id = control.owner_id;
  record->owner_uuid = control.owner_uuid;
  record->threshold = control.threshold;
  record->copied = control.state == udf::SlotState::kComplete ||
                           control.state == udf::SlotState::kFiles
                       ? control.time
                       : TimeSpec();
  if (!same) {
    record->generation = control.generation;
    record->record_crc = 0;
    record->change_floor = control.generation.number;
  }
  if (!same || control.state == udf::SlotState::kIncomplete) {
    record->tree = TreeState::kNone;
  }
}

const char* RoleText(udf::Role role) {
  return role == udf::Role::kBackup ? "backup" : "primary";
}

}  // namespace

Status Volumes::Impl::TakeIdentity(const SlotPtr& slot) {
  std::shared_ptr<Volume> volume;
  {
    MutexLock lock(&mu_);
    if (slot->compared) return Status::Ok();
    volume = slot->volume;
  }
  const VolumeRecord record = volume->record();
  Medium& medium = slot->lease.medium();
  const auto control = udf::ReadControlSlot(medium);
  if (!control.ok()) {
    return control.status().WithContext(
        fmt::format("volume {} on {}", record.id, medium.Info().name));
  }
  // Then who attaches it says so.
  if (control->medium_uuid != record.medium_uuid ||
      control->format_uuid != record.format_uuid) {
    return Status::Ok();
  }
  VolumeRecord found = record;
  if (control->role != record.role || control->volume_id != record.id) {
    ApplyControlSlot(*control, &found);
  }
  bool renamed = found.id != record.id;
  MediumId taken_by;
  if (renamed) {
    MutexLock lock(&mu_);
    const auto other = by_id_.find(found.id);
    if (other != by_id_.end()) taken_by = other->second->medium;
    if (other != by_id_.end() || !reserved_ids_.insert(found.id).second) {
      renamed = false;
    }
  }
  if (found.id != record.id && !renamed) {
    spdlog::warn(
        "medium {}: the catalog knows it as {}, it carries the name {}, which "
        "{} has: it stays {}",
        record.medium, record.id, found.id,
        taken_by.empty() ? "another volume" : "medium " + taken_by, record.id);
    found.id = record.id;
  }
  const bool changed = renamed || found.role != record.role;
  Status stored;
  if (changed) stored = StoreRecord(&found);
  if (changed && stored.ok()) volume->SetRecord(found);
  {
    MutexLock lock(&mu_);
    if (renamed) reserved_ids_.erase(found.id);
    slot->compared = stored.ok();
    if (changed && stored.ok()) {
      EraseLocked(slot);
      slot->id = found.id;
      InsertLocked(slot);
      ++change_count_;
    }
  }
  if (!stored.ok()) {
    return stored.WithContext(fmt::format("volume {}", record.id));
  }
  if (!changed) return Status::Ok();
  spdlog::warn("medium {}: the catalog knows it as {} {}, it is {} {}",
               record.medium, RoleText(record.role), record.id,
               RoleText(found.role), found.id);
  // Whoever keeps names keeps the former one.
  if (options.on_tree_replaced) options.on_tree_replaced();
  return Status::Ok();
}

Result<std::optional<VolumeRecord>> Volumes::Impl::KnownRecord(
    const MediumId& id, const udf::ControlSlot& control) {
  std::shared_ptr<Volume> same_medium;
  std::shared_ptr<Volume> same_name;
  MediumId known_as;
  MediumId taken_by;
  {
    MutexLock lock(&mu_);
    for (const auto& entry : by_index_) {
      if (entry.second->medium_uuid != control.medium_uuid) continue;
      same_medium = entry.second->volume;
      known_as = entry.second->medium;
    }
    const auto it = by_id_.find(control.volume_id);
    if (it != by_id_.end() && it->second->volume != same_medium) {
      same_name = it->second->volume;
      taken_by = it->second->medium;
    }
  }
  const MediumId former = DisplacedFrom(taken_by);
  if (same_name != nullptr &&
      (same_medium != nullptr || (taken_by != id && former != id))) {
    if (!former.empty()) {
      return Error{Errc::kExists,
                   fmt::format("medium {} carries a volume {}, and so did "
                               "medium {} before it was replaced",
                               id, control.volume_id, former)};
    }
    return Error{Errc::kExists,
                 fmt::format("media {} and {} both carry a volume {}", taken_by,
                             id, control.volume_id)};
  }
  if (same_medium != nullptr) {
    // The name changes when a medium gets another volume tag, or another
    // element where there are no tags. Else it is a duplicate of the medium.
    if (known_as != id && !NamedByElement(known_as) && !NamedByElement(id) &&
        library->FindMedium(known_as).ok()) {
      return Error{
          Errc::kExists,
          fmt::format("media {} and {} both carry a volume {} with the "
                      "same medium uuid: one is a duplicate",
                      known_as, id, control.volume_id)};
    }
    return std::optional<VolumeRecord>(same_medium->record());
  }
  if (same_name != nullptr) {
    spdlog::warn(
        "volume {} on medium {} was made anew without this catalog: its tree "
        "is "
        "read again",
        control.volume_id, id);
    return std::optional<VolumeRecord>(same_name->record());
  }
  return std::optional<VolumeRecord>();
}

Result<std::shared_ptr<Volume>> Volumes::Impl::Identify(const MediumId& id,
                                                        Medium& medium) {
  const std::string context = fmt::format("medium {}", id);
  const auto content = udf::ProbeMedium(medium);
  if (!content.ok()) return content.status().WithContext(context);
  if (*content != udf::MediumContent::kVellum) {
    return std::shared_ptr<Volume>();
  }
  const auto control = udf::ReadControlSlot(medium);
  if (!control.ok()) return control.status().WithContext(context);
  const bool incomplete = control->state == udf::SlotState::kIncomplete;
  const auto description = udf::ReadDescription(medium);
  // While a full copy runs, or after it broke off, the descriptors are not
  // there.
  if (!description.ok() && !incomplete) {
    return description.status().WithContext(
        fmt::format("{}, volume {}", context, control->volume_id));
  }

  ASSIGN_OR_RETURN(std::optional<VolumeRecord> known,
                   KnownRecord(id, *control));
  Exclusion exclusion;
  VolumeRecord record;
  if (known) {
    std::shared_ptr<Volume> volume;
    {
      MutexLock lock(&mu_);
      const SlotPtr slot = SlotOfLocked(known->index);
      if (slot != nullptr) volume = slot->volume;
    }
    if (volume == nullptr) {
      return Error{Errc::kAborted,
                   fmt::format("{}: volume {} was removed meanwhile", context,
                               known->id)};
    }
    ASSIGN_OR_RETURN(exclusion, Exclude(*volume, {}));
    record = volume->record();  // its last commit may just have been made
  }
  const std::string before = Encode(record);
  record.medium = id;
  record.location.clear();
  ApplyControlSlot(*control, &record);
  if (description.ok()) record.geometry = description->geometry;

  std::shared_ptr<Volume> volume;
  if (Encode(record) != before) {
    ASSIGN_OR_RETURN(const SlotPtr slot, PutRecord(record, /*excluded=*/true));
    MutexLock lock(&mu_);
    volume = slot->volume;
  } else {
    MutexLock lock(&mu_);
    const SlotPtr slot = SlotOfLocked(record.index);
    VELLUM_CHECK(slot != nullptr);  // excluded by us: Forget is the owner's
    volume = slot->volume;
  }
  if (!known) exclusion = GuardOf(volume->index());
  if (incomplete) return volume;

  RETURN_IF_ERROR(Attach(*volume, &medium).WithContext(context));
  RETURN_IF_ERROR(Detach(*volume).WithContext(context));
  return volume;
}

}  // namespace vellum
