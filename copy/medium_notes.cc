// SPDX-License-Identifier: Apache-2.0
#include "copy/medium_notes.h"

#include <fmt/format.h>

#include <nlohmann/json.hpp>
#include <vector>

#include "copy/freed_media.h"

namespace vellum {
namespace {

constexpr std::string_view kNoteTable = "medium";
// A row for each medium that takes no writes.
constexpr std::string_view kProtectedTable = "write-protected";

Result<bool> IsWriteProtected(const Catalog& catalog, const MediumId& id) {
  const Result<std::string> row = catalog.GetRow(kProtectedTable, id);
  if (row.ok()) return true;
  if (row.error().code == Errc::kNotFound) return false;
  return row.status();
}

const char* ContentName(udf::MediumContent content) {
  switch (content) {
    case udf::MediumContent::kBlank:
      return "blank";
    case udf::MediumContent::kVellum:
      return "volume";
    case udf::MediumContent::kForeign:
      return "foreign";
  }
  return "";
}

}  // namespace

Result<MediumNote> ReadMediumNote(const Catalog& catalog, const MediumId& id) {
  MediumNote note;
  ASSIGN_OR_RETURN(note.write_protected, IsWriteProtected(catalog, id));
  const Result<std::string> row = catalog.GetRow(kNoteTable, id);
  if (!row.ok()) {
    if (row.error().code == Errc::kNotFound) return note;
    return row.status();
  }
  try {
    const nlohmann::json j = nlohmann::json::parse(*row);
    note.found = j.at("found");
    note.sectors = j.at("sectors");
    note.freed = j.at("freed");
    note.problem = j.value("problem", "");  // none in older catalogs
    note.write_once = j.value("write_once", false);
    note.clearing = j.value("clearing", "");
    note.unreadable = j.value("unreadable", "");
    note.replaced = j.value("replaced", "");
    note.was_replaced = j.value("was_replaced", "");
    return note;
  } catch (const std::exception& e) {
    return Error{Errc::kCorruption,
                 fmt::format("note of medium {}: {}", id, e.what())};
  }
}

Status WriteMediumNote(Catalog* catalog, const MediumId& id,
                       const MediumNote& note) {
  const nlohmann::json json = {{"found", note.found},
                               {"sectors", note.sectors},
                               {"freed", note.freed},
                               {"problem", note.problem},
                               {"write_once", note.write_once},
                               {"clearing", note.clearing},
                               {"unreadable", note.unreadable},
                               {"replaced", note.replaced},
                               {"was_replaced", note.was_replaced}};
  CatalogBatch batch;
  batch.PutRow(kNoteTable, id, json.dump());
  return catalog->Write(batch, Sync::kYes);
}

Status NoteUnreadable(Catalog* catalog, const MediumId& id,
                      const std::string& why) {
  ASSIGN_OR_RETURN(MediumNote note, ReadMediumNote(*catalog, id));
  if (note.unreadable == why) return Status::Ok();
  note.unreadable = why;
  return WriteMediumNote(catalog, id, note);
}

Status NoteWriteProtection(Catalog* catalog, const MediumId& id,
                           const MediumInfo& info) {
  const bool now =
      info.write_protected && info.medium_class == MediumClass::kRewritable;
  ASSIGN_OR_RETURN(const bool before, IsWriteProtected(*catalog, id));
  if (now == before) return Status::Ok();
  CatalogBatch batch;
  if (now) {
    batch.PutRow(kProtectedTable, id, "1");
  } else {
    batch.DeleteRow(kProtectedTable, id);
  }
  return catalog->Write(batch, Sync::kYes);
}

std::string WriteProtectionText(const MediumId& id) {
  return fmt::format(
      "medium {} was write-protected when it was last in a drive: when that "
      "has changed, let a drive look at it (vellum load {})",
      id, id);
}

Status NoteMediumContent(Catalog* catalog, const MediumId& id,
                         udf::MediumContent content, const MediumInfo& info) {
  RETURN_IF_ERROR(NoteWriteProtection(catalog, id, info));
  const bool write_once = info.medium_class == MediumClass::kWriteOnce;
  ASSIGN_OR_RETURN(MediumNote note, ReadMediumNote(*catalog, id));
  // What a copy has begun to format is that until it is a volume, or blank.
  const bool begun =
      note.found == "unfinished" && content == udf::MediumContent::kForeign;
  const std::string found = begun ? note.found : ContentName(content);
  if (note.found == found && note.sectors == info.sectors &&
      note.write_once == write_once && note.problem.empty() &&
      note.unreadable.empty()) {
    return Status::Ok();
  }
  note.found = found;
  note.sectors = info.sectors;
  note.write_once = write_once;
  note.problem.clear();
  note.unreadable.clear();
  return WriteMediumNote(catalog, id, note);
}

Status ForgetFreedMedia(Catalog* catalog) {
  std::vector<MediumId> media;
  RETURN_IF_ERROR(catalog->ForEachRow(
      kNoteTable, [&media](std::string_view key, std::string_view) {
        media.emplace_back(key);
        return true;
      }));
  for (const MediumId& id : media) {
    ASSIGN_OR_RETURN(MediumNote note, ReadMediumNote(*catalog, id));
    // Both would let a copy write over what is there.
    const bool begun = note.found == "unfinished";
    if (note.freed.empty() && !begun) continue;
    note.freed.clear();
    if (begun) note.found.clear();
    RETURN_IF_ERROR(WriteMediumNote(catalog, id, note));
  }
  return Status::Ok();
}

}  // namespace vellum
