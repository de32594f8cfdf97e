// SPDX-License-Identifier: Apache-2.0
#include "copy/clearing.h"

#include <spdlog/spdlog.h>

#include <utility>

#include "copy/medium_notes.h"
#include "index/volumes.h"
#include "media/udf/control.h"
#include "media/udf/slot_error.h"

namespace vellum {
namespace {

// A use of a displaced volume may wait for the medium that the caller has, to
// see whether the volume is back: then it waits a little longer.
template <typename Change>
Status Changed(const Archive& archive, const std::shared_ptr<Volume>& volume,
               const Change& change) {
  Status status = change();
  if (!status.Is(Errc::kBusy)) return status;
  ASSIGN_OR_RETURN(const Volumes::Exclusion exclusion,
                   archive.volumes->Exclude(volume));
  return change();
}

}  // namespace

Status BeginClearing(const Archive& archive,
                     const std::shared_ptr<Volume>& volume) {
  VolumeRecord record = volume->record();
  ASSIGN_OR_RETURN(MediumNote note,
                   ReadMediumNote(*archive.catalog, record.medium));
  note.found.clear();
  note.clearing = record.id;
  RETURN_IF_ERROR(WriteMediumNote(archive.catalog, record.medium, note));
  record.medium = FormerMedium(record.medium);
  return archive.volumes->Put(std::move(record)).status();
}

Status EndClearing(const Archive& archive, const MediumId& id, Medium& medium) {
  ASSIGN_OR_RETURN(MediumNote note, ReadMediumNote(*archive.catalog, id));
  if (note.clearing.empty()) return Status::Ok();
  const std::shared_ptr<Volume> volume = archive.volumes->Find(note.clearing);
  if (volume != nullptr && volume->record().medium == FormerMedium(id)) {
    VolumeRecord record = volume->record();
    const auto control = udf::ReadControlSlot(medium);
    if (!control.ok() && !udf::SaysNoSlot(control.error().code)) {
      return control.status();  // who knows
    }
    if (control.ok() && control->medium_uuid == record.medium_uuid) {
      record.medium = id;
      RETURN_IF_ERROR(Changed(archive, volume, [&] {
        return archive.volumes->Put(record).status();
      }));
    } else {
      spdlog::info("medium {}: it does not hold volume {} any more", id,
                   record.id);
      RETURN_IF_ERROR(ForgetDisplaced(archive, record.id, id));
    }
  }
  note.clearing.clear();
  return WriteMediumNote(archive.catalog, id, note);
}

Status ForgetDisplaced(const Archive& archive, const std::string& volume_id,
                       const MediumId& id) {
  const std::shared_ptr<Volume> volume = archive.volumes->Find(volume_id);
  if (volume == nullptr || volume->record().medium != FormerMedium(id)) {
    return Status::Ok();
  }
  return Changed(archive, volume,
                 [&] { return archive.volumes->Forget(volume); });
}

Status NoteLoaded(Catalog* catalog, const MediumId& id,
                  udf::MediumContent content, const MediumInfo& info) {
  RETURN_IF_ERROR(NoteMediumContent(catalog, id, content, info));
  ASSIGN_OR_RETURN(MediumNote note, ReadMediumNote(*catalog, id));
  if (note.clearing.empty()) return Status::Ok();
  note.clearing.clear();
  return WriteMediumNote(catalog, id, note);
}

}  // namespace vellum
