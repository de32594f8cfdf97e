// SPDX-License-Identifier: Apache-2.0
#include "copy/file_backup.h"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "copy/medium_notes.h"
#include "copy/verified.h"
#include "media/udf/format.h"

namespace vellum {

bool FileBackup::Verifies() const {
  return steps_->job().Record().request.verify;
}

bool FileBackup::Keeps() const {
  return target_->ours && target_->content.slot &&
         (target_->content.slot->state == udf::SlotState::kComplete ||
          target_->content.slot->state == udf::SlotState::kFiles);
}

Result<const FileTree*> FileBackup::Look() {
  if (!Keeps()) return static_cast<const FileTree*>(nullptr);
  if (target_->volume == nullptr) {
    // The lease keeps others off while it becomes known.
    ASSIGN_OR_RETURN(target_->volume, steps_->archive().volumes->Identify(
                                          target_->medium, medium()));
    ASSIGN_OR_RETURN(target_->exclusion, steps_->archive().volumes->Exclude(
                                             target_->volume, steps_->stop()));
  }
  view_ = std::make_unique<Volume>(steps_->archive().catalog,
                                   target_->volume->record(), VolumeOptions());
  RETURN_IF_ERROR(view_->Attach(&medium()));
  tree_ = TreeOfVolume(*view_);
  return static_cast<const FileTree*>(tree_.get());
}

FileBackup::~FileBackup() { StopLooking().IgnoreError("nothing was changed"); }

Status FileBackup::StopLooking() {
  tree_.reset();
  if (view_ == nullptr) return Status::Ok();
  const Status detached = view_->Detach();
  // What it found out (a tree that had to be read anew) is in the catalog.
  target_->volume->SetRecord(view_->record());
  view_.reset();
  return detached;
}

Status FileBackup::Check(const FilePlan& plan,
                         const FileWriterOptions& options) {
  const std::string& name = target_->volume_id;
  uint64_t free_blocks = 0;
  if (view_ != nullptr) {
    geometry_ = view_->record().geometry;
    free_blocks = view_->Space().free_blocks;
  } else {
    ASSIGN_OR_RETURN(geometry_,
                     udf::ComputeGeometry(target_->content.info.sectors));
    const uint64_t usable = uint64_t{geometry_.partition_blocks} * 99 / 100;
    free_blocks =
        usable - std::min<uint64_t>(usable, geometry_.root_block + 33);
  }
  // Some of the log is lost where entries do not fit at its end; the rest must
  // be enough for all that this copy notes, or it would write over its own.
  const uint64_t room = uint64_t{geometry_.log_sectors} * kSectorSize * 3 / 4;
  const uint64_t needed = NoteBytes(steps_->job().Record(), plan, options);
  if (needed > room) {
    return Status(
        Errc::kNoSpace,
        fmt::format("the control information of this copy may take {} bytes, "
                    "and the control log of {} takes {}: nothing was changed; "
                    "copy fewer directories at once, or the whole volume "
                    "(`vellum copy`)",
                    needed, name, room));
  }
  const uint64_t more =
      plan.new_blocks - std::min(plan.new_blocks, plan.replaced_blocks);
  if (more > free_blocks) {
    return Status(
        Errc::kNoSpace,
        fmt::format("{} has {} blocks (2048 bytes) free up to 99 %, the files "
                    "need {} more than what they replace: nothing was changed",
                    name, free_blocks, more));
  }
  return Status::Ok();
}

Status FileBackup::Open() {
  RETURN_IF_ERROR(StopLooking());
  const bool fresh = !Keeps();
  if (fresh) RETURN_IF_ERROR(MakeVolume());
  ASSIGN_OR_RETURN(slot_, udf::ReadControlSlot(medium()));
  RETURN_IF_ERROR(Bind());
  // With nothing on it, it is as good as read back; a copy that reads nothing
  // back ends that here, however it comes out itself.
  RETURN_IF_ERROR(NoteVerified(steps_->archive().catalog,
                               target_->volume->record(), Verifies(), fresh));
  VolumeOptions options;
  options.copier = true;
  volume_ = std::make_unique<Volume>(steps_->archive().catalog,
                                     target_->volume->record(), options);
  return volume_->Attach(&medium());
}

// An empty backup, on a medium whose content nobody needs.
Status FileBackup::MakeVolume() {
  const Archive& archive = steps_->archive();
  if (target_->volume != nullptr && target_->freed) {
    // What was there is gone; its index must not live on as another volume.
    RETURN_IF_ERROR(archive.volumes->Forget(target_->volume));
    target_->exclusion.Release();
    target_->volume = nullptr;
    ASSIGN_OR_RETURN(MediumNote note,
                     ReadMediumNote(*archive.catalog, target_->medium));
    note.freed.clear();
    RETURN_IF_ERROR(WriteMediumNote(archive.catalog, target_->medium, note));
    target_->freed = false;
  }
  const std::optional<udf::ControlSlot>& found = target_->content.slot;
  if (found && found->state == udf::SlotState::kFormatted &&
      found->owner_uuid.empty()) {
    return Status::Ok();
  }
  // Broken off it is neither blank nor a volume: that must not look like
  // somebody else's data to the copy that goes on.
  ASSIGN_OR_RETURN(MediumNote begun,
                   ReadMediumNote(*archive.catalog, target_->medium));
  begun.found = "unfinished";
  RETURN_IF_ERROR(WriteMediumNote(archive.catalog, target_->medium, begun));
  udf::FormatOptions options;
  options.volume_id = target_->volume_id;
  options.role = udf::Role::kBackup;
  options.threshold = 99;
  options.clear = true;
  return udf::FormatVolume(medium(), options).status();
}

Status FileBackup::Bind() {
  const Archive& archive = steps_->archive();
  ASSIGN_OR_RETURN(const OpenedBackup opened, OpenBackup(medium(), slot_));
  slot_ = opened.slot;
  geometry_ = opened.geometry;
  log_end_ = slot_.log_end;
  RETURN_IF_ERROR(AddToLog({NoteOfStart(steps_->job().Record())}));
  const bool switched = slot_.state != udf::SlotState::kFiles;
  if (switched) {
    slot_.state = udf::SlotState::kFiles;
    slot_.generation = {udf::NewLineage(), opened.generation.number};
  }
  slot_.owner_id = source_.id;
  slot_.owner_uuid = source_.medium_uuid;
  slot_.lvid_crc = opened.lvid_crc;
  slot_.threshold = 99;

  VolumeRecord record;
  const bool known = target_->volume != nullptr;
  if (known) record = target_->volume->record();
  const bool tree = known && record.tree == TreeState::kValid &&
                    record.format_uuid == slot_.format_uuid &&
                    record.medium_uuid == slot_.medium_uuid &&
                    record.generation == opened.generation;
  record.id = slot_.volume_id;
  record.medium = target_->medium;
  record.medium_uuid = slot_.medium_uuid;
  record.format_uuid = slot_.format_uuid;
  record.role = udf::Role::kBackup;
  record.state = slot_.state;
  record.owner_id = slot_.owner_id;
  record.owner_uuid = slot_.owner_uuid;
  record.generation = slot_.generation;
  record.record_crc = 0;
  record.change_floor = slot_.generation.number;
  if (!tree) record.tree = TreeState::kNone;
  record.threshold = slot_.threshold;
  record.geometry = geometry_;
  record.location.clear();
  record.forgotten = false;
  ASSIGN_OR_RETURN(target_->volume, archive.volumes->Put(std::move(record)));
  if (!known) {
    ASSIGN_OR_RETURN(target_->exclusion,
                     archive.volumes->Exclude(target_->volume, steps_->stop()));
  }
  RETURN_IF_ERROR(NoteMediumContent(archive.catalog, target_->medium,
                                    udf::MediumContent::kVellum,
                                    target_->content.info));
  if (switched) {
    // Older records of the journal are of another lineage.
    RETURN_IF_ERROR(WriteSlotWithNewFloor(medium(), &slot_, 0));
  } else {
    slot_.time = Now();
    RETURN_IF_ERROR(udf::WriteControlSlot(medium(), &slot_));
  }
  return medium().Flush();
}

Status FileBackup::AddToLog(const std::vector<udf::LogEntry>& entries) {
  if (entries.empty()) return Status::Ok();
  RETURN_IF_ERROR(
      udf::AppendControlLog(medium(), geometry_, &log_end_, entries));
  return medium().Flush();
}

Status FileBackup::Note(const std::vector<FileResult>& results) {
  return AddToLog(NotesOfDirectories(steps_->job().id(), results));
}

Status FileBackup::Close(const FileCounts& counts, const std::string& state,
                         const std::string& message) {
  const Archive& archive = steps_->archive();
  const Status detached = volume_->Detach();
  VolumeRecord record = volume_->record();
  volume_.reset();
  const JobRecord job = steps_->job().Record();
  Status noted;
  if (detached.ok()) {
    noted = AddToLog({NoteOfEnd(job, counts, state, message)});
  }
  if (detached.ok() && state == "done") record.copied = Now();
  // Nobody asks what changed on a backup.
  RETURN_IF_ERROR(archive.catalog->ClearChangeMap(record.index));
  const Status verified =
      NoteVerified(archive.catalog, record, Verifies(), /*whole=*/false);
  const auto known = archive.volumes->Put(std::move(record));
  RETURN_IF_ERROR(detached);
  RETURN_IF_ERROR(verified);
  RETURN_IF_ERROR(noted);
  return known.status();
}

}  // namespace vellum
