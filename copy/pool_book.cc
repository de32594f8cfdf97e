// SPDX-License-Identifier: Apache-2.0
#include "copy/pool_book.h"

#include <fmt/format.h>

#include <algorithm>
#include <nlohmann/json.hpp>
#include <optional>
#include <utility>

#include "copy/jobs.h"
#include "copy/medium_notes.h"
#include "copy/pool.h"
#include "copy/shelf.h"

namespace vellum {
namespace {

constexpr std::string_view kPoolTable = "pool";
constexpr std::string_view kRangeKey = "range";
constexpr std::string_view kMediumPrefix = "medium/";

std::string MediumKey(const MediumId& medium) {
  return std::string(kMediumPrefix) + medium;
}

std::string RangeText(const ElementRange& range) {
  return fmt::format("{} to {}", range.first.value,
                     range.first.value + range.count - 1);
}

ElementAddress AddressOf(const nlohmann::json& value) {
  return ElementAddress{value.get<uint16_t>()};
}

Status DecodeRow(std::string_view key, std::string_view value, PoolBook* book) {
  try {
    const nlohmann::json json = nlohmann::json::parse(value);
    if (key == kRangeKey) {
      book->set = true;
      book->range = {AddressOf(json.at("first")), AddressOf(json.at("last"))};
    } else if (key.substr(0, kMediumPrefix.size()) == kMediumPrefix) {
      book->media[MediumId(key.substr(kMediumPrefix.size()))] =
          AddressOf(json.at("slot"));
    }
    return Status::Ok();
  } catch (const std::exception& e) {
    return Status(Errc::kCorruption,
                  fmt::format("pool row {}: {}", key, e.what()));
  }
}

void PutMedium(CatalogBatch* batch, const MediumId& medium,
               ElementAddress slot) {
  batch->PutRow(kPoolTable, MediumKey(medium),
                nlohmann::json{{"slot", slot.value}}.dump());
}

// A backup that no longer counts: the pool may overwrite it.
Result<bool> IsGivenUp(const Archive& archive, const MediumId& medium,
                       const VolumeRecord& record) {
  ASSIGN_OR_RETURN(const MediumNote note,
                   ReadMediumNote(*archive.catalog, medium));
  return !note.freed.empty() && note.freed == record.id;
}

Result<bool> HoldsCopy(const Archive& archive, const MediumId& medium) {
  const auto volume = archive.volumes->FindByMedium(medium);
  if (volume == nullptr) return false;
  const VolumeRecord record = volume->record();
  if (record.role != udf::Role::kBackup || record.owner_uuid.empty()) {
    return false;
  }
  ASSIGN_OR_RETURN(const bool given_up, IsGivenUp(archive, medium, record));
  return !given_up;
}

Result<std::string> StateOf(const Archive& archive, const MediumPlace& place,
                            const VolumeRecord* record) {
  if (!place.problem.empty()) return std::string("unsuitable");
  if (record != nullptr) {
    ASSIGN_OR_RETURN(const bool copy, HoldsCopy(archive, place.id));
    if (copy) return std::string("used");
    if (record->role != udf::Role::kBackup) return std::string("unsuitable");
  }
  ASSIGN_OR_RETURN(const MediumNote note,
                   ReadMediumNote(*archive.catalog, place.id));
  const bool foreign = record == nullptr && note.found == "foreign";
  return std::string(foreign || note.write_protected ? "unsuitable" : "unused");
}

Result<PoolRow> RowOf(const Archive& archive, const MediumId& medium,
                      ElementAddress slot) {
  PoolRow row{slot, medium, "", "", "", ""};
  const auto volume = archive.volumes->FindByMedium(medium);
  std::optional<VolumeRecord> record;
  if (volume != nullptr) {
    record = volume->record();
    row.volume = record->id;
    row.owner = record->owner_id;
  }
  const Result<MediumPlace> place = archive.library->FindMedium(medium);
  if (place.ok()) {
    row.slot = place->home;
    ASSIGN_OR_RETURN(row.state,
                     StateOf(archive, *place, record ? &*record : nullptr));
    return row;
  }
  row.state = "removed";
  for (const MediumPlace& other : archive.library->Media()) {
    if (other.home != slot) continue;
    row.state = "swapped";
    row.found = other.id;
    if (other.side() == 'A') break;
  }
  return row;
}

// The medium whose home is the slot, wherever it is just now.
Result<MediumPlace> MediumOfSlot(const Archive& archive, ElementAddress slot) {
  const ElementMap map = archive.library->Elements();
  if (!map.storage.Contains(slot)) {
    return Error{Errc::kNotFound,
                 fmt::format("element {} is no slot: those are {}", slot.value,
                             RangeText(map.storage))};
  }
  for (const MediumPlace& place : archive.library->Media()) {
    if (place.home == slot && place.side() != 'B') return place;
  }
  return Error{Errc::kNoMedium, fmt::format("slot {} is empty", slot.value)};
}

Status CheckNoJob(const Jobs& jobs, const MediumId& medium) {
  for (const JobRecord& job : jobs.List()) {
    if (JobEnded(job.state) || job.target_medium != medium) continue;
    return Status(Errc::kBusy,
                  fmt::format("medium {} is the target of job {}, a copy of {}",
                              medium, job.id, job.request.source));
  }
  return Status::Ok();
}

// What may not be overwritten, even if it is asked for.
Status CheckFreeable(const Archive& archive, const MediumId& medium,
                     const std::shared_ptr<Volume>& volume) {
  if (volume != nullptr) {
    const VolumeRecord record = volume->record();
    RETURN_IF_ERROR(CheckNotExported(record));
    if (record.role == udf::Role::kBackup) return Status::Ok();
    return Status(Errc::kExists,
                  fmt::format("medium {} holds the PRIMARY {}: format it with "
                              "clear (--clear, clear=yes) if it is not needed",
                              medium, record.id));
  }
  ASSIGN_OR_RETURN(const MediumNote note,
                   ReadMediumNote(*archive.catalog, medium));
  if (note.found != "foreign") return Status::Ok();
  return Status(Errc::kExists,
                fmt::format("medium {} holds data that Vellum did not write: "
                            "format it with clear (--clear, clear=yes) first",
                            medium));
}

}  // namespace

bool PoolRange::Contains(ElementAddress element) const {
  if (first == ElementAddress() && last == ElementAddress()) return true;
  return element >= first && element <= last;
}

bool PoolBook::Contains(const MediumPlace& place) const {
  if (place.in_import_export) return false;
  return set ? media.count(place.id) != 0 : range.Contains(place.home);
}

Result<PoolBook> ReadPool(const Catalog& catalog, const PoolRange& configured) {
  PoolBook book;
  book.range = configured;
  Status decoded;
  RETURN_IF_ERROR(catalog.ForEachRow(
      kPoolTable, [&](std::string_view key, std::string_view value) {
        decoded = DecodeRow(key, value, &book);
        return decoded.ok();
      }));
  RETURN_IF_ERROR(decoded);
  return book;
}

Result<PoolBook> SetPoolRange(const Archive& archive, ElementAddress first,
                              ElementAddress last, std::stop_token stop) {
  const ElementRange storage = archive.library->Elements().storage;
  if (!storage.Contains(first) || !storage.Contains(last) || last < first) {
    return Error{
        Errc::kInvalidArgument,
        fmt::format("slots {} to {} are no range of slots of this library: "
                    "those are {}",
                    first.value, last.value, RangeText(storage))};
  }
  RETURN_IF_ERROR(archive.library->RefreshElements(stop));
  ASSIGN_OR_RETURN(PoolBook book, ReadPool(*archive.catalog, {}));
  CatalogBatch batch;
  batch.PutRow(
      kPoolTable, kRangeKey,
      nlohmann::json{{"first", first.value}, {"last", last.value}}.dump());
  const std::map<MediumId, ElementAddress> before = std::move(book.media);
  book = {{first, last}, true, {}};
  for (const MediumPlace& place : archive.library->Media()) {
    if (!place.in_import_export && book.range.Contains(place.home)) {
      book.media[place.id] = place.home;
    }
  }
  for (const auto& [medium, slot] : before) {
    ASSIGN_OR_RETURN(const bool copy, HoldsCopy(archive, medium));
    if (copy) {
      book.media.emplace(medium, slot);
    } else if (book.media.count(medium) == 0) {
      batch.DeleteRow(kPoolTable, MediumKey(medium));
    }
  }
  for (const auto& [medium, slot] : book.media) {
    PutMedium(&batch, medium, slot);
  }
  RETURN_IF_ERROR(archive.catalog->Write(batch, Sync::kYes));
  return book;
}

Result<std::vector<PoolRow>> ListPool(const Archive& archive,
                                      const PoolRange& configured) {
  ASSIGN_OR_RETURN(PoolBook book, ReadPool(*archive.catalog, configured));
  std::map<MediumId, ElementAddress> media = book.media;
  if (!book.set) {
    for (const MediumPlace& place : archive.library->Media()) {
      if (book.Contains(place)) media[place.id] = place.home;
    }
  }
  std::vector<PoolRow> rows;
  for (const auto& [medium, slot] : media) {
    ASSIGN_OR_RETURN(PoolRow row, RowOf(archive, medium, slot));
    rows.push_back(std::move(row));
  }
  std::stable_sort(
      rows.begin(), rows.end(),
      [](const PoolRow& a, const PoolRow& b) { return a.slot < b.slot; });
  return rows;
}

namespace {

Result<FreedMedium> FreePlace(const Archive& archive, const Jobs& jobs,
                              const PoolRange& configured,
                              const MediumPlace& place, std::stop_token stop) {
  const ElementAddress slot = place.home;
  ASSIGN_OR_RETURN(const PoolBook book, ReadPool(*archive.catalog, configured));
  if (place.in_import_export) {
    return Error{Errc::kInvalidArgument,
                 fmt::format("medium {} is in the import/export element {}: it "
                             "is not in the copy pool",
                             place.id, slot.value)};
  }
  if (!book.Contains(place) && !book.range.Contains(slot)) {
    return Error{
        Errc::kInvalidArgument,
        fmt::format("slot {} is not in the copy pool: that is {} to "
                    "{} (setcopyrange)",
                    slot.value, book.range.first.value, book.range.last.value)};
  }
  RETURN_IF_ERROR(CheckNoJob(jobs, place.id));
  const auto volume = archive.volumes->FindByMedium(place.id);
  RETURN_IF_ERROR(CheckFreeable(archive, place.id, volume));
  FreedMedium freed{slot, place.id, "", "", false};
  if (volume != nullptr) {
    const VolumeRecord record = volume->record();
    RETURN_IF_ERROR(archive.volumes->CheckExcludable(*volume));
    freed.volume = record.id;
    freed.owner = record.owner_id;
    freed.last = record.state == udf::SlotState::kComplete &&
                 IsLastComplete(archive, record.owner_uuid, place.id);
    RETURN_IF_ERROR(GiveUpBackup(archive, place.id, record.id, stop));
  }
  if (book.set) {
    CatalogBatch batch;
    for (const auto& [medium, was] : book.media) {
      // What stood here before and is gone.
      if (was == slot && medium != place.id &&
          !archive.library->FindMedium(medium).ok()) {
        batch.DeleteRow(kPoolTable, MediumKey(medium));
      }
    }
    PutMedium(&batch, place.id, slot);
    RETURN_IF_ERROR(archive.catalog->Write(batch, Sync::kYes));
  }
  return freed;
}

}  // namespace

Result<FreedMedium> FreePoolSlot(const Archive& archive, const Jobs& jobs,
                                 const PoolRange& configured,
                                 ElementAddress slot, std::stop_token stop) {
  RETURN_IF_ERROR(archive.library->RefreshElements(stop));
  ASSIGN_OR_RETURN(const MediumPlace place, MediumOfSlot(archive, slot));
  return FreePlace(archive, jobs, configured, place, std::move(stop));
}

Result<FreedMedium> FreePoolMedium(const Archive& archive, const Jobs& jobs,
                                   const PoolRange& configured,
                                   const MediumId& medium,
                                   std::stop_token stop) {
  RETURN_IF_ERROR(archive.library->RefreshElements(stop));
  ASSIGN_OR_RETURN(const MediumPlace place,
                   archive.library->FindMedium(medium));
  return FreePlace(archive, jobs, configured, place, std::move(stop));
}

Status GiveUpBackup(const Archive& archive, const MediumId& medium,
                    const std::string& volume_id, std::stop_token stop) {
  const auto volume = archive.volumes->FindByMedium(medium);
  // What is in use stays what it is.
  std::optional<Volumes::Exclusion> exclusion;
  if (volume != nullptr) {
    ASSIGN_OR_RETURN(exclusion, archive.volumes->Exclude(volume, stop));
  }
  ASSIGN_OR_RETURN(MediumNote note, ReadMediumNote(*archive.catalog, medium));
  note.freed = volume_id;
  if (note.found.empty()) note.found = "volume";
  RETURN_IF_ERROR(WriteMediumNote(archive.catalog, medium, note));
  return volume == nullptr ? Status::Ok() : archive.volumes->Forget(volume);
}

}  // namespace vellum
