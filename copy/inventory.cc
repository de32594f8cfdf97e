// SPDX-License-Identifier: Apache-2.0
#include <fmt/format.h>

#include <algorithm>
#include <optional>
#include <utility>

#include "copy/medium_notes.h"
#include "copy/operations.h"
#include "copy/shelf.h"
#include "media/udf/format.h"

namespace vellum {
namespace {

enum class Trust : bool { kCatalog, kMedium };

// With Trust::kMedium the volume's tree is read anew in any case.
Result<std::string> Look(const Archive& archive, const MediumId& id,
                         Trust trust, const std::stop_token& stop) {
  const std::shared_ptr<Volume> known = archive.volumes->FindByMedium(id);
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
  Medium& medium = leases.front().medium();
  ASSIGN_OR_RETURN(const udf::MediumContent content, udf::ProbeMedium(medium));
  RETURN_IF_ERROR(
      NoteMediumContent(archive.catalog, id, content, medium.Info()));
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
      // A duplicate: the operator is told of it until one of the two is gone.
      ASSIGN_OR_RETURN(MediumNote note, ReadMediumNote(*archive.catalog, id));
      note.problem = volume.error().message;
      RETURN_IF_ERROR(WriteMediumNote(archive.catalog, id, note));
    }
    return volume.error();
  }
  return *volume == nullptr ? std::string("foreign") : (*volume)->id();
}

// An exported volume is not touched: "VOL (exported)".
std::optional<std::string> FoundOnShelf(const Archive& archive,
                                        const MediumId& id) {
  const std::shared_ptr<Volume> volume = archive.volumes->FindByMedium(id);
  if (volume == nullptr || CheckNotExported(volume->record()).ok()) {
    return std::nullopt;
  }
  return volume->id() + " (exported)";
}

bool IsKnown(const Archive& archive, const MediumId& id) {
  if (archive.volumes->FindByMedium(id) != nullptr) return true;
  const Result<MediumNote> note = ReadMediumNote(*archive.catalog, id);
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

Result<std::vector<InventoryRow>> ReadMedia(const Archive& archive, bool all,
                                            Trust trust,
                                            const std::stop_token& stop) {
  std::vector<InventoryRow> rows;
  for (const MediumPlace& place : MediaByHome(archive)) {
    if (stop.stop_requested()) {
      return Error{Errc::kInterrupted, "the inventory was given up"};
    }
    if (!all && IsKnown(archive, place.id)) continue;
    InventoryRow row;
    row.medium = place.id;
    row.element = place.home;
    if (const auto shelf = FoundOnShelf(archive, place.id)) {
      row.found = *shelf;
      rows.push_back(std::move(row));
      continue;
    }
    Result<std::string> found = Look(archive, place.id, trust, stop);
    row.found = found.ok() ? *found : found.error().ToString();
    if (!place.loaded) {
      const Status home = archive.library->SendHome(place.id);
      // In use again: it goes home when its drive is needed.
      if (!home.ok() && home.code() != Errc::kBusy) {
        row.found += "; " + home.ToString();
      }
    }
    rows.push_back(std::move(row));
  }
  return rows;
}

// What the catalog and the element status say together.
Result<std::vector<InventoryRow>> CompareElements(const Archive& archive,
                                                  const std::stop_token& stop) {
  RETURN_IF_ERROR(archive.library->RefreshElements(stop));
  std::vector<InventoryRow> rows;
  for (const MediumPlace& place : MediaByHome(archive)) {
    InventoryRow row{place.id, place.home, "not known"};
    const std::shared_ptr<Volume> volume =
        archive.volumes->FindByMedium(place.id);
    const Result<MediumNote> note = ReadMediumNote(*archive.catalog, place.id);
    if (const auto shelf = FoundOnShelf(archive, place.id)) {
      row.found = *shelf;
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
  return Look(archive, medium, Trust::kCatalog, stop);
}

Result<std::vector<InventoryRow>> Inventory(const Archive& archive, bool all,
                                            std::stop_token stop) {
  return ReadMedia(archive, all, Trust::kCatalog, stop);
}

Result<std::vector<InventoryRow>> Reindex(const Archive& archive,
                                          ReindexMode mode,
                                          std::stop_token stop) {
  switch (mode) {
    case ReindexMode::kSync:
      return CompareElements(archive, stop);
    case ReindexMode::kUpdate:
      break;
    case ReindexMode::kReset:
      RETURN_IF_ERROR(archive.library->RefreshElements(stop));
      return ReadMedia(archive, /*all=*/true, Trust::kMedium, stop);
  }
  RETURN_IF_ERROR(archive.library->RefreshElements(stop));
  return ReadMedia(archive, /*all=*/false, Trust::kCatalog, stop);
}

}  // namespace vellum
