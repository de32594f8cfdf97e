// SPDX-License-Identifier: Apache-2.0
#include "copy/verified.h"

#include <string>

#include "copy/damage_notes.h"

namespace vellum {
namespace {

constexpr std::string_view kVerifiedTable = "verified";

}  // namespace

Status NoteVerified(Catalog* catalog, const VolumeRecord& backup, bool verified,
                    bool whole) {
  const Result<std::string> before =
      catalog->GetRow(kVerifiedTable, backup.medium_uuid);
  if (!before.ok() && before.error().code != Errc::kNotFound) {
    return before.status();
  }
  CatalogBatch batch;
  if (verified && (whole || before.ok())) {
    batch.PutRow(kVerifiedTable, backup.medium_uuid,
                 ToString(backup.generation));
  } else if (before.ok()) {
    batch.DeleteRow(kVerifiedTable, backup.medium_uuid);
  } else {
    return Status::Ok();
  }
  return catalog->Write(batch, Sync::kYes);
}

Status ForgetVerified(Catalog* catalog) {
  CatalogBatch batch;
  RETURN_IF_ERROR(catalog->ForEachRow(
      kVerifiedTable, [&batch](std::string_view key, std::string_view) {
        batch.DeleteRow(kVerifiedTable, key);
        return true;
      }));
  return catalog->Write(batch, Sync::kYes);
}

Result<bool> IsVerified(const Catalog& catalog, const VolumeRecord& backup) {
  const Result<std::string> row =
      catalog.GetRow(kVerifiedTable, backup.medium_uuid);
  if (!row.ok()) {
    if (row.error().code == Errc::kNotFound) return false;
    return row.status();
  }
  if (*row != ToString(backup.generation)) return false;
  ASSIGN_OR_RETURN(const std::string damage,
                   ReadDamage(catalog, backup.medium_uuid));
  return damage.empty();
}

}  // namespace vellum
