// SPDX-License-Identifier: Apache-2.0
#include "copy/damage_notes.h"

namespace vellum {
namespace {

constexpr std::string_view kDamageTable = "damage";
constexpr DamageFinder kDamageFinders[] = {DamageFinder::kCompare,
                                           DamageFinder::kFsck};

std::string DamageKey(const std::string& medium_uuid, DamageFinder finder) {
  return medium_uuid +
         (finder == DamageFinder::kCompare ? "/compare" : "/fsck");
}

Result<std::string> ReadDamageOf(const Catalog& catalog,
                                 const std::string& medium_uuid,
                                 DamageFinder finder) {
  Result<std::string> row =
      catalog.GetRow(kDamageTable, DamageKey(medium_uuid, finder));
  if (!row.ok() && row.error().code == Errc::kNotFound) return std::string();
  return row;
}

}  // namespace

Result<std::string> ReadDamage(const Catalog& catalog,
                               const std::string& medium_uuid) {
  std::string all;
  for (const DamageFinder finder : kDamageFinders) {
    ASSIGN_OR_RETURN(const std::string text,
                     ReadDamageOf(catalog, medium_uuid, finder));
    if (!text.empty()) all += (all.empty() ? "" : "; ") + text;
  }
  return all;
}

bool IsDamaged(const Catalog& catalog, const std::string& medium_uuid) {
  const Result<std::string> damage = ReadDamage(catalog, medium_uuid);
  return !damage.ok() || !damage->empty();
}

Status NoteDamage(Catalog* catalog, const std::string& medium_uuid,
                  DamageFinder finder, const std::string& text) {
  ASSIGN_OR_RETURN(const std::string before,
                   ReadDamageOf(*catalog, medium_uuid, finder));
  if (before == text) return Status::Ok();
  CatalogBatch batch;
  if (text.empty()) {
    batch.DeleteRow(kDamageTable, DamageKey(medium_uuid, finder));
  } else {
    batch.PutRow(kDamageTable, DamageKey(medium_uuid, finder), text);
  }
  return catalog->Write(batch, Sync::kYes);
}

Status ForgetDamage(Catalog* catalog, const std::string& medium_uuid) {
  for (const DamageFinder finder : kDamageFinders) {
    RETURN_IF_ERROR(NoteDamage(catalog, medium_uuid, finder, ""));
  }
  return Status::Ok();
}

}  // namespace vellum
