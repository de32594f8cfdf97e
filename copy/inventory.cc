// SPDX-License-Identifier: Apache-2.0
#include <fmt/format.h>

#include <algorithm>
#include <map>
#include <optional>
#include <set>
#include <utility>

#include "copy/clearing.h"
#include "copy/inventory_progress.h"
#include "copy/library_catalog.h"
#include "copy/medium_notes.h"
#include "copy/operations.h"
#include "copy/shelf.h"
#include "media/cleaning_medium.h"
#include "media/udf/control.h"
#include "media/udf/format.h"

namespace vellum {
namespace {

enum class Trust : bool { kCatalog, kMedium };

// A medium whose volume the catalog has on another one.
struct Conflict {
  VolumeIndex volume = 0;
  MediumId medium;  // where the catalog has it
};

// What the catalog has on other media under the id or the medium uuid of what
// was read on `id`.
std::vector<Conflict> ConflictsOf(const Archive& archive, const MediumId& id,
                                  const udf::ControlSlot& control) {
  std::vector<Conflict> conflicts;
  for (const std::shared_ptr<Volume>& volume : archive.volumes->List()) {
    const VolumeRecord record = volume->record();
    if (record.medium != id && (record.id == control.volume_id ||
                                record.medium_uuid == control.medium_uuid)) {
      conflicts.push_back({record.index, record.medium});
    }
  }
  return conflicts;
}

void Tell(const Archive& archive, const std::string& step) {
  if (archive.meter != nullptr) archive.meter->Say(step);
}

// With Trust::kMedium the volume's tree is read anew in any case.
Result<std::string> Look(const Archive& archive, const MediumId& id,
                         Trust trust, const std::stop_token& stop,
                         std::vector<Conflict>* conflicts) {
  std::shared_ptr<Volume> known = archive.volumes->FindByMedium(id);
  Volumes::Exclusion exclusion;
  if (known != nullptr) {
    ASSIGN_OR_RETURN(exclusion, archive.volumes->Exclude(known, stop));
  }
  LeaseRequest request;
  request.medium = id;
  request.mode = LeaseMode::kExclusive;
  request.priority = LeasePriority::kCopy;
  request.owner = "inventory";
  std::vector<LeaseRequest> requests;
  requests.push_back(std::move(request));
  ASSIGN_OR_RETURN(const std::vector<MediumLease> leases,
                   archive.library->AcquireAndWait(std::move(requests), stop));
  Tell(archive, fmt::format("reads {}", id));
  Medium& medium = leases.front().medium();
  ASSIGN_OR_RETURN(const udf::MediumContent content, udf::ProbeMedium(medium));
  std::optional<udf::ControlSlot> control;
  if (content == udf::MediumContent::kVellum) {
    ASSIGN_OR_RETURN(control, udf::ReadControlSlot(medium));
  }
  if (known == nullptr) {
    RETURN_IF_ERROR(EndClearing(archive, id, medium));
    known = archive.volumes->FindByMedium(id);
  } else if (!control || control->medium_uuid != known->record().medium_uuid) {
    RETURN_IF_ERROR(archive.volumes->Displace(known));
    known = nullptr;
  }
  RETURN_IF_ERROR(
      NoteMediumContent(archive.catalog, id, content, medium.Info()));
  ASSIGN_OR_RETURN(MediumNote seen, ReadMediumNote(*archive.catalog, id));
  if (!seen.replaced.empty() || !seen.was_replaced.empty()) {
    seen.replaced.clear();
    seen.was_replaced.clear();
    RETURN_IF_ERROR(WriteMediumNote(archive.catalog, id, seen));
  }
  if (content == udf::MediumContent::kBlank) return std::string("blank");
  if (content == udf::MediumContent::kForeign) return std::string("foreign");
  if (trust == Trust::kMedium && known != nullptr) {
    VolumeRecord record = known->record();
    record.tree = TreeState::kNone;
    RETURN_IF_ERROR(archive.volumes->Put(std::move(record)).status());
  }
  // Identify takes an exclusion of its own; the lease keeps others off.
  exclusion.Release();
  const Result<std::shared_ptr<Volume>> volume =
      archive.volumes->Identify(id, medium);
  if (!volume.ok()) {
    if (volume.error().code == Errc::kExists) {
      *conflicts = ConflictsOf(archive, id, *control);
      // A duplicate: the operator is told of it until one of the two is gone.
      ASSIGN_OR_RETURN(MediumNote note, ReadMediumNote(*archive.catalog, id));
      note.problem = volume.error().message;
      RETURN_IF_ERROR(WriteMediumNote(archive.catalog, id, note));
    }
    return volume.error();
  }
  return *volume == nullptr ? std::string("foreign") : (*volume)->id();
}

// Of a medium that is not touched: an exported volume, "VOL (exported)", or
// one that cleans drives.
std::optional<std::string> FoundUnread(const Archive& archive,
                                       const MediumPlace& place) {
  if (place.problem == kCleaningMedium) return place.problem;
  const std::shared_ptr<Volume> volume =
      archive.volumes->FindByMedium(place.id);
  if (volume == nullptr || CheckNotExported(volume->record()).ok()) {
    return std::nullopt;
  }
  return volume->id() + " (exported)";
}

bool IsKnown(const Archive& archive, const MediumPlace& place) {
  if (place.problem == kCleaningMedium) return true;
  const MediumId& id = place.id;
  const Result<MediumNote> note = ReadMediumNote(*archive.catalog, id);
  if (note.ok() && !note->unreadable.empty()) return false;
  if (const auto volume = archive.volumes->FindByMedium(id)) {
    const VolumeRecord record = volume->record();
    return record.tree == TreeState::kValid ||
           record.state == udf::SlotState::kIncomplete;
  }
  // It may be back.
  if (archive.volumes->FindByMedium(FormerMedium(id)) != nullptr) return false;
  return note.ok() && (note->found == "blank" || note->found == "foreign");
}

std::vector<MediumPlace> MediaByHome(const Archive& archive) {
  std::vector<MediumPlace> media = archive.library->Media();
  std::sort(media.begin(), media.end(),
            [](const MediumPlace& a, const MediumPlace& b) {
              return a.home < b.home;
            });
  return media;
}

// Reads media one after the other.
class MediaReader {
 public:
  MediaReader(const Archive& archive, Trust trust, std::stop_token stop)
      : archive_(archive), trust_(trust), stop_(std::move(stop)) {}

  // kInterrupted; what goes wrong with the medium stands in its row.
  Status Read(const MediumPlace& place);
  // Media were found to hold a volume that the catalog has on another medium.
  // That one is read, too, and if it does not hold it any more (the two were
  // swapped), the first is read again.
  Status Resolve();
  // By home element.
  std::vector<InventoryRow> Rows() const;

 private:
  const Archive archive_;
  const Trust trust_;
  const std::stop_token stop_;
  std::map<MediumId, InventoryRow> rows_;
  std::map<MediumId, std::vector<Conflict>> conflicts_;
};

Status MediaReader::Read(const MediumPlace& place) {
  if (stop_.stop_requested()) {
    return Status(Errc::kInterrupted, "the inventory was given up");
  }
  InventoryRow row;
  row.medium = place.id;
  row.element = place.home;
  if (const auto unread = FoundUnread(archive_, place)) {
    row.found = *unread;
    rows_[place.id] = std::move(row);
    return Status::Ok();
  }
  std::vector<Conflict> conflicts;
  Tell(archive_, fmt::format("loads {} from {}", place.id, place.home.value));
  Result<std::string> found =
      Look(archive_, place.id, trust_, stop_, &conflicts);
  row.found = found.ok() ? *found : found.error().ToString();
  // Drives or a library that are offline say nothing of the medium.
  if (!found.ok() && conflicts.empty() && !stop_.stop_requested() &&
      found.error().code != Errc::kOffline) {
    RETURN_IF_ERROR(
        NoteUnreadable(archive_.catalog, place.id, found.error().message));
  }
  if (!place.loaded) {
    const Status home = archive_.library->SendHome(place.id);
    // In use again: it goes home when its drive is needed.
    if (!home.ok() && home.code() != Errc::kBusy) {
      row.found += "; " + home.ToString();
    }
  }
  // Given up while the medium was waited for: it has not been read.
  if (!found.ok() && stop_.stop_requested()) {
    return Status(Errc::kInterrupted, "the inventory was given up");
  }
  rows_[place.id] = std::move(row);
  conflicts_.erase(place.id);
  if (conflicts.empty()) {
    RETURN_IF_ERROR(NoteMediumRead(archive_.catalog, place.id));
  } else {
    conflicts_[place.id] = std::move(conflicts);
  }
  return Status::Ok();
}

Status MediaReader::Resolve() {
  // A medium that is read here may be in conflict with a third one.
  for (bool more = true; more;) {
    more = false;
    const auto now = conflicts_;
    for (const auto& entry : now) {
      for (const Conflict& conflict : entry.second) {
        if (rows_.count(conflict.medium) != 0) continue;
        const auto place = archive_.library->FindMedium(conflict.medium);
        if (!place.ok()) continue;
        RETURN_IF_ERROR(Read(*place));
        more = true;
      }
    }
  }
  const auto left = conflicts_;
  for (const auto& [id, conflicts] : left) {
    const bool settled = std::any_of(
        conflicts.begin(), conflicts.end(), [this](const Conflict& conflict) {
          const auto volume = archive_.volumes->FindByIndex(conflict.volume);
          return volume == nullptr ||
                 volume->record().medium != conflict.medium;
        });
    const auto place = archive_.library->FindMedium(id);
    if (settled && place.ok()) RETURN_IF_ERROR(Read(*place));
  }
  return Status::Ok();
}

std::vector<InventoryRow> MediaReader::Rows() const {
  std::vector<InventoryRow> rows;
  for (const auto& entry : rows_) rows.push_back(entry.second);
  std::sort(rows.begin(), rows.end(),
            [](const InventoryRow& a, const InventoryRow& b) {
              return a.element < b.element;
            });
  return rows;
}

// Reads these, and what turns out to be in conflict with them.
Result<std::vector<InventoryRow>> ReadMedia(
    const Archive& archive, const std::vector<MediumPlace>& media, Trust trust,
    const std::stop_token& stop) {
  if (!media.empty() && !archive.library->online()) {
    return Error{Errc::kOffline,
                 "the library is offline (`vellum library online` ends that): "
                 "no medium is read"};
  }
  if (!media.empty() && archive.library->OnlineDrives() == 0) {
    return Error{Errc::kOffline, "no drive is online: no medium is read"};
  }
  if (archive.meter != nullptr) archive.meter->Begin("media", media.size());
  MediaReader reader(archive, trust, stop);
  for (const MediumPlace& place : media) {
    RETURN_IF_ERROR(reader.Read(place));
    if (archive.meter != nullptr) archive.meter->Add(1);
  }
  RETURN_IF_ERROR(reader.Resolve());
  return reader.Rows();
}

Result<std::vector<InventoryRow>> ReadUnknownMedia(
    const Archive& archive, const std::stop_token& stop) {
  std::vector<MediumPlace> media = MediaByHome(archive);
  media.erase(std::remove_if(media.begin(), media.end(),
                             [&archive](const MediumPlace& place) {
                               return IsKnown(archive, place);
                             }),
              media.end());
  return ReadMedia(archive, media, Trust::kCatalog, stop);
}

// Every medium but those that were read already.
Result<std::vector<InventoryRow>> ReadTheRest(const Archive& archive,
                                              Trust trust,
                                              const std::stop_token& stop) {
  ASSIGN_OR_RETURN(const std::set<MediumId> read,
                   MediaReadAlready(*archive.catalog));
  std::vector<MediumPlace> media = MediaByHome(archive);
  media.erase(std::remove_if(media.begin(), media.end(),
                             [&read](const MediumPlace& place) {
                               return read.count(place.id) != 0;
                             }),
              media.end());
  ASSIGN_OR_RETURN(std::vector<InventoryRow> rows,
                   ReadMedia(archive, media, trust, stop));
  RETURN_IF_ERROR(EndInventory(archive.catalog));
  if (trust == Trust::kMedium) RETURN_IF_ERROR(ForgetSalvage(archive.catalog));
  return rows;
}

Result<std::vector<InventoryRow>> ReadAllMedia(const Archive& archive,
                                               Trust trust,
                                               const std::stop_token& stop) {
  RETURN_IF_ERROR(BeginInventory(archive.catalog, trust == Trust::kMedium));
  return ReadTheRest(archive, trust, stop);
}

// What the catalog and the element status say together.
Result<std::vector<InventoryRow>> CompareElements(const Archive& archive,
                                                  const std::stop_token& stop) {
  RETURN_IF_ERROR(archive.library->Rescan(stop));
  std::vector<InventoryRow> rows;
  for (const MediumPlace& place : MediaByHome(archive)) {
    InventoryRow row{place.id, place.home, "not known"};
    const std::shared_ptr<Volume> volume =
        archive.volumes->FindByMedium(place.id);
    const Result<MediumNote> note = ReadMediumNote(*archive.catalog, place.id);
    if (const auto unread = FoundUnread(archive, place)) {
      row.found = *unread;
    } else if (volume != nullptr) {
      row.found = volume->id();
    } else if (note.ok() && !note->found.empty()) {
      row.found = note->found;
    }
    rows.push_back(std::move(row));
  }
  for (const std::shared_ptr<Volume>& volume : archive.volumes->List()) {
    const MediumId medium = volume->record().medium;
    if (archive.library->FindMedium(medium).ok()) continue;
    rows.push_back({medium, ElementAddress{}, volume->id() + " (removed)"});
  }
  return rows;
}

}  // namespace

Result<std::string> ReadLabel(const Archive& archive, const MediumId& medium,
                              std::stop_token stop) {
  std::vector<Conflict> unresolved;
  return Look(archive, medium, Trust::kCatalog, stop, &unresolved);
}

Result<std::vector<InventoryRow>> Inventory(const Archive& archive, bool all,
                                            std::stop_token stop) {
  // What was put in, taken out or mended by hand.
  RETURN_IF_ERROR(archive.library->Rescan(stop));
  return all ? ReadAllMedia(archive, Trust::kCatalog, stop)
             : ReadUnknownMedia(archive, stop);
}

Result<std::vector<InventoryRow>> ResumeInventory(const Archive& archive,
                                                  std::stop_token stop) {
  ASSIGN_OR_RETURN(const std::optional<bool> reset,
                   UnfinishedInventory(*archive.catalog));
  if (!reset) {
    return Error{Errc::kNotFound,
                 "no inventory of all media was broken off: there is nothing "
                 "to resume"};
  }
  RETURN_IF_ERROR(archive.library->Rescan(stop));
  return ReadTheRest(archive, *reset ? Trust::kMedium : Trust::kCatalog, stop);
}

Result<std::vector<InventoryRow>> Reindex(const Archive& archive,
                                          ReindexMode mode,
                                          std::stop_token stop) {
  if (mode == ReindexMode::kSync) return CompareElements(archive, stop);
  RETURN_IF_ERROR(archive.library->Rescan(stop));
  return mode == ReindexMode::kReset
             ? ReadAllMedia(archive, Trust::kMedium, stop)
             : ReadUnknownMedia(archive, stop);
}

}  // namespace vellum
