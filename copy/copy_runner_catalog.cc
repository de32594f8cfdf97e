// SPDX-License-Identifier: Apache-2.0
// What a copy tells the catalog.
#include <fmt/format.h>

#include <utility>

#include "copy/copy_runner.h"
#include "copy/damage_notes.h"
#include "copy/medium_notes.h"
#include "copy/old_generations.h"
#include "copy/own_generations.h"
#include "copy/tracking.h"
#include "copy/verified.h"

namespace vellum {

Result<VolumeRecord> CopyRunner::RecordOf(LoadedTarget* target,
                                          const CopySource& source,
                                          const udf::ControlSlot& slot) {
  if (target->volume != nullptr && target->freed) {
    // What was there is gone; its index must not live on as another volume.
    RETURN_IF_ERROR(steps_->archive().volumes->Forget(target->volume));
    target->exclusion.Release();
    target->volume = nullptr;
  }
  VolumeRecord record;
  if (target->volume != nullptr) record = target->volume->record();
  record.id = slot.volume_id;
  record.medium = target->medium;
  record.medium_uuid = slot.medium_uuid;
  record.format_uuid = slot.format_uuid;
  record.role = udf::Role::kBackup;
  record.state = slot.state;
  record.owner_id = slot.owner_id;
  record.owner_uuid = slot.owner_uuid;
  record.generation = slot.generation;
  record.record_crc = 0;
  record.change_floor = slot.generation.number;
  record.tree = TreeState::kNone;
  record.threshold = slot.threshold;
  record.geometry = source.map->geometry();
  record.used_blocks = source_record_.used_blocks;
  record.files = source_record_.files;
  record.directories = source_record_.directories;
  record.next_unique_id = source_record_.next_unique_id;
  record.copied =
      slot.state == udf::SlotState::kComplete ? slot.time : TimeSpec();
  record.location.clear();
  record.forgotten = false;
  return record;
}

Status CopyRunner::Store(LoadedTarget* target, VolumeRecord* record) {
  ASSIGN_OR_RETURN(target->volume, steps_->archive().volumes->Put(*record));
  record->index = target->volume->index();
  return Status::Ok();
}

Status CopyRunner::Bind(LoadedTarget* target, const CopySource& source,
                        const udf::ControlSlot& slot) {
  const bool known = target->volume != nullptr && !target->freed;
  ASSIGN_OR_RETURN(VolumeRecord record, RecordOf(target, source, slot));
  RETURN_IF_ERROR(Store(target, &record));
  if (!known) {
    ASSIGN_OR_RETURN(target->exclusion, steps_->archive().volumes->Exclude(
                                            target->volume, steps_->stop()));
  }
  if (target->freed) {
    ASSIGN_OR_RETURN(MediumNote note, ReadMediumNote(*steps_->archive().catalog,
                                                     target->medium));
    note.freed.clear();
    RETURN_IF_ERROR(
        WriteMediumNote(steps_->archive().catalog, target->medium, note));
    target->freed = false;
  }
  return NoteMediumContent(steps_->archive().catalog, target->medium,
                           udf::MediumContent::kVellum, target->content.info);
}

Status CopyRunner::Record(LoadedTarget* target, const CopySource& source,
                          const udf::ControlSlot& slot, uint32_t record_crc) {
  const Archive& archive = steps_->archive();
  ASSIGN_OR_RETURN(VolumeRecord record, RecordOf(target, source, slot));
  record.record_crc = record_crc;
  if (tree_ != nullptr) {
    record.tree = TreeState::kScanning;
    RETURN_IF_ERROR(Store(target, &record));
    RETURN_IF_ERROR(
        archive.catalog->CopyTree(source_record_.index, *tree_, record.index));
    record.tree = TreeState::kValid;
    RETURN_IF_ERROR(Store(target, &record));
  } else {
    // The generation's tree went with an earlier start: read it from the
    // medium.
    RETURN_IF_ERROR(Store(target, &record));
    target->exclusion.Release();
    const auto known =
        archive.volumes->Identify(target->medium, target->target());
    if (!known.ok()) {
      steps_->Log(fmt::format("the tree of {} is not in the catalog yet: {}",
                              record.id, known.error().message));
    }
  }
  ASSIGN_OR_RETURN(std::string reminder, SettleTracking(record));
  const bool full = steps_->job().Record().method == "full";
  if (full) {
    RETURN_IF_ERROR(ForgetDamage(archive.catalog, slot.medium_uuid));
  }
  RETURN_IF_ERROR(NoteVerified(archive.catalog, record, read_back_, full));
  const Result<MediumPlace> place = archive.library->FindMedium(target->medium);
  if (place.ok() && place->in_import_export) {
    const std::string label = fmt::format(
        "the copy ends in import/export element {}: take it out and label it "
        "{} by hand",
        ToString(place->home), record.id);
    steps_->Log(label);
    reminder += "; " + label;
  }
  ASSIGN_OR_RETURN(MediumNote note,
                   ReadMediumNote(*archive.catalog, target->medium));
  if (!note.replaced.empty()) {
    reminder += "; " + note.replaced;
    note.was_replaced = fmt::format("{}; job {} wrote {} anew", note.replaced,
                                    steps_->job().id(), record.id);
    note.replaced.clear();
    RETURN_IF_ERROR(WriteMediumNote(archive.catalog, target->medium, note));
  }
  steps_->job().Update([&](JobRecord* job) {
    job->message = fmt::format("{} generation {} is on {} (medium {}), {}",
                               source.identity.volume_id,
                               ToString(source.identity.generation), record.id,
                               target->medium, job->method);
    if (job->method == "full" && !full_reason_.empty()) {
      job->message += ", because " + full_reason_;
    }
    job->message += reminder;
  });
  return Status::Ok();
}

Result<std::string> CopyRunner::SettleTracking(const VolumeRecord& backup) {
  Catalog* const catalog = steps_->archive().catalog;
  const std::string& primary = source_record_.medium_uuid;
  if (request_.track == TrackWish::kNo) {
    RETURN_IF_ERROR(EndTracking(catalog, primary, backup.medium_uuid));
    return std::string();
  }
  ASSIGN_OR_RETURN(const std::optional<TimeSpec> ended,
                   TrackingEnded(*catalog, primary, backup.medium_uuid));
  // What was ended while the copy ran stays so (A3).
  const bool again = request_.track == TrackWish::kYes && ended &&
                     *ended < steps_->job().Record().started;
  if (ended && !again) return std::string();
  const Status room = CheckPairLimit(steps_->archive(),
                                     steps_->context().options->tracked_pairs,
                                     primary, backup.medium_uuid);
  if (!room.ok()) {
    if (room.code() != Errc::kNoSpace) return room;
    if (!ended) {
      RETURN_IF_ERROR(EndTracking(catalog, primary, backup.medium_uuid));
    }
    return "; its changes are not tracked: " + room.error().message;
  }
  if (again) {
    RETURN_IF_ERROR(AllowTracking(catalog, primary, backup.medium_uuid));
  }
  return std::string();
}

Status CopyRunner::ReleaseOldGenerations() {
  ASSIGN_OR_RETURN(const std::optional<uint32_t> own,
                   OwnGenerations(*steps_->archive().catalog, source_record_));
  const uint32_t kept = own.value_or(steps_->context().options->generations);
  // Where nobody has asked for one only, more of them are somebody's wish:
  // copies to media that were named.
  if ((kept < 2 && !own) || !request_.target.empty()) return Status::Ok();
  ASSIGN_OR_RETURN(const std::vector<VolumeRecord> surplus,
                   SurplusGenerations(steps_->archive(),
                                      {steps_->context().options->pool_first,
                                       steps_->context().options->pool_last},
                                      source_record_, kept));
  for (const VolumeRecord& old : surplus) {
    const Status given_up =
        GiveUpBackup(steps_->archive(), old.medium, old.id, steps_->stop());
    if (!given_up.ok() && given_up.code() != Errc::kBusy) return given_up;
    steps_->Log(fmt::format(
        "{} on medium {}, generation {}, is free for other copies: {} newer "
        "ones are kept",
        old.id, old.medium, ToString(old.generation), kept));
  }
  return Status::Ok();
}

Status CopyRunner::FreeOldBackup() {
  if (give_up_medium_.empty()) return Status::Ok();
  const Status given_up = GiveUpBackup(steps_->archive(), give_up_medium_,
                                       give_up_volume_, steps_->stop());
  if (!given_up.ok() && given_up.code() == Errc::kBusy) {
    // Marked as free all the same; it stays listed until it is overwritten.
    steps_->Log(given_up.error().message);
  } else {
    RETURN_IF_ERROR(given_up);
  }
  steps_->Log(fmt::format("{} on medium {} is free for other copies",
                          give_up_volume_, give_up_medium_));
  return Status::Ok();
}

}  // namespace vellum
