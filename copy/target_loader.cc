// SPDX-License-Identifier: Apache-2.0
#include "copy/target_loader.h"

#include <fmt/format.h>

#include <utility>

#include "copy/medium_notes.h"
#include "media/udf/begun_format.h"

namespace vellum {
namespace {

// Errors that say: this medium will not do.
bool IsUnsuitable(Errc code) {
  return code == Errc::kExists || code == Errc::kNoSpace ||
         code == Errc::kWriteProtected || code == Errc::kIncompatible;
}

}  // namespace

Result<MediumId> TargetLoader::Choose(const VolumeRecord& source) {
  const JobContext& context = steps_->context();
  const TargetChooser chooser(
      context.archive, context.claims,
      {context.options->pool_first, context.options->pool_last});
  const JobRecord record = steps_->job().Record();
  for (;;) {
    ASSIGN_OR_RETURN(
        const TargetChooser::Policy policy,
        chooser.PolicyOf(record.request, source, context.options->generations));
    ASSIGN_OR_RETURN(MediumId medium,
                     record.request.target.empty()
                         ? chooser.Automatic(source, *avoid_, policy)
                         : chooser.Named(record.request, source));
    const Status claimed =
        context.claims->Claim(record.id, ClaimantOf(record.request), medium);
    if (claimed.ok()) {
      steps_->job().Update(
          [&medium](JobRecord* job) { job->target_medium = medium; });
      const auto volume = context.archive.volumes->FindByMedium(medium);
      if (volume == nullptr) return medium;
      const Status free = context.archive.volumes->CheckExcludable(*volume);
      if (!free.ok()) return Busy(volume, free.error());
      return medium;
    }
    // Another job was quicker: choose again, or say so.
    if (!record.request.target.empty()) return claimed;
  }
}

Error TargetLoader::Busy(const std::shared_ptr<Volume>& volume,
                         const Error& busy) {
  if (busy.code != Errc::kBusy ||
      !steps_->job().Record().request.wait_mounted) {
    return busy;
  }
  return steps_->Defer(volume, busy);
}

Status TargetLoader::Reserve(const MediumId& medium) {
  reserved_.reset();
  reservation_.Release();
  const auto volume = steps_->archive().volumes->FindByMedium(medium);
  if (volume == nullptr) return Status::Ok();
  Result<Volumes::Exclusion> exclusion =
      steps_->archive().volumes->Exclude(volume, steps_->stop());
  if (!exclusion.ok()) return Busy(volume, exclusion.error());
  reserved_ = volume;
  reservation_ = std::move(*exclusion);
  return Status::Ok();
}

Result<LoadedTarget> TargetLoader::Load(MediumId medium,
                                        const VolumeRecord& source,
                                        bool with_source) {
  const bool named = !steps_->job().Record().request.target.empty();
  for (;;) {
    bool bound = false;
    if (const auto volume = steps_->archive().volumes->FindByMedium(medium)) {
      bound = volume->record().owner_uuid == source.medium_uuid;
    }
    ASSIGN_OR_RETURN(const MediumNote note,
                     ReadMediumNote(*steps_->archive().catalog, medium));
    // One that a copy spoiled before a restart.
    if (note.write_once) bound = false;
    Result<LoadedTarget> loaded = LoadOne(medium, source, with_source);
    if (loaded.ok() || named || !IsUnsuitable(loaded.error().code)) {
      return loaded;
    }
    if (bound && loaded.error().code == Errc::kWriteProtected) {
      return loaded.status().WithContext("the backup of volume " + source.id);
    }
    if (bound) {
      // Not trusted, and not given up silently either (O16).
      return loaded.status().WithContext(fmt::format(
          "medium {} no longer holds the backup of {} that it should", medium,
          source.id));
    }
    steps_->Log(fmt::format("medium {} is not used: {}", medium,
                            loaded.error().message));
    avoid_->insert(medium);
    steps_->SendHome(medium);
    ASSIGN_OR_RETURN(medium, Choose(source));
    RETURN_IF_ERROR(steps_->Save());
  }
}

Result<LoadedTarget> TargetLoader::Acquire(const MediumId& medium,
                                           const VolumeRecord& source,
                                           bool with_source) {
  const Archive& archive = steps_->archive();
  LoadedTarget target;
  target.medium = medium;
  target.volume = archive.volumes->FindByMedium(medium);
  if (target.volume == nullptr || target.volume != reserved_) {
    RETURN_IF_ERROR(Reserve(medium));
    target.volume = reserved_;
  }
  reserved_.reset();
  target.exclusion = std::move(reservation_);
  std::vector<LeaseRequest> requests;
  if (with_source) {
    LeaseRequest request;
    request.medium = source.medium;
    request.mode = LeaseMode::kShared;
    request.priority = LeasePriority::kCopy;
    request.owner = steps_->owner();
    requests.push_back(std::move(request));
    steps_->Touch(source.medium);
  }
  LeaseRequest request;
  request.medium = medium;
  request.mode = LeaseMode::kExclusive;
  request.priority = LeasePriority::kCopy;
  request.owner = steps_->owner();
  requests.push_back(std::move(request));
  steps_->Touch(medium);
  ASSIGN_OR_RETURN(target.leases, archive.library->AcquireAndWait(
                                      std::move(requests), steps_->stop()));
  ASSIGN_OR_RETURN(target.content, ProbeTarget(target.target()));
  RETURN_IF_ERROR(NoteMediumContent(
      archive.catalog, medium, target.content.content, target.content.info));
  return target;
}

Result<LoadedTarget> TargetLoader::LoadWritten(const MediumId& medium,
                                               const VolumeRecord& source,
                                               bool with_source) {
  ASSIGN_OR_RETURN(LoadedTarget target, Acquire(medium, source, with_source));
  if (target.content.slot) target.volume_id = target.content.slot->volume_id;
  return target;
}

Result<LoadedTarget> TargetLoader::LoadOne(const MediumId& medium,
                                           const VolumeRecord& source,
                                           bool with_source) {
  const Archive& archive = steps_->archive();
  ASSIGN_OR_RETURN(LoadedTarget target, Acquire(medium, source, with_source));
  const Status fits = Check(source, &target);
  if (fits.ok()) return target;
  if (target.volume != nullptr &&
      (!target.content.slot || target.content.slot->medium_uuid !=
                                   target.volume->record().medium_uuid)) {
    RETURN_IF_ERROR(archive.volumes->Displace(target.volume));
    target.exclusion.Release();
    target.volume.reset();
  }
  if (target.volume == nullptr && target.content.slot) {
    // Made known, so that it is not loaded for nothing again.
    const auto found = archive.volumes->Identify(medium, target.target());
    if (!found.ok()) steps_->Log(found.error().message);
  }
  return fits;
}

// A medium whose tag cannot be read, or was changed, is told by its label.
Status TargetLoader::CheckNotElsewhere(const LoadedTarget& target) const {
  const udf::ControlSlot& slot = *target.content.slot;
  for (const auto& volume : steps_->archive().volumes->List()) {
    const VolumeRecord known = volume->record();
    if (known.medium_uuid != slot.medium_uuid ||
        known.medium == target.medium || !DisplacedFrom(known.medium).empty()) {
      continue;
    }
    return Status(
        Errc::kExists,
        fmt::format("{} holds {}, which the catalog has on medium {}: its "
                    "volume tag cannot be read, or is another one now",
                    target.content.info.name, known.id, known.medium));
  }
  return Status::Ok();
}

Status TargetLoader::Check(const VolumeRecord& source, LoadedTarget* target) {
  const MediumInfo& info = target->content.info;
  const bool once = info.medium_class == MediumClass::kWriteOnce;
  if (info.medium_class != MediumClass::kRewritable && !once) {
    return Status(Errc::kIncompatible,
                  info.name + " is no disc or disk: it cannot hold a backup");
  }
  if (once && info.write_protected) {
    return Status(Errc::kWriteProtected,
                  info.name +
                      " is a write-once medium that was written already: it "
                      "takes nothing more");
  }
  const CopyMode mode = steps_->job().Record().request.mode;
  if (once && (mode == CopyMode::kIncremental || mode == CopyMode::kFiles)) {
    return Status(Errc::kIncompatible,
                  info.name +
                      " is a write-once medium: it takes an image or streaming "
                      "copy, no other one");
  }
  if (info.write_protected) {
    return Status(Errc::kWriteProtected, info.name + " is write-protected");
  }
  if (mode != CopyMode::kFiles && info.sectors < source.geometry.sectors) {
    return Status(
        Errc::kNoSpace,
        fmt::format("{} has {} sectors, volume {} has {}", info.name,
                    info.sectors, source.id, source.geometry.sectors));
  }
  ASSIGN_OR_RETURN(const MediumNote note,
                   ReadMediumNote(*steps_->archive().catalog, target->medium));
  switch (target->content.content) {
    case udf::MediumContent::kForeign:
      if (note.found == "unfinished") {
        // A copy broke off here; but who had the medium since?
        ASSIGN_OR_RETURN(const bool begun, udf::LooksBegun(target->target()));
        if (begun) break;
        MediumNote others = note;
        others.found = "foreign";
        RETURN_IF_ERROR(
            WriteMediumNote(steps_->archive().catalog, target->medium, others));
      }
      return Status(Errc::kExists,
                    fmt::format("{} holds data that Vellum did not write: "
                                "format it with clear (--clear, clear=yes) "
                                "first",
                                info.name));
    case udf::MediumContent::kBlank:
      if (target->volume != nullptr) RETURN_IF_ERROR(NoteReplaced(*target));
      break;
    case udf::MediumContent::kVellum:
      target->freed = !note.freed.empty() &&
                      note.freed == target->content.slot->volume_id &&
                      target->content.slot->role == udf::Role::kBackup;
      RETURN_IF_ERROR(CheckSlot(source, target));
      RETURN_IF_ERROR(CheckNotElsewhere(*target));
      break;
  }
  if (target->volume_id.empty()) {
    const Result<MediumPlace> place =
        steps_->archive().library->FindMedium(target->medium);
    target->volume_id = target->volume != nullptr && !target->freed
                            ? target->volume->id()
                            : ChooseBackupId(steps_->archive(),
                                             !place.ok()          ? VolumeTag()
                                             : place->two_sided() ? place->id
                                                                  : place->tag,
                                             source.id);
  }
  return Status::Ok();
}

Status TargetLoader::NoteReplaced(const LoadedTarget& target) {
  const VolumeRecord record = target.volume->record();
  const std::string text = fmt::format(
      "medium {} is blank, but should hold {}{}{}: it was replaced or erased",
      target.medium, record.id, record.owner_id.empty() ? "" : ", a backup of ",
      record.owner_id);
  steps_->Log(text);
  Catalog* const catalog = steps_->archive().catalog;
  ASSIGN_OR_RETURN(MediumNote note, ReadMediumNote(*catalog, target.medium));
  note.replaced = text;
  note.was_replaced.clear();
  return WriteMediumNote(catalog, target.medium, note);
}

Status TargetLoader::CheckSlot(const VolumeRecord& source,
                               LoadedTarget* target) {
  const udf::ControlSlot& slot = *target->content.slot;
  if (slot.role == udf::Role::kPrimary) {
    return Status(
        Errc::kExists,
        fmt::format("{} holds the PRIMARY {}: it cannot take a copy "
                    "of {}",
                    target->content.info.name, slot.volume_id, source.id));
  }
  if (slot.owner_uuid == source.medium_uuid) {
    target->ours = true;
    target->freed = false;
    target->volume_id = slot.volume_id;
    return Status::Ok();
  }
  if (slot.owner_uuid.empty()) {  // formatted, never written
    target->volume_id = slot.volume_id;
    return Status::Ok();
  }
  if (target->freed) return Status::Ok();
  return Status(
      Errc::kExists,
      fmt::format(
          "{} holds {}, a backup of {}{}: it cannot take a copy of {}",
          target->content.info.name, slot.volume_id, slot.owner_id,
          slot.owner_id == source.id ? " as it was on another medium" : "",
          source.id));
}

}  // namespace vellum
