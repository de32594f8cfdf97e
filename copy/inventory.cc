// SPDX-License-Identifier: Apache-2.0
#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "copy/medium_notes.h"
#include "copy/operations.h"
#include "media/udf/format.h"

namespace vellum {
namespace {

Result<std::string> Look(const Archive& archive, const MediumId& id,
                         const std::stop_token& stop) {
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
      NoteMediumContent(archive.catalog, id, content, medium.Info().sectors));
  if (content == udf::MediumContent::kBlank) return std::string("blank");
  if (content == udf::MediumContent::kForeign) return std::string("foreign");
  // Identify takes an exclusion of its own; the lease keeps others off.
  exclusion.Release();
  ASSIGN_OR_RETURN(const std::shared_ptr<Volume> volume,
                   archive.volumes->Identify(id, medium));
  return volume == nullptr ? std::string("foreign") : volume->id();
}

bool IsKnown(const Archive& archive, const MediumId& id) {
  if (archive.volumes->FindByMedium(id) != nullptr) return true;
  const Result<MediumNote> note = ReadMediumNote(*archive.catalog, id);
  return note.ok() && (note->found == "blank" || note->found == "foreign");
}

}  // namespace

Result<std::vector<InventoryRow>> Inventory(const Archive& archive, bool all,
                                            std::stop_token stop) {
  std::vector<MediumPlace> media = archive.library->Media();
  std::sort(media.begin(), media.end(),
            [](const MediumPlace& a, const MediumPlace& b) {
              return a.home < b.home;
            });
  std::vector<InventoryRow> rows;
  for (const MediumPlace& place : media) {
    if (stop.stop_requested()) {
      return Error{Errc::kInterrupted, "the inventory was given up"};
    }
    if (!all && IsKnown(archive, place.id)) continue;
    InventoryRow row;
    row.medium = place.id;
    row.element = place.home;
    Result<std::string> found = Look(archive, place.id, stop);
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

}  // namespace vellum
