// SPDX-License-Identifier: Apache-2.0
// What a copy tells the catalog.
#include <fmt/format.h>

#include <utility>

#include "copy/copy_runner.h"
#include "copy/medium_notes.h"

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
                           udf::MediumContent::kVellum,
                           target->content.info.sectors);
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
  const Result<MediumPlace> place = archive.library->FindMedium(target->medium);
  if (place.ok() && place->in_import_export) {
    steps_->Log(
        fmt::format("the copy ends in import/export element {}: label "
                    "the medium {} by hand",
                    ToString(place->home), record.id));
  }
  steps_->job().Update([&](JobRecord* job) {
    job->message = fmt::format("{} generation {} is on {} (medium {}), {}",
                               source.identity.volume_id,
                               ToString(source.identity.generation), record.id,
                               target->medium, job->method);
    if (job->method == "full" && !full_reason_.empty()) {
      job->message += ", because " + full_reason_;
    }
  });
  return Status::Ok();
}

Status CopyRunner::FreeOldBackup() {
  if (give_up_medium_.empty()) return Status::Ok();
  const Archive& archive = steps_->archive();
  ASSIGN_OR_RETURN(MediumNote note,
                   ReadMediumNote(*archive.catalog, give_up_medium_));
  note.freed = give_up_volume_;
  RETURN_IF_ERROR(WriteMediumNote(archive.catalog, give_up_medium_, note));
  const auto volume = archive.volumes->FindByMedium(give_up_medium_);
  if (volume != nullptr) {
    Result<Volumes::Exclusion> exclusion =
        archive.volumes->Exclude(volume, steps_->stop());
    if (exclusion.ok()) {
      RETURN_IF_ERROR(archive.volumes->Forget(volume));
    } else {
      // Marked as free all the same; it stays listed until it is overwritten.
      steps_->Log(exclusion.error().message);
    }
  }
  steps_->Log(fmt::format("{} on medium {} is free for other copies",
                          give_up_volume_, give_up_medium_));
  return Status::Ok();
}

}  // namespace vellum
