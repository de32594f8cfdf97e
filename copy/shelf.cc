// SPDX-License-Identifier: Apache-2.0
#include "copy/shelf.h"

#include <fmt/format.h>
#include <spdlog/spdlog.h>

#include <optional>
#include <set>
#include <utility>

#include "copy/work_meter.h"
#include "media/cleaning_medium.h"

namespace vellum {
namespace {

Result<std::optional<ElementAddress>> FreeDoor(const Library& library,
                                               const MediumId& medium) {
  std::string full;
  for (const ElementStatus& element : library.ElementStatuses()) {
    if (element.type != ElementType::kImportExport) continue;
    if (!element.full) return std::optional(element.address);
    full += fmt::format(
        "{}{} holds {}", full.empty() ? "" : ", ", element.address.value,
        element.volume_tag.empty() ? "a medium" : element.volume_tag);
  }
  if (full.empty()) return std::optional<ElementAddress>();
  return Error{Errc::kNoSpace,
               fmt::format("medium {} cannot be exported: every import/export "
                           "element is full: {}",
                           medium, full)};
}

Result<ElementAddress> FreeSlot(const Library& library,
                                const MediumId& medium) {
  std::set<ElementAddress> homes;
  for (const MediumPlace& place : library.Media()) homes.insert(place.home);
  for (const ElementStatus& element : library.ElementStatuses()) {
    if (element.type == ElementType::kStorage && !element.full &&
        homes.count(element.address) == 0) {
      return element.address;
    }
  }
  return Error{Errc::kNoSpace,
               fmt::format("medium {} cannot be imported: no storage element "
                           "is free",
                           medium)};
}

// Names of media without a volume tag are those of their elements.
bool IsNamedByElement(const MediumId& id) {
  return !id.empty() && id.front() == '@';
}

// The volume is at `medium` now, on that shelf.
Status PlaceVolume(const Archive& archive,
                   const std::shared_ptr<Volume>& volume,
                   const MediumId& medium, const std::string& location) {
  VolumeRecord record = volume->record();
  record.medium = medium;
  record.location = location;
  return archive.volumes->Put(std::move(record)).status();
}

Result<ImportRow> ImportOne(const Archive& archive, const MediumPlace& place,
                            const std::stop_token& stop) {
  ImportRow row;
  row.medium = place.id;
  row.from = row.to = place.element;
  if (place.in_import_export) {
    ASSIGN_OR_RETURN(row.to, FreeSlot(*archive.library, place.id));
    if (archive.meter != nullptr) {
      archive.meter->Say(fmt::format("moves {} to {}", place.id, row.to.value));
    }
    RETURN_IF_ERROR(archive.library->Move(row.from, row.to));
    ASSIGN_OR_RETURN(const MediumPlace now, archive.library->MediumAt(row.to));
    row.medium = now.id;
  }
  if (place.problem == kCleaningMedium) {
    row.found = place.problem;
    return row;
  }
  const std::shared_ptr<Volume> volume =
      archive.volumes->FindByMedium(place.id);
  if (volume == nullptr || IsNamedByElement(place.id)) {
    ASSIGN_OR_RETURN(row.found, ReadLabel(archive, row.medium, stop));
    return row;
  }
  ASSIGN_OR_RETURN(const Volumes::Exclusion exclusion,
                   archive.volumes->Exclude(volume, stop));
  RETURN_IF_ERROR(PlaceVolume(archive, volume, row.medium, ""));
  row.found = volume->id();
  return row;
}

bool IsBack(const Archive& archive, const MediumPlace& place) {
  if (place.in_import_export) return true;
  const std::shared_ptr<Volume> volume =
      archive.volumes->FindByMedium(place.id);
  return volume != nullptr && !volume->record().location.empty();
}

Result<MediumPlace> PlaceToImport(const Archive& archive,
                                  const std::string& what) {
  if (const auto volume = archive.volumes->Find(what)) {
    const VolumeRecord record = volume->record();
    if (!archive.library->FindMedium(record.medium).ok()) {
      return Error{
          Errc::kNoMedium,
          fmt::format(
              "volume {} is on medium {}, which is not in the library "
              "(shelf location: {}): put it into an import/export "
              "element first",
              what, record.medium,
              record.location.empty() ? "not recorded" : record.location)};
    }
  }
  ASSIGN_OR_RETURN(const MediumId medium, ResolveMedium(archive, what));
  ASSIGN_OR_RETURN(const MediumPlace place,
                   archive.library->FindMedium(medium));
  if (IsBack(archive, place)) return place;
  return Error{Errc::kInvalidArgument,
               fmt::format("medium {} is in the library, in element {}: there "
                           "is nothing to import",
                           medium, place.home.value)};
}

}  // namespace

std::string MediumState(const Result<MediumPlace>& place,
                        const std::string& location) {
  if (!location.empty()) return "exported";
  if (!place.ok()) return "removed";
  return place->loaded ? "loaded" : "resident";
}

Status CheckNotExported(const VolumeRecord& record) {
  if (record.location.empty()) return Status::Ok();
  return Status(Errc::kNoMedium,
                fmt::format("volume {} is on medium {}, which was exported "
                            "(shelf location: {})",
                            record.id, record.medium, record.location));
}

Result<Exported> Export(const Archive& archive, const std::string& volume_id,
                        const std::string& location, std::stop_token stop) {
  const std::shared_ptr<Volume> volume = archive.volumes->Find(volume_id);
  if (volume == nullptr) {
    return Error{Errc::kNotFound,
                 fmt::format("no volume {} is known", volume_id)};
  }
  // What cannot be committed is said before the medium leaves.
  RETURN_IF_ERROR(archive.volumes->SyncVolume(*volume));
  ASSIGN_OR_RETURN(const Volumes::Exclusion exclusion,
                   archive.volumes->Exclude(volume, stop));
  MediumId medium = volume->record().medium;
  Exported exported;
  Result<MediumPlace> place = archive.library->FindMedium(medium);
  // A medium that is gone takes nothing more away from those who have files
  // open.
  if (const size_t open = volume->open_files(); place.ok() && open > 0) {
    return Error{Errc::kBusy,
                 fmt::format("{} cannot be exported: {} of its files {} open",
                             volume_id, open, open == 1 ? "is" : "are")};
  }
  if (place.ok() && !place->in_import_export) {
    ASSIGN_OR_RETURN(const std::optional<ElementAddress> door,
                     FreeDoor(*archive.library, medium));
    if (door) {
      if (archive.meter != nullptr) {
        archive.meter->Say(fmt::format("moves {} to {}", medium, door->value));
      }
      RETURN_IF_ERROR(archive.library->Move(place->element, *door)
                          .WithContext("export " + volume_id));
      place = archive.library->MediumAt(*door);
    }
  }
  if (place.ok()) {
    medium = place->id;
    exported.element = place->element;
  }
  RETURN_IF_ERROR(PlaceVolume(archive, volume, medium,
                              location.empty() ? kNoLocation : location));
  exported.record = volume->record();
  spdlog::info("volume {} on medium {} is exported: {}", volume_id, medium,
               exported.record.location);
  return exported;
}

Result<std::vector<ImportRow>> Import(const Archive& archive,
                                      const std::string& what,
                                      std::stop_token stop) {
  RETURN_IF_ERROR(archive.library->RefreshElements(stop));
  std::vector<ImportRow> rows;
  if (!what.empty()) {
    ASSIGN_OR_RETURN(const MediumPlace place, PlaceToImport(archive, what));
    ASSIGN_OR_RETURN(ImportRow row, ImportOne(archive, place, stop));
    rows.push_back(std::move(row));
    return rows;
  }
  for (const MediumPlace& place : archive.library->Media()) {
    if (!IsBack(archive, place)) continue;
    Result<ImportRow> row = ImportOne(archive, place, stop);
    if (stop.stop_requested()) {
      return Error{Errc::kInterrupted, "the import was given up"};
    }
    rows.push_back(row.ok() ? std::move(*row)
                            : ImportRow{place.id, place.element, place.element,
                                        row.error().ToString(), true});
  }
  return rows;
}

}  // namespace vellum
